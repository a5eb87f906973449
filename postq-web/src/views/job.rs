//! Jobs and dead letters.

use chrono::{DateTime, Utc};
use postq_core::intent::{Evidence, IntentState, PartEvidence, Receipt};
use postq_core::job::{DeadReason, Job, JobEvent, Resolution};
use postq_core::machine::JobState;
use postq_core::schedule::Verdict;
use postq_core::store::JobStory;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// One unit of durable work.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobView {
    pub(crate) id: Uuid,
    /// What it does: `publish`, `notify`, …
    kind: String,
    topic: String,
    /// `planned`, `enqueued`, `running`, `failed`, `succeeded`, `dead_letter` or `cancelled`.
    #[schema(value_type = String, example = "enqueued")]
    state: JobState,
    /// How it stands for people: its state; or `held` where a dead letter's outcome is unknown, `missed` for
    /// what the misfire policy left out, `succeeded` or `cancelled` for a dead letter that somebody
    /// resolved as published or discarded.
    #[schema(example = "held")]
    standing: &'static str,
    post_id: Option<Uuid>,
    /// How its post begins; null where it has none, or it was taken away.
    gist: Option<String>,
    account_id: Option<Uuid>,
    schedule_id: Option<Uuid>,
    priority: i16,
    /// When it was meant to happen.
    planned_at: DateTime<Utc>,
    /// Not tried earlier than this.
    run_at: DateTime<Utc>,
    /// Attempts charged so far.
    attempt: u32,
    max_attempts: u32,
    /// Rises at every claim.
    fence: u64,
    /// Why it is where it is.
    reason: Option<String>,
    /// Why it is a dead letter.
    #[schema(value_type = Option<String>, example = "outcome_unknown")]
    dead_reason: Option<DeadReason>,
    /// What became of the dead letter: `marked_published`, `discarded` or `replayed`.
    #[schema(value_type = Option<String>, example = "replayed")]
    resolution: Option<Resolution>,
    /// The first job of its line of replays.
    root: Uuid,
    /// The dead letter that it replays.
    replay_of: Option<Uuid>,
    /// The node that runs it.
    node: Option<Uuid>,
    correlation_id: String,
    enqueued_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            id: job.id().as_uuid(),
            kind: job.made.kind.to_string(),
            topic: job.made.topic.to_string(),
            state: job.state,
            standing: standing(&job),
            post_id: job.made.post_id.map(|id| id.as_uuid()),
            gist: None,
            account_id: job.made.account_id.map(|id| id.as_uuid()),
            schedule_id: job.made.schedule_id.map(|id| id.as_uuid()),
            priority: job.made.priority,
            planned_at: job.made.planned_at,
            run_at: job.run_at,
            attempt: job.attempt,
            max_attempts: job.made.max_attempts,
            fence: job.fence.0,
            reason: job.reason,
            dead_reason: job.dead_reason,
            resolution: job.resolution,
            root: job.root.as_uuid(),
            replay_of: job.replay_of.map(|id| id.as_uuid()),
            node: job.node.map(|id| id.as_uuid()),
            correlation_id: job.made.correlation_id.to_string(),
            enqueued_at: job.enqueued_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

/// How a job stands for people.
pub(crate) fn standing(job: &Job) -> &'static str {
    match (job.state, job.resolution, job.dead_reason) {
        (JobState::DeadLetter, Some(Resolution::Discarded), _) => JobState::Cancelled.as_str(),
        (JobState::DeadLetter, Some(Resolution::MarkedPublished), _) => {
            JobState::Succeeded.as_str()
        }
        (JobState::DeadLetter, None, Some(DeadReason::OutcomeUnknown)) => "held",
        (JobState::Cancelled, ..) if is_missed(job) => "missed",
        (state, ..) => state.as_str(),
    }
}

fn is_missed(job: &Job) -> bool {
    let missed = Verdict::Missed { and_older: 0 }.missed();
    job.reason
        .as_deref()
        .zip(missed.as_deref())
        .is_some_and(|(why, missed)| why.starts_with(missed))
}

impl JobView {
    /// The same, with how its post begins.
    pub(crate) fn about(self, gist: Option<String>) -> Self {
        Self { gist, ..self }
    }
}

/// A job with all that is known of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Story)]
pub(crate) struct StoryView {
    job: JobView,
    /// Every transition, oldest first.
    events: Vec<JobEventView>,
    /// What was sent and what is out, by part.
    evidence: Vec<EvidenceView>,
}

impl StoryView {
    pub(crate) fn of(job: JobView, events: Vec<JobEvent>, evidence: Evidence) -> Self {
        Self {
            job,
            events: events.into_iter().map(JobEventView::from).collect(),
            evidence: evidence.0.into_iter().map(EvidenceView::from).collect(),
        }
    }
}

/// One transition of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JobEvent)]
pub(crate) struct JobEventView {
    at: DateTime<Utc>,
    /// The state before; null when it was made.
    #[schema(value_type = Option<String>)]
    from: Option<JobState>,
    #[schema(value_type = String)]
    to: JobState,
    fence: u64,
    node: Option<Uuid>,
    reason: Option<String>,
}

impl From<JobEvent> for JobEventView {
    fn from(event: JobEvent) -> Self {
        Self {
            at: event.at,
            from: event.from,
            to: event.to,
            fence: event.fence.0,
            node: event.node.map(|id| id.as_uuid()),
            reason: event.reason,
        }
    }
}

/// Every transition of a job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobEvents {
    /// Oldest first.
    pub(crate) items: Vec<JobEventView>,
}

impl From<Vec<JobEvent>> for JobEvents {
    fn from(events: Vec<JobEvent>) -> Self {
        Self { items: events.into_iter().map(JobEventView::from).collect() }
    }
}

/// What is known of one part of a post.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Evidence)]
pub(crate) struct EvidenceView {
    /// Which part, from 0.
    part: u16,
    /// `open` (something may be out), `published`, `not_published` or `absent`.
    #[schema(value_type = String)]
    state: IntentState,
    /// The text that was sent last.
    sent_text: Option<String>,
    /// When it was sent last.
    sent_at: Option<DateTime<Utc>>,
    /// How often the platform was asked for it.
    looks: u32,
    /// Proof that it is out.
    receipt: Option<ReceiptView>,
}

impl From<PartEvidence> for EvidenceView {
    fn from(known: PartEvidence) -> Self {
        let (sent_text, sent_at) = match known.intent {
            Some(intent) => (Some(intent.text), Some(intent.made_at)),
            None => (None, None),
        };
        Self {
            part: known.part,
            state: known.state,
            sent_text,
            sent_at,
            looks: known.looks,
            receipt: known.receipt.map(ReceiptView::from),
        }
    }
}

/// Proof that a part is out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub(crate) struct ReceiptView {
    part: u16,
    /// The platform's id of it.
    remote_id: String,
    url: Option<String>,
    published_at: DateTime<Utc>,
    /// Nothing was really sent.
    dry_run: bool,
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        Self {
            part: receipt.part,
            remote_id: receipt.remote_id,
            url: receipt.url,
            published_at: receipt.published_at,
            dry_run: receipt.dry_run,
        }
    }
}

/// Where a job stands, in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobStatus {
    id: Uuid,
    #[schema(value_type = String)]
    state: JobState,
    /// Whether nothing can follow.
    ended: bool,
    attempt: u32,
    run_at: DateTime<Utc>,
    reason: Option<String>,
    /// Proof of the parts that are out.
    receipts: Vec<ReceiptView>,
}

impl From<JobStory> for JobStatus {
    fn from(story: JobStory) -> Self {
        let receipts = story.evidence.0.into_iter().filter_map(|known| known.receipt);
        Self {
            id: story.job.id().as_uuid(),
            state: story.job.state,
            ended: story.job.state.is_terminal(),
            attempt: story.job.attempt,
            run_at: story.job.run_at,
            reason: story.job.reason,
            receipts: receipts.map(ReceiptView::from).collect(),
        }
    }
}

/// Why a job is taken back.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    /// For its history.
    pub(crate) reason: Option<String>,
}

/// How a dead letter is replayed.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replay {
    /// Sends without looking, under a new key: it may be out twice.
    #[serde(default)]
    pub(crate) send_again: bool,
}

/// The job that takes a dead letter's place.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedBy {
    pub(crate) letter: Uuid,
    pub(crate) job: Uuid,
}

/// Which dead letters are replayed: those that nobody has dealt with and all of this is true of.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkReplay {
    /// Given up for this reason.
    pub(crate) dead_reason: Option<String>,
    /// Of this account, by name or id.
    pub(crate) account: Option<String>,
    /// Of this post.
    pub(crate) post_id: Option<Uuid>,
    /// At most so many; 100 if left out.
    #[schema(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<usize>,
}

/// What a bulk replay did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct BulkReplayed {
    pub(crate) replayed: Vec<ReplayedBy>,
    /// Letters whose outcome is unknown: each needs a person.
    pub(crate) left_out: usize,
    /// There may be more: ask again.
    pub(crate) more: bool,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolve {
    pub(crate) resolution: Fate,
}

/// What a person decides of a dead letter.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// It is out after all.
    MarkedPublished,
    /// Nobody wants it any more.
    Discarded,
}

impl From<Fate> for Resolution {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::MarkedPublished => Self::MarkedPublished,
            Fate::Discarded => Self::Discarded,
        }
    }
}

/// Dead letters that nobody has dealt with, by cause.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Causes {
    /// The most frequent first.
    pub(crate) items: Vec<Cause>,
    /// Only the oldest 10,000 letters were counted.
    pub(crate) partial: bool,
}

/// Dead letters of one account with one cause.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Cause {
    #[schema(value_type = Option<String>)]
    pub(crate) dead_reason: Option<DeadReason>,
    pub(crate) account_id: Option<Uuid>,
    pub(crate) count: u64,
    /// The latest one.
    pub(crate) example: Uuid,
    /// Why the latest one gave up, in words.
    pub(crate) reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use postq_core::job::{Fence, JobKind, NewJob, Topic};

    use super::*;

    fn job(state: JobState) -> Job {
        let at = DateTime::UNIX_EPOCH;
        let made = NewJob::new(JobKind::publish(), Topic::publish(), at);
        Job {
            root: made.id,
            made,
            state,
            fence: Fence::default(),
            attempt: 0,
            run_at: at,
            slot: None,
            reason: None,
            dead_reason: None,
            resolution: None,
            replay_of: None,
            node: None,
            enqueued_at: None,
            started_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn people_are_told_how_a_job_stands() {
        let letter = |why, resolution| {
            standing(&Job { dead_reason: Some(why), resolution, ..job(JobState::DeadLetter) })
        };
        let cancelled = |reason: &str| {
            standing(&Job { reason: Some(reason.to_owned()), ..job(JobState::Cancelled) })
        };

        assert_eq!(standing(&job(JobState::Enqueued)), "enqueued");
        assert_eq!(letter(DeadReason::Content, None), "dead_letter");
        assert_eq!(letter(DeadReason::OutcomeUnknown, None), "held");
        let out = Some(Resolution::MarkedPublished);
        assert_eq!(letter(DeadReason::OutcomeUnknown, out), "succeeded");
        assert_eq!(letter(DeadReason::Content, Some(Resolution::Discarded)), "cancelled");
        // Its replay tells the rest.
        assert_eq!(letter(DeadReason::Content, Some(Resolution::Replayed)), "dead_letter");
        assert_eq!(cancelled("called off"), "cancelled");
        assert_eq!([cancelled("missed"), cancelled("missed, with 3 older ones")], ["missed"; 2]);
    }
}
