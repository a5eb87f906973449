//! What the commands read of what the API shows. A newer daemon may show more, which is passed on to
//! programs as it is.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Deref;

use chrono::{DateTime, Utc};
use postq_calendar::duration;
use postq_core::id::{
    AccountId, JobId, NodeId, PostId, PublicationId, ScheduleId, TokenId, WebhookId,
};
use postq_core::machine::JobState;
use postq_core::media::MediaId;
use postq_core::schedule::Timing;
use postq_core::store::BlockReason;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::watch;

/// Something that the API shows: as it is, for programs, and what is read of it.
#[derive(Clone, Debug)]
pub(crate) struct Shown<T> {
    pub(crate) json: Value,
    pub(crate) it: T,
}

impl<T> Deref for Shown<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.it
    }
}

impl<T> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Shown<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        let it = T::deserialize(&json).map_err(D::Error::custom)?;
        Ok(Self { json, it })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<Shown<T>>,
    pub(crate) next: Option<String>,
}

/// An answer that is not looked at.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Done {}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) text: String,
    /// Nothing here looks at it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) media: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Post {
    pub(crate) id: PostId,
    pub(crate) key: Option<String>,
    pub(crate) parts: Vec<Part>,
    #[serde(default)]
    pub(crate) variants: Value,
    #[serde(default)]
    pub(crate) options: Value,
    /// Which of the variants were made of the text to fit, and how.
    #[serde(default)]
    pub(crate) fitted: BTreeMap<String, String>,
    pub(crate) state: String,
    pub(crate) revision: u32,
    pub(crate) schedules: Vec<Schedule>,
    #[serde(default)]
    pub(crate) cost: Option<Cost>,
}

/// What a post comes to; an older daemon does not tell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) currency: String,
    pub(crate) micros: u64,
    pub(crate) month: Option<MonthCost>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct MonthCost {
    pub(crate) times: u64,
    pub(crate) micros: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Preview {
    pub(crate) platforms: Vec<Platform>,
    pub(crate) occurrences: Vec<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) cost: Option<Cost>,
    pub(crate) errors: Vec<super::answer::Field>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Platform {
    pub(crate) platform: String,
    pub(crate) accounts: Vec<String>,
    pub(crate) parts: Vec<Part>,
    pub(crate) violations: Vec<Violation>,
    /// What was done to make it fit.
    #[serde(default)]
    pub(crate) notice: Option<String>,
    /// What it wants a person to read before; an older daemon does not tell.
    #[serde(default)]
    pub(crate) advice: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Violation {
    pub(crate) part: u16,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CalledOff {
    pub(crate) schedules: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) id: ScheduleId,
    pub(crate) post_id: PostId,
    pub(crate) accounts: Vec<AccountId>,
    #[serde(rename = "schedule")]
    pub(crate) rule: Rule,
    pub(crate) tz: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) problem: Option<String>,
    pub(crate) next_run_at: Option<DateTime<Utc>>,
}

/// When a schedule fires.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Rule {
    OneShot {
        at: DateTime<Utc>,
        local: Option<String>,
    },
    Interval {
        every: String,
        anchor: DateTime<Utc>,
        count: Option<NonZeroU32>,
        until: Option<DateTime<Utc>>,
    },
    Cron {
        expr: String,
        from: Option<DateTime<Utc>>,
        count: Option<NonZeroU32>,
        until: Option<DateTime<Utc>>,
    },
    Rrule {
        expr: String,
    },
    Unset {},
    #[serde(other)]
    Unknown,
}

impl Part {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), media: Vec::new() }
    }
}

impl Account {
    /// What holds it back, each with the command that mends it.
    pub(crate) fn held(&self) -> Vec<String> {
        let remedy = |block: &Block| watch::remedy(&self.name, &self.platform, &block.known());
        self.blocks.iter().map(remedy).collect()
    }
}

impl Rule {
    /// The same as the calendar knows it; none of a kind that it does not know.
    pub(crate) fn timing(&self) -> Option<Timing> {
        Some(match self.clone() {
            Self::OneShot { at, local } => Timing::OneShot { at, local },
            Self::Interval { every, anchor, count, until } => {
                Timing::Interval { every: duration::parse(&every).ok()?, anchor, count, until }
            }
            Self::Cron { expr, from, count, until } => Timing::Cron { expr, from, count, until },
            Self::Rrule { expr } => Timing::Rrule { expr },
            Self::Unset {} => Timing::Unset,
            Self::Unknown => return None,
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Occurrences {
    pub(crate) skipped: Vec<DateTime<Utc>>,
    /// An older daemon does not tell.
    #[serde(default)]
    pub(crate) edited: Vec<Edited>,
    pub(crate) paused_until: Option<DateTime<Utc>>,
}

/// What goes out instead of an occurrence.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Edited {
    pub(crate) at: DateTime<Utc>,
    pub(crate) post: PostId,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Skipped {
    pub(crate) at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct StandIn {
    pub(crate) instead_of: DateTime<Utc>,
    pub(crate) post: PostId,
    pub(crate) first: DateTime<Utc>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RuleShown {
    pub(crate) occurrences: Vec<DateTime<Utc>>,
    pub(crate) explanation: String,
    pub(crate) notes: Vec<String>,
    pub(crate) tz: Option<String>,
    pub(crate) after: DateTime<Utc>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    pub(crate) name: String,
    pub(crate) platform: String,
    pub(crate) remote_id: Option<String>,
    pub(crate) has_credentials: bool,
    pub(crate) token_expires_at: Option<DateTime<Utc>>,
    /// An older daemon does not tell.
    #[serde(default)]
    pub(crate) token_trouble: Option<String>,
    #[serde(default)]
    pub(crate) token_renews: Option<bool>,
    pub(crate) blocks: Vec<Block>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Block {
    pub(crate) reason: BlockReason,
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) note: String,
}

impl Block {
    /// The same as the engine knows it.
    pub(crate) fn known(&self) -> postq_core::store::Block {
        postq_core::store::Block {
            scope: String::new(),
            reason: self.reason,
            until: self.until,
            note: self.note.clone(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) kind: String,
    pub(crate) state: JobState,
    pub(crate) post_id: Option<PostId>,
    pub(crate) account_id: Option<AccountId>,
    pub(crate) schedule_id: Option<ScheduleId>,
    pub(crate) planned_at: DateTime<Utc>,
    pub(crate) run_at: DateTime<Utc>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) reason: Option<String>,
    pub(crate) dead_reason: Option<String>,
    pub(crate) resolution: Option<String>,
    pub(crate) replay_of: Option<JobId>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Story {
    pub(crate) job: Job,
    pub(crate) events: Vec<Event>,
    pub(crate) evidence: Vec<Evidence>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) at: DateTime<Utc>,
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    pub(crate) fence: u64,
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) part: u16,
    pub(crate) state: String,
    pub(crate) sent_at: Option<DateTime<Utc>>,
    pub(crate) looks: u32,
    pub(crate) receipt: Option<Receipt>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) remote_id: String,
    pub(crate) url: Option<String>,
    pub(crate) dry_run: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) receipts: Vec<Receipt>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Publication {
    pub(crate) id: PublicationId,
    pub(crate) post_id: PostId,
    pub(crate) account_id: AccountId,
    pub(crate) remote_id: String,
    pub(crate) url: Option<String>,
    pub(crate) published_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Nodes {
    pub(crate) items: Vec<Shown<Node>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) state: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) roles: Vec<String>,
    pub(crate) seen_at: DateTime<Utc>,
    pub(crate) loops: Vec<NodeLoop>,
    pub(crate) running: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeLoop {
    pub(crate) name: String,
    pub(crate) fresh: bool,
    pub(crate) error: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct ReplayedBy {
    pub(crate) job: JobId,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct BulkReplayed {
    pub(crate) replayed: Vec<ReplayedBy>,
    pub(crate) left_out: usize,
    pub(crate) more: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Causes {
    pub(crate) items: Vec<Shown<Cause>>,
    pub(crate) partial: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cause {
    pub(crate) dead_reason: Option<String>,
    pub(crate) account_id: Option<AccountId>,
    pub(crate) count: u64,
    pub(crate) example: JobId,
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: TokenId,
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) used_at: Option<DateTime<Utc>>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Media {
    pub(crate) id: MediaId,
    pub(crate) entry: Uuid,
    /// What posts name it by.
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) bytes: u64,
    pub(crate) name: Option<String>,
    pub(crate) alt: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) id: WebhookId,
    pub(crate) url: String,
    /// Everything if empty.
    pub(crate) events: Vec<String>,
    pub(crate) paused: Option<Paused>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Paused {
    pub(crate) at: DateTime<Utc>,
    pub(crate) why: String,
}

/// Never printed: it has the secret.
#[derive(Clone, Deserialize)]
pub(crate) struct WebhookWithSecret {
    pub(crate) id: WebhookId,
    /// Shown this once.
    pub(crate) secret: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) id: JobId,
    pub(crate) event: Option<String>,
    pub(crate) state: JobState,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) reason: Option<String>,
    pub(crate) made_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WebhookTried {
    pub(crate) taken: bool,
    pub(crate) status: Option<u16>,
    pub(crate) answer: String,
    pub(crate) took_ms: u64,
}

#[derive(Clone, Deserialize)]
pub(crate) struct MadeToken {
    pub(crate) id: TokenId,
    pub(crate) scope: String,
    /// Shown this once.
    pub(crate) token: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Import {
    pub(crate) rows: Vec<ImportRow>,
    pub(crate) problems: Vec<Shown<ImportProblem>>,
    pub(crate) notes: Vec<ImportProblem>,
    pub(crate) left_out: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ImportRow {
    pub(crate) place: Place,
    pub(crate) key: Option<String>,
    pub(crate) action: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ImportProblem {
    pub(crate) place: Place,
    pub(crate) field: Option<String>,
    pub(crate) message: String,
    pub(crate) extent: String,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Place {
    file: String,
    line: Option<usize>,
    column: Option<usize>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        for number in [self.line, self.column].into_iter().map_while(|number| number) {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {field}: {}", self.place, self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}
