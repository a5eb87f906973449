//! A backend: everything durable that an engine needs, in one bundle.

use std::sync::Arc;

use crate::feed::JobFeed;
use crate::limiter::RateLimiter;
use crate::lock::DedupeLock;
use crate::metrics::MetricsStore;
use crate::queue::Queue;
use crate::slot::SlotStore;
use crate::store::{
    AccountStore, BlockStore, JobControl, JobStore, JobUpkeep, PostStore, PublicationStore,
    ScheduleStore,
};

/// Everything durable that an engine needs. An adapter makes one; a composition may mix several.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Posts.
    pub posts: Arc<dyn PostStore>,
    /// Accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// What stands still.
    pub blocks: Arc<dyn BlockStore>,
    /// Schedules.
    pub schedules: Arc<dyn ScheduleStore>,
    /// Jobs.
    pub jobs: Arc<dyn JobStore>,
    /// What a person does to jobs.
    pub control: Arc<dyn JobControl>,
    /// What the background loops do to jobs.
    pub upkeep: Arc<dyn JobUpkeep>,
    /// What is out.
    pub publications: Arc<dyn PublicationStore>,
    /// Metrics of what is out.
    pub metrics: Arc<dyn MetricsStore>,
    /// When accounts like to publish.
    pub slots: Arc<dyn SlotStore>,
    /// What workers pull through.
    pub feed: Arc<dyn JobFeed>,
    /// The queue beside the store, where the feed is composed of both; none where the store is
    /// also the queue.
    pub queue: Option<Arc<dyn Queue>>,
    /// The dedupe lock.
    pub lock: Arc<dyn DedupeLock>,
    /// The rate limiter.
    pub limiter: Arc<dyn RateLimiter>,
}
