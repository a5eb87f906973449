//! A queue that is empty while it is away.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::error::{ErrorKind, QueueError};
use crate::fallback::breaker::{Breaker, BreakerState};
use crate::id::JobId;
use crate::job::{Applied, Topic};
use crate::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};

/// A [`Queue`] over one that may be away: then it is an empty queue that forgets what is pushed, as a
/// queue may. No call but `depth` fails, and none waits for longer than its breaker allows.
#[derive(Clone, Debug)]
pub struct FallbackQueue {
    fast: Arc<dyn Queue>,
    breaker: Breaker,
}

impl FallbackQueue {
    /// Over this queue.
    pub fn new(fast: Arc<dyn Queue>, breaker: Breaker) -> Self {
        Self { fast, breaker }
    }

    /// Whether the queue is used.
    pub fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, QueueError>>) -> Option<T> {
        self.breaker.call(Duration::ZERO, call).await
    }
}

#[async_trait]
impl Queue for FallbackQueue {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        // What is not pushed, the sweeper pushes.
        self.call(self.fast.push(jobs)).await;
        Ok(())
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        let end = Instant::now() + reserve.wait;
        loop {
            // A try only asks whether it is back, and does not wait.
            let is_try = self.breaker.retry_at().is_some();
            let left = end.saturating_duration_since(Instant::now());
            let wait = if is_try { Duration::ZERO } else { left };
            let reserve = reserve.clone().waiting(wait);
            let got = self.breaker.call(wait, self.fast.reserve(&reserve)).await;
            match got {
                Some(got) if !got.is_empty() || !is_try => return Ok(got),
                _ if Instant::now() >= end => return Ok(Vec::new()),
                Some(_) => {}
                // One that failed while it was still in use is asked again soon; one that is out of
                // use, when it may be back.
                None => {
                    let soon = Instant::now() + Duration::from_millis(100);
                    let again = self.breaker.retry_at().unwrap_or(soon).max(soon);
                    tokio::time::sleep_until(again.min(end)).await;
                }
            }
        }
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        let answers = self.call(self.fast.ack(leases)).await;
        Ok(answers.unwrap_or_else(|| vec![Applied::Gone; leases.len()]))
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        Ok(self.call(self.fast.release(lease, run_at)).await.unwrap_or(Applied::Gone))
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        let answers = self.call(self.fast.extend(leases, lease)).await;
        Ok(answers.unwrap_or_else(|| vec![Applied::Gone; leases.len()]))
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        self.call(self.fast.remove(topic, jobs)).await;
        Ok(())
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        self.call(self.fast.depth(topic)).await.ok_or_else(|| {
            let state = self.breaker.state();
            QueueError::new(ErrorKind::Unavailable, format!("count a topic: the queue is {state}"))
        })
    }
}
