//! Times as Meta writes them, and how long a post may take to come out.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};

/// From an intent to the last moment at which its post can have come out.
pub(crate) fn lasts(send_timeout: Duration, settle_time: Duration) -> TimeDelta {
    TimeDelta::from_std(send_timeout + settle_time).expect("both are at most an hour")
}

/// A time as Meta writes it: `2026-11-22T03:00:00+0000`, or with a colon; none if it is something else.
pub(crate) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(serde_json::Value::deserialize(from)?.as_str().and_then(parse))
}

fn parse(text: &str) -> Option<DateTime<Utc>> {
    let strict = DateTime::parse_from_rfc3339(text).ok();
    let at = strict.or_else(|| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z").ok());
    at.map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_colon() {
        let at = parse("2026-11-22T03:00:00+0000").expect("a time");

        assert_eq!(parse("2026-11-22T03:00:00+00:00"), Some(at));
        assert_eq!(parse("2026-11-22T03:00:00Z"), Some(at));
        assert_eq!(parse("2026-11-22T04:00:00+0100"), Some(at));
        for bad in ["", "yesterday", "2026-11-22", "1700000000"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
