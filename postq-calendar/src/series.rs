//! Occurrences by number: what misfire policies choose from.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::even::Even;
use crate::rule::Rule;

/// Occurrences of a rule, numbered in order.
#[derive(Clone, Debug)]
pub(crate) enum Series {
    /// All of them, by arithmetic.
    Even(Even),
    /// Those from somewhere on, walked once; the first has the number 0.
    Walked {
        /// One after another, the last of them only as where to go on.
        walked: Vec<DateTime<Utc>>,
        /// How many of them may be chosen from.
        len: usize,
    },
}

impl Series {
    /// The most occurrences that are walked in one call.
    pub(crate) const WALKED: usize = 10_000;

    /// The occurrences of this rule from `from` to `until`, both inclusive, and the one after.
    pub(crate) fn of(rule: &Rule, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        if let Some(even) = rule.even() {
            return Self::Even(even);
        }
        let before = from.checked_sub_signed(chrono::TimeDelta::microseconds(1));
        let mut walked = Vec::new();
        for at in rule.after(before).take(Self::WALKED + 1) {
            walked.push(at);
            if at > until {
                break;
            }
        }
        let len = walked.partition_point(|at| *at <= until).min(Self::WALKED);
        Self::Walked { walked, len }
    }

    /// The occurrence with this number; none after the last.
    pub(crate) fn nth(&self, place: u64) -> Option<DateTime<Utc>> {
        match self {
            Self::Even(even) => even.nth(place),
            Self::Walked { walked, .. } => walked.get(usize::try_from(place).ok()?).copied(),
        }
    }

    /// The number of the first occurrence at or after `from`.
    pub(crate) fn start(&self, from: DateTime<Utc>) -> u64 {
        match self {
            Self::Even(even) => even.place_at(from),
            Self::Walked { .. } => 0,
        }
    }

    /// The number of the first occurrence that is not chosen from: it is later than `until`.
    pub(crate) fn end(&self, until: DateTime<Utc>) -> u64 {
        match self {
            Self::Even(even) => even.place_after(until),
            Self::Walked { len, .. } => *len as u64,
        }
    }

    /// How many occurrences are late at `now` by more than `grace`.
    pub(crate) fn late(&self, now: DateTime<Utc>, grace: Duration) -> u64 {
        match self {
            Self::Even(even) => even.late(now, grace),
            Self::Walked { walked, .. } => {
                let late = |at: &DateTime<Utc>| is_late(*at, now, grace);
                walked.partition_point(late) as u64
            }
        }
    }

    /// The most that can be made up for: of what is walked, half, so that each call gets on.
    pub(crate) fn most_made_up(&self) -> u64 {
        match self {
            Self::Even(_) => u64::MAX,
            Self::Walked { .. } => Self::WALKED as u64 / 2,
        }
    }

    /// Whether more of them are late than are walked at once: which are the latest is not known yet.
    pub(crate) fn hides_late(
        &self,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
        grace: Duration,
    ) -> bool {
        match self {
            Self::Even(_) => false,
            Self::Walked { walked, len } => {
                let next = walked.get(*len);
                next.is_some_and(|next| *next <= until && is_late(*next, now, grace))
            }
        }
    }
}

fn is_late(at: DateTime<Utc>, now: DateTime<Utc>, grace: Duration) -> bool {
    (now - at).to_std().is_ok_and(|late| late > grace)
}
