//! A feed over a queue and a store passes the feed's suite, and does without its queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::backend::Backend;
use postq_core::clock::SystemClock;
use postq_core::composed::Composed;
use postq_core::conformance::fixtures::World;
use postq_core::conformance::meddled::{Meddle, Meddled};
use postq_core::conformance::pushing::pushing;
use postq_core::error::{ErrorKind, QueueError, StoreError};
use postq_core::feed::{Claim, Claimed, JobFeed, Only, Settle};
use postq_core::id::{JobId, NodeId};
use postq_core::job::{Applied, Topic};
use postq_core::memory::{MemoryBackend, MemoryQueue};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};

fn over(queue: Arc<dyn Queue>) -> Backend {
    let stores = MemoryBackend::new(Arc::new(SystemClock)).backend();
    pushing(Composed::backend(queue, stores))
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

    async fn ack(&self, _: &[Lease]) -> Result<Vec<Applied>, QueueError> {
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

/// A store that answers for what a queue proposed, and for nothing else.
#[derive(Debug)]
struct OnlyForProposed(Arc<dyn JobFeed>);

#[async_trait]
impl Meddle for OnlyForProposed {
    fn feed(&self) -> &dyn JobFeed {
        self.0.as_ref()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        match claim.only {
            Only::Jobs(_) => self.0.claim(claim).await,
            _ => Err(StoreError::new(ErrorKind::Unavailable, "claim jobs")),
        }
    }
}

#[tokio::test]
async fn what_was_given_is_not_lost_with_the_answer_about_the_rest() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(Arc::new(SystemClock)));
    let world = World::new(over(queue.clone())).await;
    let job = world.due_job().await;
    let store = Meddled(OnlyForProposed(world.backend.feed.clone()));
    let feed = Composed::new(queue.clone(), Arc::new(store));
    let claim = Claim::up_to(10, Topic::publish(), NodeId::new());

    let claimed = feed.claim(&claim).await.expect("the job, whatever the rest is");

    let given: Vec<JobId> = claimed.jobs.iter().map(|claimed| claimed.job.id()).collect();
    assert_eq!(given, [job.id]);
    assert_eq!(claimed.next_at, Some(claimed.now), "worth another claim at once");
    assert_eq!(queue.depth(&Topic::publish()).await.unwrap(), Depth::default(), "it was acked");
    let error = feed.claim(&claim).await.expect_err("nothing is proposed");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
