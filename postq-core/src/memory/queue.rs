//! A queue of its own, for compositions: what a service beside the store does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::error::QueueError;
use crate::id::JobId;
use crate::job::{Applied, Fence, Topic};
use crate::memory::changes::Changes;
use crate::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};

/// A queue in memory. Losing it is allowed, as it is with every queue.
#[derive(Debug)]
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    /// A `std` mutex: it is never held across an await.
    held: Mutex<Held>,
    /// The number of the last push or release: what a waiting `reserve` waits on.
    changes: Changes,
}

#[derive(Debug, Default)]
struct Held {
    topics: BTreeMap<Topic, Jobs>,
    /// Rises with every delivery, over all jobs: a job that was forgotten and pushed again does not
    /// begin anew.
    fence: u64,
}

/// The jobs of a topic.
#[derive(Debug, Default)]
struct Jobs {
    all: BTreeMap<JobId, Item>,
    /// Due and free, in the order in which they go.
    ready: BTreeSet<(Reverse<i16>, DateTime<Utc>, JobId)>,
    /// Not due yet, or under a lease that has not ended: when they become ready.
    later: BTreeSet<(DateTime<Utc>, JobId)>,
}

#[derive(Debug)]
struct Item {
    job: QueuedJob,
    lease: Option<(Fence, DateTime<Utc>)>,
}

impl Item {
    /// When it can be given out.
    fn free_at(&self) -> DateTime<Utc> {
        self.lease.map_or(self.job.run_at, |(_, until)| until)
    }
}

impl Jobs {
    fn add(&mut self, item: Item) {
        self.later.insert((item.free_at(), item.job.id));
        self.all.insert(item.job.id, item);
    }

    fn take(&mut self, id: JobId) -> Option<Item> {
        let item = self.all.remove(&id)?;
        self.later.remove(&(item.free_at(), id));
        self.ready.remove(&rank(&item.job));
        Some(item)
    }

    /// Makes ready what is due, and what a holder has kept past the end of its lease.
    fn advance(&mut self, now: DateTime<Utc>) {
        while let Some((_, id)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.pop_first();
            if let Some(item) = self.all.get_mut(&id) {
                item.lease = None;
                self.ready.insert(rank(&item.job));
            }
        }
    }

    /// The delivery that a lease is about, unless somebody newer holds it.
    fn holds(&self, lease: &Lease) -> Applied {
        match self.all.get(&lease.job) {
            None => Applied::Gone,
            Some(Item { lease: Some((fence, _)), .. }) if *fence == lease.fence => Applied::Applied,
            Some(_) => Applied::Stale,
        }
    }
}

fn rank(job: &QueuedJob) -> (Reverse<i16>, DateTime<Utc>, JobId) {
    (Reverse(job.priority), job.run_at, job.id)
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, held: Mutex::default(), changes: Changes::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.bump();
    }

    /// Gives out what is due, and tells when the next one will be.
    fn try_reserve(&self, reserve: &Reserve) -> (Vec<Delivery>, Option<DateTime<Utc>>) {
        let now = self.clock.now();
        let mut held = self.held();
        let Held { topics, fence } = &mut *held;
        let jobs = topics.entry(reserve.topic.clone()).or_default();
        jobs.advance(now);
        let is_skipped = |job: &QueuedJob| {
            job.lane.as_ref().is_some_and(|lane| {
                reserve.skip.iter().any(|scope| lane.as_str().starts_with(scope.as_str()))
            })
        };
        let due = jobs.ready.iter().map(|(_, _, id)| *id);
        let wanted = due.filter(|id| !is_skipped(&jobs.all[id].job));
        let ids: Vec<_> = wanted.take(reserve.limit).collect();
        let mut deliveries = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(mut item) = jobs.take(id) else { continue };
            *fence += 1;
            let lease = Lease { job: id, topic: reserve.topic.clone(), fence: Fence(*fence) };
            item.lease = Some((lease.fence, now + reserve.lease));
            deliveries.push(Delivery { job: item.job.clone(), lease });
            jobs.add(item);
        }
        (deliveries, jobs.later.first().map(|(at, _)| *at))
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        let mut held = self.held();
        for job in jobs {
            let topic = held.topics.entry(job.topic.clone()).or_default();
            if !topic.all.contains_key(&job.id) {
                topic.add(Item { job: job.clone(), lease: None });
            }
        }
        drop(held);
        self.changed();
        Ok(())
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        let until = self.clock.now() + reserve.wait;
        loop {
            let seen = self.changes.count();
            let (deliveries, next_at) = self.try_reserve(reserve);
            let now = self.clock.now();
            if !deliveries.is_empty() || reserve.limit == 0 || now >= until {
                return Ok(deliveries);
            }
            let wake_at = next_at.map_or(until, |at| at.min(until));
            let left = (wake_at - now).to_std().unwrap_or(Duration::ZERO);
            // A change and the end of the time are both a reason to look again.
            self.changes.after(seen, left).await;
        }
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        let now = self.clock.now();
        let mut held = self.held();
        let mut ack = |lease: &Lease| {
            let Some(jobs) = held.topics.get_mut(&lease.topic) else { return Applied::Gone };
            jobs.advance(now);
            let answer = jobs.holds(lease);
            if answer == Applied::Applied {
                jobs.take(lease.job);
            }
            answer
        };
        Ok(leases.iter().map(&mut ack).collect())
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        let now = self.clock.now();
        let mut held = self.held();
        let Some(jobs) = held.topics.get_mut(&lease.topic) else { return Ok(Applied::Gone) };
        jobs.advance(now);
        let answer = jobs.holds(lease);
        if answer == Applied::Applied
            && let Some(item) = jobs.take(lease.job)
        {
            jobs.add(Item { job: QueuedJob { run_at, ..item.job }, lease: None });
        }
        drop(held);
        self.changed();
        Ok(answer)
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        let now = self.clock.now();
        let mut held = self.held();
        let mut extend = |held_by: &Lease| {
            let Some(jobs) = held.topics.get_mut(&held_by.topic) else { return Applied::Gone };
            jobs.advance(now);
            let answer = jobs.holds(held_by);
            if answer == Applied::Applied
                && let Some(mut item) = jobs.take(held_by.job)
            {
                item.lease = Some((held_by.fence, now + lease));
                jobs.add(item);
            }
            answer
        };
        Ok(leases.iter().map(&mut extend).collect())
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        if let Some(held) = self.held().topics.get_mut(topic) {
            for id in jobs {
                held.take(*id);
            }
        }
        Ok(())
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        let now = self.clock.now();
        let mut held = self.held();
        let Some(jobs) = held.topics.get_mut(topic) else { return Ok(Depth::default()) };
        jobs.advance(now);
        let leased = jobs.all.values().filter(|item| item.lease.is_some()).count() as u64;
        Ok(Depth {
            ready: jobs.ready.len() as u64,
            delayed: jobs.later.len() as u64 - leased,
            leased,
        })
    }
}
