//! The time in which a call that got no answer can have published something.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::platform::Lookup;
use serde::{Deserialize, Deserializer};

/// What two clocks may differ by without anybody knowing, and what Meta's whole seconds cut off.
const SKEW: TimeDelta = TimeDelta::seconds(10);
/// Below this a difference to Meta's `Date` is its whole seconds and the way of the answer.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(3);
/// With a clock that is more wrong than this nobody can tell.
const MOST_SKEW: TimeDelta = TimeDelta::minutes(15);

/// From the intent to the last moment at which its post can have come out, by Meta's clock; and around it what
/// would be in it if that clock were wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    earliest: DateTime<Utc>,
    latest: DateTime<Utc>,
}

/// Where a moment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// What follows in a list is older still.
    Before,
    Within,
    /// Outside, and yet not surely.
    Doubtful,
    After,
}

impl Window {
    /// The window of an intent whose call takes at most `send`, and shows within `settle`; or why there is
    /// none.
    pub(crate) fn of(
        lookup: &Lookup<'_>,
        (send, settle): (Duration, Duration),
        server_now: Option<DateTime<Utc>>,
    ) -> Result<Self, String> {
        let told = server_now.map(|theirs| theirs - lookup.now);
        let told = told.map(|by| if by.abs() < NOTICEABLE { TimeDelta::zero() } else { by });
        if let Some(by) = told.filter(|by| by.abs() > MOST_SKEW) {
            let seconds = by.num_seconds();
            return Err(format!(
                "Meta's clock is {seconds} s ahead of this host's: set the clock, or decide by hand"
            ));
        }
        // The clock that answers need not be the one that dates posts. Where none is told, this host's may be as
        // wrong as is bearable.
        let by = told.unwrap_or_default();
        let (least, most) = match told {
            Some(by) => (by.min(TimeDelta::zero()), by.max(TimeDelta::zero())),
            None => (-MOST_SKEW, MOST_SKEW),
        };
        let lasts = TimeDelta::from_std(send + settle).expect("both are at most an hour");
        let sent = lookup.intent.made_at;
        Ok(Self {
            from: sent + by - SKEW,
            until: sent + by + lasts + SKEW,
            earliest: sent + least - SKEW,
            latest: sent + most + lasts + SKEW,
        })
    }

    pub(crate) fn place(&self, at: DateTime<Utc>) -> Place {
        if (self.from..=self.until).contains(&at) {
            Place::Within
        } else if at < self.earliest {
            Place::Before
        } else if at > self.latest {
            Place::After
        } else {
            Place::Doubtful
        }
    }
}

/// A time as Meta writes it: `2026-11-22T03:00:00+0000`, or with a colon; none if it is something else.
pub(crate) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(serde_json::Value::deserialize(from)?.as_str().and_then(parse))
}

fn parse(text: &str) -> Option<DateTime<Utc>> {
    let strict = DateTime::parse_from_rfc3339(text).ok();
    let at = strict.or_else(|| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z").ok());
    at.map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_colon() {
        let at = parse("2026-11-22T03:00:00+0000").expect("a time");

        assert_eq!(parse("2026-11-22T03:00:00+00:00"), Some(at));
        assert_eq!(parse("2026-11-22T03:00:00Z"), Some(at));
        assert_eq!(parse("2026-11-22T04:00:00+0100"), Some(at));
        for bad in ["", "yesterday", "2026-11-22", "1700000000"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
