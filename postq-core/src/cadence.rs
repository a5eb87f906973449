//! When the metrics of a publication are polled.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Says when the metrics of a publication are polled.
///
/// # Contract
///
/// 1. Pure, and strictly rising: the next poll is later than `after`.  (`polls_rise`)
/// 2. It ends: from some poll on the answer is `None`.  (`polling_ends`)
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait PollingCadence: fmt::Debug + Send + Sync + 'static {
    /// The first poll later than `after`, of something published at `published_at`.
    fn next(&self, published_at: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>>;
}

/// Polls at fixed offsets since publication. The default has three stages that follow one another:
/// fast at 15, 30, 60, 120 minutes, medium at 4, 8, 12 hours, slow at 1 to 7 days.
#[derive(Clone, Debug)]
pub struct StagedCadence {
    offsets: Vec<Duration>,
}

impl StagedCadence {
    /// Polls at these offsets, in any order.
    pub fn at(mut offsets: Vec<Duration>) -> Self {
        offsets.sort_unstable();
        Self { offsets }
    }
}

impl Default for StagedCadence {
    fn default() -> Self {
        let fast = [15, 30, 60, 120].map(|n| MINUTE * n);
        let medium = [4, 8, 12].map(|n| HOUR * n);
        let slow = [1, 2, 3, 4, 5, 6, 7].map(|n| DAY * n);
        Self::at([&fast[..], &medium[..], &slow[..]].concat())
    }
}

impl PollingCadence for StagedCadence {
    fn next(&self, published_at: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.offsets.iter().map(|offset| published_at + *offset).find(|poll| *poll > after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn polls() -> Vec<i64> {
        let (cadence, start) = (StagedCadence::default(), DateTime::UNIX_EPOCH);
        std::iter::successors(cadence.next(start, start), |poll| cadence.next(start, *poll))
            .map(|poll| (poll - start).num_minutes())
            .collect()
    }

    #[test]
    fn the_three_stages_follow_one_another() {
        let hours = |n: i64| n * 60;
        let days = |n: i64| n * 24 * 60;
        let expected = [15, 30, 60, 120, hours(4), hours(8), hours(12)]
            .into_iter()
            .chain((1..=7).map(days))
            .collect::<Vec<_>>();

        assert_eq!(polls(), expected);
    }

    proptest! {
        #[test]
        fn polls_rise_and_end(after in -100_000i64..2_000_000) {
            let (cadence, start) = (StagedCadence::default(), DateTime::UNIX_EPOCH);
            let after = start + chrono::TimeDelta::seconds(after);
            match cadence.next(start, after) {
                Some(poll) => prop_assert!(poll > after && poll <= start + DAY * 7),
                None => prop_assert!(after >= start + DAY * 7),
            }
        }
    }
}
