//! Evenly spaced occurrences, reached by arithmetic and never by walking.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};

use postq_core::error::{ErrorKind, ScheduleError};

/// 9999-12-31T23:59:59Z in microseconds: later years have no RFC 3339 form.
const LAST: i128 = 253_402_300_799_000_000;

/// The occurrences of a rule, numbered from 0, in microseconds of the epoch.
///
/// Computed in 128 bits: no distance and no anchor can overflow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Even {
    first: i128,
    step: i128,
    len: u64,
}

impl Even {
    /// The one instant.
    pub(crate) fn once(at: DateTime<Utc>) -> Self {
        Self { first: micros(at), step: 1, len: 1 }
    }

    /// From `anchor` on, at most `count` and not after `until`.
    pub(crate) fn every(
        every: Duration,
        anchor: DateTime<Utc>,
        count: Option<NonZeroU32>,
        until: Option<DateTime<Utc>>,
    ) -> Result<Self, ScheduleError> {
        let last = until.map_or(LAST, |until| micros(until).min(LAST));
        let mut even = Self { first: micros(anchor), step: step(every)?, len: u64::MAX };
        even.len = even.place_from(last + 1);
        if let Some(count) = count {
            even.len = even.len.min(u64::from(count.get()));
        }
        Ok(even)
    }

    /// The occurrence with this number; none after the last.
    pub(crate) fn nth(&self, place: u64) -> Option<DateTime<Utc>> {
        if place >= self.len {
            return None;
        }
        let at = self.first + i128::from(place) * self.step;
        i64::try_from(at).ok().and_then(DateTime::from_timestamp_micros)
    }

    /// The number of the first occurrence later than this instant, or how many there are.
    pub(crate) fn place_after(&self, after: DateTime<Utc>) -> u64 {
        self.place_from(micros(after) + 1)
    }

    /// The number of the first occurrence at or after this instant, or how many there are.
    pub(crate) fn place_at(&self, from: DateTime<Utc>) -> u64 {
        // An instant between two microseconds is after the first of them.
        let rest = i128::from(!from.timestamp_subsec_nanos().is_multiple_of(1_000));
        self.place_from(micros(from) + rest)
    }

    /// How many occurrences are late at `now` by more than `grace`.
    pub(crate) fn late(&self, now: DateTime<Utc>, grace: Duration) -> u64 {
        let grace = i128::try_from(grace.as_micros()).unwrap_or(LAST * 2);
        self.place_from(micros(now) - grace)
    }

    fn place_from(&self, from: i128) -> u64 {
        let steps = (from - self.first + self.step - 1).div_euclid(self.step).max(0);
        u64::try_from(steps).unwrap_or(u64::MAX).min(self.len)
    }
}

fn step(every: Duration) -> Result<i128, ScheduleError> {
    let refuse = |expected: &str| {
        Err(ScheduleError::new(
            ErrorKind::Invalid,
            format!("the distance of an interval is {every:?}, expected {expected}"),
        ))
    };
    if every < Duration::from_secs(1) {
        return refuse("at least 1s");
    }
    if !every.subsec_nanos().is_multiple_of(1_000) {
        return refuse("whole microseconds");
    }
    i128::try_from(every.as_micros()).or_else(|_| refuse("less"))
}

fn micros(at: DateTime<Utc>) -> i128 {
    i128::from(at.timestamp_micros())
}
