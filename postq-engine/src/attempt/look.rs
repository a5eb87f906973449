//! Looking for a part that was sent before.

use std::collections::BTreeSet;
use std::time::Duration;

use postq_core::account::OnUnknown;
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};
use postq_core::feed::{Deferral, Settle};
use postq_core::intent::{Intent, IntentState, PartEvidence, Receipt};
use postq_core::job::DeadReason;
use postq_core::platform::{Look, Lookup, Reconcile};

use super::failure::dead;
use super::{End, INTENT_AHEAD, Publish};
use crate::looking::{LookPlan, Next};
use crate::settle::Verdict;

impl Publish<'_> {
    /// The part was sent before: asks the platform. `None`: it is not out, and may be sent.
    pub(super) async fn look_first(
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
        // Claimed a little ahead, and not before the time that was set for this look.
        self.pause_until(self.work.job.run_at, Deferral::Shutdown).await?;
        let (plan, now) = (self.look_plan(reconcile, intent), self.work.time.now());
        let next = match self.look(reconcile, intent).await {
            Ok(Look::Found(receipt)) => return Ok(Some(receipt)),
            // Whatever an answer said before, and whatever the account wants: it is out.
            Ok(Look::OutSomewhere(why)) => plan.after_out_somewhere(why, now),
            Err(failure) | Ok(Look::OutUnread(failure)) if failure.class == FailureClass::Auth => {
                let why = Deferral::Looking { absent: false };
                return Err(self.needs_attention(&failure, why).await);
            }
            Ok(Look::OutUnread(failure)) => {
                match plan.after_failed_look(&failure, open.then_some(known.looks), now) {
                    Next::CannotTell(why) => Next::OutSomewhere(why),
                    again => again,
                }
            }
            Err(failure) => plan.after_failed_look(&failure, open.then_some(known.looks), now),
            // Refused, or found absent, before: the look was only to catch an answer that lied.
            Ok(_) if !open => return Ok(None),
            Ok(Look::Absent) => plan.after_nothing(known, now),
            Ok(Look::CannotTell(why)) => plan.after_cannot_tell(why, now),
        };
        match next {
            Next::CannotTell(_) if !open => {}
            Next::Absent if known.duplicate => self.refused_as_duplicate(intent).await?,
            Next::Absent => self.close(intent, "the platform does not have it").await?,
            Next::CannotTell(why) => self.nobody_can_tell(intent, why).await?,
            Next::OutSomewhere(why) => {
                let failure = Failure::unknown(FailureClass::Platform, why);
                return Err(dead(self.shared, self.work, failure, DeadReason::OutcomeUnknown));
            }
            Next::LookAgain { at, absent } => {
                let settle = Settle::Deferred(at, Deferral::Looking { absent });
                return Err(Verdict::new(settle, "looking for it on the platform").into());
            }
        }
        Ok(None)
    }

    /// Looks once.
    pub(super) async fn look(
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

    pub(super) fn look_plan(&self, reconcile: &dyn Reconcile, intent: &Intent) -> LookPlan {
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
        let older = publications.has_text(self.account.id, &intent.text, intent.made_at);
        let older = self.shared.bounded("look for older publications", older).await;
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
