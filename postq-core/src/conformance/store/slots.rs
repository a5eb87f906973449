//! The rules of [`SlotStore`](crate::slot::SlotStore).

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::backend::Backend;
use crate::id::{AccountId, ScheduleId};
use crate::slot::{SlotRule, TakeSlot};

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(hours)
}

fn take(account_id: AccountId, hours: i64, schedule_id: ScheduleId) -> TakeSlot {
    TakeSlot { account_id, at: at(hours), schedule_id, instead_of: None }
}

async fn takes(backend: &Backend, take: TakeSlot) -> bool {
    backend.slots.take(&take).await.expect("take")
}

/// The slots that are taken: their hours, and whose they are.
async fn taken(backend: &Backend, account: AccountId) -> Vec<(i64, ScheduleId)> {
    let taken = backend.slots.taken(account, &(at(0)..at(100))).await.expect("taken");
    assert!(taken.iter().all(|slot| slot.account_id == account && slot.taken_at > at(-1_000_000)));
    taken.iter().map(|slot| ((slot.at - at(0)).num_hours(), slot.schedule_id)).collect()
}

/// An account has the rules that were set last, in their order; none at first.
pub async fn slot_rules_are_replaced(backend: Backend) {
    let (one, other) = (AccountId::new(), AccountId::new());
    let rule = |expr: &str| SlotRule { expr: expr.to_owned(), tz: "Europe/Berlin".to_owned() };
    let slots = &backend.slots;
    assert!(slots.rules(one).await.expect("rules").is_empty());

    slots.set_rules(one, &[rule("30 17 * * 1-5"), rule("0 9 * * 1-5")]).await.expect("set");
    slots.set_rules(other, &[rule("0 1 * * *")]).await.expect("set");
    slots.set_rules(one, &[rule("0 9 * * 6"), rule("0 8 * * 6")]).await.expect("set");

    let kept = slots.rules(one).await.expect("rules");
    assert_eq!(kept, [rule("0 9 * * 6"), rule("0 8 * * 6")]);
    slots.set_rules(one, &[]).await.expect("set");
    assert!(slots.rules(one).await.expect("rules").is_empty());
    assert_eq!(slots.rules(other).await.expect("rules"), [rule("0 1 * * *")]);
}

/// However many take a slot, one has it; whoever has it takes it again.
pub async fn one_of_many_takes_a_slot(backend: Backend) {
    let account = AccountId::new();

    let takers = (0..8).map(|_| {
        let slots = Arc::clone(&backend.slots);
        let take = take(account, 1, ScheduleId::new());
        tokio::spawn(async move { (take.schedule_id, slots.take(&take).await.expect("take")) })
    });
    let mut winners = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        let (schedule, won) = taker.await.expect("it runs");
        winners.extend(won.then_some(schedule));
    }

    assert_eq!(winners.len(), 1);
    assert_eq!(taken(&backend, account).await, [(1, winners[0])]);
    assert!(takes(&backend, take(account, 1, winners[0])).await);
    assert!(takes(&backend, take(AccountId::new(), 1, ScheduleId::new())).await, "another account");
}

/// A slot is taken over only from whom it is said to be taken over from.
pub async fn a_slot_is_taken_over_from_its_holder(backend: Backend) {
    let (account, first, second) = (AccountId::new(), ScheduleId::new(), ScheduleId::new());
    assert!(takes(&backend, take(account, 1, first)).await);
    let over = |from| TakeSlot { instead_of: Some(from), ..take(account, 1, second) };

    assert!(!takes(&backend, over(ScheduleId::new())).await);
    assert_eq!(taken(&backend, account).await, [(1, first)]);
    assert!(takes(&backend, over(first)).await);
    assert_eq!(taken(&backend, account).await, [(1, second)]);
    assert!(!takes(&backend, take(account, 1, first)).await);
}

/// A schedule has one slot of an account: taking another one frees the one before.
pub async fn a_schedule_has_one_slot(backend: Backend) {
    let (account, other) = (AccountId::new(), AccountId::new());
    let (first, second) = (ScheduleId::new(), ScheduleId::new());
    for (account, hours, schedule) in [(account, 1, first), (account, 2, second), (other, 1, first)]
    {
        assert!(takes(&backend, take(account, hours, schedule)).await);
    }

    assert!(!takes(&backend, take(account, 2, first)).await);
    assert_eq!(taken(&backend, account).await, [(1, first), (2, second)], "refused: nothing moves");
    assert!(takes(&backend, take(account, 3, first)).await);

    assert_eq!(taken(&backend, account).await, [(2, second), (3, first)]);
    assert_eq!(taken(&backend, other).await, [(1, first)]);
}

/// `taken` has the slots of an account in the span, in order.
pub async fn taken_slots_are_told(backend: Backend) {
    let (account, schedules) = (AccountId::new(), [3, 0, 100, 7].map(|n| (n, ScheduleId::new())));
    for (hours, schedule) in schedules {
        assert!(takes(&backend, take(account, hours, schedule)).await);
    }

    let hours: Vec<i64> = taken(&backend, account).await.iter().map(|(hours, _)| *hours).collect();

    assert_eq!(hours, [0, 3, 7], "the end of the span is not in it");
}
