//! Answers with their headers.

use fake_http::{Answer, Canned};
use serde_json::{Value, json};

/// A refusal inside a 200.
pub(crate) fn errors(code: &str, words: &str, field: &str) -> Answer {
    answer(200, &json!({ "json": { "errors": [[code, words, field]] } }))
}

pub(crate) fn limited() -> Answer {
    let words = "you are doing that too much. try again in 8 minutes.";
    let errors = json!([["RATELIMIT", words, "ratelimit"]]);
    answer(200, &json!({ "json": { "ratelimit": 487.42, "errors": errors } }))
}

/// As Reddit refuses where it does not speak of a form's fields.
pub(crate) fn plain(status: u16, message: &str) -> Answer {
    answer(status, &json!({ "message": message, "error": status }))
}

/// A page, as proxies and busy servers give it.
pub(crate) fn page(status: u16) -> Answer {
    let body = "<!doctype html><html><title>Ow! -- reddit.com</title></html>";
    from_canned(&Canned::new(status, body))
}

pub(crate) fn answer(status: u16, body: &Value) -> Answer {
    from_canned(&Canned::new(status, body.to_string()))
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    canned.answer("application/json; charset=UTF-8")
}

/// The quota, as every answer of the API tells it.
pub(crate) fn with_quota(mut answer: Answer) -> Answer {
    for (name, value) in [
        ("x-ratelimit-used", "4"),
        ("x-ratelimit-remaining", "992.0"),
        ("x-ratelimit-reset", "337"),
    ] {
        answer.headers_mut().entry(name).or_insert(value.parse().expect("digits"));
    }
    answer
}
