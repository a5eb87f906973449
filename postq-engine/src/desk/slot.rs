//! Slots: putting a post into the next free one of an account, or into an hour that does well.
//!
//! A slot is taken in the store before the post is written, for the schedule that the post will have. So of
//! two posts at once one gets it; what is cut off in between gets the same one when it is handed in again,
//! and what is never handed in again frees it after a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_calendar::{At, Rule, zone};
use postq_core::error::{ScheduleError, chain};
use postq_core::id::{AccountId, ScheduleId};
use postq_core::schedule::{Schedule, Timing};
use postq_core::slot::{SlotRule, TakeSlot, TakenSlot};

use super::{Desk, DeskError, Submission, When};
use crate::analytics::best_times::{BestTimes, LEAST_HOURS, LEAST_POSTS, best_times, good_times};
use crate::analytics::{self, best_times as times};

/// Rules that an account may have.
const MOST_RULES: usize = 50;

/// Slots that are looked at for a free one, and how far ahead.
const MOST_LOOKED_AT: usize = 2_000;
const HORIZON: TimeDelta = TimeDelta::days(366);

/// A slot that is nearer than this is left alone: the post has to be planned before it.
const AHEAD: TimeDelta = TimeDelta::seconds(30);

/// Between taking a slot and writing its schedule there may be so much.
const WRITTEN_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// A time that a post may be put at, and the zone that it is meant in.
type Candidate = (DateTime<Utc>, String);

impl Desk {
    /// The rules of an account's slots.
    pub async fn slots(&self, account: AccountId) -> Result<Vec<SlotRule>, DeskError> {
        Ok(self.backend.slots.rules(account).await?)
    }

    /// Replaces them. Posts that are in slots stay where they are.
    pub async fn set_slots(
        &self,
        account: AccountId,
        rules: Vec<SlotRule>,
    ) -> Result<(), DeskError> {
        if rules.len() > MOST_RULES {
            let message = format!("are {}, expected at most {MOST_RULES}", rules.len());
            return Err(DeskError::refused("slots", message));
        }
        for rule in &rules {
            self.rule_of(rule)?;
        }
        Ok(self.backend.slots.set_rules(account, &rules).await?)
    }

    /// The next slots of an account that are free, at most so many.
    pub async fn free_slots(
        &self,
        account: AccountId,
        most: usize,
    ) -> Result<Vec<DateTime<Utc>>, DeskError> {
        let now = self.backend.jobs.now().await?;
        let times = self.slot_times(account, now).await?;
        let taken = self.taken_slots(account, now).await?;
        let free =
            times.into_iter().map(|(at, _)| at).filter(|at| taken.get(at).is_none_or(is_free));
        Ok(free.take(most).collect())
    }

    /// The same submission at a time of its own, if it asks for a slot: that is taken for this schedule.
    pub(super) async fn placed(
        &self,
        schedule: ScheduleId,
        submission: Submission,
    ) -> Result<Submission, DeskError> {
        if !matches!(submission.when, When::NextSlot | When::Best) {
            return Ok(submission);
        }
        // What is refused takes no slot.
        let now = [Submission { when: When::Now, ..submission.clone() }];
        let named = self.named([&submission.content]).await?;
        let mut checked = self.check_with(&now, named).await?;
        let entry = checked.entries.pop().expect("one submission gives one entry")?;
        let (account, now) = (one(&entry.schedule.accounts)?, checked.now);
        let times = self.candidates(&submission, account, now).await?;
        let (at, tz) = self.take_first(account, schedule, times, now).await?;
        let at = At::parse(&at.to_rfc3339(), None).expect("a time is a time");
        Ok(Submission { when: When::At(at), tz: Some(tz), ..submission })
    }

    /// The time that a submission to these accounts would get, if it asks for a slot; nothing is taken.
    pub(super) async fn proposed(
        &self,
        submission: &Submission,
        accounts: &[AccountId],
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, DeskError> {
        let account = one(accounts)?;
        let times = self.candidates(submission, account, now).await?;
        let taken = self.taken_slots(account, now).await?;
        let mut free = times.into_iter().filter(|(at, _)| taken.get(at).is_none_or(is_free));
        free.next().map(|(at, _)| at).ok_or_else(none_free)
    }

    /// The times at which a submission that asks for a slot may be put, the best first.
    async fn candidates(
        &self,
        submission: &Submission,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<Candidate>, DeskError> {
        match submission.when {
            When::Best => self.best_times(account, submission.tz.as_deref(), now).await,
            _ => self.slot_times(account, now).await,
        }
    }

    async fn take_first(
        &self,
        account: AccountId,
        schedule_id: ScheduleId,
        times: Vec<Candidate>,
        now: DateTime<Utc>,
    ) -> Result<Candidate, DeskError> {
        let taken = self.taken_slots(account, now).await?;
        for (at, tz) in times {
            let holder = taken.get(&at);
            let is_ours = holder.is_some_and(|(slot, _)| slot.schedule_id == schedule_id);
            if !is_ours && !holder.is_none_or(is_free) {
                continue;
            }
            let instead_of = holder.map(|(slot, _)| slot.schedule_id);
            let take = TakeSlot { account_id: account, at, schedule_id, instead_of };
            // Refused where another one came between: then the next one.
            if self.backend.slots.take(&take).await? {
                return Ok((at, tz));
            }
        }
        Err(none_free())
    }

    /// The slots that are taken, by their times, and whether each is free after all.
    async fn taken_slots(
        &self,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<DateTime<Utc>, (TakenSlot, bool)>, DeskError> {
        let taken = self.backend.slots.taken(account, &(now..now + HORIZON)).await?;
        let ids: Vec<ScheduleId> = taken.iter().map(|slot| slot.schedule_id).collect();
        let schedules = self.backend.schedules.load(&ids).await?;
        let schedules: BTreeMap<_, _> = schedules.into_iter().map(|one| (one.id, one)).collect();
        let of = |slot: TakenSlot| {
            let is_used = is_used(&slot, schedules.get(&slot.schedule_id));
            let is_free = !is_used && slot.taken_at + WRITTEN_WITHIN < now;
            (slot.at, (slot, is_free))
        };
        Ok(taken.into_iter().map(of).collect())
    }

    /// The times of an account's slots, in order.
    async fn slot_times(
        &self,
        account: AccountId,
        now: DateTime<Utc>,
    ) -> Result<Vec<Candidate>, DeskError> {
        let rules = self.backend.slots.rules(account).await?;
        if rules.is_empty() {
            let message = "the account has no slots; set some, or name a time";
            return Err(DeskError::refused("at", message));
        }
        let mut times: BTreeMap<DateTime<Utc>, String> = BTreeMap::new();
        for rule in &rules {
            let occurrences = self.rule_of(rule)?;
            let mut after = now + AHEAD;
            for _ in 0..MOST_LOOKED_AT / rules.len() {
                match occurrences.next(Some(after)).filter(|at| *at < now + HORIZON) {
                    Some(at) => after = at,
                    None => break,
                }
                times.entry(after).or_insert_with(|| rule.tz.clone());
            }
        }
        Ok(times.into_iter().collect())
    }

    fn rule_of(&self, rule: &SlotRule) -> Result<Rule, DeskError> {
        let refuse = |error: ScheduleError| DeskError::refused("slots", chain(&error));
        let tz = zone::check(&rule.tz).map_err(refuse)?;
        let expr = rule.expr.clone();
        let timing = Timing::Cron { expr, from: None, count: None, until: None };
        let rule = Rule::new(&timing, Some(&tz)).map_err(refuse)?;
        let closest = rule.closest(DateTime::UNIX_EPOCH);
        if closest.is_some_and(|closest| {
            closest < self.settings.min_interval.max(Duration::from_secs(60))
        }) {
            return Err(DeskError::refused("slots", "come too often; leave a minute between two"));
        }
        Ok(rule)
    }

    /// The next times that begin an hour which does well for an account, the best first.
    async fn best_times(
        &self,
        account: AccountId,
        tz: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Candidate>, DeskError> {
        let Some(tz) = tz else {
            return Err(DeskError::refused(
                "tz",
                "is needed: whose clocks the hours are read from",
            ));
        };
        let refuse = |error: ScheduleError| DeskError::refused("tz", chain(&error));
        let tz = zone::check(tz).map_err(refuse)?;
        let accounts = self.backend.accounts.load(&[account]).await?;
        let platform = accounts.first().and_then(|account| self.platforms.get(&account.platform));
        let metrics = platform.and_then(|platform| platform.metrics());
        let fields = metrics.map_or(&[][..], |metrics| metrics.fields());
        let span = now - times::SAMPLED..now;
        let out = self.backend.metrics.of_account(account, &span, times::MOST_SAMPLES).await?;
        let told = best_times(&analytics::samples(&out, fields), &tz, now).map_err(refuse)?;
        if let BestTimes::NotEnoughData { posts, hours } = told {
            let message = format!(
                "there is not enough data: {posts} posts at {hours} different hours of the week are \
                 counted, {LEAST_POSTS} at {LEAST_HOURS} are needed; name a time"
            );
            return Err(DeskError::refused("at", message));
        }
        let times = good_times(&told, &tz, now, AHEAD).map_err(refuse)?;
        if times.is_empty() {
            let message = "no hour of the week is surely better than others; name a time";
            return Err(DeskError::refused("at", message));
        }
        Ok(times.into_iter().map(|at| (at, tz.clone())).collect())
    }
}

/// A slot is one account's.
fn one(accounts: &[AccountId]) -> Result<AccountId, DeskError> {
    let message = "takes a slot of one account; hand the post in once for each";
    let [account] = accounts else { return Err(DeskError::refused("accounts", message)) };
    Ok(*account)
}

fn none_free() -> DeskError {
    DeskError::refused("at", "there is no free slot; free one, or name a time")
}

fn is_free((_, is_free): &(TakenSlot, bool)) -> bool {
    *is_free
}

/// Whether the schedule that took a slot still means to publish in it.
fn is_used(slot: &TakenSlot, schedule: Option<&Schedule>) -> bool {
    schedule.is_some_and(|schedule| {
        let is_there = matches!(schedule.timing, Timing::OneShot { at, .. } if at == slot.at);
        schedule.enabled && is_there
    })
}

/// Reads slots as people say them: `weekdays 09:00 and 17:30 Europe/Berlin`. The days are `daily`,
/// `weekdays`, `weekends`, or names as `mon,thu`.
///
/// # Errors
///
/// What cannot be read, and what was expected.
pub fn read_slots(words: &str) -> Result<Vec<SlotRule>, String> {
    let wrong = || {
        format!(
            "\"{words}\" cannot be read; expected such as: weekdays 09:00 and 17:30 Europe/Berlin"
        )
    };
    let separators = |c: char| c.is_whitespace() || c == ',';
    let said: Vec<&str> = words.split(separators).filter(|word| !word.is_empty()).collect();
    let (tz, said) = said.split_last().filter(|(_, said)| !said.is_empty()).ok_or_else(wrong)?;
    let tz = zone::check(tz).map_err(|error| error.to_string())?;
    let (mut days, mut times) = (Vec::new(), Vec::new());
    for word in said.iter().filter(|word| **word != "and") {
        match (day(word), time(word)) {
            (Some(day), _) if times.is_empty() => days.push(day),
            (_, Some(time)) => times.push(time),
            _ => return Err(wrong()),
        }
    }
    if days.is_empty() || times.is_empty() {
        return Err(wrong());
    }
    let days = days.join(",");
    let rule =
        |(hour, minute)| SlotRule { expr: format!("{minute} {hour} * * {days}"), tz: tz.clone() };
    Ok(times.into_iter().map(rule).collect())
}

fn day(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "daily" => "0-6",
        "weekdays" => "1-5",
        "weekends" => "0,6",
        "mon" | "monday" => "1",
        "tue" | "tuesday" => "2",
        "wed" | "wednesday" => "3",
        "thu" | "thursday" => "4",
        "fri" | "friday" => "5",
        "sat" | "saturday" => "6",
        "sun" | "sunday" => "0",
        _ => return None,
    })
}

fn time(word: &str) -> Option<(u32, u32)> {
    let (hour, minute) = word.split_once(':')?;
    let number = |text: &str, below| {
        let number = text.parse().ok().filter(|_| text.len() == 2 || below == 24)?;
        (number < below).then_some(number)
    };
    Some((number(hour, 24)?, number(minute, 60)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_as_people_say_them() {
        let read = |words| {
            let rules = read_slots(words).expect(words);
            let told = rules.into_iter().map(|rule| format!("{} {}", rule.expr, rule.tz));
            told.collect::<Vec<_>>()
        };

        assert_eq!(
            read("weekdays 09:00 and 17:30 europe/berlin"),
            ["0 9 * * 1-5 Europe/Berlin", "30 17 * * 1-5 Europe/Berlin"]
        );
        assert_eq!(read("Mon, thursday 8:05 UTC"), ["5 8 * * 1,4 UTC"]);
        assert_eq!(read("weekends 00:00, 23:59 Asia/Tokyo").len(), 2);
        for bad in [
            "",
            "UTC",
            "weekdays UTC",
            "09:00 UTC",
            "weekdays 25:00 UTC",
            "weekdays 9 UTC",
            "someday 09:00 UTC",
            "09:00 weekdays UTC",
            "weekdays 09:00 Mars",
            "weekdays 09:00",
        ] {
            assert!(read_slots(bad).is_err(), "{bad}");
        }
    }
}
