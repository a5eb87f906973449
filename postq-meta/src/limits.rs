//! What the headers say about limits: shares of a window in percent, and minutes until it opens again.
//!
//! | header | whose | what is in it |
//! |---|---|---|
//! | `X-App-Usage` | the app | `call_count`, `total_time`, `total_cputime`: percent of the app's hour |
//! | `X-Business-Use-Case-Usage` | the account | the same for each kind of use, by the account's id, with `estimated_time_to_regain_access` in minutes |
//!
//! Percents are no calls. Above 80 the rest up to 100 is told as the calls that are left for a while, so that
//! postq slows down before Meta refuses; below that nothing is told. Every time is clamped: a wrong unit can
//! neither stop nor flood a lane.

use std::time::Duration;

use postq_core::failure::{LimitReading, LimitScope};
use postq_http::{LONGEST_WAIT, SHORTEST_WAIT, header};
use reqwest::header::HeaderMap;
use serde_json::Value;

/// From so many percent on it goes slower.
const SLOW: u64 = 80;
/// All of it is used.
const FULL: u64 = 100;
/// What is left counts for so long; then the headers are read anew.
const FOR: Duration = Duration::from_secs(300);
/// The wait after a limit that does not tell its end.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// The limits that an answer tells of.
pub(crate) fn readings(headers: &HeaderMap) -> Vec<LimitReading> {
    let scopes = [LimitScope::App, LimitScope::Account];
    let used = scopes.into_iter().filter_map(|scope| Some((scope, usage(headers, scope)?)));
    used.filter(|(_, usage)| usage.percent >= SLOW)
        .map(|(scope, usage)| LimitReading {
            scope,
            remaining: u32::try_from(FULL.saturating_sub(usage.percent)).unwrap_or_default(),
            resets_in: if usage.percent >= FULL { usage.wait() } else { FOR },
        })
        .collect()
}

/// How long to wait after a limit was met.
pub(crate) fn wait_after_limit(headers: &HeaderMap, scope: LimitScope) -> Duration {
    let told = usage(headers, scope).and_then(|usage| usage.regain);
    told.or_else(|| retry_after(headers)).unwrap_or(WINDOW)
}

/// How much of a window is used.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    percent: u64,
    regain: Option<Duration>,
}

impl Usage {
    fn wait(self) -> Duration {
        self.regain.unwrap_or(WINDOW)
    }

    /// The one that is used more; the longer wait.
    fn or_more(self, other: Self) -> Self {
        Self { percent: self.percent.max(other.percent), regain: self.regain.max(other.regain) }
    }

    fn of(entry: &Value) -> Self {
        let percents = ["call_count", "total_time", "total_cputime"];
        let percent = percents.iter().filter_map(|name| number(entry.get(name)?)).max();
        let minutes = entry.get("estimated_time_to_regain_access").and_then(number);
        let regain = minutes.filter(|minutes| *minutes > 0);
        let regain = regain
            .map(|m| Duration::from_secs(m.saturating_mul(60)).clamp(SHORTEST_WAIT, LONGEST_WAIT));
        Self { percent: percent.unwrap_or_default(), regain }
    }
}

fn usage(headers: &HeaderMap, scope: LimitScope) -> Option<Usage> {
    let json = |name| serde_json::from_str::<Value>(header(headers, name)?).ok();
    match scope {
        LimitScope::App => Some(Usage::of(&json("x-app-usage")?)),
        LimitScope::Account => {
            let by_id = json("x-business-use-case-usage")?;
            let entries = by_id.as_object()?.values().filter_map(Value::as_array).flatten();
            entries.map(Usage::of).reduce(Usage::or_more)
        }
    }
}

/// A whole number, however it is written.
fn number(value: &Value) -> Option<u64> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percent or minutes: what is larger is clamped"
    )]
    value.as_f64().map(|number| number.max(0.0) as u64)
}

/// In seconds. Meta documents none; proxies in front of it send it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = header(headers, "retry-after")?.parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(SHORTEST_WAIT, LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn app(percent: u32) -> HeaderMap {
        let usage = format!(r#"{{"call_count":{percent},"total_time":25,"total_cputime":25}}"#);
        headers(&[("x-app-usage", &usage)])
    }

    #[test]
    fn it_goes_slower_above_80_percent() {
        assert_eq!(readings(&app(79)), []);
        for (percent, remaining, seconds) in
            [(80, 20, 300), (95, 5, 300), (100, 0, 900), (180, 0, 900)]
        {
            let reading = readings(&app(percent)).pop().expect("a reading");
            assert_eq!((reading.scope, reading.remaining), (LimitScope::App, remaining));
            assert_eq!(reading.resets_in.as_secs(), seconds, "{percent}");
        }
    }

    #[test]
    fn an_account_waits_for_its_longest_use() {
        let usage = r#"{"17841":[{"type":"pages","call_count":95,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":19},
            {"type":"instagram","call_count":7,"total_cputime":101.5,"total_time":20,"estimated_time_to_regain_access":0}]}"#;
        let headers = headers(&[("x-business-use-case-usage", &usage.replace('\n', ""))]);

        let reading = readings(&headers).pop().expect("a reading");

        assert_eq!((reading.scope, reading.remaining), (LimitScope::Account, 0));
        assert_eq!(reading.resets_in, Duration::from_secs(19 * 60));
        assert_eq!(wait_after_limit(&headers, LimitScope::Account), Duration::from_secs(19 * 60));
        assert_eq!(wait_after_limit(&headers, LimitScope::App), WINDOW);
    }

    #[test]
    fn nonsense_is_no_reading_and_waits_are_clamped() {
        for bad in ["", "{", "[]", "7", r#"{"call_count":"many"}"#, r#"{"call_count":-5}"#] {
            let headers = headers(&[("x-app-usage", bad), ("x-business-use-case-usage", bad)]);
            assert_eq!(readings(&headers), [], "{bad}");
            assert_eq!(wait_after_limit(&headers, LimitScope::Account), WINDOW);
        }
        let far = r#"{"1":[{"call_count":100,"estimated_time_to_regain_access":99999999}]}"#;
        let far = headers(&[("x-business-use-case-usage", far)]);
        assert_eq!(wait_after_limit(&far, LimitScope::Account), LONGEST_WAIT);
        let proxy = headers(&[("retry-after", "45")]);
        assert_eq!(wait_after_limit(&proxy, LimitScope::App), Duration::from_secs(45));
    }
}
