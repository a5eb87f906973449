//! Jobs: made, listed, told.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::id::{JobId, TenantId};
use crate::job::{Job, JobKind, NewJob, Resolution};
use crate::machine::JobState;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::store::{JobFilter, JobStore, JobStory, Page};

fn shows(filter: &JobFilter, job: &Job) -> bool {
    let made = &job.made;
    (filter.states.is_empty() || filter.states.contains(&job.state))
        && filter.topic.as_ref().is_none_or(|topic| made.topic == *topic)
        && filter.lane.as_ref().is_none_or(|lane| made.lane.as_ref() == Some(lane))
        && filter.account.is_none_or(|account| made.account_id == Some(account))
        && filter.post.is_none_or(|post| made.post_id == Some(post))
        && filter
            .schedules
            .as_ref()
            .is_none_or(|all| made.schedule_id.is_some_and(|schedule| all.contains(&schedule)))
        && filter.ended_since.is_none_or(|since| job.finished_at >= Some(since))
        && (!filter.unresolved || (job.state == JobState::DeadLetter && job.resolution.is_none()))
}

/// Whether an edit took it back, or a replay is in its place.
fn is_superseded(job: &Job) -> bool {
    (job.state == JobState::Cancelled && job.made.dedupe_key.is_none())
        || job.resolution == Some(Resolution::Replayed)
}

impl State {
    /// All that is known of a job that is there.
    pub(super) fn story(&self, id: JobId) -> Option<JobStory> {
        let row = self.jobs.get(&id)?;
        Some(JobStory {
            job: row.job.clone(),
            events: row.events.clone(),
            evidence: self.evidence.get(&row.job.root).cloned().unwrap_or_default(),
        })
    }

    /// Makes jobs, claimable at once; answers which were made.
    pub(super) fn make_jobs(&mut self, jobs: &[NewJob], now: DateTime<Utc>) -> Vec<JobId> {
        let mut made = Vec::new();
        for job in jobs {
            if self.add_job(Job::from_new(job.clone()), now, None) {
                self.transition(job.id, JobState::Enqueued, now, None, None);
                made.push(job.id);
            }
        }
        made
    }
}

#[async_trait]
impl JobStore for MemoryBackend {
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.time())
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<JobId>, StoreError> {
        let made = self.lock().make_jobs(jobs, self.time());
        self.changed();
        Ok(made)
    }

    async fn list(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        page: Page,
    ) -> Result<Vec<Job>, StoreError> {
        let state = self.lock();
        let jobs = state.jobs.values().map(|row| &row.job);
        let wanted = jobs.filter(|job| job.made.tenant_id == tenant && shows(filter, job));
        Ok(page.of(wanted, |job| job.id().as_uuid()).into_iter().cloned().collect())
    }

    async fn planned_in(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let state = self.lock();
        let mut found: Vec<&Job> = state
            .jobs
            .values()
            .map(|row| &row.job)
            .filter(|job| job.made.tenant_id == tenant && span.contains(&job.made.planned_at))
            .filter(|job| job.made.kind.as_str() == JobKind::PUBLISH && !is_superseded(job))
            .collect();
        found.sort_by_key(|job| (job.made.planned_at, job.id()));
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn count(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        let state = self.lock();
        let mut counts = BTreeMap::new();
        for job in state.jobs.values().map(|row| &row.job) {
            if job.made.tenant_id == tenant && shows(filter, job) {
                *counts.entry(job.state).or_default() += 1;
            }
        }
        Ok(counts.into_iter().collect())
    }

    async fn story(&self, id: JobId) -> Result<Option<JobStory>, StoreError> {
        let state = self.lock();
        Ok(state.story(id).or_else(|| state.history.get(&id).cloned()))
    }
}
