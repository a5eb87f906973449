//! Answers, in the shapes of Meta's.

use fake_http::{Answer, Canned};
use serde_json::{Value, json};

/// An answer that says no.
pub(crate) type Refusal = Box<Answer>;

/// Refusals as answers of a test's own.
pub trait Refuses {
    /// A refusal with this code and subcode.
    fn refusal(code: i64, subcode: i64, message: &str) -> Self;
}

impl Refuses for Canned {
    fn refusal(code: i64, subcode: i64, message: &str) -> Self {
        Self::new(400, error(code, subcode, message).to_string())
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
    canned.answer("application/json; charset=UTF-8")
}
