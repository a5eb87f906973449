//! What a rule says.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A rule that is asked about.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleAsked {
    /// `cron`, `rrule`, `interval` or `one_shot`.
    #[schema(example = "cron")]
    pub(crate) kind: String,
    /// The rule: a cron expression, lines of RFC 5545, a distance (`90m`, from a start
    /// `2026-03-08T09:00:00Z/90m`), or a time.
    #[schema(example = "0 9 * * 1-5")]
    pub(crate) expr: String,
    /// The IANA zone of the rule and of local times.
    #[schema(example = "Europe/Berlin")]
    pub(crate) tz: Option<String>,
    /// Those after this time, which is not shown itself: RFC 3339, local with `tz`, or `+5m` from now; now
    /// if left out.
    pub(crate) after: Option<String>,
    /// At most so many occurrences; 10 if left out.
    #[schema(maximum = 10_000)]
    pub(crate) count: Option<usize>,
}

/// What a rule says, and when it runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RuleShown {
    /// When it runs, in order.
    pub(crate) occurrences: Vec<DateTime<Utc>>,
    /// The rule in words.
    pub(crate) explanation: String,
    /// What is allowed but hardly meant.
    pub(crate) notes: Vec<String>,
    /// The zone it is meant in, where it has one.
    pub(crate) tz: Option<String>,
    /// The time after which these are.
    pub(crate) after: DateTime<Utc>,
}
