//! Slots.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::id::{AccountId, ScheduleId};
use crate::memory::MemoryBackend;
use crate::slot::{SlotRule, SlotStore, TakeSlot, TakenSlot};

/// What is kept of slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    rules: BTreeMap<AccountId, Vec<SlotRule>>,
    taken: BTreeMap<(AccountId, DateTime<Utc>), (ScheduleId, DateTime<Utc>)>,
}

#[async_trait]
impl SlotStore for MemoryBackend {
    async fn rules(&self, account: AccountId) -> Result<Vec<SlotRule>, StoreError> {
        Ok(self.lock().slots.rules.get(&account).cloned().unwrap_or_default())
    }

    async fn set_rules(&self, account: AccountId, rules: &[SlotRule]) -> Result<(), StoreError> {
        self.lock().slots.rules.insert(account, rules.to_vec());
        Ok(())
    }

    async fn taken(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
    ) -> Result<Vec<TakenSlot>, StoreError> {
        let state = self.lock();
        let taken = state.slots.taken.range((account, span.start)..(account, span.end));
        let slot = |(&(account_id, at), &(schedule_id, taken_at))| TakenSlot {
            account_id,
            at,
            schedule_id,
            taken_at,
        };
        Ok(taken.map(slot).collect())
    }

    async fn take(&self, take: &TakeSlot) -> Result<bool, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let taken = &mut state.slots.taken;
        let key = (take.account_id, take.at);
        let holder = taken.get(&key).map(|(holder, _)| *holder);
        let may = holder
            .is_none_or(|holder| holder == take.schedule_id || Some(holder) == take.instead_of);
        if may {
            taken.retain(|(account, _), (holder, _)| {
                *account != take.account_id || *holder != take.schedule_id
            });
            taken.insert(key, (take.schedule_id, now));
        }
        Ok(may)
    }
}
