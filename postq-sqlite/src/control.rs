//! `JobControl`: what a person does to jobs.

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::id::JobId;
use postq_core::intent::IntentState;
use postq_core::job::{CorrelationId, Job, NewJob, Resolution};
use postq_core::machine::JobState;
use postq_core::store::{Controlled, JobControl, ReplayKey, Replayed};
use uuid::Uuid;

use crate::error::Fault;
use crate::evidence::OPEN;
use crate::rows::blob;
use crate::store::SqliteStore;
use crate::writer::Tx;

#[async_trait]
impl JobControl for SqliteStore {
    async fn cancel(&self, id: JobId, reason: &str) -> Result<Controlled, StoreError> {
        let reason = reason.to_owned();
        self.write("cancel a job", move |tx| cancel(tx, id, &reason)).await
    }

    async fn due_now(&self, id: JobId) -> Result<Controlled, StoreError> {
        self.write("make a job due now", move |tx| due_now(tx, id)).await
    }

    async fn replay(&self, id: JobId, key: ReplayKey) -> Result<Replayed, StoreError> {
        // Chosen here and not in the transaction, which may run twice.
        let replay = JobId::new();
        self.write("replay a dead letter", move |tx| self::replay(tx, id, replay, key)).await
    }

    async fn resolve(&self, id: JobId, resolution: Resolution) -> Result<Controlled, StoreError> {
        self.write("resolve a dead letter", move |tx| resolve(tx, id, resolution)).await
    }
}

fn cancel(tx: &Tx<'_>, id: JobId, reason: &str) -> Result<Controlled, Fault> {
    let Some(mut stored) = tx.job(id)? else { return Ok(Controlled::Gone) };
    let state = stored.job.state;
    if state.is_terminal() {
        return Ok(Controlled::Refused(state));
    }
    if state == JobState::Running || tx.has(OPEN, [blob(stored.job.root.as_uuid())])? {
        return Ok(Controlled::AlreadyPublishing);
    }
    tx.take_back(&mut stored, reason)?;
    Ok(Controlled::Applied)
}

fn due_now(tx: &Tx<'_>, id: JobId) -> Result<Controlled, Fault> {
    let Some(mut stored) = tx.job(id)? else { return Ok(Controlled::Gone) };
    let state = stored.job.state;
    if state == JobState::Running || state.is_terminal() {
        return Ok(Controlled::Refused(state));
    }
    let run_at = stored.job.run_at.min(tx.now);
    tx.reschedule(&mut stored, run_at)?;
    tx.save(&stored)?;
    Ok(Controlled::Applied)
}

fn replay(tx: &Tx<'_>, id: JobId, replay: JobId, key: ReplayKey) -> Result<Replayed, Fault> {
    let Some(mut stored) = tx.job(id)? else { return Ok(Replayed::Gone) };
    let earlier = "SELECT id FROM jobs WHERE replay_of = ?";
    let earlier = tx.get(earlier, [blob(id.as_uuid())], |row| row.get(0).map(Uuid::from_bytes))?;
    if let Some(earlier) = earlier {
        return Ok(Replayed::By(JobId::from_uuid(earlier)));
    }
    if stored.job.state != JobState::DeadLetter || stored.job.resolution.is_some() {
        return Ok(Replayed::Refused);
    }
    let root = match key {
        ReplayKey::Keep => stored.job.root,
        ReplayKey::New => replay,
    };
    // Its moment's key goes with it, so that it is taken for as long as somebody may publish for it,
    // and the publication has it for good.
    tx.free_key(id)?;
    let made = NewJob {
        id: replay,
        correlation_id: CorrelationId::new(replay.to_string()),
        ..stored.job.made.clone()
    };
    let job = Job { run_at: tx.now, root, replay_of: Some(id), ..Job::from_new(made) };
    if !tx.enqueue_made(&job, None, Some("replayed"))? {
        return Err(Fault::internal("the id of a new job is taken"));
    }
    if root == replay {
        tx.copy_receipts(stored.job.root, root)?;
    }
    stored.job.resolution = Some(Resolution::Replayed);
    tx.save(&stored)?;
    Ok(Replayed::By(replay))
}

fn resolve(tx: &Tx<'_>, id: JobId, resolution: Resolution) -> Result<Controlled, Fault> {
    let Some(mut stored) = tx.job(id)? else { return Ok(Controlled::Gone) };
    let job = &mut stored.job;
    if job.state == JobState::DeadLetter && job.resolution == Some(resolution) {
        return Ok(Controlled::Applied);
    }
    // Only `replay` makes the job that the word `replayed` promises.
    let is_decision = resolution != Resolution::Replayed;
    if job.state != JobState::DeadLetter || job.resolution.is_some() || !is_decision {
        return Ok(Controlled::Refused(job.state));
    }
    job.resolution = Some(resolution);
    if resolution == Resolution::MarkedPublished {
        tx.close_intents(job.root, None, IntentState::Published)?;
    }
    tx.save(&stored)?;
    Ok(Controlled::Applied)
}
