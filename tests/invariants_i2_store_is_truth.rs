//! I2: the store is the truth, the queue only proposes: wiped, out of date or unreachable at any
//! moment, every job still runs, once.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use backends::{Bench, Running, over_redis, over_stores, tolerance};
use chrono::{DateTime, TimeDelta, Utc};
use postq::core::backend::Backend;
use postq::core::clock::Clock;
use postq::core::composed::Composed;
use postq::core::error::{ErrorKind, QueueError};
use postq::core::id::JobId;
use postq::core::job::{Applied, Job, Topic};
use postq::core::memory::MemoryQueue;
use postq::core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use scripted::{Scripted, assert_all_out_once};

over_stores!(
    a_queue_that_is_wiped_loses_no_job,
    an_old_copy_of_the_queue_runs_nothing_twice,
    a_queue_that_is_away_delays_nothing_for_ever,
);
over_redis!(
    a_storm_of_wipes_loses_and_doubles_nothing,
    a_wipe_between_any_two_steps_loses_and_doubles_nothing,
    nodes_with_and_without_redis_publish_together,
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

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        self.queue()?.ack(leases).await
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

/// Schedules posts over a stretch; answers when it begins.
async fn spread(bench: &Bench) -> DateTime<Utc> {
    let accounts = bench.accounts(10, "scripted").await;
    // Writing them takes a while on a busy machine.
    let from = bench.now() + TimeDelta::milliseconds(1_000);
    for n in 0..POSTS {
        let at = from + OVER / POSTS as i32 * n as i32;
        bench.say(&format!("post {n}"), &accounts[n % accounts.len()], at).await;
    }
    from
}

async fn assert_each_sent_once(bench: &Bench, platform: &Scripted) -> Vec<Job> {
    let jobs = bench.rest(POSTS).await;
    assert_eq!(jobs.len(), POSTS);
    assert_all_out_once(bench, platform, &jobs).await;
    assert_eq!(platform.calls().len(), POSTS);
    assert_eq!(platform.most_at_once(), 1);
    jobs
}

/// Two nodes publish over a queue to which this happens every few milliseconds.
async fn publish(bench: &Bench, shake: impl AsyncFn(&Shaky, &mut SmallRng)) {
    let from = spread(bench).await;
    let (shaky, platform) = (Shaky::new(bench), Scripted::new("scripted", bench));
    let _nodes = [bench.another().await, bench.another().await].map(|stores| {
        let backend = Composed::backend(Arc::new(shaky.clone()), stores);
        Running::start(bench.engine_on(backend).platform(platform.shared()))
    });
    let mut rng = SmallRng::seed_from_u64(2);
    while bench.now() < from + OVER {
        tokio::time::sleep(Duration::from_millis(rng.random_range(5..120))).await;
        shake(&shaky, &mut rng).await;
    }

    assert_each_sent_once(bench, &platform).await;

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

fn assert_punctual(platform: &Scripted, jobs: &[Job]) {
    let live = platform.live();
    let at = |text: &str| live.iter().find(|live| live.text == text).expect("it is out").created_at;
    let mut planned: Vec<_> = jobs.iter().map(|job| job.made.planned_at).collect();
    planned.sort_unstable();
    for (n, planned) in planned.into_iter().enumerate() {
        let late = at(&format!("post {n}")) - planned;
        assert!(late < tolerance(), "post {n} was {late} late");
    }
}

/// How often the server ran a script: proof that the queue was used.
fn scripts_run(bench: &Bench) -> u64 {
    let stats = bench.redis().tell("INFO commandstats");
    let calls = |line: &str| {
        let rest = line.strip_prefix("cmdstat_evalsha:calls=")?;
        rest.split(',').next()?.parse().ok()
    };
    stats.lines().find_map(calls).unwrap_or(0)
}

async fn a_storm_of_wipes_loses_and_doubles_nothing(bench: Bench) {
    let from = spread(&bench).await;
    let platform = Scripted::new("scripted", &bench);
    let _nodes = [bench.another().await, bench.another().await]
        .map(|node| Running::start(bench.engine_on(node).platform(platform.shared())));
    let mut rng = SmallRng::seed_from_u64(3);
    let mut wipes = 0;
    while bench.now() < from + OVER {
        // Sometimes many in a row, sometimes long enough for the queue to be filled again.
        let most = if wipes % 60 < 40 { 4 } else { 150 };
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..most))).await;
        assert_eq!(bench.redis().tell("FLUSHALL"), "+OK\r\n");
        wipes += 1;
    }

    let jobs = assert_each_sent_once(&bench, &platform).await;

    assert_punctual(&platform, &jobs);
    assert!(wipes > 50 && scripts_run(&bench) > 50, "{wipes} wipes: the queue was used");
}

/// A wipe just before and just after each call of the queue, each on its own.
async fn a_wipe_between_any_two_steps_loses_and_doubles_nothing(bench: Bench) {
    let bench = Arc::new(bench);
    spread(&bench).await;
    let platform = Scripted::new("scripted", &bench);
    let mut nodes = Vec::new();
    for seed in 0..2 {
        let node = bench.another().await;
        let queue = node.queue.clone().expect("Redis beside it");
        let rng = Arc::new(Mutex::new(SmallRng::seed_from_u64(seed)));
        let wiped = Wiped { queue, bench: Arc::clone(&bench), rng };
        let stores = bench.another_without_redis().await;
        let stores = Backend { lock: node.lock, limiter: node.limiter, ..stores };
        let node = Composed::backend(Arc::new(wiped), stores);
        nodes.push(Running::start(bench.engine_on(node).platform(platform.shared())));
    }

    let jobs = assert_each_sent_once(&bench, &platform).await;

    assert_punctual(&platform, &jobs);
}

/// A queue in Redis that is wiped before or after every other call.
#[derive(Clone, Debug)]
struct Wiped {
    queue: Arc<dyn Queue>,
    bench: Arc<Bench>,
    rng: Arc<Mutex<SmallRng>>,
}

impl Wiped {
    async fn step<T>(&self, call: impl Future<Output = T>) -> T {
        let wipe = self.rng.lock().expect("no panic").random_range(0..4);
        if wipe == 0 {
            self.wipe();
        }
        let answer = call.await;
        if wipe == 1 {
            self.wipe();
        }
        answer
    }

    fn wipe(&self) {
        assert_eq!(self.bench.redis().tell("FLUSHALL"), "+OK\r\n");
    }
}

#[async_trait]
impl Queue for Wiped {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        self.step(self.queue.push(jobs)).await
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        self.step(self.queue.reserve(reserve)).await
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        self.step(self.queue.ack(leases)).await
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        self.step(self.queue.release(lease, run_at)).await
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        self.step(self.queue.extend(leases, lease)).await
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        self.step(self.queue.remove(topic, jobs)).await
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        self.step(self.queue.depth(topic)).await
    }
}

/// One node was told of Redis, the other was not, or lost its setting.
async fn nodes_with_and_without_redis_publish_together(bench: Bench) {
    spread(&bench).await;
    let platform = Scripted::new("scripted", &bench);
    let _nodes = [bench.another().await, bench.another_without_redis().await]
        .map(|node| Running::start(bench.engine_on(node).platform(platform.shared())));

    let jobs = assert_each_sent_once(&bench, &platform).await;

    assert_punctual(&platform, &jobs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_wipes_loses_and_doubles_nothing_memory_redis() {
    a_storm_of_wipes_loses_and_doubles_nothing(Bench::memory_redis()).await;
}
