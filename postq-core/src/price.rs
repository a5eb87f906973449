//! What calls to platforms come to that bill by the call.
//!
//! Money is counted in millionths of the currency, and never rounded: a call costs so many, and sums are
//! sums of these. A month is one of UTC, named by its first day.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::platform::PlatformName;

/// A kind of call that a platform may bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// A part of a post comes out.
    Publish,
    /// A part with a link comes out: some platforms bill it otherwise.
    PublishLink,
    /// The counts of one publication are read.
    Read,
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Publish, Self::PublishLink, Self::Read];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::PublishLink => "publish_link",
            Self::Read => "read",
        }
    }
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Calls that were made, and what they cost at the price of that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The first day of the month.
    pub month: NaiveDate,
    /// To which platform.
    pub platform: PlatformName,
    /// Which kind.
    pub kind: CallKind,
    /// How many.
    pub calls: u64,
    /// What they cost, in millionths of the currency.
    pub micros: u64,
}

/// The month of a moment.
pub fn month(at: DateTime<Utc>) -> NaiveDate {
    at.date_naive().with_day(1).expect("every month has a first day")
}

/// The month after one; none after the last that a calendar has.
pub fn next_month(month: NaiveDate) -> Option<NaiveDate> {
    month.checked_add_months(chrono::Months::new(1))
}

/// Adds up what is of one month, platform and kind; in that order.
pub fn add_up<'a>(all: impl IntoIterator<Item = &'a Spent>) -> Vec<Spent> {
    let mut sums: BTreeMap<(NaiveDate, &PlatformName, CallKind), (u64, u64)> = BTreeMap::new();
    for spent in all {
        let sum = sums.entry((spent.month, &spent.platform, spent.kind)).or_default();
        sum.0 = sum.0.saturating_add(spent.calls);
        sum.1 = sum.1.saturating_add(spent.micros);
    }
    let spent = |((month, platform, kind), (calls, micros)): (_, _)| {
        let platform = PlatformName::clone(platform);
        Spent { month, platform, kind, calls, micros }
    };
    sums.into_iter().map(spent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(platform: &str, kind: CallKind, calls: u64, micros: u64) -> Spent {
        let month = month("2026-12-31T23:59:59Z".parse().expect("a time"));
        Spent { month, platform: platform.parse().expect("a name"), kind, calls, micros }
    }

    #[test]
    fn a_month_is_one_of_utc() {
        let december = spent("x", CallKind::Read, 1, 1).month;

        assert_eq!(december.to_string(), "2026-12-01");
        assert_eq!(next_month(december).map(|month| month.to_string()), Some("2027-01-01".into()));
        assert_eq!(next_month(NaiveDate::MAX), None);
    }

    #[test]
    fn what_is_alike_adds_up() {
        let all = [
            spent("x", CallKind::Read, 3, 30),
            spent("x", CallKind::Publish, 1, u64::MAX),
            spent("a", CallKind::Read, 1, 7),
            spent("x", CallKind::Read, 2, 20),
            spent("x", CallKind::Publish, 1, 1),
        ];

        assert_eq!(
            add_up(&all),
            [
                spent("a", CallKind::Read, 1, 7),
                spent("x", CallKind::Publish, 2, u64::MAX),
                spent("x", CallKind::Read, 5, 50),
            ]
        );
    }
}
