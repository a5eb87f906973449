//! Planning: due schedules become jobs, in one transaction.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::chain;
use postq_core::feed::{Mark, Only};
use postq_core::id::{AccountId, ScheduleId};
use postq_core::job::{Job, Lane, NewJob};
use postq_core::machine::JobState;
use postq_core::platform::PlatformName;
use postq_core::schedule::{Occurrence, ResolveRequest, Resolver, Schedule, Verdict};
use postq_core::store::{MissedJob, PlanRequest, Planned};
use rusqlite::{Row, params};

use crate::claim::earlier;
use crate::error::Fault;
use crate::rows::{blob, hex_list, micros, some_micros, time_of};
use crate::schedules::schedule;
use crate::writer::Tx;

/// Occurrences of one schedule in one transaction.
const OCCURRENCES: usize = 1_000;

/// Jobs made in one transaction; the rest follows with the next call.
const JOBS: usize = 5_000;

/// Enabled schedules with an occurrence up to a time, of posts that are planned early or not.
pub(crate) const DUE: &str = "SELECT * FROM schedules
     WHERE enabled = 1 AND next_run_at IS NOT NULL AND early = ?1 AND next_run_at <= ?2
     ORDER BY next_run_at LIMIT ?3";

pub(crate) const NEXT: &str = "SELECT min(next_run_at) FROM schedules
     WHERE enabled = 1 AND next_run_at IS NOT NULL AND early = ?1";

/// The same among some schedules.
const DUE_OF: &str = "SELECT * FROM schedules
     WHERE id IN (SELECT unhex(value) FROM json_each(?4))
       AND enabled = 1 AND next_run_at IS NOT NULL AND early = ?1 AND next_run_at <= ?2
     ORDER BY next_run_at LIMIT ?3";

const NEXT_OF: &str = "SELECT min(next_run_at) FROM schedules
     WHERE id IN (SELECT unhex(value) FROM json_each(?2))
       AND enabled = 1 AND next_run_at IS NOT NULL AND early = ?1";

/// Plans, in the open transaction.
pub(crate) fn plan(
    tx: &Tx<'_>,
    request: &PlanRequest,
    resolver: &dyn Resolver,
    mark: Mark,
) -> Result<Planned, Fault> {
    let planned = Planned { now: tx.now, mark, ..Planned::default() };
    let mut planner = Planner {
        tx,
        request,
        resolver,
        list: match &request.only {
            Only::Any => None,
            Only::Jobs(_) => return Ok(planned),
            Only::Schedules(ids) => Some(hex_list(ids.iter().map(|id| id.as_uuid()))),
        },
        accounts: HashMap::new(),
        planned,
    };
    for (early, ahead) in [(false, request.look_ahead), (true, request.prepare_ahead)] {
        planner.plan_due(early, ahead)?;
    }
    planner.planned.next_at = planner.next_at()?.map(time_of).transpose()?;
    Ok(planner.planned)
}

struct Planner<'a> {
    tx: &'a Tx<'a>,
    request: &'a PlanRequest,
    resolver: &'a dyn Resolver,
    list: Option<String>,
    accounts: HashMap<AccountId, Option<Known>>,
    planned: Planned,
}

/// What is known of an account.
#[derive(Clone)]
struct Known {
    name: String,
    platform: PlatformName,
}

/// An account that a schedule is for.
struct Target {
    account: AccountId,
    lane: Lane,
    known: Known,
}

impl Planner<'_> {
    fn plan_due(&mut self, early: bool, ahead: Duration) -> Result<(), Fault> {
        let until = self.tx.now + delta(ahead);
        let limit = self.request.limit;
        let read = |row: &Row<'_>| schedule(row);
        let bound = i64::try_from(limit).unwrap_or(i64::MAX);
        let until_micros = micros(until);
        let (due, broken) = match &self.list {
            None => self.tx.readable(DUE, params![early, until_micros, bound], read)?,
            Some(list) => {
                self.tx.readable(DUE_OF, params![early, until_micros, bound, list], read)?
            }
        };
        self.planned.more |= due.len() + broken.len() >= limit;
        for (id, why) in broken {
            self.switch_off(ScheduleId::from_uuid(uuid::Uuid::from_bytes(id)), why)?;
        }
        for schedule in due {
            if self.planned.jobs.len() >= JOBS {
                self.planned.more = true;
                break;
            }
            if let Err(problem) = self.plan_one(&schedule, until)? {
                self.switch_off(schedule.id, problem)?;
            }
        }
        Ok(())
    }

    /// Plans one schedule; the inner error is what is wrong with it.
    fn plan_one(
        &mut self,
        schedule: &Schedule,
        until: DateTime<Utc>,
    ) -> Result<Result<(), String>, Fault> {
        let post = blob(schedule.post_id.as_uuid());
        if !self.tx.has("SELECT 1 FROM posts WHERE id = ?", [post])? {
            return Ok(Err(format!("its post {} is gone", schedule.post_id)));
        }
        let mut targets = Vec::new();
        for &account in &schedule.accounts {
            match self.known(account)? {
                Some(known) => {
                    let lane = Lane::of(&known.platform, account);
                    targets.push(Target { account, lane, known });
                }
                None => return Ok(Err(format!("its account {account} is gone"))),
            }
        }
        let request = ResolveRequest { now: self.tx.now, until, limit: OCCURRENCES };
        let resolved = match self.resolver.resolve(schedule, request) {
            Ok(resolved) => resolved,
            Err(error) => return Ok(Err(chain(&error))),
        };
        if resolved.occurrences.is_empty() && resolved.next_run_at.is_some_and(|at| at <= until) {
            return Ok(Err("it does not get on: its rule gives no occurrence".to_owned()));
        }
        for occurrence in &resolved.occurrences {
            self.plan_occurrence(schedule, *occurrence, &targets)?;
        }
        self.planned.more |= resolved.next_run_at.is_some_and(|next| next <= until);
        let last = resolved.occurrences.last().map(|last| last.planned_at);
        self.tx.run(
            "UPDATE schedules SET next_run_at = ?, last_run_at = coalesce(?, last_run_at)
             WHERE id = ?",
            params![
                some_micros(resolved.next_run_at),
                some_micros(last),
                blob(schedule.id.as_uuid())
            ],
        )?;
        Ok(Ok(()))
    }

    fn plan_occurrence(
        &mut self,
        schedule: &Schedule,
        occurrence: Occurrence,
        targets: &[Target],
    ) -> Result<(), Fault> {
        let mut missed = 0;
        for target in targets {
            let (account, lane) = (target.account, target.lane.clone());
            let job = Job::from_new(NewJob {
                max_attempts: self.request.max_attempts,
                ..NewJob::occurrence(schedule, occurrence.planned_at, account, lane)
            });
            let Some(mut stored) = self.tx.make(&job, Some(self.request.node))? else { continue };
            match occurrence.verdict {
                Verdict::Fire => self.planned.jobs.push(job.id()),
                Verdict::Missed { and_older } => {
                    let (node, reason) = (Some(self.request.node), occurrence.verdict.missed());
                    self.tx.step(&mut stored, JobState::Cancelled, node, reason.as_deref())?;
                    self.tx.save(&stored)?;
                    missed = 1 + and_older;
                    self.follow_up(&job.made, &target.known, &reason.unwrap_or_default())?;
                }
            }
        }
        self.planned.missed += missed;
        Ok(())
    }

    /// Makes what follows from a missed job.
    fn follow_up(&self, job: &NewJob, account: &Known, reason: &str) -> Result<(), Fault> {
        let Some(follow_up) = &self.request.follow_up else { return Ok(()) };
        let Known { name, platform } = account;
        let missed = MissedJob { job, account: name, platform, reason, now: self.tx.now };
        if let Some(next) = follow_up.of_missed(missed) {
            self.tx.enqueue_new(&next, Some(self.request.node))?;
        }
        Ok(())
    }

    fn known(&mut self, account: AccountId) -> Result<Option<Known>, Fault> {
        if let Some(known) = self.accounts.get(&account) {
            return Ok(known.clone());
        }
        let sql = "SELECT name, platform FROM accounts WHERE id = ?";
        let known = self.tx.get(sql, [blob(account.as_uuid())], |row| {
            let platform = crate::rows::word::<PlatformName>(row, "platform")?;
            Ok(Known { name: row.get("name")?, platform })
        })?;
        self.accounts.insert(account, known.clone());
        Ok(known)
    }

    fn switch_off(&mut self, schedule: ScheduleId, problem: String) -> Result<(), Fault> {
        let off = "UPDATE schedules SET enabled = 0, problem = ? WHERE id = ?";
        self.tx.run(off, params![problem, blob(schedule.as_uuid())])?;
        self.planned.broken.push((schedule, problem));
        Ok(())
    }

    /// When a call has something to plan again: the next occurrence, less what it is planned ahead.
    fn next_at(&self) -> Result<Option<i64>, Fault> {
        let first = |early: bool, ahead: Duration| -> Result<Option<i64>, Fault> {
            let read = |row: &Row<'_>| row.get::<_, Option<i64>>(0);
            let next = match &self.list {
                None => self.tx.get(NEXT, params![early], read)?,
                Some(list) => self.tx.get(NEXT_OF, params![early, list], read)?,
            };
            let ahead = delta(ahead).num_microseconds().unwrap_or(i64::MAX);
            Ok(next.flatten().map(|next| next.saturating_sub(ahead)))
        };
        let (late, early) = (self.request.look_ahead, self.request.prepare_ahead);
        Ok(earlier(first(false, late)?, first(true, early)?))
    }
}

/// The longest look-ahead: a bound that keeps times within what can be stored.
const LONGEST: TimeDelta = TimeDelta::days(3_660);

fn delta(ahead: Duration) -> TimeDelta {
    TimeDelta::from_std(ahead).map_or(LONGEST, |ahead| ahead.min(LONGEST))
}
