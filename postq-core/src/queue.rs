//! The queue: proposes ids of due jobs. The store decides.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::QueueError;
use crate::id::JobId;
use crate::job::{Applied, Fence, Job, Lane, Topic};

/// What a queue knows of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedJob {
    /// Its id.
    pub id: JobId,
    /// Its topic.
    pub topic: Topic,
    /// Its lane.
    pub lane: Option<Lane>,
    /// Higher goes first.
    pub priority: i16,
    /// Not given out earlier than this.
    pub run_at: DateTime<Utc>,
}

impl From<&Job> for QueuedJob {
    fn from(job: &Job) -> Self {
        Self {
            id: job.id(),
            topic: job.made.topic.clone(),
            lane: job.made.lane.clone(),
            priority: job.made.priority,
            run_at: job.run_at,
        }
    }
}

/// What a worker asks a queue for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reserve {
    /// From this topic.
    pub topic: Topic,
    /// At most so many.
    pub limit: usize,
    /// Held for so long, unless extended.
    pub lease: Duration,
    /// How long to wait for a first one; zero does not wait.
    pub wait: Duration,
    /// No job whose lane begins with one of these.
    pub skip: Vec<String>,
}

impl Reserve {
    /// Up to `limit` jobs of the topic, leased for 60 s, without waiting or skipping.
    pub fn up_to(limit: usize, topic: Topic) -> Self {
        Self {
            topic,
            limit,
            lease: Duration::from_secs(60),
            wait: Duration::ZERO,
            skip: Vec::new(),
        }
    }

    /// Held for so long.
    #[must_use]
    pub fn leased_for(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Waits so long for a first one.
    #[must_use]
    pub fn waiting(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Leaves out lanes that begin with one of these.
    #[must_use]
    pub fn skipping(mut self, skip: Vec<String>) -> Self {
        self.skip = skip;
        self
    }
}

/// One holder's right to a delivery, until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Its topic.
    pub topic: Topic,
    /// Tells this delivery of the job from every other one.
    pub fence: Fence,
}

/// A job given out under a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The job.
    pub job: QueuedJob,
    /// The right to it.
    pub lease: Lease,
}

/// What a topic holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Due and free.
    pub ready: u64,
    /// Not due yet.
    pub delayed: u64,
    /// Given out under a lease.
    pub leased: u64,
}

/// Hands jobs to workers: at least once, never early.
///
/// # Contract
///
/// 1. `push` of an id that is already held changes nothing.  (`push_is_idempotent_by_id`)
/// 2. Nothing is given out before its `run_at`.  (`nothing_is_given_out_early`)
/// 3. Highest priority first, then the earliest `run_at`.  (`highest_priority_then_earliest`)
/// 4. A delivery has one holder until its lease ends.  (`a_leased_job_has_one_holder`)
/// 5. A delivery whose lease has ended is given out again, with a higher fence.
///    (`an_ended_lease_is_given_out_again`)
/// 6. Only the current holder can ack, release or extend; in a batch each lease stands for itself.
///    (`a_stale_holder_changes_nothing`, `a_batch_is_acked_one_by_one`)
/// 7. `release` puts the job back, due at the given time.  (`release_puts_it_back_for_later`)
/// 8. `remove` forgets a job, leased or not; what is not there is no error.  (`remove_forgets`)
/// 9. A waiting `reserve` returns soon after a due job is pushed, and at the end of its wait at the
///    latest.  (`reserve_waits_for_a_push`)
/// 10. Lanes that are to be skipped are skipped, and cost the others nothing.  (`skipped_lanes_wait`)
/// 11. `depth` counts each job once.  (`depth_counts_each_job_once`)
/// 12. Topics do not see one another.  (`topics_are_apart`)
///
/// Losing everything is allowed: the store is the truth, and a sweeper pushes what is absent. Each
/// rule is a public test in `conformance::queue`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync + 'static {
    /// Adds the jobs, all or none.
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError>;

    /// Takes up to `reserve.limit` due jobs under a lease.
    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError>;

    /// Forgets the deliveries, each unless another holds it now ([`Applied::Stale`]); one answer per
    /// lease, in order.
    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError>;

    /// Gives the delivery back, due at `run_at`.
    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError>;

    /// Makes each lease end `lease` from now; one answer per lease, in order.
    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError>;

    /// Forgets the jobs.
    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError>;

    /// Counts what the topic holds.
    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError>;
}

const _OBJECT_SAFE: fn(&dyn Queue) = |_| {};
