//! Reddit's answers as failures: the one place that decides what an answer says of what may be out.
//!
//! A refused post is an answer with status 200 and a list of errors in it, so the status alone never means
//! success.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_http::{Answer, Hidden};
use serde::Deserialize;
use serde_json::Value;

use crate::limits::{wait_after_429, wait_of_refusal};

/// Of a list of errors, so many are read.
const MOST_ITEMS: usize = 5;
/// The wait of a community's own limit: its text speaks of an hour.
const COMMUNITY_WAIT: Duration = Duration::from_secs(3_600);

/// What an answer to a call with `api_type=json` says.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Reply {
    /// Missing, null or empty where nothing is wrong.
    errors: Option<Vec<Value>>,
    /// Seconds to wait; not always there.
    ratelimit: Option<Value>,
    /// What came of it.
    pub(crate) data: Option<Value>,
}

#[derive(Deserialize)]
struct Envelope {
    json: Reply,
}

impl Reply {
    /// What the answer says; none if it has not this shape.
    pub(crate) fn read(answer: &Answer) -> Option<Self> {
        answer.read::<Envelope>().map(|envelope| envelope.json)
    }

    pub(crate) fn is_refusal(&self) -> bool {
        self.errors.as_ref().is_some_and(|errors| !errors.is_empty())
    }

    fn complaints(&self) -> Vec<Complaint> {
        let items = self.errors.iter().flatten();
        items.take(MOST_ITEMS).map(Complaint::read).collect()
    }

    fn seconds(&self) -> Option<f64> {
        let told = self.ratelimit.as_ref()?;
        told.as_f64().or_else(|| told.as_str()?.parse().ok())
    }
}

/// One of Reddit's errors: `["CODE", "words", "field"]`.
struct Complaint {
    code: String,
    words: String,
}

/// What an error says of the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// Wait: the account posts too fast.
    Wait,
    /// Wait long: the community takes no more from it for now.
    WaitLong,
    /// The community has this link: perhaps from an earlier attempt.
    Duplicate,
    /// This content is not taken.
    Content,
    /// No content of this account is taken.
    Auth,
}

impl Complaint {
    fn read(item: &Value) -> Self {
        let text = |place: usize| {
            let part = item.get(place).and_then(Value::as_str).or(item.as_str());
            part.unwrap_or_default().to_owned()
        };
        Self { code: text(0), words: text(1) }
    }

    fn meaning(&self) -> Meaning {
        match self.code.as_str() {
            "RATELIMIT" => Meaning::Wait,
            "SUBREDDIT_RATELIMIT" | "QUOTA_FILLED" => Meaning::WaitLong,
            "ALREADY_SUB" => Meaning::Duplicate,
            "USER_REQUIRED" | "IN_TIMEOUT" | "VERIFIED_USER_REQUIRED" | "BAD_CAPTCHA" => {
                Meaning::Auth
            }
            // What nobody has heard of as well: whatever it means, nothing was created.
            _ => Meaning::Content,
        }
    }
}

/// An answer that brings no receipt, as a failure to publish.
pub(crate) fn unpublished(answer: &Answer, hidden: Hidden<'_>, now: DateTime<Utc>) -> Failure {
    let status = answer.status.as_u16();
    if let Some(reply) = Reply::read(answer).filter(Reply::is_refusal)
        && status < 500
    {
        return refused(&reply, hidden);
    }
    let problem: Problem = answer.read().unwrap_or_default();
    let told = |what: &str| hidden.hide(&problem.tell(what, answer));
    let sure = |class| Failure::not_published(class, told("reddit refused it"));
    let unsure = |class| Failure::unknown(class, told("reddit answered"));
    match status {
        // Success without an id, and redirects: nothing says what was done.
        100..=399 => unsure(FailureClass::Platform),
        401 => sure(FailureClass::Auth),
        403 if concerns_the_token(answer) => sure(FailureClass::Auth),
        // The request may have come in nearly whole.
        408 => unsure(FailureClass::Network),
        // Somebody else's answer to the same request.
        409 => unsure(FailureClass::Platform),
        429 => {
            let wait = wait_after_429(&answer.headers, now);
            sure(FailureClass::RateLimit).with_wait(wait.scope, wait.for_)
        }
        413 => sure(FailureClass::Content),
        // Not Reddit's own words: a page of something in between, or half an answer.
        400..=499 if !problem.is_told() => unsure(FailureClass::Platform),
        400..=499 => sure(FailureClass::Content),
        _ => unsure(FailureClass::Platform),
    }
}

/// A refusal inside an answer: surely nothing was created.
fn refused(reply: &Reply, hidden: Hidden<'_>) -> Failure {
    let complaints = reply.complaints();
    let words: Vec<String> = complaints
        .iter()
        .map(|one| match one.words.as_str() {
            "" => one.code.clone(),
            words => format!("{}: {words}", one.code),
        })
        .collect();
    let message = hidden.hide(&format!("reddit refused it: {}", words.join("; ")));
    let failed = |class| Failure::not_published(class, message.clone());
    // What waiting does not mend decides.
    match complaints.iter().map(Complaint::meaning).max().unwrap_or(Meaning::Content) {
        Meaning::Auth => failed(FailureClass::Auth),
        Meaning::Content => failed(FailureClass::Content),
        Meaning::Duplicate => {
            let remedy = "; set the option \"resubmit\" to send a link that is there already";
            let message = format!("{message}{remedy}");
            Failure::not_published(FailureClass::Content, message).as_duplicate()
        }
        Meaning::WaitLong => {
            failed(FailureClass::RateLimit).with_wait(LimitScope::Account, COMMUNITY_WAIT)
        }
        Meaning::Wait => {
            let waits = complaints.iter().filter(|one| one.meaning() == Meaning::Wait);
            let wait = waits.map(|one| wait_of_refusal(reply.seconds(), &one.words)).max();
            failed(FailureClass::RateLimit)
                .with_wait(LimitScope::Account, wait.unwrap_or(COMMUNITY_WAIT))
        }
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
    let problem: Problem = answer.read().unwrap_or_default();
    let told = hidden.hide(&problem.tell("reddit could not be asked", answer));
    let failure = Failure::unknown(class, told);
    match as_call.wait {
        Some(wait) => failure.with_wait(wait.scope, wait.for_),
        None => failure,
    }
}

/// What Reddit says is wrong where it has no list of errors. What is not JSON (a page) tells nothing that the
/// status does not.
#[derive(Default, Deserialize)]
struct Problem {
    explanation: Option<Value>,
    message: Option<Value>,
    reason: Option<Value>,
}

impl Problem {
    fn words(&self) -> impl Iterator<Item = &str> {
        let words = [&self.message, &self.reason, &self.explanation].into_iter().flatten();
        words.filter_map(Value::as_str).map(str::trim).filter(|words| !words.is_empty())
    }

    fn is_told(&self) -> bool {
        self.words().next().is_some()
    }

    fn tell(&self, what: &str, answer: &Answer) -> String {
        let told = format!("{what} ({})", answer.status.as_u16());
        self.words().fold(told, |told, words| told + ": " + words)
    }
}

/// Whether a 403 is about what the token may do, by the words that OAuth has for it.
fn concerns_the_token(answer: &Answer) -> bool {
    let told = answer.headers.get("www-authenticate").and_then(|told| told.to_str().ok());
    told.is_some_and(|told| told.contains("insufficient_scope") || told.contains("invalid_token"))
}

#[cfg(test)]
mod tests {
    use postq_core::failure::Outcome;
    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn failure(status: u16, body: &str) -> Failure {
        unpublished(&answer(status, body), Hidden::default(), DateTime::UNIX_EPOCH)
    }

    fn of_code(code: &str) -> Failure {
        failure(200, &format!(r#"{{"json":{{"errors":[["{code}","words of it",null]]}}}}"#))
    }

    #[test]
    fn each_status_has_its_class_and_outcome() {
        use FailureClass::{Auth, Content, Network, Platform, RateLimit};
        use Outcome::{NotPublished, Unknown};

        for (status, class, outcome) in [
            (200, Platform, Unknown),
            (302, Platform, Unknown),
            (400, Platform, Unknown),
            (401, Auth, NotPublished),
            (403, Platform, Unknown),
            (404, Platform, Unknown),
            (407, Platform, Unknown),
            (408, Network, Unknown),
            (409, Platform, Unknown),
            (413, Content, NotPublished),
            (429, RateLimit, NotPublished),
            (500, Platform, Unknown),
            (502, Platform, Unknown),
            (503, Platform, Unknown),
            (504, Platform, Unknown),
            (520, Platform, Unknown),
        ] {
            for body in ["", "<html>", "null", "[]", r#"{"json":{}}"#, r#"{"json":{"errors":[]}}"#]
            {
                let failure = failure(status, body);
                assert_eq!((failure.class, failure.outcome), (class, outcome), "{status} {body}");
                assert!(!failure.duplicate);
            }
        }
        for status in [400, 403, 404, 410] {
            let failure = failure(status, r#"{"message":"No","error":400}"#);
            assert_eq!((failure.class, failure.outcome), (Content, NotPublished), "{status}");
        }
    }

    #[test]
    fn each_code_inside_a_200_has_its_class_and_nothing_is_out() {
        use FailureClass::{Auth, Content, RateLimit};

        for (class, codes) in [
            (RateLimit, &["RATELIMIT", "SUBREDDIT_RATELIMIT", "QUOTA_FILLED"][..]),
            (
                Content,
                &[
                    "ALREADY_SUB",
                    "SUBREDDIT_NOEXIST",
                    "SUBREDDIT_NOTALLOWED",
                    "SUBREDDIT_REQUIRED",
                    "NO_SELFS",
                    "NO_LINKS",
                    "NO_IMAGES",
                    "NO_VIDEOS",
                    "GALLERIES_DISABLED",
                    "INVALID_OPTION",
                    "NO_TEXT",
                    "TOO_LONG",
                    "NO_URL",
                    "BAD_URL",
                    "DOMAIN_BANNED",
                    "SUBMIT_VALIDATION_FLAIR_REQUIRED",
                    "BAD_FLAIR_TEMPLATE_ID",
                    "BAD_FLAIR_TARGET",
                    "BANNED_FROM_SUBREDDIT",
                    "SOMETHING_NEW",
                ][..],
            ),
            (Auth, &["USER_REQUIRED", "IN_TIMEOUT", "VERIFIED_USER_REQUIRED", "BAD_CAPTCHA"][..]),
        ] {
            for code in codes {
                let failure = of_code(code);
                assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished));
                assert_eq!(failure.duplicate, *code == "ALREADY_SUB", "{code}");
                assert_eq!(failure.wait.is_some(), class == RateLimit, "{code}");
                let told = format!("reddit refused it: {code}: words of it");
                assert!(failure.message.starts_with(&told), "{}", failure.message);
            }
        }
        assert_eq!(of_code("QUOTA_FILLED").wait.map(|wait| wait.for_), Some(COMMUNITY_WAIT));
    }

    #[test]
    fn a_wait_is_read_from_the_refusal() {
        let wait = |body: &str| {
            let wait = failure(200, body).wait.expect("a wait");
            (wait.scope, wait.for_.as_secs())
        };
        let sentence = r#"["RATELIMIT","try again in 8 minutes.","ratelimit"]"#;

        let told = format!(r#"{{"json":{{"ratelimit":487.42,"errors":[{sentence}]}}}}"#);
        assert_eq!(wait(&told), (LimitScope::Account, 489));
        let text = format!(r#"{{"json":{{"ratelimit":"12","errors":[{sentence}]}}}}"#);
        assert_eq!(wait(&text), (LimitScope::Account, 13));
        let untold = format!(r#"{{"json":{{"errors":[{sentence}]}}}}"#);
        assert_eq!(wait(&untold), (LimitScope::Account, 540));
        assert_eq!(wait(r#"{"json":{"errors":[["RATELIMIT"]]}}"#), (LimitScope::Account, 600));
    }

    #[test]
    fn of_several_errors_the_one_that_waiting_does_not_mend_decides() {
        let body = r#"{"json":{"errors":[["RATELIMIT","try again in 8 minutes.","ratelimit"],["NO_TEXT","we need something here","title"]]}}"#;

        let failure = failure(200, body);

        assert_eq!((failure.class, failure.wait), (FailureClass::Content, None));
        assert!(failure.message.contains("NO_TEXT: we need something here"), "{failure}");
    }

    #[test]
    fn errors_of_any_shape_are_a_refusal() {
        for errors in [r#"["CODE"]"#, r#"[["CODE",null,null]]"#, "[{}]", "[7]", "[[]]", "[null]"] {
            let failure = failure(200, &format!(r#"{{"json":{{"errors":{errors}}}}}"#));
            assert_eq!(
                (failure.class, failure.outcome),
                (FailureClass::Content, Outcome::NotPublished),
                "{errors}"
            );
        }
        assert_eq!(failure(200, r#"{"json":{"errors":null}}"#).outcome, Outcome::Unknown);
        let in_500 = r#"{"json":{"errors":[["NO_TEXT","",""]]}}"#;
        assert_eq!(failure(500, in_500).outcome, Outcome::Unknown);
    }

    #[test]
    fn the_words_of_both_other_shapes_are_told() {
        let validation = r#"{"fields":["title"],"explanation":"You may not have \"x\" in your title. ","error_type":"SUBMIT_VALIDATION_ERROR","message":"Bad Request","reason":"SUBMIT_VALIDATION_TITLE_BLACKLISTED_STRING"}"#;
        assert_eq!(
            failure(400, validation).message,
            "reddit refused it (400): Bad Request: SUBMIT_VALIDATION_TITLE_BLACKLISTED_STRING: \
             You may not have \"x\" in your title."
        );
        let plain = r#"{"message":"Forbidden","error":403,"reason":"private"}"#;
        assert_eq!(failure(403, plain).message, "reddit refused it (403): Forbidden: private");
        assert_eq!(failure(503, "<html>").message, "reddit answered (503)");
    }

    #[test]
    fn a_403_about_the_token_is_auth() {
        let mut missing = answer(403, r#"{"message":"Forbidden","error":403}"#);
        let told =
            HeaderValue::from_static("Bearer realm=\"reddit\", error=\"insufficient_scope\"");
        missing.headers.insert("www-authenticate", told);

        let failure = unpublished(&missing, Hidden::default(), DateTime::UNIX_EPOCH);

        assert_eq!(failure.class, FailureClass::Auth);
    }

    #[test]
    fn a_failed_look_says_nothing_of_the_call() {
        for status in [200, 302, 400, 401, 403, 404, 429, 500] {
            let failed = unread(&answer(status, ""), Hidden::default(), DateTime::UNIX_EPOCH);

            assert_eq!(failed.outcome, Outcome::Unknown, "{status}");
            assert_ne!(failed.class, FailureClass::Content, "{status}");
            assert_eq!(failed.wait.is_some(), status == 429, "{status}");
        }
    }
}
