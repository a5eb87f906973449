//! What must hold when everything around an attempt behaves as badly as it can: one fault, one test.
//!
//! On the memory backend under paused time; the platform does what the test wrote down for it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::{Account, OnUnknown};
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::composed::Composed;
use postq_core::conformance::meddled::{Meddle, Meddled};
use postq_core::content::{Content, Draft, Part, Post};
use postq_core::error::{ErrorKind, LimitError, QueueError, StoreError, VaultError};
use postq_core::failure::{Failure, FailureClass, LimitReading, LimitScope};
use postq_core::feed::{Claim, JobFeed, Settle, Settlement};
use postq_core::id::{AccountId, JobId, NodeId};
use postq_core::intent::{Intent, IntentAnswer, PlatformKey, Receipt};
use postq_core::job::{Applied, DeadReason, Job, JobKind, NewJob, Topic};
use postq_core::limiter::{Budget, Rate, RateLimiter, Take};
use postq_core::machine::JobState;
use postq_core::memory::MemoryBackend;
use postq_core::options::PostOptions;
use postq_core::platform::{
    Identity, Look, Lookup, Outgoing, Pace, Platform, PlatformName, Published, Reconcile, Violation,
};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use postq_core::store::{BlockReason, JobStory};
use postq_core::vault::{Sealed, Vault};
use postq_engine::desk::DeskSettings;
use postq_engine::handler::Handler;
use postq_engine::{Engine, EngineBuilder, Settings, TopicWorkers};
use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What the platform does with one request.
#[derive(Debug)]
enum Act {
    Publish,
    /// Nothing is made.
    Refuse(Failure),
    /// Nothing is made; the answer is the id of another post.
    AnswerWith(String),
    /// While the request is on its way the account is connected anew; the old token is refused.
    RefuseOldToken(Backend, Box<Account>),
    Panic,
}

/// A post that is really there.
#[derive(Clone, Debug)]
struct Live {
    id: String,
    text: String,
    at: DateTime<Utc>,
}

/// A platform that does what the test wrote down.
#[derive(Debug)]
struct Scripted {
    name: PlatformName,
    clock: Arc<dyn Clock>,
    pace: Pace,
    limits: Vec<LimitReading>,
    can_look: bool,
    /// When they have ended, it publishes.
    acts: Mutex<VecDeque<Act>>,
    /// When they have ended, looks answer what is true.
    looks: Mutex<VecDeque<Result<Look, Failure>>>,
    live: Mutex<Vec<Live>>,
    /// When each request came.
    asked: Mutex<Vec<DateTime<Utc>>>,
    /// When each look came.
    looked: Mutex<Vec<DateTime<Utc>>>,
}

impl Scripted {
    fn live(&self) -> Vec<Live> {
        self.live.lock().unwrap().clone()
    }

    fn asked(&self) -> Vec<DateTime<Utc>> {
        self.asked.lock().unwrap().clone()
    }

    /// The seconds between the requests.
    fn gaps(&self) -> Vec<i64> {
        self.asked().windows(2).map(|pair| (pair[1] - pair[0]).num_seconds()).collect()
    }

    fn will(&self, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().unwrap().extend(acts);
    }

    fn look_answers(&self, answer: Result<Look, Failure>) {
        self.looks.lock().unwrap().push_back(answer);
    }

    fn create(&self, text: &str) -> Live {
        let mut live = self.live.lock().unwrap();
        let (id, at) = (live.len().to_string(), self.clock.now());
        live.push(Live { id, text: text.to_owned(), at });
        live.last().expect("just pushed").clone()
    }
}

fn receipt(live: &Live, part: u16) -> Receipt {
    let Live { id, at, .. } = live.clone();
    Receipt { part, remote_id: id, url: None, published_at: at, dry_run: false }
}

#[async_trait]
impl Platform for Scripted {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn validate(&self, _draft: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _who: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        self.asked.lock().unwrap().push(self.clock.now());
        tokio::time::sleep(Duration::from_millis(50)).await;
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Publish);
        match act {
            Act::Publish => {
                let receipt = receipt(&self.create(part.text), part.part);
                Ok(Published { receipt, limits: self.limits.clone() })
            }
            Act::Refuse(failure) => Err(failure),
            Act::AnswerWith(id) => {
                let (text, at) = (part.text.to_owned(), self.clock.now());
                let receipt = receipt(&Live { id, text, at }, part.part);
                Ok(Published { receipt, limits: Vec::new() })
            }
            Act::RefuseOldToken(backend, account) => {
                assert_eq!(
                    backend.accounts.update(&account, None).await.unwrap(),
                    Applied::Applied
                );
                let (blocks, lane) = (&backend.blocks, account.lane());
                blocks.lift(lane.as_str(), BlockReason::NeedsAttention).await.unwrap();
                Err(dead_token())
            }
            Act::Panic => panic!("the platform's adapter has a bug"),
        }
    }

    fn reconcile(&self) -> Option<&dyn Reconcile> {
        self.can_look.then_some(self)
    }
}

#[async_trait]
impl Reconcile for Scripted {
    fn settle_time(&self) -> Duration {
        MINUTE
    }

    async fn look<'a>(&self, _who: &Identity, lookup: Lookup<'a>) -> Result<Look, Failure> {
        self.looked.lock().unwrap().push(self.clock.now());
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Some(answer) = self.looks.lock().unwrap().pop_front() {
            return answer;
        }
        let (live, intent) = (self.live(), lookup.intent);
        let found = live.iter().find(|l| l.text == intent.text && !lookup.claimed.contains(&l.id));
        Ok(found.map_or(Look::Absent, |live| Look::Found(receipt(live, intent.part))))
    }
}

fn dead_token() -> Failure {
    Failure::not_published(FailureClass::Auth, "401")
}

fn limited(scope: LimitScope, wait: Duration) -> Failure {
    Failure::not_published(FailureClass::RateLimit, "429").with_wait(scope, wait)
}

fn once_per_minute() -> Option<Rate> {
    Some(Rate::per_minute(NonZeroU32::MIN))
}

/// A backend with one account and one post, on a platform.
struct World {
    clock: Arc<dyn Clock>,
    backend: Backend,
    account: Account,
    post: Post,
    platform: Arc<Scripted>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_, _| {}, &["hello"]).await
    }

    async fn with(change: impl FnOnce(&mut Account, &mut Scripted), parts: &[&str]) -> Self {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
        let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
        let mut platform = Scripted {
            name: "scripted".parse().unwrap(),
            clock: Arc::clone(&clock),
            pace: Pace { send_timeout: 5 * SECOND, ..Pace::default() },
            limits: Vec::new(),
            can_look: true,
            acts: Mutex::default(),
            looks: Mutex::default(),
            live: Mutex::default(),
            asked: Mutex::default(),
            looked: Mutex::default(),
        };
        let mut account = Account::new("acme", platform.name.clone(), start);
        change(&mut account, &mut platform);
        backend.accounts.insert(&account).await.unwrap();
        let parts = parts.iter().map(|text| Part::text(*text)).collect();
        let post = Post::new(Content { parts, ..Content::default() }, start);
        backend.posts.insert(std::slice::from_ref(&post)).await.unwrap();
        Self { clock, backend, account, post, platform: Arc::new(platform) }
    }

    fn engine(&self) -> EngineBuilder {
        self.engine_on(self.backend.clone())
    }

    fn engine_on(&self, backend: Backend) -> EngineBuilder {
        let platform: Arc<dyn Platform> = self.platform.clone();
        Engine::builder(backend).platform(platform).clock(Arc::clone(&self.clock)).seed(1)
    }

    /// A publish job that is due now.
    fn job(&self) -> NewJob {
        NewJob {
            lane: Some(self.account.lane()),
            post_id: Some(self.post.id),
            account_id: Some(self.account.id),
            ..NewJob::new(JobKind::publish(), Topic::publish(), self.clock.now())
        }
    }

    async fn insert(&self, job: NewJob) -> JobId {
        assert_eq!(self.backend.jobs.insert(std::slice::from_ref(&job)).await.unwrap(), [job.id]);
        job.id
    }

    /// Another node claims the one job, records its intent, and ends.
    async fn sent_and_crashed(&self) -> Job {
        let mut claim = Claim::up_to(1, Topic::publish(), NodeId::new());
        claim.lease = SECOND;
        let claimed = self.backend.feed.claim(&claim).await.unwrap().jobs.pop();
        let job = claimed.expect("the job is due").job;
        let intent = Intent {
            job: job.id(),
            fence: job.fence,
            part: 0,
            key: PlatformKey::derive(job.root, 0),
            text: self.post.content.parts[0].text.clone(),
            options: PostOptions::default(),
            media: Vec::new(),
            reply_to: None,
            container: None,
            revision: self.post.revision,
            made_at: self.clock.now(),
        };
        let answer = self.backend.feed.intent(&intent, Duration::ZERO).await.unwrap();
        assert!(matches!(answer, IntentAnswer::Recorded(_)), "{answer:?}");
        job
    }

    async fn story(&self, job: JobId) -> JobStory {
        self.backend.jobs.story(job).await.unwrap().expect("the job is there")
    }

    async fn state(&self, job: JobId) -> (JobState, Option<String>) {
        let job = self.story(job).await.job;
        (job.state, job.reason)
    }
}

/// Runs an engine for so long, then drops it in the middle of whatever it does.
async fn run_for(stretch: Duration, engine: EngineBuilder) {
    let engine = engine.build().expect("settings that fit");
    let _ = tokio::time::timeout(stretch, engine.run(CancellationToken::new())).await;
}

/// A limiter that is not well.
#[derive(Debug)]
struct BadLimiter {
    inner: Arc<dyn RateLimiter>,
    tighten_hangs: bool,
    well_from: Instant,
}

impl BadLimiter {
    fn beside(world: &World, tighten_hangs: bool, well_in: Duration) -> Backend {
        let inner = Arc::clone(&world.backend.limiter);
        let limiter = Self { inner, tighten_hangs, well_from: Instant::now() + well_in };
        Backend { limiter: Arc::new(limiter), ..world.backend.clone() }
    }
}

#[async_trait]
impl RateLimiter for BadLimiter {
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError> {
        if Instant::now() < self.well_from {
            return Err(LimitError::new(ErrorKind::Unavailable, "take a slot: refused"));
        }
        self.inner.take(take).await
    }

    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError> {
        if self.tighten_hangs {
            std::future::pending::<()>().await;
        }
        self.inner.tighten(key, remaining, resets_at).await
    }

    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError> {
        self.inner.look(takes).await
    }
}

/// A feed that takes no settlements for a while.
#[derive(Debug)]
struct LateSettles {
    inner: Arc<dyn JobFeed>,
    from: Instant,
}

#[async_trait]
impl Meddle for LateSettles {
    fn feed(&self) -> &dyn JobFeed {
        self.inner.as_ref()
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        if Instant::now() < self.from {
            return Err(StoreError::new(ErrorKind::Unavailable, "settle: the disk is full"));
        }
        self.inner.settle(settlements).await
    }
}

/// A queue whose connection is half open: nothing is refused, nothing is answered.
#[derive(Debug)]
struct HangingQueue;

#[async_trait]
impl Queue for HangingQueue {
    async fn push(&self, _: &[QueuedJob]) -> Result<(), QueueError> {
        std::future::pending().await
    }

    async fn reserve(&self, _: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        std::future::pending().await
    }

    async fn ack(&self, _: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        std::future::pending().await
    }

    async fn release(&self, _: &Lease, _: DateTime<Utc>) -> Result<Applied, QueueError> {
        std::future::pending().await
    }

    async fn extend(&self, _: &[Lease], _: Duration) -> Result<Vec<Applied>, QueueError> {
        std::future::pending().await
    }

    async fn remove(&self, _: &Topic, _: &[JobId]) -> Result<(), QueueError> {
        std::future::pending().await
    }

    async fn depth(&self, _: &Topic) -> Result<Depth, QueueError> {
        std::future::pending().await
    }
}

#[derive(Debug)]
struct OpenVault;

#[async_trait]
impl Vault for OpenVault {
    fn key_id(&self) -> &str {
        "key"
    }

    async fn seal(&self, _: AccountId, _: &SecretString) -> Result<Sealed, VaultError> {
        Err(VaultError::new(ErrorKind::Internal, "nothing is sealed here"))
    }

    async fn open(&self, _: AccountId, _: &Sealed) -> Result<SecretString, VaultError> {
        Ok(SecretString::from("secret"))
    }
}

fn sealed(envelope: u8) -> Option<Sealed> {
    Some(Sealed { key_id: "key".to_owned(), bytes: vec![envelope] })
}

/// A handler that takes its time.
#[derive(Debug)]
struct Slow(Duration);

#[async_trait]
impl Handler for Slow {
    async fn run(&self, _: &Job) -> Result<(), Failure> {
        tokio::time::sleep(self.0).await;
        Ok(())
    }
}

// What is out is known to be out, and is not sent again.

#[tokio::test(start_paused = true)]
async fn a_limiter_that_hangs_after_the_send_does_not_cost_the_receipt() {
    let reading =
        LimitReading { scope: LimitScope::Account, remaining: 10, resets_in: 15 * MINUTE };
    let world = World::with(
        |account, platform| {
            account.on_unknown = OnUnknown::Resend;
            platform.can_look = false;
            platform.limits = vec![reading];
        },
        &["hello"],
    )
    .await;
    let job = world.insert(world.job()).await;
    let backend = BadLimiter::beside(&world, true, Duration::ZERO);

    run_for(60 * MINUTE, world.engine_on(backend)).await;

    assert_eq!(world.platform.live().len(), 1, "sent once; {:?}", world.state(job).await);
    assert_eq!(world.state(job).await.0, JobState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_in_hand_outlives_the_time_limit() {
    let world = World::with(
        |account, platform| {
            account.on_unknown = OnUnknown::Resend;
            platform.can_look = false;
        },
        &["one", "two"],
    )
    .await;
    let job = world.insert(world.job()).await;
    let (inner, from) = (Arc::clone(&world.backend.feed), Instant::now() + 10 * MINUTE);
    let feed = Arc::new(Meddled(LateSettles { inner, from }));
    let backend = Backend { feed, ..world.backend.clone() };

    run_for(60 * MINUTE, world.engine_on(backend)).await;

    let texts: Vec<_> = world.platform.live().into_iter().map(|live| live.text).collect();
    assert_eq!(texts, ["one", "two"], "{:?}", world.state(job).await);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_vault_leaves_an_unknown_outcome_unknown() {
    let world = World::with(|account, _| account.credentials = sealed(1), &["hello"]).await;
    let job = world.insert(world.job()).await;
    world.sent_and_crashed().await;
    world.platform.create("hello");
    // It becomes visible later than the first look, well within the settle time.
    world.platform.look_answers(Ok(Look::Absent));

    run_for(10 * SECOND, world.engine()).await;
    run_for(10 * MINUTE, world.engine().vault(Arc::new(OpenVault))).await;

    assert_eq!(world.platform.live().len(), 1, "sent once; {:?}", world.state(job).await);
    assert_eq!(world.state(job).await, (JobState::Succeeded, None));
}

#[tokio::test(start_paused = true)]
async fn one_failed_look_after_an_outage_is_made_again() {
    let world = World::with(|account, _| account.on_unknown = OnUnknown::Resend, &["hello"]).await;
    let job = world.insert(world.job()).await;
    world.sent_and_crashed().await;
    world.platform.create("hello");
    let down = Failure::not_published(FailureClass::Network, "the network comes up late");
    world.platform.look_answers(Err(down));
    tokio::time::sleep(120 * MINUTE).await;

    run_for(30 * MINUTE, world.engine()).await;

    assert_eq!(world.platform.live().len(), 1, "sent once; {:?}", world.state(job).await);
    assert_eq!(world.state(job).await.0, JobState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn what_is_out_and_cannot_be_named_is_looked_for_and_never_sent_again() {
    for reads_again in [true, false] {
        let resend = |account: &mut Account, _: &mut Scripted| {
            account.on_unknown = OnUnknown::Resend;
        };
        let world = World::with(resend, &["hello"]).await;
        let job = world.insert(world.job()).await;
        world.sent_and_crashed().await;
        world.platform.create("hello");
        let down = Failure::unknown(FailureClass::Platform, "the list does not answer");
        let unread = if reads_again { 12 } else { 1_000 };
        (0..unread).for_each(|_| world.platform.look_answers(Ok(Look::OutUnread(down.clone()))));

        run_for(180 * MINUTE, world.engine()).await;

        assert_eq!(world.platform.live().len(), 1, "{reads_again}");
        assert_eq!(world.platform.asked().len(), 0, "{reads_again}: not sent again");
        let (state, why) = world.state(job).await;
        match reads_again {
            true => assert_eq!((state, why), (JobState::Succeeded, None)),
            false => {
                let job = world.story(job).await.job;
                assert_eq!(job.dead_reason, Some(DeadReason::OutcomeUnknown), "{why:?}");
                assert!(why.unwrap_or_default().contains("the list does not answer"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_twin_of_what_stands_still_is_not_asked_for_ever() {
    let world = World::with(|account, _| account.remote_id = Some("42".into()), &["hello"]).await;
    world.insert(world.job()).await;
    let first = world.sent_and_crashed().await;
    world.platform.look_answers(Err(dead_token()));
    let mut other = Account::new("other", world.account.platform.clone(), world.clock.now());
    other.remote_id = Some("42".into());
    world.backend.accounts.insert(&other).await.unwrap();
    let (lane, account_id) = (Some(other.lane()), Some(other.id));
    let twin = world.insert(NewJob { lane, account_id, ..world.job() }).await;

    run_for(23 * 60 * MINUTE, world.engine()).await;
    let (state, why) = world.state(twin).await;
    assert_eq!(state, JobState::Enqueued, "{why:?}");
    assert!(why.unwrap_or_default().contains("has no outcome yet"));
    run_for(3 * 60 * MINUTE, world.engine()).await;

    let story = world.story(twin).await;
    assert_eq!(story.job.dead_reason, Some(DeadReason::AttemptsExhausted));
    let tries = story.events.iter().filter(|event| event.to == JobState::Running).count();
    assert!((40..90).contains(&tries), "{tries} tries");
    assert_eq!(world.platform.asked().len(), 0, "nothing was sent");
    assert!(!world.story(first.id()).await.job.state.is_terminal());
}

#[tokio::test(start_paused = true)]
async fn what_is_out_is_not_given_up_for_its_attempts() {
    let world = World::new().await;
    let job = world.insert(NewJob { max_attempts: 1, ..world.job() }).await;
    let held = world.sent_and_crashed().await.held();
    let live = world.platform.create("hello");
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(world.backend.upkeep.expire(10).await.unwrap(), [job]);
    // The worker was only cut off: its receipt comes late, and is kept.
    let settle = Settle::Succeeded(Some(receipt(&live, 0)));
    let (node, reason, follow_ups) = (NodeId::new(), None, Vec::new());
    let settlement = Settlement { held, node, settle, reason, follow_ups };
    assert_eq!(world.backend.feed.settle(&[settlement]).await.unwrap(), [Applied::Stale]);

    run_for(MINUTE, world.engine()).await;

    assert_eq!(world.platform.live().len(), 1);
    assert_eq!(world.state(job).await, (JobState::Succeeded, None));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_sending_is_charged_and_looked_for() {
    let world = World::new().await;
    world.platform.will([Act::Panic, Act::Panic]);
    let job = world.insert(world.job()).await;

    run_for(20 * MINUTE, world.engine()).await;

    let gaps = world.platform.gaps();
    assert!(gaps.len() == 2 && gaps.iter().all(|gap| *gap >= 60), "settle time first: {gaps:?}");
    let story = world.story(job).await;
    assert_eq!((story.job.state, story.job.attempt), (JobState::Succeeded, 3));
}

/// Publishes one post of the world, whose id is "0"; then a second job is answered with that id.
async fn answered_with_anothers_id(world: &World) -> JobId {
    world.platform.will([Act::Publish, Act::AnswerWith("0".to_owned())]);
    let first = world.insert(world.job()).await;
    run_for(10 * SECOND, world.engine()).await;
    assert_eq!(world.state(first).await.0, JobState::Succeeded);
    world.insert(world.job()).await
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_anothers_id_is_held_at_once_where_nobody_can_look() {
    let world = World::with(|_, platform| platform.can_look = false, &["hello"]).await;
    let job = answered_with_anothers_id(&world).await;

    run_for(10 * SECOND, world.engine()).await;

    let story = world.story(job).await;
    assert_eq!(story.job.state, JobState::DeadLetter, "{:?}", story.events);
    assert_eq!(story.job.dead_reason, Some(DeadReason::OutcomeUnknown));
    assert!(story.evidence.open().is_some(), "something may be out: {:?}", story.evidence);
    assert_eq!(world.platform.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_anothers_id_is_looked_for_and_not_sent_again() {
    let world = World::new().await;
    let job = answered_with_anothers_id(&world).await;

    run_for(10 * SECOND, world.engine()).await;
    assert!(!world.platform.looked.lock().unwrap().is_empty(), "looked for within seconds");
    assert!(world.story(job).await.evidence.open().is_some(), "the outcome is unknown");
    run_for(10 * MINUTE, world.engine()).await;

    let story = world.story(job).await;
    assert_eq!(story.job.dead_reason, Some(DeadReason::Content), "{:?}", story.events);
    assert_eq!(world.platform.asked().len(), 2, "the platform has this text already");
}

#[tokio::test(start_paused = true)]
async fn a_part_answered_with_anothers_id_holds_its_thread() {
    let world = World::with(|_, platform| platform.can_look = false, &["one", "two"]).await;
    world.platform.will([Act::Publish, Act::Publish, Act::AnswerWith("1".to_owned())]);
    world.insert(world.job()).await;
    run_for(10 * SECOND, world.engine()).await;
    let job = world.insert(world.job()).await;

    run_for(10 * SECOND, world.engine()).await;

    let story = world.story(job).await;
    assert_eq!(story.job.dead_reason, Some(DeadReason::OutcomeUnknown), "{:?}", story.events);
    assert_eq!(world.platform.live().len(), 2, "its second part was not sent");
}

// Nothing spins, stands still or is given up for somebody else's trouble.

#[tokio::test(start_paused = true)]
async fn a_limiter_outage_gives_nothing_up() {
    let world = World::with(|_, platform| platform.pace.app = once_per_minute(), &["hello"]).await;
    let job = world.insert(world.job()).await;
    let backend = BadLimiter::beside(&world, false, 30 * MINUTE);

    run_for(90 * MINUTE, world.engine_on(backend)).await;

    assert_eq!(world.state(job).await, (JobState::Succeeded, None));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_never_answers_holds_nothing_back() {
    let world = World::new().await;
    let job = world.insert(world.job()).await;
    let backend = Composed::backend(Arc::new(HangingQueue), world.backend.clone());

    run_for(5 * MINUTE, world.engine_on(backend)).await;

    assert_eq!(world.state(job).await, (JobState::Succeeded, None));
    assert_eq!(world.story(job).await.job.attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_waits_for_its_moment() {
    let world = World::new().await;
    world.insert(world.job()).await;
    world.sent_and_crashed().await;

    run_for(3 * MINUTE, world.engine()).await;

    let looked = world.platform.looked.lock().unwrap().clone();
    let gaps = looked.windows(2).map(|pair| (pair[1] - pair[0]).num_milliseconds());
    let least = gaps.min().expect("several looks");
    assert!(least >= 1_000, "{} looks, two of them within {least} ms", looked.len());
}

#[tokio::test(start_paused = true)]
async fn an_absurd_wait_of_a_look_is_bounded() {
    let world = World::new().await;
    let job = world.insert(world.job()).await;
    world.sent_and_crashed().await;
    world.platform.look_answers(Err(limited(LimitScope::Account, Duration::MAX)));

    run_for(10 * MINUTE, world.engine()).await;

    let events = world.story(job).await.events;
    let expired = events.iter().filter(|event| event.reason.as_deref() == Some("lease expired"));
    assert_eq!(expired.count(), 1, "the first worker's; no attempt panics");
}

#[tokio::test(start_paused = true)]
async fn a_refused_job_without_a_lane_does_not_spin() {
    let world = World::new().await;
    world.platform.will((0..10_000).map(|_| Act::Refuse(dead_token())));
    world.insert(NewJob { lane: None, ..world.job() }).await;

    run_for(MINUTE, world.engine()).await;

    let asked = world.platform.asked().len();
    assert!(asked <= 10, "asked {asked} times in a minute with a dead token");
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_of_an_old_token_does_not_stop_the_new_one() {
    let world = World::with(|account, _| account.credentials = sealed(1), &["hello"]).await;
    let renewed = Account { credentials: sealed(2), ..world.account.clone() };
    world.platform.will([Act::RefuseOldToken(world.backend.clone(), Box::new(renewed))]);
    let job = world.insert(world.job()).await;

    run_for(60 * MINUTE, world.engine().vault(Arc::new(OpenVault))).await;

    assert_eq!(world.state(job).await, (JobState::Succeeded, None));
}

#[tokio::test(start_paused = true)]
async fn a_busy_worker_is_ready() {
    let world = World::new().await;
    let (kind, topic) = (JobKind::new("slow"), Topic::new("slow"));
    world.insert(NewJob::new(kind.clone(), topic.clone(), world.clock.now())).await;
    let topics = vec![TopicWorkers { topic, at_once: 1 }];
    let settings = Settings { topics, ..Settings::default() };
    let slow = Arc::new(Slow(200 * SECOND));
    let engine = world.engine().handler(kind, slow).settings(settings).build().unwrap();

    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(CancellationToken::new()).await }
    });
    tokio::time::sleep(150 * SECOND).await;

    assert!(engine.health().is_ready(), "{:?}", engine.health().loops());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn an_engines_desk_has_the_engines_settings() {
    let world = World::new().await;
    let tenant = postq_core::id::TenantId::new();
    let desk = DeskSettings { tenant, ..DeskSettings::default() };
    let settings = Settings { desk, ..Settings::default() };

    let engine = world.engine().settings(settings).build().unwrap();

    assert_eq!(engine.desk().tenant(), tenant);
}

// Slots of the limiter.

#[tokio::test(start_paused = true)]
async fn a_slot_is_used_once() {
    let world =
        World::with(|_, platform| platform.pace.account = once_per_minute(), &["hello"]).await;
    let refusal = limited(LimitScope::Account, SECOND);
    world.platform.will([Act::Publish, Act::Refuse(refusal)]);
    world.insert(world.job()).await;
    world.insert(world.job()).await;

    run_for(10 * MINUTE, world.engine()).await;

    let gaps = world.platform.gaps();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap >= 59), "one per minute, but after {gaps:?} s");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_made_due_now_does_not_jump_its_slot() {
    let world =
        World::with(|_, platform| platform.pace.account = once_per_minute(), &["hello"]).await;
    world.insert(world.job()).await;
    tokio::time::sleep(SECOND).await;
    let second = world.insert(world.job()).await;
    let engine = world.engine().build().unwrap();
    let running = tokio::spawn(async move { engine.run(CancellationToken::new()).await });
    tokio::time::sleep(5 * SECOND).await;
    assert!(world.story(second).await.job.slot.is_some(), "it waits for its slot");

    let _ = world.backend.control.due_now(second).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    running.abort();

    let gaps = world.platform.gaps();
    assert!(gaps.len() == 1 && gaps[0] >= 59, "one per minute, but after {gaps:?} s");
}

#[tokio::test(start_paused = true)]
async fn slots_that_passed_behind_a_block_are_not_used_all_at_once() {
    let change = |_: &mut Account, platform: &mut Scripted| {
        platform.pace.app = once_per_minute();
        // It would find another account's post: its list knows no accounts.
        platform.can_look = false;
    };
    let world = World::with(change, &["hello"]).await;
    for n in 0..6 {
        let name = format!("other-{n}");
        let account = Account::new(name, world.account.platform.clone(), world.clock.now());
        world.backend.accounts.insert(&account).await.unwrap();
        let (lane, account_id) = (Some(account.lane()), Some(account.id));
        world.insert(NewJob { lane, account_id, ..world.job() }).await;
    }
    world.platform.will([Act::Refuse(limited(LimitScope::App, 30 * MINUTE))]);

    run_for(120 * MINUTE, world.engine()).await;

    let gaps = world.platform.gaps();
    assert_eq!(gaps.len(), 6, "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap >= 59), "one per minute, but after {gaps:?} s");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_when_its_app_must_wait_is_not_sent_unless_a_person_lifts_it() {
    for lifted in [false, true] {
        let world = World::with(|_, platform| platform.can_look = false, &["hello"]).await;
        let other = Account::new("other", world.account.platform.clone(), world.clock.now());
        world.backend.accounts.insert(&other).await.unwrap();
        world.platform.will([Act::Refuse(limited(LimitScope::App, 30 * MINUTE))]);
        let now = world.clock.now();
        world.insert(world.job()).await;
        // Claimed ahead with the first, and due only after its answer.
        let in_hand = NewJob {
            lane: Some(other.lane()),
            account_id: Some(other.id),
            planned_at: now + TimeDelta::milliseconds(240),
            ..world.job()
        };
        let in_hand = world.insert(in_hand).await;
        let blocks = Arc::clone(&world.backend.blocks);
        let engine = tokio::spawn(run_for(MINUTE, world.engine()));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(world.state(in_hand).await.0, JobState::Running);
        if lifted {
            let app = other.lane().app().to_owned();
            blocks.lift(&app, BlockReason::RateLimit).await.unwrap();
        }
        engine.await.unwrap();

        let expected = if lifted { JobState::Succeeded } else { JobState::Enqueued };
        let story = world.story(in_hand).await;
        assert_eq!(story.job.state, expected, "lifted {lifted}: {:?}", story.events);
        assert_eq!(world.platform.asked().len(), if lifted { 2 } else { 1 }, "lifted {lifted}");
    }
}
