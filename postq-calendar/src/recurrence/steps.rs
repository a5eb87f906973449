//! Rules that repeat within a day: `HOURLY`, `MINUTELY`, `SECONDLY`, stepped by arithmetic.
//!
//! The `rrule` crate leaves the grid of the interval where such a rule is limited to some hours, and it
//! walks second by second from the rule's start. Here a step is a division, and days and hours that do
//! not match are jumped over.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};

use super::parts::{Freq, Parts};
use super::walls::AGE;

const DAY: i64 = 86_400;

/// The grid of a rule and what it is limited to.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    start: i64,
    step: i64,
    freq: Freq,
    parts: Parts,
    /// It repeats itself after so long: what did not come by then never comes.
    period: i64,
    /// Where the step leaves them open, the start's.
    minutes: Vec<u16>,
    seconds: Vec<u16>,
}

impl Steps {
    pub(super) fn new(parts: &Parts, start: NaiveDateTime) -> Self {
        let unit = match parts.freq {
            Freq::Secondly => 1,
            Freq::Minutely => 60,
            _ => 3_600,
        };
        let or = |given: &Vec<u16>, own: u32| match given.is_empty() {
            true => u16::try_from(own).into_iter().collect(),
            false => given.clone(),
        };
        let step = unit * i64::from(parts.interval);
        Self {
            start: start.and_utc().timestamp(),
            step,
            period: AGE.num_seconds() * (step / gcd(step, AGE.num_seconds())),
            freq: parts.freq,
            minutes: or(&parts.minutes, start.minute()),
            seconds: or(&parts.seconds, start.second()),
            parts: parts.clone(),
        }
    }

    /// The times from here on, in order.
    pub(super) fn from(&self, from: NaiveDateTime) -> Walk<'_> {
        let from = from.and_utc().timestamp().max(self.start);
        // The step before may still hold times that are listed within it.
        let listed = match self.freq {
            Freq::Secondly => 0,
            Freq::Minutely => 60,
            _ => 3_600,
        };
        let at = self.grid_at(from - listed);
        Walk { steps: self, from, at, pending: Vec::new() }
    }

    /// Whether any step ever falls on a time of day that is asked for.
    pub(super) fn can_meet(&self) -> bool {
        let common = gcd(self.step, DAY);
        let limits = |values: &[u16], all: i64, limited: bool| match (limited, values) {
            (true, [_, ..]) => values.iter().map(|value| i64::from(*value)).collect(),
            _ => (0..all).collect::<Vec<_>>(),
        };
        let hours = limits(&self.parts.hours, 24, true);
        // What is listed within a step is no limit: any one will do.
        let own = |value: i64| vec![value];
        let tod = self.start.rem_euclid(DAY);
        let minutes = match self.freq {
            Freq::Hourly => own(tod / 60 % 60),
            _ => limits(&self.parts.minutes, 60, true),
        };
        let seconds = match self.freq {
            Freq::Secondly => limits(&self.parts.seconds, 60, true),
            _ => own(tod % 60),
        };
        hours.iter().any(|hour| {
            minutes.iter().any(|minute| {
                let minute = hour * 3_600 + minute * 60;
                seconds.iter().any(|second| (minute + second - tod).rem_euclid(common) == 0)
            })
        })
    }

    /// The first step at or after this, on or after the start.
    fn grid_at(&self, at: i64) -> i64 {
        let steps = (at - self.start + self.step - 1).div_euclid(self.step).max(0);
        self.start + steps * self.step
    }

    fn day_matches(&self, day: NaiveDate) -> bool {
        let parts = &self.parts;
        let by = |empty: bool, found: bool| empty || found;
        let (month, weekday) = (day.month(), day.weekday());
        let month_length = i64::from(day.num_days_in_month());
        let year_length = if day.leap_year() { 366 } else { 365 };
        let counts =
            |value: i64, number: i64, length: i64| value == number || value == number - length - 1;
        by(parts.months.is_empty(), parts.months.iter().any(|m| u32::from(*m) == month))
            && by(parts.days.is_empty(), parts.days.iter().any(|(_, d)| *d == weekday))
            && by(
                parts.month_days.is_empty(),
                parts
                    .month_days
                    .iter()
                    .any(|d| counts(i64::from(*d), i64::from(day.day()), month_length)),
            )
            && by(
                parts.year_days.is_empty(),
                parts
                    .year_days
                    .iter()
                    .any(|d| counts(i64::from(*d), i64::from(day.ordinal()), year_length)),
            )
    }
}

/// A walk along the grid.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    steps: &'a Steps,
    from: i64,
    at: i64,
    /// What is listed within the last step, latest first.
    pending: Vec<i64>,
}

impl Walk<'_> {
    /// To the first step at or after this.
    fn jump(&mut self, to: i64) {
        self.at = self.steps.grid_at(to).max(self.at + self.steps.step);
    }

    /// The times within the step that matches.
    fn list(&mut self) {
        let steps = self.steps;
        let (hour, minute) = (self.at.div_euclid(3_600) * 3_600, self.at.div_euclid(60) * 60);
        match steps.freq {
            Freq::Secondly => self.pending.push(self.at),
            Freq::Minutely => {
                self.pending.extend(steps.seconds.iter().rev().map(|s| minute + i64::from(*s)));
            }
            _ => {
                for m in steps.minutes.iter().rev() {
                    let minute = hour + i64::from(*m) * 60;
                    self.pending.extend(steps.seconds.iter().rev().map(|s| minute + i64::from(*s)));
                }
            }
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = NaiveDateTime;

    fn next(&mut self) -> Option<NaiveDateTime> {
        let steps = self.steps;
        let last = self.at.max(self.from) + steps.period;
        let has = |list: &[u16], value: i64| {
            list.is_empty() || list.iter().any(|listed| i64::from(*listed) == value)
        };
        loop {
            if let Some(at) = self.pending.pop() {
                if at < self.from {
                    continue;
                }
                return DateTime::from_timestamp(at, 0).map(|at| at.naive_utc());
            }
            if self.at > last {
                return None;
            }
            let day = DateTime::from_timestamp(self.at, 0)?.date_naive();
            if day.year() > 9_999 {
                return None;
            }
            let tod = self.at.rem_euclid(DAY);
            let (hour, minute, second) = (tod / 3_600, tod / 60 % 60, tod % 60);
            if !steps.day_matches(day) {
                self.jump(self.at - tod + DAY);
            } else if !has(&steps.parts.hours, hour) {
                self.jump(self.at - tod + (hour + 1) * 3_600);
            } else if steps.freq != Freq::Hourly && !has(&steps.parts.minutes, minute) {
                self.jump(self.at - second + 60);
            } else {
                if steps.freq != Freq::Secondly || has(&steps.parts.seconds, second) {
                    self.list();
                }
                self.at += steps.step;
            }
        }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
