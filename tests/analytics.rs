//! What metrics say is read through a cache: the same with Redis, without it, and while it is away.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use postq::calendar::At;
use postq::core::cache::Cache;
use postq::core::clock::SystemClock;
use postq::core::content::Content;
use postq::core::memory::{MemoryCache, MemoryIdempotency, MemoryTokens};
use postq::core::metrics::Snapshot;
use postq::core::platform::Counts;
use postq::core::store::{Page, Publication};
use postq::engine::Engine;
use postq::engine::desk::{Submission, When};
use postq::engine::dry_run::DryRun;
use postq_redis::{Config, Redis};
use postq_web::Web;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::backends::Bench;

/// A node that serves the API, over a backend and with a cache.
struct Node {
    address: String,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Node {
    async fn start(bench: &Bench, cache: Arc<dyn Cache>) -> Self {
        let clock = Arc::new(SystemClock);
        let engine = Engine::builder(bench.backend.clone())
            .platform(Arc::new(DryRun::new(clock.clone())))
            .build()
            .expect("an engine");
        let idempotency = Arc::new(MemoryIdempotency::new(clock));
        let mut web = Web::new(engine.clone(), Arc::new(MemoryTokens::default()), idempotency);
        web.cache = cache;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        let (working, serving) = (stop.child_token(), stop.child_token());
        tokio::spawn(async move { engine.run(working).await });
        tokio::spawn(postq_web::serve(listener, postq_web::router(web), serving));
        Self { address, stop }
    }

    /// What the API says of the likes of a year.
    async fn likes(&self) -> i64 {
        let today = chrono::DateTime::<chrono::Utc>::from(std::time::UNIX_EPOCH).date_naive();
        let (from, until) = (today + TimeDelta::days(20_000), today + TimeDelta::days(23_000));
        let path = format!("/api/analytics/summary?account=dry_run:main&from={from}&until={until}");
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let url: hyper::Uri = format!("{}{path}", self.address).parse().expect("a URL");
        let answer = client.get(url).await.expect("an answer");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let told: Value = serde_json::from_slice(&body).expect("JSON");
        told["made"]["like_count"].as_i64().unwrap_or_default()
    }
}

/// Something that is out.
async fn publication(bench: &Bench) -> Publication {
    let desk = Engine::builder(bench.backend.clone())
        .platform(Arc::new(DryRun::new(Arc::new(SystemClock))))
        .build()
        .expect("an engine")
        .desk();
    let at = At::parse("+1s", None).expect("a time");
    let submission = Submission::new(Content::text("hello"), ["dry_run:main"], When::At(at));
    desk.submit(submission).await.expect("taken in");
    for _ in 0..400 {
        let page = Page::first(1);
        let out = bench.backend.publications.list(desk.tenant(), page).await.expect("a list");
        if let Some(out) = out.into_iter().next() {
            return out;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing is out after 20 s");
}

async fn count(bench: &Bench, of: &Publication, minutes: i64, likes: u64) {
    let public = Counts::from([("like_count".to_owned(), likes)]);
    let at = of.published_at + TimeDelta::minutes(minutes);
    bench.backend.metrics.insert(&[Snapshot::shown(of.id, at, public)]).await.expect("kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_is_never_behind_what_is_counted() {
    let bench = Bench::postgres_redis().await;
    let url = bench.redis().url();
    let redis = || Redis::new(Config::new(url.as_str())).expect("settings that fit").cache();
    let without = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
    let nodes = [
        Node::start(&bench, Arc::new(redis())).await,
        Node::start(&bench, Arc::new(redis())).await,
        Node::start(&bench, without).await,
    ];
    let ensure = async |likes: i64, when: &str| {
        for node in &nodes {
            assert_eq!((node.likes().await, node.likes().await), (likes, likes), "{when}");
        }
    };
    let out = publication(&bench).await;
    ensure(0, "before anything is counted").await;

    count(&bench, &out, 15, 7).await;
    ensure(7, "as soon as it is counted, on every node").await;

    bench.redis().kill();
    ensure(7, "while Redis is away").await;
    count(&bench, &out, 30, 9).await;
    ensure(9, "what is counted then is told").await;
}
