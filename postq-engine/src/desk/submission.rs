//! What is handed in.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};

use postq_calendar::At;
use postq_core::content::Content;
use postq_core::fit::Fitting;
use postq_core::id::{PostId, ScheduleId};
use postq_core::schedule::Misfire;

/// A post with its time and its accounts, as a person hands it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// A stable key of its own: what is handed in again under it is the same post.
    pub key: Option<String>,
    /// What it says.
    pub content: Content,
    /// What is done where its text is too long for a platform; nothing if none: then it is refused.
    pub fitting: Option<Fitting>,
    /// To these accounts, by name or id. `dry_run:NAME` needs no account to be there.
    pub accounts: Vec<String>,
    /// When.
    pub when: When,
    /// The zone it was written in.
    pub tz: Option<String>,
    /// Higher goes first.
    pub priority: i16,
    /// What happens when it is late.
    pub misfire: Misfire,
}

impl Submission {
    /// A post for these accounts, with the defaults for the rest.
    pub fn new<A: Into<String>>(
        content: Content,
        accounts: impl IntoIterator<Item = A>,
        when: When,
    ) -> Self {
        Self {
            key: None,
            content,
            fitting: None,
            accounts: accounts.into_iter().map(Into::into).collect(),
            when,
            tz: None,
            priority: 0,
            misfire: Misfire::default(),
        }
    }
}

/// When a post goes out, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Now.
    Now,
    /// Once, in the next free slot of its account. For [`Desk::submit_as`](super::Desk::submit_as) and
    /// [`Desk::schedule_as`](super::Desk::schedule_as).
    NextSlot,
    /// Once, in the next hour of the submission's zone in which its account's posts do surely better than
    /// usual. As [`When::NextSlot`].
    Best,
    /// Once.
    At(At),
    /// Again and again.
    Every {
        /// The distance.
        every: Duration,
        /// The first one; now if none.
        from: Option<At>,
        /// How many in all.
        count: Option<NonZeroU32>,
        /// None after this.
        until: Option<At>,
    },
    /// When a cron expression says so, in the submission's zone.
    Cron {
        /// The expression.
        expr: String,
        /// None before this.
        from: Option<At>,
        /// How many in all, from `from` or from now.
        count: Option<NonZeroU32>,
        /// None after this.
        until: Option<At>,
    },
    /// When a recurrence of RFC 5545 says so: in the zone of its `DTSTART`, or else in the submission's.
    Rrule {
        /// Its content lines.
        expr: String,
    },
}

impl When {
    /// The field of a content calendar that it is written in.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Now | Self::NextSlot | Self::Best | Self::At(_) => "at",
            Self::Every { .. } => "every",
            Self::Cron { .. } => "cron",
            Self::Rrule { .. } => "rrule",
        }
    }
}

/// What is to change of a schedule; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// Another time.
    pub when: Option<When>,
    /// The zone it is written in.
    pub tz: Option<String>,
    /// Higher goes first.
    pub priority: Option<i16>,
}

/// A post that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The post.
    pub post: PostId,
    /// Its schedule.
    pub schedule: ScheduleId,
    /// The key it was handed in under.
    pub key: Option<String>,
    /// Its first occurrence.
    pub first: DateTime<Utc>,
}
