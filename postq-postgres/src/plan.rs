//! Planning: due schedules become jobs, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::chain;
use postq_core::feed::{Mark, Only};
use postq_core::id::{AccountId, JobId, ScheduleId};
use postq_core::job::{Job, Lane, NewJob};
use postq_core::platform::PlatformName;
use postq_core::schedule::{Occurrence, ResolveRequest, Resolver, Schedule, Verdict};
use postq_core::store::{MissedJob, PlanRequest, Planned};
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::make::{Begins, Birth};
use crate::rows::{micros, whole, word};
use crate::schedules::schedule;
use crate::tx::{Tx, together};

/// Occurrences of one schedule in one transaction.
const OCCURRENCES: usize = 1_000;

/// Jobs made in one transaction; the rest follows with the next call.
const JOBS: usize = 5_000;

/// When to look again for schedules that somebody else is planning right now.
const BUSY: TimeDelta = TimeDelta::milliseconds(50);

/// Enabled schedules with an occurrence up to a time, of posts that are planned early or not.
pub(crate) fn due_sql(early: bool, listed: bool) -> String {
    let (early, listed) = (planned_early(early), if listed { "AND id = ANY($3)" } else { "" });
    format!(
        "SELECT * FROM {{s}}.schedules
         WHERE enabled AND {early} AND next_run_at <= now() + $1 * interval '1 microsecond' {listed}
         ORDER BY next_run_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    )
}

pub(crate) fn next_sql(early: bool, listed: bool) -> String {
    let (early, listed) = (planned_early(early), if listed { "AND id = ANY($1)" } else { "" });
    format!("SELECT min(next_run_at) FROM {{s}}.schedules WHERE enabled AND {early} {listed}")
}

// Literal, so that the index for it can be used.
pub(crate) fn planned_early(early: bool) -> &'static str {
    if early { "early" } else { "NOT early" }
}

/// Plans, in the open transaction.
pub(crate) async fn plan(
    tx: &Tx<'_>,
    request: &PlanRequest,
    resolver: &dyn Resolver,
    mark: Mark,
) -> Result<Planned, Fault> {
    let now = tx.sql.now().await?;
    let mut planner = Planner {
        tx,
        request,
        resolver,
        list: match &request.only {
            Only::Any => None,
            Only::Jobs(_) => return Ok(Planned { now, mark, ..Planned::default() }),
            Only::Schedules(ids) => Some(ids.iter().map(|id| id.as_uuid()).collect()),
        },
        births: Vec::new(),
        moved: Vec::new(),
        planned: Planned { now, mark, ..Planned::default() },
    };
    for (early, ahead) in [(false, request.look_ahead), (true, request.prepare_ahead)] {
        planner.plan_due(early, ahead).await?;
    }
    planner.write().await?;
    planner.tell_next().await?;
    Ok(planner.planned)
}

struct Planner<'a> {
    tx: &'a Tx<'a>,
    request: &'a PlanRequest,
    resolver: &'a dyn Resolver,
    list: Option<Vec<Uuid>>,
    births: Vec<Found>,
    moved: Vec<Moved>,
    planned: Planned,
}

/// An occurrence for one account.
struct Found {
    birth: Birth,
    occurrence: Occurrence,
    /// What follows if it is new, and missed.
    follow_up: Option<Birth>,
}

/// A schedule after it was planned.
struct Moved {
    id: ScheduleId,
    next: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
    problem: Option<String>,
}

/// What the schedules of a batch need.
struct Around {
    posts: BTreeSet<Uuid>,
    accounts: BTreeMap<AccountId, Known>,
}

/// What is known of an account.
struct Known {
    name: String,
    platform: PlatformName,
}

impl Planner<'_> {
    async fn plan_due(&mut self, early: bool, ahead: Duration) -> Result<(), Fault> {
        let (due, broken) = self.due(early, ahead).await?;
        self.planned.more |= due.len() + broken.len() >= self.request.limit;
        for (id, problem) in broken {
            self.switch_off(id, problem);
        }
        let around = self.around(&due).await?;
        let until = self.planned.now + TimeDelta::microseconds(micros(ahead));
        for schedule in due {
            if self.births.len() >= JOBS {
                self.planned.more = true;
                break;
            }
            if let Err(problem) = self.plan_one(&schedule, until, &around) {
                self.switch_off(schedule.id, problem);
            }
        }
        Ok(())
    }

    /// Due schedules, locked; and those whose rows cannot be read, with the reason.
    async fn due(
        &self,
        early: bool,
        ahead: Duration,
    ) -> Result<(Vec<Schedule>, Vec<(ScheduleId, String)>), Fault> {
        let limit = i64::try_from(self.request.limit).unwrap_or(i64::MAX);
        let ahead = micros(ahead);
        let sql = due_sql(early, self.list.is_some());
        let rows = match &self.list {
            None => self.tx.sql.rows(&sql, args![ahead, limit]).await?,
            Some(list) => self.tx.sql.rows(&sql, args![ahead, limit, *list]).await?,
        };
        let (mut due, mut broken) = (Vec::new(), Vec::new());
        for row in &rows {
            match schedule(row) {
                Ok(schedule) => due.push(schedule),
                Err(fault) if fault.is_unreadable() => {
                    let id = ScheduleId::from_uuid(row.try_get("id")?);
                    broken.push((id, format!("its row cannot be read: {fault}")));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok((due, broken))
    }

    /// Which posts are there, and on which platforms the accounts are; the accounts stay for as long as
    /// this transaction is open.
    async fn around(&self, due: &[Schedule]) -> Result<Around, Fault> {
        let posts: BTreeSet<Uuid> = due.iter().map(|schedule| schedule.post_id.as_uuid()).collect();
        let accounts: BTreeSet<Uuid> =
            due.iter().flat_map(|schedule| &schedule.accounts).map(|id| id.as_uuid()).collect();
        let (posts, accounts): (Vec<_>, Vec<_>) =
            (posts.into_iter().collect(), accounts.into_iter().collect());
        let sql = self.tx.sql;
        let find_posts = "SELECT id FROM {s}.posts WHERE id = ANY($1)";
        let find_accounts = "SELECT id, name, platform FROM {s}.accounts WHERE id = ANY($1) ORDER BY id FOR KEY SHARE";
        let (posts, accounts) = together!(
            sql.all(find_posts, args![posts], |row| Ok(row.try_get("id")?)),
            sql.all(find_accounts, args![accounts], |row| {
                let known = Known { name: row.try_get("name")?, platform: word(row, "platform")? };
                Ok((AccountId::from_uuid(row.try_get("id")?), known))
            }),
        )?;
        Ok(Around { posts: posts.into_iter().collect(), accounts: accounts.into_iter().collect() })
    }

    /// Plans one schedule; an error says what is wrong with it.
    fn plan_one(
        &mut self,
        schedule: &Schedule,
        until: DateTime<Utc>,
        around: &Around,
    ) -> Result<(), String> {
        if !around.posts.contains(&schedule.post_id.as_uuid()) {
            return Err(format!("its post {} is gone", schedule.post_id));
        }
        let mut targets = Vec::with_capacity(schedule.accounts.len());
        for account in &schedule.accounts {
            let known = around.accounts.get(account);
            let known = known.ok_or_else(|| format!("its account {account} is gone"))?;
            targets.push((*account, Lane::of(&known.platform, *account), known));
        }
        let request = ResolveRequest { now: self.planned.now, until, limit: OCCURRENCES };
        let resolved = self.resolver.resolve(schedule, request).map_err(|error| chain(&error))?;
        let next = resolved.next_run_at.map(whole);
        if resolved.occurrences.is_empty() && next.is_some_and(|at| at <= until) {
            return Err("it does not get on: its rule gives no occurrence".to_owned());
        }
        for occurrence in &resolved.occurrences {
            let occurrence = Occurrence { planned_at: whole(occurrence.planned_at), ..*occurrence };
            for (account, lane, known) in &targets {
                let birth = self.birth(schedule, occurrence, *account, lane);
                let follow_up = self.follow_up(&birth, known);
                self.births.push(Found { birth, occurrence, follow_up });
            }
        }
        self.planned.more |= next.is_some_and(|next| next <= until);
        let last = resolved.occurrences.last().map(|last| whole(last.planned_at));
        self.moved.push(Moved { id: schedule.id, next, last, problem: None });
        Ok(())
    }

    fn birth(
        &self,
        schedule: &Schedule,
        occurrence: Occurrence,
        account: AccountId,
        lane: &Lane,
    ) -> Birth {
        let job = Job::from_new(NewJob {
            max_attempts: self.request.max_attempts,
            ..NewJob::occurrence(schedule, occurrence.planned_at, account, lane.clone())
        });
        let begins = match occurrence.verdict {
            Verdict::Fire => Begins::Planned,
            Verdict::Missed { .. } => Begins::Cancelled,
        };
        let reason = occurrence.verdict.missed();
        Birth { job, begins, node: Some(self.request.node), reason }
    }

    /// What follows from a job, if it is missed.
    fn follow_up(&self, birth: &Birth, account: &Known) -> Option<Birth> {
        let (follow_up, reason) = (self.request.follow_up.as_ref()?, birth.reason.as_deref()?);
        let (job, now) = (&birth.job.made, self.planned.now);
        let Known { name, platform } = account;
        let next = follow_up.of_missed(MissedJob { job, account: name, platform, reason, now })?;
        Some(Birth::enqueued(&next, Some(self.request.node)))
    }

    fn switch_off(&mut self, id: ScheduleId, problem: String) {
        self.moved.push(Moved { id, next: None, last: None, problem: Some(problem.clone()) });
        self.planned.broken.push((id, problem));
    }

    /// Makes the jobs and moves the schedules on.
    async fn write(&mut self) -> Result<(), Fault> {
        let found = std::mem::take(&mut self.births);
        let births: Vec<Birth> = found.iter().map(|found| found.birth.clone()).collect();
        let made = self.tx.make(&births, self.planned.now).await?;
        let made: BTreeSet<JobId> = made.into_iter().collect();
        let (mut missed, mut follow_ups) = (BTreeMap::new(), Vec::new());
        for Found { birth, occurrence, follow_up } in found {
            let job = &birth.job;
            match occurrence.verdict {
                _ if !made.contains(&job.id()) => {}
                Verdict::Fire => self.planned.jobs.push(job.id()),
                // Once for all its accounts.
                Verdict::Missed { and_older } => {
                    missed.insert((job.made.schedule_id, occurrence.planned_at), 1 + and_older);
                    follow_ups.extend(follow_up);
                }
            }
        }
        self.tx.make(&follow_ups, self.planned.now).await?;
        self.planned.missed += missed.values().sum::<u64>();
        self.move_on().await
    }

    async fn move_on(&mut self) -> Result<(), Fault> {
        if self.moved.is_empty() {
            return Ok(());
        }
        // One that is switched off keeps its place: mended, it goes on from there.
        let on = "UPDATE {s}.schedules s SET
                 next_run_at = CASE WHEN m.problem IS NULL THEN m.next ELSE s.next_run_at END,
                 last_run_at = coalesce(m.last, s.last_run_at),
                 enabled = m.problem IS NULL,
                 problem = coalesce(m.problem, s.problem)
             FROM unnest($1, $2, $3, $4) AS m (id, next, last, problem) WHERE s.id = m.id";
        let moved = &self.moved;
        let args = args![
            moved.iter().map(|one| one.id.as_uuid()).collect::<Vec<_>>(),
            moved.iter().map(|one| one.next).collect::<Vec<_>>(),
            moved.iter().map(|one| one.last).collect::<Vec<_>>(),
            moved.iter().map(|one| one.problem.as_deref()).collect::<Vec<_>>(),
        ];
        self.tx.sql.run(on, args).await?;
        Ok(())
    }

    /// Tells when a call has something to plan again: the next occurrence, less what it is planned
    /// ahead.
    async fn tell_next(&mut self) -> Result<(), Fault> {
        let (late, early) = (self.request.look_ahead, self.request.prepare_ahead);
        let mut next = None;
        for (is_early, ahead) in [(false, late), (true, early)] {
            let sql = next_sql(is_early, self.list.is_some());
            let row = match &self.list {
                None => self.tx.sql.first(&sql, args![]).await?,
                Some(list) => self.tx.sql.first(&sql, args![*list]).await?,
            };
            let first: Option<DateTime<Utc>> = row.map(|row| row.try_get(0)).transpose()?.flatten();
            let at = first.map(|at| at - TimeDelta::microseconds(micros(ahead)));
            next = next.into_iter().chain(at).min();
        }
        let planned = &mut self.planned;
        if next.is_some_and(|at| at <= planned.now) && !planned.more {
            // What is due and was not ours to plan, somebody else is planning.
            next = Some(planned.now + BUSY);
        }
        planned.next_at = next;
        Ok(())
    }
}
