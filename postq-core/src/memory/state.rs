//! What the backend keeps, and the one place where a job changes its state.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use crate::account::Account;
use crate::content::Post;
use crate::feed::Settle;
use crate::id::{AccountId, JobId, NodeId, PostId, PublicationId, ScheduleId, TenantId};
use crate::intent::Evidence;
use crate::job::{DedupeKey, Fence, Job, JobEvent};
use crate::limiter::Bucket;
use crate::machine::{JobMachine, JobState, StateMachine};
use crate::media::{MediaFile, MediaId, Upload, UploadKey};
use crate::memory::blocks::Standing;
use crate::memory::ids::Ids;
use crate::memory::lanes::Lanes;
use crate::memory::metrics::Metrics;
use crate::memory::slots::Slots;
use crate::platform::PlatformName;
use crate::schedule::Schedule;
use crate::store::{BlockReason, JobStory, Publication};

/// A job with what is kept beside it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) job: Job,
    pub(super) events: Vec<JobEvent>,
    /// When the lease of the last claim ends.
    pub(super) lease_until: DateTime<Utc>,
    /// What the last claim was settled with: the same again has been applied.
    pub(super) settled: Option<(Fence, Settle)>,
    /// Something was about to be sent by this very job: its key is never freed.
    pub(super) had_intent: bool,
    /// The job that replays this dead letter; it may have been cleaned away since.
    pub(super) replayed_by: Option<JobId>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct State {
    ids: Ids,
    pub(super) posts: BTreeMap<PostId, Post>,
    pub(super) accounts: BTreeMap<AccountId, Account>,
    /// Which accounts are, or were, which identity of a platform; the removed ones too.
    pub(super) identities: BTreeMap<(PlatformName, String), BTreeSet<AccountId>>,
    pub(super) blocks: BTreeMap<(String, BlockReason), Standing>,
    pub(super) schedules: BTreeMap<ScheduleId, Schedule>,
    pub(super) jobs: BTreeMap<JobId, Row>,
    /// What is kept of jobs that are cleaned up.
    pub(super) history: BTreeMap<JobId, JobStory>,
    pub(super) keys: BTreeMap<DedupeKey, JobId>,
    /// The waiting and running ones by lane.
    pub(super) lanes: Lanes,
    pub(super) running: BTreeSet<JobId>,
    /// The jobs of each root.
    pub(super) lines: BTreeMap<JobId, BTreeSet<JobId>>,
    /// What is known of each root job's parts.
    pub(super) evidence: BTreeMap<JobId, Evidence>,
    /// The account of each root job: its receipts are known to be that account's for good.
    pub(super) owners: BTreeMap<JobId, AccountId>,
    /// Whose a remote id is: the root job that has the receipt.
    pub(super) remote_ids: BTreeMap<(AccountId, String), JobId>,
    pub(super) publications: BTreeMap<PublicationId, Publication>,
    pub(super) published_keys: BTreeSet<DedupeKey>,
    pub(super) metrics: Metrics,
    pub(super) slots: Slots,
    /// One per app and account: as many as there are accounts, at most.
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) locks: BTreeMap<DedupeKey, (String, DateTime<Utc>)>,
    pub(super) media: BTreeMap<(TenantId, MediaId), MediaFile>,
    pub(super) uploads: BTreeMap<UploadKey, Upload>,
    /// Content that is being taken away, and since when.
    pub(super) claims: BTreeMap<MediaId, DateTime<Utc>>,
}

impl State {
    pub(super) fn new(ids: Ids) -> Self {
        Self {
            ids,
            posts: BTreeMap::new(),
            accounts: BTreeMap::new(),
            identities: BTreeMap::new(),
            blocks: BTreeMap::new(),
            schedules: BTreeMap::new(),
            jobs: BTreeMap::new(),
            history: BTreeMap::new(),
            keys: BTreeMap::new(),
            lanes: Lanes::default(),
            running: BTreeSet::new(),
            lines: BTreeMap::new(),
            evidence: BTreeMap::new(),
            owners: BTreeMap::new(),
            remote_ids: BTreeMap::new(),
            publications: BTreeMap::new(),
            published_keys: BTreeSet::new(),
            metrics: Metrics::default(),
            slots: Slots::default(),
            buckets: BTreeMap::new(),
            locks: BTreeMap::new(),
            media: BTreeMap::new(),
            uploads: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    pub(super) fn new_id(&mut self, now: DateTime<Utc>) -> Uuid {
        self.ids.next(now)
    }

    /// Adds a planned job, unless its id or key is there already; answers whether it did.
    pub(super) fn add_job(&mut self, job: Job, now: DateTime<Utc>, reason: Option<&str>) -> bool {
        let id = job.id();
        let key = job.made.dedupe_key.clone();
        let taken = key.as_ref().is_some_and(|key| self.keys.contains_key(key));
        if taken || self.jobs.contains_key(&id) {
            return false;
        }
        self.keys.extend(key.map(|key| (key, id)));
        if let Some(account) = job.made.account_id {
            self.owners.insert(job.root, account);
        }
        self.lines.entry(job.root).or_default().insert(id);
        let event = event(&job, None, now, None, reason);
        let row = Row {
            job,
            events: vec![event],
            lease_until: now,
            settled: None,
            had_intent: false,
            replayed_by: None,
        };
        self.jobs.insert(id, row);
        true
    }

    /// Moves a job on and records it: the one place where a state changes.
    ///
    /// # Panics
    ///
    /// If the machine does not allow it: the callers have looked at the state under the same lock.
    pub(super) fn transition(
        &mut self,
        id: JobId,
        to: JobState,
        now: DateTime<Utc>,
        node: Option<NodeId>,
        reason: Option<&str>,
    ) {
        let row = self.jobs.get_mut(&id).expect("the caller has found the job");
        let from = row.job.state;
        assert!(JobMachine.allows(from, to), "job {id} cannot go from {from} to {to}");
        self.lanes.take(&row.job);
        row.job.state = to;
        row.job.reason = reason.map(str::to_owned);
        if from == JobState::Running {
            row.job.node = None;
        }
        match to {
            JobState::Enqueued => row.job.enqueued_at = Some(now),
            JobState::Running => row.job.started_at = Some(now),
            JobState::Succeeded | JobState::DeadLetter | JobState::Cancelled => {
                row.job.finished_at = Some(now);
            }
            JobState::Planned | JobState::Failed => {}
        }
        row.events.push(event(&row.job, Some(from), now, node, reason));
        self.lanes.put(&row.job);
        if to == JobState::Running {
            self.running.insert(id);
        } else {
            self.running.remove(&id);
        }
    }

    /// Sets when a job can be claimed.
    pub(super) fn set_run_at(&mut self, id: JobId, run_at: DateTime<Utc>) {
        let row = self.jobs.get_mut(&id).expect("the caller has found the job");
        self.lanes.take(&row.job);
        row.job.run_at = run_at;
        self.lanes.put(&row.job);
    }

    /// Frees the dedupe key of a job.
    pub(super) fn free_key(&mut self, id: JobId) {
        let row = self.jobs.get_mut(&id).expect("the caller has found the job");
        if let Some(key) = row.job.made.dedupe_key.take() {
            self.keys.remove(&key);
        }
    }

    /// Whether something of this job, which has not ended, may be out.
    pub(super) fn is_frozen(&self, job: &Job) -> bool {
        let sent = |known: &Evidence| {
            known.open().is_some() || known.0.iter().any(|part| part.receipt.is_some())
        };
        self.evidence.get(&job.root).is_some_and(sent)
    }
}

/// What is kept of a time: whole microseconds, as every store does.
pub(super) fn whole(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

fn event(
    job: &Job,
    from: Option<JobState>,
    at: DateTime<Utc>,
    node: Option<NodeId>,
    reason: Option<&str>,
) -> JobEvent {
    JobEvent {
        job: job.id(),
        at,
        from,
        to: job.state,
        fence: job.fence,
        node,
        reason: reason.map(str::to_owned),
    }
}
