//! A feed over a queue and a store passes the feed's suite, and does without its queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::backend::Backend;
use postq_core::clock::SystemClock;
use postq_core::composed::Composed;
use postq_core::conformance::fixtures::World;
use postq_core::error::{ErrorKind, QueueError, StoreError};
use postq_core::feed::Settle;
use postq_core::id::{JobId, TenantId};
use postq_core::job::{Applied, Job, NewJob, Topic};
use postq_core::machine::JobState;
use postq_core::memory::{MemoryBackend, MemoryQueue};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use postq_core::store::{JobFilter, JobStore, JobStory, Page};

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
        let queued: Vec<_> = new.map(|job| QueuedJob::from(&Job::from_new(job.clone()))).collect();
        // A queue that cannot be reached is the sweeper's affair.
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

fn over(queue: Arc<dyn Queue>) -> Backend {
    let stores = MemoryBackend::new(Arc::new(SystemClock)).backend();
    let jobs = Arc::new(Pushing { jobs: stores.jobs.clone(), queue: queue.clone() });
    Composed::backend(queue, Backend { jobs, ..stores })
}

async fn fresh() -> Backend {
    over(Arc::new(MemoryQueue::new(Arc::new(SystemClock))))
}

postq_core::feed_conformance!(fresh);

/// A queue that cannot be reached.
#[derive(Debug)]
struct Down;

fn down<T>() -> Result<T, QueueError> {
    Err(QueueError::new(ErrorKind::Unavailable, "reach the queue"))
}

#[async_trait]
impl Queue for Down {
    async fn push(&self, _: &[QueuedJob]) -> Result<(), QueueError> {
        down()
    }

    async fn reserve(&self, _: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        down()
    }

    async fn ack(&self, _: &Lease) -> Result<Applied, QueueError> {
        down()
    }

    async fn release(&self, _: &Lease, _: DateTime<Utc>) -> Result<Applied, QueueError> {
        down()
    }

    async fn extend(&self, _: &[Lease], _: Duration) -> Result<Vec<Applied>, QueueError> {
        down()
    }

    async fn remove(&self, _: &Topic, _: &[JobId]) -> Result<(), QueueError> {
        down()
    }

    async fn depth(&self, _: &Topic) -> Result<Depth, QueueError> {
        down()
    }
}

/// With the queue down all the time, every rule still holds: the store is the truth.
mod without_its_queue {
    use super::{Arc, Backend, Down, over};

    async fn fresh() -> Backend {
        over(Arc::new(Down))
    }

    postq_core::feed_conformance!(fresh);
}

#[tokio::test]
async fn what_is_claimed_leaves_the_queue() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(Arc::new(SystemClock)));
    let world = World::new(over(queue.clone())).await;
    world.due_job().await;
    world.due_job().await;
    let held = async || {
        let depth = queue.depth(&Topic::publish()).await.unwrap();
        depth.ready + depth.delayed + depth.leased
    };
    assert_eq!(held().await, 2, "both were pushed");

    let job = world.take().await;
    assert_eq!(held().await, 1, "the store gave it, the queue forgot it");
    world.assert_nothing_to_claim().await;
    assert_eq!(held().await, 0, "proposed while its lane was full: the store will give it");

    world.apply(&job, Settle::Succeeded(None)).await;
    world.take().await;
}

#[tokio::test]
async fn a_job_that_ended_elsewhere_does_not_go_round_in_the_queue() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(Arc::new(SystemClock)));
    let world = World::new(over(queue.clone())).await;
    let job = world.due_job().await;
    let cancelled = world.backend.control.cancel(job.id, "unwanted").await.unwrap();
    assert_eq!(cancelled, postq_core::store::Controlled::Applied);

    world.assert_nothing_to_claim().await;

    assert_eq!(queue.depth(&Topic::publish()).await.unwrap(), Depth::default());
}
