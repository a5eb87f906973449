//! More posts than a platform takes of an account in 24 hours: told when they are planned, and not when the
//! platform refuses them.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::id::{AccountId, ScheduleId};
use postq_core::machine::JobState;
use postq_core::schedule::Schedule;

use super::{AgendaEntry, AgendaItem, Desk, DeskError, Problem};

/// Occurrences of one schedule that are looked at, and how far ahead.
const MOST_TIMES: usize = 200;
const HORIZON: TimeDelta = TimeDelta::days(31);

/// Items of the calendar that are looked at: beyond, nothing is told.
const MOST_ITEMS: usize = 5_000;

const DAY: TimeDelta = TimeDelta::hours(24);

/// The moments of accounts whose platforms take so many posts in 24 hours.
#[derive(Debug, Default)]
pub(super) struct Days(BTreeMap<AccountId, Day>);

#[derive(Debug)]
struct Day {
    name: String,
    platform: String,
    most: usize,
    /// In order.
    moments: Vec<DateTime<Utc>>,
}

impl Desk {
    /// What there is already of these accounts, without that of one schedule; nothing of those whose platforms
    /// name no number. Asks the store only if one does.
    pub(super) async fn days(
        &self,
        accounts: &[Account],
        without: Option<ScheduleId>,
        now: DateTime<Utc>,
    ) -> Result<Days, DeskError> {
        let mut days = Days::default();
        for account in accounts {
            let pace = self.platforms.get(&account.platform).map(|platform| platform.pace());
            let Some(most) = pace.and_then(|pace| pace.daily) else { continue };
            let (name, platform) = (account.name.clone(), account.platform.to_string());
            let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
            days.0.insert(account.id, Day { name, platform, most, moments: Vec::new() });
        }
        if days.0.is_empty() {
            return Ok(days);
        }
        let agenda = self.agenda(&(now - DAY..now + HORIZON + DAY), MOST_ITEMS).await?;
        for item in agenda.items.iter().filter(|item| counts(item)) {
            if without.is_some() && item.schedule == without {
                continue;
            }
            for account in &item.accounts {
                if let Some(day) = days.0.get_mut(account) {
                    day.moments.push(item.at);
                }
            }
        }
        Ok(days)
    }

    /// Adds the moments of a schedule to those days; a problem if that is more than a platform takes, and
    /// then nothing is added.
    pub(super) fn add_to(
        &self,
        days: &mut Days,
        schedule: &Schedule,
        now: DateTime<Utc>,
    ) -> Result<Option<Problem>, DeskError> {
        if days.0.is_empty() || !schedule.accounts.iter().any(|id| days.0.contains_key(id)) {
            return Ok(None);
        }
        let mut moments = self.upcoming(schedule, MOST_TIMES)?;
        moments.retain(|at| *at < now + HORIZON);
        let full = schedule.accounts.iter().find_map(|id| days.0.get(id)?.full_with(&moments));
        if let Some(message) = full {
            return Ok(Some(Problem::new("at", message)));
        }
        for id in &schedule.accounts {
            if let Some(day) = days.0.get_mut(id) {
                day.moments.extend(&moments);
                day.moments.sort_unstable();
            }
        }
        Ok(None)
    }
}

/// Whether the platform counts it.
fn counts(item: &AgendaItem) -> bool {
    match &item.what {
        AgendaEntry::ToCome | AgendaEntry::Out(_) => true,
        AgendaEntry::Job(job) => !matches!(job.state, JobState::Cancelled | JobState::DeadLetter),
    }
}

impl Day {
    /// Why these moments are too many, if they are.
    fn full_with(&self, new: &[DateTime<Utc>]) -> Option<String> {
        let mut all = self.moments.clone();
        all.extend(new);
        all.sort_unstable();
        new.iter().find_map(|at| {
            // The fullest 24 hours with it end at it, or at one of those that follow.
            let first = all.partition_point(|other| *other < *at);
            let last = all.partition_point(|other| *other < *at + DAY);
            (first..last).find_map(|end| {
                let begin = all.partition_point(|other| *other <= all[end] - DAY);
                let posts = end + 1 - begin;
                (posts > self.most).then(|| self.told(posts, all[end]))
            })
        })
    }

    fn told(&self, posts: usize, until: DateTime<Utc>) -> String {
        let Self { name, platform, most, .. } = self;
        let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!(
            "account \"{name}\" would have {posts} posts in the 24 hours up to {until}, and {platform} takes {most}; choose another day"
        )
    }
}
