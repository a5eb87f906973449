//! What Reddit says about its limits: in headers, in a refusal's number, in a refusal's sentence.
//!
//! Every reading is clamped: a wrong clock or unit can neither stop nor flood a lane.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::failure::{LimitReading, LimitScope, Wait};
use postq_http::{LONGEST_WAIT, SHORTEST_WAIT, header, retry_after};
use reqwest::header::HeaderMap;

/// The window of the quota: the wait of a 429 that does not tell its end.
const WINDOW: Duration = Duration::from_secs(600);
/// The wait of a refusal that tells none: what its sentences most often say.
const UNTOLD: Duration = Duration::from_secs(600);
/// Added to a wait that is told to the fraction of a second: two clocks need not agree.
const SLACK: Duration = Duration::from_secs(1);

/// The quota that an answer tells of. Reddit counts the calls of an app, over all its accounts.
pub(crate) fn readings(headers: &HeaderMap) -> Vec<LimitReading> {
    reading(headers).into_iter().collect()
}

/// Who shall wait for how long after a 429.
///
/// With calls left in the window it was another limit: of the account alone, since nothing says more.
pub(crate) fn wait_after_429(headers: &HeaderMap, now: DateTime<Utc>) -> Wait {
    let told = retry_after(headers, now);
    match reading(headers) {
        Some(window) if window.remaining == 0 => {
            Wait { scope: LimitScope::App, for_: window.resets_in }
        }
        Some(_) => Wait { scope: LimitScope::Account, for_: told.unwrap_or(WINDOW) },
        None => {
            Wait { scope: LimitScope::Account, for_: resets_in(headers).or(told).unwrap_or(WINDOW) }
        }
    }
}

/// How long a refusal `RATELIMIT` asks to wait: by its number, else by its sentence, else ten minutes.
pub(crate) fn wait_of_refusal(seconds: Option<f64>, sentence: &str) -> Duration {
    let told = seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    let told = told.map(|seconds| clamped(seconds.ceil()) + SLACK);
    told.or_else(|| spoken(sentence)).unwrap_or(UNTOLD).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

/// The wait that a sentence tells: a number and a unit. The number is rounded, so one unit is added.
fn spoken(sentence: &str) -> Option<Duration> {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    words.windows(2).find_map(|pair| {
        let digits = pair[0].trim_matches(|c: char| !c.is_ascii_digit());
        let count: u32 = digits.parse().ok().filter(|count| *count < 1_000)?;
        let unit = pair[1].trim_end_matches(|c: char| !c.is_ascii_alphabetic()).to_lowercase();
        let unit = match unit.trim_end_matches('s') {
            "millisecond" => Duration::from_millis(1),
            "second" => Duration::from_secs(1),
            "minute" => Duration::from_secs(60),
            "hour" => Duration::from_secs(3_600),
            _ => return None,
        };
        Some(unit * (count + 1))
    })
}

fn reading(headers: &HeaderMap) -> Option<LimitReading> {
    let remaining = number(headers, "x-ratelimit-remaining")?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits, and a part of a call is none"
    )]
    let remaining = remaining.clamp(0.0, f64::from(u32::MAX)).floor() as u32;
    Some(LimitReading { scope: LimitScope::App, remaining, resets_in: resets_in(headers)? })
}

/// Seconds from now, not a time.
fn resets_in(headers: &HeaderMap) -> Option<Duration> {
    Some(clamped(number(headers, "x-ratelimit-reset")?.ceil()))
}

fn clamped(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(SHORTEST_WAIT.as_secs_f64(), LONGEST_WAIT.as_secs_f64()))
}

/// A number, whole or not: `992.0`.
fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    header(headers, name)?.parse::<f64>().ok().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000, 0).expect("a time")
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn quota(remaining: &str, reset: &str) -> HeaderMap {
        headers(&[("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)])
    }

    #[test]
    fn the_quota_is_seconds_from_now_and_a_number_with_a_fraction() {
        let reading = |remaining, seconds| LimitReading {
            scope: LimitScope::App,
            remaining,
            resets_in: Duration::from_secs(seconds),
        };

        assert_eq!(readings(&quota("992.0", "337")), [reading(992, 337)]);
        assert_eq!(readings(&quota("0.7", "1.2")), [reading(0, 2)]);
        assert_eq!(readings(&quota("-3", "0")), [reading(0, 1)]);
        assert_eq!(readings(&quota("1e99", "1e99")), [reading(u32::MAX, 86_400)]);
        for (remaining, reset) in [("many", "1"), ("NaN", "1"), ("1", "soon"), ("1", "inf")] {
            assert!(readings(&quota(remaining, reset)).is_empty(), "{remaining} {reset}");
        }
        assert!(readings(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn a_wait_is_for_the_app_where_its_quota_is_used_up() {
        let wait = |headers: &HeaderMap| {
            let wait = wait_after_429(headers, now());
            (wait.scope, wait.for_.as_secs())
        };

        assert_eq!(wait(&quota("0.0", "120")), (LimitScope::App, 120));
        assert_eq!(wait(&quota("7.0", "120")), (LimitScope::Account, 600));
        assert_eq!(wait(&HeaderMap::new()), (LimitScope::Account, 600));
        assert_eq!(wait(&headers(&[("x-ratelimit-reset", "90")])), (LimitScope::Account, 90));
        assert_eq!(wait(&headers(&[("retry-after", "45")])), (LimitScope::Account, 45));
        let date = httpdate::fmt_http_date((now() + Duration::from_secs(90)).into());
        assert_eq!(wait(&headers(&[("retry-after", &date)])), (LimitScope::Account, 90));
        assert_eq!(wait(&headers(&[("retry-after", "never")])), (LimitScope::Account, 600));
    }

    #[test]
    fn a_refusal_s_number_is_believed_before_its_sentence() {
        let wait = |seconds, sentence| wait_of_refusal(seconds, sentence).as_millis();

        assert_eq!(wait(Some(487.42), "try again in 8 minutes."), 489_000);
        assert_eq!(wait(Some(0.2), ""), 2_000);
        assert_eq!(wait(Some(1e12), ""), 86_400_000);
        for nonsense in [Some(0.0), Some(-4.0), Some(f64::NAN), Some(f64::INFINITY), None] {
            assert_eq!(wait(nonsense, "try again in 8 minutes."), 540_000, "{nonsense:?}");
        }
    }

    #[test]
    fn each_wording_of_a_wait_is_read_with_one_unit_more() {
        for (sentence, millis) in [
            ("you are doing that too much. try again in 8 minutes.", 540_000),
            ("You are doing that too much. Try again in 6 seconds.", 7_000),
            ("You are doing that too much. Try again in 1 minute.", 120_000),
            ("You are doing that too much. Try again in 2 milliseconds.", 1_000),
            ("Looks like it. Take a break for 6 minutes before trying again.", 420_000),
            ("try again in 3 hours.", 14_400_000),
            ("try again in 30 hours.", 86_400_000),
            ("das machst du zu oft, versuche es in 8 Minuten wieder", 600_000),
            ("", 600_000),
            ("9999999999999 minutes", 600_000),
        ] {
            assert_eq!(wait_of_refusal(None, sentence).as_millis(), millis, "{sentence}");
        }
    }
}
