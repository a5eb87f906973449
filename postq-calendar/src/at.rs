//! Moments as people write them.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};

use postq_core::error::{ErrorKind, ScheduleError};

use crate::{duration, zone};

const LOCAL: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];

/// A moment as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// An instant: RFC 3339.
    Instant(DateTime<Utc>),
    /// What the clocks of a zone show. In a gap it is shifted forward by the gap; what happens twice
    /// is the first pass.
    Local {
        /// What the clocks show.
        wall: NaiveDateTime,
        /// The zone, in the database's spelling.
        tz: String,
    },
    /// So long from now: `+5s`.
    After(Duration),
}

impl At {
    /// Reads `2026-03-08T09:00:00Z`, `2026-03-08T09:00+01:00`, `2026-03-08T09:00` (with the zone
    /// `tz`) or `+5s`. A space may stand for the `T`, and seconds may be left out.
    pub fn parse(text: &str, tz: Option<&str>) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if let Some(after) = text.strip_prefix('+') {
            return duration::parse(after).map(Self::After);
        }
        let form = text.replacen(' ', "T", 1);
        if let Some(instant) = instant(&form) {
            return in_range(instant, text).map(Self::Instant);
        }
        let wall =
            LOCAL.iter().find_map(|form_of| NaiveDateTime::parse_from_str(&form, form_of).ok());
        match (wall, tz) {
            (None, _) => Err(refuse(text, "is no time that can be read")),
            (Some(_), None) => {
                Err(refuse(text, "has no time zone; add one (tz), or an offset as Z"))
            }
            (Some(wall), Some(tz)) => {
                let tz = zone::check(tz)?;
                let local = Self::Local { wall, tz };
                // Whether it is in range shows here, and not when it is used.
                local.instant(DateTime::UNIX_EPOCH)?;
                Ok(local)
            }
        }
    }

    /// The instant it means when `now` is now; in whole microseconds.
    pub fn instant(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, ScheduleError> {
        match self {
            Self::Instant(at) => Ok(*at),
            Self::Local { wall, tz } => zone::local_to_instant(*wall, tz),
            Self::After(after) => chrono::TimeDelta::from_std(*after)
                .ok()
                .and_then(|after| now.checked_add_signed(after))
                .map(|at| at.trunc_subsecs(6))
                .ok_or_else(|| refuse(&format!("+{}", duration::show(*after)), "is too far away")),
        }
    }

    /// The local time as it was written, where it was: `2026-03-08T02:30:00`.
    pub fn local(&self) -> Option<String> {
        match self {
            Self::Local { wall, .. } => Some(wall.format("%Y-%m-%dT%H:%M:%S%.f").to_string()),
            Self::Instant(_) | Self::After(_) => None,
        }
    }

    /// Whether it means another instant each time it is read.
    pub fn is_relative(&self) -> bool {
        matches!(self, Self::After(_))
    }
}

fn instant(form: &str) -> Option<DateTime<Utc>> {
    let short = ["%Y-%m-%dT%H:%M%#z", "%Y-%m-%dT%H:%MZ"];
    if let Ok(at) = DateTime::parse_from_rfc3339(form) {
        return Some(at.to_utc());
    }
    if let Ok(at) = DateTime::parse_from_str(form, short[0]) {
        return Some(at.to_utc());
    }
    NaiveDateTime::parse_from_str(form, short[1]).ok().map(|wall| wall.and_utc())
}

fn in_range(at: DateTime<Utc>, text: &str) -> Result<DateTime<Utc>, ScheduleError> {
    use chrono::Datelike;
    // Through microseconds, so that a leap second becomes the second after it.
    let at = DateTime::from_timestamp_micros(at.timestamp_micros())
        .filter(|at| (1970..=9999).contains(&at.year()));
    at.ok_or_else(|| refuse(text, "is out of range; expected a year from 1970 to 9999"))
}

fn refuse(text: &str, why: &str) -> ScheduleError {
    ScheduleError::new(
        ErrorKind::Invalid,
        format!(
            "\"{text}\" {why}; expected 2026-03-08T09:00:00Z, a local time as 2026-03-08T09:00 \
             with a zone, or +5s"
        ),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn instant_of(text: &str, tz: Option<&str>) -> String {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        At::parse(text, tz).unwrap().instant(now).unwrap().to_rfc3339()
    }

    #[test]
    fn every_form_is_read() {
        let berlin = Some("Europe/Berlin");

        assert_eq!(instant_of("2026-03-08T09:00:00Z", None), "2026-03-08T09:00:00+00:00");
        assert_eq!(instant_of("2026-03-08 09:00:00Z", None), "2026-03-08T09:00:00+00:00");
        assert_eq!(instant_of("2026-03-08T09:00Z", None), "2026-03-08T09:00:00+00:00");
        assert_eq!(instant_of("2026-03-08T09:00+05:30", None), "2026-03-08T03:30:00+00:00");
        assert_eq!(instant_of("2026-03-08T09:00", berlin), "2026-03-08T08:00:00+00:00");
        assert_eq!(instant_of("2026-07-08 09:00:01.5", berlin), "2026-07-08T07:00:01.500+00:00");
        assert_eq!(instant_of("+1h30m", None), "2026-01-01T01:30:00+00:00");
        // An offset says it all: a zone beside it is for showing.
        assert_eq!(instant_of("2026-03-08T09:00:00Z", berlin), "2026-03-08T09:00:00+00:00");
    }

    #[test]
    fn what_is_written_locally_is_kept() {
        let at = At::parse("2026-03-08 02:30", Some("america/new_york")).unwrap();

        assert_eq!(at.local().as_deref(), Some("2026-03-08T02:30:00"));
        assert!(matches!(at, At::Local { ref tz, .. } if tz == "America/New_York"));
    }

    #[test]
    fn what_is_no_moment_says_what_was_expected() {
        let cases = [
            ("tomorrow", None, "no time that can be read"),
            ("2026-02-30T09:00:00Z", None, "no time that can be read"),
            ("2026-03-08", Some("UTC"), "no time that can be read"),
            ("2026-03-08T09:00", None, "no time zone"),
            ("2026-03-08T09:00", Some("Nowhere"), "unknown time zone"),
            ("1969-12-31T23:59:59Z", None, "out of range"),
            ("1969-12-31T23:59", Some("UTC"), "out of range"),
            ("+soon", None, "no number"),
        ];
        for (text, tz, why) in cases {
            let error = At::parse(text, tz).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = At::parse(&text, Some("UTC"));
        }
    }
}
