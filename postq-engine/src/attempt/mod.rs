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

mod admit;
mod failure;
mod limit;
mod look;
mod media;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::content::{Draft, Part, Post};
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};
use postq_core::feed::{Deferral, Settle};
use postq_core::intent::{Intent, IntentAnswer, PlatformKey, Receipt};
use postq_core::job::{Applied, DeadReason, JobKind};
use postq_core::limiter::Take;
use postq_core::platform::{Identity, Outgoing, Platform};
use postq_core::retry::RetryDecision;
use tokio_util::sync::CancellationToken;

use self::admit::admit;
use self::failure::dead;
pub(crate) use self::failure::tell;
pub(crate) use self::limit::TimeLimit;
use crate::engine::Shared;
use crate::keeper::Kept;
use crate::looking::EARLY;
use crate::metrics;
use crate::settle::{Report, ReportResult, Verdict, settle};
use crate::tokens;
use crate::worker::Work;

/// A receipt is worth trying to write down for so long.
const SETTLE_BOUND: Duration = Duration::from_secs(3_600);

/// A job whose platform or kind this node does not know is offered to others for so long.
const UNKNOWN_KIND_PAUSE: Duration = Duration::from_secs(30);

/// While a post with the same text has no outcome, its twin asks again so often: more and more seldom, for that
/// one may stand still with its account, and each time a slot of the rate limit goes. Not for ever.
const TWIN_PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1_800));
const TWIN_BOUND: Duration = Duration::from_secs(86_400);
const TWIN: &str = "another post with this text, of this account or of one that is the same identity, has no outcome yet";

/// A slot that passed longer ago than this is no slot any more.
const SLOT_KEEPS: Duration = Duration::from_secs(5);

/// While something of ours does not answer, a job asks again so often.
const TROUBLE_PAUSE: Duration = Duration::from_secs(8);

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

/// What an attempt holds while it runs.
#[derive(Debug)]
struct Holding<'a> {
    /// Its lease.
    kept: Kept,
    /// The receipt of a thread's part that is being written down: not lost when time is up.
    receipt: Mutex<Option<Receipt>>,
    /// How long it may take.
    limit: TimeLimit,
    shutdown: &'a CancellationToken,
}

impl Holding<'_> {
    fn receipt(&self) -> std::sync::MutexGuard<'_, Option<Receipt>> {
        self.receipt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs one attempt: keeps its lease, holds it to its time limit, writes down what it came to.
pub(crate) async fn run(shared: Arc<Shared>, work: Work, shutdown: CancellationToken) {
    let kept = shared.keeper.keep(work.job.held());
    let limit = TimeLimit::begin(shared.settings.time_limit);
    let holding = Holding { kept, receipt: Mutex::default(), limit, shutdown: &shutdown };
    let running = attempt(&shared, &work, &holding);
    let ended = holding.limit.hold(&work, shared.settings.warn_after, running).await;
    let in_hand = holding.receipt().take();
    if let Some(receipt) = in_hand {
        let part = Verdict::plain(Settle::Part(receipt));
        let settling = settle(&shared, work.job.held(), &part);
        if tokio::time::timeout(SETTLE_BOUND, settling).await.is_err() {
            tracing::error!("a receipt could not be written down");
        }
    }
    let mut verdict = match ended {
        Ok(verdict) => verdict,
        Err(End::Settle(verdict)) => *verdict,
        Err(End::Lost) => {
            tracing::warn!("the lease was lost; another worker goes on");
            metrics::lost(&work);
            return;
        }
    };
    let settled = async |verdict: &mut Verdict| {
        shared.tell(&work, verdict).await;
        let settling = settle(&shared, work.job.held(), verdict);
        tokio::time::timeout(SETTLE_BOUND, settling).await
    };
    let mut answer = settled(&mut verdict).await;
    if let (Ok(Applied::Stale), Settle::Succeeded(Some(receipt))) = (&answer, &verdict.settle) {
        verdict = not_ours(&work, receipt);
        answer = settled(&mut verdict).await;
    }
    match answer {
        Ok(Applied::Applied) => {
            metrics::ended(&work, &verdict.settle);
            report(&shared, &work, &verdict);
        }
        Ok(applied) => tracing::warn!(?applied, "settled by another worker before"),
        Err(_) => tracing::error!("what the attempt came to could not be written down"),
    }
}

async fn attempt(shared: &Shared, work: &Work, holding: &Holding<'_>) -> Result<Verdict, End> {
    if work.job.made.kind.as_str() == JobKind::PUBLISH {
        let publish = admit(shared, work, holding).await?;
        return publish.run().await;
    }
    let is_renewal = work.job.made.kind.as_str() == JobKind::TOKEN_REFRESH;
    if is_renewal && !shared.handlers.contains_key(&work.job.made.kind) {
        return Ok(tokens::job::run(shared, work).await);
    }
    if work.job.made.kind.as_str() == JobKind::MEDIA_PREPARE && shared.media.is_some() {
        return media::prepare(shared, work, holding).await;
    }
    let Some(handler) = shared.handlers.get(&work.job.made.kind) else {
        return Err(not_known_here(work, &format!("kind \"{}\"", work.job.made.kind)));
    };
    if work.job.attempt > work.job.made.max_attempts {
        return Err(exhausted(shared, work));
    }
    let handled = tokio::select! {
        biased;
        () = holding.kept.lost.cancelled() => return Err(End::Lost),
        handled = handler.run(&work.job) => handled,
    };
    match handled {
        Ok(()) => Ok(Verdict::plain(Settle::Succeeded(None))),
        Err(failure) => Err(shared.retry_handled(work, failure, handler.retry())),
    }
}

/// A publish attempt that has all it needs.
struct Publish<'a> {
    shared: &'a Shared,
    work: &'a Work,
    post: &'a Post,
    account: Account,
    platform: &'a Arc<dyn Platform>,
    who: Identity,
    /// What the platform gets.
    draft: Draft<'a>,
    holding: &'a Holding<'a>,
}

impl Publish<'_> {
    /// Brings every part out, in order; the last one's receipt comes with the success.
    async fn run(&self) -> Result<Verdict, End> {
        // A slot that passed behind a block is taken anew: what waited there must not go all at once.
        let now = self.work.time.now();
        let mut slot = self.work.job.slot.is_some_and(|slot| now <= slot + SLOT_KEEPS);
        let mut out: Vec<Receipt> = Vec::with_capacity(self.draft.parts.len());
        for (index, part) in (0u16..).zip(self.draft.parts) {
            let receipt = match self.work.evidence.receipt(index) {
                Some(receipt) => receipt.clone(),
                None => {
                    let receipt = self.bring_out(index, part, &out, &mut slot).await?;
                    if usize::from(index) + 1 < self.draft.parts.len() {
                        self.settle_part(&receipt).await?;
                    }
                    receipt
                }
            };
            out.push(receipt);
        }
        self.shared.pauses.over(self.account.lane().app());
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
        let prepared = self.prepared(index, part).await?;
        let key = PlatformKey::derive(self.work.job.root, index);
        let outgoing = Outgoing {
            part: index,
            of: u16::try_from(self.draft.parts.len()).unwrap_or(u16::MAX),
            text: &part.text,
            options: self.draft.options,
            media: &part.media,
            prepared: &prepared,
            container: None,
            reply_to: before.last().map(|receipt| receipt.remote_id.as_str()),
            thread: before.first().map(|first| first.remote_id.as_str()),
            key: &key,
        };
        let container = self.container(outgoing).await?;
        let outgoing = Outgoing { container: container.as_deref(), ..outgoing };
        let at = self.wait_for_slot(slot).await?;
        self.ensure_app_goes_on().await?;
        let intent = self.intent(&outgoing);
        let sent_at = match self.record(&intent).await? {
            Ok(sent_at) => sent_at,
            Err(receipt) => return Ok(receipt),
        };
        // Nothing but the last of the wait may come between the intent and the call: it is the
        // window in which a frozen process can be overtaken.
        tokio::time::sleep(self.left_until(at)).await;
        let (timeout, begun) = (self.platform.pace().send_timeout, self.work.time.now());
        let sent = tokio::time::timeout(timeout, self.platform.publish(&self.who, outgoing)).await;
        let took = self.work.time.now() - begun;
        metrics::called(&self.account.platform, took.to_std().unwrap_or_default());
        match sent {
            Ok(Ok(published)) => {
                if index == 0 {
                    let late = begun - self.work.job.made.planned_at;
                    metrics::published(&self.account.platform, late);
                }
                self.obey(&published.limits).await;
                Ok(Receipt { part: index, ..published.receipt })
            }
            Ok(Err(failure)) => {
                self.forget_made(&failure, part, &intent).await;
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
    fn intent(&self, part: &Outgoing<'_>) -> Intent {
        Intent {
            job: self.work.job.id(),
            fence: self.work.job.fence,
            part: part.part,
            key: part.key.clone(),
            text: part.text.to_owned(),
            options: part.options.clone(),
            media: match part.container {
                Some(_) => Vec::new(),
                None => part.prepared.iter().map(|known| known.remote_id.clone()).collect(),
            },
            reply_to: part.reply_to.map(str::to_owned),
            container: part.container.map(str::to_owned),
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
            Ok(IntentAnswer::Twin) => Err(self.after_twin()),
            // Written down or not: nothing was sent, and that is what is settled. No attempt is
            // charged for trouble of ours.
            Err(error) => Err(self.after_pause(Deferral::Refused, &chain(&error))),
        }
    }

    /// Nothing was sent: what is like it has to have its outcome first.
    fn after_twin(&self) -> End {
        let (job, now) = (&self.work.job, self.work.time.now());
        let late = (now - job.made.planned_at).to_std().unwrap_or_default();
        if late >= TWIN_BOUND && job.reason.as_deref() == Some(TWIN) {
            let failure = Failure::not_published(FailureClass::Platform, TWIN);
            return dead(self.shared, self.work, failure, DeadReason::AttemptsExhausted);
        }
        let (shortest, longest) = TWIN_PAUSES;
        let settle = Settle::Deferred(now + (late / 2).clamp(shortest, longest), Deferral::Again);
        Verdict::new(settle, TWIN).into()
    }

    /// A part is out and the thread goes on.
    async fn settle_part(&self, receipt: &Receipt) -> Result<(), End> {
        self.holding.receipt().replace(receipt.clone());
        self.work.sent.store(usize::from(receipt.part) + 1, Ordering::Relaxed);
        let applied = self.apply(&Verdict::plain(Settle::Part(receipt.clone()))).await;
        self.holding.receipt().take();
        applied.map_err(|end| match end {
            End::Lost => not_ours(self.work, receipt).into(),
            other => other,
        })
    }

    async fn apply(&self, verdict: &Verdict) -> Result<(), End> {
        match settle(self.shared, self.work.job.held(), verdict).await {
            Applied::Applied => Ok(()),
            Applied::Stale | Applied::Gone => Err(End::Lost),
        }
    }

    /// Waits until just before the job's moment, and its slot of the limiter; answers that moment.
    async fn wait_for_slot(&self, in_hand: &mut bool) -> Result<DateTime<Utc>, End> {
        let job = &self.work.job;
        let mut at = job.run_at.max(job.slot.unwrap_or(job.run_at));
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
        self.pause_until(at - INTENT_AHEAD, back).await?;
        Ok(at)
    }

    /// Waits, unless the lease is lost or the node shuts down: then the job is given back for this
    /// very moment, and a slot that was reserved stays its own.
    async fn pause_until(&self, at: DateTime<Utc>, back: Deferral) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.holding.kept.lost.cancelled() => Err(End::Lost),
            () = self.holding.shutdown.cancelled() => {
                Err(Verdict::new(Settle::Deferred(at, back), "the node shut down").into())
            }
            () = tokio::time::sleep(self.left_until(at)) => Ok(()),
        }
    }

    /// Gives the job back for a few seconds: something of ours does not answer.
    fn after_pause(&self, why: Deferral, reason: &str) -> End {
        tracing::warn!(reason, "given back");
        let at = self.work.time.now() + self.shared.jittered(TROUBLE_PAUSE);
        Verdict::new(Settle::Deferred(at, why), reason).into()
    }

    fn left_until(&self, at: DateTime<Utc>) -> Duration {
        (at - self.work.time.now()).to_std().unwrap_or_default()
    }

    async fn reserve_slot(&self, not_before: DateTime<Utc>) -> Result<DateTime<Utc>, End> {
        let lane = self.account.lane();
        let mut slot = not_before;
        for (key, rate) in self.platform.pace().buckets(&lane) {
            let take = Take { key: key.to_owned(), rate, not_before: slot };
            let limit = self.shared.settings.store_timeout;
            match tokio::time::timeout(limit, self.shared.backend.limiter.take(&take)).await {
                Ok(Ok(at)) => slot = at,
                Ok(Err(error)) => return Err(self.after_pause(Deferral::Again, &chain(&error))),
                Err(_) => {
                    let reason = "the limiter does not answer";
                    return Err(self.after_pause(Deferral::Again, reason));
                }
            }
        }
        Ok(slot)
    }
}

/// The store refuses a receipt. Either the lease is lost, and then it refuses this as well; or another
/// publication of the account has the remote id: the platform took the post for that one, or gave a
/// wrong answer. What is out is unknown, so the intent stays open and the platform is asked.
fn not_ours(work: &Work, receipt: &Receipt) -> Verdict {
    let id = &receipt.remote_id;
    let message = format!("the platform answered with \"{id}\", which is another publication");
    let failure = Failure::unknown(FailureClass::Platform, message).as_duplicate();
    let first_look = RetryDecision::RetryAt(work.time.now() + EARLY[0]);
    Verdict::plain(Settle::Failed(failure, first_look))
}

fn exhausted(shared: &Shared, work: &Work) -> End {
    let reason = work.job.reason.as_deref().unwrap_or("its worker ended each time");
    let message = format!("{} attempts, the last: {reason}", work.job.made.max_attempts);
    let failure = Failure::not_published(FailureClass::Internal, message);
    dead(shared, work, failure, DeadReason::AttemptsExhausted)
}

fn not_known_here(work: &Work, what: &str) -> End {
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
    let account_name = work.account.as_ref().map(|account| account.name.clone());
    // Nobody watching is no error.
    let _ = shared.reports.send(Report::new(&work.job, account_name, result));
}
