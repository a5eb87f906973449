//! One world per backend: the reference backend under paused time; a SQLite file, Postgres, and Postgres
//! with Redis beside it in real time.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::clock::{Clock, SystemClock, TokioClock};
use postq::core::content::{Content, Part, Post};
use postq::core::fallback::{Beside, Breaker, BreakerSettings, LimiterMode, LocalMode};
use postq::core::id::{AccountId, JobId, PostId, ScheduleId, TenantId};
use postq::core::job::{Job, JobKind};
use postq::core::media::{MediaCatalog, UploadStore};
use postq::core::memory::{MemoryBackend, MemoryWebhooks};
use postq::core::retry::FixedSteps;
use postq::core::schedule::{Schedule, Timing};
use postq::core::store::{JobFilter, JobStory, Page};
use postq::core::webhook::WebhookStore;
use postq::engine::{Engine, EngineBuilder, Settings};
use postq::sqlite::SqliteStore;
use postq_postgres::PgStore;
use postq_redis::Redis;
use tempfile::TempDir;
use test_servers::{Postgres as PostgresServer, Redis as RedisServer};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[allow(unused_macros, reason = "some tests are about one backend alone")]
/// Writes each test once per store: `memory::NAME` under paused time, `sqlite::NAME` and `postgres::NAME`
/// in real time.
macro_rules! over_stores {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(crate::backends::Bench::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::backends::Bench::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::backends::Bench::postgres().await).await;
            })*
        }
    };
}
#[allow(unused_imports, reason = "some tests are about one backend alone")]
pub(crate) use over_stores;

#[allow(unused_macros, reason = "some tests are about one backend alone")]
/// Writes each test that is about Redis over Postgres with Redis beside it: `redis::NAME`.
macro_rules! over_redis {
    ($($name:ident),* $(,)?) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::backends::Bench::postgres_redis().await).await;
            })*
        }
    };
}
#[allow(unused_imports, reason = "some tests are about one backend alone")]
pub(crate) use over_redis;

#[allow(unused_macros, reason = "some tests are about one backend alone")]
/// Writes each test over every composition: as `over_stores`, and `postgres_redis::NAME`.
macro_rules! over_backends {
    ($($name:ident),* $(,)?) => {
        crate::backends::over_stores!($($name),*);
        mod postgres_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::backends::Bench::postgres_redis().await).await;
            })*
        }
    };
}
#[allow(unused_imports, reason = "some tests are about one backend alone")]
pub(crate) use over_backends;

/// How long things take: as in real life where time is paused, short where it is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) send_timeout: Duration,
    pub(crate) settle_time: Duration,
    pub(crate) lease: Duration,
    pub(crate) sweep_every: Duration,
    /// The wait before each retry.
    pub(crate) retry: Duration,
    /// Between two looks of a test at the store.
    pub(crate) poll: Duration,
    /// Nothing may take longer.
    pub(crate) patience: Duration,
}

impl Times {
    pub(crate) const LIFE: Self = Self {
        send_timeout: Duration::from_secs(30),
        settle_time: Duration::from_secs(300),
        lease: Duration::from_secs(60),
        sweep_every: Duration::from_secs(5),
        retry: Duration::from_secs(30),
        poll: Duration::from_secs(1),
        patience: Duration::from_secs(6 * 3_600),
    };

    pub(crate) const SHORT: Self = Self {
        send_timeout: Duration::from_millis(700),
        settle_time: Duration::from_millis(800),
        lease: Duration::from_secs(2),
        sweep_every: Duration::from_millis(200),
        retry: Duration::from_millis(200),
        poll: Duration::from_millis(50),
        patience: Duration::from_secs(40),
    };
}

/// What is later than this is late: little where times are asserted (`POSTQ_TEST_TIMED`, on a machine that is
/// quiet), and elsewhere as much as a very busy machine may add, and still less than a lost wake-up costs.
pub(crate) fn tolerance() -> TimeDelta {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    let is_timed = std::env::var_os("POSTQ_TEST_TIMED").is_some();
    if is_timed { TimeDelta::seconds(2) } else { TimeDelta::seconds(4) }
}

/// A clock that a test can set.
#[derive(Debug)]
pub(crate) struct SetClock {
    host: Arc<dyn Clock>,
    offset: Mutex<TimeDelta>,
}

impl SetClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { host: Arc::new(SystemClock), offset: Mutex::new(TimeDelta::zero()) })
    }

    pub(crate) fn step(&self, by: TimeDelta) {
        *self.offset.lock().expect("nobody panics with it") += by;
    }
}

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        self.host.now() + *self.offset.lock().expect("nobody panics with it")
    }
}

/// An empty backend with the times that suit it.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) backend: Backend,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) times: Times,
    place: Place,
    /// The Redis beside it, and which limiter is in force.
    redis: Option<(Mutex<RedisServer>, Arc<dyn LimiterMode>)>,
}

/// Where a backend keeps what it has, so that it can be opened again.
#[derive(Debug)]
enum Place {
    Memory(Backend),
    File(SqliteStore, TempDir),
    Postgres(PgStore, postq_postgres::Config),
}

impl Bench {
    /// The reference backend; time is expected to be paused.
    pub(crate) fn memory() -> Self {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        Self::memory_with(Arc::new(TokioClock::starting_at(start)), Times::LIFE)
    }

    /// The reference backend by the host's clock, for tests that talk to a server.
    pub(crate) fn memory_in_real_time() -> Self {
        Self::memory_with(Arc::new(SystemClock), Times::SHORT)
    }

    fn memory_with(clock: Arc<dyn Clock>, times: Times) -> Self {
        let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
        Self { place: Place::Memory(backend.clone()), backend, redis: None, clock, times }
    }

    /// The reference backend by the host's clock with a Redis of its own beside it.
    pub(crate) fn memory_redis() -> Self {
        Self::memory_in_real_time().beside(RedisServer::start())
    }

    /// A SQLite file.
    pub(crate) fn sqlite() -> Self {
        Self::sqlite_with(Arc::new(SystemClock))
    }

    /// A SQLite file by this clock.
    pub(crate) fn sqlite_with(clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(&folder.path().join("postq.db"), &clock);
        let (backend, place) = (store.backend(), Place::File(store, folder));
        Self { backend, clock, times: Times::SHORT, place, redis: None }
    }

    /// A schema of its own on the Postgres server that all tests share.
    pub(crate) async fn postgres() -> Self {
        Self::postgres_at(PostgresServer::shared().url()).await
    }

    /// A schema of its own on this Postgres server.
    pub(crate) async fn postgres_at(url: &str) -> Self {
        let schema = PostgresServer::shared().fresh_schema();
        // Few connections: many tests share the server.
        let config = postq_postgres::Config::new(url).in_schema(schema).with_connections(4);
        let store = open_postgres(&config).await;
        Self {
            backend: store.backend(),
            clock: Arc::new(SystemClock),
            times: Times::SHORT,
            place: Place::Postgres(store, config),
            redis: None,
        }
    }

    /// The same with a Redis of its own beside it.
    pub(crate) async fn postgres_redis() -> Self {
        Self::postgres().await.beside(RedisServer::start())
    }

    /// The same stores with this Redis beside them.
    pub(crate) fn beside(mut self, server: RedisServer) -> Self {
        let mode: Arc<dyn LimiterMode> = match &self.place {
            Place::Postgres(store, _) => store.limiter_mode(),
            // Nobody else uses the store.
            Place::Memory(_) | Place::File(..) => Arc::new(LocalMode::new(self.clock.clone())),
        };
        self.backend = beside_redis(self.backend, &server.url(), Arc::clone(&mode));
        self.redis = Some((Mutex::new(server), mode));
        self
    }

    /// With other times.
    pub(crate) fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// The database's path, of a SQLite file.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(store, _) => Some(store.path()),
            Place::Memory(_) | Place::Postgres(..) => None,
        }
    }

    /// How the Postgres schema is opened, of one in Postgres.
    pub(crate) fn schema(&self) -> Option<&postq_postgres::Config> {
        match &self.place {
            Place::Postgres(_, config) => Some(config),
            Place::Memory(_) | Place::File(..) => None,
        }
    }

    /// The endpoints that webhooks are delivered to.
    pub(crate) fn webhooks(&self) -> Arc<dyn WebhookStore> {
        match &self.place {
            Place::Memory(_) => Arc::new(MemoryWebhooks::default()),
            Place::File(store, _) => store.webhooks(),
            Place::Postgres(store, _) => store.webhooks(),
        }
    }

    /// What is known of the files of posts, and how far their uploads are; none in memory.
    pub(crate) fn media(&self) -> Option<(Arc<dyn MediaCatalog>, Arc<dyn UploadStore>)> {
        match &self.place {
            Place::Memory(_) => None,
            Place::File(store, _) => Some((store.media_catalog(), store.uploads())),
            Place::Postgres(store, _) => Some((store.media_catalog(), store.uploads())),
        }
    }

    /// Whether time is paused: then nothing takes any.
    pub(crate) fn is_paused(&self) -> bool {
        self.times.poll == Times::LIFE.poll
    }

    /// The Redis server beside it.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn redis(&self) -> MutexGuard<'_, RedisServer> {
        let (server, _) = self.redis.as_ref().expect("a Redis beside it");
        server.lock().expect("nobody panics with it")
    }

    /// What another process sees: the same file or schema opened again, or the same memory; with a client
    /// of its own to the same Redis.
    pub(crate) async fn another(&self) -> Backend {
        let Some((_, mode)) = &self.redis else { return self.another_without_redis().await };
        let url = self.redis().url();
        match &self.place {
            Place::Postgres(_, config) => {
                let store = open_postgres(config).await;
                beside_redis(store.backend(), &url, store.limiter_mode())
            }
            Place::Memory(_) | Place::File(..) => {
                beside_redis(self.another_without_redis().await, &url, Arc::clone(mode))
            }
        }
    }

    /// What a process sees that reaches the schema in another way.
    pub(crate) async fn another_by(&self, url: &str) -> Backend {
        let schema = &self.schema().expect("a schema in Postgres").schema;
        let config = postq_postgres::Config::new(url).in_schema(schema).with_connections(4);
        open_postgres(&config).await.backend()
    }

    /// The same for a process that knows of no Redis.
    pub(crate) async fn another_without_redis(&self) -> Backend {
        match &self.place {
            Place::Memory(backend) => backend.clone(),
            Place::File(store, _) => open(store.path(), &self.clock).backend(),
            Place::Postgres(_, config) => open_postgres(config).await.backend(),
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Connects an account.
    pub(crate) async fn account(&self, name: &str, platform: &str) -> Account {
        let account = Account::new(name, platform.parse().expect("a name"), self.now());
        self.backend.accounts.insert(&account).await.expect("an account");
        account
    }

    /// Connects accounts `account-0`, `account-1`, ...
    pub(crate) async fn accounts(&self, count: usize, platform: &str) -> Vec<Account> {
        let mut accounts = Vec::with_capacity(count);
        for n in 0..count {
            accounts.push(self.account(&format!("account-{n}"), platform).await);
        }
        accounts
    }

    /// Writes a post whose parts are these texts.
    pub(crate) async fn post(&self, texts: &[&str]) -> Post {
        let parts = texts.iter().map(|text| Part::text(*text)).collect();
        let post = Post::new(Content { parts, ..Content::default() }, self.now());
        self.backend.posts.insert(std::slice::from_ref(&post)).await.expect("a post");
        post
    }

    /// Schedules a post once.
    pub(crate) async fn once(
        &self,
        post: PostId,
        accounts: &[AccountId],
        at: DateTime<Utc>,
    ) -> ScheduleId {
        let schedule = one_shot(post, accounts, at, self.now());
        let id = schedule.id;
        self.backend.schedules.insert(&[schedule]).await.expect("a schedule");
        id
    }

    /// Writes a post of one part and schedules it once, for one account.
    pub(crate) async fn say(&self, text: &str, account: &Account, at: DateTime<Utc>) -> ScheduleId {
        let post = self.post(&[text]).await;
        self.once(post.id, &[account.id], at).await
    }

    /// An engine on this backend with these times, as yet without a platform.
    pub(crate) fn engine(&self) -> EngineBuilder {
        self.engine_on(self.backend.clone())
    }

    /// The same on another view of the backend.
    pub(crate) fn engine_on(&self, backend: Backend) -> EngineBuilder {
        Engine::builder(backend)
            .clock(Arc::clone(&self.clock))
            .retry(Arc::new(FixedSteps { steps: vec![self.times.retry; 9] }))
            .settings(self.settings())
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            lease: self.times.lease,
            sweep_every: self.times.sweep_every,
            ..Settings::default()
        }
    }

    /// All publish jobs, oldest first.
    pub(crate) async fn jobs(&self) -> Vec<Job> {
        let mut jobs = self.all_jobs().await;
        jobs.retain(|job| job.made.kind.as_str() == JobKind::PUBLISH);
        jobs
    }

    /// All jobs of every kind.
    pub(crate) async fn all_jobs(&self) -> Vec<Job> {
        let (mut jobs, all): (Vec<Job>, _) = (Vec::new(), JobFilter::default());
        loop {
            let page =
                Page { after: jobs.last().map(|job| job.id().as_uuid()), ..Page::first(1_000) };
            let listed = self.backend.jobs.list(TenantId::DEFAULT, &all, page).await;
            let more = listed.expect("jobs");
            if more.is_empty() {
                return jobs;
            }
            jobs.extend(more);
        }
    }

    pub(crate) async fn story(&self, id: JobId) -> JobStory {
        self.backend.jobs.story(id).await.expect("a story").expect("the job")
    }

    /// Waits until so many publish jobs are there and all have ended; answers them.
    pub(crate) async fn rest(&self, expected: usize) -> Vec<Job> {
        let done =
            |jobs: &[Job]| jobs.len() >= expected && jobs.iter().all(|job| job.state.is_terminal());
        self.until(&format!("{expected} jobs end"), done).await
    }

    /// Waits until something has happened that no job tells of.
    pub(crate) async fn wait_for(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < self.times.patience, "still waiting until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the publish jobs are as described; answers them.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&[Job]) -> bool) -> Vec<Job> {
        let begun = Instant::now();
        loop {
            let jobs = self.jobs().await;
            if done(&jobs) {
                return jobs;
            }
            if begun.elapsed() > self.times.patience {
                let mut told = String::new();
                for job in jobs.iter().filter(|job| !job.state.is_terminal()).take(3) {
                    told += &tell(&self.story(job.id()).await);
                }
                panic!("still waiting until {what}; {} jobs: {told}", jobs.len());
            }
            tokio::time::sleep(self.times.poll).await;
        }
    }
}

fn open(path: &Path, clock: &Arc<dyn Clock>) -> SqliteStore {
    let change_check = Duration::from_millis(50);
    let clock = Arc::clone(clock);
    let config = postq::sqlite::Config { clock, change_check, ..postq::sqlite::Config::new(path) };
    SqliteStore::open_with(config).expect("the file opens")
}

async fn open_postgres(config: &postq_postgres::Config) -> PgStore {
    PgStore::open(config.clone()).await.expect("the schema opens")
}

/// A node's stores with its own client to a Redis beside them.
fn beside_redis(stores: Backend, url: &str, mode: Arc<dyn LimiterMode>) -> Backend {
    let config = postq_redis::Config::new(url).with_connections(4);
    let redis = Redis::new(config).expect("settings that fit");
    let beside = Beside {
        queue: Some(Arc::new(redis.queue())),
        lock: Arc::new(redis.lock()),
        limiter: Arc::new(redis.limiter()),
    };
    beside.over(stores, mode, &Breaker::new("redis", BreakerSettings::default()))
}

/// A schedule that fires once and that no trouble makes miss its time.
pub(crate) fn one_shot(
    post: PostId,
    accounts: &[AccountId],
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Schedule {
    let timing = Timing::OneShot { at, local: None };
    Schedule {
        next_run_at: Some(at),
        grace: Duration::from_secs(7 * 86_400),
        ..Schedule::new(post, accounts.to_vec(), timing, now)
    }
}

/// A story for whoever reads a failure.
pub(crate) fn tell(story: &JobStory) -> String {
    let line = |event: &postq::core::job::JobEvent| {
        let reason = event.reason.as_deref().unwrap_or_default();
        format!("\n  {} {} fence {} {reason}", event.at.time(), event.to, event.fence)
    };
    let events: String = story.events.iter().map(line).collect();
    format!("\n{}{events}\n  {:?}", story.job.id(), story.evidence)
}

/// An engine at work. Dropping it is a crash.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) engine: Engine,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Running {
    pub(crate) fn start(engine: EngineBuilder) -> Self {
        let engine = engine.build().expect("settings that fit");
        let shutdown = CancellationToken::new();
        let (running, token) = (engine.clone(), shutdown.clone());
        let task = tokio::spawn(async move { running.run(token).await });
        Self { engine, task, shutdown }
    }

    /// Drops everything in the middle of whatever it does.
    pub(crate) async fn crash(mut self) {
        self.task.abort();
        // It was aborted, or had ended: either is what was asked for.
        let _ = (&mut self.task).await;
    }

    /// Ends it in good order.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.expect("an engine does not panic");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
