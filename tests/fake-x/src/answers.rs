//! Answers with their headers.

use chrono::{DateTime, Utc};
use fake_http::{Answer, Canned};
use serde_json::{Value, json};

use crate::shapes;

/// Whose limit it is.
pub(crate) enum LimitedBy {
    User,
    App,
}

pub(crate) fn limited(by: LimitedBy, now: DateTime<Utc>) -> Answer {
    let refusal = refuse(429, "", "Too Many Requests", "Too Many Requests");
    let now = now.timestamp();
    match by {
        LimitedBy::User => limits(refusal, OF_USER, [100, 0, now + 2]),
        LimitedBy::App => limits(refusal, OF_APP, [100, 0, now + 5]),
    }
}

pub(crate) fn with_limits(answer: Answer, now: DateTime<Utc>) -> Answer {
    limits(answer, OF_USER, [10_000, 9_999, now.timestamp() + 900])
}

const OF_USER: [&str; 3] = ["x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"];
const OF_APP: [&str; 3] =
    ["x-app-limit-24hour-limit", "x-app-limit-24hour-remaining", "x-app-limit-24hour-reset"];

fn limits(mut answer: Answer, names: [&'static str; 3], values: [i64; 3]) -> Answer {
    for (name, value) in names.into_iter().zip(values) {
        answer.headers_mut().insert(name, value.into());
    }
    answer
}

pub(crate) fn no_credits() -> Answer {
    let mut body = shapes::problem(
        402,
        "credits",
        "CreditsDepleted",
        "Your enrolled account [2056] does not have any credits to fulfill this request.",
    );
    body["account_id"] = json!(2_056_123_456_789_012_345_u64);
    answer(402, &body)
}

pub(crate) fn unavailable() -> Answer {
    refuse(503, "", "Service Unavailable", "Service Unavailable")
}

pub(crate) fn not_found() -> Answer {
    refuse(404, "resource-not-found", "Not Found Error", "There is no such path.")
}

pub(crate) fn refuse(status: u16, kind: &str, title: &str, detail: &str) -> Answer {
    answer(status, &shapes::problem(status, kind, title, detail))
}

pub(crate) fn answer(status: u16, body: &Value) -> Answer {
    from_canned(&Canned::new(status, body.to_string()))
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    canned.answer("application/json; charset=utf-8")
}
