//! What goes wrong with a server: wiped, killed, frozen, filled up, of the wrong kind, with the wrong
//! password. Every call ends within its time-out, and what is lost comes back.

mod support;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::conformance::eventually;
use postq_core::error::{ErrorKind, chain};
use postq_core::fallback::{Breaker, BreakerSettings, FallbackQueue};
use postq_core::id::JobId;
use postq_core::job::{Applied, DedupeKey, Fence, Lane, Topic};
use postq_core::limiter::{Rate, RateLimiter, Take};
use postq_core::lock::{DEDUPE_TTL, DedupeLock, LockToken};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use postq_redis::{Config, Durability, Redis, RedisQueue};
use test_servers::Redis as Server;

fn connect(server: &Server) -> Redis {
    Redis::new(Config::new(server.url())).expect("settings that fit")
}

fn due() -> QueuedJob {
    let run_at = SystemClock.now() - Duration::from_secs(2);
    QueuedJob { id: JobId::new(), topic: Topic::publish(), lane: None, priority: 0, run_at }
}

async fn reserve(queue: &dyn Queue) -> Vec<Delivery> {
    queue.reserve(&Reserve::up_to(1_000, Topic::publish())).await.expect("reserve")
}

async fn ack(queue: &dyn Queue, lease: &Lease) -> Applied {
    queue.ack(std::slice::from_ref(lease)).await.expect("ack")[0]
}

async fn depth(queue: &RedisQueue) -> Depth {
    queue.depth(&Topic::publish()).await.expect("depth")
}

fn flush(server: &Server) {
    assert_eq!(server.tell("FLUSHALL"), "+OK\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wipe_is_noticed_by_the_next_call() {
    let server = Server::start();
    let queue = connect(&server).queue();
    let mut wipes = queue.wipes();
    queue.push(&[due()]).await.expect("push");
    reserve(&queue).await;
    assert!(!wipes.has_changed().unwrap(), "nothing was wiped");

    flush(&server);
    assert!(reserve(&queue).await.is_empty());
    assert!(wipes.has_changed().unwrap());
    wipes.mark_unchanged();
    reserve(&queue).await;
    assert!(!wipes.has_changed().unwrap(), "once");

    flush(&server);
    queue.push(&[due()]).await.expect("push");
    assert!(wipes.has_changed().unwrap(), "a push notices as well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_proposed_again_after_a_wipe_at_any_moment_and_none_twice_at_once() {
    let server = Server::start();
    let queue = connect(&server).queue();
    let jobs: Vec<_> = (0..400).map(|_| due()).collect();
    let done = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let sweep = async || {
        let left: Vec<_> = {
            let done = done.lock().unwrap();
            jobs.iter().filter(|job| !done.contains(&job.id)).cloned().collect()
        };
        queue.push(&left).await.expect("push");
        left.len()
    };
    sweep().await;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (queue, done) = (queue.clone(), Arc::clone(&done));
        workers.spawn(async move {
            let mut fences = Vec::new();
            while done.lock().unwrap().len() < 400 {
                let wait = Reserve::up_to(5, Topic::publish()).waiting(Duration::from_millis(100));
                for delivery in queue.reserve(&wait).await.expect("reserve") {
                    // Like the store: who has it first has it.
                    done.lock().unwrap().insert(delivery.job.id);
                    fences.push(delivery.lease.fence);
                    // A wipe may have come in between.
                    let _ = ack(&queue, &delivery.lease).await;
                }
            }
            fences
        });
    }

    for _ in 0..40 {
        flush(&server);
        if sweep().await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let all = tokio::time::timeout(Duration::from_secs(20), workers.join_all()).await;

    let fences = all.expect("no job is lost").concat();
    assert_eq!(fences.iter().collect::<BTreeSet<_>>().len(), fences.len(), "no fence comes twice");
    for delivery in reserve(&queue).await {
        assert_eq!(ack(&queue, &delivery.lease).await, Applied::Applied);
    }
    assert_eq!(depth(&queue).await, Depth::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_from_before_a_wipe_is_stale() {
    let server = Server::start();
    let queue = connect(&server).queue();
    let job = due();
    queue.push(std::slice::from_ref(&job)).await.expect("push");
    let old = reserve(&queue).await.remove(0).lease;
    flush(&server);
    queue.push(std::slice::from_ref(&job)).await.expect("push");
    let new = reserve(&queue).await.remove(0).lease;

    assert!(new.fence > old.fence);
    assert_eq!(ack(&queue, &old).await, Applied::Stale);
    assert_eq!(ack(&queue, &new).await, Applied::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_which_a_part_was_evicted_begins_anew() {
    let server = Server::start();
    let queue = connect(&server).queue();
    let later = QueuedJob { run_at: SystemClock.now() + Duration::from_secs(600), ..due() };
    for part in ["jobs", "ready", "later", "leases"] {
        let wipes = queue.wipes();
        let jobs = [due(), due(), later.clone()];
        queue.push(&jobs).await.expect("push");
        queue.reserve(&Reserve::up_to(1, Topic::publish())).await.expect("reserve");
        assert_eq!(server.tell(&format!("DEL {{postq}}:v1:queue:publish:{part}")), ":1\r\n");

        assert!(reserve(&queue).await.is_empty(), "without {part}");

        assert!(wipes.has_changed().unwrap(), "without {part}");
        queue.push(&jobs).await.expect("push");
        assert_eq!(reserve(&queue).await.len(), 2, "all are back, after {part}");
        let ids = jobs.map(|job| job.id);
        queue.remove(&Topic::publish(), &ids).await.expect("remove");
        assert_eq!(depth(&queue).await, Depth::default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = Server::start();
    let redis = connect(&server);
    let (queue, limiter) = (redis.queue(), redis.limiter());
    for _ in 0..2 {
        let job = due();
        queue.push(&[job]).await.expect("push");
        assert_eq!(server.tell("SCRIPT FLUSH"), "+OK\r\n");
        let held = reserve(&queue).await.remove(0).lease;
        assert_eq!(server.tell("SCRIPT FLUSH"), "+OK\r\n");
        assert_eq!(ack(&queue, &held).await, Applied::Applied);
        assert_eq!(server.tell("SCRIPT FLUSH"), "+OK\r\n");
        limiter.take(&slow("x/")).await.expect("take");
    }
}

fn slow(key: &str) -> Take {
    let rate = Rate { every: Duration::from_secs(60), burst: NonZeroU32::MIN.saturating_add(1) };
    Take { key: key.to_owned(), rate, not_before: SystemClock.now() }
}

async fn in_seconds(limiter: &dyn RateLimiter, key: &str) -> i64 {
    let asked: DateTime<Utc> = SystemClock.now();
    (limiter.take(&slow(key)).await.expect("take") - asked).num_seconds()
}

async fn left(limiter: &dyn RateLimiter, key: &str) -> u32 {
    limiter.look(&[slow(key)]).await.expect("look")[0].left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_was_lost_starts_empty() {
    let server = Server::start();
    let redis = connect(&server);
    let (limiter, other) = (redis.limiter(), connect(&server).limiter());
    assert_eq!(in_seconds(&limiter, "x/a").await, 0, "a new bucket is full");
    assert_eq!(in_seconds(&limiter, "x/a").await, 0);

    flush(&server);
    reserve(&redis.queue()).await;
    assert_eq!(left(&other, "x/new").await, 2);
    assert_eq!(in_seconds(&other, "x/new").await, 0, "who knows of no wipe makes nobody wait");
    assert_eq!(left(&limiter, "x/a").await, 0, "who knows of one sees it as the next take will");

    assert!(
        (58..=60).contains(&in_seconds(&limiter, "x/a").await),
        "the next place, not the first"
    );
    assert!((118..=120).contains(&in_seconds(&limiter, "x/a").await));
    assert_eq!(left(&other, "x/b").await, 0, "now all know");
    assert!((58..=60).contains(&in_seconds(&other, "x/b").await), "now all know");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_used_again_when_it_is_back_with_what_it_kept() {
    let mut server = Server::start_with(&["appendonly yes", "appendfsync always"]);
    let redis = connect(&server);
    let (queue, lock) = (redis.queue(), redis.lock());
    let jobs = [due(), due(), due()];
    queue.push(&jobs).await.expect("push");
    let held =
        queue.reserve(&Reserve::up_to(1, Topic::publish())).await.expect("reserve").remove(0);
    let token = LockToken::random();
    assert_eq!(
        lock.acquire(&[DedupeKey::new("a")], &token, DEDUPE_TTL).await.expect("lock"),
        [true]
    );

    server.kill();
    let start = Instant::now();
    let error = queue.push(&jobs).await.expect_err("there is no server");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(1), "refused at once: {:?}", start.elapsed());
    assert!(chain(&error).contains("whether the server runs"), "{}", chain(&error));
    server.restart();

    assert_eq!(reserve(&queue).await.len(), 2, "the first call works, and the lease is kept");
    assert_eq!(ack(&queue, &held.lease).await, Applied::Applied);
    let again = lock.acquire(&[DedupeKey::new("a")], &LockToken::random(), DEDUPE_TTL).await;
    assert_eq!(again.expect("lock"), [false], "the lock is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_survive_a_restart() {
    let mut server = Server::start_with(&["appendonly yes"]);
    let queue = connect(&server).queue();
    for round in 0..5 {
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let queue = queue.clone();
            set.spawn(async move { queue.push(&[due()]).await });
        }
        for pushed in set.join_all().await {
            pushed.unwrap_or_else(|error| panic!("round {round}: {}", chain(&error)));
        }
        server.kill();
        server.restart();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_its_time_out_and_opens_the_breaker() {
    let server = Server::start();
    let mut config = Config::new(server.url());
    config.response_timeout = Duration::from_millis(300);
    config.connect_timeout = Duration::from_millis(300);
    let redis = Redis::new(config).expect("settings that fit");
    let (bare, cache) = (redis.queue(), redis.cache());
    let breaker = Breaker::new("redis", BreakerSettings::default());
    let queue = FallbackQueue::new(Arc::new(bare.clone()), breaker.clone());
    let job = due();
    queue.push(std::slice::from_ref(&job)).await.expect("push");
    server.freeze();

    for _ in 0..3 {
        let start = Instant::now();
        let error = bare.push(&[due()]).await.expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
        assert!(chain(&error).contains("no answer"), "{}", chain(&error));
        let start = Instant::now();
        let (lock, key) = (redis.lock(), [DedupeKey::new("a")]);
        let locked = lock.acquire(&key, &LockToken::random(), DEDUPE_TTL).await;
        assert!(locked.is_err() && start.elapsed() < Duration::from_millis(400));
    }
    let start = Instant::now();
    let made = postq_core::cache::Cache::get_or_set(
        &cache,
        "a",
        Duration::from_secs(60),
        Box::new(|| Box::pin(async { Some(vec![1]) })),
    );
    assert_eq!(made.await, Some(vec![1]), "a miss");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for _ in 0..3 {
        assert!(reserve(&queue).await.is_empty());
    }
    assert!(!breaker.state().is_closed());
    let start = Instant::now();
    for _ in 0..1_000 {
        reserve(&queue).await;
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    server.resume();
    let back = Instant::now();

    let got = eventually("it is used again", async || {
        reserve(&queue).await.into_iter().find(|got| got.job.id == job.id)
    })
    .await;

    assert!(back.elapsed() < Duration::from_secs(5), "after {:?}", back.elapsed());
    assert!(breaker.state().is_closed());
    assert_eq!(ack(&queue, &got.lease).await, Applied::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reserve_survives_a_restart() {
    let mut server = Server::start_with(&["appendonly yes"]);
    let queue = connect(&server).queue();
    let reserve = Reserve::up_to(1, Topic::publish()).waiting(Duration::from_millis(200));
    assert!(queue.reserve(&reserve).await.expect("reserve").is_empty(), "it listens now");
    server.kill();
    server.restart();
    let waiter = tokio::spawn({
        let queue = queue.clone();
        let reserve = Reserve::up_to(1, Topic::publish()).waiting(Duration::from_secs(30));
        async move { queue.reserve(&reserve).await.expect("reserve") }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    queue.push(&[due()]).await.expect("push");

    let got = tokio::time::timeout(Duration::from_secs(5), waiter).await;

    assert_eq!(
        got.expect("soon, although it had to connect again").expect("it ends well").len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_wake_over_processes_at_once() {
    let server = Server::start();
    let (ours, theirs) = (connect(&server).queue(), connect(&server).queue());
    let wait = Reserve::up_to(1, Topic::publish()).waiting(Duration::from_millis(100));
    ours.reserve(&wait).await.expect("reserve");
    eventually("it listens", async || {
        let told = server.tell("PUBSUB NUMSUB {postq}:v1:wake");
        told.ends_with(":1\r\n").then_some(())
    })
    .await;
    let mut took = Vec::new();
    for _ in 0..5 {
        let waiter = tokio::spawn({
            let queue = ours.clone();
            let wait = Reserve::up_to(1, Topic::publish()).waiting(Duration::from_secs(30));
            async move { (queue.reserve(&wait).await.expect("reserve"), Instant::now()) }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let pushed = Instant::now();
        theirs.push(&[due()]).await.expect("push");
        let (got, at) = waiter.await.expect("it ends well");
        assert_eq!(got.len(), 1);
        took.push(at - pushed);
    }
    took.sort_unstable();
    assert!(took[2] < Duration::from_millis(200), "{took:?}: not by looking once a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_never_shown() {
    let server = Server::start_with(&["requirepass s3cret-right"]);
    let port = server.port();
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("redis://:s3cret-wrong@127.0.0.1:{port}"),
        format!("redis://somebody:s3cret-wrong@127.0.0.1:{port}"),
    ] {
        let redis = Redis::new(Config::new(url)).expect("settings that fit");
        let mut told = vec![format!("{redis:?} {:?} {:?}", redis.queue(), redis.cache())];
        let error = redis.check().await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", chain(&error));
        told.push(format!("{} {error:?}", chain(&error)));
        let error = redis.queue().push(&[due()]).await.expect_err("it is refused");
        assert!(chain(&error).contains("check both in REDIS_URL"), "{}", chain(&error));
        told.push(format!("{} {error:?}", chain(&error)));
        assert!(told.iter().all(|told| !told.contains("s3cret")), "{told:#?}");
    }

    let url = format!("redis://:s3cret-right@127.0.0.1:{port}/5");
    let redis = Redis::new(Config::new(url)).expect("settings that fit");
    redis.check().await.expect("the right one");
    redis.queue().push(&[due()]).await.expect("push");
    let wrong = Redis::new(Config::new(format!("redis://:s3cret-right@127.0.0.1:{port}/99")));
    let error = wrong.expect("settings that fit").check().await.expect_err("16 databases");
    assert!(chain(&error).contains("REDIS_DB"), "{}", chain(&error));
    let error = Redis::new(Config::new("redis://:s3cret@host:port")).expect_err("no URL");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!format!("{} {error:?}", chain(&error)).contains("s3cret"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_few_rights_is_enough_and_one_with_too_few_is_told() {
    let server = Server::start();
    let port = server.port();
    server.tell("ACL SETUSER app on >pw +@all -@admin -@dangerous resetchannels ~{postq}:*");
    server.tell("ACL SETUSER reader on >pw +@read +@connection ~*");
    let connect = |user: &str| {
        Redis::new(Config::new(format!("redis://{user}:pw@127.0.0.1:{port}"))).expect("it fits")
    };
    let redis = connect("app");

    let health = redis.check().await.expect("it may be used");
    redis.queue().push(&[due()]).await.expect("push");
    assert_eq!(reserve(&redis.queue()).await.len(), 1);
    redis.limiter().take(&slow("x/")).await.expect("take");
    assert_eq!((health.version.as_str(), health.durability), ("unknown", Durability::Unknown));
    assert_eq!(health.warnings.len(), 2, "{health:?}");

    let error = connect("reader").queue().push(&[due()]).await.expect_err("it may not write");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(chain(&error).contains("lacks a right"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_may_lose_keys_is_warned_of() {
    let server = Server::start_with(&["maxmemory 100mb", "maxmemory-policy allkeys-lru"]);
    let health = connect(&server).check().await.expect("it may be used");
    assert_eq!(
        (health.durability, health.eviction.as_str()),
        (Durability::Volatile, "allkeys-lru")
    );
    let warnings = health.warnings.join("\n");
    assert!(warnings.contains("set maxmemory-policy to noeviction"), "{warnings}");
    assert!(warnings.contains("its memory is limited"), "{warnings}");
    assert!(warnings.contains("set appendonly to yes"), "{warnings}");

    for (settings, durability) in [
        (&["appendonly yes"][..], Durability::Second),
        (&["appendonly yes", "appendfsync always"], Durability::Everything),
        (&["save 3600 1"], Durability::Snapshots),
    ] {
        let server = Server::start_with(settings);
        let health = connect(&server).check().await.expect("it may be used");
        assert_eq!(health.durability, durability);
        assert_eq!(health.warnings.is_empty(), durability != Durability::Snapshots, "{health:?}");
        assert!(health.version.starts_with("Redis ") || health.version.starts_with("Valkey "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_and_a_replica_are_told() {
    let full = Server::start_with(&["maxmemory 1000", "maxmemory-policy noeviction"]);
    let error = connect(&full).queue().push(&[due()]).await.expect_err("it is full");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("raise its maxmemory"), "{}", chain(&error));

    let primary = Server::start();
    let replica = Server::start_with(&[&format!("replicaof 127.0.0.1 {}", primary.port())]);
    let redis = connect(&replica);
    let error = redis.check().await.expect_err("a replica");
    let primary = format!("name its primary (127.0.0.1:{}) in REDIS_URL", primary.port());
    assert!(chain(&error).contains(&primary), "{}", chain(&error));
    let error = redis.queue().push(&[due()]).await.expect_err("it takes no writes");
    assert!(chain(&error).contains("read-only replica"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_are_enough_for_a_hundred_callers() {
    let server = Server::start();
    let config = Config::new(server.url()).with_connections(2);
    let queue = Redis::new(config).expect("settings that fit").queue();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let queue = queue.clone();
        callers.spawn(async move {
            for _ in 0..10 {
                queue.push(&[due()]).await.expect("push");
            }
        });
    }

    callers.join_all().await;

    assert_eq!(depth(&queue).await.ready, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_backlog_keeps_its_order_and_skipped_lanes_cost_little() {
    let (redis, _keeper) = support::redis();
    let queue = redis.queue();
    let noisy = |_| QueuedJob { lane: Some(Lane::from_raw("x/noisy")), priority: 5, ..due() };
    let jobs: Vec<_> = (0..10_000).map(noisy).collect();
    let soon = SystemClock.now() + Duration::from_millis(1_500);
    // Not due when they come: they become ready all at once.
    let low: Vec<_> = (0..3_000).map(|_| QueuedJob { run_at: soon, ..due() }).collect();
    let high = QueuedJob { run_at: soon + Duration::from_millis(1), priority: 9, ..due() };
    queue.push(&jobs).await.expect("push");
    queue.push(&low).await.expect("push");
    queue.push(std::slice::from_ref(&high)).await.expect("push");
    tokio::time::sleep(Duration::from_millis(1_600)).await;

    let start = Instant::now();
    let skip = Reserve::up_to(10, Topic::publish()).skipping(vec!["x/".to_owned()]);
    let got = queue.reserve(&skip).await.expect("reserve");

    assert_eq!(got.len(), 10);
    assert_eq!(got[0].job.id, high.id, "the highest priority first, although it was due last");
    assert!(got[1..].iter().all(|got| got.job.priority == 0));
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(depth(&queue).await, Depth { ready: 12_991, delayed: 0, leased: 10 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_several_topics_are_extended_in_order() {
    let (redis, _keeper) = support::redis();
    let queue = redis.queue();
    let notify = QueuedJob { topic: Topic::notify(), ..due() };
    queue.push(&[due(), notify.clone()]).await.expect("push");
    let ours = reserve(&queue).await.remove(0).lease;
    let theirs =
        queue.reserve(&Reserve::up_to(1, Topic::notify())).await.expect("reserve").remove(0);
    let gone = Lease { job: JobId::new(), ..ours.clone() };
    let stale = Lease { fence: Fence(gone.fence.0 + 1), ..ours.clone() };

    let answers = queue.extend(&[stale, theirs.lease, gone, ours], Duration::from_secs(60)).await;

    let [stale, theirs, gone, ours] = answers.expect("extend")[..] else { panic!("four answers") };
    assert_eq!((stale, gone), (Applied::Stale, Applied::Gone));
    assert_eq!((theirs, ours), (Applied::Applied, Applied::Applied));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_comes_twice_in_one_push_is_held_once() {
    let (redis, _keeper) = support::redis();
    let queue = redis.queue();
    let job = due();
    let twin = QueuedJob { priority: 7, ..job.clone() };
    queue.push(&[job.clone(), twin, due()]).await.expect("push");

    let got = reserve(&queue).await;

    assert_eq!(got.len(), 2);
    assert!(got.iter().any(|got| got.job == job), "the first one counts");
    assert_eq!(depth(&queue).await, Depth { ready: 0, delayed: 0, leased: 2 });
}
