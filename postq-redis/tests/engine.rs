//! Two engines over one store with Redis beside it: whatever happens to Redis, every post comes out,
//! once, and on time.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_calendar::At;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::composed::Composed;
use postq_core::content::{Content, Draft};
use postq_core::failure::Failure;
use postq_core::fallback::{Breaker, BreakerSettings, FallbackLimiter, FallbackQueue, LocalMode};
use postq_core::intent::Receipt;
use postq_core::limiter::Rate;
use postq_core::memory::MemoryBackend;
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_engine::Engine;
use postq_engine::desk::{Submission, When};
use postq_redis::{Config, Redis};
use test_servers::Redis as Server;
use tokio_util::sync::CancellationToken;

/// Takes note of what it is told to publish, and when.
#[derive(Debug)]
struct Noting {
    name: PlatformName,
    told: Mutex<Vec<(String, DateTime<Utc>)>>,
}

#[async_trait]
impl Platform for Noting {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        let wide = Rate {
            every: Duration::from_millis(1),
            burst: NonZeroU32::new(1_000).expect("a thousand"),
        };
        Pace { send_timeout: Duration::from_secs(1), account: Some(wide), ..Pace::default() }
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _: &Identity, part: Outgoing<'a>) -> Result<Published, Failure> {
        let now = SystemClock.now();
        self.told.lock().expect("no panic").push((part.text.to_owned(), now));
        let receipt = Receipt {
            part: part.part,
            remote_id: part.key.to_string(),
            url: None,
            published_at: now,
            dry_run: true,
        };
        Ok(Published { receipt, limits: Vec::new() })
    }
}

const POSTS: usize = 150;
const OVER: Duration = Duration::from_secs(6);

/// Publishes while something is done to the server, step by step; answers how late the posts were,
/// the latest first.
async fn publish_while(
    mut server: Server,
    mut shake: impl AsyncFnMut(&mut Server, usize),
) -> Vec<Duration> {
    let stores = MemoryBackend::new(Arc::new(SystemClock)).backend();
    let name = "dry_run".parse().expect("a name");
    let platform = Arc::new(Noting { name, told: Mutex::default() });
    let row = Arc::new(LocalMode::new(Arc::new(SystemClock)));
    let shutdown = CancellationToken::new();
    let node = |stores: &Backend| {
        let redis = Redis::new(Config::new(server.url())).expect("settings that fit");
        let breaker = Breaker::new("redis", BreakerSettings::default());
        let queue = FallbackQueue::new(Arc::new(redis.queue()), breaker.clone());
        let fast = Arc::new(redis.limiter());
        let limiter = FallbackLimiter::new(fast, stores.limiter.clone(), row.clone(), breaker);
        let lock = Arc::new(redis.lock());
        let stores = Backend { limiter: Arc::new(limiter), lock, ..stores.clone() };
        let backend = Composed::backend(Arc::new(queue), stores);
        Engine::builder(backend).platform(platform.clone()).build().expect("it fits together")
    };
    let engines = [node(&stores), node(&stores)];
    let from = SystemClock.now() + Duration::from_secs(1);
    let at = |n: usize| from + OVER / POSTS as u32 * n as u32;
    for n in 0..POSTS {
        let when = When::At(At::Instant(at(n)));
        let account = format!("dry_run:a{}", n % 10);
        let post = Submission::new(Content::text(format!("{n}")), [account], when);
        engines[n % 2].desk().submit(post).await.expect("it is taken in");
    }
    let mut running = tokio::task::JoinSet::new();
    for engine in engines {
        let shutdown = shutdown.clone();
        running.spawn(async move { engine.run(shutdown).await });
    }
    for step in 0.. {
        if SystemClock.now() > from + OVER {
            break;
        }
        shake(&mut server, step).await;
    }
    let out = || platform.told.lock().expect("no panic").len();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while out() < POSTS && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    running.join_all().await;

    let mut told = platform.told.lock().expect("no panic").clone();
    told.sort_by_key(|(text, _)| text.parse::<usize>().expect("a number"));
    let texts: Vec<_> = told.iter().map(|(text, _)| text.clone()).collect();
    let expected: Vec<_> = (0..POSTS).map(|n| n.to_string()).collect();
    assert_eq!(texts, expected, "each once");
    let late = |(n, (_, out)): (usize, &(String, DateTime<Utc>))| *out - at(n);
    let mut late: Vec<_> =
        told.iter().enumerate().map(late).map(|l| l.to_std().unwrap_or_default()).collect();
    late.sort_unstable();
    late.reverse();
    late
}

async fn nap(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_redis_loses_and_delays_nothing() {
    let late = publish_while(Server::start(), async |server, step| {
        nap(7 + (step as u64 * 37) % 90).await;
        assert_eq!(server.tell("FLUSHALL"), "+OK\r\n");
    })
    .await;

    assert!(late[0] < Duration::from_secs(1), "{:?}", &late[..5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_loses_nothing_and_delays_little() {
    let late = publish_while(Server::start(), async |server, _| {
        nap(700).await;
        server.kill();
        nap(900).await;
        server.restart();
    })
    .await;

    assert!(late[0] < Duration::from_secs(3), "{:?}", &late[..5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_loses_nothing_and_delays_little() {
    let late = publish_while(Server::start(), async |server, _| {
        nap(1_000).await;
        server.freeze();
        nap(3_000).await;
        server.resume();
    })
    .await;

    assert!(late[0] < Duration::from_secs(3), "{:?}", &late[..5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_never_there_delays_little() {
    let mut server = Server::start();
    server.kill();

    let late = publish_while(server, async |_, _| nap(500).await).await;

    assert!(late[0] < Duration::from_secs(3), "{:?}", &late[..5]);
}
