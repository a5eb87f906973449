//! What a time means: the rule, its zone and its first occurrence.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use postq_calendar::{At, Rule, duration, zone};
use postq_core::account::Account;
use postq_core::error::{ScheduleError, chain};
use postq_core::schedule::{Schedule, Timing};

use crate::dry_run::DryRun;

use super::{Desk, Problem, When};

/// What a time means now.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub(crate) timing: Timing,
    /// The zone it is in: the one that was given, or the one that the rule names itself.
    pub(crate) tz: Option<String>,
    /// The first occurrence that is not past.
    pub(crate) first: DateTime<Utc>,
}

impl Desk {
    /// What `when` means now, in a zone.
    pub(super) fn meant(
        &self,
        when: &When,
        tz: Option<&str>,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> Result<Meant, Problem> {
        let field = when.field();
        let refuse = |error: ScheduleError| Problem::new(field, chain(&error));
        let timing = timing(when, now)?;
        let tz = zone_of(&timing, tz)?;
        let rule = Rule::new(&timing, tz.as_deref()).map_err(refuse)?;
        let first = match timing {
            Timing::Cron { .. } | Timing::Rrule { .. } => rule.begin(now).map_err(refuse)?,
            _ => self
                .first(&timing, tz.as_deref(), now)
                .map_err(refuse)?
                .ok_or_else(|| over(&timing, tz.as_deref(), now))?,
        };
        self.seldom_enough(&rule, field, accounts, now)?;
        Ok(Meant { timing, tz, first })
    }

    /// The first occurrence of a rule that is not past.
    pub(super) fn first(
        &self,
        timing: &Timing,
        tz: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, ScheduleError> {
        let post = postq_core::id::PostId::new();
        let mut nobody = Schedule::new(post, Vec::new(), timing.clone(), now);
        nobody.tz = tz.map(str::to_owned);
        self.resolver.next(&nobody, Some(just_before(now)))
    }

    /// Refuses what comes too often, whatever kind of rule it is. Where nothing is sent, anything goes.
    fn seldom_enough(
        &self,
        rule: &Rule,
        field: &'static str,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let least = self.settings.min_interval;
        let sends = accounts.iter().any(|account| account.platform.as_str() != DryRun::NAME);
        if !sends || least == Duration::ZERO {
            return Ok(());
        }
        match rule.closest(just_before(now)) {
            Some(closest) if closest < least => Err(Problem::new(
                field,
                format!(
                    "{} is too often, expected at least {} (POSTQ_MIN_INTERVAL)",
                    duration::show(closest),
                    duration::show(least)
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn just_before(now: DateTime<Utc>) -> DateTime<Utc> {
    now - TimeDelta::microseconds(1)
}

/// The rule that a time means now.
fn timing(when: &When, now: DateTime<Utc>) -> Result<Timing, Problem> {
    let instant =
        |field, at: &At| at.instant(now).map_err(|error| Problem::new(field, error.to_string()));
    let start = |from: &Option<At>| from.as_ref().map(|at| instant("at", at)).transpose();
    let end = |until: &Option<At>| until.as_ref().map(|at| instant("until", at)).transpose();
    Ok(match when {
        When::Now => Timing::OneShot { at: now, local: None },
        When::NextSlot | When::Best => {
            let message = "a slot is for one new post at a time; name a time here";
            return Err(Problem::new("at", message));
        }
        When::At(at) => Timing::OneShot { at: instant("at", at)?, local: at.local() },
        When::Every { every, from, count, until } => Timing::Interval {
            every: *every,
            anchor: start(from)?.unwrap_or(now),
            count: *count,
            until: end(until)?,
        },
        When::Cron { expr, from, count, until } => Timing::Cron {
            expr: expr.trim().to_owned(),
            // What is counted is counted from somewhere.
            from: start(from)?.or(count.map(|_| now)),
            count: *count,
            until: end(until)?,
        },
        When::Rrule { expr } => Timing::Rrule { expr: expr.trim().to_owned() },
    })
}

/// The zone of a rule that names one itself, or else the given one; an error if they differ.
fn zone_of(timing: &Timing, given: Option<&str>) -> Result<Option<String>, Problem> {
    let given = given.map(str::to_owned);
    match (own_zone(timing), given) {
        (Some(own), Some(given)) if own != given => Err(Problem::new(
            "tz",
            format!("is {given}, but DTSTART is in {own}; leave one of them out"),
        )),
        (own, given) => Ok(own.or(given)),
    }
}

/// The zone that a recurrence names itself.
pub(super) fn own_zone(timing: &Timing) -> Option<String> {
    if !matches!(timing, Timing::Rrule { .. }) {
        return None;
    }
    // What cannot be read without a zone names none; what cannot be read at all is told elsewhere.
    Rule::new(timing, None).ok()?.zone().map(str::to_owned)
}

/// Why a rule has no occurrence that is not past.
fn over(timing: &Timing, tz: Option<&str>, now: DateTime<Utc>) -> Problem {
    let now = zone::show(now, tz);
    match timing {
        Timing::OneShot { at, .. } => Problem::new(
            "at",
            format!("{} is past: it is {now} now; give a later time", zone::show(*at, tz)),
        ),
        _ => Problem::new(
            "every",
            format!("has no occurrence left: it is {now} now; give a later end (until, count)"),
        ),
    }
}
