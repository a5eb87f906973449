//! Stores that tell their queue of what is inserted, so that the suites meet the queue too.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::backend::Backend;
use crate::error::StoreError;
use crate::id::{JobId, TenantId};
use crate::job::{Job, NewJob};
use crate::machine::JobState;
use crate::queue::{Queue, QueuedJob};
use crate::store::{JobFilter, JobStore, JobStory, Page};

/// The backend with its queue told of every job that is inserted, as an engine's dispatcher does. One
/// without a queue beside its store stays as it is.
pub fn pushing(backend: Backend) -> Backend {
    let Some(queue) = backend.queue.clone() else { return backend };
    let jobs = Arc::new(Pushing { jobs: backend.jobs, queue });
    Backend { jobs, ..backend }
}

#[derive(Debug)]
struct Pushing {
    jobs: Arc<dyn JobStore>,
    queue: Arc<dyn Queue>,
}

#[async_trait]
impl JobStore for Pushing {
    async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        self.jobs.now().await
    }

    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<JobId>, StoreError> {
        let made = self.jobs.insert(jobs).await?;
        let new = jobs.iter().filter(|job| made.contains(&job.id));
        let queued: Vec<_> = new.map(|job| QueuedJob::from(&Job::from_new(job.clone()))).collect();
        // What a queue does not take, the store gives by itself.
        let _ = self.queue.push(&queued).await;
        Ok(made)
    }

    async fn list(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        page: Page,
    ) -> Result<Vec<Job>, StoreError> {
        self.jobs.list(tenant, filter, page).await
    }

    async fn planned_in(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        self.jobs.planned_in(tenant, span, limit).await
    }

    async fn count(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError> {
        self.jobs.count(tenant, filter).await
    }

    async fn story(&self, id: JobId) -> Result<Option<JobStory>, StoreError> {
        self.jobs.story(id).await
    }
}
