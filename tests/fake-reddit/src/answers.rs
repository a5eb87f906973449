//! Answers with their headers.

use std::error::Error as StdError;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
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
    build(status, &[], body.to_string()).expect("a status and a body of our own")
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    build(canned.status, &canned.headers, canned.body.clone())
        .unwrap_or_else(|error| plain(500, &format!("not an answer: {error}")))
}

/// The quota, as every answer of the API tells it.
pub(crate) fn with_quota(mut answer: Answer) -> Answer {
    for (name, value) in [
        ("x-ratelimit-used", "4"),
        ("x-ratelimit-remaining", "992.0"),
        ("x-ratelimit-reset", "337"),
    ] {
        let value = hyper::header::HeaderValue::from_static(value);
        answer.headers_mut().entry(name).or_insert(value);
    }
    answer
}

fn build(
    status: u16,
    headers: &[(String, String)],
    body: String,
) -> Result<Answer, Box<dyn StdError + Send + Sync>> {
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(status)?)
        .header(CONTENT_TYPE, "application/json; charset=UTF-8");
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    Ok(builder.body(Full::new(Bytes::from(body)))?)
}
