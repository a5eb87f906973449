//! Answers, in the shapes of Meta's.

use std::error::Error as StdError;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// What goes back over a connection.
pub(crate) type Answer = Response<Full<Bytes>>;

/// An answer that says no.
pub(crate) type Refusal = Box<Answer>;

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

    /// A refusal with this code and subcode.
    pub fn refusal(code: i64, subcode: i64, message: &str) -> Self {
        Self::new(400, error(code, subcode, message).to_string())
    }

    /// The same, with one header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(crate) fn error(code: i64, subcode: i64, message: &str) -> Value {
    let mut error = json!({
        "message": message,
        "type": "OAuthException",
        "code": code,
        "is_transient": false,
        "fbtrace_id": "AbCdEf0123456789",
    });
    if subcode != 0 {
        error["error_subcode"] = json!(subcode);
    }
    json!({ "error": error })
}

pub(crate) fn refuse(code: i64, subcode: i64, message: &str) -> Answer {
    answer(400, &error(code, subcode, message))
}

/// A parameter that is not documented, or that cannot be.
pub(crate) fn invalid(what: &str) -> Refusal {
    Box::new(refuse(100, 0, &format!("(#100) Invalid parameter: {what}")))
}

pub(crate) fn no_token() -> Answer {
    let message = "Error validating access token: Session has expired.";
    answer(401, &error(190, 463, message))
}

pub(crate) fn missing(id: &str) -> Answer {
    let message = format!(
        "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
         permissions, or does not support this operation"
    );
    refuse(100, 33, &message)
}

pub(crate) fn unavailable() -> Answer {
    let page = "<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>";
    from_canned(&Canned::new(503, page))
}

pub(crate) fn limited(account: &str, by_app: bool) -> Answer {
    if by_app {
        return refuse(4, 0, "(#4) Application request limit reached");
    }
    let usage = json!({ account: [{
        "type": "pages",
        "call_count": 100,
        "total_cputime": 20,
        "total_time": 20,
        "estimated_time_to_regain_access": 19,
    }] });
    let body = error(32, 0, "(#32) Page request limit reached").to_string();
    let refusal = Canned::new(403, body).with("x-business-use-case-usage", &usage.to_string());
    from_canned(&refusal)
}

pub(crate) fn answer(status: u16, body: &Value) -> Answer {
    from_canned(&Canned::new(status, body.to_string()))
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    build(canned).unwrap_or_else(|error| {
        let message = format!("not an answer: {error}");
        let mut answer = Response::new(Full::new(Bytes::from(message)));
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer
    })
}

fn build(canned: &Canned) -> Result<Answer, Box<dyn StdError + Send + Sync>> {
    let mut builder = Response::builder()
        .status(StatusCode::from_u16(canned.status)?)
        .header(CONTENT_TYPE, "application/json; charset=UTF-8");
    for (name, value) in &canned.headers {
        builder = builder.header(name, value);
    }
    Ok(builder.body(Full::new(Bytes::from(canned.body.clone())))?)
}
