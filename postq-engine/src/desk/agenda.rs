//! What lies in a span of time: what is out, what is planned, and what a schedule will plan.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use postq_core::content::Post;
use postq_core::id::{AccountId, JobId, PostId, ScheduleId};
use postq_core::job::{Fence, Job};
use postq_core::machine::JobState;
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::Publication;

use super::{Desk, DeskError};

/// Ids in one query.
const CHUNK: usize = 500;

/// Schedules that are looked at for each item that is shown: one-shots bring one item each, and so does at
/// least every other one.
const SCHEDULES_PER_ITEM: usize = 2;

/// What lies in a span of time.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    /// In order of time.
    pub items: Vec<AgendaItem>,
    /// Their posts; those that were taken away are left out.
    pub posts: BTreeMap<PostId, Post>,
    /// Their schedules; those that were taken away are left out.
    pub schedules: BTreeMap<ScheduleId, Schedule>,
    /// There is more than was asked for: what is missing is the latest.
    pub is_cut: bool,
}

/// A post at a moment.
#[derive(Clone, Debug)]
pub struct AgendaItem {
    /// When it is meant to come out; when it came out, where nothing but that is known any more.
    pub at: DateTime<Utc>,
    /// The post.
    pub post: PostId,
    /// The schedule that it comes from, where that is known.
    pub schedule: Option<ScheduleId>,
    /// The accounts: one, but for what is not planned yet.
    pub accounts: Vec<AccountId>,
    /// What there is of it.
    pub what: AgendaEntry,
    /// How it can be given another time now; not at all once it has begun.
    pub moves: Option<Moves>,
}

/// What there is of a post at a moment.
#[derive(Clone, Debug)]
pub enum AgendaEntry {
    /// A schedule will plan it.
    ToCome,
    /// A job.
    Job(Box<Job>),
    /// A publication; its job has been cleaned up.
    Out(JobId),
}

/// How something is given another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// With its schedule, which fires once: [`Desk::reschedule`].
    Schedule,
    /// As one occurrence of several: [`Desk::edit_occurrence`].
    Occurrence,
}

impl Desk {
    /// What lies in a span of time, up to `limit` items.
    ///
    /// One item per job; an occurrence that is not planned yet is one item for all its accounts. What an
    /// edit took back is not shown, and neither is a dead letter that was replayed: the replay is.
    pub async fn agenda(
        &self,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Agenda, DeskError> {
        // One more tells whether there is more. In this order nothing can slip through: what is planned, or
        // cleaned up, in between is seen twice and shown once.
        let (most, most_schedules) = (limit + 1, (limit + 1) * SCHEDULES_PER_ITEM);
        let coming = self.backend.schedules.coming(self.tenant(), span, most_schedules).await?;
        let jobs = self.backend.jobs.planned_in(self.tenant(), span, most).await?;
        let out = self.backend.publications.without_job(self.tenant(), span, most).await?;

        let known = Known::of(&jobs);
        let mut items: Vec<AgendaItem> =
            out.into_iter().filter(|out| !known.jobs.contains(&out.job_id)).map(is_out).collect();
        items.extend(self.occurrences_in(&coming, span, &known, most));
        items.extend(jobs.into_iter().filter_map(of_job));
        items.sort_by_key(|item| item.at);
        let is_cut = items.len() > limit || coming.len() >= most_schedules;
        items.truncate(limit);

        let posts = self.posts_of(&items).await?;
        let schedules = self.schedules_in(&items, coming).await?;
        self.tell_moves(&mut items, &schedules).await?;
        Ok(Agenda { items, posts, schedules, is_cut })
    }

    /// The first occurrences in the span that schedules will plan, in order. A rule that cannot be resolved
    /// has none: planning tells of it.
    fn occurrences_in(
        &self,
        schedules: &[Schedule],
        span: &Range<DateTime<Utc>>,
        known: &Known,
        most: usize,
    ) -> Vec<AgendaItem> {
        let next = |schedule: &Schedule, after| self.resolver.next(schedule, Some(after)).ok()?;
        let just_before = span.start - TimeDelta::microseconds(1);
        let first = |(n, schedule): (usize, &Schedule)| {
            let at = schedule.next_run_at?;
            let at = if at < span.start { next(schedule, just_before)? } else { at };
            Some(Reverse((at, n)))
        };
        let mut heads: BinaryHeap<_> = schedules.iter().enumerate().filter_map(first).collect();
        let mut items = Vec::new();
        while let Some(Reverse((at, n))) = heads.pop() {
            if at >= span.end || items.len() >= most {
                break;
            }
            let schedule = &schedules[n];
            // Some may be left out, or planned by now.
            let is_new = |id: &&AccountId| !known.moments.contains(&(schedule.id, at, **id));
            let accounts: Vec<_> = schedule.accounts.iter().filter(is_new).copied().collect();
            if !accounts.is_empty() {
                items.push(AgendaItem {
                    at,
                    post: schedule.post_id,
                    schedule: Some(schedule.id),
                    accounts,
                    what: AgendaEntry::ToCome,
                    moves: None,
                });
            }
            heads.extend(next(schedule, at).map(|at| Reverse((at, n))));
        }
        items
    }

    async fn posts_of(&self, items: &[AgendaItem]) -> Result<BTreeMap<PostId, Post>, DeskError> {
        let ids: BTreeSet<PostId> = items.iter().map(|item| item.post).collect();
        self.posts_with(ids).await
    }

    /// The posts with these ids; those that were taken away are left out.
    pub async fn posts_with(
        &self,
        ids: BTreeSet<PostId>,
    ) -> Result<BTreeMap<PostId, Post>, DeskError> {
        let ids: Vec<PostId> = ids.into_iter().collect();
        let mut found = BTreeMap::new();
        for ids in ids.chunks(CHUNK) {
            let posts = self.backend.posts.load(ids).await?;
            found.extend(posts.into_iter().map(|post| (post.id, post)));
        }
        Ok(found)
    }

    /// The schedules of items, some of which were loaded before.
    async fn schedules_in(
        &self,
        items: &[AgendaItem],
        loaded: Vec<Schedule>,
    ) -> Result<BTreeMap<ScheduleId, Schedule>, DeskError> {
        let wanted: BTreeSet<ScheduleId> = items.iter().filter_map(|item| item.schedule).collect();
        let mut found: BTreeMap<_, _> = loaded
            .into_iter()
            .filter(|schedule| wanted.contains(&schedule.id))
            .map(|schedule| (schedule.id, schedule))
            .collect();
        let missing: Vec<_> = wanted.into_iter().filter(|id| !found.contains_key(id)).collect();
        for ids in missing.chunks(CHUNK) {
            let schedules = self.backend.schedules.load(ids).await?;
            found.extend(schedules.into_iter().map(|schedule| (schedule.id, schedule)));
        }
        Ok(found)
    }

    /// Tells of each item how it could be moved now.
    async fn tell_moves(
        &self,
        items: &mut [AgendaItem],
        schedules: &BTreeMap<ScheduleId, Schedule>,
    ) -> Result<(), DeskError> {
        let now = self.backend.jobs.now().await?;
        let is_once = |id: &ScheduleId| {
            let timing = schedules.get(id).map(|schedule| &schedule.timing);
            matches!(timing, Some(Timing::OneShot { .. }))
        };
        let waiting = items.iter().filter(|item| item.has_not_begun());
        let once: BTreeSet<_> =
            waiting.filter_map(|item| item.schedule).filter(|id| is_once(id)).collect();
        let once: Vec<_> = once.into_iter().collect();
        let mut movable = BTreeSet::new();
        for ids in once.chunks(CHUNK) {
            movable.extend(self.backend.schedules.movable(ids).await?);
        }
        // An occurrence is moved for all its accounts or for none.
        let begun: BTreeSet<_> = items
            .iter()
            .filter(|item| item.is_under_way())
            .map(|item| (item.schedule, item.at))
            .collect();
        for item in items {
            let Some(id) = item.schedule.filter(|id| schedules.contains_key(id)) else { continue };
            item.moves = match is_once(&id) {
                _ if !item.has_not_begun() => None,
                true => movable.contains(&id).then_some(Moves::Schedule),
                false => (item.at > now && !begun.contains(&(item.schedule, item.at)))
                    .then_some(Moves::Occurrence),
            };
        }
        Ok(())
    }
}

impl AgendaItem {
    fn has_not_begun(&self) -> bool {
        match &self.what {
            AgendaEntry::ToCome => true,
            AgendaEntry::Job(job) => {
                matches!(job.state, JobState::Planned | JobState::Enqueued)
                    && job.fence == Fence::default()
            }
            AgendaEntry::Out(_) => false,
        }
    }

    /// Whether a worker has held its job, and may hold it again.
    fn is_under_way(&self) -> bool {
        match &self.what {
            AgendaEntry::Job(job) => !job.state.is_terminal() && job.fence != Fence::default(),
            AgendaEntry::ToCome | AgendaEntry::Out(_) => false,
        }
    }
}

/// What has a job.
struct Known {
    jobs: BTreeSet<JobId>,
    moments: BTreeSet<(ScheduleId, DateTime<Utc>, AccountId)>,
}

impl Known {
    fn of(jobs: &[Job]) -> Self {
        let moment =
            |job: &Job| Some((job.made.schedule_id?, job.made.planned_at, job.made.account_id?));
        Self {
            jobs: jobs.iter().map(Job::id).collect(),
            moments: jobs.iter().filter_map(moment).collect(),
        }
    }
}

fn is_out(out: Publication) -> AgendaItem {
    AgendaItem {
        at: out.published_at,
        post: out.post_id,
        schedule: None,
        accounts: vec![out.account_id],
        what: AgendaEntry::Out(out.job_id),
        moves: None,
    }
}

/// The item of a job; none for one of the user's own that publishes no post.
fn of_job(job: Job) -> Option<AgendaItem> {
    Some(AgendaItem {
        at: job.made.planned_at,
        post: job.made.post_id?,
        schedule: job.made.schedule_id,
        accounts: job.made.account_id.into_iter().collect(),
        what: AgendaEntry::Job(Box::new(job)),
        moves: None,
    })
}
