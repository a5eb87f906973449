//! Recurrence rules of RFC 5545: `DTSTART`, `RRULE`, `RDATE`, `EXDATE`.
//!
//! What repeats is what the clocks of `DTSTART`'s zone show. Its instants follow RFC 5545, 3.3.5: what
//! falls in a gap is read with the offset before it, which shifts it forward; what the clocks show twice
//! is the first pass. (3.3.10 also says that times which do not exist are left out; every common
//! calendar does the former, and so does this.) Cron differs in a gap: there 02:30 runs at 03:00, here at
//! 03:30. Both follow their own standard.

mod lines;
mod parts;
mod steps;
mod walls;
mod words;

use std::collections::BTreeSet;
use std::iter::Peekable;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use postq_core::error::{ErrorKind, ScheduleError};

use self::lines::{Date, Property};
use self::parts::{Freq, Parts};
use self::walls::Walls;
use crate::zone::{Mapped, Zone};

/// The most dates that `RDATE` and `EXDATE` may list.
const MOST_DATES: usize = 1_000;

/// The most occurrences of a rule that are counted one by one, to find the last. Takes some tens of
/// milliseconds, once.
const MOST_COUNTED: u32 = 100_000;

/// Longer than any zone sets its clocks forward at once: Samoa left out a day.
const LONGEST_GAP: TimeDelta = TimeDelta::hours(25);

/// A recurrence set.
#[derive(Clone, Debug)]
pub(crate) struct Recurrence {
    zone: Zone,
    start: NaiveDateTime,
    rule: Option<(Parts, Walls)>,
    /// The last wall-clock time: of `COUNT`, or of an `UNTIL` without a zone.
    last: Option<NaiveDateTime>,
    /// The last instant: of an `UNTIL` in UTC.
    until: Option<DateTime<Utc>>,
    added: BTreeSet<DateTime<Utc>>,
    excluded: BTreeSet<DateTime<Utc>>,
    /// Local days without an occurrence.
    excluded_days: BTreeSet<NaiveDate>,
    notes: Vec<String>,
}

impl Recurrence {
    /// Reads content lines. `tz` is the zone of a `DTSTART` that names none.
    pub(crate) fn parse(text: &str, tz: Option<&str>) -> Result<Self, ScheduleError> {
        let lines = lines::unfold(text)?;
        let read =
            |line: &lines::Line| line.property().map(|_| ()).map_err(|error| line.locate(&error));
        lines.iter().try_for_each(read)?;
        let of = |name: &'static str| {
            lines.iter().filter_map(move |line| {
                line.property().ok().filter(|property| property.name == name).map(|p| (line, p))
            })
        };
        let mut set = match one(of("DTSTART"), "DTSTART")? {
            Some((line, property)) => {
                Self::starting(&property, tz).map_err(|error| line.locate(&error))?
            }
            None => {
                return Err(invalid(
                    "has no DTSTART; expected a line as DTSTART;TZID=Europe/Berlin:20260308T090000",
                ));
            }
        };
        for (line, property) in of("RDATE").chain(of("EXDATE")) {
            set.list(&property).map_err(|error| line.locate(&error))?;
        }
        if let Some(day) = set.excluded_days.first() {
            let more = match set.excluded_days.len() - 1 {
                0 => String::new(),
                more => format!(" and on {more} more of its days"),
            };
            set.notes.push(format!("EXDATE leaves out everything on {day}{more}"));
        }
        match one(of("RRULE"), "RRULE")? {
            Some((line, property)) => {
                set.repeat(&property).map_err(|error| line.locate(&error))?;
            }
            None if set.added.is_empty() => {
                return Err(invalid("has no RRULE; expected a line as RRULE:FREQ=WEEKLY;BYDAY=MO"));
            }
            // Without a rule the start is an occurrence of its own.
            None => {
                let start = set.instant(set.start)?;
                set.added.insert(start);
            }
        }
        Ok(set)
    }

    /// The occurrences strictly later than this instant, or all of them.
    pub(crate) fn after(&self, after: Option<DateTime<Utc>>) -> Occurrences<'_> {
        // All occurrences are whole seconds: later than the second is later than what follows it.
        let after = after
            .and_then(|after| DateTime::from_timestamp(after.timestamp(), 0))
            .filter(|after| after.year() > 1_800);
        let from = self.first_wall(after);
        let over = from.year() > 9_999
            || self.last.is_some_and(|last| from > last)
            || after.zip(self.until).is_some_and(|(after, until)| after >= until);
        let rule = self.rule.as_ref().filter(|_| !over);
        let walls = rule.map(|(_, walls)| walls.from(from));
        Occurrences {
            set: self,
            after,
            walls,
            held: BTreeSet::new(),
            settled: None,
            added: self.added.iter().peekable(),
        }
    }

    /// The zone it repeats in.
    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What is allowed but hardly meant.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Before it nothing can mean an instant later than `after`: in a gap, local times before it still
    /// do.
    fn first_wall(&self, after: Option<DateTime<Utc>>) -> NaiveDateTime {
        let Some(after) = after else {
            return self.start;
        };
        let offset = self.zone.offset(after).min(self.zone.offset(after - LONGEST_GAP));
        let wall = after.naive_utc().checked_add_signed(offset + TimeDelta::seconds(1));
        wall.unwrap_or(NaiveDateTime::MAX).max(self.start)
    }

    fn starting(property: &Property<'_>, tz: Option<&str>) -> Result<Self, ScheduleError> {
        let date = property.date(property.value)?;
        let mut notes = Vec::new();
        let zone = match (&property.zone, date, tz) {
            (Some(zone), ..) => zone.clone(),
            (None, Date::Utc(_), _) => Zone::find("UTC")?,
            (None, _, Some(tz)) => Zone::find(tz)?,
            (None, _, None) => {
                return Err(property.value.refuse(
                    "has no time zone; write DTSTART;TZID=Europe/Berlin:20260308T090000, or add one \
                     (tz)",
                ));
            }
        };
        if let Some(tz) = tz
            && !tz.eq_ignore_ascii_case(zone.name())
        {
            notes.push(format!("DTSTART is in {}, so that \"{tz}\" has no effect", zone.name()));
        }
        let start = match date {
            Date::Day(day) => day.and_time(NaiveTime::MIN),
            Date::Local(wall) | Date::Utc(wall) => wall,
        };
        Ok(Self {
            zone,
            start,
            rule: None,
            last: None,
            until: None,
            added: BTreeSet::new(),
            excluded: BTreeSet::new(),
            excluded_days: BTreeSet::new(),
            notes,
        })
    }

    /// Takes the dates of an `RDATE` or `EXDATE`.
    fn list(&mut self, property: &Property<'_>) -> Result<(), ScheduleError> {
        let adds = property.name == "RDATE";
        for date in property.dates() {
            let (spot, date) = date?;
            match date {
                Date::Day(day) if !adds => {
                    self.excluded_days.insert(day);
                }
                Date::Day(day) if self.start.time() != NaiveTime::MIN => {
                    let at = day.and_time(self.start.time()).format("%Y%m%dT%H%M%S");
                    return Err(spot.refuse(format!("needs a time, as {at}")));
                }
                Date::Day(_) | Date::Local(_) | Date::Utc(_) => {
                    let at = self.meant(date, property.zone.as_ref()).ok_or_else(|| {
                        spot.refuse("is out of range, expected a year from 1900 to 9999")
                    })?;
                    if adds {
                        self.added.insert(at)
                    } else {
                        self.excluded.insert(at)
                    };
                }
            }
            let dates = self.added.len() + self.excluded.len() + self.excluded_days.len();
            if dates > MOST_DATES {
                return Err(spot.refuse(format!("is one date too many; at most {MOST_DATES}")));
            }
        }
        Ok(())
    }

    /// The instant of a date, in the zone it names or that of the start.
    fn meant(&self, date: Date, zone: Option<&Zone>) -> Option<DateTime<Utc>> {
        let zone = zone.unwrap_or(&self.zone);
        match date {
            Date::Utc(at) => Some(at.and_utc()),
            Date::Local(wall) => first_pass(zone, wall),
            Date::Day(day) => first_pass(zone, day.and_time(NaiveTime::MIN)),
        }
    }

    /// Takes the `RRULE`.
    fn repeat(&mut self, property: &Property<'_>) -> Result<(), ScheduleError> {
        let parts = Parts::parse(property.value)?;
        let walls = Walls::new(&parts, self.start)
            .map_err(|error| property.value.refuse(postq_core::error::chain(&error)))?;
        match parts.until {
            Some(Date::Utc(until)) => self.until = Some(until.and_utc()),
            Some(Date::Local(until)) => self.last = Some(until),
            Some(Date::Day(day)) => self.last = day.and_hms_opt(23, 59, 59),
            None => {}
        }
        if let Some(count) = parts.count {
            self.last = self
                .last_counted(&parts, &walls, count)
                .map_err(|why| property.value.refuse(why))?;
        }
        match walls.first() {
            Some(first) if first == self.start => {}
            Some(_) => {
                self.notes.push("DTSTART does not match the RRULE and is no occurrence".to_owned())
            }
            None => {
                // Looked for once; this ends it before it begins.
                self.last = self.start.checked_sub_signed(TimeDelta::seconds(1));
                self.notes.push("the RRULE never runs: no date matches it".to_owned());
            }
        }
        if parts.freq < Freq::Daily && !parts.has_by() {
            self.notes.push(
                "repeats what the clocks show; for a fixed distance whatever they do, use an \
                 interval (every)"
                    .to_owned(),
            );
        }
        self.rule = Some((parts, walls));
        Ok(())
    }

    /// The wall-clock time of the last one counted; the last of all where there are fewer. Found once:
    /// from then on the rule need not be walked from its start.
    fn last_counted(
        &self,
        parts: &Parts,
        walls: &Walls,
        count: u32,
    ) -> Result<Option<NaiveDateTime>, String> {
        if parts.freq < Freq::Daily && !parts.has_by() {
            let unit = match parts.freq {
                Freq::Secondly => 1,
                Freq::Minutely => 60,
                _ => 3_600,
            };
            let later = unit * i64::from(parts.interval) * (i64::from(count) - 1);
            return Ok(self.start.checked_add_signed(TimeDelta::seconds(later)));
        }
        if count > MOST_COUNTED {
            return Err(format!(
                "COUNT={count} is more than is counted, {MOST_COUNTED}; write UNTIL=... instead"
            ));
        }
        Ok(walls.from(self.start).take(count as usize).last())
    }

    fn instant(&self, wall: NaiveDateTime) -> Result<DateTime<Utc>, ScheduleError> {
        first_pass(&self.zone, wall).ok_or_else(|| invalid("DTSTART is out of range"))
    }
}

/// The occurrences of a set, in order.
#[derive(Debug)]
pub(crate) struct Occurrences<'a> {
    set: &'a Recurrence,
    after: Option<DateTime<Utc>>,
    walls: Option<walls::From<'a>>,
    /// Shifted by a gap, and perhaps later than what follows them on the clock.
    held: BTreeSet<DateTime<Utc>>,
    /// Whatever follows on the clock is later than this.
    settled: Option<DateTime<Utc>>,
    added: Peekable<std::collections::btree_set::Iter<'a, DateTime<Utc>>>,
}

impl Occurrences<'_> {
    /// The next one of the rule, in the order of instants.
    fn of_rule(&mut self) -> Option<DateTime<Utc>> {
        loop {
            let first = self.held.first().copied();
            if let Some(first) = first.filter(|first| self.settled.is_some_and(|at| *first <= at)) {
                self.held.pop_first();
                return Some(first);
            }
            let set = self.set;
            let wall = self.walls.as_mut().and_then(Iterator::next);
            let wall = wall.filter(|wall| set.last.is_none_or(|last| *wall <= last));
            match wall.and_then(|wall| set.zone.resolve(wall)) {
                Some(Mapped::One(at) | Mapped::Fold { first: at, .. }) => {
                    self.settled = Some(at);
                    self.held.insert(at);
                }
                Some(Mapped::Gap { shifted, .. }) => {
                    self.held.insert(shifted);
                }
                None => {
                    self.walls = None;
                    return self.held.pop_first();
                }
            }
        }
    }

    /// The next one of the rule that counts.
    fn of_rule_later(&mut self) -> Option<DateTime<Utc>> {
        loop {
            let at = self.of_rule()?;
            if self.set.until.is_some_and(|until| at > until) {
                self.walls = None;
                self.held.clear();
                return None;
            }
            if self.after.is_none_or(|after| at > after) {
                return Some(at);
            }
        }
    }

    fn is_excluded(&self, at: DateTime<Utc>) -> bool {
        let set = self.set;
        set.excluded.contains(&at)
            || (!set.excluded_days.is_empty()
                && set.excluded_days.contains(&set.zone.wall(at).date()))
    }
}

impl Iterator for Occurrences<'_> {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        loop {
            while self.added.next_if(|at| self.after.is_some_and(|after| **at <= after)).is_some() {
            }
            let by_rule = self.of_rule_later();
            let added = self.added.peek().map(|at| **at);
            let next = match (by_rule, added) {
                (Some(by_rule), Some(added)) if added < by_rule => {
                    // Its turn comes later.
                    self.held.insert(by_rule);
                    added
                }
                (by_rule, added) => by_rule.or(added)?,
            };
            self.after = Some(next);
            if !self.is_excluded(next) {
                return Some(next);
            }
        }
    }
}

/// The only line of a kind; none if there is none.
fn one<'a, T>(
    mut lines: impl Iterator<Item = (&'a lines::Line, T)>,
    name: &str,
) -> Result<Option<(&'a lines::Line, T)>, ScheduleError> {
    let first = lines.next();
    match lines.next() {
        Some((line, _)) => {
            let why = invalid(&format!("there is a second {name}; expected one"));
            Err(line.locate(&why))
        }
        None => Ok(first),
    }
}

/// The instant that a local time means by RFC 5545, 3.3.5.
fn first_pass(zone: &Zone, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    zone.resolve(wall).map(|mapped| match mapped {
        Mapped::One(at) | Mapped::Fold { first: at, .. } | Mapped::Gap { shifted: at, .. } => at,
    })
}

fn invalid(what: &str) -> ScheduleError {
    ScheduleError::new(ErrorKind::Invalid, what)
}

#[cfg(test)]
mod tests;
