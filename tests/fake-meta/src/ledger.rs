//! What is really out: the truth that a test compares with.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// A post that is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// Its id, as a caller is told it.
    pub id: String,
    /// The id under which a list of a Page's posts shows it.
    pub listed_as: String,
    /// The Page or the account.
    pub account: String,
    /// What it is: `feed`, `video`, `media` or `story`.
    pub kind: &'static str,
    /// Its text.
    pub text: String,
    /// Its link.
    pub link: Option<String>,
    /// Its photos, its session or its container.
    pub of: Vec<String>,
    /// When it was accepted.
    pub at: DateTime<Utc>,
}

/// A copy of what the server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Everything that is out, in order.
    pub accepted: Vec<Accepted>,
    /// Creating calls, whatever became of them.
    pub creates: u64,
}
