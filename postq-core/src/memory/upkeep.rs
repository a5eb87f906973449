//! What the background loops do to jobs.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::feed::Only;
use crate::id::JobId;
use crate::job::{Job, Resolution, Topic};
use crate::machine::JobState;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::queue::QueuedJob;
use crate::store::{JobStory, JobUpkeep, Page, Retention};

/// Whether a call that is restricted to some jobs is about this one.
pub(super) fn is_wanted(only: &Only, job: &Job) -> bool {
    match only {
        Only::Any => true,
        Only::Jobs(jobs) => jobs.contains(&job.id()),
        Only::Schedules(all) => {
            job.made.schedule_id.is_some_and(|schedule| all.contains(&schedule))
        }
    }
}

impl State {
    fn remove_job(&mut self, id: JobId) {
        self.free_key(id);
        let row = self.jobs.remove(&id).expect("the caller has found the job");
        let root = row.job.root;
        // Receipts are kept for good: they say which remote ids are ours. The rest goes with the
        // last job of its line.
        let line = self.lines.get_mut(&root).expect("a job has a line");
        line.remove(&id);
        if !line.is_empty() {
            return;
        }
        self.lines.remove(&root);
        if let Some(known) = self.evidence.get_mut(&root) {
            known.0.retain(|part| part.receipt.is_some());
        }
    }
}

#[async_trait]
impl JobUpkeep for MemoryBackend {
    async fn dispatch(&self, only: &Only, limit: usize) -> Result<Vec<QueuedJob>, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let planned = state.jobs.values().map(|row| &row.job);
        let planned = planned.filter(|job| job.state == JobState::Planned && is_wanted(only, job));
        let ids: Vec<JobId> = planned.map(Job::id).take(limit).collect();
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            state.transition(id, JobState::Enqueued, now, None, None);
            jobs.push(QueuedJob::from(&state.jobs[&id].job));
        }
        drop(state);
        if !jobs.is_empty() {
            self.changed();
        }
        Ok(jobs)
    }

    async fn expire(&self, limit: usize) -> Result<Vec<JobId>, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let ended = |job: &&JobId| state.jobs[*job].lease_until <= now;
        let jobs: Vec<JobId> = state.running.iter().filter(ended).take(limit).copied().collect();
        for &job in &jobs {
            state.set_run_at(job, now);
            state.transition(job, JobState::Failed, now, None, Some("lease expired"));
        }
        drop(state);
        if !jobs.is_empty() {
            self.changed();
        }
        Ok(jobs)
    }

    async fn waiting(
        &self,
        topic: &Topic,
        until: DateTime<Utc>,
        page: Page,
    ) -> Result<Vec<QueuedJob>, StoreError> {
        let state = self.lock();
        let lanes = state.lanes.by_time(topic).take_while(|(earliest, _, _)| *earliest <= until);
        let due = lanes.flat_map(|(_, _, jobs)| jobs.times.iter().filter(|(at, _)| *at <= until));
        let ids: BTreeSet<JobId> = due.map(|(_, id)| *id).collect();
        let ids = page.of(ids.into_iter(), |id| id.as_uuid());
        Ok(ids.iter().map(|id| QueuedJob::from(&state.jobs[id].job)).collect())
    }

    async fn clean(&self, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let ended = |job: &Job| matches!(job.state, JobState::Succeeded | JobState::Cancelled);
        let resolved = |job: &Job| {
            job.state == JobState::DeadLetter
                && job.resolution.is_some_and(|resolution| {
                    // A replayed letter goes when it is old enough; its replay has the story.
                    matches!(
                        resolution,
                        Resolution::Discarded | Resolution::MarkedPublished | Resolution::Replayed
                    )
                })
        };
        let mut old = Vec::new();
        let is_old = |at: DateTime<Utc>, age| (now - at).to_std().is_ok_and(|since| since >= age);
        for (is_kind, age, keep) in [
            (&ended as &dyn Fn(&Job) -> bool, retention.ended, retention.keep),
            (&resolved, retention.resolved, retention.keep_resolved),
        ] {
            let mut topics: BTreeMap<&Topic, Vec<_>> = BTreeMap::new();
            for job in state.jobs.values().map(|row| &row.job).filter(|job| is_kind(job)) {
                let one = (job.finished_at, job.id(), keyed_for(job));
                topics.entry(&job.made.topic).or_default().push(one);
            }
            let keep = usize::try_from(keep).unwrap_or(usize::MAX);
            let oldest = topics.into_values().flat_map(|mut jobs| {
                jobs.sort_unstable();
                jobs.truncate(jobs.len().saturating_sub(keep));
                jobs
            });
            let is_old = |at| is_old(at, age);
            old.extend(oldest.filter(|(at, _, keyed_for)| {
                at.is_some_and(is_old) && keyed_for.is_none_or(is_old)
            }));
        }
        old.truncate(limit);
        let is_past = |story: &JobStory| {
            story.job.finished_at.is_some_and(|at| is_old(at, retention.history))
        };
        for (_, job, _) in &old {
            let story = state.story(*job).filter(|story| !is_past(story));
            state.history.extend(story.map(|story| (*job, story)));
            state.remove_job(*job);
        }
        let past =
            state.history.values().filter(|story| is_past(story)).map(|story| story.job.id());
        let past: Vec<JobId> = past.take(limit - old.len()).collect();
        for job in &past {
            state.history.remove(job);
        }
        Ok((old.len() + past.len()) as u64)
    }
}

/// The moment that a job's key keeps from being planned again.
fn keyed_for(job: &Job) -> Option<DateTime<Utc>> {
    job.made.dedupe_key.as_ref().map(|_| job.made.planned_at)
}
