//! More posts than a platform takes of an account in 24 hours: told when they are planned, and not when the
//! platform refuses them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::zone;
use postq_core::account::Account;
use postq_core::id::AccountId;
use postq_core::machine::JobState;
use postq_core::schedule::{Schedule, Timing};
use postq_core::store::ScheduleEdit;

use super::{AgendaEntry, AgendaItem, Checked, Desk, DeskError, Problem, Refused};

/// Occurrences of one schedule that are looked at, and for how long from the first of them, or from now.
const MOST_TIMES: usize = 200;
const HORIZON: TimeDelta = TimeDelta::days(31);

/// What is looked at of the calendar: so many spans of at most a horizon each (five years without a gap), and
/// so many items of each. Beyond, nothing is told.
const MOST_SPANS: usize = 60;
const MOST_ITEMS: usize = 5_000;

const DAY: TimeDelta = TimeDelta::hours(24);

/// What is in the calendar and does not count: it makes way for what is planned.
pub(crate) type MakesWay<'a> = &'a (dyn Fn(&AgendaItem) -> bool + Sync);

/// The moments of accounts whose platforms take so many posts in 24 hours.
#[derive(Debug, Default)]
struct Days(BTreeMap<AccountId, Day>);

#[derive(Debug)]
struct Day {
    name: String,
    platform: String,
    most: usize,
    /// In order.
    moments: Vec<DateTime<Utc>>,
}

impl Desk {
    /// Refuses of what was checked what comes more often in a day than a platform takes.
    pub(super) async fn ensure_days(
        &self,
        checked: &mut Checked,
        makes_way: MakesWay<'_>,
    ) -> Result<(), DeskError> {
        let schedules: Vec<&Schedule> =
            checked.entries.iter().flatten().map(|entry| &entry.schedule).collect();
        let accounts = schedules.iter().flat_map(|schedule| &schedule.accounts);
        let accounts: BTreeSet<AccountId> = accounts.copied().collect();
        let accounts = accounts.into_iter().filter_map(|id| checked.directory.get(id).cloned());
        let accounts: Vec<Account> = accounts.collect();
        let full = self.full_days(&accounts, &schedules, makes_way, checked.now).await?;
        let good = checked.entries.iter_mut().filter(|entry| entry.is_ok());
        for (entry, problem) in good.zip(full) {
            if let Some(problem) = problem {
                *entry = Err(Refused { problems: vec![problem] });
            }
        }
        Ok(())
    }

    /// Refuses another time, or other accounts, if that is more in a day than a platform takes.
    pub(super) async fn ensure_day(
        &self,
        schedule: &Schedule,
        edit: &ScheduleEdit,
        now: DateTime<Utc>,
    ) -> Result<(), DeskError> {
        if edit.timing.is_none() && edit.accounts.is_none() {
            return Ok(());
        }
        let after = after(schedule, edit);
        let accounts = self.backend.accounts.load(&after.accounts).await?;
        let own = |item: &AgendaItem| item.schedule == Some(schedule.id);
        let full = self.full_days(&accounts, &[&after], &own, now).await?;
        match full.into_iter().flatten().next() {
            Some(problem) => Err(Refused { problems: vec![problem] }.into()),
            None => Ok(()),
        }
    }

    /// For each of these schedules, in their order, why it is too much for a day; those that are do not
    /// count for the others. Asks the store only if a platform of these accounts names a number.
    pub(crate) async fn full_days(
        &self,
        accounts: &[Account],
        schedules: &[&Schedule],
        makes_way: MakesWay<'_>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Problem>>, DeskError> {
        let mut days = self.limited(accounts);
        let moments = schedules.iter().map(|schedule| self.moments(&days, schedule, now));
        let moments: Vec<Vec<DateTime<Utc>>> = moments.collect::<Result<_, _>>()?;
        self.fill(&mut days, &spans(&moments), makes_way).await?;
        let timed = schedules.iter().zip(&moments);
        Ok(timed.map(|(schedule, moments)| days.full_day(schedule, moments)).collect())
    }

    /// A day for each of these accounts whose platform names a number, with nothing in it yet.
    fn limited(&self, accounts: &[Account]) -> Days {
        let mut days = Days::default();
        for account in accounts {
            let pace = self.platforms.get(&account.platform).map(|platform| platform.pace());
            let Some(most) = pace.and_then(|pace| pace.daily) else { continue };
            let (name, platform) = (account.name.clone(), account.platform.to_string());
            let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
            days.0.insert(account.id, Day { name, platform, most, moments: Vec::new() });
        }
        days
    }

    /// When a schedule runs, as far as it is looked at; never, if none of its accounts has a day to fill.
    fn moments(
        &self,
        days: &Days,
        schedule: &Schedule,
        now: DateTime<Utc>,
    ) -> Result<Vec<DateTime<Utc>>, DeskError> {
        if !schedule.accounts.iter().any(|id| days.0.contains_key(id)) {
            return Ok(Vec::new());
        }
        let mut moments = self.upcoming(schedule, MOST_TIMES)?;
        let from = moments.first().copied().unwrap_or(now).max(now);
        moments.retain(|at| *at < from + HORIZON);
        Ok(moments)
    }

    /// Adds what there is already of these accounts in those spans.
    async fn fill(
        &self,
        days: &mut Days,
        spans: &[Range<DateTime<Utc>>],
        makes_way: MakesWay<'_>,
    ) -> Result<(), DeskError> {
        for span in spans.iter().take(MOST_SPANS) {
            let agenda = self.agenda(span, MOST_ITEMS).await?;
            for item in agenda.items.iter().filter(|item| counts(item) && !makes_way(item)) {
                for account in &item.accounts {
                    if let Some(day) = days.0.get_mut(account) {
                        day.moments.push(item.at);
                    }
                }
            }
        }
        days.0.values_mut().for_each(|day| day.moments.sort_unstable());
        Ok(())
    }
}

impl Days {
    /// Adds the moments of a schedule; a problem if that is more than a platform takes, and then nothing is
    /// added.
    fn full_day(&mut self, schedule: &Schedule, moments: &[DateTime<Utc>]) -> Option<Problem> {
        let full = schedule.accounts.iter().find_map(|id| {
            let day = self.0.get(id)?;
            day.full_with(moments).map(|full| day.told(&full, schedule))
        });
        if let Some(message) = full {
            return Some(Problem::new("at", message));
        }
        for id in &schedule.accounts {
            if let Some(day) = self.0.get_mut(id) {
                day.add(moments);
            }
        }
        None
    }
}

/// The time around these moments, a day before and after each, in spans that do not overlap: whatever is
/// planned for next year is looked at there, and not all that lies in between.
fn spans(moments: &[Vec<DateTime<Utc>>]) -> Vec<Range<DateTime<Utc>>> {
    let mut moments: Vec<DateTime<Utc>> = moments.iter().flatten().copied().collect();
    moments.sort_unstable();
    let mut spans: Vec<Range<DateTime<Utc>>> = Vec::new();
    for at in moments {
        let (begin, end) = (at - DAY, at + DAY);
        match spans.last_mut() {
            Some(last) if begin <= last.end && end - last.start <= HORIZON => last.end = end,
            Some(last) => {
                let begin = begin.max(last.end);
                spans.push(begin..end);
            }
            None => spans.push(begin..end),
        }
    }
    spans
}

/// A schedule as an edit leaves it.
pub(crate) fn after(schedule: &Schedule, edit: &ScheduleEdit) -> Schedule {
    let mut after = schedule.clone();
    if let Some((timing, first)) = &edit.timing {
        after.timing.clone_from(timing);
        after.next_run_at = *first;
    }
    if let Some(accounts) = &edit.accounts {
        after.accounts.clone_from(accounts);
    }
    if let Some((tz, _)) = &edit.tz {
        after.tz = Some(tz.clone());
    }
    after.enabled = edit.enabled.unwrap_or(after.enabled);
    after
}

/// Whether the platform counts it.
fn counts(item: &AgendaItem) -> bool {
    match &item.what {
        AgendaEntry::ToCome | AgendaEntry::Out(_) => true,
        AgendaEntry::Job(job) => !matches!(job.state, JobState::Cancelled | JobState::DeadLetter),
    }
}

/// A moment that is one too many.
struct Full {
    at: DateTime<Utc>,
    /// How many there would be in the 24 hours that end so.
    posts: usize,
    until: DateTime<Utc>,
}

impl Day {
    /// Adds moments. A calendar may have very many rows of one each: those are put in place.
    fn add(&mut self, new: &[DateTime<Utc>]) {
        if let [one] = new {
            let place = self.moments.partition_point(|other| other <= one);
            self.moments.insert(place, *one);
            return;
        }
        self.moments.extend(new);
        self.moments.sort(); // which merges what is in order already
    }

    /// Which of these moments is one too many, if any is.
    fn full_with(&self, new: &[DateTime<Utc>]) -> Option<Full> {
        let (first, last) = (new.iter().min()?, new.iter().max()?);
        // What is further away is in no 24 hours with any of them.
        let begin = self.moments.partition_point(|other| *other <= *first - DAY);
        let end = self.moments.partition_point(|other| *other < *last + DAY);
        let mut all = self.moments[begin..end].to_vec();
        all.extend(new);
        all.sort(); // which merges what is in order already
        new.iter().find_map(|at| {
            // The fullest 24 hours with it end at it, or at one of those that follow.
            let first = all.partition_point(|other| *other < *at);
            let last = all.partition_point(|other| *other < *at + DAY);
            (first..last).find_map(|end| {
                let begin = all.partition_point(|other| *other <= all[end] - DAY);
                let posts = end + 1 - begin;
                (posts > self.most).then(|| Full { at: *at, posts, until: all[end] })
            })
        })
    }

    /// Why that is too much, by the clocks of whoever plans it.
    fn told(&self, full: &Full, schedule: &Schedule) -> String {
        let Self { name, platform, most, .. } = self;
        let tz = schedule.tz.as_deref();
        let local = tz.and_then(|tz| zone::instant_to_local(full.at, tz).ok());
        let weekday = local.unwrap_or_else(|| full.at.naive_utc()).format("%A");
        let (at, until) = (zone::show(full.at, tz), zone::show(full.until, tz));
        let remedy = match schedule.timing {
            Timing::OneShot { .. } => "choose another day",
            _ => "repeat it less often, or begin on another day",
        };
        format!(
            "{weekday}, {at}, breaks {platform}'s daily limit: account \"{name}\" would have {} posts in the \
             24 hours up to {until}, and {platform} takes {most}; {remedy}",
            full.posts
        )
    }
}
