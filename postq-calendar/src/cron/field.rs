//! One field of a cron expression: lists, ranges, steps and names, to an explicit set.

use postq_core::error::ScheduleError;

use crate::near;
use crate::spot::Spot;

/// The months, as they are written in cron.
pub(crate) const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The days of the week, as they are written in cron.
pub(crate) const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What a field may hold.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What it is called.
    pub(crate) name: &'static str,
    least: u16,
    most: u16,
    names: &'static [&'static str],
    /// Whether `?` may stand for "any".
    question: bool,
}

const fn plain(name: &'static str, least: u16, most: u16) -> Kind {
    Kind { name, least, most, names: &[], question: false }
}

pub(crate) const SECOND: Kind = plain("second", 0, 59);
pub(crate) const MINUTE: Kind = plain("minute", 0, 59);
pub(crate) const HOUR: Kind = plain("hour", 0, 23);
pub(crate) const DAY_OF_MONTH: Kind = Kind { question: true, ..plain("day of month", 1, 31) };
pub(crate) const MONTH: Kind = Kind { names: &MONTHS, ..plain("month", 1, 12) };
pub(crate) const DAY_OF_WEEK: Kind =
    Kind { names: &DAYS, question: true, ..plain("day of week", 0, 6) };
pub(crate) const YEAR: Kind = plain("year", 1970, 2100);

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The values, sorted; Sunday is 0.
    pub(crate) values: Vec<u16>,
    /// Whether these are all there are.
    pub(crate) full: bool,
    /// Whether it begins with `*`, or is `?`.
    pub(crate) star: bool,
}

impl Field {
    /// The one value.
    pub(crate) fn only(value: u16) -> Self {
        Self { values: vec![value], full: false, star: false }
    }

    /// All values.
    pub(crate) fn any(kind: &Kind) -> Self {
        Self { values: (kind.least..=kind.most).collect(), full: true, star: true }
    }

    /// Reads a field.
    pub(crate) fn parse(kind: &Kind, spot: Spot<'_>) -> Result<Self, ScheduleError> {
        if kind.question && spot.text == "?" {
            return Ok(Self::any(kind));
        }
        let mut values = Vec::new();
        for item in spot.split(',') {
            kind.item(item, &mut values)?;
        }
        values.sort_unstable();
        values.dedup();
        let full = values.len() == usize::from(kind.size());
        Ok(Self { values, full, star: spot.text.starts_with('*') })
    }

    /// The values for the `cron` crate, each shifted by so much: `*` or a full list.
    pub(crate) fn list(&self, shift: u16) -> String {
        if self.full {
            return "*".to_owned();
        }
        let values: Vec<_> = self.values.iter().map(|value| (value + shift).to_string()).collect();
        values.join(",")
    }
}

impl Kind {
    fn size(&self) -> u16 {
        self.most - self.least + 1
    }

    fn is_week(&self) -> bool {
        self.least == 0 && !self.names.is_empty()
    }

    /// `*`, `5`, `1-5`, `*/2`, `1-5/2`, `5/2`.
    fn item(&self, item: Spot<'_>, values: &mut Vec<u16>) -> Result<(), ScheduleError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let (first, last) = if range.text == "*" {
            (self.least, self.most)
        } else if let Some((first, last)) = range.split_once('-') {
            self.range(range, first, last)?
        } else {
            let only = self.value(range)?;
            // 7 is the Sunday after Saturday only as an end.
            let only = if self.is_week() { only % 7 } else { only };
            (only, if step.is_some() { self.most } else { only })
        };
        let fold = |value: u16| if self.is_week() { value % 7 } else { value };
        values.extend((first..=last).step_by(usize::from(step.unwrap_or(1))).map(fold));
        Ok(())
    }

    fn step(&self, step: Spot<'_>) -> Result<u16, ScheduleError> {
        let size = self.size();
        let expected = || format!("expected a step from 1 to {size}");
        let number = digits(step.text).ok_or_else(|| step.refuse(expected()))?;
        if number == 0 {
            return Err(step.refuse(format!("a step of 0 goes nowhere; {}", expected())));
        }
        if number > size {
            return Err(step.refuse(format!(
                "the step is larger than the field, so that it would not do what it says; {}; for \
                 a distance that fits no field, as every 90 minutes, use an interval (every)",
                expected()
            )));
        }
        Ok(number)
    }

    fn range(
        &self,
        range: Spot<'_>,
        first: Spot<'_>,
        last: Spot<'_>,
    ) -> Result<(u16, u16), ScheduleError> {
        let (mut from, mut to) = (self.value(first)?, self.value(last)?);
        if self.is_week() {
            // Sunday lies on both sides: it is 0 where a range begins and 7 where one ends.
            if to == 0 && from > 0 {
                to = 7;
            }
            if from == 7 && to < 7 {
                from = 0;
            }
        }
        if from <= to {
            return Ok((from, to));
        }
        let (least, most) = (self.show(self.least), self.show(self.most));
        Err(range.refuse(format!(
            "the range runs backwards; write {}-{most},{least}-{}",
            first.text, last.text
        )))
    }

    /// A number or a name.
    fn value(&self, spot: Spot<'_>) -> Result<u16, ScheduleError> {
        if let Some(number) = digits(spot.text) {
            let most = if self.is_week() { 7 } else { self.most };
            if (self.least..=most).contains(&number) {
                return Ok(number);
            }
            return Err(spot.refuse(format!("is out of range; expected {}", self.expected())));
        }
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(spot.text));
        if let Some(place) = named.and_then(|place| u16::try_from(place).ok()) {
            return Ok(place + self.least);
        }
        let hint =
            dialect(spot.text).unwrap_or_else(|| near::hint(spot.text, self.names.iter().copied()));
        Err(spot.refuse(format!("expected {}{hint}", self.expected())))
    }

    fn expected(&self) -> String {
        let (least, most) = (self.least, if self.is_week() { 7 } else { self.most });
        match self.names {
            [] => format!("a {} from {least} to {most}", self.name),
            [first, .., last] if self.is_week() => format!(
                "a {} from {least} to {most} (0 and 7 are Sunday) or {first} to {last}",
                self.name
            ),
            [first, .., last] => {
                format!("a {} from {least} to {most} or {first} to {last}", self.name)
            }
            [only] => (*only).to_owned(),
        }
    }

    fn show(&self, value: u16) -> String {
        let name = self.names.get(usize::from(value - self.least));
        name.map_or_else(|| value.to_string(), |name| (*name).to_owned())
    }
}

/// A whole number without a sign.
fn digits(text: &str) -> Option<u16> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// What a piece of another program's cron is written as here.
fn dialect(text: &str) -> Option<String> {
    const WEEKDAYS: &str = "BYDAY=MO,TU,WE,TH,FR";
    let upper = text.to_ascii_uppercase();
    let use_rrule = |parts: String| Some(format!("; use an RRULE: FREQ=MONTHLY;{parts}"));
    if let Some((day, place)) = upper.split_once('#') {
        let day = weekday(day).unwrap_or("FR");
        return use_rrule(format!("BYDAY={}{day}", digits(place).unwrap_or(3)));
    }
    match upper.as_str() {
        "?" => return Some("; ? stands in the day fields alone, write *".to_owned()),
        "H" => return Some("; H is another program's, write a number".to_owned()),
        "L" => return use_rrule("BYMONTHDAY=-1".to_owned()),
        "LW" => return use_rrule(format!("{WEEKDAYS};BYSETPOS=-1")),
        _ => {}
    }
    if let Some(day) = upper.strip_suffix('L').and_then(weekday) {
        return use_rrule(format!("BYDAY=-1{day}"));
    }
    let day = upper.strip_suffix('W').and_then(digits)?;
    use_rrule(format!("{WEEKDAYS};BYMONTHDAY={day} (the nearest weekday has no rule)"))
}

/// A day of the week in an RRULE's words.
fn weekday(text: &str) -> Option<&'static str> {
    const DAYS_OF_RRULE: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
    let number = digits(text).map(|day| usize::from(day % 7));
    let number = number.or_else(|| DAYS.iter().position(|day| day.eq_ignore_ascii_case(text)));
    DAYS_OF_RRULE.get(number?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &Kind, text: &str) -> Result<Vec<u16>, String> {
        let field = Field::parse(kind, Spot::whole(text));
        field.map(|field| field.values).map_err(|error| error.to_string())
    }

    #[test]
    fn zero_and_seven_are_sunday_in_all_forms() {
        let cases = [
            ("0", vec![0]),
            ("7", vec![0]),
            ("SUN", vec![0]),
            ("5-7", vec![0, 5, 6]),
            ("SAT-SUN", vec![0, 6]),
            ("6-0", vec![0, 6]),
            ("7-2", vec![0, 1, 2]),
            ("sun-tue", vec![0, 1, 2]),
            ("0-7", vec![0, 1, 2, 3, 4, 5, 6]),
            ("1-7/2", vec![0, 1, 3, 5]),
            ("7/2", vec![0, 2, 4, 6]),
            ("*/3", vec![0, 3, 6]),
            ("Mon,3,fri", vec![1, 3, 5]),
            ("1-fri", vec![1, 2, 3, 4, 5]),
        ];
        for (text, expected) in cases {
            assert_eq!(read(&DAY_OF_WEEK, text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn lists_ranges_steps_and_names_are_read() {
        assert_eq!(read(&MINUTE, "*/20"), Ok(vec![0, 20, 40]));
        assert_eq!(read(&MINUTE, "50/4"), Ok(vec![50, 54, 58]));
        assert_eq!(read(&MINUTE, "1,5-7,5"), Ok(vec![1, 5, 6, 7]));
        assert_eq!(read(&HOUR, "9-17/4"), Ok(vec![9, 13, 17]));
        assert_eq!(read(&MONTH, "Jan-3,DEC"), Ok(vec![1, 2, 3, 12]));
        assert_eq!(read(&YEAR, "2026-2030/2"), Ok(vec![2026, 2028, 2030]));
        assert_eq!(read(&HOUR, "*/24"), Ok(vec![0]));
        assert!(Field::parse(&DAY_OF_MONTH, Spot::whole("1-31")).unwrap().full);
        assert!(Field::parse(&MINUTE, Spot::whole("*,5")).unwrap().star);
        assert!(!Field::parse(&MINUTE, Spot::whole("0-59")).unwrap().star);
        assert!(Field::parse(&DAY_OF_WEEK, Spot::whole("?")).unwrap().star);
    }

    #[test]
    fn what_cannot_be_read_says_where_and_gives_a_hint() {
        let cases = [
            (&HOUR, "22-4", "position 1, \"22-4\": the range runs backwards; write 22-23,0-4"),
            (&DAY_OF_WEEK, "FRI-MON", "write FRI-sat,sun-MON"),
            (&MINUTE, "*/90", "position 3, \"90\": the step is larger than the field"),
            (&MINUTE, "*/0", "goes nowhere"),
            (&MINUTE, "*/x", "expected a step from 1 to 60"),
            (
                &MINUTE,
                "5,60",
                "position 3, \"60\": is out of range; expected a minute from 0 to 59",
            ),
            (&DAY_OF_MONTH, "0", "from 1 to 31"),
            (&DAY_OF_WEEK, "8", "0 and 7 are Sunday"),
            (&DAY_OF_MONTH, "L", "use an RRULE: FREQ=MONTHLY;BYMONTHDAY=-1"),
            (&DAY_OF_MONTH, "LW", "BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"),
            (&DAY_OF_MONTH, "15W", "BYDAY=MO,TU,WE,TH,FR;BYMONTHDAY=15"),
            (&DAY_OF_WEEK, "5#3", "use an RRULE: FREQ=MONTHLY;BYDAY=3FR"),
            (&DAY_OF_WEEK, "FRI#2", "BYDAY=2FR"),
            (&DAY_OF_WEEK, "5L", "BYDAY=-1FR"),
            (&MINUTE, "H", "another program's"),
            (&HOUR, "?", "write *"),
            (&MONTH, "jam", "did you mean \"jan\""),
            (&MINUTE, "", "position 1, \"\": expected a minute"),
            (&MINUTE, "1,,2", "position 3"),
            (&MINUTE, "-5", "position 1"),
            (&MINUTE, "+5", "expected a minute"),
            (&MINUTE, "99999", "expected a minute"),
            (&YEAR, "1969", "from 1970 to 2100"),
        ];
        for (kind, text, why) in cases {
            let error = read(kind, text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
