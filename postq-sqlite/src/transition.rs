//! Transitions: the one function through which every state change goes.

use chrono::{DateTime, Utc};
use postq_core::id::{AccountId, JobId, NodeId, PostId, ScheduleId, TenantId};
use postq_core::job::{CorrelationId, DedupeKey, Job, JobKind, Lane, NewJob, Topic};
use postq_core::machine::{JobMachine, JobState, StateMachine};
use rusqlite::{Row, params};

use crate::error::Fault;
use crate::lanes::Place;
use crate::rows::{
    blob, fence, fence_number, json, micros, some_micros, some_time, some_uuid, some_word, time,
    uuid, word, word_of,
};
use crate::writer::Tx;

/// A job with what the store keeps besides.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) job: Job,
    pub(crate) lane_id: i64,
    /// Events so far: the next one's number.
    pub(crate) events: u32,
    /// The digest of what settled the current fence.
    pub(crate) settled: Option<Vec<u8>>,
}

impl Stored {
    /// Where it waits, if it is claimable.
    pub(crate) fn place(&self) -> Place {
        let made = &self.job.made;
        Place {
            lane_id: self.lane_id,
            job: blob(made.id.as_uuid()),
            rank: -i64::from(made.priority),
            planned_at: micros(made.planned_at),
            run_at: micros(self.job.run_at),
            schedule: made.schedule_id.map(|id| blob(id.as_uuid())),
        }
    }

    fn is_claimable(&self) -> bool {
        matches!(self.job.state, JobState::Enqueued | JobState::Failed)
    }
}

impl Tx<'_> {
    /// Takes the job to its next state: checks the machine, keeps what follows from the state (where
    /// it waits, its lease, its lane's count) and records the event. [`save`](Self::save) comes after.
    pub(crate) fn step(
        &self,
        stored: &mut Stored,
        to: JobState,
        node: Option<NodeId>,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        let from = stored.job.state;
        if !JobMachine.allows(from, to) {
            let id = stored.job.id();
            return Err(Fault::internal(format!("job {id} cannot go from {from} to {to}")));
        }
        self.leave(stored)?;
        stored.job.state = to;
        // Why it failed before stays readable while it runs.
        if to != JobState::Running {
            stored.job.reason = reason.map(ToOwned::to_owned);
        }
        self.enter(stored, node)?;
        self.record(stored, Some(from), node, reason)
    }

    /// Moves a claimable job to another time without changing its state.
    pub(crate) fn reschedule(
        &self,
        stored: &mut Stored,
        run_at: DateTime<Utc>,
    ) -> Result<(), Fault> {
        if !stored.is_claimable() {
            stored.job.run_at = run_at;
            return Ok(());
        }
        self.displace(stored.place())?;
        stored.job.run_at = run_at;
        self.place(stored.place())
    }

    fn leave(&self, stored: &Stored) -> Result<(), Fault> {
        if stored.is_claimable() {
            return self.displace(stored.place());
        }
        if stored.job.state == JobState::Running {
            let id = blob(stored.job.id().as_uuid());
            self.run("DELETE FROM leases WHERE job_id = ?", [id])?;
            self.count_running(stored.lane_id, -1)?;
            // The lane has room for its next job.
            self.wake();
        }
        Ok(())
    }

    fn enter(&self, stored: &mut Stored, node: Option<NodeId>) -> Result<(), Fault> {
        let place = stored.place();
        let job = &mut stored.job;
        job.node = None;
        match job.state {
            JobState::Planned => {}
            JobState::Enqueued => {
                job.enqueued_at = Some(self.now);
                self.place(place)?;
            }
            JobState::Failed => self.place(place)?,
            JobState::Running => {
                job.started_at = Some(self.now);
                job.node = node;
                self.count_running(stored.lane_id, 1)?;
            }
            JobState::Succeeded | JobState::DeadLetter | JobState::Cancelled => {
                job.finished_at = Some(self.now);
            }
        }
        Ok(())
    }

    fn record(
        &self,
        stored: &mut Stored,
        from: Option<JobState>,
        node: Option<NodeId>,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        let job = &stored.job;
        self.run(
            "INSERT INTO job_events (job_id, seq, at, from_state, to_state, fence, node, reason)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                blob(job.id().as_uuid()),
                stored.events,
                micros(self.now),
                from.map(JobState::as_str),
                job.state.as_str(),
                fence_number(job.fence),
                node.map(|node| blob(node.as_uuid())),
                reason,
            ],
        )?;
        stored.events += 1;
        Ok(())
    }

    /// Writes what may change of a job.
    pub(crate) fn save(&self, stored: &Stored) -> Result<(), Fault> {
        let job = &stored.job;
        self.run(
            "UPDATE jobs SET state = ?, fence = ?, attempt = ?, run_at = ?, slot = ?, reason = ?,
                 dead_reason = ?, resolution = ?, node = ?, enqueued_at = ?, started_at = ?,
                 finished_at = ?, settled = ?, events = ?
             WHERE id = ?",
            params![
                job.state.as_str(),
                fence_number(job.fence),
                job.attempt,
                micros(job.run_at),
                some_micros(job.slot),
                job.reason,
                job.dead_reason.map(word_of).transpose()?,
                job.resolution.map(word_of).transpose()?,
                job.node.map(|node| blob(node.as_uuid())),
                some_micros(job.enqueued_at),
                some_micros(job.started_at),
                some_micros(job.finished_at),
                stored.settled,
                stored.events,
                blob(job.id().as_uuid()),
            ],
        )?;
        Ok(())
    }

    /// Makes a job, `planned`, unless its id or dedupe key is there already or was published.
    pub(crate) fn make(&self, job: &Job, node: Option<NodeId>) -> Result<Option<Stored>, Fault> {
        let NewJob { id, dedupe_key, .. } = &job.made;
        if let Some(key) = dedupe_key
            && self.has("SELECT 1 FROM published_posts WHERE dedupe_key = ?", [key.as_str()])?
        {
            return Ok(None);
        }
        let taken = "SELECT 1 FROM jobs WHERE id = ? UNION ALL
                     SELECT 1 FROM jobs WHERE dedupe_key = ?";
        let key = dedupe_key.as_ref().map(DedupeKey::as_str);
        if self.has(taken, params![blob(id.as_uuid()), key])? {
            return Ok(None);
        }
        let lane_id = self.lane_id(&job.made.topic, job.made.lane.as_ref())?;
        let mut stored = Stored { job: job.clone(), lane_id, events: 0, settled: None };
        self.insert(&stored)?;
        self.record(&mut stored, None, node, None)?;
        Ok(Some(stored))
    }

    // `events` is 1: the one that records the making follows at once.
    fn insert(&self, stored: &Stored) -> Result<(), Fault> {
        let Job { made, root, replay_of, .. } = &stored.job;
        self.run(
            "INSERT INTO jobs (id, tenant_id, kind, topic, lane, priority, planned_at, max_attempts,
                 dedupe_key, schedule_id, post_id, account_id, correlation_id, payload, root,
                 replay_of, lane_id, state, fence, attempt, run_at, events)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
            params![
                blob(made.id.as_uuid()),
                blob(made.tenant_id.as_uuid()),
                made.kind.as_str(),
                made.topic.as_str(),
                made.lane.as_ref().map(Lane::as_str),
                made.priority,
                micros(made.planned_at),
                made.max_attempts,
                made.dedupe_key.as_ref().map(DedupeKey::as_str),
                made.schedule_id.map(|id| blob(id.as_uuid())),
                made.post_id.map(|id| blob(id.as_uuid())),
                made.account_id.map(|id| blob(id.as_uuid())),
                made.correlation_id.as_str(),
                serde_json::to_string(&made.payload)?,
                blob(root.as_uuid()),
                replay_of.map(|id| blob(id.as_uuid())),
                stored.lane_id,
                stored.job.state.as_str(),
                fence_number(stored.job.fence),
                stored.job.attempt,
                micros(stored.job.run_at),
            ],
        )?;
        Ok(())
    }

    /// The job with this id.
    pub(crate) fn job(&self, id: JobId) -> Result<Option<Stored>, Fault> {
        Ok(self.get("SELECT * FROM jobs WHERE id = ?", [blob(id.as_uuid())], stored)?)
    }
}

/// Reads a whole row of `jobs`.
pub(crate) fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        job: job(row)?,
        lane_id: row.get("lane_id")?,
        events: row.get("events")?,
        settled: row.get("settled")?,
    })
}

/// Reads the job in a row of `jobs`.
pub(crate) fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        made: made(row)?,
        state: word(row, "state")?,
        fence: fence(row)?,
        attempt: row.get("attempt")?,
        run_at: time(row, "run_at")?,
        slot: some_time(row, "slot")?,
        reason: row.get("reason")?,
        dead_reason: some_word(row, "dead_reason")?,
        resolution: some_word(row, "resolution")?,
        root: JobId::from_uuid(uuid(row, "root")?),
        replay_of: some_uuid(row, "replay_of")?.map(JobId::from_uuid),
        node: some_uuid(row, "node")?.map(NodeId::from_uuid),
        enqueued_at: some_time(row, "enqueued_at")?,
        started_at: some_time(row, "started_at")?,
        finished_at: some_time(row, "finished_at")?,
    })
}

fn made(row: &Row<'_>) -> rusqlite::Result<NewJob> {
    let text = |column: &str| row.get::<_, String>(column);
    Ok(NewJob {
        id: JobId::from_uuid(uuid(row, "id")?),
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        kind: JobKind::new(text("kind")?),
        topic: Topic::new(text("topic")?),
        lane: row.get::<_, Option<String>>("lane")?.map(Lane::from_raw),
        priority: row.get("priority")?,
        planned_at: time(row, "planned_at")?,
        max_attempts: row.get("max_attempts")?,
        dedupe_key: row.get::<_, Option<String>>("dedupe_key")?.map(DedupeKey::new),
        schedule_id: some_uuid(row, "schedule_id")?.map(ScheduleId::from_uuid),
        post_id: some_uuid(row, "post_id")?.map(PostId::from_uuid),
        account_id: some_uuid(row, "account_id")?.map(AccountId::from_uuid),
        correlation_id: CorrelationId::new(text("correlation_id")?),
        payload: json(row, "payload")?,
    })
}
