//! `JobControl`: what a person does to jobs.

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::id::JobId;
use postq_core::intent::IntentState;
use postq_core::job::{CorrelationId, Job, NewJob, Resolution};
use postq_core::machine::JobState;
use postq_core::store::{Controlled, JobControl, ReplayKey, Replayed};

use crate::args::args;
use crate::error::Fault;
use crate::evidence;
use crate::make::{Begins, Birth};
use crate::rows::word_of;
use crate::store::PgStore;
use crate::takeback::take_back;
use crate::transition::{Phase, Stored};
use crate::tx::{Tx, write};

#[async_trait]
impl JobControl for PgStore {
    async fn cancel(&self, id: JobId, reason: &str) -> Result<Controlled, StoreError> {
        write!(self, "cancel a job", |tx| cancel(&tx, id, reason))
    }

    async fn due_now(&self, id: JobId) -> Result<Controlled, StoreError> {
        write!(self, "make a job due now", |tx| due_now(&tx, id))
    }

    async fn replay(&self, id: JobId, key: ReplayKey) -> Result<Replayed, StoreError> {
        // Chosen here and not in the transaction, which may run twice.
        let replay = JobId::new();
        write!(self, "replay a dead letter", |tx| replay_as(&tx, id, replay, key))
    }

    async fn resolve(&self, id: JobId, resolution: Resolution) -> Result<Controlled, StoreError> {
        write!(self, "resolve a dead letter", |tx| resolve(&tx, id, resolution))
    }
}

impl Tx<'_> {
    async fn lock_job(&self, id: JobId) -> Result<Option<Stored>, Fault> {
        Ok(self.lock_jobs(&[id]).await?.pop())
    }

    /// Resolves a dead letter.
    async fn note_resolution(
        &self,
        id: JobId,
        resolution: Resolution,
        replayed_by: Option<JobId>,
    ) -> Result<(), Fault> {
        let note = "UPDATE {s}.ended SET resolution = $2, replayed_by = $3 WHERE job_id = $1";
        let by = replayed_by.map(JobId::as_uuid);
        self.sql.run(note, args![id.as_uuid(), word_of(resolution)?, by]).await?;
        Ok(())
    }
}

async fn cancel(tx: &Tx<'_>, id: JobId, reason: &str) -> Result<Controlled, Fault> {
    let Some(stored) = tx.lock_job(id).await? else { return Ok(Controlled::Gone) };
    let state = stored.job.state;
    if state.is_terminal() {
        return Ok(Controlled::Refused(state));
    }
    let open = evidence::of_root(tx.sql, stored.job.root).await?.open().is_some();
    if state == JobState::Running || open {
        return Ok(Controlled::AlreadyPublishing);
    }
    let now = tx.sql.now().await?;
    let mut jobs = [stored];
    take_back(&mut jobs[0], now, reason)?;
    tx.move_all(&mut jobs, now).await?;
    Ok(Controlled::Applied)
}

async fn due_now(tx: &Tx<'_>, id: JobId) -> Result<Controlled, Fault> {
    let Some(mut stored) = tx.lock_job(id).await? else { return Ok(Controlled::Gone) };
    let state = stored.job.state;
    if state == JobState::Running || state.is_terminal() {
        return Ok(Controlled::Refused(state));
    }
    let now = tx.sql.now().await?;
    if stored.job.run_at > now && stored.phase != Phase::Ended {
        stored.job.run_at = now;
        tx.move_all(&mut [stored], now).await?;
    }
    Ok(Controlled::Applied)
}

async fn replay_as(
    tx: &Tx<'_>,
    id: JobId,
    replay: JobId,
    key: ReplayKey,
) -> Result<Replayed, Fault> {
    let Some(stored) = tx.lock_job(id).await? else { return Ok(Replayed::Gone) };
    if let Some(by) = stored.replayed_by {
        return Ok(Replayed::By(by));
    }
    let old = &stored.job;
    if old.state != JobState::DeadLetter || old.resolution.is_some() {
        return Ok(Replayed::Refused);
    }
    let now = tx.sql.now().await?;
    let root = match key {
        ReplayKey::Keep => old.root,
        ReplayKey::New => replay,
    };
    // Its moment's key goes with it, so that it is taken for as long as somebody may publish for it,
    // and the publication has it for good.
    tx.free_keys(&[id]).await?;
    let made = NewJob {
        id: replay,
        correlation_id: CorrelationId::new(replay.to_string()),
        ..old.made.clone()
    };
    let job = Job { run_at: now, root, replay_of: Some(id), ..Job::from_new(made) };
    let reason = Some("replayed".to_owned());
    let birth = Birth { job, begins: Begins::Enqueued, node: None, reason };
    if tx.make(&[birth], now).await?.is_empty() {
        return Err(Fault::conflict(
            "its moment was published meanwhile; nothing is left to replay",
        ));
    }
    if root == replay {
        copy_receipts(tx, old.root, root).await?;
    }
    tx.note_resolution(id, Resolution::Replayed, Some(replay)).await?;
    Ok(Replayed::By(replay))
}

/// What is out stays out: a thread goes on after its last part. What is unknown is forgotten: that is
/// what 'send again' means.
async fn copy_receipts(tx: &Tx<'_>, from: JobId, to: JobId) -> Result<(), Fault> {
    let copy = "INSERT INTO {s}.evidence (root, part, account_id, job_id, fence, key, text, options,
             media, reply_to, container, revision, made_at, state, looks, absent_looks, duplicate, remote_id,
             url, published_at, dry_run)
         SELECT $2, part, account_id, job_id, fence, key, text, options, media, reply_to, container,
             revision, made_at, state, looks, absent_looks, duplicate, remote_id, url, published_at, dry_run
         FROM {s}.evidence WHERE root = $1 AND remote_id IS NOT NULL";
    tx.sql.run(copy, args![from.as_uuid(), to.as_uuid()]).await?;
    Ok(())
}

async fn resolve(tx: &Tx<'_>, id: JobId, resolution: Resolution) -> Result<Controlled, Fault> {
    let Some(stored) = tx.lock_job(id).await? else { return Ok(Controlled::Gone) };
    let job = &stored.job;
    if job.state == JobState::DeadLetter && job.resolution == Some(resolution) {
        return Ok(Controlled::Applied);
    }
    // Only `replay` makes the job that the word `replayed` promises.
    let is_decision = resolution != Resolution::Replayed;
    if job.state != JobState::DeadLetter || job.resolution.is_some() || !is_decision {
        return Ok(Controlled::Refused(job.state));
    }
    tx.note_resolution(id, resolution, None).await?;
    if resolution == Resolution::MarkedPublished {
        let close = "UPDATE {s}.evidence SET state = $2 WHERE root = $1 AND state = 'open'";
        let word = word_of(IntentState::Published)?;
        tx.sql.run(close, args![job.root.as_uuid(), word]).await?;
    }
    Ok(Controlled::Applied)
}
