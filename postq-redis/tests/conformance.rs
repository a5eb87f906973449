//! The published suites, on a real server, in a fresh place each.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::backend::Backend;
use postq_core::cache::Cache;
use postq_core::clock::SystemClock;
use postq_core::composed::Composed;
use postq_core::error::StoreError;
use postq_core::id::{JobId, TenantId};
use postq_core::job::{Job, NewJob};
use postq_core::limiter::RateLimiter;
use postq_core::lock::DedupeLock;
use postq_core::machine::JobState;
use postq_core::memory::MemoryBackend;
use postq_core::queue::{Queue, QueuedJob};
use postq_core::store::{JobFilter, JobStore, JobStory, Page};
use support::{Keeper, redis};

async fn queue() -> (Arc<dyn Queue>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.queue()), keeper)
}

async fn lock() -> (Arc<dyn DedupeLock>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.lock()), keeper)
}

async fn limiter() -> (Arc<dyn RateLimiter>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.limiter()), keeper)
}

async fn cache() -> (Arc<dyn Cache>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.cache()), keeper)
}

postq_core::queue_conformance!(queue);
postq_core::lock_conformance!(lock);
postq_core::limiter_conformance!(limiter);
postq_core::cache_conformance!(cache);

/// The queue beside a store.
mod beside_a_store {
    use super::*;

    /// Pushes what is inserted, as an engine's dispatcher does.
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
            let queued: Vec<_> =
                new.map(|job| QueuedJob::from(&Job::from_new(job.clone()))).collect();
            self.queue.push(&queued).await.expect("the server is there");
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

    async fn fresh() -> (Backend, Keeper) {
        let (queue, keeper) = queue().await;
        let stores = MemoryBackend::new(Arc::new(SystemClock)).backend();
        let jobs = Arc::new(Pushing { jobs: stores.jobs.clone(), queue: queue.clone() });
        (Composed::backend(queue, Backend { jobs, ..stores }), keeper)
    }

    postq_core::feed_conformance!(fresh);
}
