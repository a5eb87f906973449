//! Answers with their headers.

use fake_http::{Answer, Canned};
use serde_json::{Value, json};

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
    with_limits(Canned::new(429, body.to_string()), ["100, 100;w=60", "0", "7"])
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
    let limits = ["1000, 100;w=1, 1000;w=60", "999", "60"];
    with_limits(Canned::new(status, body.to_string()), limits)
}

fn with_limits(canned: Canned, [limit, remaining, reset]: [&str; 3]) -> Answer {
    let canned = canned.with("x-ratelimit-limit", limit);
    let canned = canned.with("x-ratelimit-remaining", remaining).with("x-ratelimit-reset", reset);
    from_canned(&canned)
}

/// An answer of the storage.
pub(crate) fn stored(status: u16, code: &str) -> Answer {
    let body = match code {
        "" => String::new(),
        code => format!("<Error><Code>{code}</Code><Policy>signed-policy</Policy></Error>"),
    };
    from_canned(&Canned::new(status, body))
}

pub(crate) fn from_canned(canned: &Canned) -> Answer {
    canned.answer("application/json")
}
