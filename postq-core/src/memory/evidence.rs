//! Intents and receipts, kept per root job and part.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::feed::{Settle, Settlement};
use crate::id::JobId;
use crate::intent::{Intent, IntentAnswer, IntentState, PartEvidence, Receipt};
use crate::job::Held;
use crate::memory::state::State;

impl State {
    /// Writes an intent down, or says why not.
    pub(super) fn record_intent(
        &mut self,
        intent: &Intent,
        room: Duration,
        now: DateTime<Utc>,
    ) -> IntentAnswer {
        let Some(row) = self.jobs.get(&intent.job) else { return IntentAnswer::Gone };
        let held = Held { job: intent.job, fence: intent.fence };
        if !self.holds(held) || row.lease_until <= now {
            return IntentAnswer::Stale;
        }
        let (root, post, lease_until) = (row.job.root, row.job.made.post_id, row.lease_until);
        let known = self.evidence.get(&root);
        if let Some(receipt) = known.and_then(|known| known.receipt(intent.part)) {
            return IntentAnswer::AlreadyOut(receipt.clone());
        }
        if let Some(open) = known.and_then(|known| known.open()) {
            let before = open.intent.as_ref();
            let repeated =
                |before: &&Intent| Intent { made_at: before.made_at, ..intent.clone() } == **before;
            return match before.filter(repeated) {
                Some(before) => IntentAnswer::Recorded(before.made_at),
                None => IntentAnswer::Unresolved,
            };
        }
        if self.has_open_twin(root, intent) {
            return IntentAnswer::Twin;
        }
        if let Some(post) = post {
            match self.posts.get(&post) {
                None => return IntentAnswer::Gone,
                Some(post) if post.revision != intent.revision => return IntentAnswer::Edited,
                Some(_) => {}
            }
        }
        if lease_until < now + room {
            return IntentAnswer::LeaseTooShort;
        }
        let intent = Intent { made_at: now, ..intent.clone() };
        let state = IntentState::Open;
        // A new intent begins with new counters.
        *self.part(root, intent.part) =
            PartEvidence { state, intent: Some(intent.clone()), ..unknown(intent.part) };
        let row = self.jobs.get_mut(&intent.job).expect("found above");
        row.had_intent = true;
        IntentAnswer::Recorded(now)
    }

    /// Whether another job of the account's identity, not yet ended, has sent the same and knows no
    /// outcome.
    fn has_open_twin(&self, root: JobId, intent: &Intent) -> bool {
        let Some(account) = self.owners.get(&root) else { return false };
        let same = self.same_identity(*account);
        // The job that sent it, or a replay of it, has not ended.
        let is_live = |other: &JobId| {
            let mut line = self.lines.get(other).into_iter().flatten();
            line.any(|job| !self.jobs[job].job.state.is_terminal())
        };
        let others = self.owners.iter().filter(|(other, of)| same.contains(of) && **other != root);
        let open = others.filter(|(other, _)| is_live(other));
        let mut open =
            open.filter_map(|(other, _)| self.evidence.get(other)?.open()?.intent.as_ref());
        open.any(|sent| sent.text == intent.text && sent.reply_to == intent.reply_to)
    }

    /// What is known of a part, to be changed.
    pub(super) fn part(&mut self, root: JobId, part: u16) -> &mut PartEvidence {
        let known = &mut self.evidence.entry(root).or_default().0;
        let place = known.binary_search_by_key(&part, |known| known.part).unwrap_or_else(|place| {
            known.insert(place, unknown(part));
            place
        });
        &mut known[place]
    }

    /// The part whose outcome is unknown, if there is one.
    pub(super) fn open_part(&mut self, root: JobId) -> Option<&mut PartEvidence> {
        let part = self.evidence.get(&root)?.open()?.part;
        Some(self.part(root, part))
    }

    /// Keeps a receipt unless its part has one: evidence is kept whoever brings it.
    pub(super) fn keep_receipt(&mut self, root: JobId, receipt: &Receipt) {
        let known = self.part(root, receipt.part);
        if known.receipt.is_none() {
            known.receipt = Some(receipt.clone());
            known.state = IntentState::Published;
            if let Some(account) = self.owners.get(&root) {
                self.remote_ids.entry((*account, receipt.remote_id.clone())).or_insert(root);
            }
        }
    }

    /// Whether another line of the account's identity has a receipt with this remote id.
    pub(super) fn is_claimed_by_another(&self, root: JobId, receipt: &Receipt) -> bool {
        let Some(account) = self.owners.get(&root) else { return false };
        let ours = self.evidence.get(&root).and_then(|known| known.receipt(receipt.part));
        if ours.is_some_and(|ours| ours.remote_id == receipt.remote_id) {
            // Copied from the line that it replays with a new key.
            return false;
        }
        let owner = |account| self.remote_ids.get(&(account, receipt.remote_id.clone()));
        let mut owners = self.same_identity(*account).into_iter().filter_map(owner);
        owners.any(|owner| *owner != root)
    }

    /// Whether this very settlement has been applied before.
    pub(super) fn is_settled(&self, settlement: &Settlement) -> bool {
        let (held, settle) = (settlement.held, &settlement.settle);
        let Some(row) = self.jobs.get(&held.job).filter(|row| row.job.fence == held.fence) else {
            return false;
        };
        match settle {
            Settle::Part(receipt) => {
                let known = self.evidence.get(&row.job.root);
                known.and_then(|known| known.receipt(receipt.part)) == Some(receipt)
            }
            _ => row
                .settled
                .as_ref()
                .is_some_and(|(fence, last)| *fence == held.fence && last == settle),
        }
    }
}

/// A part of which nothing is known: nothing is open.
fn unknown(part: u16) -> PartEvidence {
    PartEvidence {
        part,
        intent: None,
        state: IntentState::NotPublished,
        absent_looks: 0,
        looks: 0,
        duplicate: false,
        receipt: None,
    }
}
