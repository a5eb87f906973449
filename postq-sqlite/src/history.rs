//! History: what is kept of jobs that are cleaned up.

use postq_core::id::{JobId, NodeId};
use postq_core::job::JobEvent;
use postq_core::store::JobStory;
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::error::Fault;
use crate::rows::{blob, fence, json, micros, some_uuid, some_word, time, uuid, word};
use crate::writer::Tx;

/// Removes some of the oldest histories of jobs that ended by then.
const FORGET: &str = "DELETE FROM job_history WHERE job_id IN (
         SELECT job_id FROM job_history WHERE finished_at <= ? ORDER BY finished_at LIMIT ?)";

impl Tx<'_> {
    /// All that is known of a job, whether it is still there or not.
    pub(crate) fn story(&self, id: JobId) -> Result<Option<JobStory>, Fault> {
        if let Some(story) = self.live_story(id)? {
            return Ok(Some(story));
        }
        let kept = "SELECT story FROM job_history WHERE job_id = ?";
        Ok(self.get(kept, [blob(id.as_uuid())], |row| json(row, "story"))?)
    }

    fn live_story(&self, id: JobId) -> Result<Option<JobStory>, Fault> {
        let Some(stored) = self.job(id)? else { return Ok(None) };
        let events = "SELECT * FROM job_events WHERE job_id = ? ORDER BY seq";
        let events = self.all(events, [blob(id.as_uuid())], event)?;
        let evidence = self.evidence(stored.job.root)?;
        Ok(Some(JobStory { job: stored.job, events, evidence }))
    }

    /// Keeps the story of a job that is about to be removed, if it ended after `past`. One that cannot
    /// be read is lost with the job: it must not hold up the others.
    pub(crate) fn keep_history(&self, id: [u8; 16], past: i64) -> Result<(), Fault> {
        let id = JobId::from_uuid(Uuid::from_bytes(id));
        let story = match self.live_story(id) {
            Ok(Some(story)) => story,
            Ok(None) => return Ok(()),
            Err(fault) if fault.is_unreadable() => {
                tracing::warn!(job_id = %id, error = %fault, "its history cannot be read and is not kept");
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        let Some(finished_at) = story.job.finished_at.map(micros).filter(|at| *at > past) else {
            return Ok(());
        };
        let keep = "INSERT OR REPLACE INTO job_history (job_id, tenant_id, finished_at, story)
                    VALUES (?, ?, ?, ?)";
        let tenant = blob(story.job.made.tenant_id.as_uuid());
        let text = serde_json::to_string(&story)?;
        self.run(keep, params![blob(id.as_uuid()), tenant, finished_at, text])?;
        Ok(())
    }

    /// Removes histories of jobs that ended by `past`; answers how many.
    pub(crate) fn forget_history(&self, past: i64, limit: i64) -> Result<i64, Fault> {
        let removed = self.run(FORGET, params![past, limit])?;
        Ok(i64::try_from(removed).unwrap_or(i64::MAX))
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<JobEvent> {
    Ok(JobEvent {
        job: JobId::from_uuid(uuid(row, "job_id")?),
        at: time(row, "at")?,
        from: some_word(row, "from_state")?,
        to: word(row, "to_state")?,
        fence: fence(row)?,
        node: some_uuid(row, "node")?.map(NodeId::from_uuid),
        reason: row.get("reason")?,
    })
}

#[cfg(test)]
mod tests {
    use super::FORGET;
    use crate::tests::{database, query_plan};

    #[test]
    fn forgetting_uses_its_index() {
        let plan = query_plan(&database(), FORGET);

        assert!(plan.contains("job_history_by_time"), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP"), "{plan}");
    }
}
