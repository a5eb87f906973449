//! Changing what somebody has looked at: refused if it was changed since.

use postq_core::content::{Content, Post};
use postq_core::fit::Fitting;
use postq_core::id::{AccountId, PostId, ScheduleId};
use postq_core::schedule::Schedule;
use postq_core::store::{Edited, ScheduleEdit};

use super::check::{accounts_of, newly_unmeant};
use super::fitting::Fitted;
use super::{Amendment, Desk, DeskError, Refused};

/// What is to change of a schedule at once; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alteration {
    /// When it fires.
    pub amendment: Amendment,
    /// To which accounts, by name or id.
    pub accounts: Option<Vec<String>>,
    /// Whether it fires.
    pub enabled: Option<bool>,
}

impl Desk {
    /// Replaces the content of a post that still is as it was seen. Where the text is too long for a platform,
    /// it is made to fit if that is asked for; what was made to fit before is made so again of the new text, as
    /// before if nothing else is said.
    pub async fn edit_seen(
        &self,
        seen: Post,
        content: Content,
        fitting: Option<Fitting>,
    ) -> Result<Post, DeskError> {
        let what = format!("post {}", seen.id);
        let accounts = self.accounts_of_post(seen.id).await?;
        let Fitted { content, unfit, .. } =
            self.refitted(&seen.content, content, fitting, &accounts);
        if !unfit.is_empty() {
            return Err(Refused { problems: unfit }.into());
        }
        let unmeant = newly_unmeant(&content, &seen.content, &accounts);
        if !unmeant.is_empty() {
            return Err(Refused { problems: unmeant }.into());
        }
        match self.check_content_for(&content, &accounts).await {
            Err(DeskError::Refused(mut refused)) if fitting.is_none() => {
                self.offer_to_fit(&content, &accounts, &mut refused.problems);
                return Err(refused.into());
            }
            checked => checked?,
        }
        match self.backend.posts.edit(seen.id, seen.revision, &content).await? {
            Edited::Applied { revision } => Ok(Post { revision, content, ..seen }),
            Edited::Changed { .. } => Err(DeskError::Changed(what)),
            Edited::AlreadyPublishing => Err(DeskError::AlreadyPublishing(what)),
            Edited::Gone => Err(DeskError::NotFound(what)),
        }
    }

    /// Takes a post away with its schedules: what was planned is taken back, what is out stays.
    pub async fn remove_post(&self, id: PostId) -> Result<(), DeskError> {
        let what = format!("post {id}");
        self.find_post(&id.to_string()).await?;
        match self.backend.posts.remove(id).await? {
            Edited::Applied { .. } => Ok(()),
            Edited::Changed { .. } => Err(DeskError::Changed(what)),
            Edited::AlreadyPublishing => Err(DeskError::AlreadyPublishing(what)),
            Edited::Gone => Err(DeskError::NotFound(what)),
        }
    }

    /// Changes a schedule in one step; with a revision, only while it still has it. What it had planned
    /// and not begun is taken back and planned anew.
    pub async fn alter(
        &self,
        id: ScheduleId,
        revision: Option<u32>,
        alteration: &Alteration,
    ) -> Result<Schedule, DeskError> {
        let schedule = self.find_schedule(id).await?;
        let edit = self.edit_of(&schedule, alteration).await?;
        let Some(revision) = revision else {
            self.change(id, &edit).await?;
            return self.find_schedule(id).await;
        };
        let what = format!("schedule {id}");
        match self.backend.schedules.edit(id, revision, &edit).await? {
            Edited::Applied { .. } => self.find_schedule(id).await,
            Edited::Changed { .. } => Err(DeskError::Changed(what)),
            Edited::AlreadyPublishing => Err(DeskError::AlreadyPublishing(what)),
            Edited::Gone => Err(DeskError::NotFound(what)),
        }
    }

    async fn edit_of(
        &self,
        schedule: &Schedule,
        alteration: &Alteration,
    ) -> Result<ScheduleEdit, DeskError> {
        let Alteration { amendment, accounts, enabled } = alteration;
        let now = self.backend.jobs.now().await?;
        let mut edit = ScheduleEdit {
            priority: amendment.priority,
            enabled: *enabled,
            ..ScheduleEdit::default()
        };
        let accounts = match accounts {
            Some(names) => {
                let accounts = self.checked_accounts(schedule, names).await?;
                edit.accounts = Some(accounts.clone());
                accounts
            }
            None => schedule.accounts.clone(),
        };
        let accounts = self.backend.accounts.load(&accounts).await?;
        self.move_by(&mut edit, schedule, amendment, &accounts, now)?;
        if edit.timing.is_none() && *enabled == Some(true) {
            let first = self.first(&schedule.timing, schedule.tz.as_deref(), now)?;
            let Some(first) = first else {
                return Err(DeskError::refused(
                    "at",
                    format!(
                        "schedule {} has no occurrence left; give the post another time",
                        schedule.id
                    ),
                ));
            };
            edit.timing = Some((schedule.timing.clone(), Some(first)));
        }
        self.ensure_day(schedule, &edit, now).await?;
        Ok(edit)
    }

    /// The ids of accounts that the post of a schedule fits.
    async fn checked_accounts(
        &self,
        schedule: &Schedule,
        names: &[String],
    ) -> Result<Vec<AccountId>, DeskError> {
        let now = self.backend.jobs.now().await?;
        let mut directory = self.directory(now).await?;
        let mut problems = Vec::new();
        let accounts = accounts_of(&mut directory, names, &mut problems);
        let post = self.find_post(&schedule.post_id.to_string()).await?;
        let named = self.named([&post.content]).await?;
        problems.extend(self.violations(&post.content, &accounts, &named));
        if problems.is_empty() {
            problems.extend(self.preflight(&post.content, &accounts, now).await);
        }
        if !problems.is_empty() {
            return Err(Refused { problems }.into());
        }
        let mut ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
        self.make_accounts(&directory, ids.iter_mut()).await?;
        Ok(ids)
    }
}
