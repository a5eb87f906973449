//! Claiming: which due jobs go to whom.

use chrono::{DateTime, Utc};

use crate::feed::{Claim, ClaimedJob, Only};
use crate::id::JobId;
use crate::job::{Held, Job, Lane};
use crate::machine::JobState;
use crate::memory::lanes::{Rank, rank};
use crate::memory::state::State;
use crate::memory::upkeep::is_wanted;

impl State {
    /// Takes the jobs of a claim.
    pub(super) fn claim(&mut self, claim: &Claim, now: DateTime<Utc>) -> Vec<ClaimedJob> {
        let due = match &claim.only {
            Only::Jobs(ids) => self.due_of(claim, ids.iter(), now),
            Only::Any | Only::Schedules(_) => self.due(claim, now),
        };
        let mut claimed = Vec::new();
        for (_, _, id) in due {
            if claimed.len() >= claim.limit {
                break;
            }
            let lane = self.jobs[&id].job.made.lane.clone();
            // Open before: closed by now if a job of its app that was just taken goes first.
            if self.is_open(claim, lane.as_ref(), now) {
                self.begin_asking(id, lane.as_ref(), now + claim.lease);
                claimed.push(self.take(id, claim, now));
            }
        }
        claimed
    }

    /// What may be claimed of the topic's lanes, in order: from each lane no more than it has room
    /// for.
    fn due(&self, claim: &Claim, now: DateTime<Utc>) -> Vec<Rank> {
        let by = now + claim.ahead;
        let mut due = Vec::new();
        let lanes = self.lanes.by_time(&claim.topic).take_while(|(earliest, _, _)| *earliest <= by);
        for (_, lane, jobs) in lanes {
            let room = room(claim, lane, jobs.running);
            if room == 0 || !self.is_open(claim, lane, now) {
                continue;
            }
            let ranks = jobs.ranked.iter().filter(|(_, _, id)| {
                let job = &self.jobs[id].job;
                job.run_at <= by && is_wanted(&claim.only, job)
            });
            due.extend(ranks.take(room).copied());
        }
        due.sort_unstable();
        due
    }

    /// The same of these jobs: what a queue proposed, however many others wait.
    fn due_of<'a>(
        &self,
        claim: &Claim,
        ids: impl Iterator<Item = &'a JobId>,
        now: DateTime<Utc>,
    ) -> Vec<Rank> {
        let by = now + claim.ahead;
        let due = ids.filter_map(|id| self.claimable(claim, *id)).filter(|job| {
            job.run_at <= by
                && self.is_open(claim, job.made.lane.as_ref(), now)
                && self.is_among_the_first(claim, job, by)
        });
        let mut due: Vec<Rank> = due.map(rank).collect();
        due.sort_unstable();
        due
    }

    /// Whether a job is one of those that its lane has room for, all its due jobs considered. Without
    /// a lane it waits for no other.
    fn is_among_the_first(&self, claim: &Claim, job: &Job, by: DateTime<Utc>) -> bool {
        let lane = &job.made.lane;
        let (Some(name), Some(jobs)) = (lane, self.lanes.of(&claim.topic, lane)) else {
            return true;
        };
        let due = jobs.ranked.iter().filter(|(_, _, id)| self.jobs[id].job.run_at <= by);
        due.take(room(claim, Some(name), jobs.running)).any(|(_, _, id)| *id == job.id())
    }

    /// The job, if it waits in the topic of the claim.
    fn claimable(&self, claim: &Claim, id: JobId) -> Option<&Job> {
        let job = &self.jobs.get(&id)?.job;
        let waits = matches!(job.state, JobState::Enqueued | JobState::Failed);
        (waits && job.made.topic == claim.topic).then_some(job)
    }

    /// Whether a lane is neither skipped by the claim nor blocked.
    fn is_open(&self, claim: &Claim, lane: Option<&Lane>, now: DateTime<Utc>) -> bool {
        lane.is_none_or(|lane| !is_skipped(claim, lane) && self.blocked(lane, now).is_none())
    }

    fn take(&mut self, id: JobId, claim: &Claim, now: DateTime<Utc>) -> ClaimedJob {
        let row = self.jobs.get_mut(&id).expect("it is claimable");
        row.job.fence.0 += 1;
        row.job.attempt += 1;
        row.job.node = Some(claim.node);
        row.lease_until = now + claim.lease;
        row.settled = None;
        // Why it failed before stays readable while it runs.
        let reason = row.job.reason.take();
        self.transition(id, JobState::Running, now, Some(claim.node), None);
        let row = self.jobs.get_mut(&id).expect("it is claimable");
        row.job.reason = reason;
        let job = row.job.clone();
        let evidence = self.evidence.get(&job.root).cloned().unwrap_or_default();
        ClaimedJob { job, evidence }
    }

    /// When the next job of the claim's topic can be claimed.
    pub(super) fn next_claim(&self, claim: &Claim, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if let Only::Jobs(ids) = &claim.only {
            let jobs = ids.iter().filter_map(|id| self.claimable(claim, *id));
            let by = now + claim.ahead;
            // The end of what goes before one in its lane is a change, and wakes.
            let jobs =
                jobs.filter(|job| job.run_at > by || self.is_among_the_first(claim, job, by));
            let moments = jobs.filter_map(|job| {
                let running = self.lanes.of(&claim.topic, &job.made.lane).map(|lane| lane.running);
                let running = running.unwrap_or_default();
                self.moment(claim, job.made.lane.as_ref(), running, job.run_at, now)
            });
            return moments.min();
        }
        let mut next = None;
        for (earliest, lane, jobs) in self.lanes.by_time(&claim.topic) {
            if next.is_some_and(|next| next <= earliest) {
                break;
            }
            let wanted =
                |(_, id): &&(DateTime<Utc>, JobId)| is_wanted(&claim.only, &self.jobs[id].job);
            let Some((run_at, _)) = jobs.times.iter().find(wanted) else { continue };
            let moment = self.moment(claim, lane, jobs.running, *run_at, now);
            next = next.into_iter().chain(moment).min();
        }
        next
    }

    /// When a job of a lane can be claimed: never, as far as is known now, if the lane is skipped,
    /// full, or blocked without an end.
    fn moment(
        &self,
        claim: &Claim,
        lane: Option<&Lane>,
        running: u32,
        run_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let Some(name) = lane else { return Some(run_at) };
        // The end of what runs in a full lane is a change, and wakes.
        if room(claim, lane, running) == 0 || is_skipped(claim, name) {
            return None;
        }
        match self.blocked(name, now) {
            None => Some(run_at),
            Some(until) => Some(until?.max(run_at)),
        }
    }

    /// Whether a worker still holds the job under this fence.
    pub(super) fn holds(&self, held: Held) -> bool {
        self.jobs
            .get(&held.job)
            .is_some_and(|row| row.job.fence == held.fence && row.job.state == JobState::Running)
    }
}

/// How many more jobs of a lane a claim may take.
fn room(claim: &Claim, lane: Option<&Lane>, running: u32) -> usize {
    match lane {
        None => claim.limit,
        Some(_) => claim.limit.min(claim.lane_width.saturating_sub(running) as usize),
    }
}

fn is_skipped(claim: &Claim, lane: &Lane) -> bool {
    claim.skip.iter().any(|scope| lane.as_str().starts_with(scope.as_str()))
}
