//! What goes wrong with servers and connections, and what it must not do to the work.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use postq_core::conformance::fixtures::{TestResolver, World, plain_job};
use postq_core::error::{ErrorKind, ScheduleError, StoreError, chain};
use postq_core::id::{JobId, NodeId, TenantId};
use postq_core::job::{Applied, Topic};
use postq_core::machine::JobState;
use postq_core::schedule::{ResolveRequest, Resolved, Resolver, Schedule, Timing};
use postq_core::store::{JobFilter, PlanRequest};
use postq_postgres::{Config, PgStore};
use test_servers::Postgres;
use tokio::task::JoinSet;

use crate::support::{Fresh, admin, settled};

/// Nothing here may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

async fn states(store: &PgStore, states: &[JobState]) -> usize {
    let filter = JobFilter { states: states.to_vec(), ..JobFilter::default() };
    let counts = store.backend().jobs.count(TenantId::DEFAULT, &filter).await.expect("count");
    counts.into_iter().map(|(_, n)| usize::try_from(n).expect("not so many")).sum()
}

/// Ends every connection of the application but our own; answers how many.
async fn terminate(admin: &tokio_postgres::Client, application: &str) -> i64 {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE application_name = $1 AND pid <> pg_backend_pid()";
    admin.query_one(end, &[&application]).await.expect("terminate").get(0)
}

fn named(config: Config, application: &str) -> Config {
    let mut named =
        Config::new(format!("{}?application_name={application}", Postgres::shared().url()));
    named.schema = config.schema;
    named
}

/// Resolves as the suites do; the first time it waits until it is let go.
#[derive(Debug)]
struct Stuck {
    calls: AtomicUsize,
    goes_on: Arc<AtomicBool>,
}

impl Resolver for Stuck {
    fn next(
        &self,
        schedule: &Schedule,
        after: Option<chrono::DateTime<chrono::Utc>>,
    ) -> Result<Option<chrono::DateTime<chrono::Utc>>, ScheduleError> {
        TestResolver.next(schedule, after)
    }

    fn resolve(
        &self,
        schedule: &Schedule,
        request: ResolveRequest,
    ) -> Result<Resolved, ScheduleError> {
        let begun = Instant::now();
        if self.calls.fetch_add(1, Ordering::SeqCst) == 5 {
            while !self.goes_on.load(Ordering::SeqCst) && begun.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        TestResolver.resolve(schedule, request)
    }
}

/// A planner whose connection is cut in the middle of its transaction has planned nothing; the next try
/// plans everything, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planning_that_is_cut_loses_nothing() {
    let application = format!("cut-{}", JobId::new());
    let fresh = Fresh::open_with(|config| named(config, &application)).await;
    let admin = admin(Postgres::shared().url()).await;
    let world = World::new(fresh.store.backend()).await;
    let at = world.at(1_000).await;
    let once = || {
        let timing = Timing::OneShot { at, local: None };
        let schedule = Schedule::new(world.post.id, vec![world.account.id], timing, at);
        Schedule { next_run_at: Some(at), ..schedule }
    };
    let schedules: Vec<_> = (0..20).map(|_| once()).collect();
    world.backend.schedules.insert(&schedules).await.expect("insert");
    let goes_on = Arc::new(AtomicBool::new(false));
    let stuck = Arc::new(Stuck { calls: AtomicUsize::new(0), goes_on: goes_on.clone() });
    // In a runtime of its own: while its resolver waits, so does the thread.
    let planning = tokio::task::spawn_blocking({
        let (world, stuck): (_, Arc<dyn Resolver>) = (world.clone(), stuck.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                world.backend.schedules.plan(&PlanRequest::new(world.node), &stuck).await
            })
        }
    });
    while stuck.calls.load(Ordering::SeqCst) < 6 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    assert!(terminate(&admin, &application).await > 0);
    goes_on.store(true, Ordering::SeqCst);
    let planned = planning.await.expect("it ends well").expect("it is tried again");

    assert_eq!(planned.jobs.len(), 20);
    assert_eq!(states(&fresh.store, &[JobState::Planned]).await, 20);
    let (request, resolver) = (PlanRequest::new(world.node), TestResolver::shared());
    let again = world.backend.schedules.plan(&request, &resolver).await.expect("plan");
    assert!(again.jobs.is_empty(), "once");
}

/// A planner that is dropped in the middle of its transaction leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planning_that_is_given_up_leaves_nothing() {
    #[derive(Debug)]
    struct Panics;
    impl Resolver for Panics {
        fn next(
            &self,
            _: &Schedule,
            _: Option<chrono::DateTime<chrono::Utc>>,
        ) -> Result<Option<chrono::DateTime<chrono::Utc>>, ScheduleError> {
            panic!("no resolver should")
        }

        fn resolve(&self, _: &Schedule, _: ResolveRequest) -> Result<Resolved, ScheduleError> {
            panic!("no resolver should")
        }
    }
    let fresh = Fresh::open_with(|config| config.with_connections(1)).await;
    let world = World::new(fresh.store.backend()).await;
    let at = world.at(1_000).await;
    let timing = Timing::OneShot { at, local: None };
    let schedule = Schedule::new(world.post.id, vec![world.account.id], timing, at);
    let schedule = Schedule { next_run_at: Some(at), ..schedule };
    world.backend.schedules.insert(&[schedule]).await.expect("insert");
    let request = PlanRequest::new(world.node);

    let panicked = tokio::spawn({
        let (world, request) = (world.clone(), request.clone());
        async move { world.backend.schedules.plan(&request, &(Arc::new(Panics) as _)).await }
    });
    panicked.await.expect_err("it panics");

    let planned = world.backend.schedules.plan(&request, &TestResolver::shared()).await;
    assert_eq!(planned.expect("the one connection is as good as new").jobs.len(), 1);
}

/// Connections are cut again and again while eight workers work: every job is done once, and none waits
/// for its lease to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_and_double_nothing() {
    const JOBS: usize = 300;
    let application = format!("cut-{}", JobId::new());
    let fresh = Fresh::open_with(|config| named(config, &application)).await;
    let admin = admin(Postgres::shared().url()).await;
    let world = World::new(fresh.store.backend()).await;
    let at = world.at(-1_000).await;
    let jobs: Vec<_> = (0..JOBS)
        .map(|n| {
            let lane = format!("x/{}", n % 40);
            plain_job((n % 2 == 0).then_some(lane.as_str()), 0, at)
        })
        .collect();
    world.insert(&jobs).await;
    let ends = Instant::now() + PATIENCE / 2;
    let done = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let (world, done) = (World { node: NodeId::new(), ..world.clone() }, done.clone());
        workers.spawn(async move {
            let mut mine = Vec::new();
            while done.load(Ordering::SeqCst) < JOBS && Instant::now() < ends {
                let claim = world.claim(4);
                let Ok(claimed) = world.backend.feed.claim(&claim).await else { continue };
                let batch: Vec<_> =
                    claimed.jobs.iter().map(|one| settled(&claim, one.job.held())).collect();
                let answers = loop {
                    match world.backend.feed.settle(&batch).await {
                        Ok(answers) => break answers,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
                    }
                    assert!(Instant::now() < ends, "settling is possible");
                };
                for (one, answer) in claimed.jobs.iter().zip(answers) {
                    assert_eq!(answer, Applied::Applied);
                    assert_eq!(one.job.attempt, 1, "claimed once");
                    mine.push(one.job.id());
                    done.fetch_add(1, Ordering::SeqCst);
                }
            }
            mine
        });
    }
    let mut cut = 0;
    while done.load(Ordering::SeqCst) < JOBS && Instant::now() < ends {
        let before = done.load(Ordering::SeqCst);
        cut += terminate(&admin, &application).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        // However slow the machine is, something is done between two cuts.
        while done.load(Ordering::SeqCst) == before && Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    let mine = workers.join_all().await.concat();

    assert!(cut > 20, "only {cut} connections were cut");
    let once: BTreeSet<JobId> = mine.iter().copied().collect();
    assert_eq!((mine.len(), once.len()), (JOBS, JOBS), "each once, before its lease could end");
    assert_eq!(states(&fresh.store, &[JobState::Succeeded]).await, JOBS);
}

/// Whoever listens hears again after the connection was cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_listener_hears_again() {
    let application = format!("cut-{}", JobId::new());
    let ours = Fresh::open_with(|config| named(config, &application)).await;
    let theirs = ours.another().await;
    let admin = admin(Postgres::shared().url()).await;
    let (listener, world) = (World::new(ours.store.backend()).await, theirs.store.backend());
    for _ in 0..3 {
        terminate(&admin, &application).await;
        let listening = "SELECT count(*) FROM pg_stat_activity
                         WHERE application_name = $1 AND query LIKE 'LISTEN%'";
        let begun = Instant::now();
        loop {
            let n: i64 = admin.query_one(listening, &[&application]).await.expect("look").get(0);
            if n == 1 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "it listens again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let claimed = listener.backend.feed.claim(&listener.claim(10)).await.expect("claim");
        let until = claimed.now + TimeDelta::seconds(600);
        let job = plain_job(None, 0, claimed.now - TimeDelta::seconds(1));
        let topic = Topic::publish();
        let waiting = listener.backend.feed.wait(&topic, claimed.mark, until);
        let insert = world.jobs.insert(std::slice::from_ref(&job));
        let heard = tokio::time::timeout(Duration::from_secs(5), async {
            let (waited, inserted) = tokio::join!(waiting, insert);
            waited.expect("wait");
            inserted.expect("insert");
        });
        heard.await.expect("the other node's job wakes");
        listener.claim_n(&listener.claim(10), 1).await;
    }
}

async fn open(server: &Postgres) -> PgStore {
    let config = Config::new(server.url()).with_connections(4);
    PgStore::open(config).await.expect("open")
}

/// A server that is killed has kept what it acknowledged; when it is back, the same store goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_what_it_acknowledged() {
    let mut server = Postgres::start();
    let store = open(&server).await;
    let world = World::new(store.backend()).await;
    let jobs: Vec<_> = (0..20).map(|_| plain_job(None, 0, world.post.created_at)).collect();
    world.insert(&jobs).await;
    let claimed = world.claim_n(&world.claim(5), 5).await;

    server.kill();
    let error = world.backend.jobs.now().await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    server.restart();

    let begun = Instant::now();
    while world.backend.jobs.now().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5), "it goes on within 5 s");
    }
    assert_eq!(states(&store, &[JobState::Running]).await, 5);
    let claim = world.claim(20);
    let batch: Vec<_> = claimed.iter().map(|job| settled(&claim, job.held())).collect();
    let answers = world.backend.feed.settle(&batch).await.expect("settle");
    assert_eq!(answers, [Applied::Applied; 5], "their claims are as they were");
    world.claim_n(&claim, 15).await;
}

/// A server that is frozen makes calls fail in time; when it goes on, so does the work, and what it
/// finished meanwhile is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_holds_nobody_for_ever() {
    let server = Postgres::start();
    let mut config = Config::new(server.url()).with_connections(2);
    config.statement_timeout = Duration::from_secs(1);
    let store = PgStore::open(config).await.expect("open");
    let world = World::new(store.backend()).await;
    let jobs: Vec<_> = (0..20).map(|_| plain_job(None, 0, world.post.created_at)).collect();
    world.insert(&jobs).await;
    let claim = world.claim(5);

    server.freeze();
    let begun = Instant::now();
    let (claimed, now) = tokio::join!(world.backend.feed.claim(&claim), world.backend.jobs.now());
    for error in [claimed.map(|_| ()).expect_err("claim"), now.map(|_| ()).expect_err("now")] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    server.resume();

    let mut got = Vec::new();
    let begun = Instant::now();
    while got.len() < 20 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} of 20 jobs", got.len());
        if let Ok(claimed) = world.backend.feed.claim(&claim).await {
            got.extend(claimed.jobs.into_iter().map(|claimed| claimed.job.id()));
        }
    }
    let once: BTreeSet<JobId> = got.into_iter().collect();
    assert_eq!(once.len(), 20, "each once");
}

async fn refused(config: Config) -> StoreError {
    PgStore::open(config).await.expect_err("it cannot be opened")
}

/// Each mistake in the settings has an error that tells what to change and shows no password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_explained() {
    let server = Postgres::start();
    let store = open(&server).await;
    drop(store);
    let admin = admin(&server.url()).await;
    admin
        .batch_execute(
            "CREATE ROLE reader LOGIN PASSWORD 'opensesame';
             CREATE ROLE replica LOGIN PASSWORD 'opensesame';
             ALTER ROLE replica SET default_transaction_read_only = on;
             GRANT ALL ON SCHEMA postq TO replica; GRANT ALL ON ALL TABLES IN SCHEMA postq TO replica;",
        )
        .await
        .expect("roles");
    let nobody_there = "postgres://reader:opensesame@127.0.0.1:1/postgres".to_owned();
    let cases = [
        (
            server.tcp_url("reader", "hunter2"),
            ErrorKind::Invalid,
            "password; check both in DATABASE_URL",
        ),
        (
            server.tcp_url("reader", "opensesame") + "x",
            ErrorKind::Invalid,
            "no such database; make it, or name another in DATABASE_URL",
        ),
        (server.tcp_url("reader", "opensesame"), ErrorKind::Invalid, "lacks a right"),
        (
            nobody_there,
            ErrorKind::Unavailable,
            "look whether the server runs, and whether DATABASE_URL names it",
        ),
        ("postgres://reader:hunter2@h:port/d".to_owned(), ErrorKind::Invalid, "DATABASE_URL"),
        ("mysql://reader:hunter2@h/d".to_owned(), ErrorKind::Invalid, "DATABASE_URL"),
    ];
    for (url, kind, told) in cases {
        let error = refused(Config::new(&url)).await;
        let text = chain(&error);
        assert_eq!(error.kind(), kind, "{url}: {text}");
        assert!(text.contains(told), "{url}: {text}");
        let checked = PgStore::check(&Config::new(&url)).await;
        let checked = chain(&checked.expect_err("nor can it be used"));
        assert!(checked.contains(told), "{url}: {checked}");
        for secret in ["hunter2", "opensesame"] {
            let all = format!("{text} {checked} {error:?}");
            assert!(!all.contains(secret), "{all}");
        }
    }

    for migrate in [true, false] {
        let mut config = Config::new(server.tcp_url("replica", "opensesame"));
        config.migrate = migrate;
        let error = refused(config).await;
        let text = chain(&error);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        assert!(text.contains("default_transaction_read_only"), "{text}");
        assert!(text.contains("DATABASE_URL") && !text.contains("opensesame"), "{text}");
    }
}
