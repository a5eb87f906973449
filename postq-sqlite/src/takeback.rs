//! Taking jobs back: what an edit or the removal of a post or schedule does to what it has planned.

use postq_core::id::{JobId, PostId, ScheduleId};
use postq_core::job::DeadReason;
use postq_core::machine::JobState;

use crate::error::Fault;
use crate::evidence::FREEZES;
use crate::rows::blob;
use crate::settle::give_up;
use crate::transition::{Stored, stored};
use crate::writer::Tx;

/// Whose jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    Post(PostId),
    Schedule(ScheduleId),
}

impl Owner {
    fn condition(self) -> &'static str {
        match self {
            Self::Post(_) => "jobs.post_id = ?",
            Self::Schedule(_) => "jobs.schedule_id = ?",
        }
    }

    fn key(self) -> [u8; 16] {
        match self {
            Self::Post(id) => blob(id.as_uuid()),
            Self::Schedule(id) => blob(id.as_uuid()),
        }
    }
}

/// States of jobs that have not ended.
pub(crate) const LIVE: &str = "('planned', 'enqueued', 'running', 'failed')";

impl Tx<'_> {
    /// Whether the content is frozen: a job that has not ended has an open intent or a receipt.
    pub(crate) fn is_frozen(&self, owner: Owner) -> Result<bool, Fault> {
        let frozen = format!(
            "SELECT 1 FROM jobs JOIN evidence ON evidence.root = jobs.root
             WHERE {} AND jobs.state IN {LIVE} AND ({FREEZES})",
            owner.condition()
        );
        Ok(self.has(&frozen, [owner.key()])?)
    }

    /// Whether a job runs or is frozen: then nothing can be taken back.
    pub(crate) fn is_in_flight(&self, owner: Owner) -> Result<bool, Fault> {
        let running =
            format!("SELECT 1 FROM jobs WHERE {} AND state = 'running'", owner.condition());
        Ok(self.has(&running, [owner.key()])? || self.is_frozen(owner)?)
    }

    /// Ends all waiting jobs and frees the keys of those that never had an intent; answers the
    /// earliest `planned_at` among the latter.
    pub(crate) fn take_back_jobs(&self, owner: Owner, why: &str) -> Result<Option<i64>, Fault> {
        let live = format!(
            "SELECT * FROM jobs WHERE {} AND state IN {LIVE} ORDER BY id",
            owner.condition()
        );
        let mut freed = None;
        for mut job in self.all(&live, [owner.key()], stored)? {
            self.take_back(&mut job, why)?;
            let root = blob(job.job.root.as_uuid());
            // A replay has its moment's key from a job that may have sent something.
            let is_replay = job.job.replay_of.is_some();
            if !is_replay && !self.has("SELECT 1 FROM evidence WHERE root = ?", [root])? {
                self.free_key(job.job.id())?;
                let planned_at = crate::rows::micros(job.job.made.planned_at);
                freed = crate::claim::earlier(freed, Some(planned_at));
            }
        }
        Ok(freed)
    }

    /// Ends a waiting job: `cancelled`, or given up if it had failed before.
    pub(crate) fn take_back(&self, job: &mut Stored, why: &str) -> Result<(), Fault> {
        if job.job.state == JobState::Failed {
            give_up(self, job, DeadReason::Cancelled, None, Some(why))?;
        } else {
            self.step(job, JobState::Cancelled, None, Some(why))?;
        }
        self.save(job)
    }

    /// Frees the dedupe key of a job.
    pub(crate) fn free_key(&self, job: JobId) -> Result<(), Fault> {
        self.run("UPDATE jobs SET dedupe_key = NULL WHERE id = ?", [blob(job.as_uuid())])?;
        Ok(())
    }
}
