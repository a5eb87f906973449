//! What both ways of connecting share: asking for a grant, and what is said instead of one.

use std::time::{Duration, Instant};

use postq_core::failure::{Failure, FailureClass};
use postq_http::{Answer, Hidden, NoAnswer};
use secrecy::SecretString;
use serde::Deserialize;

use crate::client::{Ask, Graph};
use crate::error::{Meaning, Problem, unread};

/// Longer than any token lives; what is longer is a mistake in a unit.
const YEAR: u64 = 31_536_000;

/// An access token as Meta writes it.
#[derive(Deserialize)]
pub(crate) struct Granted {
    pub(crate) access_token: String,
    pub(crate) expires_in: Option<u64>,
}

impl Granted {
    /// How long it lives, where that is told.
    pub(crate) fn lives(&self) -> Option<Duration> {
        let seconds = self.expires_in.filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(seconds.min(YEAR)))
    }
}

/// Why there is no grant.
pub(crate) enum NoGrant {
    /// What it was asked for with is not taken. What Meta said, and whether that was a token that ended.
    Refused(String, bool),
    /// Anything else: it says nothing of that.
    Trouble(Failure),
}

impl NoGrant {
    /// The same, where a person has to begin anew in both cases.
    pub(crate) fn into_failure(self, name: &str) -> Failure {
        match self {
            Self::Trouble(failure) => failure,
            Self::Refused(words, _) => {
                let message = format!("{name} refuses the code: {words}; connect again");
                Failure::not_published(FailureClass::Auth, message)
            }
        }
    }
}

impl Graph {
    /// Asks for a grant, once.
    pub(crate) async fn grant(
        &self,
        what: Ask<'_>,
        secrets: &[&str],
        until: Instant,
    ) -> Result<Answer, NoGrant> {
        let lost = |lost: NoAnswer| {
            NoGrant::Trouble(hidden(lost.into_failure(Hidden::default()), secrets))
        };
        let answer = self.ask(what, until).await.map_err(lost)?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let trouble = || hidden(unread(&answer, (self.name, Hidden::default())), secrets);
        let refused = |words: &str, ended| Err(NoGrant::Refused(hide(words, secrets), ended));
        match answer.status.as_u16() {
            400..=403 => match (Problem::read(&answer), answer.read::<Older>()) {
                (Some(problem), _) if problem.is_about_what_was_sent() => {
                    refused(&problem.words(), problem.is_dead_token())
                }
                (None, Some(older)) if older.is_refusal() => refused(&older.error_message, false),
                _ => Err(NoGrant::Trouble(trouble())),
            },
            _ => Err(NoGrant::Trouble(trouble())),
        }
    }
}

/// An answer of success that cannot be read.
pub(crate) fn unreadable(name: &str) -> Failure {
    let message = format!("{name} gave a grant that cannot be read");
    Failure::unknown(FailureClass::Platform, message)
}

/// The shape in which `api.instagram.com` refuses.
#[derive(Deserialize)]
struct Older {
    error_type: String,
    #[serde(default)]
    error_message: String,
}

impl Older {
    fn is_refusal(&self) -> bool {
        self.error_type == "OAuthException" && !self.error_message.is_empty()
    }
}

impl Problem {
    /// A code or a token that is taken no more: 100 where a code was used before, 190 where a token ended.
    /// An app that is not known is told by 101.
    fn is_about_what_was_sent(&self) -> bool {
        self.is_dead_token() || (self.is_bad_question() && self.meaning() == Meaning::Refused)
    }
}

fn hidden(failure: Failure, secrets: &[&str]) -> Failure {
    Failure { message: hide(&failure.message, secrets), ..failure }
}

fn hide(words: &str, secrets: &[&str]) -> String {
    secrets.iter().fold(words.to_owned(), |told, secret| Hidden::secret(secret).hide(&told))
}

/// The app that accounts are connected through.
#[derive(Clone, Copy)]
pub(crate) struct App<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a SecretString,
    pub(crate) redirect_uri: &'a str,
}

impl<'a> App<'a> {
    /// The app, or which setting is missing.
    pub(crate) fn of(
        (prefix, what): (&str, &str),
        (id, secret): (Option<&'a String>, Option<&'a SecretString>),
        redirect_uri: Option<&'a String>,
    ) -> Result<Self, String> {
        let missing = |name: &str, what: &str| format!("{prefix}_{name} is not set: {what}");
        Ok(Self {
            id: id.ok_or_else(|| missing("APP_ID", &format!("the id of the {what}")))?,
            secret: secret
                .ok_or_else(|| missing("APP_SECRET", &format!("the secret of the {what}")))?,
            redirect_uri: redirect_uri.ok_or_else(|| {
                missing(
                    "REDIRECT_URI",
                    "where Meta sends people back to, as it is set for the app at Meta",
                )
            })?,
        })
    }
}

/// A failure because something is not set.
pub(crate) fn unset(why: String) -> Failure {
    Failure::not_published(FailureClass::Internal, why)
}
