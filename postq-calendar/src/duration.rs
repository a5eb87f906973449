//! Durations as people write them.

use std::time::Duration;

use postq_core::error::{ErrorKind, ScheduleError};

/// What an error shows of a good one.
const EXPECTED: &str = "expected a duration as 90s, 15m, 1h30m, 2d or PT90M";

/// The longest: a hundred years. No setting and no rule needs more.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads `90s`, `15m`, `2h`, `1d`, `1h30m`, `250ms`, or ISO 8601 (`PT90M`, `P1D`).
pub fn parse(text: &str) -> Result<Duration, ScheduleError> {
    let trimmed = text.trim();
    let refuse = |why: &str| {
        ScheduleError::new(ErrorKind::Invalid, format!("\"{trimmed}\" {why}; {EXPECTED}"))
    };
    let lower = trimmed.to_ascii_lowercase();
    let duration = match lower.strip_prefix('p') {
        Some(rest) => iso(rest),
        None => plain(&lower),
    };
    let duration = duration.map_err(refuse)?;
    if duration > LONGEST {
        return Err(refuse("is longer than a hundred years"));
    }
    Ok(duration)
}

/// Writes it the way [`parse`] reads it: `1h30m`, `250ms`.
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(duration.subsec_millis()), "ms"),
        (u64::from(duration.subsec_micros() % 1_000), "us"),
    ];
    let text: String = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn plain(text: &str) -> Result<Duration, &'static str> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err("is empty");
    }
    while !rest.is_empty() {
        let (number, unit, after) = split(rest)?;
        let unit = match unit {
            "us" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" | "sec" | "secs" | "second" | "seconds" => Duration::from_secs(1),
            "m" | "min" | "mins" | "minute" | "minutes" => Duration::from_secs(60),
            "h" | "hour" | "hours" => Duration::from_secs(3_600),
            "d" | "day" | "days" => Duration::from_secs(86_400),
            "w" | "week" | "weeks" => Duration::from_secs(7 * 86_400),
            "" => return Err("has a number without a unit"),
            _ => return Err("has an unknown unit"),
        };
        total = add(total, number, unit)?;
        rest = after;
    }
    Ok(total)
}

/// What follows the `P`.
fn iso(text: &str) -> Result<Duration, &'static str> {
    let (days, time) = match text.split_once('t') {
        Some((_, "")) => return Err("has nothing after the T"),
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    if days.is_empty() && time.is_empty() {
        return Err("is not complete");
    }
    let mut total = Duration::ZERO;
    for (mut rest, units) in [
        (days, [("w", 604_800), ("d", 86_400), ("", 0)].as_slice()),
        (time, &[("h", 3_600), ("m", 60), ("s", 1)]),
    ] {
        while !rest.is_empty() {
            let (number, unit, after) = split(rest)?;
            let seconds = units.iter().find(|(name, _)| *name == unit && !name.is_empty());
            let (_, seconds) = seconds.ok_or(match unit {
                "y" | "m" => "counts months or years, which have no fixed length",
                _ => "has an unknown unit",
            })?;
            total = add(total, number, Duration::from_secs(*seconds))?;
            rest = after;
        }
    }
    Ok(total)
}

/// A number, its unit, and what comes after.
fn split(text: &str) -> Result<(u32, &str, &str), &'static str> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err("has no number where one is expected");
    }
    let number = number.parse().map_err(|_| "has a number that is too large")?;
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Ok((number, unit, after.trim_start()))
}

fn add(total: Duration, number: u32, unit: Duration) -> Result<Duration, &'static str> {
    unit.checked_mul(number).and_then(|part| total.checked_add(part)).ok_or("is too long")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn people_and_iso_forms_are_read() {
        let cases = [
            ("90s", 90_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("90 seconds", 90_000),
            ("250ms", 250),
            ("0s", 0),
            ("PT90M", 5_400_000),
            ("pt1h30m", 5_400_000),
            ("P1D", 86_400_000),
            ("P1W", 604_800_000),
            ("P1DT12H", 129_600_000),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_what_was_expected() {
        let cases = [
            ("", "is empty"),
            ("90", "without a unit"),
            ("m", "no number"),
            ("-5m", "no number"),
            ("1.5h", "without a unit"),
            ("5 fortnights", "unknown unit"),
            ("1h30", "without a unit"),
            ("P", "not complete"),
            ("PT", "nothing after the T"),
            ("P1M", "no fixed length"),
            ("P1Y", "no fixed length"),
            ("PT1D", "unknown unit"),
            ("99999999999s", "too large"),
            ("40000d", "hundred years"),
            ("4000000000w", "hundred years"),
            ("5é", "without a unit"),
        ];
        for (text, why) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(error.contains(EXPECTED), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(micros in 0u64..LONGEST.as_micros() as u64) {
            let duration = Duration::from_micros(micros);

            prop_assert_eq!(parse(&show(duration)).unwrap(), duration);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
            let _ = parse(&format!("P{text}"));
        }
    }
}
