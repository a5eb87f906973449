//! Polling metrics: on the memory backend under paused time, on a platform that counts as the test says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::cadence::{PollingCadence, StagedCadence};
use postq_core::clock::{Clock, TokioClock};
use postq_core::content::{Content, Draft, Post};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::TenantId;
use postq_core::intent::Receipt;
use postq_core::job::{Job, JobKind, Topic};
use postq_core::limiter::Rate;
use postq_core::machine::JobState;
use postq_core::memory::MemoryBackend;
use postq_core::metrics::{Snapshot, Visibility};
use postq_core::platform::{
    Asked, Counts, Fetched, Identity, MetricField, Metrics, Outgoing, Pace, Platform, PlatformName,
    Published, Violation,
};
use postq_core::price::{CallKind, month};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{Block, BlockReason, JobFilter, Page, Publication};
use postq_engine::prices::{Prices, Stops};
use postq_engine::{Engine, Settings, TopicWorkers};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Script = Box<dyn Fn(&Asked, DateTime<Utc>) -> Result<Fetched, Failure> + Send + Sync>;

/// Publishes everything, and counts what it is told to.
struct Counting {
    name: PlatformName,
    clock: Arc<dyn Clock>,
    pace: Pace,
    out: Mutex<usize>,
    script: Mutex<Script>,
    /// When was read, and how many.
    reads: Mutex<Vec<(DateTime<Utc>, usize)>>,
}

impl std::fmt::Debug for Counting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counting")
    }
}

#[async_trait]
impl Platform for Counting {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let mut out = self.out.lock().unwrap();
        *out += 1;
        let remote_id = format!("r{out}");
        let published_at = self.clock.now();
        let receipt =
            Receipt { part: part.part, remote_id, url: None, published_at, dry_run: false };
        Ok(Published { receipt, limits: Vec::new() })
    }

    fn metrics(&self) -> Option<&dyn Metrics> {
        Some(self)
    }
}

#[async_trait]
impl Metrics for Counting {
    fn batch(&self) -> usize {
        3
    }

    fn fields(&self) -> &'static [MetricField] {
        &[]
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    async fn fetch(
        &self,
        _: &Identity,
        asked: &[Asked],
        now: DateTime<Utc>,
    ) -> Result<Vec<Fetched>, Failure> {
        self.reads.lock().unwrap().push((now, asked.len()));
        let script = self.script.lock().unwrap();
        asked.iter().map(|one| script(one, now)).collect()
    }
}

fn likes(count: u64) -> Fetched {
    let public = Counts::from([("like_count".to_owned(), count)]);
    Fetched::Counts { public, private: Counts::new() }
}

struct World {
    clock: Arc<dyn Clock>,
    backend: Backend,
    platform: Arc<Counting>,
    account: Account,
    prices: Prices,
    running: JoinSet<()>,
}

impl World {
    async fn at_pace(pace: Pace) -> Self {
        Self::from(DateTime::UNIX_EPOCH + TimeDelta::days(20_000), pace).await
    }

    async fn from(start: DateTime<Utc>, pace: Pace) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
        let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
        let platform = Counting {
            name: "counting".parse().unwrap(),
            clock: Arc::clone(&clock),
            pace,
            out: Mutex::default(),
            script: Mutex::new(Box::new(|_, _| Ok(likes(1)))),
            reads: Mutex::default(),
        };
        let account = Account::new("main", "counting".parse().unwrap(), clock.now());
        backend.accounts.insert(&account).await.unwrap();
        let (platform, running) = (Arc::new(platform), JoinSet::new());
        Self { clock, backend, platform, account, prices: Prices::default(), running }
    }

    async fn new() -> Self {
        let mut world = Self::at_pace(Pace::default()).await;
        world.start();
        world
    }

    /// Where calls cost so much, and a month may cost so much: two days before it is over.
    async fn costing(prices: &str, budget: u64, stops: Stops) -> Self {
        let start = "2024-10-30T00:00:00Z".parse().unwrap();
        let mut world = Self::from(start, Pace::default()).await;
        world.prices = Prices::parse(prices).unwrap().with_budget(budget, stops);
        world.start();
        world
    }

    /// What was spent in the month of the world's time: kind, calls, millionths.
    async fn spent(&self) -> Vec<(CallKind, u64, u64)> {
        let spent = self.backend.metrics.spent(month(self.clock.now())).await.unwrap();
        spent.into_iter().map(|spent| (spent.kind, spent.calls, spent.micros)).collect()
    }

    /// One node more.
    fn start(&mut self) {
        // Nothing is lost here that a sweep would find, and these tests last for days.
        let sweep_every = Duration::from_secs(3_600);
        let mut settings = Settings { sweep_every, ..Settings::default() };
        settings.topics.push(TopicWorkers { topic: Topic::new(Topic::METRICS), at_once: 4 });
        let engine = Engine::builder(self.backend.clone())
            .platform(self.platform.clone())
            .clock(Arc::clone(&self.clock))
            .prices(self.prices.clone())
            .settings(settings)
            .build()
            .unwrap();
        self.running.spawn(async move { engine.run(CancellationToken::new()).await });
    }

    fn counts(
        &self,
        script: impl Fn(&Asked, DateTime<Utc>) -> Result<Fetched, Failure> + Send + Sync + 'static,
    ) {
        *self.platform.script.lock().unwrap() = Box::new(script);
    }

    async fn publish(&self, posts: usize) {
        for n in 0..posts {
            let now = self.clock.now();
            let post = Post::new(Content::text(format!("post {n}")), now);
            self.backend.posts.insert(std::slice::from_ref(&post)).await.unwrap();
            let timing = Timing::OneShot { at: now, local: None };
            let mut schedule = Schedule::new(post.id, vec![self.account.id], timing, now);
            schedule.next_run_at = Some(now);
            self.backend.schedules.insert(&[schedule]).await.unwrap();
        }
        let wanted = *self.platform.out.lock().unwrap() + posts;
        for _ in 0..1_000 {
            if self.publications().await.len() >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not published");
    }

    async fn publications(&self) -> Vec<Publication> {
        let page = Page::first(1_000);
        self.backend.publications.list(TenantId::DEFAULT, page).await.unwrap()
    }

    async fn series(&self) -> Vec<Vec<Snapshot>> {
        let mut all = Vec::new();
        for publication in self.publications().await {
            all.push(self.backend.metrics.of(publication.id).await.unwrap());
        }
        all
    }

    async fn jobs(&self, kind: &str) -> Vec<Job> {
        let page = Page::first(1_000);
        let all = self.backend.jobs.list(TenantId::DEFAULT, &JobFilter::default(), page).await;
        all.unwrap().into_iter().filter(|job| job.made.kind.as_str() == kind).collect()
    }

    fn reads(&self) -> Vec<(DateTime<Utc>, usize)> {
        self.platform.reads.lock().unwrap().clone()
    }

    async fn sleep(&self, hours: f64) {
        tokio::time::sleep(Duration::from_secs_f64(hours * 3_600.0)).await;
    }
}

/// The offsets of the default cadence.
fn offsets() -> Vec<TimeDelta> {
    let (cadence, start) = (StagedCadence::default(), DateTime::UNIX_EPOCH);
    let all = std::iter::successors(cadence.next(start, start), |at| cadence.next(start, *at));
    all.map(|at| at - start).collect()
}

#[tokio::test(start_paused = true)]
async fn each_poll_is_made_once_whatever_number_of_nodes() {
    let mut world = World::new().await;
    world.start();
    world.start();
    world.publish(1).await;
    let out = world.publications().await[0].published_at;

    world.sleep(24.0 * 9.0).await;

    let series = world.series().await.remove(0);
    let late: Vec<_> =
        series.iter().zip(offsets()).map(|(snapshot, due)| snapshot.at - out - due).collect();
    assert_eq!(series.len(), offsets().len());
    let soon = TimeDelta::zero()..TimeDelta::seconds(40);
    assert!(late.iter().all(|late| soon.contains(late)), "{late:?}");
    assert_eq!(world.reads().len(), offsets().len(), "no call for nothing");
    let jobs = world.jobs(JobKind::METRICS_CAPTURE).await;
    assert!(jobs.iter().all(|job| job.state == JobState::Succeeded), "{jobs:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_due_together_is_read_together() {
    let world = World::new().await;
    world.publish(7).await;

    world.sleep(0.3).await;

    let sizes: Vec<_> = world.reads().iter().map(|(_, size)| *size).collect();
    assert_eq!(sizes, [3, 3, 1], "as many as the platform takes at once");
    assert_eq!(world.series().await.iter().map(Vec::len).collect::<Vec<_>>(), [1; 7]);
}

#[tokio::test(start_paused = true)]
async fn what_is_missed_is_polled_once_and_survives_a_restart() {
    let mut world = World::new().await;
    world.publish(1).await;
    world.sleep(0.3).await;

    world.running.shutdown().await;
    world.sleep(9.0).await;
    world.start();
    world.sleep(0.1).await;

    let series = world.series().await.remove(0);
    assert_eq!(series.len(), 2, "one for all that were missed: {series:?}");
    world.sleep(4.0).await;
    assert_eq!(world.series().await[0].len(), 3, "then as the cadence says");
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_ends_its_polls_and_is_told_if_it_is_young() {
    let world = World::new().await;
    world.publish(2).await;
    let old = world.clock.now() + TimeDelta::hours(30);
    world.counts(move |asked, now| match asked.remote_id.as_str() {
        "r1" if now < old => Ok(Fetched::Hidden),
        "r2" if now > old => Ok(Fetched::Gone),
        _ => Ok(likes(5)),
    });

    world.sleep(24.0 * 9.0).await;

    let series = world.series().await;
    let ends: Vec<_> = series.iter().map(|series| series.last().unwrap().state).collect();
    assert_eq!(ends, [Visibility::Hidden, Visibility::Deleted]);
    assert_eq!(series[0].len(), 1, "its polls end");
    let notices = world.jobs(JobKind::NOTIFY).await;
    assert_eq!(notices.len(), 1, "the old one is nobody's alarm");
    let notice = &notices[0].made.payload["notice"];
    assert_eq!(notice["kind"], "post_not_shown");
    let message = notice["message"].as_str().unwrap();
    assert!(message.starts_with("r1 of \"main\" came out at 2024-10-04 "), "{message}");
    assert!(message.ends_with(" and is hidden now; look at the account on counting"), "{message}");
    let today = world.clock.now().date_naive();
    let days = today - TimeDelta::days(20)..today;
    let totals = world.backend.metrics.totals(world.account.id, &days).await.unwrap();
    assert_eq!(totals.iter().map(|day| day.made.get("like_count")).max(), Some(Some(&5)));
}

#[tokio::test(start_paused = true)]
async fn trouble_is_tried_again_and_then_passed_over() {
    let world = World::new().await;
    world.publish(1).await;
    let start = world.clock.now();
    world.counts(move |_, now| match now < start + TimeDelta::minutes(20) {
        true => Err(Failure::not_published(FailureClass::Network, "cut")),
        false => Ok(likes(2)),
    });
    world.sleep(0.45).await;
    assert_eq!(world.series().await[0].len(), 1, "the first poll came late");
    assert!(world.reads().len() > 1);

    let before = world.reads().len();
    world.counts(|_, _| Err(Failure::not_published(FailureClass::Auth, "refused")));
    world.sleep(24.0 * 9.0).await;

    assert_eq!(world.series().await[0].len(), 1);
    let polls = world.reads().len() - before;
    assert_eq!(polls, offsets().len() - 1, "each refused once, and no more");
    let jobs = world.jobs(JobKind::METRICS_CAPTURE).await;
    assert!(jobs.iter().all(|job| job.state == JobState::Succeeded), "{jobs:?}");
    assert!(world.backend.blocks.blocks().await.unwrap().is_empty(), "posts go on");
    assert!(world.jobs(JobKind::NOTIFY).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn reading_takes_no_slot_from_publishing() {
    let slow = Rate::per_minute(std::num::NonZeroU32::MIN);
    let pace = Pace { app: Some(slow), account: Some(slow), ..Pace::default() };
    let mut world = World::at_pace(pace).await;
    world.start();
    world.publish(1).await;
    let out = world.publications().await[0].published_at;
    let gap = (out + TimeDelta::minutes(15) - world.clock.now()).to_std().unwrap();
    tokio::time::sleep(gap + Duration::from_secs(31)).await;
    assert_eq!(world.reads().len(), 1, "read just now");

    let asked = world.clock.now();
    world.publish(1).await;

    let second = world.publications().await[1].published_at;
    assert!(second < asked + TimeDelta::seconds(2), "at once, though reading took a slot");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_reading_is_waited_for() {
    let slow = Rate { every: Duration::from_secs(600), burst: std::num::NonZeroU32::MIN };
    let mut world = World::at_pace(Pace { account: Some(slow), ..Pace::default() }).await;
    world.start();
    // Out at once: the limit of publishing is not what is tried here.
    world.publish(1).await;
    world.sleep(20.0).await;

    let reads = world.reads();
    let gaps: Vec<_> = reads.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| *gap >= TimeDelta::seconds(599)), "{gaps:?}");
    assert_eq!(world.series().await[0].len(), 7, "and none is lost");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_stands_still_is_not_read() {
    let world = World::new().await;
    world.publish(1).await;
    let scope = String::from(&world.account.lane());
    let note = "holiday".to_owned();
    let block = Block { scope: scope.clone(), reason: BlockReason::Paused, until: None, note };
    world.backend.blocks.block(&block).await.unwrap();

    world.sleep(30.0).await;

    assert!(world.reads().is_empty());
    assert!(world.jobs(JobKind::METRICS_CAPTURE).await.is_empty(), "nothing piles up");
    world.backend.blocks.lift(&scope, BlockReason::Paused).await.unwrap();
    world.sleep(0.1).await;
    assert_eq!(world.series().await[0].len(), 1);
    let by_state: BTreeMap<_, _> =
        world.jobs(JobKind::METRICS_CAPTURE).await.into_iter().map(|job| (job.state, 1)).collect();
    assert_eq!(by_state.into_keys().collect::<Vec<_>>(), [JobState::Succeeded]);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_stops_reading_and_nothing_else() {
    let prices = "counting:publish=0.01,counting:read=0.10";
    let mut world = World::costing(prices, 250_000, Stops::Reading).await;
    world.start();
    world.publish(1).await;
    assert!(world.jobs(JobKind::NOTIFY).await.is_empty());

    world.sleep(24.0).await;

    let spent = [(CallKind::Publish, 1, 10_000), (CallKind::Read, 2, 200_000)];
    assert_eq!(world.spent().await, spent, "a third poll would be more than there is");
    assert_eq!(world.series().await[0].len(), 2);
    let notices = world.jobs(JobKind::NOTIFY).await;
    assert_eq!(notices.len(), 1, "by two nodes, once");
    let notice = &notices[0].made.payload["notice"];
    assert_eq!(notice["kind"], "budget_used_up");
    let message = notice["message"].as_str().unwrap();
    let begins = "the budget of 0.25 USD for October 2024 is used up: 0.21 USD by the list of prices; it is \
                  whole again on 2024-11-01, and metrics are not read until then";
    assert!(message.starts_with(begins), "{message}");
    let asked = world.clock.now();
    world.publish(1).await;
    assert!(world.publications().await[1].published_at < asked + TimeDelta::seconds(2));
    assert!(world.backend.blocks.blocks().await.unwrap().is_empty());

    world.sleep(48.0).await;

    let november = [(CallKind::Read, 2, 200_000)];
    assert_eq!(world.spent().await, november, "each is read once more, late");
    assert_eq!(world.series().await.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
}

#[tokio::test(start_paused = true)]
async fn everything_stops_at_a_budget_only_if_that_is_wanted() {
    let mut world = World::costing("counting:publish=0.01", 10_000, Stops::Everything).await;
    world.publish(1).await;
    world.sleep(0.1).await;

    let blocks = world.backend.blocks.blocks().await.unwrap();
    let told: Vec<_> = blocks.iter().map(|b| (b.scope.as_str(), b.reason, b.until)).collect();
    let november = "2024-11-01T00:00:00Z".parse().unwrap();
    assert_eq!(told, [("counting/", BlockReason::Budget, Some(november))]);
    world.running.shutdown().await;
    world.prices = world.prices.clone().with_budget(30_000, Stops::Everything);
    world.start();
    world.sleep(0.1).await;
    assert!(world.backend.blocks.blocks().await.unwrap().is_empty(), "a higher one ends it");
    world.publish(1).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_counted_that_has_no_price() {
    let mut world = World::at_pace(Pace::default()).await;
    world.prices = Prices::parse("other:read=1").unwrap();
    world.start();
    world.publish(1).await;
    world.sleep(1.0).await;

    assert_eq!(world.spent().await, []);
    assert_eq!(world.series().await[0].len(), 2);
}
