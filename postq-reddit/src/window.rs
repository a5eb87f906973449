//! The time in which a call that got no answer can have made a post.

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::platform::Lookup;

/// What two clocks may differ by without anybody knowing, and what whole seconds cut off.
const SKEW: TimeDelta = TimeDelta::seconds(5);
/// Below this a difference to Reddit's `Date` is its whole seconds and the way of the answer.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(3);
/// A post that is as ours and so much later is one that Reddit worked on for long, or another one.
const LATE: TimeDelta = TimeDelta::hours(1);
/// Clocks that are further apart tell nothing.
const MOST_SKEW: TimeDelta = TimeDelta::minutes(15);

/// From the intent to the last moment at which its post can have come out, by Reddit's clock; and around it what
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
    Before,
    Within,
    /// Outside, and yet not surely.
    Doubtful,
    After,
}

impl Window {
    /// The window of an intent whose post comes out within `lasts`, as the time at Reddit is `server_now`; or why
    /// there is none.
    pub(crate) fn of(
        lookup: &Lookup<'_>,
        lasts: TimeDelta,
        server_now: Option<DateTime<Utc>>,
    ) -> Result<Self, String> {
        let told = server_now.map(|theirs| theirs - lookup.now);
        let told = told.map(|by| if by.abs() < NOTICEABLE { TimeDelta::zero() } else { by });
        if let Some(by) = told.filter(|by| by.abs() > MOST_SKEW) {
            let seconds = by.num_seconds();
            return Err(format!(
                "reddit's clock is {seconds} s ahead of this host's: set the clock, or decide by hand"
            ));
        }
        // The clock that answers need not be the one that dates posts. Where none is told, this host's may be as
        // wrong as is bearable.
        let by = told.unwrap_or_default();
        let (least, most) = match told {
            Some(by) => (by.min(TimeDelta::zero()), by.max(TimeDelta::zero())),
            None => (-MOST_SKEW, MOST_SKEW),
        };
        let sent = lookup.intent.made_at;
        Ok(Self {
            from: sent + by - SKEW,
            until: sent + by + lasts + SKEW,
            earliest: sent + least - SKEW,
            latest: sent + most + lasts + SKEW + LATE,
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
