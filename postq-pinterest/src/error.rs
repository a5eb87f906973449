//! Pinterest's answers as failures: the one place that decides what an answer says of what may be out.

use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_http::{Answer, Hidden};
use reqwest::StatusCode;
use serde_json::Value;

use crate::config::Access;
use crate::limits;

/// An answer that brings no receipt, as a failure to publish. Decided by the status: Pinterest's own `code`
/// is its number of the trouble in most answers, and repeats the status in some.
pub(crate) fn unpublished(
    answer: &Answer,
    hidden: Hidden<'_>,
    access: Access,
    now: DateTime<Utc>,
) -> Failure {
    let problem = Problem::read(&answer.body);
    let told = |what: &str| hidden.hide(&problem.tell(what, answer.status));
    let sure = |class| Failure::not_published(class, told("pinterest refused it"));
    let unsure = |class| Failure::unknown(class, told("pinterest answered"));
    match answer.status.as_u16() {
        // Success without an id, and redirects: nothing says what was done.
        100..=399 => unsure(FailureClass::Platform),
        401 => sure(FailureClass::Auth),
        // No other content would be taken either.
        400 | 403 if problem.concerns_the_account() => sure(FailureClass::Auth),
        // What is fetched may be reachable the next time.
        400..=422 if problem.is_unfetched() => sure(FailureClass::Platform),
        // The request may have come in nearly whole.
        408 => unsure(FailureClass::Network),
        // Somebody else's answer to the same request.
        409 => unsure(FailureClass::Platform),
        429 => {
            let wait = limits::wait_after_429(&answer.headers, access, now);
            sure(FailureClass::RateLimit).with_wait(wait.scope, wait.for_)
        }
        400..=499 => sure(FailureClass::Content),
        _ => unsure(FailureClass::Platform),
    }
}

/// An answer that brings nothing to read, as a failed look.
///
/// Never `not_published`, and never of the content: it says nothing of the call that is looked for.
pub(crate) fn unread(
    answer: &Answer,
    hidden: Hidden<'_>,
    access: Access,
    now: DateTime<Utc>,
) -> Failure {
    let as_call = unpublished(answer, hidden, access, now);
    let class = match as_call.class {
        FailureClass::Content => FailureClass::Platform,
        class => class,
    };
    let told = Problem::read(&answer.body).tell("pinterest could not be asked", answer.status);
    let failure = Failure::unknown(class, hidden.hide(&told));
    match as_call.wait {
        Some(wait) => failure.with_wait(wait.scope, wait.for_),
        None => failure,
    }
}

/// The same failure of a call that creates nothing: whatever became of it, nothing is out.
pub(crate) fn not_published(failure: Failure) -> Failure {
    Failure { outcome: Outcome::NotPublished, ..failure }
}

/// What Pinterest says is wrong: `code` and `message`; the token endpoint may say `error` and
/// `error_description`.
pub(crate) struct Problem {
    code: Option<i64>,
    words: Vec<String>,
}

impl Problem {
    pub(crate) fn read(body: &[u8]) -> Self {
        // What is not JSON (a proxy's page) tells nothing that the status does not.
        let whole = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let text = |name: &str| whole.get(name).and_then(Value::as_str).map(str::trim);
        let words = ["message", "error", "error_description"].into_iter().filter_map(text);
        let words = words.filter(|word| !word.is_empty()).map(str::to_owned);
        Self { code: whole.get("code").and_then(Value::as_i64), words: words.collect() }
    }

    /// "pinterest refused it (400, code 1): The message."
    pub(crate) fn tell(&self, what: &str, status: StatusCode) -> String {
        let mut told = match self.code {
            Some(code) => format!("{what} ({}, code {code})", status.as_u16()),
            None => format!("{what} ({})", status.as_u16()),
        };
        if !self.words.is_empty() {
            told.push_str(": ");
            told.push_str(&self.words.join(": "));
        }
        told
    }

    pub(crate) fn says(&self, needle: &str) -> bool {
        self.words.iter().any(|words| words.to_ascii_lowercase().contains(needle))
    }

    /// The account is closed, the token lacks a right, or the app has Trial access alone, which may create
    /// Pins in the sandbox only.
    fn concerns_the_account(&self) -> bool {
        let words = self.words.iter().flat_map(|words| words.split(|c: char| !c.is_alphanumeric()));
        let scope =
            words.map(str::to_ascii_lowercase).any(|word| word == "scope" || word == "scopes");
        scope || ["suspended", "deactivated", "trial access"].iter().any(|word| self.says(word))
    }

    fn is_unfetched(&self) -> bool {
        ["could not fetch the image", "unable to reach", "could not reach", "not able to reach"]
            .iter()
            .any(|words| self.says(words))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use postq_core::failure::LimitScope;
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn failure(status: u16, body: &str) -> Failure {
        let answer = answer(status, body);
        unpublished(&answer, Hidden::default(), Access::Standard, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn each_status_has_its_class_and_outcome() {
        use FailureClass::{Auth, Content, Network, Platform, RateLimit};
        use Outcome::{NotPublished, Unknown};

        for (status, class, outcome) in [
            (200, Platform, Unknown),
            (201, Platform, Unknown),
            (302, Platform, Unknown),
            (400, Content, NotPublished),
            (401, Auth, NotPublished),
            (403, Content, NotPublished),
            (404, Content, NotPublished),
            (408, Network, Unknown),
            (409, Platform, Unknown),
            (413, Content, NotPublished),
            (429, RateLimit, NotPublished),
            (500, Platform, Unknown),
            (502, Platform, Unknown),
            (503, Platform, Unknown),
            (504, Platform, Unknown),
        ] {
            for body in ["", "<html>", "null", "[]", r#"{"code":"x"}"#, r#"{"message":7}"#] {
                let failure = failure(status, body);
                assert_eq!((failure.class, failure.outcome), (class, outcome), "{status} {body}");
                assert!(!failure.duplicate);
            }
        }
    }

    #[test]
    fn the_message_is_told_with_both_numbers() {
        let own = r#"{"code":1,"message":"Invalid parameters."}"#;
        let same = r#"{"code":404,"message":"Board not found."}"#;
        let oauth = r#"{"error":"invalid_grant","error_description":"no"}"#;

        let told = |status, body| failure(status, body).message;
        assert_eq!(told(400, own), "pinterest refused it (400, code 1): Invalid parameters.");
        assert_eq!(told(404, same), "pinterest refused it (404, code 404): Board not found.");
        assert_eq!(told(400, oauth), "pinterest refused it (400): invalid_grant: no");
        assert_eq!(told(503, "<html>"), "pinterest answered (503)");
    }

    #[test]
    fn what_no_other_content_would_mend_is_auth() {
        for (status, message) in [
            (403, "Apps with Trial access may not create Pins in production."),
            (403, "Your account has been suspended."),
            (400, "Missing scope: pins:write"),
        ] {
            let body = format!(r#"{{"code":29,"message":"{message}"}}"#);
            assert_eq!(failure(status, &body).class, FailureClass::Auth, "{body}");
        }
        let spam =
            r#"{"code":1,"message":"Sorry! We blocked this link because it may lead to spam."}"#;
        assert_eq!(failure(400, spam).class, FailureClass::Content);
        let other = r#"{"code":1,"message":"No telescopes."}"#;
        assert_eq!(failure(400, other).class, FailureClass::Content);
    }

    #[test]
    fn a_picture_that_was_not_reached_may_be_the_next_time() {
        for message in ["Sorry we could not fetch the image.", "Unable to reach the URL."] {
            let body = format!(r#"{{"code":235,"message":"{message}"}}"#);
            let failure = failure(400, &body);
            assert_eq!(failure.class, FailureClass::Platform, "{body}");
            assert_eq!(failure.outcome, Outcome::NotPublished);
        }
    }

    #[test]
    fn a_limit_without_headers_backs_off_from_a_minute() {
        let wait = failure(429, r#"{"code":8,"message":"rate limit"}"#).wait.expect("a wait");

        assert_eq!((wait.scope, wait.for_), (LimitScope::Account, Duration::from_secs(60)));
    }

    #[test]
    fn a_failed_look_says_nothing_of_the_call() {
        for status in [200, 400, 401, 403, 404, 429, 500] {
            let answer = answer(status, "");
            let now = DateTime::UNIX_EPOCH;
            let failed = unread(&answer, Hidden::default(), Access::Standard, now);

            assert_eq!(failed.outcome, Outcome::Unknown, "{status}");
            assert_ne!(failed.class, FailureClass::Content, "{status}");
            assert_eq!(failed.wait.is_some(), status == 429, "{status}");
        }
    }
}
