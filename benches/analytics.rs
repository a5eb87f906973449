//! What a summary of a year costs: one account with 100,000 publications of 15 snapshots each, on SQLite and
//! on Postgres, over HTTP and without a cache. `scripts/bench analytics` runs it.
//!
//! Publications are put into the tables by hand; snapshots go through the store, with all that follows
//! from them, and what that costs is told as well. An argument names fewer publications.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::cache::{Cache, Make};
use postq::core::clock::{Clock, SystemClock};
use postq::core::id::PublicationId;
use postq::core::memory::{MemoryIdempotency, MemoryTokens};
use postq::core::metrics::Snapshot;
use postq::core::platform::Counts;
use postq::engine::Engine;
use postq::engine::dry_run::DryRun;
use postq::sqlite::SqliteStore;
use postq_postgres::PgStore;
use postq_web::Web;
use test_servers::Postgres;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const PUBLICATIONS: usize = 100_000;
const SNAPSHOTS: i64 = 15;
/// Snapshots in one call.
const BATCH: usize = 1_500;
/// Requests of each kind; the first is not counted.
const ROUNDS: usize = 51;

fn main() {
    let named = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let publications: usize = named.unwrap_or(PUBLICATIONS);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        sqlite(publications).await;
        postgres(publications).await;
    });
}

async fn sqlite(publications: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("posts.db");
    let store = SqliteStore::open(&path).expect("a store");
    let (account, out) = account(&store.backend(), publications).await;
    let mut file = rusqlite::Connection::open(&path).expect("the file");
    let all = file.transaction().expect("a transaction");
    for (n, (id, at)) in out.iter().enumerate() {
        let insert = "INSERT INTO published_posts (id, tenant_id, job_id, post_id, account_id,
                 remote_id, published_at, parts, poll_at)
             VALUES (?1, ?2, ?1, ?1, ?3, ?4, ?5, '[]', NULL)";
        let bytes = |id: uuid::Uuid| id.into_bytes();
        let row = rusqlite::params![
            bytes(id.as_uuid()),
            bytes(account.tenant_id.as_uuid()),
            bytes(account.id.as_uuid()),
            n.to_string(),
            at.timestamp_micros(),
        ];
        all.prepare_cached(insert).and_then(|mut insert| insert.execute(row)).expect("a row");
    }
    all.commit().expect("committed");
    drop(file);
    measure("sqlite", store.backend(), &account, &out).await;
}

async fn postgres(publications: usize) {
    // As Postgres comes, where the tests' servers are smaller.
    let server = Postgres::start_with(&["shared_buffers = '128MB'", "max_wal_size = '1GB'"]);
    let config = postq_postgres::Config::new(server.url()).in_schema("bench");
    let store = PgStore::open(config).await.expect("a store");
    let (account, out) = account(&store.backend(), publications).await;
    let connected = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("a connection");
    tokio::spawn(connection);
    for (n, batch) in out.chunks(10_000).enumerate() {
        let insert =
            "INSERT INTO bench.published_posts (id, tenant_id, job_id, post_id, account_id,
                 remote_id, published_at, parts, poll_at)
             SELECT id, $3, id, id, $4, $5 || '-' || n, at, '[]', NULL
             FROM unnest($1::uuid[], $2::timestamptz[]) WITH ORDINALITY AS new (id, at, n)";
        let (ids, times): (Vec<_>, Vec<_>) =
            batch.iter().map(|(id, at)| (id.as_uuid(), *at)).unzip();
        let (tenant, owner) = (account.tenant_id.as_uuid(), account.id.as_uuid());
        let row = client.execute(insert, &[&ids, &times, &tenant, &owner, &n.to_string()]).await;
        row.expect("rows");
    }
    measure("postgres", store.backend(), &account, &out).await;
}

/// An account, and publications evenly over the last year.
async fn account(
    backend: &Backend,
    publications: usize,
) -> (Account, Vec<(PublicationId, DateTime<Utc>)>) {
    let now = backend.jobs.now().await.expect("the time");
    let account = Account::new("acme", "dry_run".parse().expect("a name"), now);
    backend.accounts.insert(&account).await.expect("an account");
    let from = now - TimeDelta::days(364);
    let gap = TimeDelta::days(355) / i32::try_from(publications).expect("not so many");
    let at = |n: usize| from + gap * i32::try_from(n).expect("not so many");
    (account, (0..publications).map(|n| (PublicationId::new(), at(n))).collect())
}

async fn measure(
    name: &str,
    backend: Backend,
    account: &Account,
    out: &[(PublicationId, DateTime<Utc>)],
) {
    let started = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    for (n, (id, at)) in out.iter().enumerate() {
        batch.extend((1..=SNAPSHOTS).map(|poll| snapshot(*id, *at, poll, n as u64)));
        if batch.len() >= BATCH {
            backend.metrics.insert(&std::mem::take(&mut batch)).await.expect("snapshots");
        }
    }
    backend.metrics.insert(&batch).await.expect("snapshots");
    let (snapshots, took) = (out.len() * SNAPSHOTS as usize, started.elapsed());
    println!(
        "{name}: {snapshots} snapshots kept in {took:.1?}, {:.0} a second",
        snapshots as f64 / took.as_secs_f64()
    );
    ask(name, backend, account, out.len()).await;
}

fn snapshot(id: PublicationId, out: DateTime<Utc>, poll: i64, n: u64) -> Snapshot {
    let grown = (poll as u64) * (n % 40 + 1);
    let counts = [
        ("like_count", grown),
        ("reply_count", grown / 7),
        ("repost_count", grown / 5),
        ("quote_count", grown / 20),
        ("bookmark_count", grown / 9),
        ("impression_count", grown * 60),
    ];
    let counts: Counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
    Snapshot::shown(id, out + TimeDelta::hours(poll * 11), counts)
}

/// A cache that keeps nothing.
#[derive(Debug)]
struct NoCache;

#[async_trait]
impl Cache for NoCache {
    async fn get_or_set(&self, _: &str, _: Duration, make: Make) -> Option<Vec<u8>> {
        make().await
    }

    async fn forget(&self, _: &str) {}
}

async fn ask(name: &str, backend: Backend, account: &Account, publications: usize) {
    let clock = Arc::new(SystemClock);
    let engine = Engine::builder(backend).platform(Arc::new(DryRun::new(clock.clone()))).build();
    let tokens = Arc::new(MemoryTokens::default());
    let idempotency = Arc::new(MemoryIdempotency::new(clock));
    let mut web = Web::new(engine.expect("an engine"), tokens, idempotency);
    web.cache = Arc::new(NoCache);
    web.settings.requests_per_second = NonZeroU32::new(1_000_000).expect("not 0");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let serving =
        tokio::spawn(postq_web::serve(listener, postq_web::router(web), stop.child_token()));

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let today = SystemClock.now().date_naive();
    let year = format!(
        "summary?account={}&from={}&until={}",
        account.id,
        today - TimeDelta::days(365),
        today + TimeDelta::days(1)
    );
    let times = format!("best-times?account={}&tz=Europe/Berlin", account.id);
    for (what, path) in [("a year's summary", year), ("best times", times)] {
        let url: hyper::Uri =
            format!("http://{address}/api/analytics/{path}").parse().expect("an address");
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let answer = client.get(url.clone()).await.expect("an answer");
            assert_eq!(answer.status(), 200, "{what}");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            took.push(started.elapsed());
            let told: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            if what == "a year's summary" {
                assert_eq!(told["publications"], publications);
            }
        }
        let mut took = took.split_off(1);
        took.sort_unstable();
        println!(
            "{name}: {what}: median {:.1?}, slowest {:.1?}",
            took[took.len() / 2],
            took[took.len() - 1]
        );
    }
    stop.cancel();
    serving.await.expect("served").expect("served");
}
