//! The worker: claims due jobs of a topic and runs their attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::content::Post;
use postq_core::error::StoreError;
use postq_core::feed::{Claim, Claimed, Deferral, Settle};
use postq_core::intent::Evidence;
use postq_core::job::Job;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::attempt;
use crate::engine::Shared;
use crate::planner::SLOW_SWEEP;
use crate::settings::TopicWorkers;
use crate::settle::{Verdict, settle};

/// Between two claims that found nothing there is at least this, whatever the store says of the
/// next moment.
const BREATH: Duration = Duration::from_millis(5);

/// The store's time, as it goes on since a claim told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreTime {
    told: DateTime<Utc>,
    at: Instant,
}

impl StoreTime {
    pub(crate) fn told_now(told: DateTime<Utc>) -> Self {
        Self { told, at: Instant::now() }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.told + self.at.elapsed()
    }
}

/// A claimed job with what its attempt needs.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) job: Job,
    pub(crate) evidence: Evidence,
    pub(crate) post: Option<Arc<Post>>,
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) time: StoreTime,
    /// How many parts this attempt has brought out.
    pub(crate) sent: AtomicUsize,
}

impl Work {
    /// How many parts are out, the first ones: they go out in order.
    pub(crate) fn out(&self) -> usize {
        let known = (0u16..).take_while(|part| self.evidence.receipt(*part).is_some()).count();
        known.max(self.sent.load(Ordering::Relaxed))
    }
}

/// Claims and runs until the shutdown, then lets what runs come to its end.
pub(crate) async fn run(shared: Arc<Shared>, workers: TopicWorkers, shutdown: CancellationToken) {
    let mut beat = shared.health.beat(format!("worker {}", workers.topic), SLOW_SWEEP);
    let mut attempts = JoinSet::new();
    while !shutdown.is_cancelled() {
        while let Some(ended) = attempts.try_join_next() {
            look_at(ended);
        }
        let free = workers.at_once.saturating_sub(attempts.len());
        if free == 0 {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                Some(ended) = attempts.join_next() => look_at(ended),
                // Busy with attempts, each within its time limit, is healthy.
                () = tokio::time::sleep(SLOW_SWEEP) => beat.ok(),
            }
            continue;
        }
        // Not cut short by the shutdown: what it has claimed must come to an end.
        let pause = match claim(&shared, &workers, free).await {
            Ok(claimed) => {
                beat.ok();
                let (full, until) = (claimed.jobs.len() >= free, next_claim(&shared, &claimed));
                let mark = claimed.mark;
                start(&shared, claimed, &mut attempts, &shutdown).await;
                if full {
                    continue;
                }
                shared.wait(&workers.topic, mark, until).await_or(&shutdown).await
            }
            Err(error) => Some(Err(error)),
        };
        if let Some(Err(error)) = pause {
            let wait = beat.failed(&error, shared.sample());
            tokio::time::sleep(wait).await_or(&shutdown).await;
        }
    }
    finish(&shared, attempts).await;
}

/// Awaits something unless the shutdown comes first.
trait AwaitOr: Future + Sized {
    async fn await_or(self, shutdown: &CancellationToken) -> Option<Self::Output> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            output = self => Some(output),
        }
    }
}

impl<F: Future> AwaitOr for F {}

async fn claim(
    shared: &Shared,
    workers: &TopicWorkers,
    limit: usize,
) -> Result<Claimed, StoreError> {
    let settings = &shared.settings;
    let mut claim = Claim::up_to(limit, workers.topic.clone(), shared.node);
    claim.lease = settings.lease;
    claim.ahead = settings.claim_ahead;
    claim.lane_width = settings.lane_width;
    claim.only = settings.only.clone();
    shared.bounded("claim jobs", shared.backend.feed.claim(&claim)).await
}

/// Until when to wait for the next claim, if nothing happens.
fn next_claim(shared: &Shared, claimed: &Claimed) -> DateTime<Utc> {
    let slow = claimed.now + shared.jittered(SLOW_SWEEP);
    let next = claimed.next_at.map_or(slow, |at| at - shared.settings.claim_ahead);
    next.clamp(claimed.now + BREATH, slow.max(claimed.now + BREATH))
}

/// Loads what the claimed jobs need, at once for all, and starts their attempts.
async fn start(
    shared: &Arc<Shared>,
    claimed: Claimed,
    attempts: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) {
    if claimed.jobs.is_empty() {
        return;
    }
    let time = StoreTime::told_now(claimed.now);
    match load(shared, &claimed).await {
        Ok((posts, accounts)) => {
            for claimed in claimed.jobs {
                let made = &claimed.job.made;
                let work = Work {
                    post: made.post_id.and_then(|id| posts.get(&id).cloned()),
                    account: made.account_id.and_then(|id| accounts.get(&id).cloned()),
                    job: claimed.job,
                    evidence: claimed.evidence,
                    time,
                    sent: AtomicUsize::default(),
                };
                let span = span(&work);
                let attempt = attempt::run(Arc::clone(shared), work, shutdown.clone());
                attempts.spawn(attempt.instrument(span));
            }
        }
        Err(error) => {
            let reason = postq_core::error::chain(&error);
            tracing::warn!(error = reason, jobs = claimed.jobs.len(), "not loaded; given back");
            for claimed in claimed.jobs {
                let shared = Arc::clone(shared);
                let at = time.now() + Duration::from_secs(1);
                attempts.spawn(async move {
                    let verdict =
                        Verdict::new(Settle::Deferred(at, Deferral::Again), "could not be loaded");
                    let _ = settle(&shared, claimed.job.held(), &verdict).await;
                });
            }
        }
    }
}

type Loaded = (
    BTreeMap<postq_core::id::PostId, Arc<Post>>,
    BTreeMap<postq_core::id::AccountId, Arc<Account>>,
);

async fn load(shared: &Shared, claimed: &Claimed) -> Result<Loaded, StoreError> {
    let made = || claimed.jobs.iter().map(|claimed| &claimed.job.made);
    let posts: BTreeSet<_> = made().filter_map(|made| made.post_id).collect();
    let accounts: BTreeSet<_> = made().filter_map(|made| made.account_id).collect();
    let (posts, accounts): (Vec<_>, Vec<_>) =
        (posts.into_iter().collect(), accounts.into_iter().collect());
    let backend = &shared.backend;
    let posts = shared.bounded("load posts", backend.posts.load(&posts)).await?;
    let accounts = shared.bounded("load accounts", backend.accounts.load(&accounts)).await?;
    Ok((
        posts.into_iter().map(|post| (post.id, Arc::new(post))).collect(),
        accounts.into_iter().map(|account| (account.id, Arc::new(account))).collect(),
    ))
}

fn span(work: &Work) -> tracing::Span {
    let (job, account) = (&work.job, work.account.as_ref());
    tracing::info_span!(
        "attempt",
        job_id = %job.id(),
        dedupe_key = job.made.dedupe_key.as_ref().map(tracing::field::display),
        account = account.map(|account| account.name.as_str()),
        platform = account.map(|account| account.platform.as_str()),
        attempt = job.attempt,
        correlation_id = %job.made.correlation_id,
    )
}

/// Lets running attempts finish within the grace period. Those that wait give themselves back; what
/// is still sending after it is cut off, and looked for by whoever claims it next.
async fn finish(shared: &Shared, mut attempts: JoinSet<()>) {
    let all = async {
        while let Some(ended) = attempts.join_next().await {
            look_at(ended);
        }
    };
    if tokio::time::timeout(shared.settings.grace_period, all).await.is_err() {
        tracing::warn!(attempts = attempts.len(), "cut off at the end of the grace period");
    }
}

fn look_at(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "an attempt panicked; its lease runs out and it is tried again");
    }
}
