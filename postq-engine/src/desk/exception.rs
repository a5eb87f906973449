//! Exceptions to a schedule: one occurrence left out or edited, and all of them until a time.
//!
//! What is left out is a cancelled job that has the occurrence's dedupe key: a moment that has a job is
//! never planned again, and whoever looks sees why nothing came out. Such a job is kept until its moment
//! is past, however short the retention is.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use postq_calendar::{At, Rule, zone};
use postq_core::content::Content;
use postq_core::id::{JobId, PostId, ScheduleId};
use postq_core::job::NewJob;
use postq_core::machine::JobState;
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{Controlled, JobFilter, Page, ScheduleEdit};
use uuid::Uuid;

use super::fitting::Fitted;
use super::{AgendaItem, Desk, DeskError, Refused, Submission, Submitted, When};

/// Why such a job is cancelled.
const SKIPPED: &str = "skipped";

/// Jobs on one page, and pages of a schedule's jobs that are looked at.
const PAGE: usize = 500;
const MOST_PAGES: usize = 20;

impl Desk {
    /// Leaves out one occurrence that is to come, for the accounts that the schedule has now. Again, it
    /// changes nothing. What is being published cannot be left out any more.
    pub async fn skip(&self, id: ScheduleId, at: DateTime<Utc>) -> Result<(), DeskError> {
        let schedule = self.find_schedule(id).await?;
        let now = self.backend.jobs.now().await?;
        ensure_to_come(&schedule, at, now)?;
        let accounts = self.backend.accounts.load(&schedule.accounts).await?;
        let jobs: Vec<NewJob> = accounts
            .iter()
            .map(|account| NewJob::occurrence(&schedule, at, account.id, account.lane()))
            .collect();
        // Those that were planned already have the keys: they are cancelled instead.
        self.backend.jobs.insert(&jobs).await?;
        for job in self.waiting_at(id, at).await? {
            match self.backend.control.cancel(job, SKIPPED).await? {
                Controlled::AlreadyPublishing | Controlled::Refused(JobState::Running) => {
                    let what = format!("the occurrence at {}", show(&schedule, at));
                    return Err(DeskError::AlreadyPublishing(what));
                }
                Controlled::Applied | Controlled::Refused(_) | Controlled::Gone => {}
            }
        }
        Ok(())
    }

    /// The occurrences of a schedule to come that are left out.
    pub async fn skipped(&self, id: ScheduleId) -> Result<Vec<DateTime<Utc>>, DeskError> {
        let now = self.backend.jobs.now().await?;
        let jobs = self.jobs_in(id, vec![JobState::Cancelled]).await?;
        // What an edit took back is planned anew, and has no key any more.
        let to_come = jobs.iter().filter(|job| job.made.dedupe_key.is_some());
        let mut times: Vec<_> = to_come.map(|job| job.made.planned_at).collect();
        times.retain(|at| *at > now);
        times.sort_unstable();
        times.dedup();
        Ok(times)
    }

    /// Leaves out everything before a time; what was planned and not begun is taken back. Answers the
    /// occurrence that it goes on with. Switching the schedule on ends the pause.
    pub async fn pause_until(
        &self,
        id: ScheduleId,
        until: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, DeskError> {
        let schedule = self.find_schedule(id).await?;
        let now = self.backend.jobs.now().await?;
        ensure_repeats(&schedule)?;
        if until <= now {
            return Err(DeskError::refused(
                "until",
                format!("{} is past; give a later time", show(&schedule, until)),
            ));
        }
        let Some(first) = self.first(&schedule.timing, schedule.tz.as_deref(), until)? else {
            return Err(DeskError::refused(
                "until",
                format!("schedule {id} has no occurrence left then; postqd schedule disable {id}"),
            ));
        };
        let edit = ScheduleEdit {
            timing: Some((schedule.timing, Some(first))),
            enabled: Some(true),
            ..ScheduleEdit::default()
        };
        self.change(id, &edit).await?;
        Ok(first)
    }

    /// Leaves out one occurrence and takes a post in that goes out once in its place, with another
    /// content or at another time. Cut off in between, the same call completes it.
    pub async fn edit_occurrence(
        &self,
        id: ScheduleId,
        at: DateTime<Utc>,
        content: Content,
        to: Option<At>,
    ) -> Result<Submitted, DeskError> {
        let schedule = self.find_schedule(id).await?;
        let stand_in = stand_in(id, at);
        let post = self.find_post(&schedule.post_id.to_string()).await?;
        let accounts = self.backend.accounts.load(&schedule.accounts).await?;
        // What was made to fit is of the post's text, and not of this one.
        let Fitted { content, unfit, .. } = self.refitted(&post.content, content, None, &accounts);
        if !unfit.is_empty() {
            return Err(Refused { problems: unfit }.into());
        }
        let accounts: Vec<String> = schedule.accounts.iter().map(ToString::to_string).collect();
        let content = self.meant_for(content, &accounts).await?;
        if let Some(there) = self.backend.posts.load(&[stand_in]).await?.pop()
            && there.content != content
        {
            return Err(DeskError::refused(
                "at",
                format!("this occurrence was edited before; postqd post edit {stand_in}"),
            ));
        }
        let submission = Submission {
            tz: schedule.tz.clone(),
            priority: schedule.priority,
            misfire: schedule.misfire,
            ..Submission::new(content, accounts, When::At(to.unwrap_or(At::Instant(at))))
        };
        // Before anything is left out: a refused edit changes nothing.
        let left_out = |item: &AgendaItem| item.schedule == Some(id) && item.at == at;
        let submissions = std::slice::from_ref(&submission);
        for checked in self.check_in_place(submissions, &left_out).await?.entries {
            checked?;
        }
        self.skip(id, at).await?;
        self.submit_as(stand_in, submission).await
    }

    /// The posts that go out instead of occurrences that are left out, by the moments of those.
    pub async fn stand_ins(
        &self,
        id: ScheduleId,
        left_out: &[DateTime<Utc>],
    ) -> Result<Vec<(DateTime<Utc>, PostId)>, DeskError> {
        let mut stand_ins: Vec<_> = left_out.iter().map(|at| (*at, stand_in(id, *at))).collect();
        let mut there = BTreeSet::new();
        for some in stand_ins.chunks(PAGE) {
            let ids: Vec<PostId> = some.iter().map(|(_, post)| *post).collect();
            let posts = self.backend.posts.load(&ids).await?;
            there.extend(posts.into_iter().map(|post| post.id));
        }
        stand_ins.retain(|(_, post)| there.contains(post));
        Ok(stand_ins)
    }

    /// The occurrence that a pause ends with; none if the schedule is not paused. It is, if its rule has
    /// an occurrence to come before the one that it goes on with.
    pub async fn paused_until(
        &self,
        schedule: &Schedule,
    ) -> Result<Option<DateTime<Utc>>, DeskError> {
        let Some(next) = schedule.next_run_at.filter(|_| schedule.enabled) else { return Ok(None) };
        // What was planned already is not left out, though it is to come.
        let after = self.backend.jobs.now().await?.max(schedule.last_run_at.unwrap_or_default());
        let rule = Rule::new(&schedule.timing, schedule.tz.as_deref())?;
        Ok(rule.next(Some(after)).filter(|first| *first < next).map(|_| next))
    }

    /// The jobs of an occurrence that have not ended.
    async fn waiting_at(&self, id: ScheduleId, at: DateTime<Utc>) -> Result<Vec<JobId>, DeskError> {
        use JobState::{Enqueued, Failed, Planned, Running};
        let jobs = self.jobs_in(id, vec![Planned, Enqueued, Running, Failed]).await?;
        Ok(jobs.iter().filter(|job| job.made.planned_at == at).map(|job| job.id()).collect())
    }

    async fn jobs_in(
        &self,
        id: ScheduleId,
        states: Vec<JobState>,
    ) -> Result<Vec<postq_core::job::Job>, DeskError> {
        let filter = JobFilter { schedules: Some(vec![id]), states, ..JobFilter::default() };
        let mut page = Page::first(PAGE);
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let jobs = self.backend.jobs.list(self.tenant(), &filter, page).await?;
            page.after = jobs.last().map(|job| job.id().as_uuid());
            let is_last = jobs.len() < PAGE;
            found.extend(jobs);
            if is_last {
                break;
            }
        }
        Ok(found)
    }
}

/// The post that stands in for an occurrence: always the same one, so that editing it twice makes no
/// two of them.
fn stand_in(schedule: ScheduleId, at: DateTime<Utc>) -> PostId {
    let (high, low) = schedule.as_uuid().as_u64_pair();
    // An odd factor keeps different moments apart; the variant's two bits stay.
    let moment = at.timestamp_micros().unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2;
    PostId::from_uuid(Uuid::from_u64_pair(high, low ^ moment))
}

fn ensure_repeats(schedule: &Schedule) -> Result<(), DeskError> {
    if !matches!(schedule.timing, Timing::OneShot { .. }) {
        return Ok(());
    }
    let post = schedule.post_id;
    Err(DeskError::refused(
        "at",
        format!(
            "schedule {} fires once; postqd post edit {post} moves it, postqd post cancel {post} calls \
             it off",
            schedule.id
        ),
    ))
}

/// Fails unless the schedule has an occurrence at this moment, and the moment is to come.
fn ensure_to_come(
    schedule: &Schedule,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), DeskError> {
    ensure_repeats(schedule)?;
    if at <= now {
        let why = format!("{} is past; give a time to come", show(schedule, at));
        return Err(DeskError::refused("at", why));
    }
    let rule = Rule::new(&schedule.timing, schedule.tz.as_deref())?;
    let next = rule.next(Some(at - TimeDelta::microseconds(1)));
    if next == Some(at) {
        return Ok(());
    }
    let near = match next {
        Some(next) => format!("the next after it is at {}", show(schedule, next)),
        None => "there is none after it".to_owned(),
    };
    let at = show(schedule, at);
    Err(DeskError::refused(
        "at",
        format!("{at} is no occurrence of schedule {}; {near}", schedule.id),
    ))
}

fn show(schedule: &Schedule, at: DateTime<Utc>) -> String {
    zone::show(at, schedule.tz.as_deref())
}
