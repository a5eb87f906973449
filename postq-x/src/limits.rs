//! What X's headers say about its limits.
//!
//! Every reading is clamped: a wrong clock or unit can neither stop nor flood a lane.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::failure::{LimitReading, LimitScope, Wait};
use postq_http::{header, retry_after, wait_until};
use reqwest::header::HeaderMap;

/// The window of X's ordinary limits: the wait of a 429 that does not tell its end.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// The wait of a cap that does not tell its end.
const CAP: Duration = Duration::from_secs(3_600);

/// The beginning of each family of headers, and whom it is for.
const WINDOW_15_MIN: (&str, LimitScope) = ("x-rate-limit", LimitScope::Account);
const APP_24_HOURS: (&str, LimitScope) = ("x-app-limit-24hour", LimitScope::App);
const USER_24_HOURS: (&str, LimitScope) = ("x-user-limit-24hour", LimitScope::Account);

/// The limits that an answer tells of.
pub(crate) fn readings(headers: &HeaderMap, now: DateTime<Utc>) -> Vec<LimitReading> {
    [WINDOW_15_MIN, APP_24_HOURS, USER_24_HOURS]
        .into_iter()
        .filter_map(|family| reading(headers, family, now))
        .collect()
}

/// Who shall wait for how long after a 429.
///
/// With calls left in the 15-minute window it was another limit: of 24 hours, or the app's cap.
pub(crate) fn wait_after_429(headers: &HeaderMap, capped: bool, now: DateTime<Utc>) -> Wait {
    let used_up = |family| reading(headers, family, now).filter(|reading| reading.remaining == 0);
    let told = |scope| retry_after(headers, now).map(|for_| Wait { scope, for_ });
    let daily = used_up(APP_24_HOURS).or_else(|| used_up(USER_24_HOURS));
    if let Some(reading) = daily {
        return Wait { scope: reading.scope, for_: reading.resets_in };
    }
    if capped {
        return told(LimitScope::App).unwrap_or(Wait { scope: LimitScope::App, for_: CAP });
    }
    match reading(headers, WINDOW_15_MIN, now) {
        Some(window) if window.remaining == 0 => {
            Wait { scope: window.scope, for_: window.resets_in }
        }
        // Of the account alone, since nothing says more: the others must not wait for a guess.
        Some(_) => {
            told(LimitScope::Account).unwrap_or(Wait { scope: LimitScope::Account, for_: CAP })
        }
        None => told(LimitScope::Account).unwrap_or(Wait {
            scope: LimitScope::Account,
            for_: resets_in(headers, WINDOW_15_MIN.0, now).unwrap_or(WINDOW),
        }),
    }
}

fn reading(
    headers: &HeaderMap,
    (family, scope): (&str, LimitScope),
    now: DateTime<Utc>,
) -> Option<LimitReading> {
    let remaining = header(headers, &format!("{family}-remaining"))?.parse::<i64>().ok()?;
    Some(LimitReading {
        scope,
        remaining: u32::try_from(remaining.max(0)).unwrap_or(u32::MAX),
        resets_in: resets_in(headers, family, now)?,
    })
}

fn resets_in(headers: &HeaderMap, family: &str, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = header(headers, &format!("{family}-reset"))?.parse().ok()?;
    Some(wait_until(DateTime::from_timestamp(seconds, 0)?, now))
}

#[cfg(test)]
mod tests {
    use postq_http::LONGEST_WAIT;
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

    fn wait(pairs: &[(&str, &str)], capped: bool) -> (LimitScope, u64) {
        let wait = wait_after_429(&headers(pairs), capped, now());
        (wait.scope, wait.for_.as_secs())
    }

    #[test]
    fn each_family_is_a_reading() {
        let headers = headers(&[
            ("x-rate-limit-limit", "100"),
            ("x-rate-limit-remaining", "98"),
            ("x-rate-limit-reset", "1000060"),
            ("x-app-limit-24hour-remaining", "0"),
            ("x-app-limit-24hour-reset", "1007200"),
            ("x-user-limit-24hour-remaining", "-1"),
            ("x-user-limit-24hour-reset", "999"),
        ]);

        let reading = |scope, remaining, seconds| LimitReading {
            scope,
            remaining,
            resets_in: Duration::from_secs(seconds),
        };
        assert_eq!(
            readings(&headers, now()),
            [
                reading(LimitScope::Account, 98, 60),
                reading(LimitScope::App, 0, 7_200),
                reading(LimitScope::Account, 0, 1),
            ]
        );
    }

    #[test]
    fn nonsense_is_no_reading() {
        for (remaining, reset) in [("many", "1000060"), ("1", "soon"), ("1", ""), ("1", "9e99")] {
            let headers =
                headers(&[("x-rate-limit-remaining", remaining), ("x-rate-limit-reset", reset)]);
            assert!(readings(&headers, now()).is_empty(), "{remaining} {reset}");
        }
        let far =
            headers(&[("x-rate-limit-remaining", "1"), ("x-rate-limit-reset", "99999999999")]);
        assert_eq!(readings(&far, now())[0].resets_in, LONGEST_WAIT);
    }

    #[test]
    fn the_window_that_is_used_up_decides_the_wait() {
        let window = [("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1000300")];
        let left = [("x-rate-limit-remaining", "7"), ("x-rate-limit-reset", "1000300")];
        let app = [("x-app-limit-24hour-remaining", "0"), ("x-app-limit-24hour-reset", "1009000")];
        let user =
            [("x-user-limit-24hour-remaining", "0"), ("x-user-limit-24hour-reset", "1008000")];

        assert_eq!(wait(&window, false), (LimitScope::Account, 300));
        assert_eq!(wait(&[window, app].concat(), false), (LimitScope::App, 9_000));
        assert_eq!(wait(&[left, user].concat(), false), (LimitScope::Account, 8_000));
        assert_eq!(wait(&left, false), (LimitScope::Account, 3_600));
        assert_eq!(wait(&left, true), (LimitScope::App, 3_600));
        assert_eq!(wait(&[], false), (LimitScope::Account, 900));
        assert_eq!(wait(&[("x-rate-limit-reset", "1000120")], false), (LimitScope::Account, 120));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = httpdate::fmt_http_date((now() + Duration::from_secs(90)).into());

        assert_eq!(wait(&[("retry-after", "45")], false), (LimitScope::Account, 45));
        assert_eq!(wait(&[("retry-after", &date)], false), (LimitScope::Account, 90));
        assert_eq!(wait(&[("retry-after", "0")], false), (LimitScope::Account, 1));
        assert_eq!(wait(&[("retry-after", "99999999")], true), (LimitScope::App, 86_400));
        assert_eq!(wait(&[("retry-after", "never")], false), (LimitScope::Account, 900));
    }
}
