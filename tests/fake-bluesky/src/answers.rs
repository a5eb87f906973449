//! Answers with their headers.

use chrono::{DateTime, Utc};
use fake_http::{Answer, Canned};
use serde_json::{Value, json};

/// Refusals as answers of a test's own.
pub trait Refuses {
    /// A refusal as the protocol writes it.
    fn error(status: u16, error: &str, message: &str) -> Self;
}

impl Refuses for Canned {
    fn error(status: u16, error: &str, message: &str) -> Self {
        Self::new(status, json!({ "error": error, "message": message }).to_string())
    }
}

pub(crate) fn answer(status: u16, body: &Value) -> Answer {
    from_canned(&Canned::new(status, body.to_string()))
}

pub(crate) fn refuse(status: u16, error: &str, message: &str) -> Answer {
    from_canned(&Canned::error(status, error, message))
}

pub(crate) fn invalid(message: &str) -> Answer {
    refuse(400, "InvalidRequest", message)
}

pub(crate) fn limited(now: DateTime<Utc>) -> Answer {
    with_limits(refuse(429, "RateLimitExceeded", "Rate Limit Exceeded"), 0, now.timestamp() + 2)
}

pub(crate) fn with_limits(mut answer: Answer, remaining: i64, reset: i64) -> Answer {
    let values = [
        ("ratelimit-limit", "5000".to_owned()),
        ("ratelimit-remaining", remaining.to_string()),
        ("ratelimit-reset", reset.to_string()),
        ("ratelimit-policy", "5000;w=3600".to_owned()),
    ];
    for (name, value) in values {
        answer.headers_mut().insert(name, value.parse().expect("digits"));
    }
    answer
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    canned.answer("application/json; charset=utf-8")
}
