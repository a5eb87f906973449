//! At full speed the tables that the work goes through stay as small as the work in hand: what is done
//! leaves them, and is cleaned up and vacuumed as fast as more comes in.
//!
//! `POSTQ_SOAK_SECONDS` makes it longer, and then their size is looked at as well: a few seconds are too
//! short for a vacuum. `scripts/soak postgres` does.

#![allow(missing_docs, clippy::print_stdout, reason = "a test that tells what it saw")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backends::{Bench, Running, one_shot};
use chrono::{DateTime, TimeDelta, Utc};
use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::content::{Content, Post};
use postq::core::failure::Failure;
use postq::core::job::{Job, JobKind, Lane, NewJob, Topic};
use postq::core::store::Retention;
use postq::engine::handler::Handler;
use postq::engine::{Settings, TopicWorkers};
use postq_postgres::tokio_postgres::{Client, NoTls, connect};
use scripted::Scripted;
use test_servers::Postgres;
use tokio::time::Instant;

/// What the work goes through. The others keep what has to be kept.
const HOT: [&str; 8] = ["planned", "later", "due", "running", "ended", "lanes", "job", "buckets"];

const LANES: usize = 200;
/// Jobs that wait at any time, and how many come at once.
const BACKLOG: u64 = 3_000;
const BATCH: usize = 500;
/// Ended jobs that are kept of each topic.
const KEEP: u64 = 100;
/// Posts with each batch.
const POSTS: usize = 10;

/// Nothing to do, as fast as it goes.
#[derive(Debug, Default)]
struct Count(AtomicU64);

#[async_trait]
impl Handler for Count {
    async fn run(&self, _job: &Job) -> Result<(), Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_tables_stay_small_at_full_speed() {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    let asked: Option<u64> =
        std::env::var("POSTQ_SOAK_SECONDS").ok().map(|text| text.parse().expect("a number"));
    let lasts = Duration::from_secs(asked.unwrap_or(6));
    let server = Postgres::start();
    let bench = Arc::new(Bench::postgres_at(&server.url()).await);
    let done = Arc::new(Count::default());
    let platform = Scripted::new("scripted", &bench);
    let nodes = [bench.another().await, bench.another().await].map(|node| {
        let retention =
            Retention { ended: Duration::from_secs(2), keep: KEEP, ..Retention::default() };
        let topics = [Topic::publish(), Topic::new("soak")];
        let topics = topics.map(|topic| TopicWorkers { topic, at_once: 128 }).to_vec();
        let clean_every = Duration::from_secs(1);
        let settings = Settings { topics, retention, clean_every, ..bench.settings() };
        let engine = bench.engine_on(node).settings(settings).platform(platform.shared());
        Running::start(engine.handler(JobKind::new("soak"), Arc::clone(&done) as Arc<dyn Handler>))
    });
    let accounts = bench.accounts(20, "scripted").await;
    let feeding = tokio::spawn(feed(Arc::clone(&bench), accounts, Arc::clone(&done)));

    let (client, connection) = connect(&server.url(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let schema = &bench.schema().expect("in Postgres").schema;
    let (begun, every) = (Instant::now(), lasts / 32);
    let mut seen = Vec::new();
    let mut before = 0;
    while begun.elapsed() < lasts {
        tokio::time::sleep(every).await;
        let sizes = sizes(&client, schema).await;
        let all = done.0.load(Ordering::Relaxed);
        let speed = (all - before) as f64 / every.as_secs_f64();
        before = all;
        println!("{:>5.0} s {speed:>6.0} jobs/s  {}", begun.elapsed().as_secs_f64(), line(&sizes));
        nodes.iter().for_each(|node| tell_failures(node, bench.now()));
        seen.push(sizes);
    }
    feeding.abort();

    let done = done.0.load(Ordering::Relaxed);
    println!("{done} jobs, {} posts", platform.live().len());
    assert!(done > 100 && !platform.live().is_empty(), "{done} jobs: hardly anything was done");
    assert_empty_soon(&client, schema).await;
    if asked.is_some() {
        assert_flat(&seen);
    }
}

/// Once nothing more comes in, nothing is left but the few ended jobs that are kept.
async fn assert_empty_soon(client: &Client, schema: &str) {
    let sql = format!(
        "SELECT (SELECT count(*) FROM {schema}.planned) + (SELECT count(*) FROM {schema}.later)
              + (SELECT count(*) FROM {schema}.due) + (SELECT count(*) FROM {schema}.running),
            (SELECT count(*) FROM {schema}.ended), (SELECT count(*) FROM {schema}.job)"
    );
    let begun = Instant::now();
    loop {
        let row = client.query_one(&sql, &[]).await.expect("counts");
        let (live, ended, all): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        // At most so many of each topic.
        let most = 2 * i64::try_from(KEEP).expect("a few");
        if live == 0 && ended <= most && ended == all {
            return;
        }
        let left = format!("{live} live, {ended} ended, {all} in all");
        assert!(begun.elapsed() < Duration::from_secs(60), "still there: {left}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Keeps so many jobs waiting, and lets posts go out beside them.
async fn feed(bench: Arc<Bench>, accounts: Vec<Account>, done: Arc<Count>) {
    let (backend, mut made) = (&bench.backend, 0);
    loop {
        if made - done.0.load(Ordering::Relaxed) >= BACKLOG {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let now = bench.now();
        let job = |n: usize| NewJob {
            // Half of them in lanes; some of them due a little later.
            lane: n.is_multiple_of(2).then(|| Lane::from_raw(format!("soak/{}", n % LANES))),
            planned_at: now + TimeDelta::milliseconds(n as i64 % 5 * 100),
            ..NewJob::new(JobKind::new("soak"), Topic::new("soak"), now)
        };
        let jobs: Vec<NewJob> = (0..BATCH).map(job).collect();
        backend.jobs.insert(&jobs).await.expect("jobs");
        made += BATCH as u64;
        publish(backend, &accounts, made).await;
    }
}

async fn publish(backend: &Backend, accounts: &[Account], made: u64) {
    let now = backend.jobs.now().await.expect("the time");
    let post = |n: usize| {
        let post = Post::new(Content::text(format!("{made} {n}")), now);
        let account = &accounts[(made as usize / BATCH * POSTS + n) % accounts.len()];
        let schedule = one_shot(post.id, &[account.id], now, now);
        (post, schedule)
    };
    let (posts, schedules): (Vec<_>, Vec<_>) = (0..POSTS).map(post).unzip();
    backend.posts.insert(&posts).await.expect("posts");
    backend.schedules.insert(&schedules).await.expect("schedules");
}

/// Loops whose last round failed, or was long ago.
fn tell_failures(node: &Running, now: DateTime<Utc>) {
    for (name, health) in node.engine.health().loops() {
        if health.error.is_some() || !health.is_fresh(now) {
            println!("      {name}: last success {:?}, {:?}", health.last_success, health.error);
        }
    }
}

/// Each table's size with its indexes, in bytes, and its dead rows.
type Sizes = BTreeMap<String, (i64, i64)>;

async fn sizes(client: &Client, schema: &str) -> Sizes {
    let sql = "SELECT relname::text, pg_total_relation_size(relid), n_dead_tup
               FROM pg_stat_user_tables WHERE schemaname = $1";
    let rows = client.query(sql, &[&schema]).await.expect("sizes");
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

fn line(sizes: &Sizes) -> String {
    let one = |name: &&str| {
        let (bytes, dead) = sizes[*name];
        format!("{name} {:.1} MiB ({dead} dead)", bytes as f64 / f64::from(1 << 20))
    };
    HOT.iter().map(one).collect::<Vec<_>>().join("  ")
}

/// Once the first vacuum has been there, no hot table grows: at its largest in the second half it is about
/// as large as at its largest in the first.
fn assert_flat(seen: &[Sizes]) {
    let largest = |seen: &[Sizes], name: &str| {
        seen.iter().map(|sizes| sizes[name].0).max().expect("some were taken")
    };
    let (first, second) = seen.split_at(seen.len() / 2);
    for name in HOT {
        let (before, after) = (largest(first, name), largest(second, name));
        let most = before + before / 2 + (1 << 20);
        assert!(after <= most, "{name} grew from {before} to {after} bytes");
    }
}
