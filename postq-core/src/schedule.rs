//! Schedules: when a post goes out and to which accounts; and the trait that resolves them.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::ScheduleError;
use crate::id::{AccountId, PostId, ScheduleId, TenantId};
use crate::job::CorrelationId;

/// The rule of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Timing {
    /// Once, at an instant.
    OneShot {
        /// The instant.
        at: DateTime<Utc>,
        /// The local time it was written as, where it was: `2026-03-08T02:30`, in `tz`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        local: Option<String>,
    },
    /// At `anchor`, `anchor + every`, and so on. Knows no zone and no clock change.
    Interval {
        /// The distance; at least a second.
        every: Duration,
        /// The first occurrence.
        anchor: DateTime<Utc>,
        /// How many occurrences in all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<NonZeroU32>,
        /// No occurrence after this instant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
    /// A cron expression, in the schedule's zone.
    Cron {
        /// As it was written: `0 9 * * 1-5`.
        expr: String,
        /// No occurrence before this instant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<DateTime<Utc>>,
        /// How many occurrences in all, counted from `from`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<NonZeroU32>,
        /// No occurrence after this instant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
    /// A recurrence rule of RFC 5545.
    Rrule {
        /// Its content lines as they were written, `DTSTART` among them. Its zone is that of
        /// `DTSTART`, or else the schedule's.
        expr: String,
    },
    /// No time yet: the schedule of a draft, which keeps its accounts and is switched off.
    Unset,
}

impl Timing {
    /// Whether it ends by itself.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::OneShot { .. } | Self::Unset => true,
            Self::Interval { count, until, .. } | Self::Cron { count, until, .. } => {
                count.is_some() || until.is_some()
            }
            // Without a rule there are only the dates that are listed.
            Self::Rrule { expr } => {
                let expr = expr.to_ascii_uppercase();
                ["COUNT=", "UNTIL="].iter().any(|end| expr.contains(end)) || !expr.contains("FREQ=")
            }
        }
    }
}

/// What happens to an occurrence that is later than the schedule's grace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum Misfire {
    /// The latest missed one goes out, the others are recorded as missed.
    #[default]
    FireOnce,
    /// All of them go out, the latest `most`; older ones are recorded as missed.
    FireAll {
        /// How many.
        most: NonZeroU32,
    },
    /// None of them goes out; they are recorded as missed.
    Skip,
}

/// When a post goes out and to which accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The post that goes out.
    pub post_id: PostId,
    /// To these accounts: one publish job each per occurrence.
    pub accounts: Vec<AccountId>,
    /// When.
    pub timing: Timing,
    /// The IANA zone it was written in; never the host's.
    pub tz: Option<String>,
    /// The version of the zone database that resolved it.
    pub tzdb: Option<String>,
    /// Higher goes first.
    pub priority: i16,
    /// What happens to what is later than `grace`.
    pub misfire: Misfire,
    /// Late by at most this is not missed. Defaults to 5 minutes.
    pub grace: Duration,
    /// Whether it fires.
    pub enabled: bool,
    /// Why postq itself switched it off.
    pub problem: Option<String>,
    /// Its next occurrence; none when it has ended.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The last occurrence that was planned.
    pub last_run_at: Option<DateTime<Utc>>,
    /// Rises by one with every edit; starts at 1.
    pub revision: u32,
    /// What asked for it: its jobs carry this. Without one each job has its own.
    pub correlation_id: Option<CorrelationId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Schedule {
    /// The default of [`grace`](Self::grace).
    pub const GRACE: Duration = Duration::from_secs(300);

    /// A new, enabled schedule of the default tenant; `next_run_at` is for the resolver to fill in.
    pub fn new(post: PostId, accounts: Vec<AccountId>, timing: Timing, now: DateTime<Utc>) -> Self {
        Self {
            id: ScheduleId::new(),
            tenant_id: TenantId::DEFAULT,
            post_id: post,
            accounts,
            timing,
            tz: None,
            tzdb: None,
            priority: 0,
            misfire: Misfire::default(),
            grace: Self::GRACE,
            enabled: true,
            problem: None,
            next_run_at: None,
            last_run_at: None,
            revision: 1,
            correlation_id: None,
            created_at: now,
        }
    }

    /// Whether something planned for `planned_at` is missed at `now`.
    pub fn is_missed(&self, planned_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        now > planned_at + self.grace
    }
}

/// What a resolver is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// The time now, by the store's clock.
    pub now: DateTime<Utc>,
    /// Occurrences up to this instant, inclusive.
    pub until: DateTime<Utc>,
    /// At most so many to fire.
    pub limit: usize,
}

/// What becomes of an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Fire,
    /// The misfire policy skips it; recorded as a cancelled job with the reason `missed`.
    Missed {
        /// Older ones that are skipped with it and recorded in its reason alone.
        and_older: u64,
    },
}

impl Verdict {
    /// Why an occurrence that does not fire is cancelled; none for one that does.
    pub fn missed(self) -> Option<String> {
        match self {
            Self::Fire => None,
            Self::Missed { and_older: 0 } => Some("missed".to_owned()),
            Self::Missed { and_older } => Some(format!("missed, with {and_older} older ones")),
        }
    }
}

/// One occurrence and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// When it is meant to happen.
    pub planned_at: DateTime<Utc>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What a resolver answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The occurrences from the schedule's `next_run_at` to the end of the request, in order.
    pub occurrences: Vec<Occurrence>,
    /// The occurrence after those; none when the schedule has ended.
    pub next_run_at: Option<DateTime<Utc>>,
}

/// Resolves schedules to occurrences.
///
/// # Contract
///
/// 1. Pure: no clock, no I/O, no host zone, no environment.  (`resolving_is_pure`)
/// 2. `next` is strictly later than `after`.  (`next_is_strictly_later`)
/// 3. The occurrences of `resolve` are those that `next` walks through, from `next_run_at` on.
///    (`resolve_and_next_agree`)
/// 4. Bounded: whatever the rule, a call ends within milliseconds; it is called inside a
///    transaction.
/// 5. What is later than the grace follows the schedule's misfire policy.  (`late_ones_follow_the_policy`)
/// 6. It may refuse cron expressions and recurrences; those that it takes follow the same rules.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// The first occurrence strictly later than `after`, or the first of all.
    fn next(
        &self,
        schedule: &Schedule,
        after: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, ScheduleError>;

    /// The occurrences from `schedule.next_run_at` up to the end of the request, the misfire policy
    /// applied. When the request's limit is reached, `next_run_at` is where to go on.
    fn resolve(
        &self,
        schedule: &Schedule,
        request: ResolveRequest,
    ) -> Result<Resolved, ScheduleError>;
}
