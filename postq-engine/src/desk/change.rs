//! Changing what is not yet out.

use chrono::{DateTime, Utc};

use postq_calendar::{At, zone};
use postq_core::account::Account;
use postq_core::content::{Content, Post};
use postq_core::id::{AccountId, PostId, ScheduleId};
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::{Edited, ScheduleEdit};

use super::check::content_problems;
use super::meaning::{Meant, own_zone};
use super::{Amendment, Desk, DeskError, Named, Problem, Refused, When};

/// A change that meets another one is tried again so often.
const TRIES: usize = 3;

impl Desk {
    /// Replaces the content of a post that is not being published. What is out stays as it is.
    pub async fn edit_content(&self, id: PostId, content: &Content) -> Result<Post, DeskError> {
        let what = format!("post {id}");
        self.check_content(id, content).await?;
        for _ in 0..TRIES {
            let mut post = self.find_post(&id.to_string()).await?;
            match self.backend.posts.edit(id, post.revision, content).await? {
                Edited::Applied { revision } => {
                    post.revision = revision;
                    post.content = content.clone();
                    return Ok(post);
                }
                Edited::Changed { .. } => {}
                Edited::AlreadyPublishing => return Err(DeskError::AlreadyPublishing(what)),
                Edited::Gone => return Err(DeskError::NotFound(what)),
            }
        }
        Err(DeskError::Changed(what))
    }

    /// Whether a post may have this content: what [`edit_content`](Self::edit_content) would refuse,
    /// without changing anything.
    pub async fn check_content(&self, id: PostId, content: &Content) -> Result<(), DeskError> {
        let accounts = self.accounts_of_post(id).await?;
        self.check_content_for(content, &accounts).await
    }

    pub(super) async fn check_content_for(
        &self,
        content: &Content,
        accounts: &[Account],
    ) -> Result<(), DeskError> {
        let named = self.named([content]).await?;
        self.content_is_good(content, accounts, &named)?;
        let now = self.backend.jobs.now().await?;
        let problems = self.preflight(content, accounts, now).await;
        if problems.is_empty() { Ok(()) } else { Err(Refused { problems }.into()) }
    }

    /// The accounts that a post goes to by any of its schedules.
    pub(super) async fn accounts_of_post(&self, id: PostId) -> Result<Vec<Account>, DeskError> {
        let schedules = self.backend.schedules.of_posts(&[id]).await?;
        let mut accounts: Vec<AccountId> =
            schedules.into_iter().flat_map(|schedule| schedule.accounts).collect();
        accounts.sort_unstable();
        accounts.dedup();
        Ok(self.backend.accounts.load(&accounts).await?)
    }

    pub(crate) fn content_is_good(
        &self,
        content: &Content,
        accounts: &[Account],
        named: &Named,
    ) -> Result<(), Refused> {
        let mut problems = content_problems(content);
        problems.extend(named.missing(content));
        problems.extend(self.stray(content, accounts));
        problems.extend(self.violations(content, accounts, named));
        if problems.is_empty() { Ok(()) } else { Err(Refused { problems }) }
    }

    /// Changes when a schedule fires, the zone it is written in or its priority; what it had planned
    /// and not begun is taken back and planned anew. Answers the first occurrence of a new time.
    ///
    /// A zone without a time moves what was written as a local time: 09:00 stays 09:00, in the new
    /// zone. An instant stays an instant.
    pub async fn amend(
        &self,
        id: ScheduleId,
        amendment: &Amendment,
    ) -> Result<Option<DateTime<Utc>>, DeskError> {
        let schedule = self.find_schedule(id).await?;
        let mut edit = ScheduleEdit { priority: amendment.priority, ..ScheduleEdit::default() };
        let accounts = self.backend.accounts.load(&schedule.accounts).await?;
        let now = self.backend.jobs.now().await?;
        self.move_by(&mut edit, &schedule, amendment, &accounts, now)?;
        self.ensure_day(&schedule, &edit, now).await?;
        self.change(id, &edit).await?;
        Ok(edit.timing.and_then(|(_, first)| first))
    }

    /// Gives a schedule another time; what it had planned and not begun is taken back. Answers the
    /// first occurrence.
    pub async fn reschedule(
        &self,
        id: ScheduleId,
        when: &When,
    ) -> Result<DateTime<Utc>, DeskError> {
        let moved = Amendment { when: Some(when.clone()), ..Amendment::default() };
        Ok(self.amend(id, &moved).await?.expect("a new time has a first occurrence"))
    }

    /// Adds to an edit what an amendment means for a schedule's zone and time.
    pub(super) fn move_by(
        &self,
        edit: &mut ScheduleEdit,
        schedule: &Schedule,
        amendment: &Amendment,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        let tz = amendment.tz.as_deref().map(zone::check).transpose();
        let tz = tz.map_err(|error| refused("tz", error.to_string()))?;
        let written = || written_in(&schedule.timing, tz.as_deref()?);
        if let Some(zone) = &tz {
            edit.tz = Some((zone.clone(), zone::tzdb_version().to_owned()));
        }
        if let Some(when) = amendment.when.clone().or_else(written) {
            self.move_to(edit, schedule, &when, tz.as_deref(), accounts, now)?;
        }
        Ok(())
    }

    /// Adds another time to an edit. It is in the zone `tz`, or in the one that it names itself, or else
    /// in the schedule's.
    pub(crate) fn move_to(
        &self,
        edit: &mut ScheduleEdit,
        schedule: &Schedule,
        when: &When,
        tz: Option<&str>,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        let own = match when {
            When::Rrule { expr } => own_zone(&Timing::Rrule { expr: expr.clone() }),
            _ => None,
        };
        let zone = tz.or(own.as_deref()).or(schedule.tz.as_deref());
        let meant = self.meant(when, zone, accounts, now);
        let Meant { mut timing, tz, first } =
            meant.map_err(|problem| Refused { problems: vec![problem] })?;
        if let Timing::OneShot { at, local } = &mut timing {
            // The schedule keeps its zone, so the local time is what that zone's clocks show.
            *local = tz.as_deref().and_then(|tz| local_in(*at, tz));
        }
        edit.timing = Some((timing, Some(first)));
        // With a new rule, what is kept is what today's database says of it.
        edit.tz = tz.map(|tz| (tz, zone::tzdb_version().to_owned()));
        Ok(())
    }

    /// Switches a schedule on or off. Off takes back what it had planned and not begun; on goes on
    /// from now.
    pub async fn switch(&self, id: ScheduleId, on: bool) -> Result<(), DeskError> {
        let mut edit = ScheduleEdit { enabled: Some(on), ..ScheduleEdit::default() };
        if on {
            let schedule = self.find_schedule(id).await?;
            let now = self.backend.jobs.now().await?;
            let first = self.first(&schedule.timing, schedule.tz.as_deref(), now)?;
            let Some(first) = first else {
                return Err(DeskError::refused(
                    "at",
                    format!("schedule {id} has no occurrence left; give the post another time"),
                ));
            };
            edit.timing = Some((schedule.timing.clone(), Some(first)));
            self.ensure_day(&schedule, &edit, now).await?;
        }
        self.change(id, &edit).await
    }

    /// Calls a post off: switches all its schedules off, which takes back what was planned and not
    /// begun. The post stays. Answers how many schedules were switched off: those that are over, or
    /// off already, are let be.
    pub async fn cancel(&self, id: PostId) -> Result<usize, DeskError> {
        let to_come = self.to_come(id).await?;
        for schedule in &to_come {
            self.switch(*schedule, false).await?;
        }
        Ok(to_come.len())
    }

    /// Whether nothing of a post is to come.
    pub async fn is_over(&self, id: PostId) -> Result<bool, DeskError> {
        Ok(self.to_come(id).await?.is_empty())
    }

    /// The schedules of a post that will fire again, or have jobs that have not ended.
    async fn to_come(&self, id: PostId) -> Result<Vec<ScheduleId>, DeskError> {
        let schedules = self.backend.schedules.of_posts(&[id]).await?;
        let ids: Vec<ScheduleId> = schedules.iter().map(|schedule| schedule.id).collect();
        let standings = self.standings(&ids).await?;
        let is_to_come = |schedule: &&Schedule| {
            let waits = standings.get(&schedule.id).is_some_and(|standing| standing.waiting > 0);
            waits || (schedule.enabled && schedule.next_run_at.is_some())
        };
        Ok(schedules.iter().filter(is_to_come).map(|schedule| schedule.id).collect())
    }

    /// Takes a schedule away; what it had planned and not begun is taken back, the post stays.
    pub async fn remove_schedule(&self, id: ScheduleId) -> Result<(), DeskError> {
        let what = format!("schedule {id}");
        self.find_schedule(id).await?;
        match self.backend.schedules.remove(id).await? {
            Edited::Applied { .. } => Ok(()),
            Edited::AlreadyPublishing => Err(DeskError::AlreadyPublishing(what)),
            Edited::Changed { .. } => Err(DeskError::Changed(what)),
            Edited::Gone => Err(DeskError::NotFound(what)),
        }
    }

    /// Changes a schedule, whatever its revision.
    pub(crate) async fn change(
        &self,
        id: ScheduleId,
        edit: &ScheduleEdit,
    ) -> Result<(), DeskError> {
        let what = format!("schedule {id}");
        for _ in 0..TRIES {
            let schedule = self.find_schedule(id).await?;
            match self.backend.schedules.edit(id, schedule.revision, edit).await? {
                Edited::Applied { .. } => return Ok(()),
                Edited::Changed { .. } => {}
                Edited::AlreadyPublishing => return Err(DeskError::AlreadyPublishing(what)),
                Edited::Gone => return Err(DeskError::NotFound(what)),
            }
        }
        Err(DeskError::Changed(what))
    }
}

/// What the clocks of a zone show at an instant.
pub(crate) fn local_in(at: DateTime<Utc>, tz: &str) -> Option<String> {
    let wall = zone::instant_to_local(at, tz).ok()?;
    Some(wall.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
}

/// The time that a local time, or a rule, means in another zone; none for what is no local time.
fn written_in(timing: &Timing, zone: &str) -> Option<When> {
    match timing {
        Timing::OneShot { local, .. } => {
            At::parse(local.as_deref()?, Some(zone)).ok().map(When::At)
        }
        Timing::Cron { expr, from, count, until } => Some(When::Cron {
            expr: expr.clone(),
            from: from.map(At::Instant),
            count: *count,
            until: until.map(At::Instant),
        }),
        Timing::Rrule { expr } => Some(When::Rrule { expr: expr.clone() }),
        _ => None,
    }
}

fn refused(field: &'static str, message: String) -> Refused {
    Refused { problems: vec![Problem::new(field, message)] }
}
