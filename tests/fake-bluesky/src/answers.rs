//! Answers with their headers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// What goes back over a connection.
pub(crate) type Answer = Response<Full<Bytes>>;

/// An answer of the test's own.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Its status.
    pub status: u16,
    /// Its headers; `content-type` is there.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// So long after the request it comes.
    pub after: Duration,
}

impl Canned {
    /// An answer without headers of its own.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), after: Duration::ZERO }
    }

    /// A refusal as the protocol writes it.
    pub fn error(status: u16, error: &str, message: &str) -> Self {
        Self::new(status, json!({ "error": error, "message": message }).to_string())
    }

    /// The same, so long after the request.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// The same, with one header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
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
        let value = value.parse().expect("digits");
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    answer
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    let status = StatusCode::from_u16(canned.status).expect("a status of a test");
    let mut builder =
        Response::builder().status(status).header(CONTENT_TYPE, "application/json; charset=utf-8");
    for (name, value) in &canned.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(Bytes::from(canned.body.clone()))).expect("headers of a test")
}
