//! Answers of servers of the AT Protocol as failures: the one place that decides what an answer says of what may
//! be out.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_http::{Answer, Hidden};
use serde::Deserialize;

use crate::limits;

/// Errors that say that no content of this account is taken: its session has ended, or it is not active.
const OF_THE_ACCOUNT: [&str; 12] = [
    "AccountDeactivated",
    "AccountNotFound",
    "AccountSuspended",
    "AccountTakedown",
    "AuthMissing",
    "AuthenticationRequired",
    "ExpiredToken",
    "InvalidToken",
    "RepoDeactivated",
    "RepoNotFound",
    "RepoSuspended",
    "RepoTakendown",
];

/// An answer that brings no receipt, as a failure to publish.
pub(crate) fn unpublished(answer: &Answer, hidden: Hidden<'_>, now: DateTime<Utc>) -> Failure {
    let problem = Problem::read(answer);
    let told = |what: &str| hidden.hide(&problem.tell(what));
    let sure = |class| Failure::not_published(class, told("bluesky refused it"));
    let unsure = |class| Failure::unknown(class, told("bluesky answered"));
    match answer.status.as_u16() {
        // Success without an address, and redirects: nothing says what was done.
        100..=399 => unsure(FailureClass::Platform),
        400 if problem.is("InvalidSwap") => unsure(FailureClass::Platform).as_duplicate(),
        // The server has forgotten an upload that no post named: it is made again.
        400 if problem.is("BlobNotFound") => sure(FailureClass::Platform).as_media_gone(),
        400 | 404 if problem.concerns_the_account() => sure(FailureClass::Auth),
        // Without a word of the protocol's it is what stands before the server that forbids, not the account's.
        403 if problem.error.is_empty() => sure(FailureClass::Platform),
        401 | 403 => sure(FailureClass::Auth),
        // No such call: not the account's server any more, or one that is being changed.
        404 => sure(FailureClass::Platform),
        // The request may have come in nearly whole.
        408 => unsure(FailureClass::Network),
        // Somebody else's answer to the same request.
        409 => unsure(FailureClass::Platform),
        429 => {
            let wait = limits::wait_after_429(&answer.headers, now);
            sure(FailureClass::RateLimit).with_wait(LimitScope::Account, wait)
        }
        400..=499 => sure(FailureClass::Content),
        _ => unsure(FailureClass::Platform),
    }
}

/// An answer that brings nothing to read, as a failed look.
///
/// Never `not_published`, and never of the content: it says nothing of the call that is looked for.
pub(crate) fn unread(answer: &Answer, hidden: Hidden<'_>, now: DateTime<Utc>) -> Failure {
    let as_call = unpublished(answer, hidden, now);
    let class = match as_call.class {
        FailureClass::Content => FailureClass::Platform,
        class => class,
    };
    let told = Problem::read(answer).tell("bluesky could not be asked");
    let failure = Failure::unknown(class, hidden.hide(&told));
    match as_call.wait {
        Some(wait) => failure.with_wait(wait.scope, wait.for_.max(Duration::from_secs(1))),
        None => failure,
    }
}

/// What a server says is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    status: u16,
    /// A word: `InvalidRequest`.
    error: String,
    message: String,
}

#[derive(Default, Deserialize)]
struct Written {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Problem {
    pub(crate) fn read(answer: &Answer) -> Self {
        // What is not JSON (a proxy's page) tells nothing that the status does not.
        let written: Written = answer.read().unwrap_or_default();
        Self {
            status: answer.status.as_u16(),
            error: written.error.unwrap_or_default(),
            message: written.message.unwrap_or_default(),
        }
    }

    pub(crate) fn is(&self, error: &str) -> bool {
        self.error == error
    }

    pub(crate) fn tell(&self, what: &str) -> String {
        let mut told = format!("{what} ({})", self.status);
        for words in [&self.error, &self.message] {
            if !words.is_empty() {
                told.push_str(": ");
                told.push_str(words);
            }
        }
        told
    }

    /// There is no record under a key. Older servers say so in words alone; without the record's address
    /// these are of a server that does not have the account.
    pub(crate) fn is_no_record(&self) -> bool {
        let words = self.message.starts_with("Could not locate record: at://");
        self.status == 400 && (self.is("RecordNotFound") || (self.is("InvalidRequest") && words))
    }

    /// No other content would be taken either.
    pub(crate) fn concerns_the_account(&self) -> bool {
        OF_THE_ACCOUNT.contains(&self.error.as_str())
    }
}

#[cfg(test)]
mod tests {
    use postq_core::failure::Outcome;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn failure(status: u16, error: &str) -> Failure {
        let body = format!(r#"{{"error":"{error}","message":"why it is so"}}"#);
        unpublished(&answer(status, &body), Hidden::default(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn each_answer_has_its_class_and_outcome() {
        use FailureClass::{Auth, Content, Network, Platform, RateLimit};
        use Outcome::{NotPublished, Unknown};

        for (status, error, class, outcome) in [
            (200, "", Platform, Unknown),
            (302, "", Platform, Unknown),
            (400, "InvalidRequest", Content, NotPublished),
            (400, "InvalidRecord", Content, NotPublished),
            (400, "", Content, NotPublished),
            (400, "BlobNotFound", Platform, NotPublished),
            (400, "InvalidSwap", Platform, Unknown),
            (400, "ExpiredToken", Auth, NotPublished),
            (400, "InvalidToken", Auth, NotPublished),
            (400, "AccountTakedown", Auth, NotPublished),
            (403, "AccountTakedown", Auth, NotPublished),
            (400, "AccountDeactivated", Auth, NotPublished),
            (400, "RepoDeactivated", Auth, NotPublished),
            (401, "AuthMissing", Auth, NotPublished),
            (401, "AuthenticationRequired", Auth, NotPublished),
            (401, "invalid_token", Auth, NotPublished),
            (403, "AccountNotFound", Auth, NotPublished),
            (403, "", Platform, NotPublished),
            (404, "XRPCNotSupported", Platform, NotPublished),
            (408, "", Network, Unknown),
            (409, "", Platform, Unknown),
            (413, "PayloadTooLarge", Content, NotPublished),
            (429, "RateLimitExceeded", RateLimit, NotPublished),
            (500, "InternalServerError", Platform, Unknown),
            (502, "UpstreamFailure", Platform, Unknown),
            (503, "", Platform, Unknown),
            (504, "", Platform, Unknown),
        ] {
            let failure = failure(status, error);
            assert_eq!((failure.class, failure.outcome), (class, outcome), "{status} {error}");
            assert_eq!(failure.duplicate, error == "InvalidSwap");
            assert_eq!(failure.media_gone, error == "BlobNotFound");
            assert_eq!(failure.wait.is_some(), status == 429);
        }
        assert_eq!(failure(429, "").wait.expect("a wait").scope, LimitScope::Account);
    }

    #[test]
    fn what_is_no_json_is_told_by_its_status() {
        for body in ["", "<html>", "[]", r#"{"error":5}"#] {
            let failure = unpublished(&answer(400, body), Hidden::default(), DateTime::UNIX_EPOCH);
            assert_eq!(failure.message, "bluesky refused it (400)");
        }
        assert_eq!(
            failure(400, "InvalidRequest").message,
            "bluesky refused it (400): InvalidRequest: why it is so"
        );
    }

    #[test]
    fn a_failed_look_says_nothing_of_the_content() {
        let look = |status, error: &str| {
            let body = format!(r#"{{"error":"{error}"}}"#);
            unread(&answer(status, &body), Hidden::default(), DateTime::UNIX_EPOCH)
        };
        assert_eq!(look(400, "InvalidRequest").class, FailureClass::Platform);
        assert_eq!(look(401, "").class, FailureClass::Auth);
        assert!(look(429, "").wait.is_some());
        for status in [400, 401, 429, 500] {
            assert_eq!(look(status, "").outcome, Outcome::Unknown);
        }
    }

    #[test]
    fn no_record_is_told_by_its_error_or_in_words() {
        let no_record = |status, body: &str| Problem::read(&answer(status, body)).is_no_record();

        assert!(no_record(400, r#"{"error":"RecordNotFound","message":"gone"}"#));
        let words = r#"{"error":"InvalidRequest","message":"Could not locate record: at://a/b/c"}"#;
        assert!(no_record(400, words));
        assert!(!no_record(400, r#"{"error":"InvalidRequest","message":"Could not find repo"}"#));
        let elsewhere = r#"{"error":"InvalidRequest","message":"Could not locate record"}"#;
        assert!(!no_record(400, elsewhere));
        assert!(!no_record(500, r#"{"error":"RecordNotFound"}"#));
    }
}
