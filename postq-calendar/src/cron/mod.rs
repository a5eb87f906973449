//! Cron expressions by Vixie's rules, over the `cron` crate.
//!
//! The crate has a dialect of its own and reads its zones' clock changes in another way than cron(8).
//! So it never sees what a person wrote, and no zone: it is given explicit sets and walks a line of
//! wall-clock times without clock changes; what they mean in the zone is decided here.

mod field;
mod words;

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc};

use postq_core::error::{ErrorKind, ScheduleError};

use self::field::Field;
use crate::near;
use crate::spot::Spot;
use crate::zone::{Mapped, Zone};

/// The longest expression: several times what full lists in every field need.
const LONGEST: usize = 1_024;

/// The last year that has occurrences.
const LAST_YEAR: i32 = 2100;

const MACROS: [(&str, &str); 8] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@reboot", ""),
];

/// What each field says.
#[derive(Clone, Debug)]
struct Fields {
    second: Field,
    minute: Field,
    hour: Field,
    day_of_month: Field,
    month: Field,
    day_of_week: Field,
    year: Field,
}

/// A cron expression in a zone.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    fields: Fields,
    zone: Zone,
    /// Two where a day matches by either of the day fields.
    lines: Vec<cron::Schedule>,
}

impl Cron {
    /// Reads five fields, six with the seconds first, seven with the year last, or a macro.
    pub(crate) fn parse(text: &str, zone: Zone) -> Result<Self, ScheduleError> {
        if text.len() > LONGEST {
            let why = format!("is {} bytes long, expected at most {LONGEST}", text.len());
            return Err(Spot::whole(text).refuse(why));
        }
        let fields = Fields::parse(text)?;
        let lines = fields.lines()?;
        Ok(Self { fields, zone, lines })
    }

    /// The first occurrence strictly later than this instant.
    pub(crate) fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The crate's years are those of the field. A day more on each side: zones differ from UTC.
        let after = after.max(DateTime::UNIX_EPOCH - TimeDelta::days(2));
        if after.year() > LAST_YEAR + 1 {
            return None;
        }
        if self.follows_the_clock() { self.next_wildcard(after) } else { self.next_fixed(after) }
    }

    /// The zone's name.
    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether it runs by what the clock shows, whenever it shows it: the rule of cron(8) for
    /// expressions with a `*` in the seconds, minutes or hours.
    fn follows_the_clock(&self) -> bool {
        let fields = &self.fields;
        fields.second.star || fields.minute.star || fields.hour.star
    }

    /// Once per wall-clock time: in a gap at the first instant after it, in an overlap in the first
    /// pass.
    fn next_fixed(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = self.zone.wall(after);
        // Turns more than once only in an overlap, whose wall-clock times were all taken in the first
        // pass.
        loop {
            wall = self.next_wall(wall)?;
            let at = match self.zone.resolve(wall)? {
                Mapped::One(at) | Mapped::Fold { first: at, .. } | Mapped::Gap { end: at, .. } => {
                    at
                }
            };
            if at > after {
                return Some(at);
            }
        }
    }

    /// Each time the clock shows a matching time: never in a gap, in both passes of an overlap.
    fn next_wildcard(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut offset = self.zone.offset(after);
        let mut from = after.naive_utc().checked_add_signed(offset)?;
        let mut wall = self.next_wall(from);
        let mut change = self.zone.next_change(after);
        // One stretch between two changes after the other. Ends: a stretch that begins later on the
        // clock than where the last search began can only bring what was found there.
        loop {
            let at = wall.and_then(|wall| wall.checked_sub_signed(offset)).map(|at| at.and_utc());
            let Some(changed) = change.filter(|changed| at.is_none_or(|at| at >= *changed)) else {
                return at;
            };
            offset = self.zone.offset(changed);
            let just_before =
                changed.naive_utc().checked_add_signed(offset)? - TimeDelta::seconds(1);
            let found_again = just_before >= from && wall.is_none_or(|wall| just_before < wall);
            if found_again && wall.is_none() {
                return None;
            }
            if !found_again {
                from = just_before;
                wall = self.next_wall(from);
            }
            change = self.zone.next_change(changed);
        }
    }

    /// The next matching wall-clock time.
    fn next_wall(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let after = after.and_utc();
        let next = self.lines.iter().filter_map(|line| line.after(&after).next()).min();
        next.map(|at| at.naive_utc())
    }
}

impl Fields {
    fn parse(text: &str) -> Result<Self, ScheduleError> {
        let spot = Spot::whole(text);
        let words = spot.words();
        if let [word] = words[..]
            && word.text.starts_with('@')
        {
            return Self::parse(meaning(word)?);
        }
        let (second, rest) = match words[..] {
            [_, _, _, _, _] => (Field::only(0), &words[..]),
            [second, ..] if words.len() == 6 || words.len() == 7 => {
                (Field::parse(&field::SECOND, second)?, &words[1..])
            }
            _ => {
                return Err(spot.refuse(format!(
                    "has {} fields; expected 5 (minute hour day-of-month month day-of-week), 6 (a \
                     second first) or 7 (a year last), or a macro as @daily",
                    words.len()
                )));
            }
        };
        Ok(Self {
            second,
            minute: Field::parse(&field::MINUTE, rest[0])?,
            hour: Field::parse(&field::HOUR, rest[1])?,
            day_of_month: Field::parse(&field::DAY_OF_MONTH, rest[2])?,
            month: Field::parse(&field::MONTH, rest[3])?,
            day_of_week: Field::parse(&field::DAY_OF_WEEK, rest[4])?,
            year: match rest.get(5) {
                Some(year) => Field::parse(&field::YEAR, *year)?,
                None => Field::any(&field::YEAR),
            },
        })
    }

    /// Whether a day matches by either of the day fields: where none begins with a star.
    fn either_day(&self) -> bool {
        !self.day_of_month.star && !self.day_of_week.star
    }

    fn lines(&self) -> Result<Vec<cron::Schedule>, ScheduleError> {
        let (month, week) = (self.day_of_month.list(0), self.day_of_week.list(1));
        if self.either_day() {
            Ok(vec![self.line(&month, "*")?, self.line("*", &week)?])
        } else {
            Ok(vec![self.line(&month, &week)?])
        }
    }

    /// In the words of the crate, whose Sunday is 1.
    fn line(&self, month_days: &str, week_days: &str) -> Result<cron::Schedule, ScheduleError> {
        let text = format!(
            "{} {} {} {month_days} {} {week_days} {}",
            self.second.list(0),
            self.minute.list(0),
            self.hour.list(0),
            self.month.list(0),
            self.year.list(0),
        );
        cron::Schedule::from_str(&text).map_err(|error| {
            ScheduleError::new(ErrorKind::Internal, format!("read the sets \"{text}\""))
                .caused_by(error)
        })
    }
}

/// The fields that a macro stands for.
fn meaning(word: Spot<'_>) -> Result<&'static str, ScheduleError> {
    let names = || MACROS.iter().map(|(name, _)| *name);
    match MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.text)) {
        Some(("@reboot", _)) => {
            Err(word.refuse("has no time; a post goes out at a time, write one"))
        }
        Some((_, fields)) => Ok(fields),
        None => {
            let known: Vec<_> = names().filter(|name| *name != "@reboot").collect();
            let hint = near::hint(word.text, known.iter().copied());
            Err(word.refuse(format!("is no macro; expected one of {}{hint}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests;
