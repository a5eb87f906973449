//! A store as it is after months of use.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use postq::calendar::zone;
use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::content::{Content, Post};
use postq::core::failure::{Failure, FailureClass};
use postq::core::feed::{Claim, ClaimedJob, Settle, Settlement};
use postq::core::id::{AccountId, JobId, NodeId, TenantId, TokenId};
use postq::core::intent::Receipt;
use postq::core::job::{Applied, DeadReason, Lane, NewJob, Topic};
use postq::core::retry::RetryDecision;
use postq::core::schedule::{Schedule, Timing};
use postq::core::token::Scope;
use postq::sqlite::SqliteStore;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

pub(crate) const FILE: &str = "posts.db";
const ACCOUNTS: usize = 200;
/// Rows in one transaction.
const BATCH: usize = 5_000;

/// What there is to ask for, each list in the order of the API's.
pub(crate) struct Filled {
    pub(crate) token: SecretString,
    pub(crate) accounts: Vec<String>,
    pub(crate) posts: Vec<Uuid>,
    pub(crate) schedules: Vec<Uuid>,
    /// Those that go on for ever.
    pub(crate) repeating: Vec<Uuid>,
    pub(crate) jobs: Vec<Uuid>,
    pub(crate) dead_letters: Vec<Uuid>,
}

/// What becomes of the one job of a post.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Out,
    Dead,
    Retries,
    Waits,
    /// Its schedule has not come so far.
    NotYet,
    Repeats,
}

/// Of 100 posts: 60 are out, 11 dead letters, 2 wait for a retry, 5 are in the queue for tomorrow, 12
/// are scheduled for later, and 10 repeat.
fn fate(post: usize) -> Fate {
    match post * 37 % 100 {
        0..60 => Fate::Out,
        60..71 => Fate::Dead,
        71..73 => Fate::Retries,
        73..78 => Fate::Waits,
        78..90 => Fate::NotYet,
        _ => Fate::Repeats,
    }
}

/// Makes the file, closes it, and tells what is in it.
pub(crate) async fn fill(folder: &Path, posts: usize) -> Filled {
    let store = SqliteStore::open(folder.join(FILE)).expect("a store");
    let backend = store.backend();
    let now = backend.jobs.now().await.expect("the time");
    let accounts = connect(&backend, now).await;
    let issued = postq_web::issue(TokenId::new(), TenantId::DEFAULT, "bench", Scope::Write, now);
    store.tokens().insert(&issued.token).await.expect("a token");

    let mut filled = Filled {
        token: issued.text.expose_secret().to_owned().into(),
        accounts: accounts.iter().map(|account| account.name.clone()).collect(),
        posts: Vec::new(),
        schedules: Vec::new(),
        repeating: Vec::new(),
        jobs: Vec::new(),
        dead_letters: Vec::new(),
    };
    for begin in (0..posts).step_by(BATCH) {
        let numbers = begin..posts.min(begin + BATCH);
        part(&backend, &accounts, numbers, now, &mut filled).await;
    }
    for list in [&mut filled.posts, &mut filled.schedules, &mut filled.jobs] {
        list.sort_unstable();
    }
    filled.dead_letters.sort_unstable();
    store.close().await.expect("closed");
    filled
}

async fn connect(backend: &Backend, now: DateTime<Utc>) -> Vec<Account> {
    let mut accounts = Vec::with_capacity(ACCOUNTS);
    for n in 0..ACCOUNTS {
        let platform = "dry_run".parse().expect("a name");
        let account = Account::new(format!("account-{n}"), platform, now);
        backend.accounts.insert(&account).await.expect("an account");
        accounts.push(account);
    }
    accounts
}

async fn part(
    backend: &Backend,
    accounts: &[Account],
    numbers: std::ops::Range<usize>,
    now: DateTime<Utc>,
    filled: &mut Filled,
) {
    let (mut posts, mut schedules, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
    let mut fates = BTreeMap::new();
    for n in numbers {
        let (account, fate) = (&accounts[n % ACCOUNTS], fate(n));
        let post = Post::new(Content::text(format!("post {n}: {}", "word ".repeat(20))), now);
        let schedule = schedule(&post, account.id, n, fate, now);
        if fate == Fate::Repeats {
            filled.repeating.push(schedule.id.as_uuid());
        }
        if let Some(job) = job(&schedule, account, fate, now) {
            fates.insert(job.id, fate);
            jobs.push(job);
        }
        posts.push(post);
        schedules.push(schedule);
    }
    backend.posts.insert(&posts).await.expect("posts");
    backend.schedules.insert(&schedules).await.expect("schedules");
    backend.jobs.insert(&jobs).await.expect("jobs");
    settle(backend, &fates, now).await;
    filled.posts.extend(posts.iter().map(|post| post.id.as_uuid()));
    filled.schedules.extend(schedules.iter().map(|schedule| schedule.id.as_uuid()));
    filled.jobs.extend(jobs.iter().map(|job| job.id.as_uuid()));
    let dead = fates.iter().filter(|(_, fate)| **fate == Fate::Dead);
    filled.dead_letters.extend(dead.map(|(id, _)| id.as_uuid()));
}

fn schedule(post: &Post, account: AccountId, n: usize, fate: Fate, now: DateTime<Utc>) -> Schedule {
    let later = |days: i64| now + TimeDelta::days(days);
    let (timing, next, last) = match fate {
        Fate::Repeats => {
            let expr = format!("{} {} * * 1-5", n % 60, n / 60 % 24);
            let timing = Timing::Cron { expr, from: None, count: None, until: None };
            (timing, Some(later(1)), None)
        }
        Fate::NotYet => {
            let at = later(2) + TimeDelta::seconds(i64::try_from(n).unwrap_or(0));
            (Timing::OneShot { at, local: None }, Some(at), None)
        }
        _ => {
            let at = planned_at(fate, now);
            (Timing::OneShot { at, local: None }, None, Some(at))
        }
    };
    let mut schedule = Schedule::new(post.id, vec![account], timing, now);
    // As the desk does it: what another zone database resolved is resolved again at the start.
    schedule.tz = Some("Europe/Berlin".to_owned());
    schedule.tzdb = Some(zone::tzdb_version().to_owned());
    (schedule.next_run_at, schedule.last_run_at) = (next, last);
    schedule
}

fn planned_at(fate: Fate, now: DateTime<Utc>) -> DateTime<Utc> {
    if fate == Fate::Waits { now + TimeDelta::days(1) } else { now - TimeDelta::seconds(60) }
}

fn job(schedule: &Schedule, account: &Account, fate: Fate, now: DateTime<Utc>) -> Option<NewJob> {
    if matches!(fate, Fate::NotYet | Fate::Repeats) {
        return None;
    }
    let lane = Lane::of(&account.platform, account.id);
    Some(NewJob::occurrence(schedule, planned_at(fate, now), account.id, lane))
}

/// Claims what is due, and ends it as its fate says.
async fn settle(backend: &Backend, fates: &BTreeMap<JobId, Fate>, now: DateTime<Utc>) {
    let node = NodeId::new();
    let mut claim = Claim::up_to(BATCH, Topic::publish(), node);
    claim.lane_width = u32::MAX;
    loop {
        let claimed = backend.feed.claim(&claim).await.expect("a claim");
        if claimed.jobs.is_empty() {
            return;
        }
        let ended = |claimed: &ClaimedJob| Settlement {
            held: claimed.job.held(),
            node,
            settle: end(fates[&claimed.job.id()], claimed.job.id(), now),
            reason: None,
            follow_ups: Vec::new(),
        };
        let ended: Vec<_> = claimed.jobs.iter().map(ended).collect();
        let answers = backend.feed.settle(&ended).await.expect("settled");
        assert!(answers.iter().all(|answer| *answer == Applied::Applied), "each once");
    }
}

fn end(fate: Fate, job: JobId, now: DateTime<Utc>) -> Settle {
    let failed = |class, decision| {
        Settle::Failed(Failure::not_published(class, "the platform says no"), decision)
    };
    match fate {
        Fate::Dead => failed(FailureClass::Content, RetryDecision::GiveUp(DeadReason::Content)),
        Fate::Retries => {
            let at = now + TimeDelta::days(1);
            failed(FailureClass::Platform, RetryDecision::RetryAt(at))
        }
        _ => Settle::Succeeded(Some(Receipt {
            part: 0,
            remote_id: job.to_string(),
            url: None,
            published_at: now,
            dry_run: true,
        })),
    }
}
