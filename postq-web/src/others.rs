//! What becomes of jobs elsewhere: in other processes on the same store, and by a person's hand.
//!
//! While somebody listens, the store is asked once a second for the jobs that ended lately, and for those
//! that wait for a retry. Each comes with its fence, which tells what this process has told already.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::backend::Backend;
use postq_core::error::{StoreError, chain};
use postq_core::id::{AccountId, JobId, TenantId};
use postq_core::job::{Fence, Job};
use postq_core::machine::JobState;
use postq_core::store::{JobFilter, Page};
use postq_engine::{Report, ReportResult};

use crate::events::{State, Step, lock};

/// The store is asked so often.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A job that ended less than this ago is left for the next look: what ran here tells of itself within
/// that, and knows more.
const MARGIN: Duration = Duration::from_millis(250);

/// A job is seen so long after its end at the latest: transactions that begin in one order are seen in
/// another.
const OVERLAP: Duration = Duration::from_secs(3);

/// After a pause that was longer, nothing of it is told: whoever comes back loads all it shows anew.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// An answer of the store is waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Jobs on one page, and pages in one look. Where more have ended, `reset` is told in their place.
const PAGE: usize = 500;
const MOST_PAGES: usize = 8;

/// Asks the store what became of jobs.
#[derive(Debug)]
pub(crate) struct Others {
    backend: Backend,
    tenant: TenantId,
    state: Arc<Mutex<State>>,
    /// What the last look saw.
    seen: tokio::sync::Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Up to when; none before the first look.
    until: Option<DateTime<Utc>>,
    /// The jobs that waited for a retry.
    failed: BTreeMap<JobId, Fence>,
}

impl Others {
    pub(crate) fn new(backend: Backend, tenant: TenantId, state: Arc<Mutex<State>>) -> Self {
        Self { backend, tenant, state, seen: tokio::sync::Mutex::default() }
    }

    /// Looks once, and tells what is new. One that fails is made good by the next.
    pub(crate) async fn look(&self) {
        let mut seen = self.seen.lock().await;
        match tokio::time::timeout(PATIENCE, self.tell_news(&mut seen)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = %chain(&error), "no look at other processes"),
            Err(_) => tracing::debug!("no look at other processes: no answer within {PATIENCE:?}"),
        }
    }

    async fn tell_news(&self, seen: &mut Seen) -> Result<(), StoreError> {
        let now = self.backend.jobs.now().await?;
        let before = seen.until.filter(|until| now <= *until + LONGEST_PAUSE);
        if before.is_none() && seen.until.is_some() {
            lock(&self.state).lose(1);
        }
        let since = before.unwrap_or(now) - OVERLAP;
        let until = if before.is_some() { now - MARGIN } else { now };
        let (mut jobs, is_whole) = self.ended(since, until).await?;
        let failed = self.failed().await?;
        let is_new = |job: &&Job| seen.failed.get(&job.id()) != Some(&job.fence);
        // One that failed long ago came to light because others are gone.
        let lately = now - LONGEST_PAUSE;
        let fresh = failed.iter().filter(is_new).filter(|job| job.started_at >= Some(lately));
        jobs.extend(fresh.cloned());
        if before.is_some() {
            self.tell(jobs).await?;
        } else {
            // What was there before anybody listened is known, and not told.
            let mut state = lock(&self.state);
            for job in &jobs {
                state.is_news(job.id(), step(job));
            }
        }
        if !is_whole {
            lock(&self.state).reset();
        }
        seen.until = Some(until);
        seen.failed = failed.iter().map(|job| (job.id(), job.fence)).collect();
        Ok(())
    }

    /// The jobs that ended in this time, and whether these are all.
    async fn ended(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(Vec<Job>, bool), StoreError> {
        let filter = JobFilter { ended_since: Some(since), ..JobFilter::default() };
        let (mut page, mut all) = (Page::first(PAGE), Vec::new());
        for _ in 0..MOST_PAGES {
            let found = self.backend.jobs.list(self.tenant, &filter, page).await?;
            let is_last = found.len() < PAGE;
            page.after = found.last().map(|job| job.id().as_uuid());
            all.extend(found.into_iter().filter(|job| job.finished_at <= Some(until)));
            if is_last {
                return Ok((all, true));
            }
        }
        Ok((all, false))
    }

    /// Jobs that wait for a retry: the first ones, where there are very many.
    async fn failed(&self) -> Result<Vec<Job>, StoreError> {
        let filter = JobFilter { states: vec![JobState::Failed], ..JobFilter::default() };
        self.backend.jobs.list(self.tenant, &filter, Page::first(PAGE)).await
    }

    /// Tells of those that nobody has told of, in the order in which they happened.
    async fn tell(&self, mut jobs: Vec<Job>) -> Result<(), StoreError> {
        {
            let state = lock(&self.state);
            jobs.retain(|job| state.would_be_news(job.id(), step(job)));
        }
        jobs.sort_by_key(|job| job.finished_at.or(job.started_at));
        let names = self.names(&jobs).await?;
        for job in jobs {
            let name = job.made.account_id.and_then(|id| names.get(&id).cloned());
            let Some(result) = self.result(&job).await? else { continue };
            let at = job.finished_at.or(job.started_at).unwrap_or(job.run_at);
            lock(&self.state).report(&Report::new(&job, name, result), at);
        }
        Ok(())
    }

    async fn names(&self, jobs: &[Job]) -> Result<BTreeMap<AccountId, String>, StoreError> {
        let mut ids: Vec<AccountId> = jobs.iter().filter_map(|job| job.made.account_id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let accounts = self.backend.accounts.load(&ids).await?;
        Ok(accounts.into_iter().map(|account| (account.id, account.name)).collect())
    }

    /// What became of a job; nothing is told of one that was called off.
    async fn result(&self, job: &Job) -> Result<Option<ReportResult>, StoreError> {
        let why = job.reason.as_deref().unwrap_or_default();
        Ok(Some(match job.state {
            JobState::Succeeded => {
                let story = self.backend.jobs.story(job.id()).await?;
                let parts = story.map(|story| story.evidence.0).unwrap_or_default();
                let last = parts.into_iter().filter_map(|part| part.receipt).max_by_key(|r| r.part);
                ReportResult::Succeeded { receipt: last }
            }
            JobState::DeadLetter => ReportResult::Dead { reason: why.to_owned() },
            JobState::Cancelled if why.starts_with("missed") => ReportResult::Missed,
            JobState::Failed => ReportResult::Retrying { at: job.run_at, reason: why.to_owned() },
            _ => return Ok(None),
        }))
    }
}

fn step(job: &Job) -> Step {
    Step { fence: job.fence, ended: job.state.is_terminal() }
}
