//! What a post will cost, before it is out.

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::content::Content;
use postq_core::price::{Spent, add_up};
use postq_core::schedule::{Schedule, Timing};

use super::{Desk, DeskError};
use crate::prices::total;

/// What is called a month here: the next 30 days.
const MONTH: TimeDelta = TimeDelta::days(30);

/// Occurrences that are counted; where there are more in a month, their number is told from these.
const COUNTED: usize = 1_000;

/// What a post comes to, by the list of prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What one time calls for, its metrics among it, for all accounts together.
    pub calls: Vec<Spent>,
    /// What that costs, in millionths.
    pub micros: u64,
    /// The next 30 days, where it goes out again and again.
    pub month: Option<MonthCost>,
}

/// What 30 days of a post that goes out again and again come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthCost {
    /// How often it goes out.
    pub times: u64,
    /// What that costs, in millionths.
    pub micros: u64,
}

impl Desk {
    /// What a post costs that has these schedules; none if none of its platforms has a price.
    pub async fn cost_of(
        &self,
        content: &Content,
        schedules: &[Schedule],
    ) -> Result<Option<Cost>, DeskError> {
        if self.prices.is_empty() {
            return Ok(None);
        }
        let now = self.backend.jobs.now().await?;
        let accounts = self.backend.accounts.list(self.tenant()).await?;
        let to = |ids: &dyn Fn(&Account) -> bool| {
            let accounts: Vec<Account> = accounts.iter().filter(|a| ids(a)).cloned().collect();
            self.cost(content, &accounts, now)
        };
        let all = to(&|account| schedules.iter().any(|s| s.accounts.contains(&account.id)));
        let Some(mut all) = all else { return Ok(None) };
        for schedule in schedules.iter().filter(|schedule| repeats(&schedule.timing)) {
            let Some(first) = schedule.next_run_at.filter(|_| schedule.enabled) else { continue };
            let Some(once) = to(&|account| schedule.accounts.contains(&account.id)) else {
                continue;
            };
            let times = self.times(&schedule.timing, schedule.tz.as_deref(), first, now)?;
            let month = all.month.get_or_insert(MonthCost { times: 0, micros: 0 });
            month.times = month.times.saturating_add(times);
            month.micros = month.micros.saturating_add(once.micros.saturating_mul(times));
        }
        Ok(Some(all))
    }

    /// What it costs to publish once to these accounts.
    pub(super) fn cost(
        &self,
        content: &Content,
        accounts: &[Account],
        now: DateTime<Utc>,
    ) -> Option<Cost> {
        let calls = accounts.iter().filter_map(|account| {
            let platform = self.platforms.get(&account.platform)?.as_ref();
            let mut calls =
                self.prices.publishing(platform, content.parts_for(&account.platform), now);
            calls.extend(self.prices.reading(platform, now));
            Some(calls)
        });
        let calls = add_up(&calls.flatten().collect::<Vec<_>>());
        let micros = total(&calls);
        (!calls.is_empty()).then_some(Cost { calls, micros, month: None })
    }

    /// The same for a rule that begins then.
    pub(super) fn cost_by_rule(
        &self,
        once: Cost,
        timing: &Timing,
        tz: Option<&str>,
        first: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Cost, DeskError> {
        if !repeats(timing) {
            return Ok(once);
        }
        let times = self.times(timing, tz, first, now)?;
        let micros = once.micros.saturating_mul(times);
        Ok(Cost { month: Some(MonthCost { times, micros }), ..once })
    }

    /// How often a rule fires in the next 30 days.
    fn times(
        &self,
        timing: &Timing,
        tz: Option<&str>,
        first: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<u64, DeskError> {
        let found = self.following(timing, tz, first, COUNTED)?;
        let within = found.iter().filter(|at| **at < now + MONTH).count() as u64;
        let (Some(last), true) = (found.last(), within == COUNTED as u64) else {
            return Ok(within);
        };
        // As often as until now, to the end.
        let (counted, left) = (*last - first, now + MONTH - first);
        let millis = |span: TimeDelta| u64::try_from(span.num_milliseconds()).unwrap_or_default();
        Ok(within.saturating_mul(millis(left)) / millis(counted).max(1))
    }
}

fn repeats(timing: &Timing) -> bool {
    !matches!(timing, Timing::OneShot { .. } | Timing::Unset)
}
