//! What Pinterest's headers say about its limits.
//!
//! `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` are on most answers. The first may list
//! several limits, as `100, 100;w=1, 1000;w=60`; the others are of the one that is nearest. The reset is in
//! seconds from now; a number that can only be a moment is read as one. Every reading is clamped: a wrong clock
//! or unit can neither stop nor flood a lane.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::failure::{LimitReading, LimitScope, Wait};
use postq_http::{LONGEST_WAIT, SHORTEST_WAIT, header, retry_after, wait_until};
use reqwest::header::HeaderMap;

use crate::config::Access;

/// The wait of a 429 that does not tell its end.
const UNTOLD: Duration = Duration::from_secs(60);
/// A reset above this is seconds since 1970: as a wait it would be 31 years.
const MOMENT: i64 = 1_000_000_000;

/// The limit that an answer tells of.
pub(crate) fn readings(
    headers: &HeaderMap,
    access: Access,
    now: DateTime<Utc>,
) -> Vec<LimitReading> {
    let reading = || {
        let remaining = first(header(headers, "x-ratelimit-remaining")?).parse::<i64>().ok()?;
        Some(LimitReading {
            scope: scope(access),
            remaining: u32::try_from(remaining.max(0)).unwrap_or(u32::MAX),
            resets_in: resets_in(headers, now)?,
        })
    };
    reading().into_iter().collect()
}

/// Who shall wait for how long after a 429.
pub(crate) fn wait_after_429(headers: &HeaderMap, access: Access, now: DateTime<Utc>) -> Wait {
    let told = retry_after(headers, now).or_else(|| resets_in(headers, now));
    Wait { scope: scope(access), for_: told.unwrap_or(UNTOLD) }
}

/// Trial access has one limit for the whole app, Standard access one for each user.
fn scope(access: Access) -> LimitScope {
    match access {
        Access::Trial => LimitScope::App,
        Access::Standard => LimitScope::Account,
    }
}

fn resets_in(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = first(header(headers, "x-ratelimit-reset")?).parse::<i64>().ok()?;
    if seconds > MOMENT {
        return Some(wait_until(DateTime::from_timestamp(seconds, 0)?, now));
    }
    Some(
        Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            .clamp(SHORTEST_WAIT, LONGEST_WAIT),
    )
}

fn first(list: &str) -> &str {
    list.split([',', ';']).next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a time")
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |&(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn wait(pairs: &[(&str, &str)]) -> u64 {
        wait_after_429(&headers(pairs), Access::Standard, now()).for_.as_secs()
    }

    #[test]
    fn the_nearest_limit_is_a_reading() {
        for (remaining, reset) in [("98", "40"), ("98, 998;w=60", "40, 50"), ("98", "1700000040")] {
            let headers = headers(&[
                ("x-ratelimit-limit", "100, 100;w=1, 1000;w=60"),
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset", reset),
            ]);

            let readings = readings(&headers, Access::Trial, now());

            assert_eq!(readings.len(), 1);
            assert_eq!((readings[0].scope, readings[0].remaining), (LimitScope::App, 98));
            assert_eq!(readings[0].resets_in, Duration::from_secs(40), "{reset}");
        }
    }

    #[test]
    fn nonsense_is_no_reading() {
        for (remaining, reset) in [("many", "40"), ("1", "soon"), ("", "40"), ("1", "")] {
            let headers =
                headers(&[("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)]);
            assert!(readings(&headers, Access::Standard, now()).is_empty(), "{remaining} {reset}");
        }
        assert!(readings(&HeaderMap::new(), Access::Standard, now()).is_empty());
    }

    #[test]
    fn a_wait_is_told_by_any_header_and_clamped() {
        assert_eq!(wait(&[]), 60);
        assert_eq!(wait(&[("x-ratelimit-reset", "7")]), 7);
        assert_eq!(wait(&[("x-ratelimit-reset", "0")]), 1);
        assert_eq!(wait(&[("x-ratelimit-reset", "999999")]), LONGEST_WAIT.as_secs());
        assert_eq!(wait(&[("retry-after", "30"), ("x-ratelimit-reset", "7")]), 30);
        assert_eq!(wait(&[("retry-after", "Tue, 14 Nov 2023 22:14:20 GMT")]), 60);
    }
}
