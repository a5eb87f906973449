//! What planning costs, whatever else is scheduled: 100 due schedules among 10,000 and among 1,000,000.
//!
//! On SQLite files with full durability. The two are planned in turns, so that what else the machine
//! does is the same for both. `scripts/bench planning` runs it.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use postq::calendar::Calendar;
use postq::core::account::Account;
use postq::core::content::{Content, Post};
use postq::core::id::{AccountId, NodeId, PostId};
use postq::core::schedule::{Resolver, Schedule, Timing};
use postq::core::store::PlanRequest;
use postq::sqlite::SqliteStore;

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
/// Due in each round.
const DUE: usize = 100;
const ROUNDS: u32 = 40;
/// From one round's look-ahead to the next one's.
const STEP: Duration = Duration::from_secs(600);
/// Where all the others are.
const FAR: TimeDelta = TimeDelta::days(100);
/// Schedules in one transaction.
const BATCH: usize = 10_000;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (few, many) = (Bench::new(FEW).await, Bench::new(MANY).await);
        let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            of_few.push(few.plan(round).await);
            of_many.push(many.plan(round).await);
        }
        let (few, many) = (median(of_few), median(of_many));
        println!("planning {DUE} due of {FEW:>9} schedules: {few:>9.1?}");
        println!("planning {DUE} due of {MANY:>9} schedules: {many:>9.1?}");
        println!("ratio {:.2}", many.as_secs_f64() / few.as_secs_f64());
    });
}

/// A store with so many schedules.
struct Bench {
    store: SqliteStore,
    resolver: Arc<dyn Resolver>,
    started: DateTime<Utc>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(schedules: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path().join("posts.db")).expect("a store");
        let backend = store.backend();
        let started = backend.jobs.now().await.expect("the time");
        let account = Account::new("acme", "dry_run".parse().expect("a name"), started);
        let post = Post::new(Content::text("hello"), started);
        backend.accounts.insert(&account).await.expect("an account");
        backend.posts.insert(std::slice::from_ref(&post)).await.expect("a post");
        let mut all = (0..schedules).map(|i| schedule(i, post.id, account.id, started));
        loop {
            let batch: Vec<_> = all.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            backend.schedules.insert(&batch).await.expect("schedules");
        }
        Self { store, resolver: Arc::new(Calendar::new()), started, _folder: folder }
    }

    /// Plans what is due in this round; answers how long that took.
    async fn plan(&self, round: u32) -> Duration {
        let backend = self.store.backend();
        let now = backend.jobs.now().await.expect("the time");
        let mut request = PlanRequest::new(NodeId::new());
        // So that only this round's are within it, however long the schedules took to be written.
        let end = self.started + STEP * round;
        request.look_ahead = (end - now).to_std().expect("the rounds are far enough ahead");
        let before = Instant::now();
        let planned = backend.schedules.plan(&request, &self.resolver).await.expect("a plan");
        let took = before.elapsed();
        assert_eq!((planned.jobs.len(), planned.more), (DUE, false), "of round {round}");
        took
    }
}

/// The first ones are due in the rounds, `DUE` in each; the others are by cron, far ahead.
fn schedule(i: usize, post: PostId, account: AccountId, started: DateTime<Utc>) -> Schedule {
    let round = u32::try_from(i / DUE).unwrap_or(u32::MAX);
    let (timing, next) = if round < ROUNDS {
        let anchor = started + STEP * round + STEP / 2;
        let every = Duration::from_secs(365 * 86_400);
        (Timing::Interval { every, anchor, count: None, until: None }, anchor)
    } else {
        let expr = format!("{} {} * * *", i % 60, i / 60 % 24);
        let spread = TimeDelta::seconds(i64::try_from(i).unwrap_or(i64::MAX));
        (Timing::Cron { expr, from: None, count: None, until: None }, started + FAR + spread)
    };
    let mut schedule = Schedule::new(post, vec![account], timing, started);
    schedule.tz = Some("Europe/Berlin".to_owned());
    schedule.next_run_at = Some(next);
    schedule
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
