//! Jobs: one unit of durable work, its lane, its fence and its history.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AccountId, JobId, NodeId, PostId, ScheduleId, TenantId, WebhookId};
use crate::machine::JobState;
use crate::platform::PlatformName;
use crate::schedule::Schedule;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the word as it is.
            pub fn new(word: impl Into<String>) -> Self {
                Self(word.into())
            }

            /// The word.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                Self::new(word)
            }
        }

        impl FromStr for $name {
            type Err = std::convert::Infallible;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Ok(Self::new(word))
            }
        }
    )*};
}

words! {
    /// What a job does: `publish`, `notify`, or a kind of the user's own.
    JobKind;
    /// The name of a queue; workers pull by topic.
    Topic;
    /// What makes a job the only one of its like: the store refuses a second one.
    DedupeKey;
    /// Ties a job's spans, log lines and history to whatever asked for it.
    CorrelationId;
}

impl JobKind {
    /// Publishes a post to an account.
    pub const PUBLISH: &str = "publish";
    /// Prepares the media of a post ahead of time.
    pub const MEDIA_PREPARE: &str = "media.prepare";
    /// Takes a snapshot of a publication's metrics.
    pub const METRICS_CAPTURE: &str = "metrics.capture";
    /// Renews an account's token.
    pub const TOKEN_REFRESH: &str = "token.refresh";
    /// Delivers an outgoing webhook.
    pub const WEBHOOK_DELIVER: &str = "webhook.deliver";
    /// Tells a person.
    pub const NOTIFY: &str = "notify";

    /// Publishes a post to an account.
    pub fn publish() -> Self {
        Self::new(Self::PUBLISH)
    }

    /// Prepares the media of a post ahead of time.
    pub fn media_prepare() -> Self {
        Self::new(Self::MEDIA_PREPARE)
    }

    /// Tells a person.
    pub fn notify() -> Self {
        Self::new(Self::NOTIFY)
    }

    /// Renews an account's token.
    pub fn token_refresh() -> Self {
        Self::new(Self::TOKEN_REFRESH)
    }

    /// Delivers an outgoing webhook.
    pub fn webhook_deliver() -> Self {
        Self::new(Self::WEBHOOK_DELIVER)
    }
}

impl Topic {
    /// The topic of publish jobs.
    pub const PUBLISH: &str = "publish";
    /// The topic of media jobs.
    pub const MEDIA: &str = "media";
    /// The topic of metrics jobs.
    pub const METRICS: &str = "metrics";
    /// The topic of token jobs.
    pub const TOKEN: &str = "token";
    /// The topic of outgoing webhooks.
    pub const WEBHOOK: &str = "webhook";
    /// The topic of notifications.
    pub const NOTIFY: &str = "notify";

    /// No queue: what planners wait on. It changes when a schedule is added or changed.
    pub fn plan() -> Self {
        Self::new("plan")
    }

    /// The topic of publish jobs.
    pub fn publish() -> Self {
        Self::new(Self::PUBLISH)
    }

    /// The topic of media jobs.
    pub fn media() -> Self {
        Self::new(Self::MEDIA)
    }

    /// The topic of notifications.
    pub fn notify() -> Self {
        Self::new(Self::NOTIFY)
    }

    /// The topic of token jobs.
    pub fn token() -> Self {
        Self::new(Self::TOKEN)
    }

    /// The topic of outgoing webhooks.
    pub fn webhook() -> Self {
        Self::new(Self::WEBHOOK)
    }
}

impl DedupeKey {
    /// The key of an occurrence for one account: `{schedule}:{planned_at}:{account}`.
    pub fn occurrence(schedule: ScheduleId, planned_at: DateTime<Utc>, account: AccountId) -> Self {
        Self(format!("{schedule}:{}:{account}", planned_at.timestamp_micros()))
    }

    /// The key of a publish-now request: `{post}:{request key}:{account}`.
    pub fn request(post: PostId, request: &str, account: AccountId) -> Self {
        Self(format!("{post}:{request}:{account}"))
    }

    /// The key of a round of upkeep, of which one node's is enough: `{work}:{round}`. The rounds of all
    /// nodes begin at the same moments.
    pub fn round(work: &str, now: DateTime<Utc>, every: Duration) -> Self {
        let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
        Self(format!("{work}:{}", now.timestamp_millis() / every))
    }
}

/// Jobs that run one at a time and in order: those of one account, written `app/account`.
///
/// Lanes are per topic. A scope that ends with `/` names all lanes of an app, so that one block can
/// stop an app or an account: see [`Block`](crate::store::Block).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(String);

impl Lane {
    /// The lane of an account.
    pub fn of(app: &PlatformName, account: AccountId) -> Self {
        Self(format!("{app}/{account}"))
    }

    /// The lane of the deliveries to an endpoint.
    pub fn of_webhook(id: WebhookId) -> Self {
        Self(format!("{}/{id}", Topic::WEBHOOK))
    }

    /// A lane as a store kept it, or of the user's own; without a `/` it belongs to no app.
    pub fn from_raw(raw: impl Into<String>) -> Self {
        Self(raw.into())
    }

    /// `app/account`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope of all lanes of this lane's app: `app/`. Empty for a lane without one.
    pub fn app(&self) -> &str {
        self.0.find('/').map_or("", |slash| &self.0[..=slash])
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Rises by one at every claim of a job; whoever holds an older one changes nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which job a worker holds, and by which claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The job.
    pub job: JobId,
    /// The fence of the claim.
    pub fence: Fence,
}

/// What a mutating call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Applied {
    /// It took effect, now or by the same call made before.
    Applied,
    /// Nothing was changed: somebody newer holds it, or it has moved on.
    Stale,
    /// Nothing was changed: there is no such thing.
    Gone,
}

/// Why a job stopped for good, in a word that programs can group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// The platform refuses the content, and will again.
    Content,
    /// The account's credentials are refused and nobody can renew them.
    Auth,
    /// Every allowed attempt failed.
    AttemptsExhausted,
    /// Something may be out and the platform cannot tell.
    OutcomeUnknown,
    /// Cancelled while it waited for a retry.
    Cancelled,
    /// The post, account or platform that it needs is gone.
    Missing,
    /// It took longer than an attempt may.
    TimeLimit,
}

impl DeadReason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Auth => "auth",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Cancelled => "cancelled",
            Self::Missing => "missing",
            Self::TimeLimit => "time_limit",
        }
    }
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a person decided about a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It is out after all.
    MarkedPublished,
    /// Nobody wants it any more.
    Discarded,
    /// A new job took its place.
    Replayed,
}

/// A job to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its id, chosen by its maker: inserting it again changes nothing.
    pub id: JobId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it does.
    pub kind: JobKind,
    /// The queue it goes through.
    pub topic: Topic,
    /// The lane it keeps; none for jobs that need no order.
    pub lane: Option<Lane>,
    /// Higher goes first.
    pub priority: i16,
    /// When it was meant to happen.
    pub planned_at: DateTime<Utc>,
    /// Attempts allowed.
    pub max_attempts: u32,
    /// What makes it the only one of its like.
    pub dedupe_key: Option<DedupeKey>,
    /// The schedule it came from.
    pub schedule_id: Option<ScheduleId>,
    /// The post it publishes.
    pub post_id: Option<PostId>,
    /// The account it works for.
    pub account_id: Option<AccountId>,
    /// What asked for it.
    pub correlation_id: CorrelationId,
    /// What a kind needs besides; small.
    pub payload: serde_json::Value,
}

impl NewJob {
    /// Attempts allowed by default.
    pub const MAX_ATTEMPTS: u32 = 5;

    /// A job of a kind that needs no lane, due at `at`, with the defaults for the rest.
    pub fn new(kind: JobKind, topic: Topic, at: DateTime<Utc>) -> Self {
        let id = JobId::new();
        Self {
            id,
            tenant_id: TenantId::DEFAULT,
            kind,
            topic,
            lane: None,
            priority: 0,
            planned_at: at,
            max_attempts: Self::MAX_ATTEMPTS,
            dedupe_key: None,
            schedule_id: None,
            post_id: None,
            account_id: None,
            correlation_id: CorrelationId::new(id.to_string()),
            payload: serde_json::Value::Null,
        }
    }

    /// The publish job of one occurrence for one account: its dedupe key is that of the occurrence, and
    /// it carries what the schedule was asked for by.
    pub fn occurrence(
        schedule: &Schedule,
        at: DateTime<Utc>,
        account: AccountId,
        lane: Lane,
    ) -> Self {
        let new = Self::new(JobKind::publish(), Topic::publish(), at);
        let asked_by = schedule.correlation_id.clone();
        Self {
            tenant_id: schedule.tenant_id,
            correlation_id: asked_by.unwrap_or_else(|| new.correlation_id.clone()),
            lane: Some(lane),
            priority: schedule.priority,
            dedupe_key: Some(DedupeKey::occurrence(schedule.id, at, account)),
            schedule_id: Some(schedule.id),
            post_id: Some(schedule.post_id),
            account_id: Some(account),
            ..new
        }
    }
}

/// A job as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What it was made from.
    #[serde(flatten)]
    pub made: NewJob,
    /// Where it stands.
    pub state: JobState,
    /// The fence of the last claim.
    pub fence: Fence,
    /// Attempts charged so far; a running one is counted.
    pub attempt: u32,
    /// Not claimable earlier than this.
    pub run_at: DateTime<Utc>,
    /// The slot that the limiter reserved for this job: reached, no further one is taken.
    pub slot: Option<DateTime<Utc>>,
    /// Why it is where it is, for a person.
    pub reason: Option<String>,
    /// Why it is a dead letter.
    pub dead_reason: Option<DeadReason>,
    /// What a person decided about the dead letter.
    pub resolution: Option<Resolution>,
    /// The first job of its line of replays; itself if it is none. Platform keys, intents and
    /// receipts belong to it.
    pub root: JobId,
    /// The dead letter that it replays.
    pub replay_of: Option<JobId>,
    /// Who runs it.
    pub node: Option<NodeId>,
    /// When it became claimable.
    pub enqueued_at: Option<DateTime<Utc>>,
    /// When it was last claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// Its id.
    pub fn id(&self) -> JobId {
        self.made.id
    }

    /// What a worker holds of it.
    pub fn held(&self) -> Held {
        Held { job: self.made.id, fence: self.fence }
    }

    /// How it is made: planned, or at once enqueued where its maker is also its dispatcher.
    pub fn from_new(made: NewJob) -> Self {
        Self {
            state: JobState::Planned,
            fence: Fence::default(),
            attempt: 0,
            run_at: made.planned_at,
            slot: None,
            reason: None,
            dead_reason: None,
            resolution: None,
            root: made.id,
            replay_of: None,
            node: None,
            enqueued_at: None,
            started_at: None,
            finished_at: None,
            made,
        }
    }
}

/// One transition of a job: the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEvent {
    /// The job.
    pub job: JobId,
    /// When, by the store's clock.
    pub at: DateTime<Utc>,
    /// The state before; none when it was made.
    pub from: Option<JobState>,
    /// The state after.
    pub to: JobState,
    /// The fence then.
    pub fence: Fence,
    /// The node that asked for it.
    pub node: Option<NodeId>,
    /// Why, for a person.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_knows_its_app() {
        let account = AccountId::new();
        let lane = Lane::of(&"x".parse().unwrap(), account);

        assert_eq!(lane.as_str(), format!("x/{account}"));
        assert_eq!(lane.app(), "x/");
        assert_eq!(Lane::from_raw("own").app(), "");
    }

    #[test]
    fn an_occurrence_has_one_key_per_account() {
        let (schedule, account) = (ScheduleId::new(), AccountId::new());
        let at = DateTime::UNIX_EPOCH;

        assert_eq!(
            DedupeKey::occurrence(schedule, at, account),
            DedupeKey::occurrence(schedule, at, account)
        );
        assert_ne!(
            DedupeKey::occurrence(schedule, at, account),
            DedupeKey::occurrence(schedule, at, AccountId::new())
        );
    }
}
