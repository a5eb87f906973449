//! The rate limiter: hands out slots, now or later.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::LimitError;

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
    use proptest::prelude::{prop_assert, proptest};

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
