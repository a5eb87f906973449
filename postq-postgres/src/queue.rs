//! `Queue`, on a table of its own.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::{QueueError, StoreError};
use postq_core::id::JobId;
use postq_core::job::{Applied, Fence, Lane, Topic};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::{Arg, args};
use crate::changes::About;
use crate::error::{Fault, queue};
use crate::rows::{fence, fence_number, micros, whole};
use crate::store::PgStore;
use crate::tx::{Sql, Tx, read, together, write};

/// The longest time without a look while somebody waits: nobody tells when a lease ends.
const LOOK_FOR_ENDED_LEASES: TimeDelta = TimeDelta::seconds(1);

/// Jobs that become ready in one call; the rest follows with the next.
const PROMOTE: i64 = 5_000;

const PROMOTE_SQL: &str = "UPDATE {s}.queue SET ready = true, leased = false
     WHERE ctid = ANY (ARRAY (
         SELECT ctid FROM {s}.queue WHERE topic = $1 AND NOT ready AND free_at <= now()
         ORDER BY free_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Takes what is ready, in order, and tells its new fences: they rise over all jobs, so that one that
/// was forgotten and pushed again does not begin anew.
pub(crate) const RESERVE: &str = "WITH picked AS MATERIALIZED (
         SELECT ctid AS place FROM {s}.queue q WHERE topic = $1 AND ready
           AND (lane IS NULL OR NOT EXISTS (
               SELECT 1 FROM unnest($2) AS s (scope) WHERE starts_with(q.lane, s.scope)))
         ORDER BY rank, run_at, job_id LIMIT $3 FOR UPDATE SKIP LOCKED),
     taken AS (
         UPDATE {s}.queue SET ready = false, leased = true, fence = nextval('{s}.queue_fence'),
             free_at = clock_timestamp() + $4 * interval '1 microsecond'
         WHERE ctid = ANY (ARRAY (SELECT place FROM picked))
         RETURNING job_id, lane, rank, run_at, fence)
     SELECT * FROM taken ORDER BY rank, run_at, job_id";

#[async_trait]
impl Queue for PgStore {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        write!(self, "push jobs", |tx| push(&tx, jobs)).map_err(queue)
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        let wait = TimeDelta::from_std(reserve.wait).unwrap_or(TimeDelta::days(1));
        let mut until = None;
        loop {
            let mark = self.changes().mark(About::Jobs);
            let (got, now, next) = self.reserve_now(reserve).await.map_err(queue)?;
            let until = *until.get_or_insert(now + wait);
            if !got.is_empty() || now >= until || reserve.limit == 0 {
                return Ok(got);
            }
            let nap = until.min(next.unwrap_or(until)).min(now + LOOK_FOR_ENDED_LEASES);
            self.wait_for(About::Jobs, mark, nap).await.map_err(queue)?;
        }
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        read!(self, "acknowledge deliveries", |sql| change(sql, leases, ACK, None)).map_err(queue)
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        write!(self, "release a delivery", |tx| release(&tx, lease, whole(run_at))).map_err(queue)
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        let urgent = self.urgently();
        read!(urgent, "extend leases", |sql| extend(sql, leases, lease)).map_err(queue)
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        let ids: Vec<Uuid> = jobs.iter().map(|id| id.as_uuid()).collect();
        let remove = "DELETE FROM {s}.queue WHERE topic = $1 AND job_id = ANY($2)";
        let args = args![topic.as_str(), ids];
        read!(self, "remove jobs", |sql| sql.run(remove, args)).map_err(queue)?;
        Ok(())
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        read!(self, "count a topic", |sql| depth(sql, topic)).map_err(queue)
    }
}

impl PgStore {
    /// Reserves what can be had now; tells the time, and when there is more to be had.
    async fn reserve_now(
        &self,
        reserve: &Reserve,
    ) -> Result<(Vec<Delivery>, DateTime<Utc>, Option<DateTime<Utc>>), StoreError> {
        let asked = Instant::now();
        let got = write!(self, "reserve jobs", |tx| take(&tx, reserve))?;
        self.clock().told(got.1, asked);
        Ok(got)
    }
}

async fn push(tx: &Tx<'_>, jobs: &[QueuedJob]) -> Result<(), Fault> {
    let mut sorted: Vec<&QueuedJob> = jobs.iter().collect();
    // Two that push the same meet in the same order.
    sorted.sort_by_key(|job| (&job.topic, job.id));
    let push =
        "INSERT INTO {s}.queue (topic, job_id, lane, rank, run_at, ready, leased, free_at, fence)
         SELECT g.topic, g.job_id, g.lane, g.rank, g.run_at, g.run_at <= now(), false, g.run_at, 0
         FROM unnest($1, $2, $3, $4, $5) AS g (topic, job_id, lane, rank, run_at)
         ON CONFLICT (topic, job_id) DO NOTHING";
    let args = args![
        sorted.iter().map(|job| job.topic.as_str()).collect::<Vec<_>>(),
        sorted.iter().map(|job| job.id.as_uuid()).collect::<Vec<_>>(),
        sorted.iter().map(|job| job.lane.as_ref().map(Lane::as_str)).collect::<Vec<_>>(),
        sorted.iter().map(|job| -i32::from(job.priority)).collect::<Vec<_>>(),
        sorted.iter().map(|job| whole(job.run_at)).collect::<Vec<_>>(),
    ];
    tx.sql.run(push, args).await?;
    tx.wake();
    Ok(())
}

async fn take(
    tx: &Tx<'_>,
    reserve: &Reserve,
) -> Result<(Vec<Delivery>, DateTime<Utc>, Option<DateTime<Utc>>), Fault> {
    let topic = reserve.topic.as_str();
    let limit = i64::try_from(reserve.limit.min(5_000)).unwrap_or(0);
    let next = "SELECT min(free_at) AS next FROM {s}.queue WHERE topic = $1 AND NOT ready";
    let taking = args![topic, reserve.skip, limit, micros(reserve.lease)];
    let (_, got, next, now) = together!(
        tx.sql.run(PROMOTE_SQL, args![topic, PROMOTE]),
        tx.sql.all(RESERVE, taking, |row| delivery(row, &reserve.topic)),
        tx.sql.first(next, args![topic]),
        tx.sql.now(),
    )?;
    let next = next.map(|row| row.try_get("next")).transpose()?.flatten();
    Ok((got, now, next))
}

fn delivery(row: &Row, topic: &Topic) -> Result<Delivery, Fault> {
    let job = JobId::from_uuid(row.try_get("job_id")?);
    let rank: i32 = row.try_get("rank")?;
    Ok(Delivery {
        job: QueuedJob {
            id: job,
            topic: topic.clone(),
            lane: row.try_get::<_, Option<String>>("lane")?.map(Lane::from_raw),
            priority: i16::try_from(-rank).unwrap_or_default(),
            run_at: row.try_get("run_at")?,
        },
        lease: Lease { job, topic: topic.clone(), fence: Fence(fence(row)?.0) },
    })
}

/// Changes the deliveries of a batch, each if it is its lease's, and tells of each whether it was. One
/// whose lease has ended and that was not given out again is still its holder's: nobody else has the
/// job. Rows are locked in one order, so that two batches never wait in a circle, and changed by their
/// key: one that was changed since this statement began has another place by now.
pub(crate) fn change_sql(change: &str) -> String {
    format!(
        "WITH given AS MATERIALIZED (
            SELECT * FROM unnest($1, $2, $3) WITH ORDINALITY AS g (topic, job_id, fence, n)),
         there AS MATERIALIZED (
            SELECT q.topic, q.job_id, g.n, q.leased AND q.fence = g.fence AS held
            FROM given g JOIN {{s}}.queue q ON q.topic = g.topic AND q.job_id = g.job_id
            ORDER BY q.topic, q.job_id FOR UPDATE OF q),
         changed AS (
            {change} WHERE topic = ANY (ARRAY (SELECT DISTINCT topic FROM there WHERE held))
              AND job_id = ANY (ARRAY (SELECT job_id FROM there WHERE held))
              AND (topic, job_id) IN (SELECT topic, job_id FROM there WHERE held))
         SELECT t.held FROM given g LEFT JOIN there t ON t.n = g.n ORDER BY g.n"
    )
}

pub(crate) const ACK: &str = "DELETE FROM {s}.queue";

const RELEASE: &str =
    "UPDATE {s}.queue SET leased = false, run_at = $4, free_at = $4, ready = $4 <= now()";

pub(crate) const EXTEND: &str =
    "UPDATE {s}.queue SET free_at = clock_timestamp() + $4 * interval '1 microsecond'";

async fn change(
    sql: Sql<'_>,
    leases: &[Lease],
    change: &str,
    more: Option<Arg<'_>>,
) -> Result<Vec<Applied>, Fault> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let topics: Vec<_> = leases.iter().map(|lease| lease.topic.as_str()).collect();
    let ids: Vec<_> = leases.iter().map(id).collect();
    let fences: Vec<_> = leases.iter().map(|lease| fence_number(lease.fence)).collect();
    let args: Vec<Arg<'_>> = args![topics, ids, fences].iter().copied().chain(more).collect();
    sql.all(&change_sql(change), &args, |row| {
        Ok(match row.try_get("held")? {
            Some(true) => Applied::Applied,
            Some(false) => Applied::Stale,
            None => Applied::Gone,
        })
    })
    .await
}

async fn release(tx: &Tx<'_>, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, Fault> {
    tx.wake();
    let answers = change(tx.sql, std::slice::from_ref(lease), RELEASE, Some(&run_at)).await?;
    answers.first().copied().ok_or_else(|| Fault::internal("a question was not answered"))
}

async fn extend(sql: Sql<'_>, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, Fault> {
    change(sql, leases, EXTEND, Some(&micros(lease))).await
}

async fn depth(sql: Sql<'_>, topic: &Topic) -> Result<Depth, Fault> {
    let count = "SELECT count(*) FILTER (WHERE leased AND free_at > now()) AS leased,
             count(*) FILTER (WHERE ready OR free_at <= now()) AS ready,
             count(*) FILTER (WHERE NOT ready AND NOT leased AND free_at > now()) AS delayed
         FROM {s}.queue WHERE topic = $1";
    let Some(row) = sql.first(count, args![topic.as_str()]).await? else {
        return Ok(Depth::default());
    };
    let number = |column: &str| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(Depth { leased: number("leased")?, ready: number("ready")?, delayed: number("delayed")? })
}

fn id(lease: &Lease) -> Uuid {
    lease.job.as_uuid()
}
