//! Answers with their headers.

use std::error::Error as StdError;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// What goes back over a connection.
pub(crate) type Answer = Response<Full<Bytes>>;

/// The connection is cut instead of an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl StdError for Cut {}

/// An answer of the test's own.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Its status.
    pub status: u16,
    /// Its headers; `content-type` is there.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Canned {
    /// An answer without headers of its own.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The same, with one header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Why something is not taken.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: i64,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: i64, message: &str) -> Self {
        Self { status, code, message: message.to_owned() }
    }

    pub(crate) fn invalid(message: &str) -> Self {
        Self::new(400, 1, message)
    }

    pub(crate) fn not_found(message: &str) -> Self {
        Self::new(404, 404, message)
    }

    pub(crate) fn answer(&self) -> Answer {
        refuse(self.status, self.code, &self.message)
    }
}

pub(crate) fn limited() -> Answer {
    let body = json!({ "code": 8, "message": "This request exceeded a rate limit." });
    let headers = [("x-ratelimit-limit", "100, 100;w=60"), ("x-ratelimit-remaining", "0")];
    build(429, &[headers[0], headers[1], ("x-ratelimit-reset", "7")], body.to_string())
        .expect("an answer of our own")
}

pub(crate) fn unavailable() -> Answer {
    refuse(503, 0, "Service unavailable.")
}

pub(crate) fn not_found(message: &str) -> Answer {
    Refusal::not_found(message).answer()
}

pub(crate) fn invalid(message: &str) -> Answer {
    Refusal::invalid(message).answer()
}

pub(crate) fn refuse(status: u16, code: i64, message: &str) -> Answer {
    answer(status, &json!({ "code": code, "message": message }))
}

/// An answer of the API, with the headers that tell of limits.
pub(crate) fn answer(status: u16, body: &Value) -> Answer {
    let headers = [
        ("x-ratelimit-limit", "1000, 100;w=1, 1000;w=60"),
        ("x-ratelimit-remaining", "999"),
        ("x-ratelimit-reset", "60"),
    ];
    build(status, &headers, body.to_string()).expect("an answer of our own")
}

/// An answer of the storage.
pub(crate) fn stored(status: u16, code: &str) -> Answer {
    let body = match code {
        "" => String::new(),
        code => format!("<Error><Code>{code}</Code><Policy>signed-policy</Policy></Error>"),
    };
    build(status, &[], body).expect("an answer of our own")
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    let headers: Vec<(&str, &str)> =
        canned.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    build(canned.status, &headers, canned.body.clone())
        .unwrap_or_else(|error| refuse(500, 0, &format!("not an answer: {error}")))
}

fn build(
    status: u16,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Answer, Box<dyn StdError + Send + Sync>> {
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(status)?)
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    Ok(builder.body(Full::new(Bytes::from(body)))?)
}
