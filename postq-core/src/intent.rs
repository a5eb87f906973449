//! Intents and receipts: the evidence that keeps a post from going out twice.
//!
//! An intent says what is about to be sent; a receipt says what is out. Between the two the outcome
//! is unknown, and the platform is asked before anything is sent again.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::job::Fence;
use crate::options::PostOptions;

/// The key under which a part is sent: an idempotency key or record key where the platform has
/// one. The same for every attempt at the part, in every replay of its job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlatformKey(String);

impl PlatformKey {
    /// The key of a part: derived from the root job, so that every replay has the same.
    pub fn derive(root: JobId, part: u16) -> Self {
        Self(format!("{}-{part}", root.as_uuid().simple()))
    }

    /// A key as a store kept it.
    pub fn from_raw(raw: impl Into<String>) -> Self {
        Self(raw.into())
    }

    /// The key as it is sent: at most 38 characters of `[0-9a-f-]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlatformKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is about to be sent, written down just before the creating call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The job that sends.
    pub job: JobId,
    /// The claim it sends under.
    pub fence: Fence,
    /// Which part, from 0.
    pub part: u16,
    /// The key it is sent under.
    pub key: PlatformKey,
    /// The text that is sent, after all fitting: a look-up compares with this, not with the post.
    pub text: String,
    /// What else the platform is told of it.
    #[serde(default, skip_serializing_if = "PostOptions::is_empty")]
    pub options: PostOptions,
    /// What the platform knows its media by, in their order; empty where a container has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    /// The remote id of the part before, where this one is a reply to it.
    pub reply_to: Option<String>,
    /// The platform's container for it, where it makes one first.
    pub container: Option<String>,
    /// The revision of the post that is sent.
    pub revision: u32,
    /// When, by the store's clock.
    pub made_at: DateTime<Utc>,
}

/// Proof that a part is out. Evidence, not a transition: kept whoever brings it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt {
    /// Which part, from 0.
    pub part: u16,
    /// The platform's id of it.
    pub remote_id: String,
    /// Where people see it.
    pub url: Option<String>,
    /// When it came out, as well as we know.
    pub published_at: DateTime<Utc>,
    /// Nothing was really sent: the account is a dry run, or `DRY_RUN` was set.
    #[serde(default)]
    pub dry_run: bool,
}

/// How an intent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// It has no outcome yet: something may be out.
    Open,
    /// A receipt for its part exists.
    Published,
    /// It surely published nothing: the answer said so.
    NotPublished,
    /// It published nothing: the platform was asked, long enough after.
    Absent,
}

/// What is known of one part of a job's line of replays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEvidence {
    /// Which part, from 0.
    pub part: u16,
    /// The last intent for it.
    pub intent: Option<Intent>,
    /// How that intent stands; [`IntentState::Published`] if there is a receipt.
    pub state: IntentState,
    /// Looks that found nothing and count: made after the settle time.
    pub absent_looks: u32,
    /// Looks in all.
    pub looks: u32,
    /// The platform refused it as a duplicate of something it has: set by a settlement
    /// `Failed` whose failure says so; cleared by a new intent.
    pub duplicate: bool,
    /// Proof that it is out.
    pub receipt: Option<Receipt>,
}

/// What is known of all parts, by part; empty when nothing was ever sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence(pub Vec<PartEvidence>);

impl Evidence {
    /// What is known of one part.
    pub fn part(&self, part: u16) -> Option<&PartEvidence> {
        self.0.iter().find(|known| known.part == part)
    }

    /// The receipt of one part.
    pub fn receipt(&self, part: u16) -> Option<&Receipt> {
        self.part(part)?.receipt.as_ref()
    }

    /// The part whose outcome is unknown, if there is one.
    pub fn open(&self) -> Option<&PartEvidence> {
        self.0.iter().find(|known| known.receipt.is_none() && known.state == IntentState::Open)
    }
}

/// What came of asking to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum IntentAnswer {
    /// Written down, at this moment of the store: send now, once.
    Recorded(DateTime<Utc>),
    /// Somebody newer holds the job, or it has ended: stop.
    Stale,
    /// The lease has less left than the request may take: give the job back.
    LeaseTooShort,
    /// The part is out: go on with the next.
    AlreadyOut(Receipt),
    /// An earlier intent for the part has no outcome: look first.
    Unresolved,
    /// Another job of the account that has not ended has sent the same text, and its outcome is not
    /// known yet: a look could not tell the two apart. Wait for it.
    Twin,
    /// The post was edited since it was loaded: load it again.
    Edited,
    /// There is no such job.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_key_is_short_and_the_same_every_time() {
        let root = JobId::new();

        let key = PlatformKey::derive(root, u16::MAX);

        assert_eq!(key, PlatformKey::derive(root, u16::MAX));
        assert!(key.as_str().len() <= 38);
        assert!(key.as_str().chars().all(|c| c.is_ascii_hexdigit() || c == '-'));
        assert_ne!(key, PlatformKey::derive(root, 0));
    }
}
