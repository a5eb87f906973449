//! The rules of [`PollingCadence`].

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};

use crate::cadence::PollingCadence;

/// Writes one test per rule of [`PollingCadence`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! cadence_conformance {
    ($fresh:expr) => {
        mod cadence_rules {
            $crate::conformance_rules! { $fresh, cadence { polls_rise, polling_ends } }
        }
    };
}

/// More polls than this of one publication are no cadence.
const MOST_POLLS: usize = 10_000;

/// The next poll is later than `after`, and the same again.
pub async fn polls_rise(cadence: Arc<dyn PollingCadence>) {
    let published = DateTime::UNIX_EPOCH;
    for minutes in -60..60 * 24 * 10 {
        let after = published + TimeDelta::minutes(minutes);
        let poll = cadence.next(published, after);
        assert!(poll.is_none_or(|poll| poll > after), "{poll:?} after {after}");
        assert_eq!(poll, cadence.next(published, after), "the same again");
    }
}

/// From some poll on the answer is `None`.
pub async fn polling_ends(cadence: Arc<dyn PollingCadence>) {
    let published = DateTime::UNIX_EPOCH;
    let mut after = published;
    for _ in 0..MOST_POLLS {
        match cadence.next(published, after) {
            Some(poll) => after = poll,
            None => {
                assert_eq!(cadence.next(published, after + TimeDelta::days(1)), None, "for good");
                return;
            }
        }
    }
    panic!("still polling after {MOST_POLLS} polls, at {after}");
}
