//! I2: the store is the truth, the queue only proposes: wiped, out of date or unreachable at any
//! moment, every job still runs, once.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use backends::{Bench, Running, over_backends};
use chrono::{DateTime, TimeDelta, Utc};
use postq::core::clock::Clock;
use postq::core::composed::Composed;
use postq::core::error::{ErrorKind, QueueError};
use postq::core::id::JobId;
use postq::core::job::{Applied, Topic};
use postq::core::memory::MemoryQueue;
use postq::core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use scripted::{Scripted, assert_all_out_once};

over_backends!(
    a_queue_that_is_wiped_loses_no_job,
    an_old_copy_of_the_queue_runs_nothing_twice,
    a_queue_that_is_away_delays_nothing_for_ever,
);

/// A queue that can be wiped, put back to an earlier state, and taken away.
#[derive(Clone, Debug)]
struct Shaky {
    clock: Arc<dyn Clock>,
    now: Arc<RwLock<Option<Arc<MemoryQueue>>>>,
    /// All that was ever pushed: an old copy.
    pushed: Arc<RwLock<Vec<QueuedJob>>>,
}

impl Shaky {
    fn new(bench: &Bench) -> Self {
        let shaky =
            Self { clock: Arc::clone(&bench.clock), now: Arc::default(), pushed: Arc::default() };
        shaky.wipe();
        shaky
    }

    /// `FLUSHALL`.
    fn wipe(&self) {
        let empty = Arc::new(MemoryQueue::new(Arc::clone(&self.clock)));
        *self.now.write().expect("no panic") = Some(empty);
    }

    /// Back with everything it ever held, done or not.
    async fn restore(&self) {
        self.wipe();
        let old = self.pushed.read().expect("no panic").clone();
        self.queue().expect("just wiped").push(&old).await.expect("push");
    }

    fn take_away(&self) {
        *self.now.write().expect("no panic") = None;
    }

    fn queue(&self) -> Result<Arc<MemoryQueue>, QueueError> {
        let now = self.now.read().expect("no panic").clone();
        now.ok_or_else(|| QueueError::new(ErrorKind::Unavailable, "connection refused"))
    }
}

#[async_trait]
impl Queue for Shaky {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        self.pushed.write().expect("no panic").extend_from_slice(jobs);
        self.queue()?.push(jobs).await
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        self.queue()?.reserve(reserve).await
    }

    async fn ack(&self, lease: &Lease) -> Result<Applied, QueueError> {
        self.queue()?.ack(lease).await
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        self.queue()?.release(lease, run_at).await
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        self.queue()?.extend(leases, lease).await
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        self.queue()?.remove(topic, jobs).await
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        self.queue()?.depth(topic).await
    }
}

const POSTS: usize = 100;
const OVER: TimeDelta = TimeDelta::milliseconds(2_000);

/// Two nodes publish over a queue to which this happens every few milliseconds.
async fn publish(bench: &Bench, shake: impl AsyncFn(&Shaky, &mut SmallRng)) {
    let accounts = bench.accounts(10, "scripted").await;
    let from = bench.now() + TimeDelta::milliseconds(300);
    for n in 0..POSTS {
        let at = from + OVER / POSTS as i32 * n as i32;
        bench.say(&format!("post {n}"), &accounts[n % accounts.len()], at).await;
    }
    let (shaky, platform) = (Shaky::new(bench), Scripted::new("scripted", bench));
    let _nodes = [(), ()].map(|()| {
        let backend = Composed::backend(Arc::new(shaky.clone()), bench.another());
        Running::start(bench.engine_on(backend).platform(platform.shared()))
    });
    let mut rng = SmallRng::seed_from_u64(2);
    while bench.now() < from + OVER {
        tokio::time::sleep(Duration::from_millis(rng.random_range(5..120))).await;
        shake(&shaky, &mut rng).await;
    }

    let jobs = bench.rest(POSTS).await;

    assert_eq!(jobs.len(), POSTS);
    assert_all_out_once(bench, &platform, &jobs).await;
    assert_eq!(platform.calls().len(), POSTS);
    assert_eq!(platform.most_at_once(), 1);
    assert!(!shaky.pushed.read().expect("no panic").is_empty(), "the queue was used");
}

async fn a_queue_that_is_wiped_loses_no_job(bench: Bench) {
    publish(&bench, async |shaky, _| shaky.wipe()).await;
}

async fn an_old_copy_of_the_queue_runs_nothing_twice(bench: Bench) {
    publish(&bench, async |shaky, _| shaky.restore().await).await;
}

async fn a_queue_that_is_away_delays_nothing_for_ever(bench: Bench) {
    let come_and_go = async |shaky: &Shaky, rng: &mut SmallRng| {
        if rng.random() { shaky.take_away() } else { shaky.wipe() }
    };
    publish(&bench, come_and_go).await;
}
