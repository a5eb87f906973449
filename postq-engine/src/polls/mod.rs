//! Polling metrics: when, and as whose work.
//!
//! A publication is followed from the moment it is out. Its polls are planned here, one `metrics.capture`
//! job reads all that are due of an account (see `capture`), and the cadence says when the next one is. A
//! poll that is late is made once, and those that it stands for are passed over.

mod budget;
mod capture;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::cadence::{PollingCadence, StagedCadence};
use postq_core::content::Post;
use postq_core::error::StoreError;
use postq_core::feed::Only;
use postq_core::id::{AccountId, PostId};
use postq_core::job::{DedupeKey, JobKind, NewJob, Topic};
use postq_core::metrics::{DuePolls, Followed, Reading};
use postq_core::platform::Platform;
use postq_core::price::{CallKind, Spent};
use postq_core::store::Block;
use tokio_util::sync::CancellationToken;

pub(crate) use self::capture::Capture;
use crate::engine::Shared;
use crate::settings::Settings;

/// Due polls are looked for so often: a poll may be as late, and so many share a call.
const EVERY: Duration = Duration::from_secs(30);

/// Publications, or accounts, in one call; calls in one round. What is left over waits for the next round.
const BATCH: usize = 500;
const CALLS: usize = 20;

/// While a job waits, no other is made for the same polls. One that was given up makes room after so long.
const JOB_STANDS_FOR: Duration = Duration::from_secs(6 * 3_600);

/// Attempts at a job: its own waits for the limiter are among them.
const ATTEMPTS: u32 = 20;

/// How metrics are polled.
#[derive(Clone)]
pub struct Polling {
    /// When. Defaults to [`StagedCadence`].
    pub cadence: Arc<dyn PollingCadence>,
    /// A post that is not shown so soon after it came out gets a person's attention. Defaults to 24 h.
    pub soon: Duration,
}

impl Default for Polling {
    fn default() -> Self {
        Self { cadence: Arc::new(StagedCadence::default()), soon: Duration::from_secs(86_400) }
    }
}

impl fmt::Debug for Polling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polling").field("soon", &self.soon).finish_non_exhaustive()
    }
}

/// Whether an engine with these settings polls: if it runs such jobs, and not those of some schedules
/// alone.
pub(crate) fn are_wanted(settings: &Settings) -> bool {
    let runs_them = settings.topics.iter().any(|workers| workers.topic.as_str() == Topic::METRICS);
    runs_them && settings.only == Only::Any
}

/// Plans polls and makes their jobs until the shutdown.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut beat = shared.health.beat("polls", EVERY);
    while !shutdown.is_cancelled() {
        let pause = match round(&shared).await {
            Ok(()) => {
                beat.ok();
                shared.jittered(EVERY)
            }
            Err(error) => beat.failed(&error, shared.sample()),
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn round(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.bounded("tell the time", shared.backend.jobs.now()).await?;
    plan(shared, now).await?;
    let left = budget::watch(shared, now).await?;
    make_jobs(shared, now, left).await
}

/// Gives what just came out the time of its first poll. What came out so long ago that none is left, and
/// what is on a platform that counts nothing, is not polled.
async fn plan(shared: &Shared, now: DateTime<Utc>) -> Result<(), StoreError> {
    for _ in 0..CALLS {
        let metrics = &shared.backend.metrics;
        let found = shared.bounded("list unplanned polls", metrics.unplanned(BATCH)).await?;
        let accounts = accounts(shared, found.iter().map(|one| one.account_id)).await?;
        let posts = posts(shared, &found).await?;
        let mut plans = Vec::with_capacity(found.len());
        for one in &found {
            match polled(shared, accounts.get(&one.account_id)) {
                Polled::Here(platform) => {
                    let spent = published(shared, platform, posts.get(&one.post_id), one);
                    plans.push(Reading { spent, ..planned(shared, one, now) });
                }
                Polled::Never => plans.push(ended(one)),
                // Not for ever: where no node knows it, it would stand before others in this list.
                Polled::Elsewhere => plans.extend(over(shared, one, now)),
            }
        }
        shared.bounded("plan polls", metrics.record(&plans)).await?;
        // Those of platforms that only other nodes know stay where they are.
        if found.len() < BATCH || plans.is_empty() {
            break;
        }
    }
    Ok(())
}

fn planned(shared: &Shared, one: &Followed, now: DateTime<Utc>) -> Reading {
    let next = shared.polling.cadence.next(one.published_at, now.max(one.published_at));
    Reading { next, ..ended(one) }
}

/// The end of polls, if none is left.
fn over(shared: &Shared, one: &Followed, now: DateTime<Utc>) -> Option<Reading> {
    Some(planned(shared, one, now)).filter(|reading| reading.next.is_none())
}

fn ended(one: &Followed) -> Reading {
    let poll_at = one.poll_at.unwrap_or(Followed::UNPLANNED);
    Reading { publication_id: one.id, poll_at, snapshot: None, next: None, spent: Vec::new() }
}

/// What it has cost to publish something: counted when its polls are planned, which happens once. By the
/// post as it is now; of one that is gone as for one part.
fn published(
    shared: &Shared,
    platform: &dyn Platform,
    post: Option<&Post>,
    one: &Followed,
) -> Vec<Spent> {
    let (prices, at) = (&shared.prices, one.published_at);
    match post {
        Some(post) => prices.publishing(platform, post.content.parts_for(platform.name()), at),
        None => prices.calls(platform.name(), CallKind::Publish, 1, at).into_iter().collect(),
    }
}

/// The posts of publications, where publishing them has a price.
async fn posts(shared: &Shared, found: &[Followed]) -> Result<BTreeMap<PostId, Post>, StoreError> {
    if shared.prices.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut ids: Vec<PostId> = found.iter().map(|one| one.post_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let posts = shared.bounded("load posts", shared.backend.posts.load(&ids)).await?;
    Ok(posts.into_iter().map(|post| (post.id, post)).collect())
}

/// Whether an account's publications are polled, and by whom.
enum Polled<'a> {
    Here(&'a dyn Platform),
    Elsewhere,
    Never,
}

fn polled<'a>(shared: &'a Shared, account: Option<&Account>) -> Polled<'a> {
    let Some(account) = account else { return Polled::Never };
    match shared.platforms.get(&account.platform) {
        Some(platform) if platform.metrics().is_some() => Polled::Here(platform.as_ref()),
        Some(_) => Polled::Never,
        None => Polled::Elsewhere,
    }
}

async fn accounts(
    shared: &Shared,
    ids: impl Iterator<Item = AccountId>,
) -> Result<BTreeMap<AccountId, Account>, StoreError> {
    let mut ids: Vec<AccountId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let load = shared.backend.accounts.load(&ids);
    let accounts = shared.bounded("load accounts", load).await?;
    Ok(accounts.into_iter().map(|account| (account.id, account)).collect())
}

/// Makes a job for each account that has polls due, does not stand still, and is not too dear by now. However many nodes do, it is
/// one job: its key is that of the earliest poll.
async fn make_jobs(
    shared: &Shared,
    now: DateTime<Utc>,
    left: Option<u64>,
) -> Result<(), StoreError> {
    let due = shared.backend.metrics.due(now, BATCH * CALLS);
    let due = shared.bounded("list due polls", due).await?;
    if due.is_empty() {
        return Ok(());
    }
    let blocks = shared.bounded("list blocks", shared.backend.blocks.blocks()).await?;
    for due in due.chunks(BATCH) {
        let accounts = accounts(shared, due.iter().map(|due| due.account_id)).await?;
        let jobs: Vec<NewJob> = due
            .iter()
            .filter_map(|due| Some((due, accounts.get(&due.account_id)?)))
            .filter(|(_, account)| budget::polls(&shared.prices, &account.platform, left) > 0)
            .filter_map(|(due, account)| job(shared, due, account, &blocks, now))
            .collect();
        shared.bounded("make metrics jobs", shared.backend.jobs.insert(&jobs)).await?;
    }
    Ok(())
}

fn job(
    shared: &Shared,
    due: &DuePolls,
    account: &Account,
    blocks: &[Block],
    now: DateTime<Utc>,
) -> Option<NewJob> {
    let lane = account.lane();
    let stands_still =
        blocks.iter().any(|block| block.scope == lane.as_str() || block.scope == lane.app());
    if stands_still || !matches!(polled(shared, Some(account)), Polled::Here(_)) {
        return None;
    }
    let work = format!("metrics:{}:{}", due.account_id, due.earliest.timestamp_micros());
    let kind = JobKind::new(JobKind::METRICS_CAPTURE);
    Some(NewJob {
        id: shared.job_id(now),
        tenant_id: due.tenant_id,
        lane: Some(lane),
        account_id: Some(due.account_id),
        max_attempts: ATTEMPTS,
        dedupe_key: Some(DedupeKey::round(&work, now, JOB_STANDS_FOR)),
        ..NewJob::new(kind, Topic::new(Topic::METRICS), now)
    })
}
