//! Several nodes that share a queue: what one of them pushes, the others need not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::composed::Composed;
use postq_core::error::{LockError, QueueError};
use postq_core::id::JobId;
use postq_core::job::{Applied, DedupeKey, JobKind, NewJob, Topic};
use postq_core::lock::{DedupeLock, LockToken};
use postq_core::memory::MemoryBackend;
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use postq_engine::Engine;
use tokio_util::sync::CancellationToken;

/// A queue that forgets everything, as a queue may, and counts the calls that push.
#[derive(Debug, Default)]
struct Forgetful(AtomicUsize);

#[async_trait]
impl Queue for Forgetful {
    async fn push(&self, _: &[QueuedJob]) -> Result<(), QueueError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn reserve(&self, _: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        Ok(Vec::new())
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        Ok(vec![Applied::Gone; leases.len()])
    }

    async fn release(&self, _: &Lease, _: DateTime<Utc>) -> Result<Applied, QueueError> {
        Ok(Applied::Gone)
    }

    async fn extend(&self, leases: &[Lease], _: Duration) -> Result<Vec<Applied>, QueueError> {
        Ok(vec![Applied::Gone; leases.len()])
    }

    async fn remove(&self, _: &Topic, _: &[JobId]) -> Result<(), QueueError> {
        Ok(())
    }

    async fn depth(&self, _: &Topic) -> Result<Depth, QueueError> {
        Ok(Depth::default())
    }
}

/// A lock that never answers.
#[derive(Debug)]
struct Frozen;

#[async_trait]
impl DedupeLock for Frozen {
    async fn acquire(
        &self,
        _: &[DedupeKey],
        _: &LockToken,
        _: Duration,
    ) -> Result<Vec<bool>, LockError> {
        std::future::pending().await
    }

    async fn release(&self, _: &[DedupeKey], _: &LockToken) -> Result<(), LockError> {
        std::future::pending().await
    }
}

/// Three nodes sweep for 50 s while one job waits; answers how often they pushed it.
async fn pushes(change: impl FnOnce(&mut Backend)) -> usize {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(DateTime::UNIX_EPOCH));
    let mut stores = MemoryBackend::new(Arc::clone(&clock)).backend();
    change(&mut stores);
    let at = clock.now() + TimeDelta::seconds(60);
    let job = NewJob::new(JobKind::publish(), Topic::publish(), at);
    stores.jobs.insert(&[job]).await.unwrap();
    let queue = Arc::new(Forgetful::default());
    let backend = Composed::backend(queue.clone(), stores);
    // The job's first push is not a sweep's: it is told of when it is made claimable.
    let nodes = (0..3).map(|_| {
        let engine = Engine::builder(backend.clone()).build().unwrap();
        async move { engine.run(CancellationToken::new()).await }
    });
    let nodes: Vec<_> = nodes.map(tokio::spawn).collect();
    tokio::time::sleep(Duration::from_secs(50)).await;
    nodes.iter().for_each(tokio::task::JoinHandle::abort);
    queue.0.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn one_node_pushes_in_each_round() {
    let pushes = pushes(|_| {}).await;

    // Ten rounds of 5 s, and the dispatch.
    assert!((8..=13).contains(&pushes), "{pushes}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_does_not_answer_keeps_nobody_from_pushing() {
    let pushes = pushes(|stores| stores.lock = Arc::new(Frozen)).await;

    assert!(pushes >= 30, "{pushes}: three nodes, each in every round of at most 5 s");
}
