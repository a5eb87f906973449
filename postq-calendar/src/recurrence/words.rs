//! A recurrence in words.

use chrono::{NaiveDateTime, Weekday};

use super::Recurrence;
use super::lines::Date;
use super::parts::{Freq, Parts};
use crate::words::{DAYS, MONTHS, list, local, name, place, runs, times};

impl Recurrence {
    /// What it says, days by name.
    pub(crate) fn explain(&self) -> String {
        let mut parts = match &self.rule {
            Some((rule, _)) => rule.words(self.start),
            None => vec![format!("at {}", dates(self.added.len()))],
        };
        parts.push(format!("from {}", local(self.start)));
        if let Some((rule, _)) = &self.rule {
            parts.extend(rule.end());
            if !self.added.is_empty() {
                parts.push(format!("and at {} more", dates(self.added.len())));
            }
        }
        let without = self.excluded.len() + self.excluded_days.len();
        if without > 0 {
            parts.push(format!("without {}", dates(without)));
        }
        format!("{}, {}", parts.join(", "), self.zone.name())
    }
}

impl Parts {
    fn words(&self, start: NaiveDateTime) -> Vec<String> {
        let mut words = vec![self.pace()];
        words.extend(self.days(start));
        words.extend(self.on_months());
        words.extend(self.on_weeks());
        words.extend(self.times(start));
        if !self.places.is_empty() {
            words.push(format!("of these the {}", list(self.places.iter().map(|n| place(*n)))));
        }
        words
    }

    fn pace(&self) -> String {
        let unit = match self.freq {
            Freq::Secondly => "second",
            Freq::Minutely => "minute",
            Freq::Hourly => "hour",
            Freq::Daily => "day",
            Freq::Weekly => "week",
            Freq::Monthly => "month",
            Freq::Yearly => "year",
        };
        match self.interval {
            1 => format!("every {unit}"),
            interval => format!("every {interval} {unit}s"),
        }
    }

    fn days(&self, start: NaiveDateTime) -> Vec<String> {
        let mut words = Vec::new();
        if !self.days.is_empty() {
            let day = |(n, day): &(Option<i16>, Weekday)| match n {
                Some(n) => format!("the {} {}", place(i32::from(*n)), weekday(*day)),
                None => weekday(*day),
            };
            words.push(format!("on {}", list(self.days.iter().map(day))));
        }
        for (values, of) in
            [(from_ends(&self.month_days), "month"), (from_ends(&self.year_days), "year")]
        {
            if !values.is_empty() {
                words.push(format!("on day {values} of the {of}"));
            }
        }
        if words.is_empty() && self.weeks.is_empty() && self.freq >= Freq::Weekly {
            let form = match self.freq {
                Freq::Weekly => "on %A",
                Freq::Monthly => "on day %-d",
                _ if self.months.is_empty() => "on %-d %B",
                _ => "on day %-d",
            };
            words.push(start.format(form).to_string());
        }
        words
    }

    fn on_months(&self) -> Option<String> {
        let months: Vec<_> = self.months.iter().map(|month| u16::from(*month)).collect();
        (!months.is_empty()).then(|| format!("in {}", runs(&months, |m| name(&MONTHS, m - 1))))
    }

    fn on_weeks(&self) -> Option<String> {
        let weeks = from_ends(&self.weeks);
        (!weeks.is_empty()).then(|| format!("in week {weeks}"))
    }

    fn times(&self, start: NaiveDateTime) -> Option<String> {
        if self.freq >= Freq::Daily {
            let own = |form: &str| start.format(form).to_string().parse().into_iter().collect();
            let or = |given: &Vec<u16>, form| match given.is_empty() {
                true => own(form),
                false => given.clone(),
            };
            let (hours, minutes) = (or(&self.hours, "%H"), or(&self.minutes, "%M"));
            if let Some(times) = times(&hours, &minutes, &or(&self.seconds, "%S")) {
                return Some(format!("at {times}"));
            }
        }
        let part = |unit: &str, values: &[u16]| {
            let values = runs(values, |value| value.to_string());
            (!values.is_empty()).then(|| format!("at {unit} {values}"))
        };
        let parts = [
            part("hour", &self.hours),
            part("minute", &self.minutes),
            part("second", &self.seconds),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    fn end(&self) -> Option<String> {
        let until = self.until.map(|until| match until {
            Date::Day(day) => format!("until the end of {day}"),
            Date::Local(wall) => format!("until {}", local(wall)),
            Date::Utc(wall) => format!("until {} UTC", local(wall)),
        });
        until.or_else(|| {
            self.count.map(
                |count| {
                    if count == 1 { "once".to_owned() } else { format!("{count} times") }
                },
            )
        })
    }
}

fn weekday(day: Weekday) -> String {
    name(&DAYS, u16::try_from(day.num_days_from_sunday()).unwrap_or_default())
}

/// Numbers that count from the start, and then those from the end: `1, 15 and last`.
fn from_ends<T: Copy + Into<i32>>(values: &[T]) -> String {
    let values = values.iter().map(|value| (*value).into());
    let (ends, starts): (Vec<i32>, Vec<i32>) = values.partition(|value| *value < 0);
    list(starts.iter().map(i32::to_string).chain(ends.into_iter().rev().map(place)))
}

/// `1 date`, `2 dates`.
fn dates(number: usize) -> String {
    format!("{number} date{}", if number == 1 { "" } else { "s" })
}
