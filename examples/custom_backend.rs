//! A queue of one's own: a sorted list behind a mutex. It passes the published suite:
//! `cargo test --features conformance --example custom_backend`.
//!
//! `cargo run --example custom_backend`

use std::cmp::Reverse;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq::core::clock::{Clock, SystemClock};
use postq::core::error::QueueError;
use postq::core::id::JobId;
use postq::core::job::{Applied, Fence, Topic};
use postq::core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use tokio::sync::Notify;

/// A toy: every call looks at every job.
#[derive(Debug, Default)]
struct ListQueue {
    items: Mutex<(u64, Vec<Item>)>,
    pushed: Notify,
}

#[derive(Debug)]
struct Item {
    job: QueuedJob,
    /// The fence of the delivery, and when it ends.
    lease: Option<(Fence, DateTime<Utc>)>,
}

impl Item {
    fn is_leased(&self, now: DateTime<Utc>) -> bool {
        self.lease.is_some_and(|(_, until)| until > now)
    }
}

impl ListQueue {
    fn items(&self) -> MutexGuard<'_, (u64, Vec<Item>)> {
        self.items.lock().expect("nobody panics with the list in hand")
    }

    /// Gives out what is due and free, highest priority first, then earliest.
    fn take(&self, reserve: &Reserve) -> Vec<Delivery> {
        let now = SystemClock.now();
        let (fence, items) = &mut *self.items();
        items.sort_by_key(|item| (Reverse(item.job.priority), item.job.run_at, item.job.id));
        let skipped = |job: &QueuedJob| {
            let lane = job.lane.as_ref().map_or("", |lane| lane.as_str());
            reserve.skip.iter().any(|scope| lane.starts_with(scope.as_str()))
        };
        let free = items.iter_mut().filter(|item| {
            let job = &item.job;
            let due = job.topic == reserve.topic && job.run_at <= now && !skipped(job);
            due && !item.is_leased(now)
        });
        let lease = free.take(reserve.limit).map(|item| {
            *fence += 1;
            item.lease = Some((Fence(*fence), now + reserve.lease));
            let job = item.job.clone();
            let lease = Lease { job: job.id, topic: job.topic.clone(), fence: Fence(*fence) };
            Delivery { job, lease }
        });
        lease.collect()
    }

    /// Does something to a delivery if its lease is current: drops it, or changes it.
    fn with(&self, lease: &Lease, change: impl FnOnce(&mut Item) -> bool) -> Applied {
        let (_, items) = &mut *self.items();
        let Some(at) = items.iter().position(|item| item.job.id == lease.job) else {
            return Applied::Gone;
        };
        if items[at].lease.is_none_or(|(fence, _)| fence != lease.fence) {
            return Applied::Stale;
        }
        if !change(&mut items[at]) {
            items.remove(at);
        }
        Applied::Applied
    }
}

#[async_trait]
impl Queue for ListQueue {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        for job in jobs {
            let (_, items) = &mut *self.items();
            if !items.iter().any(|item| item.job.id == job.id) {
                items.push(Item { job: job.clone(), lease: None });
            }
        }
        self.pushed.notify_waiters();
        Ok(())
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        let until = SystemClock.now() + reserve.wait;
        loop {
            let taken = self.take(reserve);
            let left = (until - SystemClock.now()).to_std().unwrap_or_default();
            if !taken.is_empty() || left.is_zero() {
                return Ok(taken);
            }
            // A push wakes; what becomes due by itself is found within 20 ms.
            let nap = left.min(Duration::from_millis(20));
            let _ = tokio::time::timeout(nap, self.pushed.notified()).await;
        }
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        Ok(leases.iter().map(|lease| self.with(lease, |_| false)).collect())
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        let applied = self.with(lease, |item| {
            (item.job.run_at, item.lease) = (run_at, None);
            true
        });
        self.pushed.notify_waiters();
        Ok(applied)
    }

    async fn extend(&self, leases: &[Lease], by: Duration) -> Result<Vec<Applied>, QueueError> {
        let until = SystemClock.now() + by;
        let extend = |lease: &Lease| {
            self.with(lease, |item| {
                item.lease = Some((lease.fence, until));
                true
            })
        };
        Ok(leases.iter().map(extend).collect())
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        self.items().1.retain(|item| item.job.topic != *topic || !jobs.contains(&item.job.id));
        Ok(())
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        let (now, mut depth) = (SystemClock.now(), Depth::default());
        for item in self.items().1.iter().filter(|item| item.job.topic == *topic) {
            match item.is_leased(now) {
                true => depth.leased += 1,
                false if item.job.run_at <= now => depth.ready += 1,
                false => depth.delayed += 1,
            }
        }
        Ok(depth)
    }
}

#[tokio::main]
async fn main() -> Result<(), QueueError> {
    let (queue, topic) = (ListQueue::default(), Topic::publish());
    let job = |priority| QueuedJob {
        id: JobId::new(),
        topic: topic.clone(),
        lane: None,
        priority,
        run_at: SystemClock.now(),
    };
    queue.push(&[job(0), job(9)]).await?;

    let taken = queue.reserve(&Reserve::up_to(1, topic.clone())).await?;
    assert_eq!(taken[0].job.priority, 9);
    assert_eq!(queue.ack(&[taken[0].lease.clone()]).await?, [Applied::Applied]);
    assert_eq!(queue.depth(&topic).await?, Depth { ready: 1, ..Depth::default() });
    Ok(())
}

#[cfg(all(test, feature = "conformance"))]
mod conformance {
    use std::sync::Arc;

    use super::*;

    async fn fresh() -> Arc<dyn Queue> {
        Arc::new(ListQueue::default())
    }

    postq::core::queue_conformance!(fresh);
}
