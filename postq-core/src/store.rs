//! The stores: what must survive.
//!
//! One small trait per caller. All of them share these rules:
//!
//! - The store's clock decides what is due and whose lease has ended; [`JobStore::now`] tells it.
//! - Times have whole microseconds.
//! - Rows are locked in the order schedule, post, job, and by id inside a batch.
//! - A list goes either way, as its page says.
//! - Every mutating call is safe to repeat: ids are chosen by the caller, changes name what they
//!   expect to find.
//!
//! The suites are in `conformance::store`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::Account;
use crate::content::{Content, Post, PostTally};
use crate::error::StoreError;
use crate::feed::{Mark, Only};
use crate::id::{AccountId, JobId, NodeId, PostId, PublicationId, ScheduleId, TenantId};
use crate::intent::{Evidence, Receipt};
use crate::job::{Applied, DedupeKey, Job, JobEvent, Lane, NewJob, Resolution, Topic};
use crate::machine::JobState;
use crate::platform::PlatformName;
use crate::queue::QueuedJob;
use crate::schedule::{Resolver, Schedule, Timing};

/// Which way a list goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Oldest,
    /// Newest first.
    Newest,
}

/// A page of a list that is ordered by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// What comes after this id on the list's way; from the start if none.
    pub after: Option<Uuid>,
    /// At most so many; a store may give at most 1,000.
    pub limit: usize,
    /// Which way the list goes.
    pub order: Order,
}

impl Page {
    /// The first page, of at most `limit`, oldest first.
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit, order: Order::Oldest }
    }

    /// The same page of a list that goes this way.
    #[must_use]
    pub fn ordered(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Cuts the page out of a list that is in the order of its ids.
    pub fn of<T>(
        self,
        list: impl DoubleEndedIterator<Item = T>,
        id: impl Fn(&T) -> Uuid,
    ) -> Vec<T> {
        let after = |one: &T| match (self.after, self.order) {
            (None, _) => true,
            (Some(after), Order::Oldest) => id(one) > after,
            (Some(after), Order::Newest) => id(one) < after,
        };
        match self.order {
            Order::Oldest => list.filter(after).take(self.limit).collect(),
            Order::Newest => list.rev().filter(after).take(self.limit).collect(),
        }
    }
}

/// What became of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Edited {
    /// It took effect; the revision is now this.
    Applied {
        /// The new revision.
        revision: u32,
    },
    /// Refused: the thing has been edited since.
    Changed {
        /// The revision it has.
        revision: u32,
    },
    /// Refused: it is being published, or its outcome is not known yet.
    AlreadyPublishing,
    /// There is no such thing.
    Gone,
}

/// Keeps posts.
///
/// # Contract
///
/// 1. An id that is there already is left as it is; a key that another post of the tenant has is a
///    conflict.  (`posts_are_inserted_once`)
/// 2. `edit` needs the revision that the caller has seen, and raises it.  (`an_edit_needs_the_current_revision`)
/// 3. Content is frozen from the first intent of a job until that job has ended: the edit is refused.
///    (`content_is_frozen_by_an_intent`)
/// 4. `remove` cancels what has no intent and takes the post away with its schedules; while a job has
///    one and is not ended it is refused. Publications stay.  (`removing_a_post_never_publishes_it`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PostStore: fmt::Debug + Send + Sync + 'static {
    /// Adds the posts, all or none.
    async fn insert(&self, posts: &[Post]) -> Result<(), StoreError>;

    /// The posts with these ids, in any order; those that do not exist are left out.
    async fn load(&self, ids: &[PostId]) -> Result<Vec<Post>, StoreError>;

    /// The posts of a tenant that have one of these calendar keys, in any order.
    async fn with_keys(&self, tenant: TenantId, keys: &[String]) -> Result<Vec<Post>, StoreError>;

    /// A page of posts, each with what its state is told from.
    async fn list(
        &self,
        tenant: TenantId,
        page: Page,
    ) -> Result<Vec<(Post, PostTally)>, StoreError>;

    /// Replaces the content.
    async fn edit(
        &self,
        id: PostId,
        revision: u32,
        content: &Content,
    ) -> Result<Edited, StoreError>;

    /// Takes the post away.
    async fn remove(&self, id: PostId) -> Result<Edited, StoreError>;
}

/// Keeps accounts.
///
/// # Contract
///
/// 1. A name that another account of the tenant has is a conflict; the same account again is
///    not.  (`account_names_are_unique`)
/// 2. `update` replaces credentials, remote id and `on_unknown`; name, platform and id stay.
///    (`an_account_is_updated_in_place`)
/// 3. `remove` wipes the credentials and takes the account off the list; while an enabled schedule or
///    a job that has not ended uses it, it is a conflict. What it published stays.
///    (`an_account_in_use_stays`)
/// 4. With what the caller has seen, `update` and `remove` are `Stale` and change nothing if what may
///    change of the account is something else by now. However many have seen the same, one of them
///    applies.  (`an_account_that_was_changed_meanwhile_stays`, `one_of_many_changes_an_account`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait AccountStore: fmt::Debug + Send + Sync + 'static {
    /// Adds an account.
    async fn insert(&self, account: &Account) -> Result<(), StoreError>;

    /// The accounts with these ids, in any order; those that do not exist are left out.
    async fn load(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError>;

    /// All accounts of a tenant, by name.
    async fn list(&self, tenant: TenantId) -> Result<Vec<Account>, StoreError>;

    /// Replaces what may change of it; only if it still is as it was `seen`, where that is given.
    async fn update<'a>(
        &self,
        account: &Account,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError>;

    /// Takes it away; only if it still is as it was `seen`, where that is given.
    async fn remove<'a>(
        &self,
        id: AccountId,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError>;
}

/// Why a lane stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockReason {
    /// A person paused it.
    Paused,
    /// The platform asked to wait (429).
    RateLimit,
    /// The app's account has no credits left (402).
    Credits,
    /// The account's credentials are refused: a person must reconnect it.
    NeedsAttention,
    /// The month's budget is used up, and its owner wants everything to stop then.
    Budget,
}

impl BlockReason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::RateLimit => "rate_limit",
            Self::Credits => "credits",
            Self::NeedsAttention => "needs_attention",
            Self::Budget => "budget",
        }
    }
}

/// A lane, or all lanes of an app, standing still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// A lane (`x/0192…`), or the prefix of an app's lanes (`x/`).
    pub scope: String,
    /// Why.
    pub reason: BlockReason,
    /// Until when; without an end until it is lifted.
    pub until: Option<DateTime<Utc>>,
    /// What to tell a person.
    pub note: String,
}

impl Block {
    /// Whether its end lets one job go first: a whole app waited because its platform had asked for
    /// it, and only a call can tell whether it still has to. Until that job has settled, for the
    /// length of its lease at most, the others wait; its success takes the block away, and any other
    /// end lets the next one go first. A new block in its place begins anew.
    pub fn asks_first(&self) -> bool {
        let asked = matches!(self.reason, BlockReason::RateLimit | BlockReason::Credits);
        asked && self.until.is_some() && self.scope.ends_with('/')
    }
}

/// Keeps what stands still.
///
/// # Contract
///
/// 1. One block per scope and reason: another one replaces it.  (`a_block_replaces_its_like`)
/// 2. `lift` takes one away and wakes the lane; what is not there is no error.  (`lifting_wakes_the_lane`)
/// 3. `blocks` leaves out those that have ended.  (`ended_blocks_are_gone`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait BlockStore: fmt::Debug + Send + Sync + 'static {
    /// Stops a lane or an app, in every topic.
    async fn block(&self, block: &Block) -> Result<(), StoreError>;

    /// Lets it go on.
    async fn lift(&self, scope: &str, reason: BlockReason) -> Result<(), StoreError>;

    /// All blocks in force.
    async fn blocks(&self) -> Result<Vec<Block>, StoreError>;
}

/// What a planner asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanRequest {
    /// For this node.
    pub node: NodeId,
    /// Occurrences up to so much from now.
    pub look_ahead: Duration,
    /// The same for posts with media, which are prepared earlier.
    pub prepare_ahead: Duration,
    /// At most so many schedules in one transaction.
    pub limit: usize,
    /// Among these; [`Only::Jobs`] plans nothing.
    pub only: Only,
    /// Attempts allowed to each job.
    pub max_attempts: u32,
    /// What follows from occurrences that are missed; nothing if none.
    pub follow_up: Option<Arc<dyn FollowUp>>,
}

/// What follows from what a planner finds.
pub trait FollowUp: fmt::Debug + Send + Sync + 'static {
    /// The job that follows from a missed one. Called within the transaction that records it: quick,
    /// and asks nobody.
    fn of_missed(&self, missed: MissedJob<'_>) -> Option<NewJob>;
}

/// A job that planning records as missed.
#[derive(Clone, Copy, Debug)]
pub struct MissedJob<'a> {
    /// The job.
    pub job: &'a NewJob,
    /// What people call its account.
    pub account: &'a str,
    /// The platform of its account.
    pub platform: &'a PlatformName,
    /// What its reason says.
    pub reason: &'a str,
    /// The store's time.
    pub now: DateTime<Utc>,
}

impl PlanRequest {
    /// With the defaults: 60 s, 60 min with media, 500 schedules.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            look_ahead: Duration::from_secs(60),
            prepare_ahead: Duration::from_secs(3_600),
            limit: 500,
            only: Only::Any,
            max_attempts: NewJob::MAX_ATTEMPTS,
            follow_up: None,
        }
    }
}

/// What planning did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Jobs made.
    pub jobs: Vec<JobId>,
    /// Occurrences recorded as missed.
    pub missed: u64,
    /// Schedules that could not be resolved and were switched off, and why.
    pub broken: Vec<(ScheduleId, String)>,
    /// The limit was reached: there is more to plan now.
    pub more: bool,
    /// When there is something to plan again at the earliest (the time of the call, not of the
    /// occurrence); none if no enabled schedule has a future.
    pub next_at: Option<DateTime<Utc>>,
    /// The store's time.
    pub now: DateTime<Utc>,
    /// Taken before planning looked: `JobFeed::wait` on [`Topic::plan`] with it ends when a
    /// schedule was added or changed since.
    pub mark: Mark,
}

/// A change to a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleEdit {
    /// A new rule, and its first occurrence.
    pub timing: Option<(Timing, Option<DateTime<Utc>>)>,
    /// Other accounts.
    pub accounts: Option<Vec<AccountId>>,
    /// Another zone, and the version of the zone database that knows it. It moves nothing by itself:
    /// what it means for the rule is in `timing`.
    pub tz: Option<(String, String)>,
    /// Another priority.
    pub priority: Option<i16>,
    /// Switched on or off; on resolves anew from now.
    pub enabled: Option<bool>,
}

impl ScheduleEdit {
    /// Changes what it names and raises the revision; but for the timing, whose next occurrence depends
    /// on what the store takes back.
    pub fn apply_but_timing(&self, schedule: &mut Schedule) {
        if let Some(accounts) = &self.accounts {
            schedule.accounts.clone_from(accounts);
        }
        if let Some((tz, tzdb)) = &self.tz {
            schedule.tz = Some(tz.clone());
            schedule.tzdb = Some(tzdb.clone());
        }
        schedule.priority = self.priority.unwrap_or(schedule.priority);
        if let Some(enabled) = self.enabled {
            schedule.enabled = enabled;
            if enabled {
                schedule.problem = None;
            }
        }
        schedule.revision += 1;
    }
}

/// Keeps schedules and plans them.
///
/// # Contract
///
/// 1. Planning is one transaction: occurrences within the look-ahead become `planned` jobs, one per
///    account, and `next_run_at` moves on.  (`planning_makes_a_job_per_account`)
/// 2. However many plan at once, an occurrence becomes one job per account.  (`planners_share_the_work`)
/// 3. A moment that was published, or that has a job that had an intent, is never planned again. A
///    replay takes over its letter's dedupe key, and its publication has it.
///    (`a_published_moment_is_never_planned_again`, `a_replayed_moment_is_never_planned_again`)
/// 4. What the resolver says is missed becomes a `cancelled` job, reason `missed`.
///    (`missed_occurrences_are_recorded`)
/// 5. A schedule that cannot be resolved is switched off with its problem, and holds nobody back.
///    (`a_broken_schedule_blocks_nobody`)
/// 6. An edit (a new rule, other accounts, zone or priority, switching off) cancels, in the same
///    transaction, the jobs that have no intent and frees their keys; while one has an intent and is
///    not ended, or runs, the edit is refused. So is new timing for a one-shot that is out, or may be.
///    (`an_edit_wins_wholly_or_is_refused`)
/// 7. `plan` with `only` plans only those.  (`only_what_is_asked_for_is_planned`)
/// 8. `Planned::next_at` is the next moment worth planning.  (`planning_tells_the_next_moment`)
/// 9. A schedule that is added or changed ends a `JobFeed::wait` on [`Topic::plan`].
///    (`a_new_schedule_wakes_the_planner`)
/// 10. An edit changes what it names and nothing else; what is planned after it has its priority.
///     (`an_edit_changes_what_it_names`)
/// 11. A time between two microseconds is kept as the earlier one, and planned.
///     (`a_moment_between_microseconds_is_planned`)
/// 12. Planned jobs carry the correlation id of their schedule, whatever becomes of it later; without
///     one each has its own.  (`planned_jobs_carry_what_asked_for_them`)
/// 13. `coming` has the enabled schedules whose next occurrence is in the span, and those that repeat
///     and whose next one is before it; earliest first.  (`what_is_coming_is_found_by_its_time`)
/// 14. `movable` answers exactly those for which an edit with new timing would take effect now.
///     (`what_an_edit_would_move_is_movable`)
/// 15. What `PlanRequest::follow_up` says follows from a missed job is made with it, once, and can be
///     claimed.  (`what_follows_from_a_missed_occurrence_is_made_with_it`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ScheduleStore: fmt::Debug + Send + Sync + 'static {
    /// Adds schedules, all or none; an id that is there already is left as it is.
    async fn insert(&self, schedules: &[Schedule]) -> Result<(), StoreError>;

    /// The schedules with these ids, in any order; those that do not exist are left out.
    async fn load(&self, ids: &[ScheduleId]) -> Result<Vec<Schedule>, StoreError>;

    /// The schedules of these posts.
    async fn of_posts(&self, posts: &[PostId]) -> Result<Vec<Schedule>, StoreError>;

    /// A page of schedules.
    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Schedule>, StoreError>;

    /// Up to `limit` schedules that may have an occurrence in a span of time.
    async fn coming(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError>;

    /// Those of these schedules that can be given another time now, in any order.
    async fn movable(&self, ids: &[ScheduleId]) -> Result<Vec<ScheduleId>, StoreError>;

    /// Changes a schedule that has this revision.
    async fn edit(
        &self,
        id: ScheduleId,
        revision: u32,
        edit: &ScheduleEdit,
    ) -> Result<Edited, StoreError>;

    /// Takes a schedule away, as an edit that switches it off would; its jobs' history stays.
    async fn remove(&self, id: ScheduleId) -> Result<Edited, StoreError>;

    /// Turns what is due within the look-ahead into jobs.
    async fn plan(
        &self,
        request: &PlanRequest,
        resolver: &Arc<dyn Resolver>,
    ) -> Result<Planned, StoreError>;
}

/// Which jobs a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In these states; all if empty.
    pub states: Vec<JobState>,
    /// Of this topic.
    pub topic: Option<Topic>,
    /// Of this lane.
    pub lane: Option<Lane>,
    /// Of this account.
    pub account: Option<AccountId>,
    /// Of this post.
    pub post: Option<PostId>,
    /// Of these schedules.
    pub schedules: Option<Vec<ScheduleId>>,
    /// Only dead letters that nobody has resolved.
    pub unresolved: bool,
    /// Only those that have ended, at this time or later.
    pub ended_since: Option<DateTime<Utc>>,
}

/// A job with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStory {
    /// The job.
    pub job: Job,
    /// Every transition, oldest first.
    pub events: Vec<JobEvent>,
    /// What was sent and what is out.
    pub evidence: Evidence,
}

/// Keeps jobs and shows them.
///
/// # Contract
///
/// 1. An id or dedupe key that is there already is left out of an insert, the rest goes in.
///    (`a_dedupe_key_makes_one_job`)
/// 2. Every transition is in the story, in order, written with the change itself.
///    (`every_transition_is_recorded`)
/// 3. Pages are stable under inserts, whichever way they go.  (`pages_are_stable`)
/// 4. A list, and a count, has what every part of the filter names.  (`filters_and_counts_agree`)
/// 5. `planned_in` has the publish jobs that were planned for a time in the span, earliest first: but for
///    those that an edit took back, and letters in whose place a replay is.
///    (`publish_jobs_are_found_by_their_time`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// The store's time.
    async fn now(&self) -> Result<DateTime<Utc>, StoreError>;

    /// Makes jobs, `enqueued`; answers which were made.
    async fn insert(&self, jobs: &[NewJob]) -> Result<Vec<JobId>, StoreError>;

    /// A page of jobs.
    async fn list(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
        page: Page,
    ) -> Result<Vec<Job>, StoreError>;

    /// Up to `limit` publish jobs that were planned for a time in a span.
    async fn planned_in(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError>;

    /// How many jobs of a tenant the filter would list, by state; states without jobs are left out.
    async fn count(
        &self,
        tenant: TenantId,
        filter: &JobFilter,
    ) -> Result<Vec<(JobState, u64)>, StoreError>;

    /// All that is known of one job; of one that was cleaned up, all that was known then, for as long
    /// as its history is kept.
    async fn story(&self, id: JobId) -> Result<Option<JobStory>, StoreError>;
}

/// What became of a cancel, a retry or the resolving of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Controlled {
    /// It took effect.
    Applied,
    /// Refused: the job is in this state.
    Refused(JobState),
    /// Refused: it is being published, or its outcome is not known yet.
    AlreadyPublishing,
    /// There is no such job.
    Gone,
}

/// How a dead letter is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayKey {
    /// With the old platform keys and evidence: looks on the platform before its first send.
    Keep,
    /// With a new key, forgetting what is unknown: a person's 'send again'.
    New,
}

/// What became of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Replayed {
    /// This job takes the dead letter's place, now or since an earlier call.
    By(JobId),
    /// Refused: the job is no dead letter, or was resolved otherwise.
    Refused,
    /// There is no such job.
    Gone,
}

/// What a person does to jobs.
///
/// # Contract
///
/// 1. `cancel` ends a waiting job: `planned` and `enqueued` become `cancelled`, `failed` a
///    `dead_letter` with the reason `cancelled`. A running one, and one with an open intent, is
///    refused. A cancel that applied never publishes.  (`a_cancelled_job_never_runs`)
/// 2. `due_now` makes a waiting job due now; others are refused.  (`due_now_makes_it_due`)
/// 3. A dead letter is replayed once: again answers the same job.  (`a_dead_letter_is_replayed_once`)
/// 4. `resolve` sets the resolution of an unresolved dead letter; marking it as published closes its
///    open intents.  (`a_dead_letter_is_resolved_once`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait JobControl: fmt::Debug + Send + Sync + 'static {
    /// Takes a waiting job back.
    async fn cancel(&self, id: JobId, reason: &str) -> Result<Controlled, StoreError>;

    /// Makes a waiting job due now.
    async fn due_now(&self, id: JobId) -> Result<Controlled, StoreError>;

    /// Makes a new job that takes the dead letter's place, due now.
    async fn replay(&self, id: JobId, key: ReplayKey) -> Result<Replayed, StoreError>;

    /// Says what became of a dead letter: published after all, or unwanted.
    async fn resolve(&self, id: JobId, resolution: Resolution) -> Result<Controlled, StoreError>;
}

/// How long ended things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Succeeded and cancelled jobs. Defaults to 24 h.
    pub ended: Duration,
    /// Resolved dead letters. Defaults to 7 days.
    pub resolved: Duration,
    /// So many succeeded and cancelled jobs of every topic are kept whatever their age. Defaults to 100.
    pub keep: u64,
    /// So many resolved dead letters of every topic are kept whatever their age. Defaults to 50.
    pub keep_resolved: u64,
    /// The history of a job that was cleaned up, from its end on. Defaults to 90 days; zero keeps none.
    pub history: Duration,
}

impl Retention {
    /// Nothing that may go stays.
    pub const NOTHING: Self = Self {
        ended: Duration::ZERO,
        resolved: Duration::ZERO,
        keep: 0,
        keep_resolved: 0,
        history: Duration::ZERO,
    };
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            ended: Duration::from_secs(86_400),
            resolved: Duration::from_secs(7 * 86_400),
            keep: 100,
            keep_resolved: 50,
            history: Duration::from_secs(90 * 86_400),
        }
    }
}

/// What the engine's background loops do to jobs.
///
/// # Contract
///
/// 1. `dispatch` makes `planned` jobs `enqueued` and tells what a queue must know.
///    (`dispatch_enqueues_what_is_planned`)
/// 2. `expire` makes a `running` job whose lease has ended `failed`, due now, its attempt charged,
///    and no other.  (`an_ended_lease_fails_the_attempt`)
/// 3. `waiting` shows every claimable job that is due by `until`: what a queue should hold.
///    (`waiting_shows_what_a_queue_should_hold`)
/// 4. `clean` removes ended jobs in batches; an unresolved dead letter, a job that has not ended and
///    a publication never.  (`cleaning_spares_what_matters`, `cleaning_keeps_the_youngest`,
///    `an_endless_retention_keeps_everything`)
/// 5. A job that has a dedupe key and ended before its `planned_at` is as old as that: until then the key
///    keeps its moment from being planned again.  (`a_moment_to_come_is_not_cleaned_up`)
/// 6. What `clean` removes stays in [`JobStore::story`] as it was, until the job ended
///    [`Retention::history`] ago: then `clean` removes that too, in batches.
///    (`a_cleaned_job_keeps_its_history`, `history_ends`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait JobUpkeep: fmt::Debug + Send + Sync + 'static {
    /// Makes up to `limit` planned jobs claimable.
    async fn dispatch(&self, only: &Only, limit: usize) -> Result<Vec<QueuedJob>, StoreError>;

    /// Fails up to `limit` jobs whose lease has ended; answers which.
    async fn expire(&self, limit: usize) -> Result<Vec<JobId>, StoreError>;

    /// A page of the jobs of a topic that are claimable by `until`.
    async fn waiting(
        &self,
        topic: &Topic,
        until: DateTime<Utc>,
        page: Page,
    ) -> Result<Vec<QueuedJob>, StoreError>;

    /// Removes ended jobs, and histories that are too old: up to `limit` in all; answers how many.
    async fn clean(&self, retention: &Retention, limit: usize) -> Result<u64, StoreError>;
}

/// What a publish job made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its id.
    pub id: PublicationId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The job that made it.
    pub job_id: JobId,
    /// The post.
    pub post_id: PostId,
    /// The account.
    pub account_id: AccountId,
    /// The job's dedupe key: kept for good, so that the moment is never planned again.
    pub dedupe_key: Option<DedupeKey>,
    /// The platform's id of the first part.
    pub remote_id: String,
    /// Where people see it.
    pub url: Option<String>,
    /// When it came out.
    pub published_at: DateTime<Utc>,
    /// Every part.
    pub parts: Vec<Receipt>,
}

/// Keeps what is out.
///
/// # Contract
///
/// 1. `claimed` lists the remote id of every receipt of the account since then, whichever job and
///    part it belongs to.  (`claimed_lists_every_part`)
///    Those of every other account that is, or was, the same identity of the platform are among them:
///    also of other tenants, and of accounts that are removed. An account of no known identity has but
///    its own.  (`claimed_goes_by_identity`)
/// 2. Publications outlive their jobs and posts.  (`publications_stay`)
/// 3. `without_job` has those that came out in the span and whose job is gone, earliest first.
///    (`a_publication_without_its_job_is_found_by_its_time`)
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PublicationStore: fmt::Debug + Send + Sync + 'static {
    /// A page of publications.
    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Publication>, StoreError>;

    /// Up to `limit` publications of a span of time whose jobs have been cleaned up.
    async fn without_job(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Publication>, StoreError>;

    /// The publications that these jobs made.
    async fn of_jobs(&self, jobs: &[JobId]) -> Result<Vec<Publication>, StoreError>;

    /// The remote ids that are known to be ours, published by the account's identity since `since`.
    async fn claimed(
        &self,
        account: AccountId,
        since: DateTime<Utc>,
    ) -> Result<Vec<String>, StoreError>;

    /// Whether another publication of the account's identity, older than `before`, has exactly this
    /// text.
    async fn has_text(
        &self,
        account: AccountId,
        text: &str,
        before: DateTime<Utc>,
    ) -> Result<bool, StoreError>;
}

/// A block's scope for a lane.
impl From<&Lane> for String {
    fn from(lane: &Lane) -> Self {
        lane.as_str().to_owned()
    }
}
