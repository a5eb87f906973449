//! What the headers of any server may say: its time, and how long to wait.
//!
//! Every wait is clamped: a wrong clock or unit can neither stop nor flood a lane.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;

/// The shortest wait that is believed.
pub const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that is believed.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// A header's text without spaces around it; none if it is missing or no text.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// The time by the server's own clock (`Date`), in whole seconds, where its answer tells it: so a wrong clock here
/// does not matter.
pub fn server_time(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(header(headers, "date")?)
}

/// `Retry-After`, in seconds or as a date: 1 s to 24 h. Where a platform documents none, proxies in front of it
/// send it.
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = header(headers, "retry-after")?;
    match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds).clamp(SHORTEST_WAIT, LONGEST_WAIT)),
        Err(_) => Some(wait_until(http_date(value)?, now)),
    }
}

/// How long to wait until then: 1 s to 24 h.
pub fn wait_until(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (at - now).to_std().unwrap_or_default().clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text).ok().map(DateTime::from)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000, 0).expect("a time")
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let value = value.parse().expect("a value");
        [(HeaderName::from_static(name), value)].into_iter().collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |value: &str| {
            retry_after(&headers("retry-after", value), now()).map(|wait| wait.as_secs())
        };
        let date = httpdate::fmt_http_date((now() + Duration::from_secs(90)).into());

        assert_eq!(wait("45"), Some(45));
        assert_eq!(wait(" 45 "), Some(45));
        assert_eq!(wait(&date), Some(90));
        assert_eq!(wait("0"), Some(1));
        assert_eq!(wait("99999999"), Some(86_400));
        assert_eq!(wait("Mon, 01 Jan 2001 00:00:00 GMT"), Some(86_400));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:00 GMT"), Some(1));
        for nonsense in ["never", "", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn the_time_is_the_server_s() {
        let date = httpdate::fmt_http_date(now().into());

        assert_eq!(server_time(&headers("date", &date)), Some(now()));
        assert_eq!(server_time(&headers("date", "today")), None);
        assert_eq!(server_time(&HeaderMap::new()), None);
    }
}
