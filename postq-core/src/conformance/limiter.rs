//! The rules of [`RateLimiter`].

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{Clock, SystemClock};
use crate::error::ErrorKind;
use crate::limiter::{Budget, MOST_LOOKS, Rate, RateLimiter, Take, Told};

/// Writes one test per rule of [`RateLimiter`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! limiter_conformance {
    ($fresh:expr) => {
        mod limiter_rules {
            $crate::conformance_rules! { $fresh, limiter {
                a_slot_is_never_early,
                a_slot_is_never_in_the_past,
                slots_keep_the_rate,
                takers_never_share_a_slot,
                keys_are_apart,
                tightening_holds_back,
                a_reading_never_loosens,
                looking_takes_nothing,
                a_look_tells_what_a_take_would_get,
                looks_are_bounded,
            } }
        }
    };
}

/// The backend's clock may differ from ours by so much.
const SKEW: Duration = Duration::from_secs(1);

fn rate(every: Duration, burst: u32) -> Rate {
    Rate { every, burst: NonZeroU32::new(burst).expect("a burst is at least one") }
}

async fn take(
    limiter: &dyn RateLimiter,
    key: &str,
    rate: Rate,
    not_before: DateTime<Utc>,
) -> DateTime<Utc> {
    limiter.take(&Take { key: key.to_owned(), rate, not_before }).await.expect("take")
}

async fn takes(
    limiter: &dyn RateLimiter,
    key: &str,
    rate: Rate,
    not_before: DateTime<Utc>,
    n: usize,
) -> Vec<DateTime<Utc>> {
    let mut slots = Vec::new();
    for _ in 0..n {
        slots.push(take(limiter, key, rate, not_before).await);
    }
    slots
}

/// `take` answers a time that is not before `not_before`, and reserves it.
pub async fn a_slot_is_never_early(limiter: Arc<dyn RateLimiter>) {
    let due = SystemClock.now() + Duration::from_secs(3_600);

    let slots = takes(&*limiter, "x/a", rate(Duration::from_secs(10), 2), due, 4).await;

    assert!(slots.iter().all(|slot| *slot >= due), "{slots:?} before {due}");
    assert_eq!(slots[0], due, "a free bucket gives the time that was asked for");
    let after: Vec<_> = slots.iter().map(|slot| (*slot - due).num_seconds()).collect();
    assert_eq!(after, [0, 0, 10, 20], "a burst of two, then the rate");
}

/// What was due long ago gets a slot from now on: a backlog does not come out at once.
pub async fn a_slot_is_never_in_the_past(limiter: Arc<dyn RateLimiter>) {
    let long_ago = SystemClock.now() - Duration::from_secs(3_600);
    for burst in [1, 100] {
        let rate = rate(Duration::from_secs(10), burst);
        let asked = SystemClock.now();

        let slots = takes(&*limiter, &format!("x/{burst}"), rate, long_ago, 4).await;

        assert!(slots[0] >= asked - SKEW, "{} for what is asked at {asked}", slots[0]);
        let apart = if burst == 1 { rate.every } else { Duration::ZERO };
        assert!(slots.windows(2).all(|two| two[1] >= two[0] + apart), "{slots:?}");
    }
}

/// In any stretch of time `t`, at most `burst + t / every` slots of a key are given.
pub async fn slots_keep_the_rate(limiter: Arc<dyn RateLimiter>) {
    let (every, burst) = (Duration::from_secs(2), 5);
    let start = SystemClock.now() + Duration::from_secs(3_600);
    // Demand comes in clumps, also for earlier times than were given before.
    let asks = [0, 0, 0, 1, 30, 30, 30, 30, 30, 30, 30, 31, 7, 7, 90, 90, 0, 91, 120, 121];
    let mut slots = Vec::new();
    for seconds in asks {
        let not_before = start + Duration::from_secs(seconds);
        slots.push(take(&*limiter, "x/a", rate(every, burst), not_before).await);
    }

    slots.sort_unstable();

    for (first, early) in slots.iter().enumerate() {
        for (count, late) in slots[first..].iter().enumerate() {
            let stretch = (*late - *early).as_seconds_f64();
            let allowed = f64::from(burst) + stretch / every.as_secs_f64() + 1e-3;
            assert!(count as f64 + 1.0 <= allowed, "{} slots in {stretch} s", count + 1);
        }
    }
}

/// N takers at the same time get N different places.
pub async fn takers_never_share_a_slot(limiter: Arc<dyn RateLimiter>) {
    let rate = rate(Duration::from_secs(1), 1);
    let due = SystemClock.now() + Duration::from_secs(3_600);
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let limiter = limiter.clone();
        takers.spawn(async move { takes(&*limiter, "x/a", rate, due, 5).await });
    }

    let mut slots = takers.join_all().await.concat();

    slots.sort_unstable();
    let places: Vec<_> = slots.iter().map(|slot| (*slot - due).num_milliseconds()).collect();
    let expected: Vec<_> = (0..40).map(|n| n * 1_000).collect();
    assert_eq!(places, expected, "one after the other, none twice, none left out");
}

/// Keys do not see one another.
pub async fn keys_are_apart(limiter: Arc<dyn RateLimiter>) {
    let slow = rate(Duration::from_secs(60), 1);
    let due = SystemClock.now() + Duration::from_secs(3_600);
    takes(&*limiter, "x/a", slow, due, 3).await;
    limiter.tighten("x/c", 0, due + Duration::from_secs(60)).await.expect("tighten");

    assert_eq!(take(&*limiter, "x/b", slow, due).await, due);
    assert_eq!(take(&*limiter, "x/", slow, due).await, due, "a prefix is a key of its own");
}

/// After `tighten(key, remaining, resets_at)` at most `remaining` slots are given before `resets_at`.
pub async fn tightening_holds_back(limiter: Arc<dyn RateLimiter>) {
    let now = SystemClock.now();
    let resets_at = now + Duration::from_secs(900);
    let wide = rate(Duration::from_secs(1), 100);
    limiter.tighten("x/a", 2, resets_at).await.expect("tighten");

    let slots = takes(&*limiter, "x/a", wide, now, 5).await;

    let early = slots.iter().filter(|slot| **slot < resets_at).count();
    assert_eq!(early, 2, "{slots:?}");
    limiter.tighten("x/b", 0, resets_at).await.expect("tighten a new key");
    assert!(take(&*limiter, "x/b", wide, now).await >= resets_at);
    assert!(take(&*limiter, "x/c", wide, now).await < resets_at, "another key");
}

/// A later reading may tighten further before the reset, never loosen.
pub async fn a_reading_never_loosens(limiter: Arc<dyn RateLimiter>) {
    let now = SystemClock.now();
    let resets_at = now + Duration::from_secs(900);
    let wide = rate(Duration::from_secs(1), 100);
    let early = async |key: &str| {
        let slots = takes(&*limiter, key, wide, now, 6).await;
        slots.iter().filter(|slot| **slot < resets_at).count()
    };

    limiter.tighten("x/a", 1, resets_at).await.expect("tighten");
    limiter.tighten("x/a", 50, resets_at).await.expect("a late answer");
    assert_eq!(early("x/a").await, 1, "an answer that came late does not loosen");

    limiter.tighten("x/b", 5, resets_at).await.expect("tighten");
    limiter.tighten("x/b", 2, resets_at).await.expect("tighten further");
    assert_eq!(early("x/b").await, 2);

    limiter.tighten("x/c", 1, resets_at).await.expect("tighten");
    limiter.tighten("x/c", 1, now + Duration::from_secs(60)).await.expect("an earlier reset");
    assert_eq!(early("x/c").await, 1, "a reset that is said to be earlier does not loosen");
}

async fn look(limiter: &dyn RateLimiter, key: &str, rate: Rate) -> Budget {
    let take = Take { key: key.to_owned(), rate, not_before: SystemClock.now() - SKEW };
    let budgets = limiter.look(&[take]).await.expect("look");
    assert_eq!(budgets.len(), 1, "one for each that was asked about: {budgets:?}");
    budgets[0]
}

/// `look` takes nothing.
pub async fn looking_takes_nothing(limiter: Arc<dyn RateLimiter>) {
    let slow = rate(Duration::from_secs(600), 3);

    for _ in 0..5 {
        assert_eq!(look(&*limiter, "x/a", slow).await.left, 3, "nobody has used it");
    }
    let now = SystemClock.now();
    let slots = takes(&*limiter, "x/a", slow, now, 2).await;
    assert!(slots.iter().all(|slot| *slot < now + SKEW), "{slots:?}");
    for _ in 0..5 {
        assert_eq!(look(&*limiter, "x/a", slow).await.left, 1, "two are taken");
    }
    assert!(take(&*limiter, "x/a", slow, now).await < now + SKEW, "the third was still there");
}

/// `look` tells of each, in the order in which it is asked, what `take` would answer.
pub async fn a_look_tells_what_a_take_would_get(limiter: Arc<dyn RateLimiter>) {
    let (slow, wide) = (rate(Duration::from_secs(600), 2), rate(Duration::from_secs(1), 100));
    let now = SystemClock.now() - SKEW;
    let (due, resets_at) = (now + Duration::from_secs(7_200), now + Duration::from_secs(900));
    takes(&*limiter, "x/used", slow, now, 4).await;
    limiter.tighten("x/told", 2, resets_at).await.expect("tighten");
    limiter.tighten("x/none", 0, resets_at).await.expect("tighten");
    let asked = [
        ("x/used", slow, now),
        ("x/nobody", slow, now),
        ("x/told", wide, now),
        ("x/none", wide, now),
        ("x/later", slow, due),
        ("x/used", slow, now),
    ];
    let asked = asked.map(|(key, rate, not_before)| Take { key: key.to_owned(), rate, not_before });

    let budgets = limiter.look(&asked).await.expect("look");

    let left: Vec<_> = budgets.iter().map(|budget| budget.left).collect();
    assert_eq!(left, [0, 2, 2, 0, 0, 0], "{budgets:#?}");
    let told: Vec<_> = budgets.iter().map(|budget| budget.told.map(|told| told.left)).collect();
    assert_eq!(told, [None, None, Some(2), Some(0), None, None]);
    let Some(Told { resets_at: told, .. }) = budgets[2].told else { panic!("it was told") };
    assert!((told - resets_at).abs().to_std().is_ok_and(|apart| apart < SKEW), "{told}");
    assert_eq!(budgets[0], budgets[5], "the same bucket twice");
    assert_eq!(budgets[4].next_at, due);
    for (take, budget) in asked.iter().zip(&budgets).take(5) {
        let slot = limiter.take(take).await.expect("take");
        let apart = (slot - budget.next_at).abs().to_std().expect("a duration");
        assert!(apart < SKEW, "{}: {slot}, and {} was told", take.key, budget.next_at);
    }
    assert_eq!(limiter.look(&[]).await.expect("look at nothing"), []);
}

/// `look` takes up to [`MOST_LOOKS`] at once; more are `Invalid`.
pub async fn looks_are_bounded(limiter: Arc<dyn RateLimiter>) {
    let slow = rate(Duration::from_secs(600), 2);
    let not_before = SystemClock.now();
    take(&*limiter, "x/7", slow, not_before).await;
    let mut many: Vec<Take> =
        (0..MOST_LOOKS).map(|n| Take { key: format!("x/{n}"), rate: slow, not_before }).collect();

    let budgets = limiter.look(&many).await.expect("look at as many as may be");

    assert_eq!(budgets.len(), MOST_LOOKS);
    let used: Vec<_> = (0..MOST_LOOKS).filter(|n| budgets[*n].left < 2).collect();
    assert_eq!(used, [7]);
    many.push(many[0].clone());
    let error = limiter.look(&many).await.expect_err("one too many");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
