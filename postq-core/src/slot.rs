//! Slots: the times of the local week at which an account likes to publish, and who has taken one.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::id::{AccountId, ScheduleId};

/// A rule of slots: `0 9 * * 1-5` in `Europe/Berlin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRule {
    /// A cron expression.
    pub expr: String,
    /// The IANA zone that it is meant in.
    pub tz: String,
}

/// A slot that a schedule has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenSlot {
    /// The account.
    pub account_id: AccountId,
    /// The time.
    pub at: DateTime<Utc>,
    /// Who has it.
    pub schedule_id: ScheduleId,
    /// When it was taken, by the store's clock.
    pub taken_at: DateTime<Utc>,
}

/// What is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeSlot {
    /// The account.
    pub account_id: AccountId,
    /// The time.
    pub at: DateTime<Utc>,
    /// For this schedule.
    pub schedule_id: ScheduleId,
    /// Also if this one has it, which needs it no more.
    pub instead_of: Option<ScheduleId>,
}

/// Keeps slots.
///
/// # Contract
///
/// 1. An account has the rules that were set last, in their order; none at first.
///    (`slot_rules_are_replaced`)
/// 2. However many take a slot, one has it; whoever has it takes it again.  (`one_of_many_takes_a_slot`)
/// 3. A slot is taken over only from whom it is said to be taken over from.
///    (`a_slot_is_taken_over_from_its_holder`)
/// 4. A schedule has one slot of an account: taking another one frees the one before.
///    (`a_schedule_has_one_slot`)
/// 5. `taken` has the slots of an account in the span, in order.  (`taken_slots_are_told`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SlotStore: fmt::Debug + Send + Sync + 'static {
    /// The rules of an account's slots.
    async fn rules(&self, account: AccountId) -> Result<Vec<SlotRule>, StoreError>;

    /// Replaces them. Slots that are taken stay so.
    async fn set_rules(&self, account: AccountId, rules: &[SlotRule]) -> Result<(), StoreError>;

    /// The slots of an account that are taken.
    async fn taken(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
    ) -> Result<Vec<TakenSlot>, StoreError>;

    /// Takes a slot; answers whether the schedule has it now.
    async fn take(&self, take: &TakeSlot) -> Result<bool, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn SlotStore) = |_| {};
