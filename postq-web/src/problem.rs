//! Errors as they are answered: RFC 9457 problem details with a stable code.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use postq_core::error::{ErrorKind, StoreError, chain};
use postq_engine::desk::DeskError;
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not done as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Problem(Box<Details>);

/// What the store said, among the extensions of an answer that a store was the reason of: for the
/// program that the router is part of. What goes over a network never has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(pub String);

/// Why a request was not done as asked (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    /// Tells this kind of problem from every other: `about:postq/` and the code.
    #[serde(rename = "type")]
    #[schema(example = "about:postq/not_found")]
    kind: String,
    /// The kind of problem, in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// A stable word for programs.
    code: &'static str,
    /// What happened.
    detail: String,
    /// The field that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// What to do about it.
    remedy: Cow<'static, str>,
    /// Everything that is wrong, where it is more than one thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after: Option<u64>,
    #[serde(skip)]
    #[schema(ignore)]
    cause: Option<Cause>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldProblem {
    /// The field.
    pub(crate) field: String,
    /// What is wrong with it and what would be right.
    pub(crate) message: String,
}

/// What every code means: code, status, title, remedy.
macro_rules! problems {
    ($($name:ident, $code:literal, $status:ident, $title:literal, $remedy:literal;)*) => {
        /// Every kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($name),* }

        impl Code {
            fn parts(self) -> (&'static str, StatusCode, &'static str, &'static str) {
                match self { $(Self::$name => ($code, StatusCode::$status, $title, $remedy)),* }
            }
        }
    };
}

problems! {
    Malformed, "malformed", BAD_REQUEST, "The request cannot be read", "mend the request; /api/docs shows what is expected";
    BadIdempotencyKey, "bad_idempotency_key", BAD_REQUEST, "The idempotency key cannot be", "send 1 to 200 visible ASCII characters, such as a UUID";
    BadIfMatch, "bad_if_match", BAD_REQUEST, "The If-Match header cannot be", "send the ETag of the last answer as it was, in quotes";
    Unauthorized, "unauthorized", UNAUTHORIZED, "A good token is needed", "send Authorization: Bearer TOKEN; postqd token create makes one";
    Forbidden, "forbidden", FORBIDDEN, "The token's scope does not allow this", "use a token of a wider scope; postqd token create makes one";
    BadSignature, "bad_signature", FORBIDDEN, "The signature is not right", "sign the very bytes of the body with the secret that is set here";
    BadLink, "bad_link", FORBIDDEN, "The link is not good", "use the link as it was given, unchanged";
    LinkEnded, "link_ended", GONE, "The link has ended", "ask for a new one";
    HostNotAllowed, "host_not_allowed", FORBIDDEN, "The host is not known here", "ask by an address of this server, or allow the host name in its settings";
    OriginNotAllowed, "origin_not_allowed", FORBIDDEN, "The origin is not allowed", "allow the page's origin in the server's settings";
    NotFound, "not_found", NOT_FOUND, "There is no such thing", "look at the list beside it for what there is";
    NoSuchPath, "no_such_path", NOT_FOUND, "There is no such path", "see /api/docs for the paths that there are";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not know this method", "see /api/docs for the methods that there are";
    AlreadyPublishing, "already_publishing", CONFLICT, "It is being published", "wait until its outcome is known, then look at it again";
    Changed, "changed", PRECONDITION_FAILED, "It was changed meanwhile", "load it again, and decide anew";
    Conflict, "conflict", CONFLICT, "Something stands against it", "load it again, and decide anew";
    Ended, "ended", CONFLICT, "The job has ended", "a dead letter can be replayed: POST /api/dead-letters/{id}/replay";
    InUse, "in_use", CONFLICT, "It is in use", "take away or switch off what uses it first";
    NotADeadLetter, "not_a_dead_letter", CONFLICT, "The job has not given up", "look at the job's state";
    AlreadyResolved, "already_resolved", CONFLICT, "The dead letter was dealt with", "look at its resolution";
    IdempotencyKeyReused, "idempotency_key_reused", CONFLICT, "The idempotency key belongs to another request", "use another key for another request";
    InProgress, "in_progress", CONFLICT, "The same request is being done right now", "ask again in a second";
    TooLarge, "too_large", PAYLOAD_TOO_LARGE, "The request is too large", "send less at once";
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body's type is not understood", "send JSON, with Content-Type: application/json";
    Invalid, "invalid", UNPROCESSABLE_ENTITY, "The request cannot be", "mend what is named and send it again";
    CredentialsRefused, "credentials_refused", UNPROCESSABLE_ENTITY, "The platform refuses the token", "make a new token at the platform and send it again";
    NotConnected, "not_connected", UNPROCESSABLE_ENTITY, "No account was connected", "begin anew";
    PlatformUnavailable, "platform_unavailable", BAD_GATEWAY, "The platform could not be asked", "begin anew in a minute";
    TooManyRequests, "too_many_requests", TOO_MANY_REQUESTS, "Too many requests", "wait as long as Retry-After says";
    TooManyStreams, "too_many_streams", SERVICE_UNAVAILABLE, "Too many event streams", "close one, or ask again later";
    Internal, "internal", INTERNAL_SERVER_ERROR, "This should not happen", "report it, with the server's log";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "The store cannot be used right now", "ask again in a moment; the request is safe to repeat with its Idempotency-Key";
    TimedOut, "timed_out", SERVICE_UNAVAILABLE, "It took too long", "ask again; the request is safe to repeat with its Idempotency-Key";
}

impl Problem {
    /// A problem of a kind, and what happened.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (code, status, title, remedy) = code.parts();
        Self(Box::new(Details {
            kind: format!("about:postq/{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
            remedy: Cow::Borrowed(remedy),
            errors: Vec::new(),
            retry_after: None,
            cause: None,
        }))
    }

    /// The same about a field.
    #[must_use]
    pub(crate) fn in_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The same with another remedy.
    #[must_use]
    pub(crate) fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.0.remedy = remedy.into();
        self
    }

    /// The same, to be asked again after so many seconds.
    #[must_use]
    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// A field that cannot be.
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Code::Invalid, detail).in_field(field)
    }

    /// There is no such thing.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// One more request is possible after this wait.
    pub(crate) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1_000).max(1);
        Self::new(Code::TooManyRequests, format!("one more is possible in {seconds} s"))
            .after(u64::try_from(seconds).unwrap_or(60))
    }

    /// What happened and what to do about it, for a page; the status of the answer.
    pub(crate) fn told(&self) -> (&str, &str, StatusCode) {
        let status = StatusCode::from_u16(self.0.status);
        (&self.0.detail, &self.0.remedy, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Whether the server, and not the request, is the reason.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.status >= 500
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.0.retry_after.or(self.is_ours().then_some(1));
        let cause = self.0.cause.clone();
        let mut answer = (status, axum::Json(self.0)).into_response();
        if let Some(cause) = cause {
            answer.extensions_mut().insert(cause);
        }
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

impl From<StoreError> for Problem {
    /// The cause is for the log: an answer tells no more than what kind of trouble it is.
    fn from(error: StoreError) -> Self {
        let mut problem = match error.kind() {
            ErrorKind::Conflict => {
                Self::new(Code::Conflict, "something else is there already, or came in between")
            }
            ErrorKind::Unavailable => {
                tracing::warn!(error = %chain(&error), "a request could not be answered");
                Self::new(Code::Unavailable, "the store did not answer; nothing is lost")
            }
            _ => {
                tracing::error!(error = %chain(&error), "a request could not be answered");
                Self::new(Code::Internal, "the store could not do what was asked")
            }
        };
        problem.0.cause = Some(Cause(chain(&error)));
        problem
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Refused(refused) => {
                let errors: Vec<FieldProblem> = refused
                    .problems
                    .iter()
                    .map(|problem| FieldProblem {
                        field: problem.path(),
                        message: problem.message.clone(),
                    })
                    .collect();
                let first = errors.first().cloned();
                let (field, detail) = match first {
                    Some(first) => (Some(first.field), first.message),
                    None => (None, "the request cannot be".to_owned()),
                };
                let mut problem = Self::new(Code::Invalid, detail);
                problem.0.field = field;
                problem.0.errors = errors;
                problem
            }
            DeskError::AlreadyPublishing(what) => Self::new(
                Code::AlreadyPublishing,
                format!(
                    "{what} is being published, or its outcome is not known yet; nothing was changed"
                ),
            ),
            DeskError::NotFound(what) => {
                // What follows is for people at a command line.
                Self::not_found(what.split(';').next().unwrap_or_default())
            }
            DeskError::Changed(what) => {
                Self::new(Code::Changed, format!("{what} was changed by somebody else meanwhile"))
            }
            DeskError::Store(error) => error.into(),
            other => Self::new(Code::Invalid, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_code_and_remedy() {
        let problem = Problem::invalid("limit", "is 0, expected 1 to 500");

        let shown = serde_json::to_value(&problem).unwrap();

        assert_eq!(
            shown,
            serde_json::json!({
                "type": "about:postq/invalid",
                "title": "The request cannot be",
                "status": 422,
                "code": "invalid",
                "detail": "is 0, expected 1 to 500",
                "field": "limit",
                "remedy": "mend what is named and send it again",
            })
        );
    }

    #[test]
    fn what_the_store_says_stays_in_the_log() {
        let error = StoreError::new(ErrorKind::Internal, "open \"/secret/place\"");

        let problem = Problem::from(error);

        assert_eq!(problem.0.code, "internal");
        let shown = serde_json::to_string(&problem).unwrap();
        assert!(!shown.contains("secret"), "{shown}");
    }
}
