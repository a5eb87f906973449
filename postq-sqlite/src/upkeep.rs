//! `JobUpkeep`: what the engine's background loops do to jobs.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::StoreError;
use postq_core::feed::Only;
use postq_core::id::JobId;
use postq_core::job::{Lane, Topic};
use postq_core::machine::JobState;
use postq_core::queue::QueuedJob;
use postq_core::store::{JobUpkeep, Page, Retention};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::error::Fault;
use crate::rows::{Paged, hex_list, micros, time_of};
use crate::store::SqliteStore;
use crate::transition::stored;
use crate::writer::Tx;

/// Claimable jobs of a topic that are due by a time, from both of the tables that hold them.
const WAITING: &str = "SELECT job_id, free, name, rank, run_at FROM (
         SELECT job_id, free, name, rank, run_at FROM lanes JOIN due ON due.lane_id = lanes.id
         WHERE topic = ?1 AND run_at <= ?2
         UNION ALL
         SELECT job_id, free, name, rank, later.run_at FROM lanes JOIN later
             ON later.lane_id = lanes.id AND later.run_at <= ?2
         WHERE topic = ?1)
     WHERE job_id {beyond} ?3 ORDER BY job_id {way} LIMIT ?4";

#[async_trait]
impl JobUpkeep for SqliteStore {
    async fn dispatch(&self, only: &Only, limit: usize) -> Result<Vec<QueuedJob>, StoreError> {
        let only = only.clone();
        self.write("dispatch jobs", move |tx| dispatch(tx, &only, bound(limit))).await
    }

    async fn expire(&self, limit: usize) -> Result<Vec<JobId>, StoreError> {
        self.write("expire leases", move |tx| expire(tx, bound(limit))).await
    }

    async fn waiting(
        &self,
        topic: &Topic,
        until: DateTime<Utc>,
        page: Page,
    ) -> Result<Vec<QueuedJob>, StoreError> {
        let (topic, page) = (topic.clone(), Paged::of(page));
        self.read("list waiting jobs", move |tx| {
            let params = params![topic.as_str(), micros(until), page.after, page.limit];
            Ok(tx.all(&page.sql(WAITING), params, |row| queued(row, &topic))?)
        })
        .await
    }

    async fn clean(&self, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        let retention = *retention;
        self.write("clean up jobs", move |tx| clean(tx, &retention, bound(limit))).await
    }
}

/// The most rows of one call: its transaction must not hold up others.
fn bound(limit: usize) -> i64 {
    i64::try_from(limit.min(5_000)).unwrap_or(0)
}

fn dispatch(tx: &Tx<'_>, only: &Only, limit: i64) -> Result<Vec<QueuedJob>, Fault> {
    let planned = match only {
        Only::Any => {
            let sql = "SELECT * FROM jobs WHERE state = 'planned' ORDER BY id LIMIT ?";
            let (planned, broken) = tx.readable(sql, [limit], stored)?;
            for (id, why) in broken {
                tx.set_job_aside(id, &why)?;
            }
            planned
        }
        Only::Jobs(jobs) => {
            let sql = "SELECT * FROM jobs WHERE id IN (SELECT unhex(value) FROM json_each(?))
                       AND state = 'planned' ORDER BY id LIMIT ?";
            tx.all(sql, params![hex_list(jobs.iter().map(|id| id.as_uuid())), limit], stored)?
        }
        Only::Schedules(ids) => {
            let mut jobs = Vec::new();
            let sql = "SELECT * FROM jobs WHERE state = 'planned' ORDER BY id";
            tx.walk(sql, [], |row| {
                let job = stored(row)?;
                if job.job.made.schedule_id.is_some_and(|id| ids.contains(&id)) {
                    jobs.push(job);
                }
                Ok(bound(jobs.len()) < limit)
            })?;
            jobs
        }
    };
    let mut dispatched = Vec::with_capacity(planned.len());
    for mut job in planned {
        tx.step(&mut job, JobState::Enqueued, None, None)?;
        tx.save(&job)?;
        dispatched.push(QueuedJob::from(&job.job));
    }
    Ok(dispatched)
}

fn expire(tx: &Tx<'_>, limit: i64) -> Result<Vec<JobId>, Fault> {
    let ended = "SELECT job_id FROM leases WHERE ends_at <= ? ORDER BY ends_at LIMIT ?";
    let ended: Vec<[u8; 16]> = tx.all(ended, params![tx.boot, limit], |row| row.get(0))?;
    let mut expired = Vec::with_capacity(ended.len());
    for id in ended {
        let id = JobId::from_uuid(Uuid::from_bytes(id));
        let Some(mut job) = tx.job(id)? else {
            return Err(Fault::internal(format!("job {id} has a lease and is in no table")));
        };
        job.job.run_at = tx.now;
        tx.step(&mut job, JobState::Failed, None, Some("lease expired"))?;
        tx.save(&job)?;
        expired.push(id);
    }
    Ok(expired)
}

/// Ended jobs that may be removed, as the indexes have them.
const DONE: &str = "state IN ('succeeded', 'cancelled')";
const RESOLVED: &str = "resolution IS NOT NULL";

fn clean(tx: &Tx<'_>, retention: &Retention, limit: i64) -> Result<u64, Fault> {
    let mut removed = 0;
    let past = before(tx, retention.history);
    for (of, age, keep) in [
        (DONE, retention.ended, retention.keep),
        (RESOLVED, retention.resolved, retention.keep_resolved),
    ] {
        let before = before(tx, age);
        let topics: Vec<String> = tx.all(&topics_sql(of), [], |row| row.get(0))?;
        for topic in topics {
            for (id, root) in old(tx, of, &topic, before, keep, limit - removed)? {
                tx.keep_history(id, past)?;
                remove(tx, id, root)?;
                removed += 1;
            }
        }
    }
    removed += tx.forget_history(past, limit - removed)?;
    Ok(removed.unsigned_abs())
}

/// A job and its root.
type WithRoot = ([u8; 16], [u8; 16]);

/// What of a topic ended by `before`, but not the latest so many.
fn old(
    tx: &Tx<'_>,
    of: &str,
    topic: &str,
    before: i64,
    keep: u64,
    limit: i64,
) -> Result<Vec<WithRoot>, Fault> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let newest =
        tx.get(&newest_sql(of), params![topic, keep], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some((finished_at, id)): Option<(i64, [u8; 16])> = newest else { return Ok(Vec::new()) };
    let params = params![before, finished_at, id, limit, topic];
    Ok(tx.all(&old_sql(of), params, |row| Ok((row.get("id")?, row.get("root")?)))?)
}

/// The topics that have such jobs: one step along the index for each.
fn topics_sql(of: &str) -> String {
    format!(
        "WITH RECURSIVE topics (topic) AS (
             SELECT min(topic) FROM jobs WHERE {of}
             UNION ALL
             SELECT (SELECT min(jobs.topic) FROM jobs WHERE {of} AND jobs.topic > topics.topic)
             FROM topics WHERE topics.topic IS NOT NULL)
         SELECT topic FROM topics WHERE topic IS NOT NULL"
    )
}

/// The latest of a topic but so many.
fn newest_sql(of: &str) -> String {
    format!(
        "SELECT finished_at, id FROM jobs WHERE {of} AND topic = ?
         ORDER BY finished_at DESC, id DESC LIMIT 1 OFFSET ?"
    )
}

/// Some of the oldest of a topic, the ones that are old enough; and so must the moment be that a job's key
/// keeps from being planned.
fn old_sql(of: &str) -> String {
    format!(
        "SELECT id, root FROM jobs
         WHERE {of} AND topic = ?5 AND finished_at <= ?1 AND (finished_at, id) <= (?2, ?3)
           AND (dedupe_key IS NULL OR planned_at <= ?1)
         ORDER BY finished_at, id LIMIT ?4"
    )
}

/// Removes a job with its events. Receipts stay: they tell for good what is ours.
fn remove(tx: &Tx<'_>, id: [u8; 16], root: [u8; 16]) -> Result<(), Fault> {
    tx.run("DELETE FROM job_events WHERE job_id = ?", [id])?;
    tx.run("DELETE FROM jobs WHERE id = ?", [id])?;
    let line = "SELECT 1 FROM jobs WHERE id = ?1 UNION ALL
                SELECT 1 FROM jobs WHERE root = ?1 AND replay_of IS NOT NULL";
    if !tx.has(line, [root])? {
        tx.run("DELETE FROM evidence WHERE root = ? AND remote_id IS NULL", [root])?;
    }
    Ok(())
}

fn before(tx: &Tx<'_>, age: Duration) -> i64 {
    let age = TimeDelta::from_std(age).ok().and_then(|age| age.num_microseconds());
    micros(tx.now).saturating_sub(age.unwrap_or(i64::MAX))
}

fn queued(row: &Row<'_>, topic: &Topic) -> rusqlite::Result<QueuedJob> {
    let free: bool = row.get("free")?;
    let rank: i64 = row.get("rank")?;
    Ok(QueuedJob {
        id: JobId::from_uuid(Uuid::from_bytes(row.get("job_id")?)),
        topic: topic.clone(),
        lane: if free { None } else { Some(Lane::from_raw(row.get::<_, String>("name")?)) },
        priority: i16::try_from(-rank).unwrap_or_default(),
        run_at: time_of(row.get("run_at")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{database, query_plan};

    #[test]
    fn cleaning_uses_its_indexes() {
        let conn = database();
        for (of, index) in [(DONE, "jobs_ended"), (RESOLVED, "jobs_resolved")] {
            for sql in [topics_sql(of), newest_sql(of), old_sql(of)] {
                let plan = query_plan(&conn, &sql);

                assert!(plan.contains(index), "{sql}\n{plan}");
                assert!(!plan.contains("SCAN jobs") && !plan.contains("TEMP"), "{sql}\n{plan}");
            }
        }
    }
}
