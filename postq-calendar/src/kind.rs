//! Rules as people and programs write them: a kind and a text.

use std::num::NonZeroU32;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use postq_core::error::{ErrorKind, ScheduleError};
use postq_core::schedule::Timing;

use crate::{At, duration, near};

/// Which kind of rule a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A moment, as [`At`] reads it.
    OneShot,
    /// A distance: `90m`, with a start `2026-03-08T09:00:00Z/PT90M`, so many times
    /// `R5/2026-03-08T09:00:00Z/PT90M` (ISO 8601).
    Interval,
    /// A cron expression.
    Cron,
    /// The content lines of RFC 5545.
    Rrule,
}

const NAMES: [(&str, Kind); 4] = [
    ("one_shot", Kind::OneShot),
    ("interval", Kind::Interval),
    ("cron", Kind::Cron),
    ("rrule", Kind::Rrule),
];

impl Kind {
    /// Reads a rule of this kind. What counts from now on, a moment `+5m` or a distance without a
    /// start, counts from `from`.
    pub fn read(
        self,
        text: &str,
        tz: Option<&str>,
        from: DateTime<Utc>,
    ) -> Result<Timing, ScheduleError> {
        Ok(match self {
            Self::OneShot => {
                let at = At::parse(text, tz)?;
                Timing::OneShot { at: at.instant(from)?, local: at.local() }
            }
            Self::Interval => interval(text, tz, from)?,
            Self::Cron => {
                Timing::Cron { expr: text.trim().to_owned(), from: None, count: None, until: None }
            }
            Self::Rrule => Timing::Rrule { expr: text.trim().to_owned() },
        })
    }
}

impl FromStr for Kind {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name);
            let hint = near::hint(name, names);
            invalid(format!(
                "\"{name}\" is no kind of rule; expected one of {}{hint}",
                names.join(", ")
            ))
        })
    }
}

/// `90m`, `START/PT90M` or `R5/START/PT90M`.
fn interval(text: &str, tz: Option<&str>, from: DateTime<Utc>) -> Result<Timing, ScheduleError> {
    let parts: Vec<_> = text.trim().split('/').collect();
    let (times, start, every) = match parts[..] {
        [every] => (None, None, every),
        [start, every] => (None, Some(start), every),
        [times, start, every] => (Some(times), Some(start), every),
        _ => {
            return Err(invalid(format!(
                "\"{text}\" has too many parts; expected 90m or R5/2026-03-08T09:00:00Z/PT90M"
            )));
        }
    };
    let count = times.map_or(Ok(None), repetitions)?;
    let start = start.map(|start| At::parse(start, tz)?.instant(from)).transpose()?;
    Ok(Timing::Interval {
        every: duration::parse(every)?,
        anchor: start.unwrap_or(from),
        count,
        until: None,
    })
}

/// `R5`, or `R` for no end.
fn repetitions(text: &str) -> Result<Option<NonZeroU32>, ScheduleError> {
    let expected =
        || invalid(format!("\"{text}\" is no number of times; expected R5, or R for no end"));
    match text.strip_prefix(['R', 'r']) {
        Some("") => Ok(None),
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            number.parse().map(Some).map_err(|_| expected())
        }
        _ => Err(expected()),
    }
}

fn invalid(what: String) -> ScheduleError {
    ScheduleError::new(ErrorKind::Invalid, what)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(kind: &str, text: &str) -> Result<Timing, String> {
        let from = "2026-01-01T00:00:00Z".parse().unwrap();
        let kind: Kind = kind.parse().map_err(|error: ScheduleError| error.to_string())?;
        kind.read(text, Some("Europe/Berlin"), from).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_is_read() {
        let interval = |every, anchor: &str, count| Timing::Interval {
            every: Duration::from_secs(every),
            anchor: anchor.parse().unwrap(),
            count: NonZeroU32::new(count),
            until: None,
        };

        assert_eq!(read("interval", "90m"), Ok(interval(5_400, "2026-01-01T00:00:00Z", 0)));
        assert_eq!(
            read("interval", "2026-03-08T09:00/PT1H"),
            Ok(interval(3_600, "2026-03-08T08:00:00Z", 0))
        );
        assert_eq!(
            read("interval", "R5/2026-03-08T09:00:00Z/1d"),
            Ok(interval(86_400, "2026-03-08T09:00:00Z", 5))
        );
        assert_eq!(read("interval", "R/+1h/1h"), Ok(interval(3_600, "2026-01-01T01:00:00Z", 0)));
        assert!(matches!(read("one_shot", "2026-03-08T09:00"), Ok(Timing::OneShot { .. })));
        assert!(
            matches!(read("cron", " @daily "), Ok(Timing::Cron { expr, .. }) if expr == "@daily")
        );
        assert!(matches!(read("rrule", "FREQ=DAILY"), Ok(Timing::Rrule { .. })));
    }

    #[test]
    fn what_is_no_rule_says_what_was_expected() {
        assert!(read("chron", "@daily").unwrap_err().contains("did you mean \"cron\"?"));
        assert!(read("interval", "1/2/3/4").unwrap_err().contains("too many parts"));
        assert!(
            read("interval", "R0/2026-03-08T09:00:00Z/1d").unwrap_err().contains("expected R5")
        );
        assert!(read("interval", "5/2026-03-08T09:00:00Z/1d").unwrap_err().contains("expected R5"));
        assert!(read("interval", "soon").unwrap_err().contains("expected a duration"));
    }
}
