//! Meta's answers as failures: the one place that decides what an answer says of what may be out.
//!
//! The status is 400 for almost everything, so what counts is `code` and `error_subcode`. Both platforms have
//! one table: their numbers never collide.

use std::time::Duration;

use postq_core::failure::{Failure, FailureClass, LimitScope, Outcome};
use postq_http::{Answer, Hidden};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::limits::wait_after_limit;

/// How long an account rests that Meta has blocked for a while: it does not say for how long.
const BLOCKED: Duration = Duration::from_secs(6 * 3_600);
/// How long an account waits whose posts of 24 hours are used up: then one of them is old enough, or not yet.
pub(crate) const DAILY: Duration = Duration::from_secs(3_600);
/// How long a container is given that is not ready when it is published.
const UNREADY: Duration = Duration::from_secs(30);

/// What a code says, for whoever has to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Trouble of Meta's own: nobody can tell what was done.
    Trouble,
    /// A limit of calls.
    Limited(LimitScope),
    /// The posts of 24 hours are used up.
    DailyLimit,
    /// The account is blocked for a while.
    Blocked,
    /// The token, or what it may do: a person must mend it.
    Denied,
    /// It is a copy of a post that is there.
    Duplicate,
    /// Surely nothing is out, and the same may work later: a link or a file could not be fetched.
    Unfetched,
    /// A container that is not ready yet.
    Unready,
    /// A container that is gone: another one must be built.
    NoContainer,
    /// The content is refused, and will be again.
    Refused,
}

impl Meaning {
    fn of_subcode(subcode: u64) -> Option<Self> {
        Some(match subcode {
            // Instagram.
            2_207_001 | 2_207_032 | 2_207_053 => Self::Trouble,
            2_207_003 | 2_207_052 => Self::Unfetched,
            2_207_008 | 2_207_020 => Self::NoContainer,
            2_207_027 => Self::Unready,
            2_207_042 => Self::DailyLimit,
            2_207_050 | 2_207_051 => Self::Blocked,
            2_207_004..=2_207_006
            | 2_207_009
            | 2_207_010
            | 2_207_023
            | 2_207_026
            | 2_207_028
            | 2_207_057
            | 2_207_077
            | 2_207_082 => Self::Refused,
            // Facebook.
            1_363_047 | 1_609_010 => Self::Trouble,
            1_390_008 => Self::Limited(LimitScope::Account),
            1_404_112 => Self::Blocked,
            1_404_006 | 1_404_078 | 4_854_002 => Self::Denied,
            1_366_051 => Self::Duplicate,
            1_366_046 | 1_346_003 | 1_404_102 | 1_609_008 | 2_061_006 => Self::Refused,
            _ => return None,
        })
    }

    fn of_code(code: u64) -> Option<Self> {
        Some(match code {
            1 | 2 => Self::Trouble,
            4 | 341 => Self::Limited(LimitScope::App),
            // From 80000 on: one number for each kind of use.
            17 | 32 | 613 | 80_000..=80_014 => Self::Limited(LimitScope::Account),
            10 | 102 | 190 | 200..=299 => Self::Denied,
            368 => Self::Blocked,
            506 => Self::Duplicate,
            9_004 | 1_609_005 => Self::Unfetched,
            9_007 => Self::Unready,
            24 | 100 => Self::Refused,
            _ => return None,
        })
    }
}

/// What Meta says is wrong.
#[derive(Debug, Deserialize)]
pub(crate) struct Problem {
    error: Told,
}

/// Each where it is told: what is null or of another shape hides nothing else.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default, deserialize_with = "or_default")]
    message: String,
    #[serde(default, deserialize_with = "number")]
    code: i64,
    #[serde(default, deserialize_with = "number")]
    error_subcode: i64,
    #[serde(default, deserialize_with = "or_default")]
    is_transient: bool,
    #[serde(default, deserialize_with = "or_default")]
    error_user_title: String,
    #[serde(default, deserialize_with = "or_default")]
    error_user_msg: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(
    from: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A number, or a text that is one.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(from)?;
    let spelled = || value.as_str()?.trim().parse().ok();
    Ok(value.as_i64().or_else(spelled).unwrap_or_default())
}

impl Problem {
    /// What an answer that is no success says; none where it is no error of Meta's.
    pub(crate) fn read(answer: &Answer) -> Option<Self> {
        answer.read().filter(|problem: &Self| {
            let told = &problem.error;
            told.code != 0 || told.error_subcode != 0 || !told.message.is_empty()
        })
    }

    /// The subcode says more than the code; what Meta itself calls passing may have been done.
    pub(crate) fn meaning(&self) -> Meaning {
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let (code, subcode) = (number(self.error.code), number(self.error.error_subcode));
        let known = Meaning::of_subcode(subcode).or_else(|| Meaning::of_code(code));
        match known {
            Some(Meaning::Refused) | None if self.error.is_transient => Meaning::Trouble,
            Some(meaning) => meaning,
            // Negative codes are Meta's own.
            None if self.error.code < 0 => Meaning::Trouble,
            None => Meaning::Refused,
        }
    }

    /// Whether it says that there is no such object, or none that the token may see.
    pub(crate) fn is_missing(&self) -> bool {
        matches!((self.error.code, self.error.error_subcode), (100, 33) | (24, _))
    }

    /// Whether the question is refused: a field or a metric that is unknown, or does not fit.
    pub(crate) fn is_bad_question(&self) -> bool {
        self.error.code == 100 && !self.error.is_transient
    }

    /// Whether the token itself is refused.
    pub(crate) fn is_dead_token(&self) -> bool {
        matches!(self.error.code, 102 | 190)
    }

    /// What it says, for a person.
    pub(crate) fn words(&self) -> String {
        let Told { message, code, error_subcode, error_user_title, error_user_msg, .. } =
            &self.error;
        let mut told = match error_subcode {
            0 => format!("code {code}"),
            subcode => format!("code {code}, {subcode}"),
        };
        let mut known: Vec<&str> = Vec::new();
        for words in [message, error_user_title, error_user_msg] {
            if !words.is_empty() && !known.contains(&words.as_str()) {
                told.push_str(": ");
                told.push_str(words);
                known.push(words);
            }
        }
        told
    }
}

/// What a subcode means that a container's status names: `Error: … 2207026`.
pub(crate) fn meaning_of_status(status: &str) -> Option<Meaning> {
    let numbers = status.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    numbers.filter(|number| *number > 1_000_000).find_map(Meaning::of_subcode)
}

/// An answer that brings no receipt, as a failure to publish.
pub(crate) fn unpublished(answer: &Answer, (name, hidden): (&str, Hidden<'_>)) -> Failure {
    let status = answer.status.as_u16();
    let problem = Problem::read(answer);
    let words = problem.as_ref().map(|problem| format!(": {}", problem.words()));
    let words = words.unwrap_or_default();
    let told = |what: &str| hidden.hide(&format!("{name} {what} ({status}){words}"));
    let sure = |class| Failure::not_published(class, told("refused it"));
    let unsure = |class| Failure::unknown(class, told("answered"));
    let limited = |scope| {
        let wait = wait_after_limit(&answer.headers, scope);
        sure(FailureClass::RateLimit).with_wait(scope, wait)
    };
    match (status, &problem) {
        // Success without an id, redirects, trouble: nothing says what was done. 408 and 409 may be
        // somebody else's answer to a request that came in nearly whole.
        (100..=399 | 408 | 409 | 500.., _) => unsure(FailureClass::Platform),
        (401, None) => sure(FailureClass::Auth),
        (413, None) => sure(FailureClass::Content),
        (429, None) => limited(LimitScope::Account),
        // Not Meta's own words: a proxy, or half an answer.
        (_, None) => unsure(FailureClass::Platform),
        (_, Some(problem)) => match problem.meaning() {
            Meaning::Trouble => unsure(FailureClass::Platform),
            Meaning::Limited(scope) => limited(scope),
            Meaning::DailyLimit => {
                sure(FailureClass::RateLimit).with_wait(LimitScope::Account, DAILY)
            }
            Meaning::Blocked => {
                sure(FailureClass::RateLimit).with_wait(LimitScope::Account, BLOCKED)
            }
            Meaning::Unready => {
                sure(FailureClass::RateLimit).with_wait(LimitScope::Account, UNREADY)
            }
            Meaning::Denied => sure(FailureClass::Auth),
            Meaning::Duplicate => sure(FailureClass::Content).as_duplicate(),
            Meaning::Unfetched | Meaning::NoContainer => sure(FailureClass::Platform),
            // A number that says nothing beside a status that does.
            Meaning::Refused if status == 401 => sure(FailureClass::Auth),
            Meaning::Refused if status == 429 => limited(LimitScope::Account),
            Meaning::Refused => sure(FailureClass::Content),
        },
    }
}

/// An answer that brings nothing to read, as a failed look.
///
/// Never `not_published`, and never of the content: it says nothing of the call that is looked for.
pub(crate) fn unread(answer: &Answer, named: (&str, Hidden<'_>)) -> Failure {
    let as_call = unpublished(answer, named);
    let class = match as_call.class {
        FailureClass::Content => FailureClass::Platform,
        class => class,
    };
    Failure { class, outcome: Outcome::Unknown, duplicate: false, ..as_call }
}

/// What is built or uploaded publishes nothing, whatever became of it.
pub(crate) fn not_published(failure: Failure) -> Failure {
    Failure { outcome: Outcome::NotPublished, ..failure }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;

    use super::*;

    fn failure(status: u16, body: &str) -> Failure {
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = Answer { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
        unpublished(&answer, ("facebook", Hidden::default()))
    }

    fn told(code: i64, subcode: i64) -> String {
        format!(
            r#"{{"error":{{"message":"m","type":"OAuthException","code":{code},"error_subcode":{subcode},"is_transient":false}}}}"#
        )
    }

    #[test]
    fn every_row_of_the_tables_has_its_class_outcome_and_wait() {
        use FailureClass::{Auth, Content, Platform, RateLimit};
        use Outcome::{NotPublished, Unknown};

        for (codes, class, outcome, wait) in [
            (
                &[(1, 0), (2, 0), (-1, 0), (1, 1_363_047), (2, 1_609_010)][..],
                Platform,
                Unknown,
                None,
            ),
            (&[(-1, 2_207_001), (1, 2_207_032), (100, 2_207_053)], Platform, Unknown, None),
            (
                &[(4, 0), (17, 0), (32, 0), (341, 0), (613, 0), (80_001, 0), (80_014, 0)],
                RateLimit,
                NotPublished,
                Some(900),
            ),
            (&[(100, 1_390_008)], RateLimit, NotPublished, Some(900)),
            (&[(9, 2_207_042)], RateLimit, NotPublished, Some(3_600)),
            (
                &[(368, 0), (25, 2_207_050), (4, 2_207_051), (200, 1_404_112)],
                RateLimit,
                NotPublished,
                Some(6 * 3_600),
            ),
            (&[(9_007, 2_207_027), (9_007, 0)], RateLimit, NotPublished, Some(30)),
            (&[(10, 0), (200, 0), (210, 0), (299, 0), (102, 0)], Auth, NotPublished, None),
            (
                &[(190, 458), (190, 459), (190, 460), (190, 463), (190, 464), (190, 467)],
                Auth,
                NotPublished,
                None,
            ),
            (&[(1, 1_404_006), (1, 1_404_078), (1, 4_854_002)], Auth, NotPublished, None),
            (&[(1_609_005, 0), (9_004, 2_207_052), (-2, 2_207_003)], Platform, NotPublished, None),
            (&[(100, 2_207_020), (24, 2_207_008)], Platform, NotPublished, None),
            (
                &[(100, 0), (100, 33), (24, 2_207_006), (36_000, 2_207_004), (12_345, 0)],
                Content,
                NotPublished,
                None,
            ),
            (
                &[(1, 2_207_005), (1, 2_207_009), (1, 2_207_023), (1, 2_207_026), (1, 2_207_057)],
                Content,
                NotPublished,
                None,
            ),
            (
                &[(1, 2_207_028), (1, 2_207_010), (1, 2_207_077), (1, 2_207_082)],
                Content,
                NotPublished,
                None,
            ),
            (
                &[(1, 1_366_046), (1, 1_346_003), (1, 1_404_102), (1, 1_609_008), (1, 2_061_006)],
                Content,
                NotPublished,
                None,
            ),
            (&[(506, 0), (100, 1_366_051)], Content, NotPublished, None),
        ] {
            for (code, subcode) in codes {
                let failure = failure(400, &told(*code, *subcode));
                assert_eq!((failure.class, failure.outcome), (class, outcome), "{code} {subcode}");
                assert_eq!(failure.wait.map(|w| w.for_.as_secs()), wait, "{code} {subcode}");
                let is_copy = matches!((code, subcode), (506, _) | (_, 1_366_051));
                assert_eq!(failure.duplicate, is_copy, "{code} {subcode}");
            }
        }
        let app = failure(400, &told(4, 0)).wait.expect("a wait");
        assert_eq!(app.scope, LimitScope::App);
    }

    #[test]
    fn what_passes_is_not_taken_for_a_refusal() {
        let passing = |code| told(code, 0).replace("false", "true");

        for code in [100, 7_777] {
            assert_eq!(failure(400, &passing(code)).outcome, Outcome::Unknown, "{code}");
        }
        assert_eq!(failure(400, &passing(190)).class, FailureClass::Auth);
        assert_eq!(failure(403, &passing(4)).class, FailureClass::RateLimit);
    }

    #[test]
    fn what_meta_did_not_say_proves_nothing() {
        for body in ["", "<html>", "null", "[]", "{}", r#"{"error":{}}"#, r#"{"error":"no"}"#] {
            for status in [200, 302, 400, 403, 404, 408, 409, 500, 502, 503, 504] {
                let failure = failure(status, body);
                assert_eq!(failure.outcome, Outcome::Unknown, "{status} {body}");
                assert_eq!(failure.class, FailureClass::Platform);
            }
            assert_eq!(failure(401, body).class, FailureClass::Auth);
            assert_eq!(failure(413, body).class, FailureClass::Content);
            assert_eq!(failure(429, body).class, FailureClass::RateLimit);
        }
        for status in [200, 500, 503] {
            assert_eq!(failure(status, &told(190, 0)).outcome, Outcome::Unknown, "{status}");
        }
    }

    #[test]
    fn a_status_counts_where_the_number_says_nothing() {
        for (status, class) in [
            (400, FailureClass::Content),
            (401, FailureClass::Auth),
            (429, FailureClass::RateLimit),
        ] {
            let failed = failure(status, &told(12_345, 0));
            assert_eq!((failed.class, failed.outcome), (class, Outcome::NotPublished), "{status}");
            assert_eq!(failure(status, &told(368, 0)).wait.map(|wait| wait.for_), Some(BLOCKED));
        }
    }

    #[test]
    fn what_is_null_or_odd_hides_nothing_else() {
        for (body, class) in [
            (r#"{"error":{"message":null,"code":190,"error_subcode":null}}"#, FailureClass::Auth),
            (
                r#"{"error":{"code":"190","error_user_title":7,"is_transient":null}}"#,
                FailureClass::Auth,
            ),
            (r#"{"error":{"code":100,"error_subcode":"2207042"}}"#, FailureClass::RateLimit),
            (r#"{"error":{"message":"no","code":{},"error_user_msg":[]}}"#, FailureClass::Content),
        ] {
            let failure = failure(400, body);
            assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{body}");
        }
    }

    #[test]
    fn a_person_is_told_what_meta_said() {
        let body = r#"{"error":{"message":"Too large.","code":36000,"error_subcode":2207004,"error_user_title":"Image size","error_user_msg":"Too large."}}"#;

        let told = "facebook refused it (400): code 36000, 2207004: Too large.: Image size";
        assert_eq!(failure(400, body).message, told);
        assert_eq!(failure(503, "<html>").message, "facebook answered (503)");
    }

    #[test]
    fn the_reason_of_a_container_is_read_from_its_words() {
        let of = |words| meaning_of_status(words);

        assert_eq!(
            of("Error: Media upload has failed with error code 2207026"),
            Some(Meaning::Refused)
        );
        assert_eq!(of("Error: 2207052 at 20261122"), Some(Meaning::Unfetched));
        for words in ["", "Error", "Error: 42", "Finished: 99999999999999999999999"] {
            assert_eq!(of(words), None, "{words}");
        }
    }

    #[test]
    fn a_failed_look_says_nothing_of_the_call() {
        for (status, body) in [
            (200, String::new()),
            (400, told(100, 0)),
            (400, told(506, 0)),
            (400, told(190, 0)),
            (400, told(4, 0)),
            (500, String::new()),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer =
                Answer { status, headers: HeaderMap::new(), body: body.clone().into_bytes() };
            let failed = unread(&answer, ("instagram", Hidden::default()));

            assert_eq!(failed.outcome, Outcome::Unknown, "{status} {body}");
            assert!(failed.class != FailureClass::Content && !failed.duplicate, "{status} {body}");
        }
    }
}
