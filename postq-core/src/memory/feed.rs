//! The job feed: claim, wait, renew, intent, settle.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::failure::{Failure, Outcome};
use crate::feed::{Claim, Claimed, Deferral, JobFeed, Mark, Settle, Settlement};
use crate::id::{JobId, PublicationId};
use crate::intent::{Intent, IntentAnswer, IntentState, Receipt};
use crate::job::{Applied, Held, Topic};
use crate::machine::JobState;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::retry::RetryDecision;
use crate::store::Publication;

#[async_trait]
impl JobFeed for MemoryBackend {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let (now, mark) = (self.time(), Mark(self.changes.count()));
        let mut state = self.lock();
        let jobs = state.claim(claim, now);
        let next_at = state.next_claim(claim, now);
        Ok(Claimed { jobs, now, mark, next_at })
    }

    async fn wait(
        &self,
        _topic: &Topic,
        mark: Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let left = (until - self.time()).to_std().unwrap_or_default();
        self.changes.after(mark.0, left).await;
        Ok(())
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let mut renew = |held: &Held| {
            if !state.jobs.contains_key(&held.job) {
                return Applied::Gone;
            }
            if !state.holds(*held) {
                return Applied::Stale;
            }
            state.jobs.get_mut(&held.job).expect("found above").lease_until = now + lease;
            Applied::Applied
        };
        Ok(held.iter().map(&mut renew).collect())
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        Ok(self.lock().record_intent(intent, room, self.time()))
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let answers = settlements.iter().map(|settlement| state.settle(settlement, now)).collect();
        drop(state);
        self.changed();
        Ok(answers)
    }
}

/// The receipt that a settlement brings.
fn brought(settle: &Settle) -> Option<&Receipt> {
    match settle {
        Settle::Part(receipt) | Settle::Succeeded(Some(receipt)) => Some(receipt),
        _ => None,
    }
}

impl State {
    fn settle(&mut self, settlement: &Settlement, now: DateTime<Utc>) -> Applied {
        let (held, settle) = (settlement.held, &settlement.settle);
        let Some(row) = self.jobs.get(&held.job) else { return Applied::Gone };
        let root = row.job.root;
        if self.is_settled(settlement) {
            return Applied::Applied;
        }
        let receipt = brought(settle);
        if receipt.is_some_and(|receipt| self.is_claimed_by_another(root, receipt)) {
            return Applied::Stale;
        }
        if !self.holds(held) {
            if let Some(receipt) = receipt {
                self.keep_receipt(root, receipt);
            }
            return Applied::Stale;
        }
        if let Some(receipt) = receipt {
            self.keep_receipt(root, receipt);
        }
        match settle {
            Settle::Part(_) => return self.follow_up(settlement, now),
            Settle::Absent { part } => {
                let known = self.part(root, *part);
                match known.state {
                    IntentState::Open => known.state = IntentState::Absent,
                    IntentState::Absent => return Applied::Applied,
                    _ => return Applied::Stale,
                }
                return self.follow_up(settlement, now);
            }
            Settle::Succeeded(_) => self.succeed(settlement, now),
            Settle::Failed(failure, decision) => self.fail(settlement, failure, *decision, now),
            Settle::Deferred(at, why) => self.defer(settlement, *at, *why, now),
            Settle::Missed => self.miss(settlement, now),
        }
        let row = self.jobs.get_mut(&held.job).expect("found above");
        row.settled = Some((held.fence, settle.clone()));
        self.end_asking(held.job, matches!(settle, Settle::Succeeded(_)));
        self.follow_up(settlement, now)
    }

    /// Makes what follows from a settlement that applied.
    fn follow_up(&mut self, settlement: &Settlement, now: DateTime<Utc>) -> Applied {
        self.make_jobs(&settlement.follow_ups, now);
        Applied::Applied
    }

    fn step(&mut self, settlement: &Settlement, to: JobState, now: DateTime<Utc>, reason: &str) {
        let reason = settlement.reason.as_deref().or(Some(reason)).filter(|text| !text.is_empty());
        self.transition(settlement.held.job, to, now, Some(settlement.node), reason);
    }

    fn succeed(&mut self, settlement: &Settlement, now: DateTime<Utc>) {
        let id = settlement.held.job;
        self.step(settlement, JobState::Succeeded, now, "");
        let publication_id = PublicationId::from_uuid(self.new_id(now));
        if let Some(publication) = self.publication(id, publication_id) {
            self.published_keys.extend(publication.dedupe_key.clone());
            self.publications.insert(publication.id, publication);
        }
    }

    /// What a job made, told from the receipts of its root.
    fn publication(&self, id: JobId, publication_id: PublicationId) -> Option<Publication> {
        let job = &self.jobs[&id].job;
        let known = self.evidence.get(&job.root)?;
        let parts: Vec<Receipt> = known.0.iter().filter_map(|part| part.receipt.clone()).collect();
        let first = parts.first()?;
        Some(Publication {
            id: publication_id,
            tenant_id: job.made.tenant_id,
            job_id: id,
            post_id: job.made.post_id?,
            account_id: job.made.account_id?,
            dedupe_key: job.made.dedupe_key.clone(),
            remote_id: first.remote_id.clone(),
            url: first.url.clone(),
            published_at: first.published_at,
            parts,
        })
    }

    fn fail(
        &mut self,
        settlement: &Settlement,
        failure: &Failure,
        decision: RetryDecision,
        now: DateTime<Utc>,
    ) {
        let id = settlement.held.job;
        let root = self.jobs[&id].job.root;
        if let Some(open) = self.open_part(root) {
            open.duplicate |= failure.duplicate;
            if failure.outcome == Outcome::NotPublished {
                open.state = IntentState::NotPublished;
            }
        }
        let reason = failure.to_string();
        let row = self.jobs.get_mut(&id).expect("it was held");
        row.job.slot = None;
        match decision {
            RetryDecision::RetryAt(at) => {
                self.set_run_at(id, at);
                self.step(settlement, JobState::Failed, now, &reason);
            }
            RetryDecision::GiveUp(why) => {
                row.job.dead_reason = Some(why);
                self.step(settlement, JobState::Failed, now, &reason);
                self.step(settlement, JobState::DeadLetter, now, &reason);
            }
        }
    }

    fn defer(
        &mut self,
        settlement: &Settlement,
        at: DateTime<Utc>,
        why: Deferral,
        now: DateTime<Utc>,
    ) {
        let id = settlement.held.job;
        self.give_attempt_back(id);
        let row = self.jobs.get_mut(&id).expect("it was held");
        let root = row.job.root;
        if why == Deferral::Slot {
            row.job.slot = Some(at);
        }
        self.set_run_at(id, at);
        match why {
            Deferral::Looking { absent } => {
                if let Some(open) = self.open_part(root) {
                    open.looks += 1;
                    open.absent_looks += u32::from(absent);
                }
            }
            Deferral::Refused => {
                self.jobs.get_mut(&id).expect("it was held").job.slot = None;
                if let Some(open) = self.open_part(root) {
                    open.state = IntentState::NotPublished;
                }
            }
            Deferral::Slot
            | Deferral::Wait
            | Deferral::Shutdown
            | Deferral::UnknownKind
            | Deferral::Again => {}
        }
        self.step(settlement, JobState::Enqueued, now, "");
    }

    fn miss(&mut self, settlement: &Settlement, now: DateTime<Utc>) {
        self.give_attempt_back(settlement.held.job);
        self.step(settlement, JobState::Enqueued, now, "missed");
        self.step(settlement, JobState::Cancelled, now, "missed");
    }

    fn give_attempt_back(&mut self, id: JobId) {
        let row = self.jobs.get_mut(&id).expect("it was held");
        row.job.attempt = row.job.attempt.saturating_sub(1);
    }
}
