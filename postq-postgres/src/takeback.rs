//! Taking jobs back: what an edit or the removal of a post or schedule does to what it has planned.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use postq_core::id::{JobId, PostId, ScheduleId};
use postq_core::job::DeadReason;
use postq_core::machine::JobState;
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::evidence::{self, FREEZES};
use crate::settle::give_up;
use crate::transition::Stored;
use crate::tx::Tx;

/// How often a job may come back from its worker while we take the others.
const TRIES: u32 = 8;

/// Whose jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    Post(PostId),
    Schedule(ScheduleId),
}

impl Owner {
    fn condition(self) -> &'static str {
        match self {
            Self::Post(_) => "j.post_id = $1",
            Self::Schedule(_) => "j.schedule_id = $1",
        }
    }

    fn id(self) -> Uuid {
        match self {
            Self::Post(id) => id.as_uuid(),
            Self::Schedule(id) => id.as_uuid(),
        }
    }
}

/// Holds for the job `j` until it has ended.
pub(crate) const IS_LIVE: &str = "NOT EXISTS (SELECT 1 FROM {s}.ended o WHERE o.job_id = j.id)";

/// What was taken back.
#[derive(Debug)]
pub(crate) enum Taken {
    /// All of it; the earliest moment that became free.
    Back { freed: Option<DateTime<Utc>> },
    /// Nothing: something runs, or may be out.
    InFlight,
}

impl Tx<'_> {
    /// Whether the content is frozen: a job that has not ended has an open intent or a receipt.
    pub(crate) async fn is_frozen(&self, owner: Owner) -> Result<bool, Fault> {
        let frozen = format!(
            "SELECT 1 FROM {{s}}.job j JOIN {{s}}.evidence e ON e.root = j.root
             WHERE {} AND {FREEZES} AND {IS_LIVE} LIMIT 1",
            owner.condition()
        );
        self.sql.has(&frozen, args![owner.id()]).await
    }

    /// Ends all waiting jobs and frees the keys of those that never had an intent; nothing of it if
    /// one runs or may be out.
    pub(crate) async fn take_back_jobs(&self, owner: Owner, why: &str) -> Result<Taken, Fault> {
        let Some(mut jobs) = self.lock_waiting(owner).await? else { return Ok(Taken::InFlight) };
        if self.is_frozen(owner).await? {
            return Ok(Taken::InFlight);
        }
        let now = self.sql.now().await?;
        let roots: BTreeSet<JobId> = jobs.iter().map(|job| job.job.root).collect();
        let known = evidence::of_roots(self.sql, &roots).await?;
        let (mut free, mut freed) = (Vec::new(), None);
        for job in &mut jobs {
            take_back(job, now, why)?;
            // A replay has its moment's key from a job that may have sent something.
            if job.job.replay_of.is_none() && !known.contains_key(&job.job.root) {
                free.push(job.job.id());
                freed = freed.into_iter().chain([job.job.made.planned_at]).min();
            }
        }
        self.move_all(&mut jobs, now).await?;
        self.free_keys(&free).await?;
        Ok(Taken::Back { freed })
    }

    /// Locks all jobs that have not ended; none if one of them runs.
    async fn lock_waiting(&self, owner: Owner) -> Result<Option<Vec<Stored>>, Fault> {
        let live =
            format!("SELECT j.id FROM {{s}}.job j WHERE {} AND {IS_LIVE}", owner.condition());
        let mut seen = BTreeSet::new();
        for _ in 0..TRIES {
            let ids: BTreeSet<JobId> = self
                .sql
                .all(&live, args![owner.id()], |row| Ok(JobId::from_uuid(row.try_get("id")?)))
                .await?
                .into_iter()
                .collect();
            let jobs = self.lock_jobs(&ids.iter().copied().collect::<Vec<_>>()).await?;
            if jobs.iter().any(|job| job.job.state == JobState::Running) {
                return Ok(None);
            }
            // Whatever was made meanwhile is taken back as well.
            if ids == seen {
                return Ok(Some(
                    jobs.into_iter().filter(|job| !job.job.state.is_terminal()).collect(),
                ));
            }
            seen = ids;
        }
        Err(Fault::Again("others kept making jobs of it"))
    }

    /// Frees dedupe keys.
    pub(crate) async fn free_keys(&self, jobs: &[JobId]) -> Result<(), Fault> {
        if !jobs.is_empty() {
            let ids: Vec<Uuid> = jobs.iter().map(|id| id.as_uuid()).collect();
            let free = "UPDATE {s}.job SET dedupe_key = NULL WHERE id = ANY($1)";
            self.sql.run(free, args![ids]).await?;
        }
        Ok(())
    }
}

/// Ends a waiting job: `cancelled`, or given up if it had failed before.
pub(crate) fn take_back(job: &mut Stored, now: DateTime<Utc>, why: &str) -> Result<(), Fault> {
    if job.job.state == JobState::Failed {
        give_up(job, DeadReason::Cancelled, now, None, Some(why))
    } else {
        job.step(JobState::Cancelled, now, None, Some(why))
    }
}
