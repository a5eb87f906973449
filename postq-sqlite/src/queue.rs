//! `Queue`, on a table of its own.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::{QueueError, StoreError};
use postq_core::id::JobId;
use postq_core::job::{Applied, Fence, Lane, Topic};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::changes::About;
use crate::error::{Fault, queue};
use crate::rows::{blob, fence, fence_number, hex_list, micros, time_of};
use crate::store::SqliteStore;
use crate::writer::Tx;

/// The longest time without a look when jobs are leased: nobody tells when a lease ends.
const LOOK_FOR_ENDED_LEASES: TimeDelta = TimeDelta::seconds(1);

/// What can be given out, in order. Walked in that order, so that a few are found without sorting all.
const FREE: &str = "SELECT job_id, lane, rank, run_at, fence FROM queue INDEXED BY queue_order
     WHERE topic = ? AND run_at <= ? AND (leased_until IS NULL OR leased_until <= ?)
     ORDER BY rank, run_at, job_id";

#[async_trait]
impl Queue for SqliteStore {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        let jobs = jobs.to_vec();
        let insert = "INSERT OR IGNORE INTO queue (topic, job_id, lane, rank, run_at)
                      VALUES (?, ?, ?, ?, ?)";
        self.write("push jobs", move |tx| {
            for job in &jobs {
                let (lane, rank) = (job.lane.as_ref().map(Lane::as_str), -i64::from(job.priority));
                let (id, run_at) = (blob(job.id.as_uuid()), micros(job.run_at));
                tx.run(insert, params![job.topic.as_str(), id, lane, rank, run_at])?;
            }
            tx.wake();
            Ok(())
        })
        .await
        .map_err(queue)
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        let wait = TimeDelta::from_std(reserve.wait).unwrap_or(TimeDelta::days(1));
        let until = self.time() + wait;
        loop {
            let mark = self.changes().mark(About::Jobs);
            let (got, next) = self.reserve_now(reserve.clone()).await.map_err(queue)?;
            if !got.is_empty() || self.time() >= until || reserve.limit == 0 {
                return Ok(got);
            }
            let nap = until.min(next);
            self.changes().wait(About::Jobs, mark, nap, self.clock()).await;
        }
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        let leases = leases.to_vec();
        self.write("acknowledge deliveries", move |tx| {
            let delete = "DELETE FROM queue WHERE topic = ? AND job_id = ?";
            let ack = |one: &Lease| {
                held(tx, one, |tx| tx.run(delete, params![one.topic.as_str(), id(one)]))
            };
            leases.iter().map(ack).collect()
        })
        .await
        .map_err(queue)
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        let lease = lease.clone();
        self.write("release a delivery", move |tx| {
            let free = "UPDATE queue SET leased_until = NULL, run_at = ?
                        WHERE topic = ? AND job_id = ?";
            tx.wake();
            held(tx, &lease, |tx| {
                tx.run(free, params![micros(run_at), lease.topic.as_str(), id(&lease)])
            })
        })
        .await
        .map_err(queue)
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        let leases = leases.to_vec();
        self.write_urgently("extend leases", move |tx| {
            let set = "UPDATE queue SET leased_until = ? WHERE topic = ? AND job_id = ?";
            let extend = |one: &Lease| {
                held(tx, one, |tx| {
                    tx.run(set, params![end(tx, lease), one.topic.as_str(), id(one)])
                })
            };
            leases.iter().map(extend).collect()
        })
        .await
        .map_err(queue)
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        let (topic, jobs) = (topic.clone(), hex_list(jobs.iter().map(|id| id.as_uuid())));
        let sql = "DELETE FROM queue
                   WHERE topic = ? AND job_id IN (SELECT unhex(value) FROM json_each(?))";
        self.write("remove jobs", move |tx| {
            tx.run(sql, params![topic.as_str(), jobs])?;
            Ok(())
        })
        .await
        .map_err(queue)
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        let topic = topic.clone();
        self.read("count a topic", move |tx| depth(tx, &topic)).await.map_err(queue)
    }
}

impl SqliteStore {
    /// Reserves what can be had now; tells also when to look again.
    async fn reserve_now(
        &self,
        reserve: Reserve,
    ) -> Result<(Vec<Delivery>, DateTime<Utc>), StoreError> {
        self.write("reserve jobs", move |tx| {
            let got = self::reserve(tx, &reserve)?;
            let next = "SELECT min(run_at) FROM queue WHERE topic = ? AND run_at > ?";
            let next: Option<i64> = tx
                .get(next, params![reserve.topic.as_str(), micros(tx.now)], |row| row.get(0))?
                .flatten();
            let look = tx.now + LOOK_FOR_ENDED_LEASES;
            let next = next.map(time_of).transpose()?.map_or(look, |next| next.min(look));
            Ok((got, next))
        })
        .await
    }
}

fn reserve(tx: &Tx<'_>, reserve: &Reserve) -> Result<Vec<Delivery>, Fault> {
    let mut got: Vec<Delivery> = Vec::new();
    let params = params![reserve.topic.as_str(), micros(tx.now), tx.boot];
    if reserve.limit > 0 {
        tx.walk(FREE, params, |row| {
            let delivery = delivery(row, &reserve.topic)?;
            let lane = delivery.job.lane.as_ref().map_or("", Lane::as_str);
            let skipped = delivery.job.lane.is_some()
                && reserve.skip.iter().any(|prefix| lane.starts_with(prefix.as_str()));
            if !skipped {
                got.push(delivery);
            }
            Ok(got.len() < reserve.limit)
        })?;
    }
    let take = "UPDATE queue SET fence = ?, leased_until = ? WHERE topic = ? AND job_id = ?";
    for Delivery { lease, .. } in &got {
        let topic = lease.topic.as_str();
        tx.run(take, params![fence_number(lease.fence), end(tx, reserve.lease), topic, id(lease)])?;
    }
    Ok(got)
}

fn delivery(row: &Row<'_>, topic: &Topic) -> rusqlite::Result<Delivery> {
    let job = JobId::from_uuid(Uuid::from_bytes(row.get("job_id")?));
    let rank: i64 = row.get("rank")?;
    Ok(Delivery {
        job: QueuedJob {
            id: job,
            topic: topic.clone(),
            lane: row.get::<_, Option<String>>("lane")?.map(Lane::from_raw),
            priority: i16::try_from(-rank).unwrap_or_default(),
            run_at: time_of(row.get("run_at")?)?,
        },
        lease: Lease { job, topic: topic.clone(), fence: Fence(fence(row)?.0 + 1) },
    })
}

/// Does something under a lease, if it is the current one. One that has ended and was not given out
/// again is still current: nobody else has the job.
fn held(
    tx: &Tx<'_>,
    lease: &Lease,
    change: impl FnOnce(&Tx<'_>) -> rusqlite::Result<usize>,
) -> Result<Applied, Fault> {
    let current =
        "SELECT fence, leased_until IS NOT NULL FROM queue WHERE topic = ? AND job_id = ?";
    let current: Option<(i64, bool)> =
        tx.get(current, params![lease.topic.as_str(), id(lease)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok(match current {
        None => Applied::Gone,
        Some((current, true)) if current == fence_number(lease.fence) => {
            change(tx)?;
            Applied::Applied
        }
        Some(_) => Applied::Stale,
    })
}

fn depth(tx: &Tx<'_>, topic: &Topic) -> Result<Depth, Fault> {
    let count = "SELECT count(*) FILTER (WHERE leased_until > ?2),
                     count(*) FILTER (WHERE ifnull(leased_until, 0) <= ?2 AND run_at <= ?3),
                     count(*) FILTER (WHERE ifnull(leased_until, 0) <= ?2 AND run_at > ?3)
                 FROM queue WHERE topic = ?1";
    let number = |row: &Row<'_>, n| row.get::<_, i64>(n).map(i64::unsigned_abs);
    let depth = tx.get(count, params![topic.as_str(), tx.boot, micros(tx.now)], |row| {
        Ok(Depth { leased: number(row, 0)?, ready: number(row, 1)?, delayed: number(row, 2)? })
    })?;
    Ok(depth.unwrap_or_default())
}

fn id(lease: &Lease) -> [u8; 16] {
    blob(lease.job.as_uuid())
}

fn end(tx: &Tx<'_>, lease: Duration) -> i64 {
    tx.boot.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
}
