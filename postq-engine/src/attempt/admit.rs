//! Admission: what must hold before anything is sent.

use std::time::Duration;

use postq_core::account::Account;
use postq_core::failure::{Failure, FailureClass};
use postq_core::feed::{Deferral, Settle};
use postq_core::job::{DeadReason, Job};
use postq_core::machine::JobState;
use postq_core::platform::violations;
use postq_core::schedule::Misfire;
use postq_core::store::{JobFilter, Page};

use super::failure::dead;
use super::{End, Holding, Publish, exhausted, not_known_here};
use crate::engine::Shared;
use crate::preflight::refused;
use crate::settle::Verdict;
use crate::tokens::{Unusable, Usable};
use crate::worker::Work;

/// Crashes that are forgiven a job that only looks: then it is held for a person.
const LOOKING_CRASHES: u32 = 5;

/// Later than this, the misfire policy is asked; the usual case costs no query.
const ON_TIME: Duration = Duration::from_secs(1);

/// Checks what must hold before anything is sent. Nothing here closes an open intent: only a look
/// may.
pub(super) async fn admit<'a>(
    shared: &'a Shared,
    work: &'a Work,
    holding: &'a Holding<'a>,
) -> Result<Publish<'a>, End> {
    let open = work.evidence.open().is_some();
    let (Some(post), Some(account)) = (work.post.as_deref(), work.account.as_deref()) else {
        let what = if work.post.is_none() { "post" } else { "account" };
        let message = format!("the {what} is gone");
        let failure = match open {
            true => Failure::unknown(FailureClass::Internal, message),
            false => Failure::not_published(FailureClass::Internal, message),
        };
        return Err(dead(shared, work, failure, DeadReason::Missing));
    };
    let Some(platform) = shared.platforms.get(&account.platform) else {
        return Err(not_known_here(work, &format!("platform \"{}\"", account.platform)));
    };
    let draft = post.content.draft_for(&account.platform);
    if let Some(end) = used_up(shared, work, draft.parts.len(), open) {
        return Err(end);
    }
    if missed(shared, work).await {
        return Err(Verdict::new(Settle::Missed, "missed").into());
    }
    if let Some(violation) = violations(&**platform, draft).first()
        && work.evidence.0.is_empty()
    {
        let message = format!("part {}: {}", violation.part + 1, violation.message);
        let failure = Failure::not_published(FailureClass::Content, message);
        return Err(dead(shared, work, failure, DeadReason::Content));
    }
    let Usable { account, who } = usable(shared, work, account, holding).await?;
    // What may be out is looked for, whatever the rules are by now.
    if work.evidence.0.is_empty()
        && let Some(violation) = refused(&**platform, &account, &who, draft).await.first()
    {
        let message = format!("part {}: {}", violation.part + 1, violation.message);
        let failure = Failure::not_published(FailureClass::Content, message);
        return Err(dead(shared, work, failure, DeadReason::Content));
    }
    Ok(Publish { shared, work, post, account, platform, who, draft, holding })
}

/// Why a job gets no further attempt; none if it does.
fn used_up(shared: &Shared, work: &Work, parts: usize, open: bool) -> Option<End> {
    let out = (0u16..).take(parts).all(|part| work.evidence.receipt(part).is_some());
    if out && parts > 0 {
        return None; // all that is left is to write it down
    }
    // What was sent is looked for once more before it is given up.
    let sent = work.evidence.0.iter().any(|part| part.intent.is_some() && part.receipt.is_none());
    let forgiven = if sent { LOOKING_CRASHES } else { 0 };
    if work.job.attempt <= work.job.made.max_attempts.saturating_add(forgiven) {
        return None;
    }
    if !open {
        return Some(exhausted(shared, work));
    }
    let message = "the process ended again and again while it looked";
    let failure = Failure::unknown(FailureClass::Internal, message);
    Some(dead(shared, work, failure, DeadReason::OutcomeUnknown))
}

/// Whether the misfire policy skips it: asked at the first claim, of what was never sent. A replay
/// is never missed: a person wants it now. Nor is anything because the store could not be asked.
async fn missed(shared: &Shared, work: &Work) -> bool {
    let (made, now) = (&work.job.made, work.time.now());
    let first = work.job.attempt == 1 && work.evidence.0.is_empty() && work.job.replay_of.is_none();
    let (Some(schedule), true) = (made.schedule_id, first) else { return false };
    if now <= made.planned_at + ON_TIME {
        return false;
    }
    let load = shared.backend.schedules.load(std::slice::from_ref(&schedule));
    let Ok(schedules) = shared.bounded("load the schedule", load).await else { return false };
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
    let list = shared.backend.jobs.list(made.tenant_id, &filter, Page::first(1_000));
    let Ok(others) = shared.bounded("list later jobs", list).await else { return false };
    let later = |job: &&Job| job.made.planned_at > made.planned_at && job.made.planned_at <= now;
    others.iter().filter(later).count() >= most
}

/// Whom the calls are made for, with credentials that are good for them.
pub(super) async fn usable(
    shared: &Shared,
    work: &Work,
    account: &Account,
    holding: &Holding<'_>,
) -> Result<Usable, End> {
    let usable = tokio::select! {
        biased;
        () = holding.kept.lost.cancelled() => return Err(End::Lost),
        () = holding.shutdown.cancelled() => {
            let back = Settle::Deferred(work.time.now(), Deferral::Shutdown);
            return Err(Verdict::new(back, "the node shut down").into());
        }
        usable = shared.tokens.usable(account, work.time.now()) => usable,
    };
    let refused = |why: String| Failure::not_published(FailureClass::Auth, why);
    match usable {
        Ok(usable) => Ok(usable),
        Err(Unusable::NoVault) => Err(not_known_here(work, "a vault for the credentials")),
        Err(Unusable::Unopened(why)) => {
            Err(shared.needs_attention(work, account, &refused(why), Deferral::Wait).await)
        }
        Err(Unusable::Refused { account, why }) => {
            Err(shared.needs_attention(work, &account, &refused(why), Deferral::Wait).await)
        }
        Err(Unusable::Later(why)) => {
            Err(shared.without_token(work, account.id, &why, Deferral::Wait).await)
        }
        Err(Unusable::Gone) => {
            let again = Settle::Deferred(work.time.now(), Deferral::Again);
            Err(Verdict::new(again, "the account was removed meanwhile").into())
        }
    }
}
