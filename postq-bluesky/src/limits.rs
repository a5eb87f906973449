//! What the headers say about limits.
//!
//! Writing is counted in points: a new record is 3 of them. Every reading is clamped: a wrong clock or unit can
//! neither stop nor flood a lane.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::failure::{LimitReading, LimitScope};
use postq_http::{header, retry_after, wait_until};
use reqwest::header::HeaderMap;

/// The wait of a 429 that does not tell its end: the shortest window of Bluesky's.
const WINDOW: Duration = Duration::from_secs(300);
/// What a new record costs of the limits on writing, which are those over an hour or a day.
const POINTS: u32 = 3;
const WRITING: [&str; 2] = ["w=3600", "w=86400"];

/// The limit that an answer tells of, in calls.
pub(crate) fn readings(headers: &HeaderMap, now: DateTime<Utc>) -> Vec<LimitReading> {
    reading(headers, now).into_iter().collect()
}

fn reading(headers: &HeaderMap, now: DateTime<Utc>) -> Option<LimitReading> {
    let left = header(headers, "ratelimit-remaining")?.parse::<i64>().ok()?;
    let left = u32::try_from(left.max(0)).unwrap_or(u32::MAX);
    let policy = header(headers, "ratelimit-policy").unwrap_or_default();
    let in_points = policy.split(';').any(|word| WRITING.contains(&word.trim()));
    Some(LimitReading {
        scope: LimitScope::Account,
        remaining: if in_points { left / POINTS } else { left },
        resets_in: resets_in(headers, now)?,
    })
}

/// How long an account waits after a 429. Bluesky sends no `Retry-After`; what stands before a server may.
pub(crate) fn wait_after_429(headers: &HeaderMap, now: DateTime<Utc>) -> Duration {
    resets_in(headers, now).or_else(|| retry_after(headers, now)).unwrap_or(WINDOW)
}

/// `RateLimit-Reset` is a moment, in seconds since 1970.
fn resets_in(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = header(headers, "ratelimit-reset")?.parse().ok()?;
    Some(wait_until(DateTime::from_timestamp(seconds, 0)?, now))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000, 0).expect("a time")
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn told(remaining: &str, reset: &str, policy: &str) -> Option<(u32, u64)> {
        let headers = headers(&[
            ("ratelimit-limit", "5000"),
            ("ratelimit-remaining", remaining),
            ("ratelimit-reset", reset),
            ("ratelimit-policy", policy),
        ]);
        readings(&headers, now()).first().map(|one| (one.remaining, one.resets_in.as_secs()))
    }

    #[test]
    fn points_are_read_as_calls() {
        assert_eq!(told("4997", "1000060", "5000;w=3600"), Some((1_665, 60)));
        assert_eq!(told("2", "1000060", "35000; w=86400"), Some((0, 60)));
        assert_eq!(told("2", "1000060", "3000;w=300"), Some((2, 60)));
        assert_eq!(told("7", "999", ""), Some((7, 1)));
        assert_eq!(told("-1", "99999999999", ""), Some((0, 86_400)));
    }

    #[test]
    fn nonsense_and_silence_are_no_reading() {
        for (remaining, reset) in [("many", "1000060"), ("1", "soon"), ("1", ""), ("1", "9e99")] {
            assert_eq!(told(remaining, reset, "5000;w=3600"), None, "{remaining} {reset}");
        }
        assert!(readings(&HeaderMap::new(), now()).is_empty());
    }

    #[test]
    fn a_wait_is_told_or_five_minutes() {
        let wait = |pairs: &[(&str, &str)]| wait_after_429(&headers(pairs), now()).as_secs();
        let date = httpdate::fmt_http_date((now() + Duration::from_secs(90)).into());

        assert_eq!(wait(&[("ratelimit-reset", "1000300"), ("retry-after", "9")]), 300);
        assert_eq!(wait(&[("retry-after", "45")]), 45);
        assert_eq!(wait(&[("retry-after", &date)]), 90);
        assert_eq!(wait(&[("retry-after", "0")]), 1);
        assert_eq!(wait(&[("ratelimit-reset", "9999999999")]), 86_400);
        assert_eq!(wait(&[]), 300);
        assert_eq!(wait(&[("retry-after", "never")]), 300);
    }
}
