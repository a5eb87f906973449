//! A cron expression in words.

use super::field::Field;
use super::{Cron, Fields};
use crate::words::{DAYS, MONTHS, list, name, runs, times};

impl Cron {
    /// What it says, days by name: what was meant in another dialect is seen at once.
    pub(crate) fn explain(&self) -> String {
        let fields = &self.fields;
        let parts = [Some(fields.times()), fields.days(), fields.months(), fields.years()];
        let what: Vec<_> = parts.into_iter().flatten().collect();
        let changes = if self.follows_the_clock() {
            "follows the clocks when they change: nothing in a gap, both passes of an overlap"
        } else {
            "runs once when the clocks change: in a gap right after it, in an overlap in the first \
             pass"
        };
        format!("{}, {}; {changes}", what.join(", "), self.zone.name())
    }
}

impl Fields {
    fn times(&self) -> String {
        let (second, minute, hour) = (&self.second, &self.minute, &self.hour);
        if let Some(times) = times(&hour.values, &minute.values, &second.values) {
            return format!("at {times}");
        }
        let on_the_minute = second.values == [0];
        let mut parts = Vec::new();
        if !on_the_minute {
            parts.push(count("second", second, 60));
        }
        if on_the_minute || !minute.full {
            parts.push(count("minute", minute, 60));
        }
        if !hour.full {
            parts.push(match every(hour, 24) {
                Some(step) => format!("every {step} hours"),
                None => format!("from {}", runs(&hour.values, |hour| format!("{hour:02}h"))),
            });
        }
        parts.join(", ")
    }

    fn days(&self) -> Option<String> {
        let month = (!self.day_of_month.full)
            .then(|| format!("on day {} of the month", runs(&self.day_of_month.values, number)));
        let week = (!self.day_of_week.full)
            .then(|| format!("on {}", runs(&self.week(), |day| name(&DAYS, day % 7))));
        match (month, week) {
            (Some(month), Some(week)) if self.either_day() => Some(format!("{month} or {week}")),
            (Some(month), Some(week)) => Some(format!("{month} if it is {}", &week[3..])),
            _ if self.either_day() => Some("every day".to_owned()),
            (month, week) => month.or(week),
        }
    }

    /// The days of the week with Sunday last, as people count them.
    fn week(&self) -> Vec<u16> {
        let mut days = self.day_of_week.values.clone();
        if days.first() == Some(&0) {
            days.remove(0);
            days.push(7);
        }
        days
    }

    fn months(&self) -> Option<String> {
        (!self.month.full)
            .then(|| format!("in {}", runs(&self.month.values, |month| name(&MONTHS, month - 1))))
    }

    fn years(&self) -> Option<String> {
        (!self.year.full).then(|| format!("in {}", runs(&self.year.values, number)))
    }
}

/// `every minute`, `every 15 minutes`, `at minute 5 and 20`.
fn count(unit: &str, field: &Field, size: u16) -> String {
    match every(field, size) {
        Some(1) => format!("every {unit}"),
        Some(step) => format!("every {step} {unit}s"),
        None => format!("at {unit} {}", list(&field.values)),
    }
}

/// The distance of values that divide the whole evenly from 0 on.
fn every(field: &Field, size: u16) -> Option<u16> {
    let step = match field.values[..] {
        [0, second, ..] => second,
        _ => return None,
    };
    let even = field.values.iter().copied().eq((0..size).step_by(usize::from(step)));
    (even && size.is_multiple_of(step)).then_some(step)
}

fn number(value: u16) -> String {
    value.to_string()
}
