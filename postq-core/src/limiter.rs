//! The rate limiter: hands out slots, now or later.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::{ErrorKind, LimitError};

/// Buckets that may be looked at in one call.
pub const MOST_LOOKS: usize = 1_000;

/// How fast: `burst` at once, then one every `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The distance of two calls when the burst is used up; at least a microsecond.
    pub every: Duration,
    /// Calls that may come at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// So many in a minute, evenly, one at a time.
    pub fn per_minute(calls: NonZeroU32) -> Self {
        Self { every: Duration::from_secs(60) / calls.get(), burst: NonZeroU32::MIN }
    }

    /// So many in a window, all at once if they come so.
    pub fn per_window(calls: NonZeroU32, window: Duration) -> Self {
        Self { every: window / calls.get(), burst: calls }
    }

    /// The rate as people say it: so many calls in such a stretch of time. One without a burst is told by
    /// the minute.
    pub fn spoken(self) -> (u32, Duration) {
        let (minute, every) = (Duration::from_secs(60), self.every.as_nanos().max(1));
        if self.burst > NonZeroU32::MIN || self.every > minute {
            return (self.burst.get(), self.every.saturating_mul(self.burst.get()));
        }
        // What was rounded when the minute was divided is rounded back.
        let calls = (minute.as_nanos() + every / 2) / every;
        (u32::try_from(calls).unwrap_or(u32::MAX), minute)
    }
}

/// What is asked for: one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The bucket, for example `x/` for an app or `x/0192…` for an account.
    pub key: String,
    /// Its rate.
    pub rate: Rate,
    /// The slot is not earlier than this: the job's due time.
    pub not_before: DateTime<Utc>,
}

/// What a bucket would give now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Slots that could be taken for this very moment, one after the other.
    pub left: u32,
    /// When the next one is: what `take` would answer.
    pub next_at: DateTime<Utc>,
    /// What the platform told, while that is in force.
    pub told: Option<Told>,
}

/// A platform's own word on its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Slots left before it resets.
    pub left: u32,
    /// When it resets.
    pub resets_at: DateTime<Utc>,
}

/// Fails if so many buckets cannot be looked at in one call.
pub fn ensure_few(looks: &[Take]) -> Result<(), LimitError> {
    match looks.len() {
        ..=MOST_LOOKS => Ok(()),
        many => Err(LimitError::new(
            ErrorKind::Invalid,
            format!("look at {many} limits at once; look at {MOST_LOOKS} or fewer"),
        )),
    }
}

/// Hands out slots under a rate, shared by all who use the backend.
///
/// # Contract
///
/// 1. `take` answers a time that is not before `not_before`, and reserves it: whoever got it needs
///    no other.  (`a_slot_is_never_early`)
/// 2. In any stretch of time `t`, at most `burst + t / every` slots of a key are given.
///    (`slots_keep_the_rate`)
/// 3. N takers at the same time get N different places.  (`takers_never_share_a_slot`)
/// 4. Keys do not see one another.  (`keys_are_apart`)
/// 5. After `tighten(key, remaining, resets_at)` at most `remaining` slots are given before
///    `resets_at`.  (`tightening_holds_back`)
/// 6. A later reading may tighten further before the reset, never loosen.  (`a_reading_never_loosens`)
/// 7. `look` tells what `take` would answer, and takes nothing.  (`looking_takes_nothing`,
///    `a_look_tells_what_a_take_would_get`)
/// 8. `look` takes up to [`MOST_LOOKS`] at once; more are `Invalid`.  (`looks_are_bounded`)
///
/// Each rule is a public test in `conformance::limiter`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait RateLimiter: fmt::Debug + Send + Sync + 'static {
    /// Reserves the next slot and tells its time.
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError>;

    /// Obeys a limit that the platform told of.
    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError>;

    /// Tells what each of these would get, in the same order, as if it alone were taken.
    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError>;
}

/// The state of one bucket, and the arithmetic that every backend shares: GCRA (the generic cell
/// rate algorithm) plus the platform's own reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The theoretical arrival time: when the bucket would be full again.
    pub tat: DateTime<Utc>,
    /// Slots left before `resets_at`, where the platform told.
    pub remaining: Option<u32>,
    /// When that reading ends.
    pub resets_at: DateTime<Utc>,
}

impl Bucket {
    /// A bucket that nobody has used.
    pub fn fresh(now: DateTime<Utc>) -> Self {
        Self { tat: now, remaining: None, resets_at: now }
    }

    /// Reserves a slot and tells its time.
    pub fn take(&mut self, rate: Rate, not_before: DateTime<Utc>) -> DateTime<Utc> {
        let mut slot = self.earliest(rate, not_before);
        if let Some(remaining) = self.remaining
            && slot < self.resets_at
        {
            match remaining.checked_sub(1) {
                Some(left) => self.remaining = Some(left),
                // What waited for the reset is paced from there on, however large the burst.
                None => {
                    slot = self.resets_at.max(self.tat);
                    self.tat = slot + rate.every;
                    return slot;
                }
            }
        }
        self.tat = self.tat.max(slot) + rate.every;
        slot
    }

    /// Tells what it would give at `now`; takes nothing.
    pub fn look(mut self, rate: Rate, not_before: DateTime<Utc>, now: DateTime<Utc>) -> Budget {
        let told = self.remaining.filter(|_| now < self.resets_at);
        let told = told.map(|left| Told { left, resets_at: self.resets_at });
        let left = match not_before <= now {
            true => self.left(rate, now).min(told.map_or(u32::MAX, |told| told.left)),
            false => 0,
        };
        Budget { left, next_at: self.take(rate, not_before.max(now)), told }
    }

    /// Slots for `now` by the rate alone.
    fn left(&self, rate: Rate, now: DateTime<Utc>) -> u32 {
        // A slot for now moves the arrival time on by one `every`, from now or where it is.
        let full = now + rate.every * (rate.burst.get() - 1);
        let Ok(room) = (full - self.tat.max(now)).to_std() else { return 0 };
        let more = room.as_nanos().checked_div(rate.every.as_nanos()).unwrap_or(u128::MAX);
        u32::try_from(more + 1).map_or(rate.burst.get(), |left| left.min(rate.burst.get()))
    }

    /// Takes the platform's word; never loosens before the earlier reading has ended.
    pub fn tighten(&mut self, remaining: u32, resets_at: DateTime<Utc>, now: DateTime<Utc>) {
        let running = self.remaining.filter(|_| now < self.resets_at);
        self.remaining = Some(running.map_or(remaining, |known| known.min(remaining)));
        self.resets_at = match running {
            Some(_) => self.resets_at.max(resets_at),
            None => resets_at,
        };
    }

    fn earliest(&self, rate: Rate, not_before: DateTime<Utc>) -> DateTime<Utc> {
        let tolerance = rate.every * (rate.burst.get() - 1);
        not_before.max(self.tat - tolerance)
    }
}

const _OBJECT_SAFE: fn(&dyn RateLimiter) = |_| {};

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn slots_keep_the_rate_whatever_comes(
            every_ms in 1u64..5_000,
            burst in 1u32..20,
            asks in vec(0u64..3_000, 1..60),
        ) {
            let rate = Rate {
                every: Duration::from_millis(every_ms),
                burst: NonZeroU32::new(burst).unwrap(),
            };
            let mut now = DateTime::UNIX_EPOCH;
            let mut bucket = Bucket::fresh(now);
            let mut slots = Vec::new();
            for ask in asks {
                now += Duration::from_millis(ask);
                let slot = bucket.take(rate, now);
                prop_assert!(slot >= now);
                slots.push(slot);
            }
            slots.sort_unstable();
            for (i, first) in slots.iter().enumerate() {
                for (n, last) in slots[i..].iter().enumerate() {
                    let stretch = (*last - *first).to_std().unwrap();
                    let allowed = f64::from(burst) + stretch.as_secs_f64() * 1_000.0 / every_ms as f64;
                    prop_assert!((n + 1) as f64 <= allowed + 1e-6, "{} in {:?}", n + 1, stretch);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_look_tells_what_a_take_would_get(
            every_us in 1u64..5_000_000,
            burst in 1u32..20,
            asks in vec(0u64..3_000, 0..30),
            told in option::of((0u32..20, 0u64..9_000)),
        ) {
            let rate = Rate {
                every: Duration::from_micros(every_us),
                burst: NonZeroU32::new(burst).unwrap(),
            };
            let mut now = DateTime::UNIX_EPOCH;
            let mut bucket = Bucket::fresh(now);
            if let Some((remaining, resets_in)) = told {
                bucket.tighten(remaining, now + Duration::from_millis(resets_in), now);
            }
            for ask in asks {
                now += Duration::from_millis(ask);
                bucket.take(rate, now);
            }

            let budget = bucket.look(rate, DateTime::UNIX_EPOCH, now);

            let mut slots: Vec<_> = (0..=budget.left).map(|_| bucket.take(rate, now)).collect();
            let one_more = slots.pop().unwrap();
            prop_assert!(slots.iter().all(|slot| *slot == now), "{slots:?}");
            prop_assert!(one_more > now, "there were more than {}", budget.left);
            let next = slots.first().copied().unwrap_or(one_more);
            prop_assert_eq!(budget.next_at, next);
        }
    }

    #[test]
    fn what_is_not_wanted_now_gets_nothing_now() {
        let now = DateTime::UNIX_EPOCH;
        let rate = Rate::per_window(NonZeroU32::new(100).unwrap(), Duration::from_secs(900));
        let later = now + Duration::from_secs(5);

        let budget = Bucket::fresh(now).look(rate, later, now);

        assert_eq!(budget, Budget { left: 0, next_at: later, told: None });
    }

    #[test]
    fn a_reading_is_told_until_it_resets() {
        let now = DateTime::UNIX_EPOCH;
        let rate = Rate::per_window(NonZeroU32::new(100).unwrap(), Duration::from_secs(900));
        let resets_at = now + Duration::from_secs(60);
        let mut bucket = Bucket::fresh(now);
        bucket.tighten(3, resets_at, now);

        let told = Some(Told { left: 3, resets_at });
        assert_eq!(bucket.look(rate, now, now), Budget { left: 3, next_at: now, told });
        assert_eq!(bucket.look(rate, now, resets_at).told, None);
        assert_eq!(bucket.look(rate, now, resets_at).left, 100);
    }

    #[test]
    fn a_rate_is_told_as_people_say_it() {
        let number = |n| NonZeroU32::new(n).unwrap();
        let quarter = Duration::from_secs(900);

        assert_eq!(Rate::per_minute(number(50)).spoken(), (50, Duration::from_secs(60)));
        assert_eq!(Rate::per_minute(number(7)).spoken(), (7, Duration::from_secs(60)));
        assert_eq!(Rate::per_window(number(100), quarter).spoken(), (100, quarter));
        assert_eq!(Rate::per_window(number(1), quarter).spoken(), (1, quarter));
    }

    #[test]
    fn what_waited_for_a_reset_is_paced_afterwards() {
        let now = DateTime::UNIX_EPOCH;
        let rate = Rate::per_window(NonZeroU32::new(100).unwrap(), Duration::from_secs(900));
        let mut bucket = Bucket::fresh(now);
        bucket.tighten(1, now + Duration::from_secs(60), now);

        let slots = [0; 4].map(|_| (bucket.take(rate, now) - now).num_seconds());

        assert_eq!(slots, [0, 60, 69, 78]);
    }
}
