//! Transitions: the one function through which every state change goes, and the tables of the phases
//! between which it moves a job.

use chrono::{DateTime, Utc};
use postq_core::id::{AccountId, JobId, NodeId, PostId, ScheduleId, TenantId};
use postq_core::job::{CorrelationId, DedupeKey, Job, JobKind, Lane, NewJob, Topic};
use postq_core::machine::{JobMachine, JobState, StateMachine};
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::aside::{Broken, readable};
use crate::error::Fault;
use crate::rows::{fence, fence_number, json, kept, number, some_word, word, word_of};
use crate::trail::Trail;
use crate::tx::{Sql, Tx, together};

/// How often somebody else may move a job while we try to lock it.
const TRIES: u32 = 8;

/// Finds the row of the job `j` in `due`, the alias `d`.
pub(crate) const IN_DUE: &str = "d.lane_id = j.lane_id AND d.rank = -(j.priority::integer)
     AND d.planned_at = j.planned_at AND d.job_id = j.id";

/// The table that a job's row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Planned,
    Later,
    Due,
    Running,
    Ended,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Planned, Self::Later, Self::Due, Self::Running, Self::Ended];

    const fn table(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Later => "later",
            Self::Due => "due",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }

    /// Where a job of this state belongs.
    fn of(job: &Job, now: DateTime<Utc>) -> Self {
        match job.state {
            JobState::Planned => Self::Planned,
            JobState::Enqueued | JobState::Failed if job.run_at <= now => Self::Due,
            JobState::Enqueued | JobState::Failed => Self::Later,
            JobState::Running => Self::Running,
            JobState::Succeeded | JobState::DeadLetter | JobState::Cancelled => Self::Ended,
        }
    }
}

/// A job with what the store keeps besides.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) job: Job,
    pub(crate) phase: Phase,
    pub(crate) lane_id: i64,
    /// The digest of what settled the current fence.
    pub(crate) settled: Option<Vec<u8>>,
    /// The job that replays this dead letter.
    pub(crate) replayed_by: Option<JobId>,
    pub(crate) trail: Trail,
}

impl Stored {
    /// Takes the job to its next state: checks the machine, keeps what follows from the state, and
    /// records the event. [`Tx::move_all`] comes after.
    pub(crate) fn step(
        &mut self,
        to: JobState,
        now: DateTime<Utc>,
        node: Option<NodeId>,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        let job = &mut self.job;
        let from = job.state;
        if !JobMachine.allows(from, to) {
            return Err(Fault::internal(format!("job {} cannot go from {from} to {to}", job.id())));
        }
        job.state = to;
        job.reason = reason.map(|reason| kept(reason).into_owned());
        job.node = None;
        match to {
            JobState::Enqueued => job.enqueued_at = Some(now),
            JobState::Succeeded | JobState::DeadLetter | JobState::Cancelled => {
                job.finished_at = Some(now);
            }
            JobState::Planned | JobState::Failed => {}
            JobState::Running => return Err(Fault::internal("only a claim makes a job run")),
        }
        self.trail.add(now, Some(from), to, job.fence, node, reason)
    }
}

impl Tx<'_> {
    /// The jobs with these ids, locked where they are. Those that do not exist are left out.
    pub(crate) async fn lock_jobs(&self, ids: &[JobId]) -> Result<Vec<Stored>, Fault> {
        let found = |jobs: &[Stored]| {
            let mut found: Vec<_> =
                jobs.iter().map(|job| (job.job.id(), job.phase, job.job.fence)).collect();
            found.sort_unstable_by_key(|(id, ..)| *id);
            found
        };
        let mut seen = load(self.sql, ids).await?;
        for _ in 0..TRIES {
            for phase in Phase::ALL {
                let inside = seen.iter().filter(|job| job.phase == phase);
                let ids: Vec<Uuid> = inside.map(|job| job.job.id().as_uuid()).collect();
                if !ids.is_empty() {
                    self.lock_in(phase, &ids).await?;
                }
            }
            // What somebody else has moved meanwhile is looked for again.
            let now = load(self.sql, ids).await?;
            if found(&now) == found(&seen) {
                return Ok(now);
            }
            seen = now;
        }
        Err(Fault::Again("others kept moving the job"))
    }

    async fn lock_in(&self, phase: Phase, ids: &[Uuid]) -> Result<(), Fault> {
        let lock = match phase {
            Phase::Due => format!(
                "SELECT 1 FROM {{s}}.job j JOIN {{s}}.due d ON {IN_DUE} WHERE j.id = ANY($1)
                 ORDER BY j.id FOR UPDATE OF d"
            ),
            _ => format!(
                "SELECT 1 FROM {{s}}.{} WHERE job_id = ANY($1) ORDER BY job_id FOR UPDATE",
                phase.table()
            ),
        };
        self.sql.rows(&lock, args![ids.to_vec()]).await?;
        Ok(())
    }

    /// Moves locked jobs from where their rows are to where their states belong.
    pub(crate) async fn move_all(
        &self,
        jobs: &mut [Stored],
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        for phase in Phase::ALL {
            let inside = jobs.iter().filter(|job| job.phase == phase);
            let ids: Vec<Uuid> = inside.clone().map(|job| job.job.id().as_uuid()).collect();
            if ids.is_empty() {
                continue;
            }
            for job in inside.filter(|job| job.job.made.lane.is_some()) {
                match phase {
                    Phase::Due => self.touch(job.lane_id, 0),
                    Phase::Running => self.touch(job.lane_id, -1),
                    Phase::Planned | Phase::Later | Phase::Ended => {}
                }
            }
            let delete = match phase {
                Phase::Due => {
                    format!(
                        "DELETE FROM {{s}}.due d USING {{s}}.job j WHERE j.id = ANY($1) AND {IN_DUE}"
                    )
                }
                _ => format!("DELETE FROM {{s}}.{} WHERE job_id = ANY($1)", phase.table()),
            };
            if self.sql.run(&delete, args![ids]).await? != ids.len() as u64 {
                return Err(Fault::Again("somebody else moved the job"));
            }
            if phase == Phase::Running && jobs.iter().any(|job| job.job.made.lane.is_some()) {
                // Room in a lane.
                self.wake();
            }
        }
        self.put_all(jobs, now).await
    }

    /// Puts the jobs where their states belong. They must be nowhere yet.
    pub(crate) async fn put_all(
        &self,
        jobs: &mut [Stored],
        now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        self.spill(jobs).await?;
        let mut by_phase: [Vec<&Stored>; 5] = Default::default();
        for job in jobs.iter_mut() {
            job.phase = Phase::of(&job.job, now);
        }
        for job in jobs.iter() {
            by_phase[job.phase as usize].push(job);
        }
        let [planned, later, due, running, ended] = by_phase;
        if !running.is_empty() {
            return Err(Fault::internal("only a claim makes a job run"));
        }
        if !later.is_empty() || !due.is_empty() {
            self.wake();
        }
        for job in due.iter().filter(|job| job.job.made.lane.is_some()) {
            self.touch(job.lane_id, 0);
        }
        together!(
            put_planned(self.sql, &planned),
            put_later(self.sql, &later),
            put_due(self.sql, &due),
            put_ended(self.sql, &ended),
        )?;
        Ok(())
    }

    async fn spill(&self, jobs: &mut [Stored]) -> Result<(), Fault> {
        let spilt = |job: &mut Stored| Some((job.job.id().as_uuid(), job.trail.spill()?));
        let (ids, trails): (Vec<_>, Vec<_>) = jobs.iter_mut().filter_map(spilt).unzip();
        if !ids.is_empty() {
            let keep = "INSERT INTO {s}.old_trails (job_id, trail) SELECT * FROM unnest($1, $2)";
            self.sql.run(keep, args![ids, trails]).await?;
        }
        Ok(())
    }
}

/// The jobs with these ids, as they are now.
pub(crate) async fn load(sql: Sql<'_>, ids: &[JobId]) -> Result<Vec<Stored>, Fault> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    sql.all("SELECT * FROM {s}.jobs WHERE id = ANY($1) ORDER BY id", args![ids], stored).await
}

/// The same; apart from them, those that cannot be read.
pub(crate) async fn load_readable(
    sql: Sql<'_>,
    ids: &[JobId],
) -> Result<(Vec<Stored>, Broken), Fault> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let all = "SELECT * FROM {s}.jobs WHERE id = ANY($1) ORDER BY id";
    readable(&sql.rows(all, args![ids]).await?, stored)
}

/// The values of a column for all jobs.
fn column<'a, T>(jobs: &[&'a Stored], value: impl Fn(&'a Stored) -> T) -> Vec<T> {
    jobs.iter().map(|job| value(job)).collect()
}

fn id(stored: &Stored) -> Uuid {
    stored.job.id().as_uuid()
}

fn rank(stored: &Stored) -> i32 {
    -i32::from(stored.job.made.priority)
}

async fn put_planned(sql: Sql<'_>, jobs: &[&Stored]) -> Result<(), Fault> {
    if jobs.is_empty() {
        return Ok(());
    }
    sql.run(
        "INSERT INTO {s}.planned (job_id, run_at, schedule_id, trail)
         SELECT * FROM unnest($1, $2, $3, $4)",
        args![
            column(jobs, id),
            column(jobs, |job| job.job.run_at),
            column(jobs, |job| job.job.made.schedule_id.map(ScheduleId::as_uuid)),
            column(jobs, |job| job.trail.0.as_str()),
        ],
    )
    .await?;
    Ok(())
}

/// The columns that `later` and `due` share.
const WAITING: &str =
    "job_id, run_at, lane_id, rank, planned_at, schedule_id, state, fence, attempt,
             slot, reason, enqueued_at, started_at, settled, trail";

/// The same of these jobs, and what a table has besides.
macro_rules! waiting {
    ($jobs:ident $(, $besides:expr)?) => {
        args![
            column($jobs, id),
            column($jobs, |job| job.job.run_at),
            column($jobs, |job| job.lane_id),
            column($jobs, rank),
            column($jobs, |job| job.job.made.planned_at),
            column($jobs, |job| job.job.made.schedule_id.map(ScheduleId::as_uuid)),
            column($jobs, |job| job.job.state.as_str()),
            column($jobs, |job| fence_number(job.job.fence)),
            column($jobs, |job| i64::from(job.job.attempt)),
            column($jobs, |job| job.job.slot),
            column($jobs, |job| job.job.reason.as_deref()),
            column($jobs, |job| job.job.enqueued_at),
            column($jobs, |job| job.job.started_at),
            column($jobs, |job| job.settled.as_deref()),
            column($jobs, |job| job.trail.0.as_str()),
            $($besides,)?
        ]
    };
}

async fn put_later(sql: Sql<'_>, jobs: &[&Stored]) -> Result<(), Fault> {
    if jobs.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO {{s}}.later ({WAITING}, topic)
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    );
    sql.run(&insert, waiting![jobs, column(jobs, |job| job.job.made.topic.as_str())]).await?;
    Ok(())
}

async fn put_due(sql: Sql<'_>, jobs: &[&Stored]) -> Result<(), Fault> {
    if jobs.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO {{s}}.due ({WAITING})
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    );
    sql.run(&insert, waiting![jobs]).await?;
    Ok(())
}

async fn put_ended(sql: Sql<'_>, jobs: &[&Stored]) -> Result<(), Fault> {
    if jobs.is_empty() {
        return Ok(());
    }
    let dead: Result<Vec<_>, _> =
        jobs.iter().map(|job| job.job.dead_reason.map(word_of).transpose()).collect();
    let resolved: Result<Vec<_>, _> =
        jobs.iter().map(|job| job.job.resolution.map(word_of).transpose()).collect();
    sql.run(
        "INSERT INTO {s}.ended (job_id, tenant_id, state, run_at, fence, attempt, slot, reason,
             dead_reason, resolution, replayed_by, enqueued_at, started_at, finished_at, settled, trail,
             topic)
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
             $17)",
        args![
            column(jobs, id),
            column(jobs, |job| job.job.made.tenant_id.as_uuid()),
            column(jobs, |job| job.job.state.as_str()),
            column(jobs, |job| job.job.run_at),
            column(jobs, |job| fence_number(job.job.fence)),
            column(jobs, |job| i64::from(job.job.attempt)),
            column(jobs, |job| job.job.slot),
            column(jobs, |job| job.job.reason.as_deref()),
            dead?,
            resolved?,
            column(jobs, |job| job.replayed_by.map(JobId::as_uuid)),
            column(jobs, |job| job.job.enqueued_at),
            column(jobs, |job| job.job.started_at),
            column(jobs, |job| job.job.finished_at),
            column(jobs, |job| job.settled.as_deref()),
            column(jobs, |job| job.trail.0.as_str()),
            column(jobs, |job| job.job.made.topic.as_str()),
        ],
    )
    .await?;
    Ok(())
}

/// Reads a whole row of the view `jobs`.
pub(crate) fn stored(row: &Row) -> Result<Stored, Fault> {
    let phase: &str = row.try_get("phase")?;
    let phase = Phase::ALL
        .into_iter()
        .find(|known| known.table() == phase)
        .ok_or_else(|| Fault::Unreadable(format!("\"{phase}\" is no phase")))?;
    Ok(Stored {
        job: job(row)?,
        phase,
        lane_id: row.try_get("lane_id")?,
        settled: row.try_get("settled")?,
        replayed_by: row.try_get::<_, Option<Uuid>>("replayed_by")?.map(JobId::from_uuid),
        trail: Trail(row.try_get("trail")?),
    })
}

/// Reads the job in a row of the view `jobs`.
pub(crate) fn job(row: &Row) -> Result<Job, Fault> {
    Ok(Job {
        made: made(row)?,
        state: word(row, "state")?,
        fence: fence(row)?,
        attempt: number(row, "attempt")?,
        run_at: row.try_get("run_at")?,
        slot: row.try_get("slot")?,
        reason: row.try_get("reason")?,
        dead_reason: some_word(row, "dead_reason")?,
        resolution: some_word(row, "resolution")?,
        root: JobId::from_uuid(row.try_get("root")?),
        replay_of: row.try_get::<_, Option<Uuid>>("replay_of")?.map(JobId::from_uuid),
        node: row.try_get::<_, Option<Uuid>>("node")?.map(NodeId::from_uuid),
        enqueued_at: row.try_get("enqueued_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

fn made(row: &Row) -> Result<NewJob, Fault> {
    let text = |column: &str| row.try_get::<_, String>(column);
    let some_id = |column: &str| row.try_get::<_, Option<Uuid>>(column);
    let payload = if row.try_get::<_, Option<&str>>("payload")?.is_some() {
        json(row, "payload")?
    } else {
        Value::Null
    };
    Ok(NewJob {
        id: JobId::from_uuid(row.try_get("id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        kind: JobKind::new(text("kind")?),
        topic: Topic::new(text("topic")?),
        lane: row.try_get::<_, Option<String>>("lane")?.map(Lane::from_raw),
        priority: row.try_get("priority")?,
        planned_at: row.try_get("planned_at")?,
        max_attempts: number(row, "max_attempts")?,
        dedupe_key: row.try_get::<_, Option<String>>("dedupe_key")?.map(DedupeKey::new),
        schedule_id: some_id("schedule_id")?.map(ScheduleId::from_uuid),
        post_id: some_id("post_id")?.map(PostId::from_uuid),
        account_id: some_id("account_id")?.map(AccountId::from_uuid),
        correlation_id: CorrelationId::new(text("correlation_id")?),
        payload,
    })
}
