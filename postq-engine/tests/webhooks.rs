//! Webhooks: what is told to whom, and what a dead endpoint costs. On the memory backend under paused time;
//! the endpoints do what the test wrote down for them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, TokioClock};
use postq_core::content::{Content, Draft, Post};
use postq_core::courier::{Courier, Dispatch, Reply};
use postq_core::error::{ErrorKind, StoreError};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{JobId, TenantId, WebhookId};
use postq_core::intent::Receipt;
use postq_core::job::{Applied, Job, JobKind, NewJob, Topic};
use postq_core::machine::JobState;
use postq_core::memory::{MemoryBackend, MemoryWebhooks};
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_core::schedule::{Misfire, Schedule, Timing};
use postq_core::store::{Block, BlockReason, BlockStore, Edited, JobFilter, Page};
use postq_core::vault::{ChaChaVault, Vault};
use postq_core::webhook::{Endpoint, EventKind, WebhookStore};
use postq_engine::webhooks::{Delivery, WebhookDesk, WebhookError, Webhooks};
use postq_engine::{Engine, Settings, TopicWorkers};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Publishes, or fails as the text says.
#[derive(Debug)]
struct ByText {
    name: PlatformName,
    clock: Arc<dyn Clock>,
    /// When each post came out, by its text.
    out: Mutex<Vec<(String, DateTime<Utc>)>>,
}

#[async_trait]
impl Platform for ByText {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let why = "as the test wants";
        match part.text.split(' ').next().unwrap_or_default() {
            "refuse" => return Err(Failure::not_published(FailureClass::Content, why)),
            "auth" => return Err(Failure::not_published(FailureClass::Auth, why)),
            "cut" => return Err(Failure::unknown(FailureClass::Network, why)),
            _ => {}
        }
        let mut out = self.out.lock().unwrap();
        out.push((part.text.to_owned(), self.clock.now()));
        let receipt = Receipt {
            part: part.part,
            remote_id: format!("r{}", out.len()),
            url: Some(format!("https://social.example/r{}", out.len())),
            published_at: self.clock.now(),
            dry_run: false,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }
}

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer(u16),
    /// 503, and asks for this wait.
    AskToWait(Duration),
    /// No answer: an error.
    Fail,
    /// No answer, ever.
    Hang,
}

/// A request as it came to an endpoint.
#[derive(Clone, Debug)]
struct Sent {
    at: DateTime<Utc>,
    url: String,
    id: String,
    body: Value,
    secrets: Vec<String>,
}

type Script = Box<dyn Fn(&Sent) -> Act + Send + Sync>;

/// Endpoints that do as they are told, and remember what they were.
struct Endpoints {
    clock: Arc<dyn Clock>,
    script: Mutex<Script>,
    sent: Mutex<Vec<Sent>>,
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoints")
    }
}

#[async_trait]
impl Courier for Endpoints {
    fn problem(&self, url: &str) -> Option<String> {
        (!url.starts_with("https://")).then(|| "expected https".to_owned())
    }

    async fn deliver<'a>(&self, dispatch: Dispatch<'a>) -> Result<Reply, Failure> {
        let sent = Sent {
            at: self.clock.now(),
            url: dispatch.url.to_owned(),
            id: dispatch.id.to_owned(),
            body: serde_json::from_str(dispatch.body).unwrap(),
            secrets: dispatch.secrets.iter().map(|s| s.expose_secret().to_owned()).collect(),
        };
        let act = (self.script.lock().unwrap())(&sent);
        self.sent.lock().unwrap().push(sent);
        let reply = |status, retry_after| {
            Ok(Reply { status, retry_after, text: "as the test wants".to_owned() })
        };
        match act {
            Act::Answer(status) => reply(status, None),
            Act::AskToWait(wait) => reply(503, Some(wait)),
            Act::Fail => Err(Failure::not_published(FailureClass::Network, "no answer")),
            Act::Hang => std::future::pending().await,
        }
    }
}

/// A store of endpoints that can be away.
#[derive(Debug, Default)]
struct Away {
    inner: MemoryWebhooks,
    /// How it is away: it fails, or hangs.
    how: Mutex<Option<Act>>,
}

impl Away {
    fn is(&self, how: Option<Act>) {
        *self.how.lock().unwrap() = how;
    }

    async fn reach(&self) -> Result<(), StoreError> {
        let how = *self.how.lock().unwrap();
        match how {
            None => Ok(()),
            Some(Act::Hang) => std::future::pending().await,
            Some(_) => Err(StoreError::new(ErrorKind::Unavailable, "list webhooks")),
        }
    }
}

#[async_trait]
impl WebhookStore for Away {
    async fn insert(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        self.inner.insert(endpoint).await
    }

    async fn find(&self, id: WebhookId) -> Result<Option<Endpoint>, StoreError> {
        self.reach().await?;
        self.inner.find(id).await
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Endpoint>, StoreError> {
        self.reach().await?;
        self.inner.list(tenant).await
    }

    async fn update(&self, endpoint: &Endpoint) -> Result<Edited, StoreError> {
        self.inner.update(endpoint).await
    }

    async fn remove(&self, id: WebhookId) -> Result<Applied, StoreError> {
        self.inner.remove(id).await
    }
}

struct World {
    clock: Arc<dyn Clock>,
    backend: Backend,
    platform: Arc<ByText>,
    store: Arc<Away>,
    post: Arc<Endpoints>,
    desk: WebhookDesk,
    vault: Arc<dyn Vault>,
    account: Account,
    running: JoinSet<()>,
}

impl World {
    /// A world whose engine runs.
    async fn new() -> Self {
        let mut world = Self::at_rest().await;
        world.start();
        world
    }

    async fn at_rest() -> Self {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
        let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
        let name = "scripted".parse().unwrap();
        let platform = ByText { name, clock: Arc::clone(&clock), out: Mutex::default() };
        let script: Mutex<Script> = Mutex::new(Box::new(|_| Act::Answer(200)));
        let post = Endpoints { clock: Arc::clone(&clock), script, sent: Mutex::default() };
        let (store, post) = (Arc::new(Away::default()), Arc::new(post));
        let vault: Arc<dyn Vault> = Arc::new(ChaChaVault::new(&[7; 32]));
        let webhooks = Webhooks { store: store.clone(), courier: post.clone() };
        let desk = WebhookDesk::new(webhooks, backend.clone(), Some(Arc::clone(&vault)));
        let account = Account::new("main", "scripted".parse().unwrap(), clock.now());
        backend.accounts.insert(&account).await.unwrap();
        let platform = Arc::new(platform);
        let running = JoinSet::new();
        Self { clock, backend, platform, store, post, desk, vault, account, running }
    }

    fn start(&mut self) {
        let webhooks = Webhooks { store: self.store.clone(), courier: self.post.clone() };
        let mut settings = Settings { lease: Duration::from_secs(60), ..Settings::default() };
        settings.topics.push(TopicWorkers { topic: Topic::webhook(), at_once: 4 });
        let engine = Engine::builder(self.backend.clone())
            .platform(self.platform.clone())
            .vault(Arc::clone(&self.vault))
            .clock(Arc::clone(&self.clock))
            .webhooks(webhooks)
            .settings(settings)
            .build()
            .unwrap();
        self.running.spawn(async move { engine.run(CancellationToken::new()).await });
    }

    /// As a crash would.
    async fn crash(&mut self) {
        self.running.shutdown().await;
    }

    fn answers(&self, script: impl Fn(&Sent) -> Act + Send + Sync + 'static) {
        *self.post.script.lock().unwrap() = Box::new(script);
    }

    fn sent(&self) -> Vec<Sent> {
        self.post.sent.lock().unwrap().clone()
    }

    async fn endpoint(&self, name: &str, events: &[EventKind]) -> WebhookId {
        let url = format!("https://{name}.example/");
        self.desk.add(WebhookId::new(), &url, events).await.unwrap().0.id
    }

    async fn say(&self, text: &str, at: DateTime<Utc>) {
        self.say_with(text, at, |_| {}).await;
    }

    async fn say_with(&self, text: &str, at: DateTime<Utc>, change: impl FnOnce(&mut Schedule)) {
        let post = Post::new(Content::text(text), self.clock.now());
        self.backend.posts.insert(std::slice::from_ref(&post)).await.unwrap();
        let (timing, now) = (Timing::OneShot { at, local: None }, self.clock.now());
        let mut schedule = Schedule::new(post.id, vec![self.account.id], timing, now);
        schedule.next_run_at = Some(at);
        change(&mut schedule);
        self.backend.schedules.insert(&[schedule]).await.unwrap();
    }

    async fn jobs(&self, kind: &str) -> Vec<Job> {
        let page = Page::first(1_000);
        let all = self.backend.jobs.list(TenantId::DEFAULT, &JobFilter::default(), page).await;
        all.unwrap().into_iter().filter(|job| job.made.kind.as_str() == kind).collect()
    }

    async fn deliveries(&self, id: WebhookId) -> Vec<Job> {
        self.desk.deliveries(id, Page::first(1_000)).await.unwrap()
    }

    /// The delivery that is all that there is.
    async fn delivery(&self, id: WebhookId) -> Job {
        let mut all = self.deliveries(id).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    async fn until(&self, what: &str, done: impl AsyncFn(&Self) -> bool) {
        for tried in 0..5_000 {
            if done(self).await {
                return;
            }
            self.sleep(if tried < 100 { 1 } else { 60 }).await;
        }
        panic!("never: {what}");
    }

    async fn publish(&self, text: &str) {
        let before = self.platform.out.lock().unwrap().len();
        self.say(text, self.clock.now()).await;
        self.until("it is out", async |world| world.platform.out.lock().unwrap().len() > before)
            .await;
    }

    async fn sleep(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_end_is_told_to_those_who_want_it() {
    let world = World::new().await;
    let all = world.endpoint("all", &[]).await;
    let dead = world.endpoint("dead", &[EventKind::JobDead, EventKind::JobOutcomeUnknown]).await;
    let paused = world.endpoint("paused", &[]).await;
    world.desk.pause(paused, "not now").await.unwrap();
    world.sleep(5).await;
    let (now, late) = (world.clock.now(), world.clock.now() - TimeDelta::hours(1));

    world.say("hello secret-text", now).await;
    world.say("refuse secret-text", now).await;
    world.say("cut secret-text", now).await;
    world.until("three are told", async |world| world.sent().len() >= 5).await;
    world.sleep(60).await;

    let told: Vec<_> = world.sent();
    let of = |host: &str| {
        let mut types: Vec<_> = told
            .iter()
            .filter(|sent| sent.url == format!("https://{host}.example/"))
            .map(|sent| sent.body["type"].as_str().unwrap().to_owned())
            .collect();
        types.sort();
        types
    };
    assert_eq!(of("all"), ["job.dead", "job.outcome_unknown", "job.succeeded"]);
    assert_eq!(of("dead"), ["job.dead", "job.outcome_unknown"]);
    assert_eq!(told.len(), 5, "nobody else, nothing twice, nothing of deliveries: {told:?}");
    for sent in &told {
        assert!(!sent.body.to_string().contains("secret-text"), "no text: {sent:?}");
        assert_eq!(sent.body["data"]["account"], "main");
        assert!(DateTime::parse_from_rfc3339(sent.body["timestamp"].as_str().unwrap()).is_ok());
    }
    let out = told.iter().find(|sent| sent.body["type"] == "job.succeeded").unwrap();
    let data = &out.body["data"];
    assert_eq!(data["publication"]["remote_id"], "r1");
    assert_eq!(data["publication"]["url"], "https://social.example/r1");
    assert_eq!((&data["state"], &data["platform"]), (&json!("succeeded"), &json!("scripted")));
    assert_eq!(data["planned_at"], json!(now));
    let job: JobId = data["job_id"].as_str().unwrap().parse().unwrap();
    let made = world.backend.jobs.story(job).await.unwrap().unwrap().job.made;
    assert_eq!(data["correlation_id"], json!(made.correlation_id));
    let gone = told.iter().find(|sent| sent.body["type"] == "job.dead").unwrap();
    assert_eq!(gone.body["data"]["dead_reason"], "content");
    assert!(gone.body["data"]["reason"].as_str().unwrap().contains("as the test wants"));
    assert_eq!((world.deliveries(all).await.len(), world.deliveries(dead).await.len()), (3, 2));
    assert!(world.deliveries(paused).await.is_empty(), "nothing is made for a paused one");

    // Too late at its first claim: planned in time, and then nobody was there.
    let skipped = |schedule: &mut Schedule| {
        schedule.misfire = Misfire::Skip;
        schedule.grace = Duration::from_secs(60);
    };
    let job = world.jobs(JobKind::PUBLISH).await.remove(0);
    world.say_with("late", world.clock.now() + TimeDelta::days(1), skipped).await;
    let schedules = world.backend.schedules.list(TenantId::DEFAULT, Page::first(10)).await.unwrap();
    let late = NewJob {
        id: JobId::new(),
        planned_at: late,
        dedupe_key: None,
        schedule_id: schedules.last().map(|schedule| schedule.id),
        ..job.made
    };
    world.backend.jobs.insert(&[late]).await.unwrap();
    world.until("missed", async |world| world.sent().len() > 5).await;
    assert_eq!(world.sent()[5].body["type"], "job.missed");
    assert_eq!(world.sent()[5].body["data"]["state"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn what_a_planner_finds_missed_is_told_once_to_each() {
    let mut world = World::at_rest().await;
    let skipped = |schedule: &mut Schedule| schedule.misfire = Misfire::Skip;
    let late = world.clock.now() - TimeDelta::hours(1);
    world.say_with("nobody was there", late, skipped).await;
    let one = world.endpoint("one", &[EventKind::JobMissed]).await;
    let two = world.endpoint("two", &[]).await;
    let other = world.endpoint("other", &[EventKind::JobDead]).await;
    world.start();

    world.until("told", async |world| world.sent().len() >= 2).await;
    world.sleep(600).await;

    let told = world.sent();
    assert_eq!(told.len(), 2, "{told:?}");
    let job = world.jobs(JobKind::PUBLISH).await.remove(0);
    for sent in &told {
        let data = &sent.body["data"];
        assert_eq!(sent.body["type"], "job.missed");
        assert_eq!((&data["job_id"], &data["state"]), (&json!(job.id()), &json!("cancelled")));
        assert_eq!((&data["account"], &data["platform"]), (&json!("main"), &json!("scripted")));
        assert_eq!((&data["reason"], &data["planned_at"]), (&json!("missed"), &json!(late)));
        assert_eq!(data["correlation_id"], json!(job.made.correlation_id));
    }
    let made = async |id| world.deliveries(id).await.len();
    assert_eq!((made(one).await, made(two).await, made(other).await), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_just_added_hears_of_what_ends_next() {
    let world = World::new().await;
    // The planner has looked who wants to know of what it finds missed.
    world.say("later", world.clock.now() + TimeDelta::days(1)).await;
    world.sleep(1).await;
    world.endpoint("all", &[]).await;

    let now = world.clock.now();
    world.say("now", now).await;

    world.until("told", async |world| !world.sent().is_empty()).await;
    assert_eq!(world.sent()[0].body["type"], "job.succeeded");
    assert!(world.clock.now() < now + TimeDelta::hours(1), "not of the other one alone");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_of_what_is_missed_where_nobody_wants_to_know() {
    let mut world = World::at_rest().await;
    let skipped = |schedule: &mut Schedule| schedule.misfire = Misfire::Skip;
    world.say_with("late", world.clock.now() - TimeDelta::hours(1), skipped).await;
    world.endpoint("other", &[EventKind::JobDead]).await;
    world.start();

    world.sleep(60).await;

    assert_eq!(world.jobs(JobKind::PUBLISH).await[0].state, JobState::Cancelled);
    assert!(world.jobs(JobKind::WEBHOOK_DELIVER).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_needs_a_person_is_told_once() {
    let mut world = World::at_rest().await;
    let id = world.endpoint("all", &[EventKind::AccountNeedsAttention]).await;
    for n in 0..3 {
        world.say(&format!("auth {n}"), world.clock.now()).await;
    }
    world.start();

    world.until("told", async |world| !world.sent().is_empty()).await;
    world.sleep(3_600).await;

    let told = world.sent();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].body["type"], "account.needs_attention");
    assert_eq!(told[0].body["data"]["account_id"], json!(world.account.id));
    assert_eq!(world.deliveries(id).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_holds_up_neither_posts_nor_others() {
    let world = World::new().await;
    let dead = world.endpoint("dead", &[]).await;
    let alive = world.endpoint("alive", &[]).await;
    world.answers(|sent| if sent.url.contains("dead") { Act::Hang } else { Act::Answer(204) });
    let begin = world.clock.now() + TimeDelta::seconds(60);
    let at = |n: i32| begin + TimeDelta::seconds(2) * n;

    for n in 0..40 {
        world.say(&format!("post {n}"), at(n)).await;
    }
    world.sleep(240).await;

    let out = world.platform.out.lock().unwrap().clone();
    let expected: Vec<_> = (0..40).map(|n| (format!("post {n}"), at(n))).collect();
    assert_eq!(out, expected, "each on its very moment, in order");
    let told = world.sent();
    let of = |host: &str| told.iter().filter(|sent| sent.url.contains(host)).count();
    assert_eq!((of("alive"), of("dead")), (40, 1), "one request hangs, alone");
    let states = |jobs: Vec<Job>, state| jobs.iter().filter(|job| job.state == state).count();
    assert_eq!(states(world.deliveries(alive).await, JobState::Succeeded), 40);
    assert_eq!(states(world.deliveries(dead).await, JobState::Enqueued), 39);
}

#[tokio::test(start_paused = true)]
async fn what_is_never_taken_is_tried_for_a_day_and_pauses_the_endpoint() {
    let world = World::new().await;
    let id = world.endpoint("dead", &[]).await;
    world.answers(|_| Act::Answer(500));

    world.publish("hello").await;
    let is_dead = async |world: &World| world.delivery(id).await.state == JobState::DeadLetter;
    world.until("it gives up", is_dead).await;

    let told = world.sent();
    let lasted = told.last().unwrap().at - told[0].at;
    assert_eq!(told.len(), 15);
    assert!(lasted > TimeDelta::hours(16) && lasted < TimeDelta::hours(36), "{lasted}");
    assert!(told.iter().all(|sent| sent.id == told[0].id && sent.body == told[0].body));
    let gaps: Vec<_> =
        told.windows(2).map(|pair| (pair[1].at - pair[0].at).num_seconds()).collect();
    assert!(
        gaps[0] <= 46 && gaps[13] >= 7_200 && gaps.iter().all(|gap| *gap <= 21_600),
        "{gaps:?}"
    );
    let reason = world.delivery(id).await.reason.unwrap();
    assert!(reason.contains("the endpoint answered 500: as the test wants"), "{reason}");
    let why = world.desk.find(id).await.unwrap().paused.expect("paused").why;
    assert!(why.contains("used up its attempts"), "{why}");
    let notices = world.jobs(JobKind::NOTIFY).await;
    let paused: Vec<_> = notices
        .iter()
        .filter(|job| job.made.payload.to_string().contains("webhook_paused"))
        .collect();
    assert_eq!(paused.len(), 1, "a person is told: {notices:?}");

    world.sleep(5).await;
    world.publish("again").await;
    assert_eq!(world.deliveries(id).await.len(), 1, "nothing is made for it any more");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_pauses_nobody_and_a_long_one_does() {
    let world = World::new().await;
    let id = world.endpoint("down", &[]).await;
    world.answers(|_| Act::Fail);

    for n in 0..60 {
        world.publish(&format!("burst {n}")).await;
    }
    assert!(world.sent().len() >= 60);
    assert_eq!(world.desk.find(id).await.unwrap().paused, None, "a minute is no death");

    let is_paused = async |world: &World| world.desk.find(id).await.unwrap().paused.is_some();
    let since = world.clock.now();
    world.until("paused", is_paused).await;
    let lasted = world.clock.now() - since;
    assert!(lasted > TimeDelta::minutes(50) && lasted < TimeDelta::hours(3), "{lasted}");
    let sent = world.sent().len();
    world.sleep(86_400).await;
    assert_eq!(world.sent().len(), sent, "what waits is not tried");

    world.answers(|_| Act::Answer(200));
    world.desk.resume(id).await.unwrap();
    world.sleep(60).await;
    let all = world.deliveries(id).await;
    assert!(all.iter().all(|job| job.state == JobState::Succeeded), "what waited is sent");
    assert_eq!(all.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_no_more_is_paused_at_once_and_gets_what_waited_when_resumed() {
    let world = World::new().await;
    let id = world.endpoint("gone", &[]).await;
    world.answers(|_| Act::Answer(410));

    world.publish("hello").await;
    let is_paused = async |world: &World| world.desk.find(id).await.unwrap().paused.is_some();
    world.until("paused", is_paused).await;
    world.sleep(86_400).await;

    assert_eq!(world.sent().len(), 1, "never asked again");
    let delivery = world.delivery(id).await;
    assert_eq!((delivery.state, delivery.attempt), (JobState::Failed, 1), "it waits");
    assert!(world.desk.find(id).await.unwrap().paused.unwrap().why.contains("410"));
    let refused = world.desk.resend(id, delivery.id(), JobId::new()).await.unwrap_err();
    assert!(refused.to_string().contains("resume it first"), "{refused}");

    world.answers(|_| Act::Answer(200));
    world.desk.resume(id).await.unwrap();
    world.sleep(5).await;
    assert_eq!(world.delivery(id).await.state, JobState::Succeeded);
    assert_eq!(world.sent()[0].id, world.sent()[1].id);
    world.publish("again").await;
    world.sleep(5).await;
    assert_eq!(world.sent().len(), 3, "it is told again");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_an_endpoint_asks_for_is_kept_within_bounds() {
    let world = World::new().await;
    let _ = world.endpoint("slow", &[]).await;
    world.answers(|_| Act::AskToWait(Duration::from_secs(1_800)));
    world.publish("hello").await;
    world.until("asked twice", async |world| world.sent().len() == 2).await;
    world.answers(|_| Act::AskToWait(Duration::from_secs(86_400 * 365)));
    world.until("asked four times", async |world| world.sent().len() == 4).await;

    let sent = world.sent();
    let gaps: Vec<_> =
        sent.windows(2).map(|pair| (pair[1].at - pair[0].at).num_seconds()).collect();
    // A job is claimed a little before it is due.
    assert!((1_799..=1_801).contains(&gaps[0]), "{gaps:?}");
    assert!((14_399..=14_401).contains(&gaps[2]), "a year is not waited for: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_it_is_written_down_delivers_again_as_the_same_event() {
    let mut world = World::new().await;
    let id = world.endpoint("slow", &[]).await;
    // It has taken the event, and its answer is not in when the process ends.
    world.answers(|_| Act::Hang);
    world.publish("hello").await;
    world.until("taken", async |world| world.sent().len() == 1).await;
    world.crash().await;
    world.answers(|_| Act::Answer(200));
    world.start();

    world.until("told", async |world| world.sent().len() == 2).await;
    world.sleep(600).await;

    let sent = world.sent();
    assert_eq!((sent.len(), &sent[0].id), (2, &sent[1].id));
    assert_eq!(sent[0].body, sent[1].body);
    assert_eq!(world.delivery(id).await.state, JobState::Succeeded);
    assert_eq!(world.platform.out.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_say_who_is_told_holds_up_nothing_and_loses_nothing() {
    for how in [Act::Fail, Act::Hang] {
        let world = World::new().await;
        let some = world.endpoint("some", &[EventKind::JobSucceeded]).await;
        let other = world.endpoint("other", &[EventKind::JobDead]).await;
        world.store.is(Some(how));
        let at = world.clock.now() + TimeDelta::seconds(30);
        for n in 0..3 {
            world.say(&format!("post {n}"), at + TimeDelta::seconds(n)).await;
        }
        world.sleep(40).await;

        let out = world.platform.out.lock().unwrap().clone();
        assert_eq!(out.len(), 3);
        assert!(out.iter().zip(0..).all(|((_, moment), n)| *moment == at + TimeDelta::seconds(n)));
        let published = world.jobs(JobKind::PUBLISH).await;
        for job in &published {
            assert_eq!(job.state, JobState::Succeeded);
            let took = job.finished_at.unwrap() - job.made.planned_at;
            assert!(took <= TimeDelta::seconds(2), "{took}");
        }
        assert!(world.sent().is_empty());

        world.store.is(None);
        world.until("told", async |world| world.sent().len() == 3).await;
        world.sleep(600).await;
        assert_eq!(world.sent().len(), 3, "each once");
        assert_eq!(world.deliveries(some).await.len(), 3);
        assert!(world.deliveries(other).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_sent_again_on_demand_as_the_same_event() {
    let world = World::new().await;
    let id = world.endpoint("all", &[]).await;
    world.publish("hello").await;
    world.until("told", async |world| world.sent().len() == 1).await;
    world.sleep(1).await;
    let first = world.delivery(id).await;

    // One that was taken: a new job, made once however often it is asked for.
    let again = JobId::new();
    for _ in 0..2 {
        assert_eq!(world.desk.resend(id, first.id(), again).await.unwrap().id(), again);
    }
    world.until("again", async |world| world.sent().len() == 2).await;
    // One that waits for its retry is due now.
    world.answers(|_| Act::Answer(500));
    world.publish("waits").await;
    world.until("refused", async |world| world.sent().len() == 3).await;
    world.sleep(1).await;
    world.answers(|_| Act::Answer(200));
    let waiting = world.deliveries(id).await;
    let waiting = waiting.into_iter().find(|job| job.state == JobState::Failed).unwrap();
    let by = world.desk.resend(id, waiting.id(), JobId::new()).await.unwrap();
    assert_eq!(by.id(), waiting.id());
    world.sleep(2).await;

    let sent = world.sent();
    assert_eq!(sent.len(), 4);
    assert_eq!((&sent[0].id, &sent[0].body), (&sent[1].id, &sent[1].body));
    assert_eq!(sent[2].id, sent[3].id);
    assert_ne!(sent[0].id, sent[2].id);
    let all = world.deliveries(id).await;
    assert!(all.iter().all(|job| job.state == JobState::Succeeded), "{all:?}");
    let about = Delivery::of(&all[0]).unwrap();
    assert_eq!((about.id, about.event), (sent[0].id.clone(), EventKind::JobSucceeded));

    let other = world.endpoint("other", &[]).await;
    let foreign = world.desk.resend(other, first.id(), JobId::new()).await.unwrap_err();
    assert!(matches!(foreign, WebhookError::NotFound(_)), "{foreign}");
    let post = world.jobs(JobKind::PUBLISH).await.remove(0);
    let no_delivery = world.desk.resend(id, post.id(), JobId::new()).await.unwrap_err();
    assert!(matches!(no_delivery, WebhookError::NotFound(_)), "{no_delivery}");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_gave_up_is_replayed_on_demand() {
    let world = World::new().await;
    let id = world.endpoint("dead", &[]).await;
    world.answers(|_| Act::Answer(500));
    world.publish("hello").await;
    let is_dead = async |world: &World| world.delivery(id).await.state == JobState::DeadLetter;
    world.until("it gives up", is_dead).await;
    let dead = world.delivery(id).await;
    world.answers(|_| Act::Answer(200));
    world.desk.resume(id).await.unwrap();

    let by = world.desk.resend(id, dead.id(), JobId::new()).await.unwrap();
    assert_eq!(by.replay_of, Some(dead.id()));
    world.sleep(2).await;

    let sent = world.sent();
    assert_eq!((sent.len(), &sent[15].id), (16, &sent[0].id));
    let all = world.deliveries(id).await;
    assert_eq!(all[1].state, JobState::Succeeded);
    assert!(all[0].resolution.is_some(), "nobody has to deal with it any more");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_secret_signs_for_a_day() {
    let world = World::new().await;
    let (endpoint, first) =
        world.desk.add(WebhookId::new(), "https://all.example/", &[]).await.unwrap();
    world.publish("one").await;
    world.until("told", async |world| world.sent().len() == 1).await;

    let (_, second) = world.desk.rotate(endpoint.id).await.unwrap();
    world.publish("two").await;
    world.until("told", async |world| world.sent().len() == 2).await;
    world.sleep(86_400).await;
    world.publish("three").await;
    world.until("told", async |world| world.sent().len() == 3).await;

    let text = |secret: &SecretString| secret.expose_secret().to_owned();
    let signed: Vec<_> = world.sent().into_iter().map(|sent| sent.secrets).collect();
    let (first, second) = (text(&first), text(&second));
    assert!(first.starts_with("whsec_") && first != second);
    assert_eq!(signed, [vec![first.clone()], vec![second.clone(), first.clone()], vec![second]]);
    let kept = format!("{:?}", world.store.inner);
    assert!(!kept.contains(&first), "sealed");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_endpoint_that_was_taken_away_ends_quietly() {
    let world = World::new().await;
    let id = world.endpoint("down", &[]).await;
    world.answers(|_| Act::Answer(500));
    world.publish("hello").await;
    world.until("refused", async |world| world.sent().len() == 1).await;
    world.desk.pause(id, "for now").await.unwrap();

    world.desk.remove(id, None).await.unwrap();
    world.publish("again").await;
    world.sleep(86_400).await;

    assert_eq!(world.sent().len(), 1);
    let left = world.jobs(JobKind::WEBHOOK_DELIVER).await;
    assert!(left.iter().all(|job| job.state == JobState::Succeeded), "{left:?}");
    assert!(world.jobs(JobKind::NOTIFY).await.is_empty(), "nobody is bothered");
    assert!(matches!(world.desk.find(id).await, Err(WebhookError::NotFound(_))));
}

/// Blocks that come late: after somebody has resumed what is being paused.
#[derive(Debug)]
struct Late {
    inner: Arc<dyn BlockStore>,
    desk: WebhookDesk,
}

#[async_trait]
impl BlockStore for Late {
    async fn block(&self, block: &Block) -> Result<(), StoreError> {
        for endpoint in self.desk.list().await.unwrap() {
            self.desk.resume(endpoint.id).await.unwrap();
        }
        self.inner.block(block).await
    }

    async fn lift(&self, scope: &str, reason: BlockReason) -> Result<(), StoreError> {
        self.inner.lift(scope, reason).await
    }

    async fn blocks(&self) -> Result<Vec<Block>, StoreError> {
        self.inner.blocks().await
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_resumed_while_being_paused_is_not_held_for_ever() {
    let world = World::new().await;
    let id = world.endpoint("all", &[]).await;
    let late = Late { inner: Arc::clone(&world.backend.blocks), desk: world.desk.clone() };
    let backend = Backend { blocks: Arc::new(late), ..world.backend.clone() };
    let webhooks = Webhooks { store: world.store.clone(), courier: world.post.clone() };
    let desk = WebhookDesk::new(webhooks, backend, Some(Arc::clone(&world.vault)));

    desk.pause(id, "for now").await.unwrap();

    assert!(world.desk.find(id).await.unwrap().paused.is_none());
    assert_eq!(world.backend.blocks.blocks().await.unwrap(), []);
    world.publish("hello").await;
    world.until("told", async |world| world.sent().len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_tried_paused_or_not() {
    let world = World::new().await;
    let id = world.endpoint("all", &[EventKind::JobDead]).await;
    world.desk.pause(id, "for now").await.unwrap();

    let tried = world.desk.test(id).await.unwrap();
    assert!(tried.answer.unwrap().is_taken());
    let sent = world.sent().remove(0);
    assert_eq!((&sent.body["type"], &sent.id), (&json!("ping"), &tried.id));
    world.answers(|_| Act::Fail);
    assert!(world.desk.test(id).await.unwrap().answer.is_err());
    assert!(world.deliveries(id).await.is_empty(), "no job is made for it");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused() {
    let world = World::at_rest().await;
    let add = async |url: &str, events: &[EventKind]| {
        world.desk.add(WebhookId::new(), url, events).await.map(|made| made.0)
    };

    let url = add("ftp://a.example/", &[]).await.unwrap_err();
    assert!(matches!(url, WebhookError::Invalid { field: "url", .. }), "{url}");
    let long = format!("https://a.example/{}", "x".repeat(2_048));
    assert!(matches!(add(&long, &[]).await, Err(WebhookError::Invalid { field: "url", .. })));
    let ping = add("https://a.example/", &[EventKind::Ping]).await.unwrap_err();
    assert!(matches!(ping, WebhookError::Invalid { field: "events", .. }), "{ping}");
    let twice = [EventKind::JobMissed, EventKind::JobDead, EventKind::JobMissed];
    let made = add("https://a.example/", &twice).await.unwrap();
    assert_eq!(made.events, [EventKind::JobDead, EventKind::JobMissed]);
    for n in 1..Endpoint::MOST {
        add(&format!("https://{n}.example/"), &[]).await.unwrap();
    }
    let full = add("https://full.example/", &[]).await.unwrap_err();
    assert!(full.to_string().contains("there are 20 webhooks"), "{full}");

    let changed = world.desk.change(made.id, Some(1), Some("https://b.example/"), None).await;
    let changed = changed.unwrap();
    assert_eq!((changed.version, changed.url.as_str()), (2, "https://b.example/"));
    let late = world.desk.change(made.id, Some(1), None, Some(&[])).await.unwrap_err();
    assert!(matches!(late, WebhookError::Changed(_)), "{late}");
    assert!(matches!(world.desk.remove(made.id, Some(1)).await, Err(WebhookError::Changed(_))));
    let theirs = world.desk.clone().for_tenant(TenantId::new());
    assert!(matches!(theirs.find(made.id).await, Err(WebhookError::NotFound(_))));
}
