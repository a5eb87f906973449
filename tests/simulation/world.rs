//! One simulated world: posts, accounts, nodes, faults; and what must hold when it comes to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::content::{Content, Part, Post};
use postq_core::id::{AccountId, PostId, ScheduleId, TenantId};
use postq_core::job::{DeadReason, Job, JobKind};
use postq_core::machine::JobState;
use postq_core::memory::MemoryBackend;
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{JobFilter, Page};
use postq_engine::{Engine, Settings};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::liar::{Liar, Live, SETTLE_TIME};
use crate::node::Flaky;
use crate::sabotage::{Sabotage, Sabotaged};

const ACCOUNTS: usize = 5;
const POSTS: usize = 30;
const NODES: u64 = 2;

/// Nodes crash and lose their way for so long; then the world is left to come to rest.
const TROUBLE: Duration = Duration::from_secs(1_800);

/// It must have come to rest by then: the longest waits are looks that cannot be made, for an hour.
const REST: Duration = Duration::from_secs(6 * 3_600);

/// What came of one world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) published: usize,
    pub(crate) held: usize,
    pub(crate) kills: usize,
    pub(crate) live: Vec<Live>,
    /// What must not be.
    pub(crate) faults: Vec<String>,
}

struct World {
    backend: Backend,
    clock: Arc<dyn Clock>,
    liar: Liar,
    posts: BTreeMap<PostId, Post>,
    /// Jobs that must come of the schedules.
    expected: usize,
}

/// Runs one world to its rest.
pub(crate) async fn simulate(seed: u64, sabotage: Option<Sabotage>) -> Verdict {
    let mut rng = SmallRng::seed_from_u64(seed);
    let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
    let backend = MemoryBackend::seeded(Arc::clone(&clock), seed).backend();
    let settle_time = match sabotage {
        Some(Sabotage::NoSettleTime) => Duration::ZERO,
        _ => SETTLE_TIME,
    };
    let liar = Liar::new(rng.random(), Arc::clone(&clock), settle_time);
    let mut world = World { backend, clock, liar, posts: BTreeMap::new(), expected: 0 };
    world.populate(&mut rng, start).await;

    let begun = Instant::now();
    let kills = Arc::new(AtomicUsize::new(0));
    let mut nodes = JoinSet::new();
    for _ in 0..NODES {
        let engine = EngineMaker {
            backend: Backend {
                feed: Sabotaged::feed(&world.backend, sabotage),
                ..world.backend.clone()
            },
            liar: world.liar.clone(),
            clock: Arc::clone(&world.clock),
            kills: Arc::clone(&kills),
        };
        nodes.spawn(engine.live(SmallRng::seed_from_u64(rng.random()), begun + TROUBLE));
    }
    let rested = world.rest(begun).await;
    nodes.shutdown().await;
    let kills = kills.load(Ordering::Relaxed);
    world.judge(rested, kills).await
}

/// Makes the engines of one node, one after the other.
struct EngineMaker {
    backend: Backend,
    liar: Liar,
    clock: Arc<dyn Clock>,
    kills: Arc<AtomicUsize>,
}

impl EngineMaker {
    fn make(&self, seed: u64, quiet: bool) -> Engine {
        let feed = Flaky::feed(Arc::clone(&self.backend.feed), seed, quiet);
        Engine::builder(Backend { feed, ..self.backend.clone() })
            .platform(Arc::new(self.liar.clone()))
            .clock(Arc::clone(&self.clock))
            .seed(seed)
            .settings(Settings {
                lease: Duration::from_secs(20),
                grace_period: Duration::from_secs(10),
                ..Settings::default()
            })
            .build()
            .expect("settings that fit")
    }

    /// Runs and crashes, runs and crashes, and in the end runs.
    async fn live(self, mut rng: SmallRng, quiet_from: Instant) {
        while Instant::now() < quiet_from {
            let engine = self.make(rng.random(), false);
            let life = Duration::from_millis(rng.random_range(1_000..180_000));
            // Dropped in the middle of whatever it does: a crash.
            let _ = tokio::time::timeout(life, engine.run(CancellationToken::new())).await;
            self.kills.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..60_000))).await;
        }
        let engine = self.make(rng.random(), true);
        engine.run(CancellationToken::new()).await;
    }
}

impl World {
    async fn populate(&mut self, rng: &mut SmallRng, now: DateTime<Utc>) {
        let mut id = IdMaker { rng: SmallRng::seed_from_u64(rng.random()), now };
        let mut accounts = Vec::new();
        for n in 0..ACCOUNTS {
            let name = format!("account-{n}");
            let platform = "liar".parse().expect("a name");
            let account = Account {
                id: AccountId::from_uuid(id.next()),
                ..Account::new(name, platform, now)
            };
            self.backend.accounts.insert(&account).await.expect("insert an account");
            accounts.push(account.id);
        }
        for n in 0..POSTS {
            let parts = match rng.random_range(0..5) {
                0 => rng.random_range(2..5),
                _ => 1,
            };
            // Now and then two posts say the same.
            let name = if rng.random_range(0..10) == 0 { 0 } else { n };
            let content = Content {
                parts: (0..parts)
                    .map(|p| Part::text(format!("post {name} part {p} of {parts}")))
                    .collect(),
                ..Content::default()
            };
            let post = Post { id: PostId::from_uuid(id.next()), ..Post::new(content, now) };
            self.backend.posts.insert(std::slice::from_ref(&post)).await.expect("insert a post");
            let first = now + TimeDelta::seconds(rng.random_range(1..900));
            let (timing, times) = match rng.random_range(0..4) {
                0 => {
                    let times = rng.random_range(2..5);
                    let every = Duration::from_secs(rng.random_range(60..300));
                    let count = NonZeroU32::new(times);
                    (Timing::Interval { every, anchor: first, count, until: None }, times as usize)
                }
                _ => (Timing::OneShot { at: first, local: None }, 1),
            };
            let targets: BTreeSet<_> = (0..rng.random_range(1..3))
                .map(|_| accounts[rng.random_range(0..ACCOUNTS)])
                .collect();
            self.expected += times * targets.len();
            let schedule = Schedule {
                id: ScheduleId::from_uuid(id.next()),
                next_run_at: Some(first),
                // Late by whatever the trouble costs is not missed here: every post must come out.
                grace: Duration::from_secs(86_400),
                ..Schedule::new(post.id, targets.into_iter().collect(), timing, now)
            };
            self.backend.schedules.insert(&[schedule]).await.expect("insert a schedule");
            self.posts.insert(post.id, post);
        }
    }

    async fn jobs(&self) -> Vec<Job> {
        let page = Page::first(1_000);
        let jobs = self.backend.jobs.list(TenantId::DEFAULT, &JobFilter::default(), page).await;
        let mut jobs = jobs.expect("list the jobs");
        jobs.retain(|job| job.made.kind.as_str() == JobKind::PUBLISH);
        jobs
    }

    /// Waits until every job has ended; whether they did in time.
    async fn rest(&self, begun: Instant) -> bool {
        while begun.elapsed() < REST {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let jobs = self.jobs().await;
            let over = begun.elapsed() > TROUBLE;
            if over && jobs.len() >= self.expected && jobs.iter().all(|job| job.state.is_terminal())
            {
                // What a lost request does late, it does within this.
                tokio::time::sleep(SETTLE_TIME * 2).await;
                return true;
            }
        }
        false
    }

    async fn judge(&self, rested: bool, kills: usize) -> Verdict {
        let jobs = self.jobs().await;
        let mut verdict = Verdict { live: self.liar.ledger(), kills, ..Verdict::default() };
        if !rested {
            let stuck: Vec<_> = jobs.iter().filter(|job| !job.state.is_terminal()).collect();
            verdict.faults.push(format!("not at rest: {stuck:#?}"));
        }
        if jobs.len() != self.expected {
            let count = jobs.len();
            verdict.faults.push(format!("{count} jobs, expected {}", self.expected));
        }
        let mut receipts = BTreeSet::new();
        // Per account and text: how many may be out beyond those that have a receipt.
        let mut unexplained: BTreeMap<(AccountId, String), i64> = BTreeMap::new();
        for live in &verdict.live {
            *unexplained.entry((live.account, live.text.clone())).or_default() += 1;
        }
        for job in &jobs {
            let story = self.backend.jobs.story(job.id()).await.expect("a story").expect("the job");
            let account = job.made.account_id.expect("a publish job has an account");
            let post = &self.posts[&job.made.post_id.expect("a publish job has a post")];
            let mut before: Option<String> = None;
            for (index, part) in (0u16..).zip(&post.content.parts) {
                let out = unexplained.entry((account, part.text.clone())).or_default();
                match story.evidence.receipt(index) {
                    Some(receipt) => {
                        *out -= 1;
                        self.check_receipt(
                            &mut verdict,
                            job,
                            index,
                            &receipt.remote_id,
                            before.as_deref(),
                        );
                        if !receipts.insert(receipt.remote_id.clone()) {
                            verdict.faults.push(format!("{} has two owners", receipt.remote_id));
                        }
                        before = Some(receipt.remote_id.clone());
                    }
                    None if job.state == JobState::Succeeded => {
                        verdict.faults.push(format!("{} succeeded without part {index}", job.id()));
                    }
                    // Held, or refused by an answer that lied: one may be out.
                    None => {
                        let may = matches!(
                            job.dead_reason,
                            Some(DeadReason::OutcomeUnknown | DeadReason::Content)
                        );
                        *out -= i64::from(may && *out > 0);
                    }
                }
            }
            match job.state {
                JobState::Succeeded => verdict.published += 1,
                JobState::DeadLetter if job.dead_reason.is_some() => verdict.held += 1,
                state => verdict.faults.push(format!("{} ended as {state}", job.id())),
            }
        }
        for ((account, text), more) in unexplained {
            if more > 0 {
                verdict.faults.push(format!("{more} too many live: \"{text}\" of {account}"));
                let stories = self.stories(account, &text, &jobs).await;
                verdict.faults.extend(stories);
            }
        }
        let at_once = self.liar.most_at_once();
        if at_once > 1 {
            verdict.faults.push(format!("{at_once} requests of one account at once"));
        }
        verdict
    }

    /// What happened to the jobs that could have sent this text: for whoever looks at the fault.
    async fn stories(&self, account: AccountId, text: &str, jobs: &[Job]) -> Vec<String> {
        let sends = |job: &&Job| {
            let post = job.made.post_id.and_then(|id| self.posts.get(&id));
            job.made.account_id == Some(account)
                && post.is_some_and(|post| post.content.parts.iter().any(|p| p.text == text))
        };
        let mut stories = Vec::new();
        for job in jobs.iter().filter(sends) {
            let story = self.backend.jobs.story(job.id()).await.expect("a story").expect("the job");
            let steps = story.events.iter().map(|event| {
                let reason = event.reason.as_deref().unwrap_or_default();
                format!("\n  {} {} fence {} {reason}", event.at.time(), event.to, event.fence)
            });
            let steps: String = steps.collect();
            stories.push(format!("{} {steps}\n  {:?}", job.id(), story.evidence));
        }
        let live = self.liar.ledger().into_iter().filter(|live| live.text == text);
        stories.extend(live.map(|live| format!("{live:?}")));
        stories
    }

    fn check_receipt(
        &self,
        verdict: &mut Verdict,
        job: &Job,
        part: u16,
        remote_id: &str,
        before: Option<&str>,
    ) {
        match verdict.live.iter().find(|live| live.id == remote_id) {
            None => verdict.faults.push(format!("{} part {part}: a receipt for nothing", job.id())),
            Some(live) if live.reply_to.as_deref() != before => {
                verdict.faults.push(format!("{} part {part}: replies to the wrong part", job.id()));
            }
            Some(_) => {}
        }
    }
}

/// Ids that follow from the seed.
struct IdMaker {
    rng: SmallRng,
    now: DateTime<Utc>,
}

impl IdMaker {
    fn next(&mut self) -> Uuid {
        let millis = self.now.timestamp_millis() as u64;
        uuid::Builder::from_unix_timestamp_millis(millis, &self.rng.random()).into_uuid()
    }
}
