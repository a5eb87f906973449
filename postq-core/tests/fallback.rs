//! Without its fast queue and limiter the work goes on at once, and they come back by themselves.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock, TokioClock};
use postq_core::error::{ErrorKind, LimitError, QueueError};
use postq_core::fallback::{
    Breaker, BreakerSettings, BreakerState, FallbackLimiter, FallbackQueue, LimiterMode, LocalMode,
    Source,
};
use postq_core::id::JobId;
use postq_core::job::{Applied, Topic};
use postq_core::limiter::{Budget, Rate, RateLimiter, Take};
use postq_core::memory::{MemoryBackend, MemoryQueue};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use tokio::time::Instant;

fn breaker() -> Breaker {
    Breaker::new("fast", BreakerSettings::default())
}

async fn queue() -> Arc<dyn Queue> {
    let fast = Arc::new(MemoryQueue::new(Arc::new(SystemClock)));
    Arc::new(FallbackQueue::new(fast, breaker()))
}

async fn limiter() -> Arc<dyn RateLimiter> {
    let clock = Arc::new(SystemClock);
    let [fast, store] = [(), ()].map(|()| MemoryBackend::new(clock.clone()).backend().limiter);
    let row = Arc::new(LocalMode::new(clock));
    Arc::new(FallbackLimiter::new(fast, store, row, breaker()))
}

async fn mode() -> Arc<dyn LimiterMode> {
    Arc::new(LocalMode::new(Arc::new(SystemClock)))
}

postq_core::queue_conformance!(queue);
postq_core::limiter_conformance!(limiter);
postq_core::limiter_mode_conformance!(mode);

const UP: u32 = 0;
const DOWN: u32 = 1;
const FROZEN: u32 = 2;

/// A service that can be taken away and frozen, and counts how often it is asked.
#[derive(Clone, Debug, Default)]
struct Service {
    state: Arc<AtomicU32>,
    asked: Arc<AtomicU64>,
}

impl Service {
    fn is(&self, state: u32) {
        self.state.store(state, Ordering::SeqCst);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Whether it answers; a frozen one never does.
    async fn answers(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) == FROZEN {
            std::future::pending::<()>().await;
        }
        self.state.load(Ordering::SeqCst) == UP
    }
}

#[derive(Debug)]
struct Fast<T> {
    service: Service,
    inner: T,
}

impl Fast<MemoryQueue> {
    async fn up(&self) -> Result<&MemoryQueue, QueueError> {
        let down = || QueueError::new(ErrorKind::Unavailable, "connection refused");
        self.service.answers().await.then_some(&self.inner).ok_or_else(down)
    }
}

#[async_trait]
impl Queue for Fast<MemoryQueue> {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        self.up().await?.push(jobs).await
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        self.up().await?.reserve(reserve).await
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        self.up().await?.ack(leases).await
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        self.up().await?.release(lease, run_at).await
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        self.up().await?.extend(leases, lease).await
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        self.up().await?.remove(topic, jobs).await
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        self.up().await?.depth(topic).await
    }
}

#[async_trait]
impl RateLimiter for Fast<Arc<dyn RateLimiter>> {
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError> {
        if self.service.answers().await {
            return self.inner.take(take).await;
        }
        Err(LimitError::new(ErrorKind::Unavailable, "connection refused"))
    }

    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError> {
        if self.service.answers().await {
            return self.inner.tighten(key, remaining, resets_at).await;
        }
        Err(LimitError::new(ErrorKind::Unavailable, "connection refused"))
    }

    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError> {
        if self.service.answers().await {
            return self.inner.look(takes).await;
        }
        Err(LimitError::new(ErrorKind::Unavailable, "connection refused"))
    }
}

fn clock() -> Arc<TokioClock> {
    Arc::new(TokioClock::starting_at(DateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)))
}

fn a_queue() -> (FallbackQueue, Service, Arc<TokioClock>) {
    let (service, clock) = (Service::default(), clock());
    let fast = Fast { service: service.clone(), inner: MemoryQueue::new(clock.clone()) };
    (FallbackQueue::new(Arc::new(fast), breaker()), service, clock)
}

fn due(clock: &TokioClock) -> QueuedJob {
    let run_at = clock.now();
    QueuedJob { id: JobId::new(), topic: Topic::publish(), lane: None, priority: 0, run_at }
}

async fn reserve(queue: &FallbackQueue) -> Vec<Delivery> {
    queue.reserve(&Reserve::up_to(10, Topic::publish())).await.expect("it never fails")
}

#[tokio::test(start_paused = true)]
async fn a_frozen_queue_costs_three_waits_and_then_one_short_one_per_try() {
    let (queue, service, clock) = a_queue();
    let job = due(&clock);
    queue.push(std::slice::from_ref(&job)).await.expect("push");
    service.is(FROZEN);
    let start = Instant::now();

    for _ in 0..3 {
        assert!(reserve(&queue).await.is_empty());
    }
    assert_eq!(start.elapsed(), Duration::from_millis(1_500), "three time-outs");
    let BreakerState::Open { reason, .. } = queue.state() else { panic!("it is open") };
    assert_eq!(reason, "no answer within 500ms");

    let (asked, start) = (service.asked(), Instant::now());
    for _ in 0..1_000 {
        assert!(reserve(&queue).await.is_empty());
        queue.push(std::slice::from_ref(&job)).await.expect("push");
    }
    assert_eq!((service.asked(), start.elapsed()), (asked, Duration::ZERO), "nobody asks it");

    let start = Instant::now();
    let mut waited = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(60) {
        let before = Instant::now();
        reserve(&queue).await;
        waited += before.elapsed();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tries = service.asked() - asked;
    assert!((12..=20).contains(&tries), "{tries} tries in a minute");
    assert_eq!(waited, Duration::from_millis(250) * u32::try_from(tries).unwrap());
}

#[tokio::test(start_paused = true)]
async fn it_is_used_again_within_five_seconds() {
    for state in [DOWN, FROZEN] {
        let (queue, service, clock) = a_queue();
        let job = due(&clock);
        queue.push(std::slice::from_ref(&job)).await.expect("push");
        service.is(state);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(100) {
            assert!(reserve(&queue).await.is_empty());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!queue.state().is_closed());
        service.is(UP);
        let back = Instant::now();

        let got = loop {
            let got = reserve(&queue).await;
            if !got.is_empty() {
                break got;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };

        assert!(back.elapsed() < Duration::from_secs(5), "after {:?}", back.elapsed());
        assert_eq!(got[0].job, job);
        assert!(queue.state().is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_now_and_then_opens_nothing() {
    let (queue, service, _) = a_queue();
    for n in 0..30 {
        service.is(if n % 3 == 2 { UP } else { DOWN });
        assert!(reserve(&queue).await.is_empty());
        assert!(queue.state().is_closed(), "two in a row are not three");
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_never_heard_of_again_blocks_nobody() {
    let (queue, service, _) = a_queue();
    service.is(FROZEN);
    for _ in 0..3 {
        reserve(&queue).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = service.asked();
    let dropped = tokio::time::timeout(Duration::from_millis(1), reserve(&queue)).await;
    assert!(dropped.is_err() && service.asked() == asked + 1, "the try was on its way");
    service.is(UP);

    tokio::time::sleep(Duration::from_secs(5)).await;
    reserve(&queue).await;

    assert!(queue.state().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reserve_waits_without_its_queue_and_hears_of_its_return() {
    let (queue, service, clock) = a_queue();
    service.is(DOWN);
    let wait = Reserve::up_to(1, Topic::publish()).waiting(Duration::from_secs(20));
    let start = Instant::now();
    assert!(queue.reserve(&wait).await.expect("it never fails").is_empty());
    assert_eq!(start.elapsed(), Duration::from_secs(20));
    assert!(service.asked() < 20, "{} calls", service.asked());

    let waiter = tokio::spawn({
        let queue = queue.clone();
        async move { queue.reserve(&wait).await.expect("it never fails") }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.is(UP);
    tokio::time::timeout(Duration::from_secs(5), async {
        while !queue.state().is_closed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the waiter tries whether it is back");
    queue.push(&[due(&clock)]).await.expect("push");

    assert_eq!(waiter.await.expect("it ends well").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_depth_is_an_error() {
    let (queue, service, clock) = a_queue();
    let job = due(&clock);
    queue.push(&[job]).await.expect("push");
    let held = reserve(&queue).await.remove(0).lease;
    service.is(DOWN);

    let acked = queue.ack(&[held.clone(), held.clone()]).await;
    assert_eq!(acked.expect("ack"), [Applied::Gone, Applied::Gone]);
    assert_eq!(queue.release(&held, clock.now()).await.expect("release"), Applied::Gone);
    let extended = queue.extend(&[held.clone(), held.clone()], Duration::from_secs(1)).await;
    assert_eq!(extended.expect("extend"), [Applied::Gone, Applied::Gone]);
    queue.remove(&Topic::publish(), &[held.job]).await.expect("remove");
    let error = queue.depth(&Topic::publish()).await.expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.to_string(),
        "count a topic: the queue is out of use for 0 s: connection refused"
    );
}

/// Nodes that share a fast limiter, a store and a mode; each has its own way to the fast one.
struct Nodes {
    clock: Arc<TokioClock>,
    ways: Vec<Service>,
    row: Arc<LocalMode>,
    limiters: Vec<FallbackLimiter>,
}

fn nodes(n: usize) -> Nodes {
    let clock = clock();
    let [fast, store] = [(), ()].map(|()| MemoryBackend::new(clock.clone()).backend().limiter);
    let row = Arc::new(LocalMode::new(clock.clone()));
    let ways: Vec<_> = (0..n).map(|_| Service::default()).collect();
    let limiter = |way: &Service| {
        let fast = Arc::new(Fast { service: way.clone(), inner: fast.clone() });
        FallbackLimiter::new(fast, store.clone(), row.clone(), breaker())
    };
    let limiters = ways.iter().map(limiter).collect();
    Nodes { clock, ways, row, limiters }
}

impl Nodes {
    async fn take(&self, node: usize, rate: Rate) -> DateTime<Utc> {
        let take = Take { key: "x/".to_owned(), rate, not_before: self.clock.now() };
        self.limiters[node].take(&take).await.expect("a slot, whatever happens")
    }

    async fn source(&self) -> (u64, Source) {
        let mode = self.row.mode().await.expect("it never fails");
        (mode.number, mode.source)
    }
}

#[tokio::test(start_paused = true)]
async fn limits_hold_while_the_limiter_comes_and_goes() {
    let rate = Rate { every: Duration::from_secs(2), burst: NonZeroU32::new(5).unwrap() };
    let nodes = nodes(3);
    let mut slots = Vec::new();
    for (phase, state) in [UP, DOWN, UP, FROZEN, DOWN, UP, UP].into_iter().enumerate() {
        nodes.ways.iter().for_each(|way| way.is(state));
        for n in 0..5 {
            slots.push(nodes.take((phase + n) % 3, rate).await);
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        // Just before the next switch, a full bucket is used up. Without a burst it would be slots
        // reserved ahead, which are kept.
        let full = if nodes.source().await.1 == Source::Fast { 5 } else { 1 };
        for n in 0..full {
            slots.push(nodes.take((phase + n) % 3, rate).await);
        }
    }

    assert!(nodes.source().await.0 >= 4, "it came and went: {:?}", nodes.source().await);
    slots.sort_unstable();
    for (n, first) in slots.iter().enumerate() {
        for (m, last) in slots[n..].iter().enumerate() {
            let stretch = (*last - *first).to_std().unwrap();
            let allowed = 5 + stretch.as_millis() / 2_000;
            assert!((m as u128) < allowed, "{} slots in {stretch:?}", m + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_moves_starts_empty() {
    let rate = Rate { every: Duration::from_secs(60), burst: NonZeroU32::new(10).unwrap() };
    let nodes = nodes(1);
    for _ in 0..10 {
        assert_eq!(nodes.take(0, rate).await, nodes.clock.now(), "a full bucket");
    }
    nodes.ways[0].is(DOWN);

    let first = nodes.take(0, rate).await;
    let since = nodes.row.mode().await.expect("it never fails").since;
    let second = nodes.take(0, rate).await;

    assert_eq!(nodes.source().await, (1, Source::Store));
    assert_eq!(first, since + Duration::from_secs(60));
    assert_eq!(second, since + Duration::from_secs(120));
}

#[tokio::test(start_paused = true)]
async fn one_node_that_cannot_reach_it_moves_all() {
    let rate = Rate::per_minute(NonZeroU32::new(60).unwrap());
    let nodes = nodes(2);
    nodes.take(0, rate).await;
    nodes.take(1, rate).await;
    nodes.ways[0].is(FROZEN);
    nodes.take(0, rate).await;
    assert_eq!(nodes.source().await, (1, Source::Store));

    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = nodes.ways[1].asked();
    nodes.take(1, rate).await;

    assert_eq!(nodes.ways[1].asked(), asked, "the other one goes along");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_told_goes_along_at_once() {
    let rate = Rate::per_minute(NonZeroU32::new(60).unwrap());
    let nodes = nodes(2);
    nodes.take(1, rate).await;
    nodes.ways[0].is(DOWN);
    nodes.take(0, rate).await;
    let asked = nodes.ways[1].asked();

    nodes.limiters[1].told(nodes.row.mode().await.expect("it never fails"));
    nodes.take(1, rate).await;

    assert_eq!(nodes.ways[1].asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn the_fast_limiter_comes_back_by_itself_and_not_at_once() {
    let rate = Rate::per_minute(NonZeroU32::new(6_000).unwrap());
    let nodes = nodes(1);
    nodes.ways[0].is(DOWN);
    nodes.take(0, rate).await;
    nodes.ways[0].is(UP);
    let start = Instant::now();

    while nodes.source().await.1 == Source::Store {
        nodes.take(0, rate).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let took = start.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(16), "after {took:?}");
    assert!(nodes.limiters[0].state().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_platforms_reading_goes_to_the_limiter_in_force() {
    let wide = Rate { every: Duration::from_millis(1), burst: NonZeroU32::new(100).unwrap() };
    let nodes = nodes(1);
    let resets_at = nodes.clock.now() + Duration::from_secs(900);
    nodes.limiters[0].tighten("x/", 1, resets_at).await.expect("tighten the fast one");
    assert!(nodes.take(0, wide).await < resets_at);
    assert!(nodes.take(0, wide).await >= resets_at);
    nodes.ways[0].is(DOWN);
    assert!(nodes.take(0, wide).await < resets_at, "another bucket");

    nodes.limiters[0].tighten("x/", 0, resets_at).await.expect("tighten the store's");

    assert!(nodes.take(0, wide).await >= resets_at);
}

#[tokio::test(start_paused = true)]
async fn a_look_is_at_the_limiter_in_force() {
    let rate = Rate { every: Duration::from_secs(2), burst: NonZeroU32::new(5).unwrap() };
    let nodes = nodes(2);
    let take = Take { key: "x/".to_owned(), rate, not_before: DateTime::UNIX_EPOCH };
    let look = async |node: usize| nodes.limiters[node].look(std::slice::from_ref(&take)).await;
    assert_eq!(look(0).await.expect("look at the fast one")[0].left, 5);
    nodes.ways[0].is(DOWN);

    let error = look(0).await.expect_err("the fast one is in force, and away");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(nodes.source().await.1, Source::Fast, "a look changes nothing");
    nodes.take(0, rate).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    for node in [0, 1] {
        let budget = look(node).await.expect("look at the store's")[0];
        assert_eq!(budget.left, 0, "a bucket that moves starts empty");
        assert_eq!(nodes.take(node, rate).await, budget.next_at);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(look(1).await.expect("look at the store's")[0].left, 1, "without a burst");
}
