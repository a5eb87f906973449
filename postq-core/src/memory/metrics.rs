//! Metrics.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};

use crate::error::StoreError;
use crate::id::{AccountId, PublicationId};
use crate::job::Applied;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::metrics::{
    Added, DayTotals, DuePolls, Followed, MetricsStore, Reading, Snapshot, TotalKey, by_day,
    follows,
};
use crate::price::{Spent, add_up};
use crate::store::Publication;

/// What is kept of metrics.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    snapshots: BTreeMap<(PublicationId, DateTime<Utc>), Snapshot>,
    latest: BTreeMap<PublicationId, Snapshot>,
    totals: BTreeMap<(AccountId, TotalKey), Added>,
    versions: BTreeMap<AccountId, u64>,
    /// The times of polls; none where they have ended. What is not here is unplanned.
    polls: BTreeMap<PublicationId, Option<DateTime<Utc>>>,
    spent: Vec<Spent>,
}

impl State {
    fn followed(&self, of: &Publication) -> Followed {
        Followed {
            id: of.id,
            tenant_id: of.tenant_id,
            account_id: of.account_id,
            post_id: of.post_id,
            remote_id: of.remote_id.clone(),
            url: of.url.clone(),
            published_at: of.published_at,
            poll_at: self.poll_at(of.id),
            latest: self.metrics.latest.get(&of.id).cloned(),
        }
    }

    fn poll_at(&self, id: PublicationId) -> Option<DateTime<Utc>> {
        self.metrics.polls.get(&id).copied().unwrap_or(Some(Followed::UNPLANNED))
    }

    /// What is due by then, the earliest first.
    fn polls_due(&self, until: DateTime<Utc>) -> Vec<Followed> {
        let all = self.publications.values().map(|publication| self.followed(publication));
        let is_due = |at: DateTime<Utc>| at > Followed::UNPLANNED && at <= until;
        let mut due: Vec<_> = all.filter(|one| one.poll_at.is_some_and(is_due)).collect();
        due.sort_by_key(|one| (one.poll_at, one.id));
        due
    }

    fn take_in(&mut self, snapshot: &Snapshot) {
        let Some(of) = self.publications.get(&snapshot.publication_id) else { return };
        let (account, published_at) = (of.account_id, of.published_at);
        let metrics = &mut self.metrics;
        let key = (snapshot.publication_id, snapshot.at);
        if metrics.snapshots.contains_key(&key) {
            return;
        }
        metrics.snapshots.insert(key, snapshot.clone());
        *metrics.versions.entry(account).or_default() += 1;
        let before = metrics.latest.get(&snapshot.publication_id);
        let Some(follows) = follows(published_at, before, snapshot) else { return };
        metrics.latest.insert(snapshot.publication_id, follows.latest);
        for (key, added) in follows.added {
            *metrics.totals.entry((account, key)).or_default() += added;
        }
    }
}

#[async_trait]
impl MetricsStore for MemoryBackend {
    async fn insert(&self, snapshots: &[Snapshot]) -> Result<(), StoreError> {
        let mut state = self.lock();
        snapshots.iter().for_each(|snapshot| state.take_in(snapshot));
        Ok(())
    }

    async fn of(&self, publication: PublicationId) -> Result<Vec<Snapshot>, StoreError> {
        let state = self.lock();
        let of = state.metrics.snapshots.iter().filter(|((id, _), _)| *id == publication);
        Ok(of.map(|(_, snapshot)| snapshot.clone()).collect())
    }

    async fn find(&self, ids: &[PublicationId]) -> Result<Vec<Followed>, StoreError> {
        let state = self.lock();
        let found = ids.iter().filter_map(|id| state.publications.get(id));
        Ok(found.map(|publication| state.followed(publication)).collect())
    }

    async fn of_account(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError> {
        let state = self.lock();
        let of = state.publications.values().filter(|publication| {
            publication.account_id == account
                && span.contains(&publication.published_at)
                && state.metrics.latest.contains_key(&publication.id)
        });
        let mut of: Vec<_> = of.map(|publication| state.followed(publication)).collect();
        of.sort_by_key(|one| std::cmp::Reverse((one.published_at, one.id)));
        of.truncate(limit);
        Ok(of)
    }

    async fn unplanned(&self, limit: usize) -> Result<Vec<Followed>, StoreError> {
        let state = self.lock();
        let is_unplanned = |one: &&Publication| !state.metrics.polls.contains_key(&one.id);
        let unplanned = state.publications.values().filter(is_unplanned).take(limit);
        Ok(unplanned.map(|publication| state.followed(publication)).collect())
    }

    async fn due(&self, until: DateTime<Utc>, limit: usize) -> Result<Vec<DuePolls>, StoreError> {
        let mut accounts: BTreeMap<AccountId, DuePolls> = BTreeMap::new();
        for one in self.lock().polls_due(until) {
            let Some(earliest) = one.poll_at else { continue };
            let (tenant_id, account_id) = (one.tenant_id, one.account_id);
            accounts.entry(account_id).or_insert(DuePolls { tenant_id, account_id, earliest });
        }
        Ok(accounts.into_values().take(limit).collect())
    }

    async fn polls(
        &self,
        account: AccountId,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Followed>, StoreError> {
        let mut due = self.lock().polls_due(until);
        due.retain(|one| one.account_id == account);
        due.truncate(limit);
        Ok(due)
    }

    async fn record(&self, readings: &[Reading]) -> Result<Vec<Applied>, StoreError> {
        let mut state = self.lock();
        let mut answers = Vec::with_capacity(readings.len());
        for reading in readings {
            let id = reading.publication_id;
            if !state.publications.contains_key(&id) {
                answers.push(Applied::Gone);
                continue;
            }
            if state.poll_at(id) != Some(reading.poll_at) {
                answers.push(Applied::Stale);
                continue;
            }
            state.metrics.polls.insert(id, reading.next);
            let all = state.metrics.spent.iter().chain(&reading.spent);
            state.metrics.spent = add_up(all);
            if let Some(snapshot) = &reading.snapshot {
                state.take_in(snapshot);
            }
            answers.push(Applied::Applied);
        }
        Ok(answers)
    }

    async fn spent(&self, month: NaiveDate) -> Result<Vec<Spent>, StoreError> {
        let state = self.lock();
        let of = state.metrics.spent.iter().filter(|spent| spent.month == month);
        Ok(of.cloned().collect())
    }

    async fn totals(
        &self,
        account: AccountId,
        days: &Range<NaiveDate>,
    ) -> Result<Vec<DayTotals>, StoreError> {
        let state = self.lock();
        let of = state
            .metrics
            .totals
            .iter()
            .filter(|((of, (day, _)), _)| *of == account && days.contains(day));
        Ok(by_day(of.map(|((_, key), added)| (key.clone(), *added))))
    }

    async fn version(&self, account: AccountId) -> Result<u64, StoreError> {
        Ok(self.lock().metrics.versions.get(&account).copied().unwrap_or_default())
    }
}
