//! How many requests one caller may make.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Callers that are remembered; those that have been quiet are forgotten first.
const MOST: usize = 10_000;

/// Buckets by caller: each holds `burst` requests and fills up at a steady rate.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The time that one request costs.
    cost: Duration,
    /// The time that a full bucket is worth.
    burst: Duration,
    /// When each caller's bucket is full again.
    full_at: Mutex<HashMap<String, Instant>>,
}

impl Limits {
    /// So many at once, and then one in each such time.
    pub(crate) fn new(cost: Duration, burst: NonZeroU32) -> Self {
        Self { cost, burst: cost * burst.get(), full_at: Mutex::default() }
    }

    /// Takes one request, or tells how long to wait for it.
    pub(crate) fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(caller) {
            all.retain(|_, full_at| *full_at > now);
            if all.len() >= MOST {
                // Only many callers at once come here, each of whom may be held back for a moment.
                return Err(Duration::from_secs(1));
            }
        }
        let full_at = all.get(caller).copied().unwrap_or(now).max(now) + self.cost;
        let over = full_at.saturating_duration_since(now).saturating_sub(self.burst);
        if over.is_zero() {
            all.insert(caller.to_owned(), full_at);
            return Ok(());
        }
        Err(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_a_steady_rate() {
        let limits = Limits::new(Duration::from_millis(100), 3.try_into().unwrap());
        let start = Instant::now();

        let at_once: Vec<bool> = (0..5).map(|_| limits.take("a", start).is_ok()).collect();

        assert_eq!(at_once, [true, true, true, false, false]);
        assert!(limits.take("b", start).is_ok(), "another caller");
        assert_eq!(limits.take("a", start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_millis(100);
        assert!(limits.take("a", later).is_ok() && limits.take("a", later).is_err());
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let limits = Limits::new(Duration::from_millis(100), 3.try_into().unwrap());
        let start = Instant::now();
        for n in 0..MOST {
            limits.take(&n.to_string(), start).unwrap();
        }

        assert!(limits.take("one more", start).is_err());
        assert!(limits.take("7", start).is_ok(), "who is known goes on");
        assert!(limits.take("one more", start + Duration::from_secs(1)).is_ok());
    }
}
