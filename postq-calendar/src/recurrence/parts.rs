//! The parts of an `RRULE`: reading and checking them.

use chrono::Weekday;

use postq_core::error::ScheduleError;

use super::lines::Date;
use crate::near;
use crate::spot::Spot;

const PARTS: [&str; 14] = [
    "FREQ",
    "UNTIL",
    "COUNT",
    "INTERVAL",
    "BYSECOND",
    "BYMINUTE",
    "BYHOUR",
    "BYDAY",
    "BYMONTHDAY",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYMONTH",
    "BYSETPOS",
    "WKST",
];

/// The days of the week as RRULE writes them, Sunday first.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("SU", Weekday::Sun),
    ("MO", Weekday::Mon),
    ("TU", Weekday::Tue),
    ("WE", Weekday::Wed),
    ("TH", Weekday::Thu),
    ("FR", Weekday::Fri),
    ("SA", Weekday::Sat),
];

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Freq {
    Secondly,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

const FREQS: [(&str, Freq); 7] = [
    ("SECONDLY", Freq::Secondly),
    ("MINUTELY", Freq::Minutely),
    ("HOURLY", Freq::Hourly),
    ("DAILY", Freq::Daily),
    ("WEEKLY", Freq::Weekly),
    ("MONTHLY", Freq::Monthly),
    ("YEARLY", Freq::Yearly),
];

/// What an `RRULE` says. Lists are empty where it says nothing.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) freq: Freq,
    pub(super) interval: u16,
    pub(super) count: Option<u32>,
    pub(super) until: Option<Date>,
    pub(super) week_start: Weekday,
    pub(super) seconds: Vec<u16>,
    pub(super) minutes: Vec<u16>,
    pub(super) hours: Vec<u16>,
    /// Days of the week, the n-th ones or all.
    pub(super) days: Vec<(Option<i16>, Weekday)>,
    pub(super) month_days: Vec<i8>,
    pub(super) year_days: Vec<i16>,
    pub(super) weeks: Vec<i8>,
    pub(super) months: Vec<u8>,
    pub(super) places: Vec<i32>,
}

impl Parts {
    /// Reads `FREQ=WEEKLY;BYDAY=MO`.
    pub(super) fn parse(value: Spot<'_>) -> Result<Self, ScheduleError> {
        let mut parts = Self::empty();
        let mut freq = None;
        let mut seen: Vec<(&'static str, Spot<'_>)> = Vec::new();
        // A semicolon at the end is common and harmless.
        let text = value.to(value.text.trim_end_matches(';').len());
        for part in text.split(';') {
            let (name, value) = split(part)?;
            if seen.iter().any(|(before, _)| *before == name) {
                return Err(part.refuse(format!("{name} is given twice")));
            }
            seen.push((name, part));
            match name {
                "FREQ" => freq = Some(one_of(value, &FREQS)?),
                _ => parts.read(name, value)?,
            }
        }
        let names: Vec<_> = FREQS.iter().map(|(name, _)| *name).collect();
        parts.freq = freq.ok_or_else(|| {
            value.refuse(format!("has no FREQ; expected FREQ= one of {}", names.join(", ")))
        })?;
        parts.check(&seen)?;
        Ok(parts)
    }

    /// Whether a part says which days or times.
    pub(super) fn has_by(&self) -> bool {
        let empty = self.seconds.is_empty()
            && self.minutes.is_empty()
            && self.hours.is_empty()
            && self.days.is_empty()
            && self.month_days.is_empty()
            && self.year_days.is_empty()
            && self.weeks.is_empty()
            && self.months.is_empty();
        !empty
    }

    fn empty() -> Self {
        Self {
            freq: Freq::Daily,
            interval: 1,
            count: None,
            until: None,
            week_start: Weekday::Mon,
            seconds: Vec::new(),
            minutes: Vec::new(),
            hours: Vec::new(),
            days: Vec::new(),
            month_days: Vec::new(),
            year_days: Vec::new(),
            weeks: Vec::new(),
            months: Vec::new(),
            places: Vec::new(),
        }
    }

    fn read(&mut self, name: &str, value: Spot<'_>) -> Result<(), ScheduleError> {
        match name {
            "UNTIL" => self.until = Some(Date::parse(value)?),
            "COUNT" => self.count = Some(number(value, 1, u32::MAX.into())?),
            "INTERVAL" => self.interval = number(value, 1, u16::MAX.into())?,
            "BYSECOND" => self.seconds = numbers(value, 0, 59)?,
            "BYMINUTE" => self.minutes = numbers(value, 0, 59)?,
            "BYHOUR" => self.hours = numbers(value, 0, 23)?,
            "BYDAY" => {
                self.days = value.split(',').map(day).collect::<Result<_, _>>()?;
                // `MO,1MO` is every Monday.
                let every: Vec<_> =
                    self.days.iter().filter(|(n, _)| n.is_none()).copied().collect();
                self.days.retain(|(n, day)| n.is_none() || !every.contains(&(None, *day)));
            }
            "BYMONTHDAY" => self.month_days = from_both_ends(value, 31)?,
            "BYYEARDAY" => self.year_days = from_both_ends(value, 366)?,
            "BYWEEKNO" => self.weeks = from_both_ends(value, 53)?,
            "BYMONTH" => self.months = numbers(value, 1, 12)?,
            "BYSETPOS" => self.places = from_both_ends(value, 366)?,
            _ => self.week_start = one_of(value, &DAYS)?,
        }
        Ok(())
    }

    /// What cannot stand together.
    fn check(&self, seen: &[(&'static str, Spot<'_>)]) -> Result<(), ScheduleError> {
        let spot = |name: &str| seen.iter().find(|(part, _)| *part == name).map(|(_, spot)| *spot);
        let refuse = |name: &str, wrong: bool, why: &str| match spot(name) {
            Some(spot) if wrong => Err(spot.refuse(why)),
            _ => Ok(()),
        };
        let (freq, sub_daily) = (self.freq, self.freq < Freq::Daily);
        refuse(
            "COUNT",
            self.until.is_some(),
            "a rule ends by COUNT or by UNTIL; expected one of them",
        )?;
        refuse(
            "BYDAY",
            self.days.iter().any(|(n, _)| n.is_some()) && freq < Freq::Monthly,
            "the n-th day of the week needs FREQ=MONTHLY or YEARLY; write the day without a number, \
             or FREQ=MONTHLY",
        )?;
        refuse(
            "BYDAY",
            self.days.iter().any(|(n, _)| n.is_some()) && !self.weeks.is_empty(),
            "the n-th day of the week cannot stand with BYWEEKNO; write the day without a number",
        )?;
        refuse(
            "BYMONTHDAY",
            freq == Freq::Weekly,
            "cannot stand with FREQ=WEEKLY; use FREQ=MONTHLY, with BYDAY for the days of the week",
        )?;
        refuse(
            "BYYEARDAY",
            matches!(freq, Freq::Daily | Freq::Weekly | Freq::Monthly),
            "cannot stand with FREQ=DAILY, WEEKLY or MONTHLY; use FREQ=YEARLY",
        )?;
        refuse("BYWEEKNO", freq != Freq::Yearly, "needs FREQ=YEARLY")?;
        refuse(
            "BYSETPOS",
            sub_daily,
            "needs FREQ=DAILY or slower; within a day write the times with BYHOUR and BYMINUTE",
        )?;
        refuse("BYSETPOS", !self.has_by(), "needs another BY part to choose from")
    }
}

fn split(part: Spot<'_>) -> Result<(&'static str, Spot<'_>), ScheduleError> {
    let expected = || format!("expected one of {}", PARTS.join(", "));
    let Some((name, value)) = part.split_once('=') else {
        return Err(part.refuse(format!("expected NAME=VALUE; {}", expected())));
    };
    let upper = name.text.trim().to_ascii_uppercase();
    if let Some(known) = PARTS.iter().find(|known| **known == upper) {
        return Ok((known, value));
    }
    Err(match upper.as_str() {
        "RSCALE" | "SKIP" => {
            part.refuse("is of another calendar (RFC 7529), which is not supported; leave it out")
        }
        _ => name.refuse(format!("{}{}", expected(), near::hint(&upper, PARTS))),
    })
}

fn one_of<T: Copy>(value: Spot<'_>, known: &[(&'static str, T)]) -> Result<T, ScheduleError> {
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(value.text.trim()));
    found.map(|(_, found)| *found).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let hint = near::hint(&value.text.to_ascii_uppercase(), names.iter().copied());
        value.refuse(format!("expected one of {}{hint}", names.join(", ")))
    })
}

fn number<T: TryFrom<i64>>(value: Spot<'_>, least: i64, most: i64) -> Result<T, ScheduleError> {
    let text = value.text.trim();
    let plain = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| value.refuse(format!("expected a number from {least} to {most}")))
}

fn numbers<T: TryFrom<i64> + Ord>(
    value: Spot<'_>,
    least: i64,
    most: i64,
) -> Result<Vec<T>, ScheduleError> {
    let numbers: Result<Vec<T>, _> =
        value.split(',').map(|item| number(item, least, most)).collect();
    Ok(sorted(numbers?))
}

/// Numbers that count from the start or, negative, from the end.
fn from_both_ends<T: TryFrom<i64> + Ord>(
    value: Spot<'_>,
    most: i64,
) -> Result<Vec<T>, ScheduleError> {
    let numbers: Result<Vec<T>, _> = value
        .split(',')
        .map(|item| {
            let number: i64 = number(item, -most, most)?;
            let number = (number != 0).then(|| T::try_from(number).ok()).flatten();
            number.ok_or_else(|| {
                item.refuse("0 counts from no end; expected 1 or more, or -1 or less")
            })
        })
        .collect();
    Ok(sorted(numbers?))
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

/// `MO`, `2MO`, `-1FR`.
fn day(item: Spot<'_>) -> Result<(Option<i16>, Weekday), ScheduleError> {
    let text = item.text.trim_end();
    let name = text.len().checked_sub(2).filter(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let weekday = one_of(item.from(name), &DAYS)?;
    if name == 0 {
        return Ok((None, weekday));
    }
    let place: i16 = number(item.to(name), -53, 53)?;
    if place == 0 {
        return Err(item.refuse("there is no 0th day; expected 1 or more, or -1 for the last"));
    }
    Ok((Some(place), weekday))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read() {
        let parts = Parts::parse(Spot::whole(
            "freq=monthly;INTERVAL=2;COUNT=7;BYDAY=-1fr,+2MO;BYMONTH=6,1;BYHOUR=9;BYMINUTE=30;\
             BYSECOND=5;BYSETPOS=1,-1;WKST=su;",
        ))
        .unwrap();

        assert_eq!((parts.freq, parts.interval, parts.count), (Freq::Monthly, 2, Some(7)));
        assert_eq!(parts.days, [(Some(-1), Weekday::Fri), (Some(2), Weekday::Mon)]);
        assert_eq!((parts.months, parts.places), (vec![1, 6], vec![-1, 1]));
        assert_eq!((parts.hours, parts.minutes, parts.seconds), (vec![9], vec![30], vec![5]));
        assert_eq!(parts.week_start, Weekday::Sun);
    }

    #[test]
    fn what_cannot_be_says_where_and_what_would_be_right() {
        let cases = [
            ("", "expected NAME=VALUE"),
            ("BYDAY=MO", "has no FREQ; expected FREQ= one of SECONDLY"),
            ("FREQ=DALY", "position 6, \"DALY\": expected one of SECONDLY"),
            ("FREQ=DAILY;COUNT=0", "position 18, \"0\": expected a number from 1"),
            ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "ends by COUNT or by UNTIL"),
            ("FREQ=DAILY;INTERVAL=0", "expected a number from 1 to 65535"),
            ("FREQ=DAILY;INTERVAL=-1", "expected a number from 1 to 65535"),
            ("FREQ=WEEKLY;BYDAY=2MO", "position 13, \"BYDAY=2MO\": the n-th day"),
            ("FREQ=YEARLY;BYWEEKNO=2;BYDAY=2MO", "cannot stand with BYWEEKNO"),
            ("FREQ=MONTHLY;BYDAY=0MO", "no 0th day"),
            ("FREQ=MONTHLY;BYDAY=54MO", "expected a number from -53 to 53"),
            ("FREQ=WEEKLY;BYDAY=MOO", "expected one of SU, MO"),
            ("FREQ=WEEKLY;BYDAY=", "expected one of SU, MO"),
            ("FREQ=WEEKLY;BYMONTHDAY=1", "cannot stand with FREQ=WEEKLY"),
            ("FREQ=MONTHLY;BYYEARDAY=1", "use FREQ=YEARLY"),
            ("FREQ=MONTHLY;BYWEEKNO=1", "needs FREQ=YEARLY"),
            ("FREQ=HOURLY;BYMINUTE=1,2;BYSETPOS=1", "needs FREQ=DAILY or slower"),
            ("FREQ=DAILY;BYSETPOS=1", "needs another BY part"),
            ("FREQ=MONTHLY;BYMONTHDAY=0", "0 counts from no end"),
            ("FREQ=MONTHLY;BYMONTHDAY=32", "from -31 to 31"),
            ("FREQ=DAILY;BYHOUR=24", "from 0 to 23"),
            ("FREQ=DAILY;RSCALE=CHINESE", "RFC 7529"),
            ("FREQ=DAILY;BYMONHT=1", "did you mean \"BYMONTH\""),
            ("FREQ=DAILY;FREQ=DAILY", "given twice"),
            ("FREQ=DAILY;;COUNT=1", "expected NAME=VALUE"),
            ("FREQ=DAILY;UNTIL=tomorrow", "is no date"),
        ];
        for (text, why) in cases {
            let error = Parts::parse(Spot::whole(text)).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
