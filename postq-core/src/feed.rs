//! The job feed: the one narrow door that workers pull through.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::failure::Failure;
use crate::id::{JobId, NodeId, ScheduleId};
use crate::intent::{Evidence, Intent, IntentAnswer, Receipt};
use crate::job::{Applied, Held, Job, NewJob, Topic};
use crate::retry::RetryDecision;

/// Which jobs a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Only {
    /// Any.
    #[default]
    Any,
    /// These: what a queue proposed. A claim gives none before a due job that comes first in its lane.
    Jobs(Arc<BTreeSet<JobId>>),
    /// Those of these schedules: what a run of one calendar file may touch.
    Schedules(Arc<BTreeSet<ScheduleId>>),
}

/// What a worker asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// From this topic.
    pub topic: Topic,
    /// For this node.
    pub node: NodeId,
    /// At most so many.
    pub limit: usize,
    /// Held for so long, unless renewed.
    pub lease: Duration,
    /// So much before they are due: the worker prepares them and waits for the moment itself.
    pub ahead: Duration,
    /// Jobs of one lane that may run at once.
    pub lane_width: u32,
    /// No job whose lane begins with one of these, besides those that the store knows as blocked.
    pub skip: Vec<String>,
    /// Among these.
    pub only: Only,
}

impl Claim {
    /// Up to `limit` jobs of the topic, leased for 60 s, when they are due, one per lane.
    pub fn up_to(limit: usize, topic: Topic, node: NodeId) -> Self {
        Self {
            topic,
            node,
            limit,
            lease: Duration::from_secs(60),
            ahead: Duration::ZERO,
            lane_width: 1,
            skip: Vec::new(),
            only: Only::Any,
        }
    }
}

/// A place in the stream of changes: see [`JobFeed::wait`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

/// A job that is now `running` here, and what is known of what it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job.
    pub job: Job,
    /// What was sent for it before, in all its replays.
    pub evidence: Evidence,
}

/// What a claim answers.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The jobs, in the order in which they should start.
    pub jobs: Vec<ClaimedJob>,
    /// The store's time.
    pub now: DateTime<Utc>,
    /// Taken before the claim looked: a change after it ends a wait.
    pub mark: Mark,
    /// When the next job of the topic can be claimed at the earliest (its `run_at`), as far as is
    /// known now; none when nothing waits. A lane that is full or blocked for ever counts as nothing.
    pub next_at: Option<DateTime<Utc>>,
}

/// Why a job is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// The limiter reserved a slot for it: reached, no other one is taken.
    Slot,
    /// The platform surely refused what was sent, and asked to wait: closes the open intent as
    /// [`NotPublished`](crate::intent::IntentState::NotPublished), and takes back the slot it used.
    Refused,
    /// The lane is blocked.
    Wait,
    /// The node is shutting down.
    Shutdown,
    /// It waits for its next look on the platform.
    Looking {
        /// A look just found nothing, late enough to count.
        absent: bool,
    },
    /// This node does not know its kind or its platform.
    UnknownKind,
    /// Something changed while it was being prepared: load it again.
    Again,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settle {
    /// A part is out; the job goes on. Keeps the state `running`.
    Part(Receipt),
    /// Done: `running -> succeeded`. A publish job brings the receipt of its last part, unless the
    /// store has it; the publication is made from all of them.
    Succeeded(Option<Receipt>),
    /// It failed: `running -> failed`, and on giving up `-> dead_letter`. An outcome
    /// `not_published` closes the open intent; `unknown` leaves it open.
    Failed(Failure, RetryDecision),
    /// Given back without charging the attempt: `running -> enqueued`, due at the given time.
    Deferred(DateTime<Utc>, Deferral),
    /// The open intent published nothing, says the platform: closes it. Keeps `running`.
    Absent {
        /// Which part.
        part: u16,
    },
    /// Too late, and the misfire policy skips it: `running -> enqueued -> cancelled`.
    Missed,
}

/// What became of one attempt, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The claim.
    pub held: Held,
    /// The node that held it.
    pub node: NodeId,
    /// What became of it.
    pub settle: Settle,
    /// For the audit trail: no secret, no content.
    pub reason: Option<String>,
    /// Jobs that follow from it, made in the same transaction if it applies.
    pub follow_ups: Vec<NewJob>,
}

/// The one narrow door that workers pull through.
///
/// # Contract
///
/// Claims:
///
/// 1. A claim turns due `enqueued` and `failed` jobs into `running` ones: fence and attempt rise by
///    one, the lease starts, the transition is recorded.  (`a_claim_raises_fence_and_attempt`)
/// 2. A job is never claimed earlier than `ahead` before its `run_at`.  (`nothing_is_claimed_early`)
/// 3. However many claim at once, a job goes to one of them.  (`claims_are_exclusive`)
/// 4. At most `lane_width` jobs of a lane run at once, per topic; within a lane the highest
///    priority goes first, then the earliest `planned_at`, then the lowest id, also among what a
///    queue proposed and what waits for a retry.  (`a_lane_runs_one_at_a_time_in_order`,
///    `what_is_proposed_keeps_its_place_in_the_lane`, `a_retry_goes_before_what_was_planned_later`)
/// 5. Across lanes: the highest priority first, then the earliest `planned_at`.
///    (`lanes_compete_by_priority_then_time`)
/// 6. Blocked and skipped lanes give nothing and hold back nobody; a lifted or ended block lets
///    them go on.  (`a_blocked_lane_waits_alone`)
///    Where the platform had asked a whole app to wait, one job goes first: see
///    [`Block::asks_first`](crate::store::Block::asks_first).
///    (`one_job_goes_first_when_an_app_may_go_on`, `other_blocks_end_for_all_at_once`)
/// 7. `only` leaves other jobs untouched.  (`only_what_is_asked_for_is_claimed`)
/// 8. `next_at` is the next moment worth a claim.  (`a_claim_tells_the_next_moment`)
///
/// Settling:
///
/// 9. Under an older fence nothing changes, on every path: [`Applied::Stale`]; for an id that does
///    not exist: [`Applied::Gone`].  (`an_older_fence_changes_nothing`)
/// 10. The same settlement again answers [`Applied::Applied`] and changes nothing.
///     (`settling_twice_is_settling_once`)
/// 11. One settlement that cannot be applied leaves the others of its batch alone.
///     (`one_bad_settlement_leaves_the_batch`)
/// 12. A deferred job gets its attempt back; a crashed one does not. `Refused` closes the open intent,
///     the other deferrals leave it open.  (`deferring_gives_the_attempt_back`)
/// 13. `failed` waits for its retry; giving up makes it a `dead_letter` with the reason, both
///     transitions recorded.  (`giving_up_makes_a_dead_letter`)
/// 14. Follow-ups are made if and only if the settlement applies, once.  (`follow_ups_come_once`)
/// 15. Success makes one publication with every part; a remote id that another publication of the
///     account, or of another one that is the same identity, has is refused as [`Applied::Stale`].
///     (`success_makes_one_publication`, `a_remote_id_belongs_to_one_publication`,
///     `a_remote_id_belongs_to_one_of_an_identity`)
///
/// Evidence:
///
/// 16. An intent is recorded only under the current fence, with at least `room` of the lease left,
///     for the post's current revision.  (`an_intent_needs_the_fence_room_and_revision`)
/// 17. While an intent for the part is open, no other is recorded; after `NotPublished` or `Absent`
///     one is.  (`an_open_intent_blocks_the_next`)
///     So does an open intent of another job of the account, or of another one that is the same
///     identity, not yet ended, for the same text and parent: two alike cannot be told apart.
///     (`an_open_twin_blocks`, `an_open_twin_blocks_its_identity`)
/// 18. A receipt blocks every later intent for its part, whoever brought it: a stale worker's
///     settlement stores its receipt although it answers [`Applied::Stale`].
///     (`a_stale_receipt_is_kept_and_blocks`)
/// 19. Evidence belongs to the root job: a replay sees it.  (`a_replay_inherits_the_evidence`)
///
/// Time:
///
/// 20. `renew` moves the end of a lease that is still held; a job whose lease ended is `Stale`
///     once the sweeper took it.  (`renewing_keeps_the_lease`)
/// 21. `wait` returns at `until`, or soon after a change later than its mark that makes a job of
///     the topic claimable.  (`waiting_ends_with_a_change`)
///
/// Each rule is a public test in `conformance::feed`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait JobFeed: fmt::Debug + Send + Sync + 'static {
    /// Takes due jobs under a lease.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError>;

    /// Waits until `until` (the store's time) or a change since `mark`. Wake-ups are hints: it may
    /// return early, and a lost one costs no more than `until`.
    async fn wait(&self, topic: &Topic, mark: Mark, until: DateTime<Utc>)
    -> Result<(), StoreError>;

    /// Makes each lease end `lease` from now; one answer per claim, in order.
    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError>;

    /// Records what is about to be sent, if the claim is current and has `room` left. The store
    /// fills in `made_at`.
    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError>;

    /// Settles attempts; one answer per settlement, in order.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn JobFeed) = |_| {};
