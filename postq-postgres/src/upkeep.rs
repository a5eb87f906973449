//! `JobUpkeep`: what the engine's background loops do to jobs.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::StoreError;
use postq_core::feed::Only;
use postq_core::id::{JobId, ScheduleId};
use postq_core::job::{Lane, Topic};
use postq_core::machine::JobState;
use postq_core::queue::QueuedJob;
use postq_core::store::{JobUpkeep, Page, Retention};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::aside::{Broken, set_aside};
use crate::error::Fault;
use crate::history;
use crate::rows::Paged;
use crate::store::PgStore;
use crate::transition::{Stored, load_readable};
use crate::tx::{Sql, Tx, read, together, write};

/// Claimable jobs of a topic that are due by a time, from both of the tables that hold them.
const WAITING: &str = "SELECT job_id, free, name, rank, run_at FROM (
         SELECT d.job_id, l.free, l.name, d.rank, d.run_at
         FROM {s}.lanes l JOIN {s}.due d ON d.lane_id = l.id
         WHERE l.topic = $1 AND d.run_at <= $2
         UNION ALL
         SELECT w.job_id, l.free, l.name, w.rank, w.run_at
         FROM {s}.later w JOIN {s}.lanes l ON l.id = w.lane_id
         WHERE w.topic = $1 AND w.run_at <= $2) AS waiting
     WHERE job_id {beyond} $3 ORDER BY job_id {way} LIMIT $4";

#[async_trait]
impl JobUpkeep for PgStore {
    async fn dispatch(&self, only: &Only, limit: usize) -> Result<Vec<QueuedJob>, StoreError> {
        write!(self, "dispatch jobs", |tx| dispatch(&tx, only, bound(limit)))
    }

    async fn expire(&self, limit: usize) -> Result<Vec<JobId>, StoreError> {
        write!(self, "expire leases", |tx| expire(&tx, bound(limit)))
    }

    async fn waiting(
        &self,
        topic: &Topic,
        until: DateTime<Utc>,
        page: Page,
    ) -> Result<Vec<QueuedJob>, StoreError> {
        let page = Paged::of(page);
        read!(self, "list waiting jobs", |sql| waiting(sql, topic, until, page))
    }

    async fn clean(&self, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        write!(self, "clean up jobs", |tx| clean(&tx, retention, bound(limit)))
    }
}

/// The most rows of one call: its transaction must not hold up others.
fn bound(limit: usize) -> i64 {
    i64::try_from(limit.min(5_000)).unwrap_or(0)
}

async fn ids(
    sql: Sql<'_>,
    statement: &str,
    args: &[crate::args::Arg<'_>],
) -> Result<Vec<JobId>, Fault> {
    sql.all(statement, args, |row| Ok(JobId::from_uuid(row.try_get("job_id")?))).await
}

async fn dispatch(tx: &Tx<'_>, only: &Only, limit: i64) -> Result<Vec<QueuedJob>, Fault> {
    let list: Vec<Uuid> = match only {
        Only::Any => Vec::new(),
        Only::Jobs(jobs) => jobs.iter().map(|id| JobId::as_uuid(*id)).collect(),
        Only::Schedules(all) => all.iter().map(|id| ScheduleId::as_uuid(*id)).collect(),
    };
    let planned = match only {
        Only::Any => {
            let all =
                "SELECT job_id FROM {s}.planned ORDER BY job_id LIMIT $1 FOR UPDATE SKIP LOCKED";
            ids(tx.sql, all, args![limit]).await?
        }
        Only::Jobs(_) => {
            let some = "SELECT job_id FROM {s}.planned WHERE job_id = ANY($1)
                        ORDER BY job_id LIMIT $2 FOR UPDATE SKIP LOCKED";
            ids(tx.sql, some, args![list, limit]).await?
        }
        Only::Schedules(_) => {
            let some = "SELECT job_id FROM {s}.planned WHERE schedule_id = ANY($1)
                        ORDER BY job_id LIMIT $2 FOR UPDATE SKIP LOCKED";
            ids(tx.sql, some, args![list, limit]).await?
        }
    };
    if planned.is_empty() {
        return Ok(Vec::new());
    }
    let ((mut jobs, mut broken), now) = together!(load_readable(tx.sql, &planned), tx.sql.now())?;
    step_all(&mut jobs, &mut broken, |job| job.step(JobState::Enqueued, now, None, None));
    set_aside(tx, &broken).await?;
    tx.move_all(&mut jobs, now).await?;
    Ok(jobs.iter().map(|stored| QueuedJob::from(&stored.job)).collect())
}

async fn expire(tx: &Tx<'_>, limit: i64) -> Result<Vec<JobId>, Fault> {
    let ended = "SELECT job_id FROM {s}.running WHERE lease_until <= now()
                 ORDER BY job_id LIMIT $1 FOR UPDATE SKIP LOCKED";
    let ended = ids(tx.sql, ended, args![limit]).await?;
    if ended.is_empty() {
        return Ok(ended);
    }
    let ((mut jobs, mut broken), now) = together!(load_readable(tx.sql, &ended), tx.sql.now())?;
    step_all(&mut jobs, &mut broken, |job| {
        job.job.run_at = now;
        job.step(JobState::Failed, now, None, Some("lease expired"))
    });
    set_aside(tx, &broken).await?;
    tx.move_all(&mut jobs, now).await?;
    Ok(ended)
}

/// Takes each job a step on. One that cannot take it is broken, and must not hold up the others.
fn step_all(
    jobs: &mut Vec<Stored>,
    broken: &mut Broken,
    step: impl Fn(&mut Stored) -> Result<(), Fault>,
) {
    jobs.retain_mut(|job| match step(job) {
        Ok(()) => true,
        Err(fault) => {
            broken.push((job.job.id(), fault.to_string()));
            false
        }
    });
}

async fn waiting(
    sql: Sql<'_>,
    topic: &Topic,
    until: DateTime<Utc>,
    page: Paged,
) -> Result<Vec<QueuedJob>, Fault> {
    let args = args![topic.as_str(), until, page.after, page.limit];
    sql.all(&page.sql(WAITING), args, |row| queued(row, topic)).await
}

fn queued(row: &Row, topic: &Topic) -> Result<QueuedJob, Fault> {
    let free: bool = row.try_get("free")?;
    let rank: i32 = row.try_get("rank")?;
    Ok(QueuedJob {
        id: JobId::from_uuid(row.try_get("job_id")?),
        topic: topic.clone(),
        lane: if free { None } else { Some(Lane::from_raw(row.try_get::<_, String>("name")?)) },
        priority: i16::try_from(-rank).unwrap_or_default(),
        run_at: row.try_get("run_at")?,
    })
}

/// Ended jobs that may be removed, as the indexes have them.
pub(crate) const DONE: &str = "state <> 'dead_letter'";
pub(crate) const RESOLVED: &str = "resolution IS NOT NULL";

async fn clean(tx: &Tx<'_>, retention: &Retention, limit: i64) -> Result<u64, Fault> {
    let now = tx.sql.now().await?;
    let past = before(now, retention.history);
    let mut removed = 0;
    for (of, age, keep) in [
        (DONE, retention.ended, retention.keep),
        (RESOLVED, retention.resolved, retention.keep_resolved),
    ] {
        let Some(before) = before(now, age) else { continue };
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        let args = args![before, keep, limit - removed];
        let read = |row: &Row| Ok(row.try_get("job_id")?);
        let old: Vec<Uuid> = tx.sql.all(&old_sql(of), args, read).await?;
        if old.is_empty() {
            continue;
        }
        history::keep(tx.sql, &old, past).await?;
        remove(tx.sql, &old).await?;
        removed += i64::try_from(old.len()).unwrap_or(i64::MAX);
    }
    if let Some(past) = past {
        removed += history::forget(tx.sql, past, limit - removed).await?;
    }
    Ok(removed.unsigned_abs())
}

/// Some of the oldest ended jobs of a kind that are old enough, but of no topic the latest so many. Old
/// enough must also be the moment that a job's key keeps from being planned.
///
/// The topics are found in one step along the index for each.
pub(crate) fn old_sql(of: &str) -> String {
    format!(
        "WITH RECURSIVE topics AS (
             (SELECT e.topic FROM {{s}}.ended e WHERE {of} ORDER BY e.topic LIMIT 1)
             UNION ALL
             SELECT (SELECT e.topic FROM {{s}}.ended e WHERE {of} AND e.topic > t.topic
                     ORDER BY e.topic LIMIT 1)
             FROM topics t WHERE t.topic IS NOT NULL)
         SELECT old.job_id FROM topics t
         CROSS JOIN LATERAL (
             SELECT e.finished_at, e.job_id FROM {{s}}.ended e WHERE {of} AND e.topic = t.topic
             ORDER BY e.finished_at DESC, e.job_id DESC LIMIT 1 OFFSET $2) AS newest
         CROSS JOIN LATERAL (
             SELECT e.job_id FROM {{s}}.ended e
             WHERE {of} AND e.topic = t.topic AND e.finished_at <= $1
               AND (e.finished_at, e.job_id) <= (newest.finished_at, newest.job_id)
               AND coalesce((SELECT j.dedupe_key IS NULL OR j.planned_at <= $1
                             FROM {{s}}.job j WHERE j.id = e.job_id), true)
             ORDER BY e.finished_at, e.job_id LIMIT $3 FOR UPDATE OF e SKIP LOCKED) AS old
         LIMIT $3"
    )
}

/// Removes ended jobs with their events. Receipts stay: they tell for good what is ours.
async fn remove(sql: Sql<'_>, ids: &[Uuid]) -> Result<(), Fault> {
    let ids = ids.to_vec();
    sql.run("DELETE FROM {s}.ended WHERE job_id = ANY($1)", args![ids]).await?;
    sql.run("DELETE FROM {s}.old_trails WHERE job_id = ANY($1)", args![ids]).await?;
    let roots: Vec<Uuid> = sql
        .all("DELETE FROM {s}.job WHERE id = ANY($1) RETURNING root", args![ids], |row| {
            Ok(row.try_get("root")?)
        })
        .await?;
    // A line keeps what it sent until its last job is gone.
    sql.run(
        "DELETE FROM {s}.evidence e WHERE e.root = ANY($1) AND e.remote_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM {s}.job j WHERE j.id = e.root)
           AND NOT EXISTS (SELECT 1 FROM {s}.job j WHERE j.root = e.root AND j.replay_of IS NOT NULL)",
        args![roots],
    )
    .await?;
    Ok(())
}

/// What ended before then is old enough; none if nothing can be.
fn before(now: DateTime<Utc>, age: Duration) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(TimeDelta::from_std(age).ok()?)
}
