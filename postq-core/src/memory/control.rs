//! What a person does to jobs.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::id::JobId;
use crate::intent::IntentState;
use crate::job::{CorrelationId, Job, NewJob, Resolution};
use crate::machine::JobState;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::store::{Controlled, JobControl, ReplayKey, Replayed};

impl State {
    fn has_open_intent(&self, job: &Job) -> bool {
        self.evidence.get(&job.root).is_some_and(|known| known.open().is_some())
    }

    fn replay_job(&mut self, old: &Job, key: ReplayKey, now: DateTime<Utc>) -> JobId {
        let id = JobId::from_uuid(self.new_id(now));
        let root = match key {
            ReplayKey::Keep => old.root,
            ReplayKey::New => id,
        };
        // Its moment's key goes with it, so that it is taken for as long as somebody may publish for
        // it, and the publication has it for good.
        self.free_key(old.id());
        let made =
            NewJob { id, correlation_id: CorrelationId::new(id.to_string()), ..old.made.clone() };
        let job = Job { root, replay_of: Some(old.id()), run_at: now, ..Job::from_new(made) };
        self.add_job(job, now, Some("a replay"));
        self.transition(id, JobState::Enqueued, now, None, None);
        if key == ReplayKey::New
            && let Some(known) = self.evidence.get(&old.root).cloned()
        {
            // What is out stays out: a thread goes on after its last part. What is unknown is
            // forgotten: that is what 'send again' means.
            for part in known.0.into_iter().filter(|part| part.receipt.is_some()) {
                *self.part(id, part.part) = part.clone();
            }
        }
        id
    }
}

#[async_trait]
impl JobControl for MemoryBackend {
    async fn cancel(&self, id: JobId, reason: &str) -> Result<Controlled, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let Some(row) = state.jobs.get(&id) else { return Ok(Controlled::Gone) };
        if row.job.state.is_terminal() {
            return Ok(Controlled::Refused(row.job.state));
        }
        if row.job.state == JobState::Running || state.has_open_intent(&row.job) {
            return Ok(Controlled::AlreadyPublishing);
        }
        state.give_back(id, now, reason);
        Ok(Controlled::Applied)
    }

    async fn due_now(&self, id: JobId) -> Result<Controlled, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let Some(row) = state.jobs.get(&id) else { return Ok(Controlled::Gone) };
        match row.job.state {
            JobState::Planned | JobState::Enqueued | JobState::Failed => {
                let run_at = row.job.run_at.min(now);
                state.set_run_at(id, run_at);
                drop(state);
                self.changed();
                Ok(Controlled::Applied)
            }
            other => Ok(Controlled::Refused(other)),
        }
    }

    async fn replay(&self, id: JobId, key: ReplayKey) -> Result<Replayed, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let Some(row) = state.jobs.get(&id) else { return Ok(Replayed::Gone) };
        let old = row.job.clone();
        if let Some(by) = row.replayed_by {
            return Ok(Replayed::By(by));
        }
        if old.state != JobState::DeadLetter || old.resolution.is_some() {
            return Ok(Replayed::Refused);
        }
        let by = state.replay_job(&old, key, now);
        let row = state.jobs.get_mut(&id).expect("found above");
        row.job.resolution = Some(Resolution::Replayed);
        row.replayed_by = Some(by);
        drop(state);
        self.changed();
        Ok(Replayed::By(by))
    }

    async fn resolve(&self, id: JobId, resolution: Resolution) -> Result<Controlled, StoreError> {
        let mut state = self.lock();
        let Some(row) = state.jobs.get_mut(&id) else { return Ok(Controlled::Gone) };
        match (row.job.state, row.job.resolution) {
            (JobState::DeadLetter, Some(known)) if known == resolution => {
                return Ok(Controlled::Applied);
            }
            (JobState::DeadLetter, None) => {}
            (state, _) => return Ok(Controlled::Refused(state)),
        }
        row.job.resolution = Some(resolution);
        let root = row.job.root;
        if resolution == Resolution::MarkedPublished
            && let Some(known) = state.evidence.get_mut(&root)
        {
            let open = known.0.iter_mut().filter(|part| part.state == IntentState::Open);
            open.for_each(|part| part.state = IntentState::Published);
        }
        Ok(Controlled::Applied)
    }
}
