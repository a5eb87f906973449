//! Posts that are handed in under an id, so that handing them in again makes no second one; drafts; and
//! further schedules for a post that is there.

use postq_core::content::{Content, Post};
use postq_core::error::ErrorKind;
use postq_core::id::{PostId, ScheduleId};
use postq_core::schedule::{Schedule, Timing};

use super::check::{accounts_of, content_problems, key_problem, unmeant, without_unmeant};
use super::fitting::Fitted;
use super::{Desk, DeskError, Entry, Refused, Submission, Submitted, first_schedule};

impl Desk {
    /// Takes a post in under this id, or refuses it. Again, with the same id, makes nothing new.
    pub async fn submit_as(
        &self,
        id: PostId,
        submission: Submission,
    ) -> Result<Submitted, DeskError> {
        if let Some(there) = self.submitted_before(id).await? {
            return Ok(there);
        }
        let submission = self.placed(first_schedule(id), submission).await?;
        let mut checked = self.check(&[submission]).await?;
        let entry = checked.entries.pop().expect("one submission gives one entry")?;
        let key = entry.post.key.clone();
        self.ensure_free_for(id, key.as_deref()).await?;
        match self.commit(&checked, vec![under(id, entry)]).await {
            Ok(mut submitted) => Ok(submitted.pop().expect("one entry gives one post")),
            Err(error) => Err(self.why_refused(id, key.as_deref(), error).await),
        }
    }

    /// Takes a post in that has no time yet; what the submission says of one is not looked at. Its
    /// accounts, if it names any, are kept in a schedule that is switched off until it gets a time.
    pub async fn draft_as(&self, id: PostId, submission: Submission) -> Result<(), DeskError> {
        let now = self.backend.jobs.now().await?;
        let mut directory = self.directory(now).await?;
        let named = self.named([&submission.content]).await?;
        let mut problems = content_problems(&submission.content);
        problems.extend(named.missing(&submission.content));
        problems.extend(submission.key.as_deref().and_then(key_problem));
        let accounts = match submission.accounts.as_slice() {
            [] => Vec::new(),
            names => accounts_of(&mut directory, names, &mut problems),
        };
        problems.extend(self.stray(&submission.content, &accounts));
        problems.extend(unmeant(&submission.content, &accounts));
        let Fitted { content, unfit, .. } =
            self.fitted(&submission.content, submission.fitting, &accounts);
        problems.extend(unfit);
        problems.extend(self.violations(&content, &accounts, &named));
        if submission.fitting.is_none() {
            self.offer_to_fit(&content, &accounts, &mut problems);
        }
        if !problems.is_empty() {
            return Err(Refused { problems }.into());
        }
        self.ensure_free_for(id, submission.key.as_deref()).await?;
        let mut accounts: Vec<_> = accounts.iter().map(|account| account.id).collect();
        self.make_accounts(&directory, accounts.iter_mut()).await?;
        let mut post = Post::new(content, now);
        (post.id, post.tenant_id, post.key) = (id, self.tenant(), submission.key.clone());
        if let Err(error) = self.backend.posts.insert(&[post]).await {
            return Err(self.why_refused(id, submission.key.as_deref(), error.into()).await);
        }
        if !accounts.is_empty() {
            let mut schedule = Schedule::new(id, accounts, Timing::Unset, now);
            schedule.id = first_schedule(id);
            schedule.tenant_id = self.tenant();
            schedule.priority = submission.priority;
            schedule.misfire = submission.misfire;
            schedule.grace = self.settings.grace;
            schedule.correlation_id.clone_from(&self.correlation);
            schedule.enabled = false;
            self.backend.schedules.insert(&[schedule]).await?;
        }
        Ok(())
    }

    /// Gives a post that is there a further schedule, under this id. The content of `submission` is not
    /// looked at: the post's own is checked. Again, with the same id, makes nothing new.
    pub async fn schedule_as(
        &self,
        id: ScheduleId,
        post: PostId,
        mut submission: Submission,
    ) -> Result<Schedule, DeskError> {
        if let Some(there) = self.backend.schedules.load(&[id]).await?.pop() {
            return Ok(there);
        }
        let post = self.find_post(&post.to_string()).await?;
        submission.content = self.meant_for(post.content.clone(), &submission.accounts).await?;
        submission.key = None;
        let submission = self.placed(id, submission).await?;
        let mut checked = self.check(&[submission]).await?;
        let mut entry = under(post.id, checked.entries.pop().expect("one gives one")?);
        (entry.post, entry.post_exists, entry.schedule.id) = (post, true, id);
        self.commit(&checked, vec![entry]).await?;
        self.find_schedule(id).await
    }

    /// A content of a post without what it has for other accounts.
    pub(super) async fn meant_for(
        &self,
        content: Content,
        names: &[String],
    ) -> Result<Content, DeskError> {
        let now = self.backend.jobs.now().await?;
        let mut directory = self.directory(now).await?;
        // What is wrong with them is told where they are checked.
        let accounts = accounts_of(&mut directory, names, &mut Vec::new());
        Ok(without_unmeant(content, &accounts))
    }

    /// What was handed in under this id before, with its schedule.
    async fn submitted_before(&self, id: PostId) -> Result<Option<Submitted>, DeskError> {
        let Some(post) = self.backend.posts.load(&[id]).await?.pop() else { return Ok(None) };
        let schedule = self.backend.schedules.load(&[first_schedule(id)]).await?.pop();
        Ok(schedule.map(|schedule| Submitted {
            post: id,
            schedule: schedule.id,
            key: post.key,
            first: schedule.next_run_at.unwrap_or(schedule.created_at),
        }))
    }

    /// Of two posts with a key that came at the same moment the store refused the second: this says why.
    async fn why_refused(&self, id: PostId, key: Option<&str>, error: DeskError) -> DeskError {
        if error.kind() != ErrorKind::Conflict {
            return error;
        }
        self.ensure_free_for(id, key).await.err().unwrap_or(error)
    }

    /// Fails if another post has the key.
    async fn ensure_free_for(&self, id: PostId, key: Option<&str>) -> Result<(), DeskError> {
        let Some(key) = key else { return Ok(()) };
        let taken = self.backend.posts.with_keys(self.tenant(), &[key.to_owned()]).await?;
        match taken.iter().find(|post| post.id != id) {
            None => Ok(()),
            Some(post) => Err(DeskError::refused(
                "key",
                format!(
                    "\"{key}\" is the key of post {}, which is not taken in twice; another key makes \
                     another post",
                    post.id
                ),
            )),
        }
    }
}

/// The same entry with another id.
fn under(id: PostId, mut entry: Entry) -> Entry {
    entry.post.id = id;
    entry.schedule.post_id = id;
    entry.schedule.id = first_schedule(id);
    entry
}
