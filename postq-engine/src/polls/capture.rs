//! Running a `metrics.capture` job: what is due of one account, in as few calls as the platform allows.
//!
//! Nothing here may hold back a post: reading has buckets of its own, and whatever a platform refuses to
//! be read blocks no lane. A poll that cannot be made is passed over, and the next one is made instead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::error::{StoreError, chain};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_core::job::{Job, NewJob};
use postq_core::limiter::Take;
use postq_core::metrics::{Followed, Reading, Snapshot, Visibility};
use postq_core::notifier::{Notice, NoticeKind};
use postq_core::platform::{Asked, Counts, Fetched, Identity, Metrics, Pace};
use postq_core::price::CallKind;
use postq_core::retry::{ExponentialJitter, RetryStrategy};

use super::{ATTEMPTS, Polling, budget};
use crate::handler::{Handler, to_tell};
use crate::platforms::Platforms;
use crate::prices::Prices;
use crate::tokens::{Tokens, Unusable};

/// Batches of one account in one job; what is left over is due still, and makes the next job.
const BATCHES: usize = 10;

/// A slot that is nearer than this is waited for with the job in hand.
const SLOT_PATIENCE: Duration = Duration::from_secs(2);

/// The waits between attempts.
const WAITS: ExponentialJitter =
    ExponentialJitter { base: Duration::from_secs(30), most: Duration::from_secs(900) };

/// Runs `metrics.capture` jobs.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) backend: Backend,
    pub(crate) platforms: Platforms,
    pub(crate) tokens: Tokens,
    pub(crate) polling: Polling,
    pub(crate) prices: Arc<Prices>,
    /// Whether the limiter is asked.
    pub(crate) rate_limit: bool,
    /// By which a person is told.
    pub(crate) channels: Vec<String>,
}

#[async_trait]
impl Handler for Capture {
    async fn run(&self, job: &Job) -> Result<(), Failure> {
        let Some(account) = self.account(job).await? else { return Ok(()) };
        let Some(platform) = self.platforms.get(&account.platform) else {
            // Tried again: another node may know it.
            let message = format!("this node does not know platform \"{}\"", account.platform);
            return Err(Failure::not_published(FailureClass::Internal, message));
        };
        let Some(metrics) = platform.metrics() else { return Ok(()) };
        let round = Round { capture: self, job, account: &account, metrics };
        for _ in 0..BATCHES {
            if round.batch().await? < metrics.batch() {
                break;
            }
        }
        Ok(())
    }

    fn retry(&self) -> Option<&dyn RetryStrategy> {
        Some(&WAITS)
    }
}

impl Capture {
    async fn account(&self, job: &Job) -> Result<Option<Account>, Failure> {
        let Some(id) = job.made.account_id else { return Ok(None) };
        let found = self.backend.accounts.load(&[id]).await.map_err(ours)?;
        Ok(found.into_iter().next())
    }
}

/// The polls of one account.
struct Round<'a> {
    capture: &'a Capture,
    job: &'a Job,
    account: &'a Account,
    metrics: &'a dyn Metrics,
}

impl Round<'_> {
    /// Reads one batch; answers how many were due.
    async fn batch(&self) -> Result<usize, Failure> {
        let store = &self.capture.backend;
        let now = store.jobs.now().await.map_err(ours)?;
        let (prices, platform) = (&self.capture.prices, &self.account.platform);
        let left = budget::left(prices, store, now).await.map_err(ours)?;
        let most = self.metrics.batch().min(budget::polls(prices, platform, left));
        if most == 0 {
            return Ok(0);
        }
        let due = store.metrics.polls(self.account.id, now, most).await.map_err(ours)?;
        if due.is_empty() {
            return Ok(0);
        }
        let readings = match self.fetch(&due, now).await {
            Ok(told) => {
                let now = store.jobs.now().await.map_err(ours)?;
                self.tell_of_missing(&due, &told, now).await?;
                let told = due.iter().zip(told);
                told.map(|(one, told)| self.reading(one, told, now)).collect::<Vec<_>>()
            }
            Err(failure) if self.is_worth_another_try(&failure) => return Err(failure),
            Err(failure) => {
                tracing::warn!(
                    account = self.account.name,
                    polls = due.len(),
                    error = %failure,
                    "metrics not read; passed over until the next poll"
                );
                due.iter().map(|one| self.passed_over(one, now)).collect()
            }
        };
        // Another node that read the same was first: then these are stale, and nothing is lost.
        let answers = store.metrics.record(&readings).await.map_err(ours)?;
        tracing::debug!(account = self.account.name, polls = answers.len(), "metrics read");
        Ok(due.len())
    }

    async fn fetch(&self, due: &[Followed], now: DateTime<Utc>) -> Result<Vec<Fetched>, Failure> {
        let who = self.who(now).await?;
        self.take_slot(now).await?;
        let asked: Vec<Asked> = due
            .iter()
            .map(|one| Asked { remote_id: one.remote_id.clone(), published_at: one.published_at })
            .collect();
        let within = self.metrics.pace().send_timeout + Duration::from_secs(1);
        let told = match tokio::time::timeout(within, self.metrics.fetch(&who, &asked, now)).await {
            Ok(told) => told?,
            Err(_) => {
                let message = "the platform did not answer in time";
                return Err(Failure::not_published(FailureClass::Network, message));
            }
        };
        if told.len() == due.len() {
            return Ok(told);
        }
        let message = format!("asked for {} posts, told of {}", due.len(), told.len());
        Err(Failure::not_published(FailureClass::Platform, message))
    }

    /// Whom it is asked for.
    async fn who(&self, now: DateTime<Utc>) -> Result<Identity, Failure> {
        let usable = self.capture.tokens.usable(self.account, now).await;
        usable.map(|usable| usable.who).map_err(|why| {
            let class = match why {
                Unusable::Unopened(_) | Unusable::Refused { .. } => FailureClass::Auth,
                _ => FailureClass::Internal,
            };
            Failure::not_published(class, why.to_string())
        })
    }

    /// Takes a slot of each bucket; none if one of them has none soon.
    async fn take_slot(&self, now: DateTime<Utc>) -> Result<(), Failure> {
        if !self.capture.rate_limit {
            return Ok(());
        }
        let limiter = &self.capture.backend.limiter;
        let takes = buckets(&self.metrics.pace(), self.account, now);
        let budgets = limiter.look(&takes).await.map_err(limits)?;
        let first = budgets.iter().map(|budget| budget.next_at).max().unwrap_or(now);
        let wait = (first - now).to_std().unwrap_or_default();
        if wait > SLOT_PATIENCE {
            let message = "reading has used up its limit for now";
            let failure = Failure::not_published(FailureClass::RateLimit, message);
            return Err(failure.with_wait(LimitScope::Account, wait));
        }
        let mut slot = now;
        for take in takes {
            slot = limiter.take(&Take { not_before: slot, ..take }).await.map_err(limits)?;
        }
        // Longer than the patience only if others came between: not for long then.
        tokio::time::sleep((slot - now).to_std().unwrap_or_default().min(SLOT_PATIENCE * 5)).await;
        Ok(())
    }

    /// What nothing can mend before the next poll is not tried again.
    fn is_worth_another_try(&self, failure: &Failure) -> bool {
        let lasting = [FailureClass::Auth, FailureClass::Content].contains(&failure.class);
        !lasting && !failure.no_credits && self.job.attempt < ATTEMPTS
    }

    fn reading(&self, one: &Followed, told: Fetched, now: DateTime<Utc>) -> Reading {
        let nothing = |state| (state, Counts::new(), Counts::new());
        let (state, public, private) = match told {
            Fetched::Untold => return self.passed_over(one, now),
            Fetched::Counts { public, private } => (Visibility::Shown, public, private),
            Fetched::Gone => nothing(Visibility::Deleted),
            Fetched::Hidden => nothing(Visibility::Hidden),
        };
        let snapshot = Snapshot { publication_id: one.id, at: now, state, public, private };
        let goes_on = self.passed_over(one, now);
        let is_shown = state == Visibility::Shown;
        let next = goes_on.next.filter(|_| is_shown);
        // What is not shown is not billed.
        let (prices, platform) = (&self.capture.prices, &self.account.platform);
        let price = prices.calls(platform, CallKind::Read, 1, now).filter(|_| is_shown);
        Reading { snapshot: Some(snapshot), next, spent: price.into_iter().collect(), ..goes_on }
    }

    /// Without a snapshot, on to the next poll.
    fn passed_over(&self, one: &Followed, now: DateTime<Utc>) -> Reading {
        let next = self.capture.polling.cadence.next(one.published_at, now);
        Reading { next, ..super::ended(one) }
    }

    /// Tells a person of posts that are not shown although they came out a short while ago. Before it is
    /// written down: told twice, under one key, is better than not at all.
    async fn tell_of_missing(
        &self,
        due: &[Followed],
        told: &[Fetched],
        now: DateTime<Utc>,
    ) -> Result<(), Failure> {
        let missing: BTreeMap<_, _> = due
            .iter()
            .zip(told)
            .filter(|(one, _)| now < one.published_at + self.capture.polling.soon)
            .filter_map(|(one, told)| Some((one.id, (one, how(told)?))))
            .collect();
        let mut jobs: Vec<NewJob> = Vec::new();
        for (id, (one, how)) in missing {
            tracing::warn!(publication_id = %id, how, "a post is not shown soon after it came out");
            let notice = self.notice(one, how);
            let key = format!("not_shown:{id}");
            let told = to_tell(&self.capture.channels, &notice, &key, now);
            jobs.extend(told.map(|job| NewJob { tenant_id: one.tenant_id, ..job }));
        }
        self.capture.backend.jobs.insert(&jobs).await.map(drop).map_err(ours)
    }

    fn notice(&self, one: &Followed, how: &str) -> Notice {
        let place = one.url.as_deref().unwrap_or(&one.remote_id);
        let message = format!(
            "{place} of \"{}\" came out at {} and is {how} now; look at the account on {}",
            self.account.name,
            one.published_at.format("%Y-%m-%d %H:%M UTC"),
            self.account.platform
        );
        Notice {
            account: Some(self.account.id),
            account_name: Some(self.account.name.clone()),
            platform: Some(self.account.platform.clone()),
            ..Notice::new(NoticeKind::PostNotShown, message)
        }
    }
}

fn how(told: &Fetched) -> Option<&'static str> {
    match told {
        Fetched::Gone => Some("gone"),
        Fetched::Hidden => Some("hidden"),
        Fetched::Counts { .. } | Fetched::Untold => None,
    }
}

/// The buckets of reading: beside those of publishing, whatever their rates.
fn buckets(pace: &Pace, account: &Account, now: DateTime<Utc>) -> Vec<Take> {
    let lane = account.lane();
    let buckets = pace.buckets(&lane);
    buckets.map(|(key, rate)| Take { key: format!("read:{key}"), rate, not_before: now }).collect()
}

/// Trouble of ours: it is tried again.
fn ours(error: StoreError) -> Failure {
    Failure::not_published(FailureClass::Internal, chain(&error))
}

fn limits(error: postq_core::error::LimitError) -> Failure {
    Failure::not_published(FailureClass::Internal, chain(&error))
}
