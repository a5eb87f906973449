//! What would happen, before anything is written.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use postq_calendar::zone;
use postq_core::account::Account;
use postq_core::content::{Content, Part};
use postq_core::id::{AccountId, PostId};
use postq_core::platform::{Length, Platform, PlatformName, Violation, violations};
use postq_core::schedule::{Schedule, Timing};

use super::check::{accounts_of, content_problems, unmeant};
use super::fitting::Fitted;
use super::meaning::Meant;
use super::{
    AgendaEntry, AgendaItem, Cost, Desk, DeskError, Named, Notice, Problem, Submission, When,
};

/// What a platform would get of a post, and what it would refuse of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformPreview {
    /// The platform.
    pub platform: PlatformName,
    /// The accounts on it, by name.
    pub accounts: Vec<String>,
    /// What it would get.
    pub parts: Vec<Part>,
    /// How long each part is, as it counts; none where it counts nothing.
    pub lengths: Vec<Option<Length>>,
    /// What it would refuse.
    pub violations: Vec<Violation>,
    /// What was done to make it fit.
    pub notice: Option<String>,
    /// What it wants a person to read before this is posted there. Nothing is refused for it.
    pub advice: Vec<String>,
}

/// What would happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// By platform.
    pub platforms: Vec<PlatformPreview>,
    /// The first occurrences; empty without a time.
    pub occurrences: Vec<DateTime<Utc>>,
    /// What it would cost; none where that has no price.
    pub cost: Option<Cost>,
    /// All that would be refused, the platforms' violations among it.
    pub problems: Vec<Problem>,
}

impl Desk {
    /// What would happen to a post, with up to `limit` of its occurrences. Without `when` it is a draft.
    pub async fn preview(
        &self,
        submission: &Submission,
        has_time: bool,
        limit: usize,
    ) -> Result<Preview, DeskError> {
        self.preview_of(None, submission, has_time, limit).await
    }

    /// The same; of a post that is there, if it were so from now on and its schedules were not.
    pub async fn preview_of(
        &self,
        post: Option<PostId>,
        submission: &Submission,
        has_time: bool,
        limit: usize,
    ) -> Result<Preview, DeskError> {
        let now = self.backend.jobs.now().await?;
        let mut directory = self.directory(now).await?;
        let named = self.named([&submission.content]).await?;
        let mut problems = content_problems(&submission.content);
        problems.extend(named.missing(&submission.content));
        let accounts = match submission.accounts.as_slice() {
            [] => Vec::new(),
            names => accounts_of(&mut directory, names, &mut problems),
        };
        problems.extend(self.stray(&submission.content, &accounts));
        if post.is_none() {
            problems.extend(unmeant(&submission.content, &accounts));
        }
        let Fitted { content, notices, unfit } =
            self.fitted(&submission.content, submission.fitting, &accounts);
        problems.extend(unfit);
        problems.extend(self.violations(&content, &accounts, &named));
        if submission.fitting.is_none() {
            self.offer_to_fit(&content, &accounts, &mut problems);
        }
        let mut advice = BTreeMap::new();
        if problems.is_empty() {
            (problems, advice) = tokio::join!(
                self.preflight(&content, &accounts, now),
                self.advice(&content, &accounts, now)
            );
        }
        let mut platforms = self.by_platform(&content, &accounts, &notices, &named);
        for one in &mut platforms {
            one.advice = advice.remove(&one.platform).unwrap_or_default();
        }
        let cost = self.cost(&content, &accounts, now);
        let mut preview = Preview { platforms, problems, cost, ..Preview::default() };
        if !has_time {
            return Ok(preview);
        }
        if matches!(submission.when, When::NextSlot | When::Best) {
            let ids: Vec<AccountId> = accounts.iter().map(|account| account.id).collect();
            match self.proposed(submission, &ids, now).await {
                Ok(at) => {
                    preview.occurrences = vec![at];
                    let timing = Timing::OneShot { at, local: None };
                    let mut rule = rule(timing, at, ids);
                    rule.tz.clone_from(&submission.tz);
                    preview.problems.extend(self.too_many(post, &rule, &accounts, now).await?);
                }
                Err(DeskError::Refused(refused)) => preview.problems.extend(refused.problems),
                Err(error) => return Err(error),
            }
            return Ok(preview);
        }
        let tz = submission.tz.as_deref().map(zone::check).transpose();
        let tz = tz.unwrap_or_else(|error| {
            preview.problems.push(Problem::new("tz", error.to_string()));
            None
        });
        let meant = self.meant(&submission.when, tz.as_deref(), &accounts, now);
        preview.problems.extend(meant.err());
        // What comes too often for real accounts is shown all the same.
        if let Ok(Meant { timing, tz, first }) =
            self.meant(&submission.when, tz.as_deref(), &[], now)
        {
            let tz = tz.as_deref();
            preview.occurrences = self.following(&timing, tz, first, limit)?;
            let cost = preview.cost.take();
            let cost = cost.map(|once| self.cost_by_rule(once, &timing, tz, first, now));
            preview.cost = cost.transpose()?;
            let mut rule = rule(timing, first, accounts.iter().map(|one| one.id).collect());
            rule.tz = tz.map(str::to_owned);
            preview.problems.extend(self.too_many(post, &rule, &accounts, now).await?);
        }
        Ok(preview)
    }

    /// Why a rule is too much for a day of these accounts; what the post itself has there makes way.
    async fn too_many(
        &self,
        post: Option<PostId>,
        rule: &Schedule,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> Result<Option<Problem>, DeskError> {
        let own = |item: &AgendaItem| {
            post == Some(item.post) && !matches!(item.what, AgendaEntry::Out(_))
        };
        Ok(self.full_days(accounts, &[rule], &own, now).await?.into_iter().flatten().next())
    }

    /// The next occurrences of a schedule that is there, up to `limit`; none while it is switched off.
    pub fn upcoming(
        &self,
        schedule: &Schedule,
        limit: usize,
    ) -> Result<Vec<DateTime<Utc>>, DeskError> {
        let Some(next) = schedule.next_run_at.filter(|_| schedule.enabled) else {
            return Ok(Vec::new());
        };
        self.following(&schedule.timing, schedule.tz.as_deref(), next, limit)
    }

    /// An occurrence and those after it.
    pub(super) fn following(
        &self,
        timing: &Timing,
        tz: Option<&str>,
        first: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<DateTime<Utc>>, DeskError> {
        let mut rule = rule(timing.clone(), first, Vec::new());
        rule.tz = tz.map(str::to_owned);
        let mut found = Vec::new();
        let mut next = Some(first);
        while let Some(at) = next.filter(|_| found.len() < limit) {
            found.push(at);
            next = self.resolver.next(&rule, Some(at))?;
        }
        Ok(found)
    }

    fn by_platform(
        &self,
        content: &Content,
        accounts: &[Account],
        notices: &[Notice],
        named: &Named,
    ) -> Vec<PlatformPreview> {
        let mut found: Vec<PlatformPreview> = Vec::new();
        for account in accounts {
            if let Some(known) = found.iter_mut().find(|p| p.platform == account.platform) {
                known.accounts.push(account.name.clone());
                continue;
            }
            let draft = content.draft_for(&account.platform);
            let notice = notices.iter().find(|notice| notice.platform == account.platform);
            let parts = draft.parts.to_vec();
            let platform = self.platforms.get(&account.platform);
            let measure = platform.and_then(|platform| platform.measure());
            let all = |platform: &dyn Platform| {
                let mut found = violations(platform, draft);
                found.extend(named.violations(platform, draft));
                found
            };
            let length = |part: &Part| Some(measure?.measure(&part.text));
            found.push(PlatformPreview {
                platform: account.platform.clone(),
                accounts: vec![account.name.clone()],
                lengths: parts.iter().map(length).collect(),
                violations: platform.map(|p| all(&**p)).unwrap_or_default(),
                parts,
                notice: notice.map(|notice| notice.message.clone()),
                advice: Vec::new(),
            });
        }
        found
    }
}

/// A schedule that nobody has written.
fn rule(timing: Timing, first: DateTime<Utc>, accounts: Vec<AccountId>) -> Schedule {
    let mut rule = Schedule::new(PostId::new(), accounts, timing, first);
    rule.next_run_at = Some(first);
    rule
}
