//! The wall-clock times of an `RRULE`, from any time on, whatever the age of the rule.
//!
//! Daily and slower rules are walked by the `rrule` crate, on a line of wall-clock times without clock
//! changes: there it is right. What takes long is its way from the start of an old rule, so the start
//! is moved along the rule's own grid to just before where the answer is. It also takes long to find that
//! nothing comes for a while, for it looks up to the year 10,000. So it works near that year first, whole
//! ages of the calendar later, where all weekdays and leap years are the same. What did not come for an
//! age never comes, unless the rule's interval does not divide the age; only then it looks as far as there
//! are years.

use chrono::{Datelike, Month, Months, NaiveDateTime, TimeDelta, TimeZone, Timelike};
use rrule::{Frequency, NWeekday, RRule, RRuleSet, RRuleSetIter, Tz, Validated};

use postq_core::error::{ErrorKind, ScheduleError};

use super::parts::{Freq, Parts};
use super::steps::{Steps, Walk};

/// The calendar repeats itself after 400 years.
pub(super) const AGE: TimeDelta = TimeDelta::days(146_097);

/// The crate's last year, less an age and one.
const LATEST: i32 = 10_000 - 401;

/// The wall-clock times of a rule, its `COUNT` and `UNTIL` aside.
#[derive(Clone, Debug)]
pub(super) struct Walls {
    start: NaiveDateTime,
    freq: Freq,
    interval: u16,
    /// Whether its intervals fill an age, so that it repeats itself after one.
    fills_an_age: bool,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    /// Daily and slower.
    Days(Box<RRule<Validated>>),
    /// Within a day.
    Steps(Box<Steps>),
}

/// The times from somewhere on, in order.
#[derive(Debug)]
pub(super) enum From<'a> {
    Days(Days<'a>),
    Steps(Walk<'a>),
}

/// What the crate finds.
#[derive(Debug)]
pub(super) struct Days<'a> {
    walls: &'a Walls,
    rule: &'a RRule<Validated>,
    times: Box<RRuleSetIter>,
    /// How much later the crate works.
    later: TimeDelta,
    /// Nothing before it counts.
    from: NaiveDateTime,
}

impl Walls {
    /// The times of a rule that starts here.
    pub(super) fn new(parts: &Parts, start: NaiveDateTime) -> Result<Self, ScheduleError> {
        let way = if parts.freq < Freq::Daily {
            let steps = Steps::new(parts, start);
            if !steps.can_meet() {
                return Err(invalid(
                    "the rule never runs: its INTERVAL, counted from DTSTART, never falls on the \
                     times it is limited to; start it on one of them",
                ));
            }
            Way::Steps(Box::new(steps))
        } else {
            let rule = for_the_crate(parts, start).validate(Tz::UTC.from_utc_datetime(&start));
            let rule = rule.map_err(|error| invalid("the rule cannot be").caused_by(error))?;
            Way::Days(Box::new(rule))
        };
        let in_an_age = match parts.freq {
            Freq::Yearly => 400,
            Freq::Monthly => 400 * 12,
            Freq::Weekly => AGE.num_weeks(),
            _ => AGE.num_days(),
        };
        let fills_an_age = in_an_age % i64::from(parts.interval) == 0;
        Ok(Self { start, freq: parts.freq, interval: parts.interval, fills_an_age, way })
    }

    /// The times from here on.
    pub(super) fn from(&self, from: NaiveDateTime) -> From<'_> {
        match &self.way {
            Way::Steps(steps) => From::Steps(steps.from(from)),
            Way::Days(rule) => From::Days(Days::new(self, rule, from)),
        }
    }

    /// The first of all.
    pub(super) fn first(&self) -> Option<NaiveDateTime> {
        self.from(self.start).next()
    }

    /// The start, moved by whole intervals to before `to`.
    fn forward(&self, to: NaiveDateTime) -> NaiveDateTime {
        let interval = i64::from(self.interval);
        let days = (to - self.start).num_days().max(0);
        let moved = match self.freq {
            Freq::Weekly => {
                // One in hand: of its first week the crate chooses from the start's day on.
                let weeks = (days / 7 / interval - 1).max(0) * interval;
                self.start.checked_add_signed(TimeDelta::weeks(weeks))
            }
            Freq::Monthly => self.to_month(months(to) - months(self.start), interval),
            Freq::Yearly => {
                let years = i64::from(to.year() - self.start.year());
                // All of a year: the parts say which month and day.
                self.to_month(years * 12, interval * 12)
                    .filter(|moved| moved.year() > self.start.year())
                    .and_then(|moved| moved.with_month(1))
            }
            _ => self.start.checked_add_signed(TimeDelta::days(days / interval * interval)),
        };
        moved.unwrap_or(self.start)
    }

    /// The first day of the last month on the grid that is not more than so many later.
    fn to_month(&self, later: i64, interval: i64) -> Option<NaiveDateTime> {
        let later = later.max(0) / interval * interval;
        if later == 0 {
            return None;
        }
        self.start.with_day(1)?.checked_add_months(Months::new(u32::try_from(later).ok()?))
    }
}

impl<'a> Days<'a> {
    fn new(walls: &'a Walls, rule: &'a RRule<Validated>, from: NaiveDateTime) -> Self {
        let start = walls.forward(from);
        let later = AGE * ((LATEST - start.year()) / 400).max(0);
        Self::at(walls, rule, from, start, later)
    }

    fn at(
        walls: &'a Walls,
        rule: &'a RRule<Validated>,
        from: NaiveDateTime,
        start: NaiveDateTime,
        later: TimeDelta,
    ) -> Self {
        let start = start.checked_add_signed(later).unwrap_or(start);
        let set = RRuleSet::new(Tz::UTC.from_utc_datetime(&start)).rrule(RRule::clone(rule));
        let times = Box::new(set.into_iter());
        Self { walls, rule, times, later, from: from.max(walls.start) }
    }

    /// Whether nothing came for an age of a rule that repeats itself after one.
    fn looked_for_an_age(&self) -> bool {
        let began = self.from.checked_add_signed(self.later);
        self.walls.fills_an_age && began.is_some_and(|began| began.year() <= LATEST)
    }

    fn next(&mut self) -> Option<NaiveDateTime> {
        loop {
            match self.times.next() {
                Some(at) => {
                    let wall = at.naive_utc().checked_sub_signed(self.later)?;
                    if wall >= self.from {
                        self.from = wall.checked_add_signed(TimeDelta::seconds(1))?;
                        return Some(wall).filter(|wall| wall.year() <= 9_999);
                    }
                }
                None if self.later.is_zero() || self.looked_for_an_age() => return None,
                None => {
                    let start = self.walls.forward(self.from);
                    *self = Self::at(self.walls, self.rule, self.from, start, TimeDelta::zero());
                }
            }
        }
    }
}

impl Iterator for From<'_> {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        match self {
            Self::Steps(walk) => walk.next(),
            Self::Days(days) => days.next(),
        }
    }
}

/// The rule for the crate, what the start says written out: so the start may be moved.
fn for_the_crate(parts: &Parts, start: NaiveDateTime) -> RRule<rrule::Unvalidated> {
    let parts = &complete(parts.clone(), start);
    let bytes = |values: &[u16]| values.iter().filter_map(|v| u8::try_from(*v).ok()).collect();
    let months: Vec<Month> = parts.months.iter().filter_map(|m| Month::try_from(*m).ok()).collect();
    let freq = match parts.freq {
        Freq::Yearly => Frequency::Yearly,
        Freq::Monthly => Frequency::Monthly,
        Freq::Weekly => Frequency::Weekly,
        _ => Frequency::Daily,
    };
    RRule::new(freq)
        .interval(parts.interval)
        .week_start(parts.week_start)
        .by_set_pos(parts.places.clone())
        .by_month(&months)
        .by_month_day(parts.month_days.clone())
        .by_year_day(parts.year_days.clone())
        .by_week_no(parts.weeks.clone())
        .by_weekday(parts.days.iter().map(|(n, day)| NWeekday::new(*n, *day)).collect())
        .by_hour(bytes(&parts.hours))
        .by_minute(bytes(&parts.minutes))
        .by_second(bytes(&parts.seconds))
}

/// What a rule leaves open it takes from its start.
fn complete(mut parts: Parts, start: NaiveDateTime) -> Parts {
    let no_day = parts.days.is_empty()
        && parts.month_days.is_empty()
        && parts.year_days.is_empty()
        && parts.weeks.is_empty();
    match parts.freq {
        Freq::Yearly if no_day => {
            if parts.months.is_empty() {
                parts.months.extend(u8::try_from(start.month()));
            }
            parts.month_days.extend(i8::try_from(start.day()));
        }
        Freq::Monthly if no_day => parts.month_days.extend(i8::try_from(start.day())),
        Freq::Weekly if no_day => parts.days.push((None, start.weekday())),
        _ => {}
    }
    for (values, own) in [
        (&mut parts.hours, start.hour()),
        (&mut parts.minutes, start.minute()),
        (&mut parts.seconds, start.second()),
    ] {
        if values.is_empty() {
            values.extend(u16::try_from(own));
        }
    }
    parts
}

fn months(wall: NaiveDateTime) -> i64 {
    i64::from(wall.year()) * 12 + i64::from(wall.month0())
}

fn invalid(what: &str) -> ScheduleError {
    ScheduleError::new(ErrorKind::Invalid, what)
}
