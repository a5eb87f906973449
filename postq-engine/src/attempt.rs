//! The life of an attempt.
//!
//! ```text
//! claimed -> admitted -> for each part:
//!            out already?        go on after it
//!            sent before?        look on the platform first (see `looking`)
//!            limiter, moment     wait for both
//!            INTENT              one fenced write: what is about to be sent
//!            the creating call   one, never repeated
//!            RECEIPT             one write: what is out
//! ```
//!
//! A crash before the intent sent nothing; one after the receipt forgets nothing. Between the two the
//! outcome is unknown, and whoever claims the job next looks before sending.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::{Account, OnUnknown};
use postq_core::content::{Part, Post};
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};
use postq_core::feed::{Deferral, Settle};
use postq_core::intent::{Intent, IntentAnswer, IntentState, PartEvidence, PlatformKey, Receipt};
use postq_core::job::{Applied, DeadReason, Job, JobKind};
use postq_core::limiter::Take;
use postq_core::machine::JobState;
use postq_core::platform::{Identity, Look, Lookup, Outgoing, Platform, Reconcile};
use postq_core::retry::RetryDecision;
use postq_core::schedule::Misfire;
use postq_core::store::{JobFilter, Page};
use tokio_util::sync::CancellationToken;

use crate::attempt_failure::dead;
use crate::engine::Shared;
use crate::keeper::Kept;
use crate::looking::{LookPlan, Next};
use crate::settle::{Report, ReportResult, Verdict, settle};
use crate::worker::Work;

/// A receipt is worth trying to write down for so long.
const SETTLE_BOUND: Duration = Duration::from_secs(3_600);

/// Crashes that are forgiven a job that only looks: then it is held for a person.
const LOOKING_CRASHES: u32 = 5;

/// A job whose platform or kind this node does not know is offered to others for so long.
const UNKNOWN_KIND_PAUSE: Duration = Duration::from_secs(30);

/// While a post with the same text has no outcome, its twin asks again so often.
const TWIN_PAUSE: Duration = Duration::from_secs(5);

/// The intent is written so long before the moment, so that at the moment there is only the call.
const INTENT_AHEAD: Duration = Duration::from_millis(100);

/// A slot that is nearer than this is waited for with the job in hand.
const SLOT_PATIENCE: Duration = Duration::from_secs(1);

/// Why a part is not out after a step.
#[derive(Debug)]
pub(crate) enum End {
    /// Write this down.
    Settle(Box<Verdict>),
    /// Another worker holds the job now, or it is gone: nothing is left to write down.
    Lost,
}

impl From<Verdict> for End {
    fn from(verdict: Verdict) -> Self {
        Self::Settle(Box::new(verdict))
    }
}

/// Runs one attempt: keeps its lease, holds it to its time limit, writes down what it came to.
pub(crate) async fn run(shared: Arc<Shared>, work: Work, shutdown: CancellationToken) {
    let kept = shared.keeper.keep(work.job.held());
    let verdict = match within_limits(&shared, attempt(&shared, &work, &kept, &shutdown)).await {
        Ok(verdict) => verdict,
        Err(End::Settle(verdict)) => *verdict,
        Err(End::Lost) => {
            tracing::warn!("the lease was lost; another worker goes on");
            return;
        }
    };
    let settling = settle(&shared, work.job.held(), &verdict);
    match tokio::time::timeout(SETTLE_BOUND, settling).await {
        Ok(Applied::Applied) => report(&shared, &work, &verdict),
        Ok(applied) => tracing::warn!(?applied, "settled by another worker before"),
        Err(_) => tracing::error!("what the attempt came to could not be written down"),
    }
}

async fn attempt(
    shared: &Shared,
    work: &Work,
    kept: &Kept,
    shutdown: &CancellationToken,
) -> Result<Verdict, End> {
    if work.job.made.kind.as_str() == JobKind::PUBLISH {
        let publish = admit(shared, work, kept, shutdown).await?;
        return publish.run().await;
    }
    let Some(handler) = shared.handlers.get(&work.job.made.kind) else {
        return Err(unknown_kind(work, &format!("kind \"{}\"", work.job.made.kind)));
    };
    if work.job.attempt > work.job.made.max_attempts {
        return Err(exhausted(shared, work));
    }
    match handler.run(&work.job).await {
        Ok(()) => Ok(Verdict::plain(Settle::Succeeded(None))),
        Err(failure) => Err(shared.retry_or_give_up(work, failure)),
    }
}

/// Holds an attempt to its time limit; warns before.
async fn within_limits<T>(
    shared: &Shared,
    attempt: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    let (warn_after, limit) = (shared.settings.warn_after, shared.settings.time_limit);
    let mut attempt = std::pin::pin!(attempt);
    if let Ok(ended) = tokio::time::timeout(warn_after, &mut attempt).await {
        return ended;
    }
    tracing::warn!(?warn_after, ?limit, "the attempt takes long");
    match tokio::time::timeout(limit.saturating_sub(warn_after), attempt).await {
        Ok(ended) => ended,
        Err(_) => {
            // Unknown, as it may have been cut off while sending. Claimed again, it looks if there is an
            // intent, and gives up if its attempts are used up.
            let message = format!("the attempt took longer than {limit:?}");
            let failure = Failure::unknown(FailureClass::Internal, message);
            let now = shared.backend.jobs.now().await.map_err(|_| End::Lost)?;
            Err(Verdict::plain(Settle::Failed(failure, RetryDecision::RetryAt(now))).into())
        }
    }
}

/// A publish attempt that has all it needs.
pub(crate) struct Publish<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) work: &'a Work,
    pub(crate) post: &'a Post,
    pub(crate) account: &'a Account,
    pub(crate) platform: &'a Arc<dyn Platform>,
    who: Identity,
    parts: &'a [Part],
    kept: &'a Kept,
    shutdown: &'a CancellationToken,
}

/// Checks what must hold before anything is sent.
async fn admit<'a>(
    shared: &'a Shared,
    work: &'a Work,
    kept: &'a Kept,
    shutdown: &'a CancellationToken,
) -> Result<Publish<'a>, End> {
    let (Some(post), Some(account)) = (work.post.as_deref(), work.account.as_deref()) else {
        let what = if work.post.is_none() { "post" } else { "account" };
        let failure = Failure::not_published(FailureClass::Internal, format!("the {what} is gone"));
        return Err(dead(shared, work, failure, DeadReason::Missing));
    };
    let Some(platform) = shared.platforms.get(&account.platform) else {
        return Err(unknown_kind(work, &format!("platform \"{}\"", account.platform)));
    };
    let open = work.evidence.open().is_some();
    let sent = work.evidence.0.iter().any(|part| part.intent.is_some() && part.receipt.is_none());
    let (attempt, most) = (work.job.attempt, work.job.made.max_attempts);
    // What was sent is looked for once more before it is given up.
    if attempt > most.saturating_add(if sent { LOOKING_CRASHES } else { 0 }) {
        if open {
            let message = "the process ended again and again while it looked";
            let failure = Failure::unknown(FailureClass::Internal, message);
            return Err(dead(shared, work, failure, DeadReason::OutcomeUnknown));
        }
        return Err(exhausted(shared, work));
    }
    if missed(shared, work).await {
        return Err(Verdict::new(Settle::Missed, "missed").into());
    }
    let parts = post.content.parts_for(&account.platform);
    let violations = platform.validate(parts);
    if let Some(violation) = violations.first()
        && !open
    {
        let message = format!("part {}: {}", violation.part + 1, violation.message);
        let failure = Failure::not_published(FailureClass::Content, message);
        return Err(dead(shared, work, failure, DeadReason::Content));
    }
    let who = identity(shared, work, account).await?;
    Ok(Publish { shared, work, post, account, platform, who, parts, kept, shutdown })
}

/// Whether the misfire policy skips it: asked at the first claim, of what was never sent.
async fn missed(shared: &Shared, work: &Work) -> bool {
    let made = &work.job.made;
    let (Some(schedule), 1, true) =
        (made.schedule_id, work.job.attempt, work.evidence.0.is_empty())
    else {
        return false;
    };
    let now = work.time.now();
    if work.job.replay_of.is_some() {
        return false; // a person wants it now
    }
    if now <= made.planned_at + Duration::from_secs(1) {
        return false; // the usual case costs no query
    }
    let Ok(schedules) = shared.backend.schedules.load(&[schedule]).await else { return false };
    let Some(schedule) = schedules.first().filter(|s| s.is_missed(made.planned_at, now)) else {
        return false;
    };
    let most = match schedule.misfire {
        Misfire::Skip => return true,
        Misfire::FireOnce => 1,
        Misfire::FireAll { most } => most.get() as usize,
    };
    let filter = JobFilter {
        states: vec![JobState::Planned, JobState::Enqueued, JobState::Failed, JobState::Running],
        account: made.account_id,
        schedules: Some(vec![schedule.id]),
        ..JobFilter::default()
    };
    let page = Page::first(1_000);
    let Ok(others) = shared.backend.jobs.list(made.tenant_id, &filter, page).await else {
        return false;
    };
    let later = |job: &&Job| job.made.planned_at > made.planned_at && job.made.planned_at <= now;
    others.iter().filter(later).count() >= most
}

async fn identity(shared: &Shared, work: &Work, account: &Account) -> Result<Identity, End> {
    let secret = match (&account.credentials, &shared.vault) {
        (None, _) => None,
        (Some(sealed), Some(vault)) => match vault.open(account.id, sealed).await {
            Ok(secret) => Some(secret),
            Err(error) => {
                let failure = Failure::not_published(FailureClass::Auth, chain(&error));
                return Err(shared.needs_attention(work, account, &failure, Deferral::Wait).await);
            }
        },
        (Some(_), None) => {
            let message = "the account has credentials and the engine has no vault to open them";
            let failure = Failure::not_published(FailureClass::Internal, message);
            return Err(shared.retry_or_give_up(work, failure));
        }
    };
    Ok(Identity {
        account: account.id,
        name: account.name.clone(),
        remote_id: account.remote_id.clone(),
        secret,
    })
}

impl Publish<'_> {
    /// Brings every part out, in order; the last one's receipt comes with the success.
    async fn run(&self) -> Result<Verdict, End> {
        let mut slot = self.work.job.slot.is_some();
        let mut out: Vec<Receipt> = Vec::with_capacity(self.parts.len());
        for (index, part) in (0u16..).zip(self.parts) {
            let receipt = match self.work.evidence.receipt(index) {
                Some(receipt) => receipt.clone(),
                None => {
                    let receipt = self.bring_out(index, part, &out, &mut slot).await?;
                    if usize::from(index) + 1 < self.parts.len() {
                        self.settle_part(&receipt).await?;
                    }
                    receipt
                }
            };
            out.push(receipt);
        }
        let lateness = self.work.time.now() - self.work.job.made.planned_at;
        tracing::info!(lateness_ms = lateness.num_milliseconds(), "published");
        Ok(Verdict::plain(Settle::Succeeded(out.pop())))
    }

    /// Brings one part out, once.
    async fn bring_out(
        &self,
        index: u16,
        part: &Part,
        before: &[Receipt],
        slot: &mut bool,
    ) -> Result<Receipt, End> {
        if let Some(known) = self.work.evidence.part(index)
            && let Some(intent) = &known.intent
            && let Some(receipt) = self.look_first(known, intent).await?
        {
            tracing::info!(remote_id = receipt.remote_id, "found: it was out already");
            return Ok(receipt);
        }
        if self.work.job.attempt > self.work.job.made.max_attempts {
            return Err(exhausted(self.shared, self.work));
        }
        let at = self.wait_for_slot(slot).await?;
        let intent = self.intent(index, part, before);
        let sent_at = match self.record(&intent).await? {
            Ok(sent_at) => sent_at,
            Err(receipt) => return Ok(receipt),
        };
        // Nothing but the last of the wait may come between the intent and the call: it is the
        // window in which a frozen process can be overtaken.
        tokio::time::sleep(self.left_until(at)).await;
        let outgoing = Outgoing {
            part: index,
            of: u16::try_from(self.parts.len()).unwrap_or(u16::MAX),
            text: &intent.text,
            media: &part.media,
            reply_to: intent.reply_to.as_deref(),
            thread: before.first().map(|first| first.remote_id.as_str()),
            key: &intent.key,
        };
        let timeout = self.platform.pace().send_timeout;
        let sent = tokio::time::timeout(timeout, self.platform.publish(&self.who, outgoing)).await;
        match sent {
            Ok(Ok(published)) => {
                self.obey(&published.limits).await;
                Ok(Receipt { part: index, ..published.receipt })
            }
            Ok(Err(failure)) => {
                self.after_failure(failure, &Intent { made_at: sent_at, ..intent }).await
            }
            Err(_) => {
                let message = format!("no answer within {timeout:?}");
                let failure = Failure::unknown(FailureClass::Network, message);
                self.after_failure(failure, &Intent { made_at: sent_at, ..intent }).await
            }
        }
    }

    /// What is about to be sent.
    fn intent(&self, index: u16, part: &Part, before: &[Receipt]) -> Intent {
        Intent {
            job: self.work.job.id(),
            fence: self.work.job.fence,
            part: index,
            key: PlatformKey::derive(self.work.job.root, index),
            text: part.text.clone(),
            reply_to: before.last().map(|receipt| receipt.remote_id.clone()),
            container: None,
            revision: self.post.revision,
            made_at: self.work.time.now(),
        }
    }

    /// Writes the intent down: `Ok` is when, `Err` a receipt that somebody else brought.
    async fn record(&self, intent: &Intent) -> Result<Result<DateTime<Utc>, Receipt>, End> {
        let room = self.platform.pace().send_timeout + INTENT_AHEAD;
        let record = self.shared.backend.feed.intent(intent, room);
        let again = |why: &str| {
            let settle = Settle::Deferred(self.work.time.now(), Deferral::Again);
            Err(End::from(Verdict::new(settle, why)))
        };
        match self.shared.bounded("record the intent", record).await {
            Ok(IntentAnswer::Recorded(at)) => Ok(Ok(at)),
            Ok(IntentAnswer::AlreadyOut(receipt)) => Ok(Err(receipt)),
            Ok(IntentAnswer::Stale | IntentAnswer::Gone) => Err(End::Lost),
            Ok(IntentAnswer::LeaseTooShort) => again("the lease had too little left to send"),
            Ok(IntentAnswer::Unresolved) => again("an earlier send has no outcome yet"),
            Ok(IntentAnswer::Edited) => again("the post was edited"),
            Ok(IntentAnswer::Twin) => {
                let settle = Settle::Deferred(self.work.time.now() + TWIN_PAUSE, Deferral::Again);
                let why = "another post with this text has no outcome yet";
                Err(Verdict::new(settle, why).into())
            }
            // Not written down for sure, or perhaps: either way nothing was sent, and whoever claims
            // the job next sees which.
            Err(error) => {
                let failure = Failure::not_published(FailureClass::Internal, chain(&error));
                Err(self.shared.retry_or_give_up(self.work, failure))
            }
        }
    }

    /// A part is out and the thread goes on.
    async fn settle_part(&self, receipt: &Receipt) -> Result<(), End> {
        let verdict = Verdict::plain(Settle::Part(receipt.clone()));
        self.apply(&verdict).await
    }

    async fn apply(&self, verdict: &Verdict) -> Result<(), End> {
        match settle(self.shared, self.work.job.held(), verdict).await {
            Applied::Applied => Ok(()),
            Applied::Stale | Applied::Gone => Err(End::Lost),
        }
    }

    /// Waits until just before the job's moment, and its slot of the limiter; answers that moment.
    async fn wait_for_slot(&self, in_hand: &mut bool) -> Result<DateTime<Utc>, End> {
        let mut at = self.work.job.run_at;
        let mut back = Deferral::Shutdown;
        if self.shared.settings.rate_limit && !std::mem::take(in_hand) {
            let slot = self.reserve_slot(at.max(self.work.time.now())).await?;
            if slot > at {
                (at, back) = (slot, Deferral::Slot);
            }
        }
        if at > self.work.time.now() + self.shared.settings.claim_ahead + SLOT_PATIENCE {
            let reason = "waiting for a slot of the rate limit";
            return Err(Verdict::new(Settle::Deferred(at, Deferral::Slot), reason).into());
        }
        tokio::select! {
            biased;
            () = self.kept.lost.cancelled() => Err(End::Lost),
            () = self.shutdown.cancelled() => {
                // A slot that was reserved stays the job's own.
                Err(Verdict::new(Settle::Deferred(at, back), "the node shut down").into())
            }
            () = tokio::time::sleep(self.left_until(at - INTENT_AHEAD)) => Ok(at),
        }
    }

    fn left_until(&self, at: DateTime<Utc>) -> Duration {
        (at - self.work.time.now()).to_std().unwrap_or_default()
    }

    async fn reserve_slot(&self, not_before: DateTime<Utc>) -> Result<DateTime<Utc>, End> {
        let (pace, lane) = (self.platform.pace(), self.account.lane());
        let buckets = [(lane.app(), pace.app), (lane.as_str(), pace.account)];
        let mut slot = not_before;
        for (key, rate) in buckets {
            let Some(rate) = rate else { continue };
            let take = Take { key: key.to_owned(), rate, not_before: slot };
            match self.shared.backend.limiter.take(&take).await {
                Ok(at) => slot = at,
                Err(error) => {
                    let failure = Failure::not_published(FailureClass::Internal, chain(&error));
                    return Err(self.shared.retry_or_give_up(self.work, failure));
                }
            }
        }
        Ok(slot)
    }

    /// The part was sent before: asks the platform. `None`: it is not out, and may be sent.
    async fn look_first(
        &self,
        known: &PartEvidence,
        intent: &Intent,
    ) -> Result<Option<Receipt>, End> {
        let open = known.state == IntentState::Open;
        let Some(reconcile) = self.platform.reconcile() else {
            if open {
                let why = "the outcome is unknown and the platform cannot be asked".to_owned();
                self.nobody_can_tell(intent, why).await?;
            }
            return Ok(None);
        };
        let (plan, now) = (self.look_plan(reconcile, intent), self.work.time.now());
        let next = match self.look(reconcile, intent).await {
            Ok(Look::Found(receipt)) => return Ok(Some(receipt)),
            // Refused, or found absent, before: the look was only to catch an answer that lied.
            Ok(_) if !open => return Ok(None),
            Ok(Look::Absent) => plan.after_nothing(known, now),
            Ok(Look::CannotTell(why)) => plan.after_cannot_tell(why, now),
            Err(failure) if failure.class == FailureClass::Auth => {
                let why = Deferral::Looking { absent: false };
                return Err(self.needs_attention(&failure, why).await);
            }
            Err(failure) => {
                let wait = failure.wait.map(|wait| wait.for_);
                plan.after_failed_look(failure.to_string(), wait, known.looks, now)
            }
        };
        match next {
            Next::CannotTell(_) if !open => {}
            Next::Absent if known.duplicate => self.refused_as_duplicate(intent).await?,
            Next::Absent => self.close(intent, "the platform does not have it").await?,
            Next::CannotTell(why) => self.nobody_can_tell(intent, why).await?,
            Next::LookAgain { at, absent } => {
                let settle = Settle::Deferred(at, Deferral::Looking { absent });
                return Err(Verdict::new(settle, "looking for it on the platform").into());
            }
        }
        Ok(None)
    }

    /// Looks once.
    pub(crate) async fn look(
        &self,
        reconcile: &dyn Reconcile,
        intent: &Intent,
    ) -> Result<Look, Failure> {
        // Receipts of before the intent belong to other posts as well; a day is far more than the
        // clocks can differ.
        let since = intent.made_at - Duration::from_secs(86_400);
        let claimed = self.shared.backend.publications.claimed(self.account.id, since);
        let claimed = self
            .shared
            .bounded("list receipts", claimed)
            .await
            .map_err(|error| Failure::not_published(FailureClass::Internal, chain(&error)))?;
        let claimed: BTreeSet<String> = claimed.into_iter().collect();
        let lookup = Lookup { intent, claimed: &claimed, now: self.work.time.now() };
        let timeout = self.platform.pace().send_timeout;
        let look = tokio::time::timeout(timeout, reconcile.look(&self.who, lookup)).await;
        let look = look.unwrap_or_else(|_| {
            let message = format!("the look-up had no answer within {timeout:?}");
            Err(Failure::not_published(FailureClass::Network, message))
        })?;
        Ok(match look {
            Look::Found(receipt) => Look::Found(Receipt { part: intent.part, ..receipt }),
            other => other,
        })
    }

    pub(crate) fn look_plan(&self, reconcile: &dyn Reconcile, intent: &Intent) -> LookPlan {
        LookPlan {
            sent_at: intent.made_at,
            send_timeout: self.platform.pace().send_timeout + INTENT_AHEAD,
            settle_time: reconcile.settle_time(),
            bound: self.shared.settings.look_bound,
        }
    }

    /// Closes the open intent: it published nothing.
    async fn close(&self, intent: &Intent, why: &str) -> Result<(), End> {
        tracing::info!(part = intent.part, why, "not out; sending again");
        self.apply(&Verdict::new(Settle::Absent { part: intent.part }, why)).await
    }

    /// The account decides what happens to a post whose outcome nobody can tell.
    async fn nobody_can_tell(&self, intent: &Intent, why: String) -> Result<(), End> {
        match self.account.on_unknown {
            OnUnknown::Resend => self.close(intent, "the account resends what is unknown").await,
            OnUnknown::Hold => {
                let failure = Failure::unknown(FailureClass::Platform, why);
                Err(dead(self.shared, self.work, failure, DeadReason::OutcomeUnknown))
            }
        }
    }

    /// A duplicate refusal named no post, and none of ours was found: if an older publication has
    /// this text the refusal is about that one; otherwise nobody can tell.
    async fn refused_as_duplicate(&self, intent: &Intent) -> Result<(), End> {
        let publications = &self.shared.backend.publications;
        let older = publications.has_text(self.account.id, &intent.text, intent.made_at).await;
        if older.unwrap_or(false) {
            let message =
                "the account has published this text before, and the platform takes it once";
            let failure = Failure::not_published(FailureClass::Content, message);
            return Err(dead(self.shared, self.work, failure, DeadReason::Content));
        }
        let why = "the platform refuses it as a duplicate and shows nothing that matches";
        self.nobody_can_tell(intent, why.to_owned()).await
    }
}

fn exhausted(shared: &Shared, work: &Work) -> End {
    let reason = work.job.reason.as_deref().unwrap_or("its worker ended each time");
    let message = format!("{} attempts, the last: {reason}", work.job.made.max_attempts);
    let failure = Failure::not_published(FailureClass::Internal, message);
    dead(shared, work, failure, DeadReason::AttemptsExhausted)
}

fn unknown_kind(work: &Work, what: &str) -> End {
    let at = work.time.now() + UNKNOWN_KIND_PAUSE;
    let reason = format!("this node does not know {what}");
    tracing::warn!(reason, "given back");
    Verdict::new(Settle::Deferred(at, Deferral::UnknownKind), reason).into()
}

/// Tells whoever watches.
fn report(shared: &Shared, work: &Work, verdict: &Verdict) {
    let reason = || verdict.reason.clone().unwrap_or_default();
    let result = match &verdict.settle {
        Settle::Succeeded(receipt) => ReportResult::Succeeded { receipt: receipt.clone() },
        Settle::Failed(failure, RetryDecision::RetryAt(at)) => {
            ReportResult::Retrying { at: *at, reason: failure.to_string() }
        }
        Settle::Failed(failure, RetryDecision::GiveUp(_)) => {
            ReportResult::Dead { reason: failure.to_string() }
        }
        Settle::Deferred(until, _) => ReportResult::Waiting { until: *until, reason: reason() },
        Settle::Missed => ReportResult::Missed,
        Settle::Part(_) | Settle::Absent { .. } => return,
    };
    let made = &work.job.made;
    // Nobody watching is no error.
    let _ = shared.reports.send(Report {
        job: work.job.id(),
        schedule: made.schedule_id,
        account: made.account_id,
        account_name: work.account.as_ref().map(|account| account.name.clone()),
        planned_at: made.planned_at,
        result,
    });
}
