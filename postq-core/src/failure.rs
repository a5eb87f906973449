//! How an attempt fails: what kind of trouble, and whether something may be out.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of trouble it was: decides whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureClass {
    /// The credentials are refused: a person must reconnect the account.
    Auth,
    /// The platform asks to wait.
    RateLimit,
    /// The platform refuses this content, and will again.
    Content,
    /// The platform could not be reached, or went silent.
    Network,
    /// The platform has trouble of its own (5xx), or answers what makes no sense.
    Platform,
    /// Trouble on our side.
    Internal,
}

impl FailureClass {
    /// Whether the same request can succeed later without anybody doing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::RateLimit | Self::Network | Self::Platform | Self::Internal)
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auth => "auth",
            Self::RateLimit => "rate_limit",
            Self::Content => "content",
            Self::Network => "network",
            Self::Platform => "platform",
            Self::Internal => "internal",
        })
    }
}

/// Whether a failed call can have published something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Surely nothing is out: the request never left, or the platform's answer proves a refusal.
    NotPublished,
    /// Nobody can tell: no complete answer after the request may have left, or a 5xx.
    Unknown,
}

/// A limit that the platform told of, in an answer of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReading {
    /// Whom the limit is for.
    pub scope: LimitScope,
    /// Calls left until the reset.
    pub remaining: u32,
    /// Time until the limit starts afresh.
    pub resets_in: Duration,
}

/// Whom a limit or a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Every account of the app, on this platform.
    App,
    /// This account alone.
    Account,
}

/// A failed call to a platform.
///
/// Its message is for people and for the job's history: no secret, no content of a post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class}: {message}")]
pub struct Failure {
    /// What kind of trouble it was.
    pub class: FailureClass,
    /// Whether something may be out.
    pub outcome: Outcome,
    /// What the platform said or what happened, for a person.
    pub message: String,
    /// The wait that the platform asks for, and who shall wait; obeyed without charging an attempt.
    pub wait: Option<Wait>,
    /// Limits told of in the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitReading>,
    /// The answer says that the platform already has this text. A reason to look, not a proof.
    #[serde(default)]
    pub duplicate: bool,
    /// The app has no credits left: a person must pay before the wait makes sense.
    #[serde(default)]
    pub no_credits: bool,
    /// The platform does not have the media any more that were uploaded for it: they are uploaded again.
    #[serde(default)]
    pub media_gone: bool,
}

/// A wait that a platform asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Who shall wait.
    pub scope: LimitScope,
    /// For how long.
    pub for_: Duration,
}

impl Failure {
    /// A failure that surely published nothing.
    pub fn not_published(class: FailureClass, message: impl Into<String>) -> Self {
        Self::new(class, Outcome::NotPublished, message)
    }

    /// A failure after which something may be out.
    pub fn unknown(class: FailureClass, message: impl Into<String>) -> Self {
        Self::new(class, Outcome::Unknown, message)
    }

    fn new(class: FailureClass, outcome: Outcome, message: impl Into<String>) -> Self {
        Self {
            class,
            outcome,
            message: message.into(),
            wait: None,
            limits: Vec::new(),
            duplicate: false,
            no_credits: false,
            media_gone: false,
        }
    }

    /// The same, with a wait that the platform asked for.
    #[must_use]
    pub fn with_wait(mut self, scope: LimitScope, wait: Duration) -> Self {
        self.wait = Some(Wait { scope, for_: wait });
        self
    }

    /// The same, with limits read from the answer.
    #[must_use]
    pub fn with_limits(mut self, limits: Vec<LimitReading>) -> Self {
        self.limits = limits;
        self
    }

    /// The same, because the app has no credits left.
    #[must_use]
    pub fn as_no_credits(mut self) -> Self {
        self.no_credits = true;
        self
    }

    /// The same, because the platform has forgotten what was uploaded.
    #[must_use]
    pub fn as_media_gone(mut self) -> Self {
        self.media_gone = true;
        self
    }

    /// The same, as a refusal because the platform already has this text.
    #[must_use]
    pub fn as_duplicate(mut self) -> Self {
        self.duplicate = true;
        self
    }
}
