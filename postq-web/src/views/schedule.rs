//! Schedules.

use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use postq_calendar::{At, duration};
use postq_core::schedule::{Misfire, Schedule, Timing};
use postq_engine::desk::When;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::views::post::PartView;

/// When a post goes out. Times are RFC 3339, or local with `tz`, or `+5m` from now.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ScheduleRule {
    /// Now.
    Now {},
    /// Once, in the next free slot of its account.
    NextSlot {},
    /// Once, in the next hour in which its account's posts do surely better than usual.
    Best {
        /// The IANA zone whose clocks the hours are read from.
        #[schema(example = "Europe/Berlin")]
        tz: String,
    },
    /// Once.
    OneShot {
        /// When.
        #[schema(example = "2026-12-24T17:00:00Z")]
        at: String,
        /// The IANA zone of local times.
        tz: Option<String>,
    },
    /// Again and again, at a fixed distance.
    Interval {
        /// The distance: `90m`, `1d`, `PT2H`.
        #[schema(example = "90m")]
        every: String,
        /// The first time; now if left out.
        anchor: Option<String>,
        /// How many in all.
        #[schema(value_type = Option<u32>, minimum = 1)]
        count: Option<NonZeroU32>,
        /// None after this.
        until: Option<String>,
        /// The IANA zone of local times.
        tz: Option<String>,
    },
    /// When a cron expression says so: five fields, six with leading seconds, seven with a year.
    Cron {
        #[schema(example = "0 9 * * 1-5")]
        expr: String,
        /// The IANA zone that it is meant in; a new schedule needs one.
        #[schema(example = "Europe/Berlin")]
        tz: Option<String>,
        /// None before this.
        from: Option<String>,
        /// How many in all, from `from` or from now.
        #[schema(value_type = Option<u32>, minimum = 1)]
        count: Option<NonZeroU32>,
        /// None after this.
        until: Option<String>,
    },
    /// When a recurrence of RFC 5545 says so.
    Rrule {
        /// Its content lines, `DTSTART` among them.
        #[schema(
            example = "DTSTART;TZID=Europe/Berlin:20260301T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO"
        )]
        expr: String,
        /// Its zone, where `DTSTART` names none.
        tz: Option<String>,
    },
}

/// A rule as the desk understands it, and the zone it was written in.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) when: When,
    pub(crate) tz: Option<String>,
}

impl ScheduleRule {
    pub(crate) fn read(&self) -> Result<Written, Problem> {
        match self {
            Self::Now {} => Ok(Written { when: When::Now, tz: None }),
            Self::NextSlot {} => Ok(Written { when: When::NextSlot, tz: None }),
            Self::Best { tz } => Ok(Written { when: When::Best, tz: Some(tz.clone()) }),
            Self::OneShot { at, tz } => {
                let when = When::At(time("schedule.at", at, tz.as_deref())?);
                Ok(Written { when, tz: tz.clone() })
            }
            Self::Interval { every, anchor, count, until, tz } => {
                let every = duration::parse(every)
                    .map_err(|error| Problem::invalid("schedule.every", error.to_string()))?;
                let from = some_time("schedule.anchor", anchor.as_deref(), tz.as_deref())?;
                let until = some_time("schedule.until", until.as_deref(), tz.as_deref())?;
                let when = When::Every { every, from, count: *count, until };
                Ok(Written { when, tz: tz.clone() })
            }
            Self::Cron { expr, tz, from, count, until } => {
                let from = some_time("schedule.from", from.as_deref(), tz.as_deref())?;
                let until = some_time("schedule.until", until.as_deref(), tz.as_deref())?;
                let when = When::Cron { expr: expr.clone(), from, count: *count, until };
                Ok(Written { when, tz: tz.clone() })
            }
            Self::Rrule { expr, tz } => {
                Ok(Written { when: When::Rrule { expr: expr.clone() }, tz: tz.clone() })
            }
        }
    }
}

fn time(field: &str, text: &str, tz: Option<&str>) -> Result<At, Problem> {
    At::parse(text, tz).map_err(|error| Problem::invalid(field, error.to_string()))
}

fn some_time(field: &str, text: Option<&str>, tz: Option<&str>) -> Result<Option<At>, Problem> {
    text.map(|text| time(field, text, tz)).transpose()
}

/// What happens to an occurrence that is too late.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum MisfireRule {
    /// The latest missed one goes out.
    FireOnce {},
    /// All of them go out, the latest `most`.
    FireAll {
        /// How many.
        #[schema(value_type = u32, minimum = 1)]
        most: NonZeroU32,
    },
    /// None of them goes out.
    Skip {},
}

impl From<MisfireRule> for Misfire {
    fn from(rule: MisfireRule) -> Self {
        match rule {
            MisfireRule::FireOnce {} => Self::FireOnce,
            MisfireRule::FireAll { most } => Self::FireAll { most },
            MisfireRule::Skip {} => Self::Skip,
        }
    }
}

impl From<Misfire> for MisfireRule {
    fn from(misfire: Misfire) -> Self {
        match misfire {
            Misfire::FireOnce => Self::FireOnce {},
            Misfire::FireAll { most } => Self::FireAll { most },
            Misfire::Skip => Self::Skip {},
        }
    }
}

/// The rule of a schedule.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schema(as = Rule)]
pub(crate) enum RuleView {
    /// Once.
    OneShot {
        at: DateTime<Utc>,
        /// The local time it was written as, where it was.
        local: Option<String>,
    },
    /// At `anchor`, `anchor + every`, and so on.
    Interval {
        #[schema(example = "90m")]
        every: String,
        anchor: DateTime<Utc>,
        #[schema(value_type = Option<u32>)]
        count: Option<NonZeroU32>,
        until: Option<DateTime<Utc>>,
    },
    /// A cron expression, in the schedule's zone.
    Cron {
        expr: String,
        from: Option<DateTime<Utc>>,
        #[schema(value_type = Option<u32>)]
        count: Option<NonZeroU32>,
        until: Option<DateTime<Utc>>,
    },
    /// A recurrence rule of RFC 5545.
    Rrule { expr: String },
    /// No time yet: what a draft has.
    Unset {},
    /// A rule that this version does not know.
    Unknown {},
}

impl From<Timing> for RuleView {
    fn from(timing: Timing) -> Self {
        match timing {
            Timing::OneShot { at, local } => Self::OneShot { at, local },
            Timing::Interval { every, anchor, count, until } => {
                Self::Interval { every: duration::show(every), anchor, count, until }
            }
            Timing::Cron { expr, from, count, until } => Self::Cron { expr, from, count, until },
            Timing::Rrule { expr } => Self::Rrule { expr },
            Timing::Unset => Self::Unset {},
            _ => Self::Unknown {},
        }
    }
}

/// When a post goes out, and to which accounts.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub(crate) struct ScheduleView {
    pub(crate) id: Uuid,
    post_id: Uuid,
    /// The ids of its accounts.
    accounts: Vec<Uuid>,
    schedule: RuleView,
    /// The IANA zone it was written in.
    tz: Option<String>,
    /// The version of the zone database that resolved it.
    tzdb: Option<String>,
    priority: i16,
    misfire: MisfireRule,
    /// Late by at most so many seconds is not missed.
    grace_seconds: u64,
    enabled: bool,
    /// Why postq itself switched it off.
    problem: Option<String>,
    next_run_at: Option<DateTime<Utc>>,
    last_run_at: Option<DateTime<Utc>>,
    /// Rises by one with every edit; also its `ETag`.
    pub(crate) revision: u32,
    /// What asked for it, as `X-Correlation-ID` told it: its jobs carry it too.
    correlation_id: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        Self {
            id: schedule.id.as_uuid(),
            post_id: schedule.post_id.as_uuid(),
            accounts: schedule.accounts.iter().map(|id| id.as_uuid()).collect(),
            schedule: schedule.timing.into(),
            tz: schedule.tz,
            tzdb: schedule.tzdb,
            priority: schedule.priority,
            misfire: schedule.misfire.into(),
            grace_seconds: schedule.grace.as_secs(),
            enabled: schedule.enabled,
            problem: schedule.problem,
            next_run_at: schedule.next_run_at,
            last_run_at: schedule.last_run_at,
            revision: schedule.revision,
            correlation_id: schedule.correlation_id.map(|id| id.to_string()),
            created_at: schedule.created_at,
        }
    }
}

/// A schedule for a post that is there.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSchedule {
    pub(crate) post_id: Uuid,
    /// To these accounts, by name or id.
    pub(crate) accounts: Vec<String>,
    pub(crate) schedule: ScheduleRule,
    /// Higher goes first.
    #[serde(default)]
    pub(crate) priority: i16,
    /// What happens when it is late; `fire_once` if left out.
    pub(crate) misfire: Option<MisfireRule>,
}

/// What is to change of a schedule; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleChange {
    /// Another rule.
    pub(crate) schedule: Option<ScheduleRule>,
    /// Another zone: what was written as a local time keeps it, in this zone.
    pub(crate) tz: Option<String>,
    /// Other accounts, by name or id.
    pub(crate) accounts: Option<Vec<String>>,
    /// Higher goes first.
    pub(crate) priority: Option<i16>,
    /// Switched on or off.
    pub(crate) enabled: Option<bool>,
}

/// The next times at which a schedule fires.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Occurrences {
    /// In order; empty while it is switched off, or over.
    pub(crate) items: Vec<DateTime<Utc>>,
    /// Those to come that are left out, in order.
    pub(crate) skipped: Vec<DateTime<Utc>>,
    /// What goes out instead of some of them, in order.
    pub(crate) edited: Vec<Edited>,
    /// It is paused, and goes on with this occurrence.
    pub(crate) paused_until: Option<DateTime<Utc>>,
}

/// An occurrence that another post takes the place of.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = EditedOccurrence)]
pub(crate) struct Edited {
    /// When it would be.
    pub(crate) at: DateTime<Utc>,
    /// The post that goes out instead.
    pub(crate) post: Uuid,
}

/// Which occurrence is left out.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skip {
    /// When it is: RFC 3339, or local in the schedule's zone.
    #[schema(example = "2026-12-24T17:00:00Z")]
    pub(crate) at: String,
}

/// An occurrence that was left out.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Skipped {
    pub(crate) at: DateTime<Utc>,
}

/// Until when a schedule leaves everything out.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchedulePause {
    /// It goes on with the first occurrence from then on: RFC 3339, or local in the schedule's zone.
    #[schema(example = "2027-01-07T00:00:00Z")]
    pub(crate) until: String,
}

/// What goes out instead of one occurrence.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OccurrenceChange {
    /// Which one: RFC 3339, or local in the schedule's zone.
    #[schema(example = "2026-12-24T17:00:00Z")]
    pub(crate) at: String,
    /// What it says instead, in one part; its media stay.
    pub(crate) text: Option<String>,
    /// What it says instead: other parts.
    pub(crate) parts: Option<Vec<PartView>>,
    /// When it goes out instead, written in the same way.
    pub(crate) to: Option<String>,
}

/// The post that goes out instead of one occurrence.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct StandIn {
    /// The occurrence that is left out.
    pub(crate) instead_of: DateTime<Utc>,
    pub(crate) post: Uuid,
    /// Its schedule.
    pub(crate) schedule: Uuid,
    /// When it goes out.
    pub(crate) first: DateTime<Utc>,
}
