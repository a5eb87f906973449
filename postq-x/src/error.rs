//! X's answers as failures: the one place that decides what an answer says of what may be out.

use chrono::{DateTime, Utc};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_http::{Answer, Hidden};
use reqwest::StatusCode;
use serde_json::Value;
use std::time::Duration;

use crate::limits;

/// How long an app without credits waits before it asks again: only a person can mend it.
const NO_CREDITS_WAIT: Duration = Duration::from_secs(3_600);
/// Of a list of errors, so many are told.
const MOST_ITEMS: usize = 3;

/// An answer that brings no receipt, as a failure to publish.
pub(crate) fn unpublished(answer: &Answer, hidden: Hidden<'_>, now: DateTime<Utc>) -> Failure {
    let problem = Problem::read(&answer.body);
    let told = |what: &str| hidden.hide(&problem.tell(what, answer.status));
    let sure = |class| Failure::not_published(class, told("x refused it"));
    let unsure = |class| Failure::unknown(class, told("x answered"));
    match answer.status.as_u16() {
        // Success without an id, and redirects: nothing says what was done.
        100..=399 => unsure(FailureClass::Platform),
        401 => sure(FailureClass::Auth),
        402 => Failure::not_published(FailureClass::RateLimit, told("no credits are left at x"))
            .with_wait(LimitScope::App, NO_CREDITS_WAIT)
            .as_no_credits(),
        403 if problem.is_duplicate() => sure(FailureClass::Content).as_duplicate(),
        403 if problem.concerns_the_account() => sure(FailureClass::Auth),
        // The request may have come in nearly whole.
        408 => unsure(FailureClass::Network),
        // Somebody else's answer to the same request.
        409 => unsure(FailureClass::Platform),
        429 => {
            let wait = limits::wait_after_429(&answer.headers, problem.is_cap(), now);
            sure(FailureClass::RateLimit).with_wait(wait.scope, wait.for_)
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
    let told = Problem::read(&answer.body).tell("x could not be asked", answer.status);
    let failure = Failure::unknown(class, hidden.hide(&told));
    match as_call.wait {
        Some(wait) => failure.with_wait(wait.scope, wait.for_),
        None => failure,
    }
}

/// What X says is wrong, from any of its three shapes: an object with `title` and `detail`, a list
/// `errors` of such, a list `errors` of `code` and `message`.
struct Problem {
    words: Vec<String>,
    /// The last part of each `type`: the host before it varies.
    kinds: Vec<String>,
    codes: Vec<u64>,
}

impl Problem {
    fn read(body: &[u8]) -> Self {
        let mut problem = Self { words: Vec::new(), kinds: Vec::new(), codes: Vec::new() };
        // What is not JSON (a proxy's page) tells nothing that the status does not.
        if let Ok(whole) = serde_json::from_slice::<Value>(body) {
            problem.take(&whole);
            let items = whole.get("errors").and_then(Value::as_array);
            items.into_iter().flatten().take(MOST_ITEMS).for_each(|item| problem.take(item));
        }
        problem
    }

    fn take(&mut self, item: &Value) {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        for words in ["title", "detail", "message", "reason"].into_iter().filter_map(text) {
            if !words.is_empty() && !self.words.iter().any(|known| known == words) {
                self.words.push(words.to_owned());
            }
        }
        self.kinds.extend(text("type").and_then(|uri| uri.rsplit('/').next()).map(str::to_owned));
        self.codes.extend(item.get("code").and_then(Value::as_u64));
    }

    fn tell(&self, what: &str, status: StatusCode) -> String {
        let mut told = format!("{what} ({})", status.as_u16());
        if !self.words.is_empty() {
            told.push_str(": ");
            told.push_str(&self.words.join(": "));
        }
        told
    }

    fn says(&self, needle: &str) -> bool {
        self.words.iter().any(|words| words.to_ascii_lowercase().contains(needle))
    }

    fn is_kind(&self, kinds: &[&str]) -> bool {
        self.kinds.iter().any(|kind| kinds.contains(&kind.as_str()))
    }

    fn is_duplicate(&self) -> bool {
        self.codes.contains(&187) || self.says("duplicate")
    }

    /// No other content would be taken either: suspended, locked, or the app may not post for it.
    fn concerns_the_account(&self) -> bool {
        self.codes.iter().any(|code| matches!(code, 64 | 89 | 326))
            || self.is_kind(&["client-forbidden", "unsupported-authentication"])
            || self.says("suspended")
            || self.says("temporarily locked")
    }

    fn is_cap(&self) -> bool {
        self.is_kind(&["usage-capped"])
    }
}

#[cfg(test)]
mod tests {
    use postq_core::failure::Outcome;
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
        unpublished(&answer(status, body), Hidden::default(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn each_status_has_its_class_and_outcome() {
        use FailureClass::{Auth, Content, Network, Platform, RateLimit};
        use Outcome::{NotPublished, Unknown};

        for (status, class, outcome) in [
            (200, Platform, Unknown),
            (302, Platform, Unknown),
            (400, Content, NotPublished),
            (401, Auth, NotPublished),
            (402, RateLimit, NotPublished),
            (403, Content, NotPublished),
            (404, Content, NotPublished),
            (408, Network, Unknown),
            (409, Platform, Unknown),
            (422, Content, NotPublished),
            (429, RateLimit, NotPublished),
            (500, Platform, Unknown),
            (502, Platform, Unknown),
            (503, Platform, Unknown),
            (504, Platform, Unknown),
            (520, Platform, Unknown),
        ] {
            for body in ["", "<html>", "null", "[]", r#"{"errors":{}}"#, r#"{"title":7}"#] {
                let failure = failure(status, body);
                assert_eq!((failure.class, failure.outcome), (class, outcome), "{status} {body}");
                assert!(!failure.duplicate);
            }
        }
    }

    #[test]
    fn all_three_shapes_are_told() {
        let problem =
            r#"{"detail":"Not this.","type":"about:blank","title":"Forbidden","status":403}"#;
        let list = r#"{"errors":[{"title":"Invalid Request","detail":"One.","parameter":"x","value":1},{"message":"Two."}]}"#;
        let legacy = r#"{"errors":[{"code":88,"message":"Rate limit exceeded"}]}"#;

        assert_eq!(failure(403, problem).message, "x refused it (403): Forbidden: Not this.");
        assert_eq!(failure(400, list).message, "x refused it (400): Invalid Request: One.: Two.");
        assert_eq!(failure(429, legacy).message, "x refused it (429): Rate limit exceeded");
        assert_eq!(failure(503, "<html>").message, "x answered (503)");
    }

    #[test]
    fn a_duplicate_is_marked_in_each_of_its_shapes() {
        let problem = r#"{"detail":"You are not allowed to create a Tweet with duplicate content.","type":"about:blank","title":"Forbidden","status":403}"#;
        let legacy = r#"{"errors":[{"code":187,"message":"Status is a copy."}]}"#;

        assert!(failure(403, problem).duplicate);
        assert!(failure(403, legacy).duplicate);
        assert_eq!(failure(403, problem).class, FailureClass::Content);
        assert!(!failure(400, problem).duplicate);
    }

    #[test]
    fn no_credits_stop_the_whole_app() {
        let body = r#"{"account_id":2056123456789012345678,"title":"CreditsDepleted","detail":"Your enrolled account [2056] does not have any credits to fulfill this request.","type":"https://api.twitter.com/2/problems/credits"}"#;

        let failure = failure(402, body);

        let wait = failure.wait.expect("a wait");
        assert_eq!((wait.scope, wait.for_), (LimitScope::App, NO_CREDITS_WAIT));
        assert!(failure.no_credits);
        assert!(failure.message.starts_with("no credits are left at x (402): CreditsDepleted"));
    }

    #[test]
    fn what_no_other_content_would_mend_is_auth() {
        for body in [
            r#"{"title":"Client Forbidden","type":"https://api.x.com/2/problems/client-forbidden"}"#,
            r#"{"title":"Unsupported Authentication","type":"https://api.twitter.com/2/problems/unsupported-authentication"}"#,
            r#"{"errors":[{"code":326,"message":"To protect our users, this account is locked"}]}"#,
            r#"{"title":"Forbidden","detail":"Your account is suspended and may not do this."}"#,
        ] {
            assert_eq!(failure(403, body).class, FailureClass::Auth, "{body}");
        }
        let elsewhere = r#"{"type":"https://api.x.com/2/problems/client-forbidden"}"#;
        assert_eq!(failure(400, elsewhere).class, FailureClass::Content);
    }

    #[test]
    fn a_failed_look_says_nothing_of_the_call() {
        for status in [200, 400, 401, 403, 404, 429, 500] {
            let failed = unread(&answer(status, ""), Hidden::default(), DateTime::UNIX_EPOCH);

            assert_eq!(failed.outcome, Outcome::Unknown, "{status}");
            assert_ne!(failed.class, FailureClass::Content, "{status}");
            assert_eq!(failed.wait.is_some(), status == 429, "{status}");
        }
    }
}
