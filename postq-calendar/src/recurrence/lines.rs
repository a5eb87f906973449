//! The content lines of RFC 5545: unfolding, properties and dates.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use postq_core::error::ScheduleError;

use crate::near;
use crate::spot::Spot;
use crate::zone::Zone;

/// The longest text: a rule and as many dates as may be listed.
const LONGEST: usize = 32_768;

/// The longest line that lists no dates.
const LONGEST_RULE: usize = 4_096;

const PROPERTIES: [&str; 4] = ["DTSTART", "RRULE", "RDATE", "EXDATE"];

/// A property as it was written, unfolded.
#[derive(Clone, Debug)]
pub(super) struct Line {
    text: String,
    /// Which line of the text it begins on, from 1.
    number: usize,
}

/// A property in its parts.
#[derive(Debug)]
pub(super) struct Property<'a> {
    /// `DTSTART`, `RRULE`, `RDATE` or `EXDATE`.
    pub(super) name: &'static str,
    /// What stands behind the colon.
    pub(super) value: Spot<'a>,
    /// The zone that it names.
    pub(super) zone: Option<Zone>,
    /// Whether its values are dates without a time.
    pub(super) dates_only: bool,
}

/// A date with or without a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Date {
    /// A day.
    Day(NaiveDate),
    /// What the clocks of a zone show.
    Local(NaiveDateTime),
    /// The same in UTC: with a `Z`.
    Utc(NaiveDateTime),
}

/// The lines of a text: those that begin with a blank go on with the one before.
pub(super) fn unfold(text: &str) -> Result<Vec<Line>, ScheduleError> {
    let whole = Spot::whole(text);
    if text.len() > LONGEST {
        return Err(
            whole.refuse(format!("is {} bytes long, expected at most {LONGEST}", text.len()))
        );
    }
    if let Some(byte) = text.find(|c: char| !c.is_ascii()) {
        let letter = text[byte..].chars().next().map_or(0, char::len_utf8);
        return Err(whole.from(byte).to(letter).refuse("expected ASCII letters, digits and signs"));
    }
    // A shell hands `\n` on as two characters; neither stands in a rule otherwise.
    let text = text.replace("\\n", "\n");
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some(before)) => before.text.push_str(more.trim_end()),
            _ if line.trim().is_empty() => {}
            _ => lines.push(Line { text: line.trim().to_owned(), number: number + 1 }),
        }
    }
    Ok(lines)
}

impl Line {
    /// Says which line an error is on.
    pub(super) fn locate(&self, error: &ScheduleError) -> ScheduleError {
        ScheduleError::new(error.kind(), format!("line {}, {error}", self.number))
    }

    /// The property in its parts. A rule may stand without its name.
    pub(super) fn property(&self) -> Result<Property<'_>, ScheduleError> {
        let whole = Spot::whole(&self.text);
        if whole.text.to_ascii_uppercase().starts_with("FREQ=") {
            let end = whole.text.len();
            return Property { name: "RRULE", value: whole, zone: None, dates_only: false }
                .checked(end);
        }
        let Some((head, value)) = split_value(whole) else {
            return Err(whole.refuse(format!(
                "expected a property with a colon: {}",
                PROPERTIES.map(|name| format!("{name}:")).join(", ")
            )));
        };
        let mut pieces = head.split(';');
        let written = pieces.next().unwrap_or(head);
        let mut property =
            Property { name: name_of(written)?, value, zone: None, dates_only: false };
        for parameter in pieces {
            property.read(parameter)?;
        }
        property.checked(whole.text.len())
    }
}

impl Property<'_> {
    /// Unless its line is too long.
    fn checked(self, length: usize) -> Result<Self, ScheduleError> {
        if !self.name.ends_with("DATE") && length > LONGEST_RULE {
            let why = format!("is {length} bytes long, expected at most {LONGEST_RULE}");
            return Err(self.value.refuse(why));
        }
        Ok(self)
    }

    fn read(&mut self, parameter: Spot<'_>) -> Result<(), ScheduleError> {
        let expected = "expected TZID=... or VALUE=DATE";
        let (key, value) = parameter.split_once('=').ok_or_else(|| parameter.refuse(expected))?;
        let text = value.text.trim_matches('"');
        match key.text.to_ascii_uppercase().as_str() {
            "TZID" if self.name != "RRULE" => {
                self.zone =
                    Some(Zone::find(text).map_err(|error| value.refuse(error.to_string()))?);
            }
            "VALUE" => match text.to_ascii_uppercase().as_str() {
                "DATE" => self.dates_only = true,
                "DATE-TIME" => {}
                _ => return Err(value.refuse("expected DATE or DATE-TIME")),
            },
            // Programs mark what is their own so.
            key if key.starts_with("X-") => {}
            _ => return Err(parameter.refuse(expected)),
        }
        Ok(())
    }

    /// The dates that it lists.
    pub(super) fn dates(&self) -> impl Iterator<Item = Result<(Spot<'_>, Date), ScheduleError>> {
        self.value.split(',').map(|spot| Ok((spot, self.date(spot)?)))
    }

    /// Its one date.
    pub(super) fn date(&self, spot: Spot<'_>) -> Result<Date, ScheduleError> {
        let date = Date::parse(spot)?;
        match date {
            Date::Local(_) | Date::Utc(_) if self.dates_only => {
                Err(spot.refuse("has a time, but VALUE=DATE says that it has none"))
            }
            Date::Utc(_) if self.zone.is_some() => {
                Err(spot.refuse("has both a Z, for UTC, and a TZID; expected one of them"))
            }
            _ => Ok(date),
        }
    }
}

impl Date {
    /// Reads `20260308`, `20260308T090000` or `20260308T090000Z`.
    pub(super) fn parse(spot: Spot<'_>) -> Result<Self, ScheduleError> {
        let upper = spot.text.trim().to_ascii_uppercase();
        let refuse = |why: &str| {
            Err(spot
                .refuse(format!("{why}; expected 20260308T090000, 20260308T090000Z or 20260308")))
        };
        let (local, utc) = match upper.strip_suffix('Z') {
            Some(local) => (local, true),
            None => (upper.as_str(), false),
        };
        let (day, time) = match local.split_once('T') {
            Some((day, time)) => (day, Some(time)),
            None => (local, None),
        };
        let Some(day) = numbers::<3>(day, [4, 2, 2]).and_then(day_of) else {
            return refuse("is no date");
        };
        let Some(time) = time else {
            return if utc { refuse("is no date") } else { Ok(Self::Day(day)) };
        };
        let Some([hour, minute, second]) = numbers::<3>(time, [2, 2, 2]) else {
            return refuse("is no time");
        };
        match NaiveTime::from_hms_opt(hour, minute, second) {
            Some(time) if utc => Ok(Self::Utc(day.and_time(time))),
            Some(time) => Ok(Self::Local(day.and_time(time))),
            None => refuse("is no time"),
        }
    }
}

/// Years from 1900: older ones have clocks that nobody meant.
fn day_of([year, month, day]: [u32; 3]) -> Option<NaiveDate> {
    let year = i32::try_from(year).ok().filter(|year| *year >= 1_900)?;
    NaiveDate::from_ymd_opt(year, month, day)
}

/// Numbers of fixed widths.
fn numbers<const N: usize>(text: &str, widths: [usize; N]) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    let mut rest = text;
    for (number, width) in numbers.iter_mut().zip(widths) {
        let (digits, after) = rest.split_at_checked(width)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = digits.parse().ok()?;
        rest = after;
    }
    rest.is_empty().then_some(numbers)
}

/// At the colon that is not in quotes.
fn split_value(whole: Spot<'_>) -> Option<(Spot<'_>, Spot<'_>)> {
    let mut quoted = false;
    let colon = whole.text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b':' && !quoted
    })?;
    Some((whole.to(colon), whole.from(colon + 1)))
}

fn name_of(written: Spot<'_>) -> Result<&'static str, ScheduleError> {
    let known = PROPERTIES.iter().find(|name| name.eq_ignore_ascii_case(written.text));
    if let Some(name) = known {
        return Ok(name);
    }
    let upper = written.text.to_ascii_uppercase();
    if upper == "EXRULE" {
        return Err(written.refuse("is obsolete; list the dates to leave out with EXDATE"));
    }
    let hint = near::hint(&upper, PROPERTIES);
    Err(written
        .refuse(format!("is no property of a rule; expected {}{hint}", PROPERTIES.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_lines_are_unfolded_and_blank_ones_left_out() {
        let lines =
            unfold("DTSTART:20260101T000000Z\r\n\r\nRRULE:FREQ=DAI\r\n LY\\nEXDATE:x").unwrap();

        let read: Vec<_> = lines.iter().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(
            read,
            [(1, "DTSTART:20260101T000000Z"), (3, "RRULE:FREQ=DAILY"), (5, "EXDATE:x")]
        );
    }

    #[test]
    fn dates_of_every_form_are_read() {
        let read = |text| Date::parse(Spot::whole(text)).map_err(|error| error.to_string());
        let day = NaiveDate::from_ymd_opt(2026, 3, 8).unwrap();

        assert_eq!(read("20260308"), Ok(Date::Day(day)));
        assert_eq!(read("20260308T090000"), Ok(Date::Local(day.and_hms_opt(9, 0, 0).unwrap())));
        assert_eq!(read("20260308t090000z"), Ok(Date::Utc(day.and_hms_opt(9, 0, 0).unwrap())));
        for wrong in [
            "",
            "2026",
            "20260230",
            "20260308T",
            "20260308T2400",
            "20260308T246000",
            "20260308Z",
            "18991231",
            "20260308T09000",
            "2026030+",
            "20260308T090000ZZ",
        ] {
            assert!(read(wrong).unwrap_err().contains("expected 20260308T090000"), "{wrong}");
        }
    }

    #[test]
    fn quotes_and_foreign_parameters_are_read() {
        let lines = unfold("dtstart;X-A=1;tzid=\"europe/berlin\":20260101T000000").unwrap();
        let property = lines[0].property().unwrap();

        assert_eq!(property.name, "DTSTART");
        assert_eq!(property.zone.unwrap().name(), "Europe/Berlin");
    }
}
