//! Answers with their headers.

use std::error::Error as StdError;

use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::server::Canned;
use crate::shapes;

/// What goes back over a connection.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Whose limit it is.
pub(crate) enum LimitedBy {
    User,
    App,
}

pub(crate) fn limited(by: LimitedBy, now: DateTime<Utc>) -> Answer {
    let mut refusal = refuse(429, "", "Too Many Requests", "Too Many Requests");
    let (family, seconds) = match by {
        LimitedBy::User => ("x-rate-limit", 2),
        LimitedBy::App => ("x-app-limit-24hour", 5),
    };
    let reset = now.timestamp() + seconds;
    limit_headers(&mut refusal, family, [100, 0, reset]);
    refusal
}

pub(crate) fn with_limits(mut answer: Answer, now: DateTime<Utc>) -> Answer {
    limit_headers(&mut answer, "x-rate-limit", [10_000, 9_999, now.timestamp() + 900]);
    answer
}

fn limit_headers(answer: &mut Answer, family: &str, values: [i64; 3]) {
    for (name, value) in ["limit", "remaining", "reset"].into_iter().zip(values) {
        let name = format!("{family}-{name}").parse::<hyper::header::HeaderName>();
        answer.headers_mut().insert(name.expect("a lower-case word"), value.into());
    }
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
    build(status, &[], body.to_string()).expect("a status and a body of our own")
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    build(canned.status, &canned.headers, canned.body.clone()).unwrap_or_else(|error| {
        refuse(500, "", "Internal Server Error", &format!("not an answer: {error}"))
    })
}

fn build(
    status: u16,
    headers: &[(String, String)],
    body: String,
) -> Result<Answer, Box<dyn StdError + Send + Sync>> {
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(status)?)
        .header(CONTENT_TYPE, "application/json; charset=utf-8");
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    Ok(builder.body(Full::new(Bytes::from(body)))?)
}
