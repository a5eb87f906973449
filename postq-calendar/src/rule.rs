//! A rule, read and ready to be asked.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Months, Utc};

use postq_core::error::{ErrorKind, ScheduleError};
use postq_core::schedule::Timing;

use crate::cron::Cron;
use crate::even::Even;
use crate::recurrence::Recurrence;
use crate::zone::Zone;
use crate::{duration, zone};

/// Occurrences compared to find the smallest distance.
const MOST_COMPARED: usize = 500;

/// The most occurrences of a cron expression that are counted, to find the last. Takes some tens of
/// milliseconds.
const MOST_COUNTED: u32 = 100_000;

/// A rule without an occurrence for so long never runs.
const FAR: Months = Months::new(40 * 12);

/// A rule that was read once and can be asked many times.
#[derive(Clone, Debug)]
pub struct Rule {
    timing: Timing,
    tz: Option<String>,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Even(Even),
    Cron { cron: Box<Cron>, from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>> },
    Recurrence(Box<Recurrence>),
}

impl Rule {
    /// Reads a rule. `tz` is the zone of a cron expression, and of a recurrence whose `DTSTART` names
    /// none.
    pub fn new(timing: &Timing, tz: Option<&str>) -> Result<Self, ScheduleError> {
        let way = match timing {
            Timing::OneShot { at, .. } => Way::Even(Even::once(*at)),
            Timing::Interval { every, anchor, count, until } => {
                Way::Even(Even::every(*every, *anchor, *count, *until)?)
            }
            Timing::Cron { expr, from, count, until } => {
                let in_rule = |error| within("cron", expr, &error);
                let tz = tz.ok_or_else(|| {
                    in_rule(invalid("has no time zone; add one (tz), as Europe/Berlin or UTC"))
                })?;
                let cron = Cron::parse(expr, Zone::find(tz)?).map_err(in_rule)?;
                let last = count.map(|count| nth(&cron, *from, count)).transpose();
                let last = last.map_err(in_rule)?.flatten();
                let until = last.into_iter().chain(*until).min();
                Way::Cron { cron: Box::new(cron), from: *from, until }
            }
            Timing::Rrule { expr } => {
                let recurrence = Recurrence::parse(expr, tz);
                let recurrence = recurrence.map_err(|error| within("rrule", expr, &error))?;
                Way::Recurrence(Box::new(recurrence))
            }
            Timing::Unset => return Err(invalid("has no time yet; give it one")),
            _ => {
                return Err(invalid(
                    "this version of the calendar does not know this kind of rule",
                ));
            }
        };
        Ok(Self { timing: timing.clone(), tz: tz.map(str::to_owned), way })
    }

    /// The first occurrence strictly later than `after`, or the first of all.
    pub fn next(&self, after: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        match &self.way {
            Way::Even(even) => even.nth(after.map_or(0, |after| even.place_after(after))),
            Way::Cron { cron, from, until } => {
                let before = from
                    .and_then(|from| from.checked_sub_signed(chrono::TimeDelta::microseconds(1)));
                let after = after.into_iter().chain(before).max();
                let next = cron.next(after.unwrap_or(DateTime::<Utc>::MIN_UTC));
                next.filter(|next| until.is_none_or(|until| *next <= until))
            }
            Way::Recurrence(recurrence) => recurrence.after(after).next(),
        }
    }

    /// All occurrences strictly later than `after`, in order.
    pub fn after(
        &self,
        after: Option<DateTime<Utc>>,
    ) -> Box<dyn Iterator<Item = DateTime<Utc>> + '_> {
        match &self.way {
            Way::Recurrence(recurrence) => Box::new(recurrence.after(after)),
            Way::Even(_) | Way::Cron { .. } => {
                Box::new(std::iter::successors(self.next(after), |at| self.next(Some(*at))))
            }
        }
    }

    /// The first occurrence later than `now` of a rule that is new. An error if there is none for forty
    /// years.
    pub fn begin(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, ScheduleError> {
        let far = now.checked_add_months(FAR).unwrap_or(DateTime::<Utc>::MAX_UTC);
        match self.next(Some(now)) {
            Some(first) if first <= far => Ok(first),
            Some(first) => Err(invalid(&format!(
                "never runs in the next 40 years; its first occurrence is at {}",
                zone::show(first, self.zone())
            ))),
            None if self.next(None).is_some() => Err(invalid(&format!(
                "is over: its last occurrence was before {}",
                zone::show(now, self.zone())
            ))),
            None => Err(invalid("never runs: no date matches it")),
        }
    }

    /// The smallest distance between the first occurrences after `from`; none where there are fewer
    /// than two.
    pub fn closest(&self, from: DateTime<Utc>) -> Option<Duration> {
        let mut before = None;
        self.after(Some(from))
            .take(MOST_COMPARED)
            .filter_map(|at| (at - before.replace(at)?).to_std().ok())
            .min()
    }

    /// The zone it repeats in; none if it knows no zone.
    pub fn zone(&self) -> Option<&str> {
        match &self.way {
            Way::Even(_) => self.tz.as_deref(),
            Way::Cron { cron, .. } => Some(cron.zone().name()),
            Way::Recurrence(recurrence) => Some(recurrence.zone().name()),
        }
    }

    /// What is allowed but hardly meant.
    pub fn notes(&self) -> &[String] {
        match &self.way {
            Way::Recurrence(recurrence) => recurrence.notes(),
            Way::Even(_) | Way::Cron { .. } => &[],
        }
    }

    /// What it says, in words.
    pub fn explain(&self) -> String {
        let show = |at: DateTime<Utc>| zone::show(at, self.zone());
        let (words, count, until) = match (&self.timing, &self.way) {
            (Timing::OneShot { at, .. }, _) => return format!("once, at {}", show(*at)),
            (Timing::Interval { every, anchor, count, until }, _) => {
                let every = duration::show(*every);
                (format!("every {every} from {}", show(*anchor)), *count, *until)
            }
            (Timing::Cron { from, count, until, .. }, Way::Cron { cron, .. }) => {
                let from = from.map(|from| format!("; from {}", show(from)));
                (format!("{}{}", cron.explain(), from.unwrap_or_default()), *count, *until)
            }
            (_, Way::Recurrence(recurrence)) => return recurrence.explain(),
            _ => return String::new(),
        };
        let count = count.map(times).unwrap_or_default();
        let until = until.map(|until| format!(", until {}", show(until))).unwrap_or_default();
        format!("{words}{count}{until}")
    }

    /// Its occurrences by arithmetic, where they are evenly spaced.
    pub(crate) fn even(&self) -> Option<Even> {
        match &self.way {
            Way::Even(even) => Some(*even),
            Way::Cron { .. } | Way::Recurrence(_) => None,
        }
    }
}

/// `, once`, `, 3 times`.
fn times(count: NonZeroU32) -> String {
    match count.get() {
        1 => ", once".to_owned(),
        count => format!(", {count} times"),
    }
}

/// The last one counted; none where there are fewer.
fn nth(
    cron: &Cron,
    from: Option<DateTime<Utc>>,
    count: NonZeroU32,
) -> Result<Option<DateTime<Utc>>, ScheduleError> {
    let Some(from) = from else {
        return Err(invalid("a count needs a start to count from; give one"));
    };
    if count.get() > MOST_COUNTED {
        return Err(invalid(&format!("a count is at most {MOST_COUNTED}; give an end instead")));
    }
    let first = from.checked_sub_signed(chrono::TimeDelta::microseconds(1));
    let first = cron.next(first.unwrap_or(DateTime::<Utc>::MIN_UTC));
    Ok(std::iter::successors(first, |at| cron.next(*at)).nth(count.get() as usize - 1))
}

/// Says which rule an error is about.
fn within(kind: &str, expr: &str, error: &ScheduleError) -> ScheduleError {
    let line = expr.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(60).collect();
    let more = if shown.len() < expr.len() { "…" } else { "" };
    ScheduleError::new(error.kind(), format!("{kind} \"{shown}{more}\": {error}"))
}

fn invalid(what: &str) -> ScheduleError {
    ScheduleError::new(ErrorKind::Invalid, what)
}
