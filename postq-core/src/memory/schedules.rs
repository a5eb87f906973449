//! Schedules: planning, and edits that win wholly or are refused.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::{StoreError, chain};
use crate::feed::{Mark, Only};
use crate::id::{AccountId, JobId, PostId, ScheduleId, TenantId};
use crate::job::{CorrelationId, DeadReason, DedupeKey, Job, NewJob};
use crate::machine::JobState;
use crate::memory::MemoryBackend;
use crate::memory::state::{State, whole};
use crate::schedule::{Occurrence, ResolveRequest, Resolver, Schedule, Timing, Verdict};
use crate::store::{
    Edited, MissedJob, Page, PlanRequest, Planned, Publication, ScheduleEdit, ScheduleStore,
};

/// Occurrences of one schedule in one plan.
const OCCURRENCES: usize = 1_000;

impl State {
    fn live_jobs_of(&self, schedule: ScheduleId) -> Vec<JobId> {
        let live = |job: &&JobId| {
            let job = &self.jobs[*job].job;
            job.made.schedule_id == Some(schedule) && !job.state.is_terminal()
        };
        self.jobs.keys().filter(live).copied().collect()
    }

    /// Whether the one occurrence of a one-shot is out, or may be: moved, it would go out again.
    fn is_spent(&self, id: ScheduleId) -> bool {
        if !matches!(self.schedules[&id].timing, Timing::OneShot { .. }) {
            return false;
        }
        let prefix = format!("{id}:");
        let out = |out: &Publication| {
            out.dedupe_key.as_ref().is_some_and(|key| key.as_str().starts_with(&prefix))
        };
        let mut jobs = self.jobs.values().map(|row| &row.job);
        jobs.any(|job| job.made.schedule_id == Some(id) && self.is_frozen(job))
            || self.publications.values().any(out)
    }

    /// Whether none of these jobs runs, or may have sent something.
    pub(super) fn can_withdraw(&self, jobs: &[JobId]) -> bool {
        jobs.iter().all(|job| {
            let job = &self.jobs[job].job;
            job.state != JobState::Running && !self.is_frozen(job)
        })
    }

    /// Takes waiting jobs back; the moments of those that never had an intent become free again.
    pub(super) fn withdraw(&mut self, jobs: &[JobId], now: DateTime<Utc>, reason: &str) {
        for &job in jobs {
            self.give_back(job, now, reason);
            // A replay has its moment's key from a job that may have sent something.
            let row = &self.jobs[&job];
            if !row.had_intent && row.job.replay_of.is_none() {
                self.free_key(job);
            }
        }
    }

    /// Ends a waiting job: `cancelled`, or a dead letter where it had failed before.
    pub(super) fn give_back(&mut self, job: JobId, now: DateTime<Utc>, reason: &str) {
        if self.jobs[&job].job.state == JobState::Failed {
            let row = self.jobs.get_mut(&job).expect("the caller has found the job");
            row.job.dead_reason = Some(DeadReason::Cancelled);
            self.transition(job, JobState::DeadLetter, now, None, Some(reason));
        } else {
            self.transition(job, JobState::Cancelled, now, None, Some(reason));
        }
    }

    /// Plans one schedule; an error says what is wrong with it.
    fn plan_one(
        &mut self,
        id: ScheduleId,
        request: &PlanRequest,
        until: DateTime<Utc>,
        resolver: &dyn Resolver,
        now: DateTime<Utc>,
        planned: &mut Planned,
    ) -> Result<(), String> {
        let schedule = self.schedules[&id].clone();
        if !self.posts.contains_key(&schedule.post_id) {
            return Err("its post is gone".to_owned());
        }
        if let Some(gone) = schedule.accounts.iter().find(|id| !self.accounts.contains_key(id)) {
            return Err(format!("its account {gone} is gone"));
        }
        let ask = ResolveRequest { now, until, limit: OCCURRENCES };
        let resolved = resolver.resolve(&schedule, ask).map_err(|error| chain(&error))?;
        for occurrence in &resolved.occurrences {
            let occurrence = Occurrence { planned_at: whole(occurrence.planned_at), ..*occurrence };
            let mut missed = 0;
            for &account in &schedule.accounts {
                let job = self.plan_job(&schedule, account, occurrence, request, now, planned);
                missed = job.max(missed);
            }
            planned.missed += missed;
        }
        let known = self.schedules.get_mut(&id).expect("cloned above");
        if let Some(last) = resolved.occurrences.last() {
            known.last_run_at = Some(whole(last.planned_at));
        }
        known.next_run_at = resolved.next_run_at.map(whole);
        Ok(())
    }

    /// Answers how many occurrences a job that is missed stands for.
    fn plan_job(
        &mut self,
        schedule: &Schedule,
        account: AccountId,
        occurrence: Occurrence,
        request: &PlanRequest,
        now: DateTime<Utc>,
        planned: &mut Planned,
    ) -> u64 {
        let key = DedupeKey::occurrence(schedule.id, occurrence.planned_at, account);
        if self.keys.contains_key(&key) || self.published_keys.contains(&key) {
            return 0;
        }
        let id = JobId::from_uuid(self.new_id(now));
        let lane = self.accounts[&account].lane();
        let asked_by = schedule.correlation_id.clone();
        let job = Job::from_new(NewJob {
            id,
            max_attempts: request.max_attempts,
            correlation_id: asked_by.unwrap_or_else(|| CorrelationId::new(id.to_string())),
            ..NewJob::occurrence(schedule, occurrence.planned_at, account, lane)
        });
        self.add_job(job, now, None);
        match occurrence.verdict {
            Verdict::Fire => {
                planned.jobs.push(id);
                0
            }
            Verdict::Missed { and_older } => {
                let reason = occurrence.verdict.missed();
                let node = Some(request.node);
                self.transition(id, JobState::Cancelled, now, node, reason.as_deref());
                let of = &self.accounts[&account];
                let missed = MissedJob {
                    job: &self.jobs[&id].job.made,
                    account: &of.name,
                    platform: &of.platform,
                    reason: reason.as_deref().unwrap_or_default(),
                    now,
                };
                let follow_up = request.follow_up.as_ref().and_then(|next| next.of_missed(missed));
                self.make_jobs(follow_up.as_slice(), now);
                1 + and_older
            }
        }
    }
}

/// A schedule as it is kept.
fn kept(schedule: &Schedule) -> Schedule {
    Schedule {
        next_run_at: schedule.next_run_at.map(whole),
        last_run_at: schedule.last_run_at.map(whole),
        created_at: whole(schedule.created_at),
        ..schedule.clone()
    }
}

fn is_wanted(only: &Only, schedule: ScheduleId) -> bool {
    match only {
        Only::Any => true,
        Only::Jobs(_) => false,
        Only::Schedules(wanted) => wanted.contains(&schedule),
    }
}

#[async_trait]
impl ScheduleStore for MemoryBackend {
    async fn insert(&self, schedules: &[Schedule]) -> Result<(), StoreError> {
        let mut state = self.lock();
        for schedule in schedules {
            state.schedules.entry(schedule.id).or_insert_with(|| kept(schedule));
        }
        drop(state);
        self.changed();
        Ok(())
    }

    async fn load(&self, ids: &[ScheduleId]) -> Result<Vec<Schedule>, StoreError> {
        let state = self.lock();
        Ok(ids.iter().filter_map(|id| state.schedules.get(id).cloned()).collect())
    }

    async fn of_posts(&self, posts: &[PostId]) -> Result<Vec<Schedule>, StoreError> {
        let posts: std::collections::BTreeSet<_> = posts.iter().collect();
        let state = self.lock();
        Ok(state.schedules.values().filter(|s| posts.contains(&s.post_id)).cloned().collect())
    }

    async fn list(&self, tenant: TenantId, page: Page) -> Result<Vec<Schedule>, StoreError> {
        let state = self.lock();
        let of_tenant = state.schedules.values().filter(|s| s.tenant_id == tenant);
        Ok(page.of(of_tenant, |s| s.id.as_uuid()).into_iter().cloned().collect())
    }

    async fn coming(
        &self,
        tenant: TenantId,
        span: &Range<DateTime<Utc>>,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let state = self.lock();
        let comes = |schedule: &&Schedule| {
            let Some(next) = schedule.next_run_at.filter(|_| schedule.enabled) else {
                return false;
            };
            let repeats = !matches!(schedule.timing, Timing::OneShot { .. });
            schedule.tenant_id == tenant && next < span.end && (next >= span.start || repeats)
        };
        let mut found: Vec<_> = state.schedules.values().filter(comes).collect();
        found.sort_by_key(|schedule| (schedule.next_run_at, schedule.id));
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn movable(&self, ids: &[ScheduleId]) -> Result<Vec<ScheduleId>, StoreError> {
        let state = self.lock();
        let is_movable = |id: &&ScheduleId| {
            state.schedules.contains_key(id)
                && state.can_withdraw(&state.live_jobs_of(**id))
                && !state.is_spent(**id)
        };
        Ok(ids.iter().filter(is_movable).copied().collect())
    }

    async fn edit(
        &self,
        id: ScheduleId,
        revision: u32,
        edit: &ScheduleEdit,
    ) -> Result<Edited, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let Some(schedule) = state.schedules.get(&id) else { return Ok(Edited::Gone) };
        if schedule.revision != revision {
            return Ok(Edited::Changed { revision: schedule.revision });
        }
        let jobs = state.live_jobs_of(id);
        if !state.can_withdraw(&jobs) {
            return Ok(Edited::AlreadyPublishing);
        }
        if edit.timing.is_some() && state.is_spent(id) {
            return Ok(Edited::AlreadyPublishing);
        }
        // Computed again from the earliest moment that was taken back.
        let earliest = jobs.iter().map(|job| state.jobs[job].job.made.planned_at).min();
        state.withdraw(&jobs, now, "the schedule was changed");
        let schedule = state.schedules.get_mut(&id).expect("found above");
        match &edit.timing {
            Some((timing, first)) => {
                schedule.timing = timing.clone();
                schedule.next_run_at = first.map(whole);
            }
            None => {
                let next = schedule.next_run_at.into_iter().chain(earliest).min();
                schedule.next_run_at = next;
            }
        }
        edit.apply_but_timing(schedule);
        let revision = schedule.revision;
        drop(state);
        self.changed();
        Ok(Edited::Applied { revision })
    }

    async fn remove(&self, id: ScheduleId) -> Result<Edited, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        let Some(schedule) = state.schedules.get(&id) else { return Ok(Edited::Gone) };
        let revision = schedule.revision;
        let jobs = state.live_jobs_of(id);
        if !state.can_withdraw(&jobs) {
            return Ok(Edited::AlreadyPublishing);
        }
        state.withdraw(&jobs, now, "the schedule was removed");
        state.schedules.remove(&id);
        drop(state);
        self.changed();
        Ok(Edited::Applied { revision })
    }

    async fn plan(
        &self,
        request: &PlanRequest,
        resolver: &Arc<dyn Resolver>,
    ) -> Result<Planned, StoreError> {
        let (now, mark) = (self.time(), Mark(self.changes.count()));
        let mut state = self.lock();
        let mut planned = Planned { now, mark, ..Planned::default() };
        let due = state.due_schedules(request, now);
        planned.more = due.len() > request.limit;
        for (id, until) in due.into_iter().take(request.limit) {
            let plan = state.plan_one(id, request, until, resolver.as_ref(), now, &mut planned);
            if let Err(problem) = plan {
                let schedule = state.schedules.get_mut(&id).expect("it was due");
                schedule.enabled = false;
                schedule.problem = Some(problem.clone());
                planned.broken.push((id, problem));
            }
        }
        planned.next_at = state.next_plan(request);
        planned.more |= planned.next_at.is_some_and(|at| at <= now);
        drop(state);
        if planned.missed > 0 && request.follow_up.is_some() {
            self.changed();
        }
        Ok(planned)
    }
}

impl State {
    fn ahead(&self, request: &PlanRequest, schedule: &Schedule) -> std::time::Duration {
        match self.posts.get(&schedule.post_id) {
            Some(post) if post.content.has_media() => request.prepare_ahead,
            _ => request.look_ahead,
        }
    }

    /// Enabled schedules with something due within their look-ahead, and how far to resolve them.
    fn due_schedules(
        &self,
        request: &PlanRequest,
        now: DateTime<Utc>,
    ) -> Vec<(ScheduleId, DateTime<Utc>)> {
        let enabled =
            self.schedules.values().filter(|s| s.enabled && is_wanted(&request.only, s.id));
        let due = enabled.filter_map(|schedule| {
            let until = now + self.ahead(request, schedule);
            (schedule.next_run_at? <= until).then_some((schedule.id, until))
        });
        due.collect()
    }

    fn next_plan(&self, request: &PlanRequest) -> Option<DateTime<Utc>> {
        let enabled =
            self.schedules.values().filter(|s| s.enabled && is_wanted(&request.only, s.id));
        enabled.filter_map(|s| Some(s.next_run_at? - self.ahead(request, s))).min()
    }
}
