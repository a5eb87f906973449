//! What a failed call leads to: look, wait, retry, ask a person, or give up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::{Account, OnUnknown};
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass, LimitReading, LimitScope, Outcome, Wait};
use postq_core::feed::{Deferral, Settle};
use postq_core::id::AccountId;
use postq_core::intent::{Intent, Receipt};
use postq_core::job::{DeadReason, JobKind, NewJob};
use postq_core::notifier::{Notice, NoticeKind};
use postq_core::platform::Look;
use postq_core::retry::{RetryDecision, RetryStrategy, Tried};
use postq_core::store::{Block, BlockReason};

use super::{End, Publish};
use crate::engine::Shared;
use crate::handler::to_tell;
use crate::settle::Verdict;
use crate::tokens::Unusable;
use crate::webhooks::Event;
use crate::worker::Work;

/// A wait that a platform asks for is obeyed up to this; longer ones are a mistake in a clock or unit.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// ... and is at least this.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// A job whose account needs a person asks again so often, should the block not hold it.
const ATTENTION_PAUSE: Duration = Duration::from_secs(60);

/// A job without a token asks for one again so often; the other jobs of its account wait behind it.
const TOKEN_PAUSE: Duration = Duration::from_secs(20);

/// A job whose account was connected anew while it ran goes on after this.
const RENEWED_PAUSE: Duration = Duration::from_secs(1);

/// Obeying limits may hold up a receipt for so long, and no longer.
const OBEY_TIMEOUT: Duration = Duration::from_secs(1);

impl Publish<'_> {
    /// The creating call failed. `Ok` if a look finds that it did publish after all.
    pub(super) async fn after_failure(
        &self,
        mut failure: Failure,
        intent: &Intent,
    ) -> Result<Receipt, End> {
        tracing::warn!(class = %failure.class, outcome = ?failure.outcome, "{}", failure.message);
        self.obey(&failure.limits).await;
        if failure.duplicate && self.platform.reconcile().is_some() {
            // A reason to look, not a proof: the post that it duplicates may be this very one.
            failure.outcome = Outcome::Unknown;
        }
        match (failure.outcome, failure.class, failure.wait) {
            (Outcome::Unknown, ..) => Err(self.after_unknown(failure, intent)),
            (_, FailureClass::Auth, _) => {
                Err(self.needs_attention(&failure, Deferral::Refused).await)
            }
            (_, _, Some(wait)) => Err(self.wait_as_asked(&failure, wait).await),
            (_, FailureClass::Content, _) => self.after_refusal(failure, intent).await,
            _ => Err(self.shared.retry_or_give_up(self.work, failure)),
        }
    }

    /// Something may be out: look soon, or let the account decide where nobody can be asked.
    fn after_unknown(&self, failure: Failure, intent: &Intent) -> End {
        let retry_at = match (self.platform.reconcile(), self.account.on_unknown) {
            (Some(reconcile), _) => self.look_plan(reconcile, intent).first(),
            (None, OnUnknown::Hold) => {
                return dead(self.shared, self.work, failure, DeadReason::OutcomeUnknown);
            }
            (None, OnUnknown::Resend) => return self.shared.retry_or_give_up(self.work, failure),
        };
        Verdict::plain(Settle::Failed(failure, RetryDecision::RetryAt(retry_at))).into()
    }

    /// The platform refuses the content. Some say so of what they took in: one look tells.
    async fn after_refusal(&self, failure: Failure, intent: &Intent) -> Result<Receipt, End> {
        let Some(reconcile) = self.platform.reconcile() else {
            return Err(dead(self.shared, self.work, failure, DeadReason::Content));
        };
        match self.look(reconcile, intent).await {
            Ok(Look::Found(receipt)) => {
                tracing::warn!(remote_id = receipt.remote_id, "refused, and yet it is out");
                Ok(receipt)
            }
            Ok(look @ (Look::OutSomewhere(_) | Look::OutUnread(_))) => {
                tracing::warn!(?look, "refused, and yet it is out");
                let failure = Failure { outcome: Outcome::Unknown, ..failure };
                Err(self.after_unknown(failure, intent))
            }
            _ => Err(dead(self.shared, self.work, failure, DeadReason::Content)),
        }
    }

    /// The platform asks to wait: the account or the whole app stands still until then.
    async fn wait_as_asked(&self, failure: &Failure, wait: Wait) -> End {
        let asked = wait.for_.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let (lane, now) = (self.account.lane(), self.work.time.now());
        let (scope, until) = match wait.scope {
            LimitScope::App => (lane.app(), self.shared.pauses.end(lane.app(), asked, now)),
            LimitScope::Account => (lane.as_str(), now + asked),
        };
        let reason = if failure.no_credits { BlockReason::Credits } else { BlockReason::RateLimit };
        self.shared.block(scope.to_owned(), reason, Some(until), failure).await;
        let settle = Settle::Deferred(until, Deferral::Refused);
        let verdict = Verdict::new(settle, failure.to_string());
        if !failure.no_credits {
            return verdict.into();
        }
        let message = format!(
            "{} stands still: {}; top it up, its posts wait",
            self.account.platform, failure.message
        );
        let notice = Notice {
            platform: Some(self.account.platform.clone()),
            ..Notice::new(NoticeKind::AppNeedsAttention, message)
        };
        // Once a day and app, however many jobs meet the answer.
        let key = format!("no_credits:{}:{}", lane.app(), until.date_naive());
        tell(self.shared, self.work, verdict, &notice, &key).into()
    }

    /// While this job was in hand another one may have met the answer that the whole app has to wait.
    pub(super) async fn ensure_app_goes_on(&self) -> Result<(), End> {
        let (lane, now) = (self.account.lane(), self.work.time.now());
        if !self.shared.pauses.is_on(lane.app(), now) {
            return Ok(());
        }
        // A person may have lifted it since.
        let blocks = self.shared.bounded("list blocks", self.shared.backend.blocks.blocks()).await;
        if !blocks.unwrap_or_default().iter().any(|block| block.scope == lane.app()) {
            return Ok(());
        }
        let why = format!("{} stands still", self.account.platform);
        Err(Verdict::new(Settle::Deferred(now, Deferral::Wait), why).into())
    }

    /// The credentials are refused: renewed once, where that can help.
    pub(super) async fn needs_attention(&self, failure: &Failure, why: Deferral) -> End {
        let (shared, work, now) = (self.shared, self.work, self.work.time.now());
        match shared.tokens.after_refusal(&self.account, now).await {
            Ok(Some(_)) => {
                let again = Settle::Deferred(now + RENEWED_PAUSE, why);
                Verdict::new(again, "the account's token was renewed").into()
            }
            Err(Unusable::Later(trouble)) => {
                shared.without_token(work, self.account.id, &trouble, why).await
            }
            Err(Unusable::Refused { account, why: told }) => {
                let failure = Failure::not_published(FailureClass::Auth, told);
                shared.needs_attention(work, &account, &failure, why).await
            }
            _ => shared.needs_attention(work, &self.account, failure, why).await,
        }
    }

    /// Tightens the limiter by what the platform told.
    pub(super) async fn obey(&self, limits: &[LimitReading]) {
        self.shared.readings.note(&self.account, limits, self.work.time.now());
        if !self.shared.settings.rate_limit || limits.is_empty() {
            return;
        }
        if tokio::time::timeout(OBEY_TIMEOUT, self.tighten(limits)).await.is_err() {
            tracing::warn!("limits not taken over: the limiter does not answer");
        }
    }

    async fn tighten(&self, limits: &[LimitReading]) {
        let lane = self.account.lane();
        for reading in limits {
            let key = match reading.scope {
                LimitScope::App => lane.app(),
                LimitScope::Account => lane.as_str(),
            };
            let resets_at = self.work.time.now() + reading.resets_in.min(LONGEST_WAIT);
            let limiter = &self.shared.backend.limiter;
            if let Err(error) = limiter.tighten(key, reading.remaining, resets_at).await {
                tracing::warn!(error = %chain(&error), key, "limit not taken over");
            }
        }
    }
}

impl Shared {
    /// The job waits for a person: its account stands still, and the person is told once for these
    /// credentials.
    pub(super) async fn needs_attention(
        &self,
        work: &Work,
        account: &Account,
        failure: &Failure,
        why: Deferral,
    ) -> End {
        if self.was_renewed(account).await {
            let again = Settle::Deferred(work.time.now() + RENEWED_PAUSE, why);
            return Verdict::new(again, "the account was connected anew").into();
        }
        let settle = Settle::Deferred(work.time.now() + ATTENTION_PAUSE, why);
        self.attention(work, account, failure, settle).await.into()
    }

    /// The job's account stays connected, but there is no token for it now.
    pub(super) async fn without_token(
        &self,
        work: &Work,
        account: AccountId,
        trouble: &str,
        why: Deferral,
    ) -> End {
        tracing::warn!(reason = trouble, "no token; given back");
        let at = work.time.now() + self.jittered(TOKEN_PAUSE);
        let reason = format!("the account's token could not be renewed yet: {trouble}");
        let verdict = Verdict::new(Settle::Deferred(at, why), reason);
        self.telling_trouble(work, account, trouble, verdict).await.into()
    }

    /// Stops an account that needs a person, and tells one; once for these credentials.
    pub(crate) async fn attention(
        &self,
        work: &Work,
        account: &Account,
        failure: &Failure,
        settle: Settle,
    ) -> Verdict {
        let lane = account.lane().as_str().to_owned();
        self.block(lane, BlockReason::NeedsAttention, None, failure).await;
        let message = format!(
            "account \"{}\" on {} needs a person: {}; its posts wait until it is connected again",
            account.name, account.platform, failure.message
        );
        let notice = Notice {
            account: Some(account.id),
            account_name: Some(account.name.clone()),
            platform: Some(account.platform.clone()),
            ..about(work, NoticeKind::AccountNeedsAttention, message)
        };
        // Credentials that are renewed have another envelope, and so another key.
        let envelope = account.credentials.as_ref().map(|sealed| fingerprint(&sealed.bytes));
        let envelope = envelope.unwrap_or_default();
        let key = format!("needs_attention:{}:{envelope:x}", account.id);
        let event = Event::needs_attention(work, account, envelope, &failure.message);
        let verdict = Verdict::new(settle, failure.to_string()).telling(event);
        tell(self, work, verdict, &notice, &key)
    }

    /// Whether the account has other credentials by now: a refusal of the old ones says nothing.
    async fn was_renewed(&self, account: &Account) -> bool {
        let load = self.backend.accounts.load(std::slice::from_ref(&account.id));
        let known = self.bounded("load the account", load).await.unwrap_or_default();
        known.first().is_some_and(|known| known.credentials != account.credentials)
    }

    /// Stops a scope, at least as long as it stands still anyway. That it could not be written down is
    /// no reason to lose the attempt's end: the next attempt meets the same answer.
    async fn block(
        &self,
        scope: String,
        reason: BlockReason,
        until: Option<DateTime<Utc>>,
        failure: &Failure,
    ) {
        let known = self.bounded("list blocks", self.backend.blocks.blocks()).await;
        let longer = |known: &Block| {
            let ends_later = match (known.until, until) {
                (None, _) => true,
                (Some(known), Some(until)) => known >= until,
                (Some(_), None) => false,
            };
            known.scope == scope && known.reason == reason && ends_later
        };
        if known.unwrap_or_default().iter().any(longer) {
            return;
        }
        let block = Block { scope, reason, until, note: failure.message.clone() };
        if let Err(error) = self.bounded("block a lane", self.backend.blocks.block(&block)).await {
            tracing::warn!(error = %chain(&error), scope = block.scope, "not blocked");
        }
    }

    /// Lets the retry strategy decide.
    pub(super) fn retry_or_give_up(&self, work: &Work, failure: Failure) -> End {
        let decision = self.decide(self.retry.as_ref(), work, &failure);
        after_decision(self, work, failure, decision)
    }

    /// The same for a kind with a handler, which may have a strategy of its own, and ask for a wait.
    pub(crate) fn retry_handled(
        &self,
        work: &Work,
        failure: Failure,
        own: Option<&dyn RetryStrategy>,
    ) -> End {
        let mut decision = self.decide(own.unwrap_or(self.retry.as_ref()), work, &failure);
        if let (RetryDecision::RetryAt(at), Some(wait)) = (&mut decision, failure.wait) {
            *at = (*at).max(work.time.now() + wait.for_.min(LONGEST_WAIT));
        }
        after_decision(self, work, failure, decision)
    }

    fn decide(&self, retry: &dyn RetryStrategy, work: &Work, failure: &Failure) -> RetryDecision {
        retry.decide(Tried {
            failure,
            attempt: work.job.attempt,
            max_attempts: work.job.made.max_attempts,
            now: work.time.now(),
            sample: self.sample(),
        })
    }
}

fn after_decision(shared: &Shared, work: &Work, failure: Failure, decision: RetryDecision) -> End {
    match decision {
        RetryDecision::RetryAt(_) => Verdict::plain(Settle::Failed(failure, decision)).into(),
        RetryDecision::GiveUp(reason) => dead(shared, work, failure, reason),
    }
}

/// Gives the job up, and tells a person.
pub(super) fn dead(shared: &Shared, work: &Work, failure: Failure, reason: DeadReason) -> End {
    let made = &work.job.made;
    tracing::error!(%reason, "given up: {}", failure.message);
    let account = work.account.as_ref().map_or("no account", |account| account.name.as_str());
    let (kind, what) = match reason {
        DeadReason::OutcomeUnknown => {
            (NoticeKind::OutcomeUnknown, "may or may not be out; look, then resolve or replay it")
        }
        _ => (NoticeKind::JobDead, "gave up; mend the cause, then replay or resolve it"),
    };
    let message = format!("{} for \"{account}\" {what}: {failure}", made.kind);
    let notice = about(work, kind, message);
    let settle = Settle::Failed(failure, RetryDecision::GiveUp(reason));
    let verdict = Verdict::plain(settle);
    // A notification that gives up would only make another one.
    let tells = made.kind.as_str() != JobKind::NOTIFY && !shared.handlers.is_empty();
    if !tells {
        return verdict.into();
    }
    let key = format!("dead:{}:{}", work.job.id(), work.job.fence);
    tell(shared, work, verdict, &notice, &key).into()
}

/// A notice about a job, with what a person needs to bring its post out by hand.
fn about(work: &Work, kind: NoticeKind, message: String) -> Notice {
    let account = work.account.as_ref();
    let notice = Notice {
        job: Some(work.job.id()),
        account: work.job.made.account_id,
        account_name: account.map(|account| account.name.clone()),
        platform: account.map(|account| account.platform.clone()),
        ..Notice::new(kind, message)
    };
    match (&work.post, account) {
        (Some(post), Some(account)) => {
            let parts = post.content.parts_for(&account.platform);
            notice.with_parts(parts.get(work.out()..).unwrap_or_default())
        }
        _ => notice,
    }
}

/// A person is told of this end, once by every channel: a job each, so that one that is away repeats
/// nothing on the others.
pub(crate) fn tell(
    shared: &Shared,
    work: &Work,
    mut verdict: Verdict,
    notice: &Notice,
    key: &str,
) -> Verdict {
    let (made, now) = (&work.job.made, work.time.now());
    for job in to_tell(&shared.channels, notice, key, now) {
        verdict = verdict.followed_by(NewJob {
            id: shared.job_id(now),
            tenant_id: made.tenant_id,
            account_id: made.account_id,
            correlation_id: made.correlation_id.clone(),
            ..job
        });
    }
    verdict
}

/// Tells one envelope from another; not secret, not for security.
fn fingerprint(bytes: &[u8]) -> u64 {
    // FNV-1a, 64 bits.
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
