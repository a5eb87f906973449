//! Setting aside what cannot be read: a job whose row makes no sense is a dead letter, its row kept for
//! whoever repairs it, so that it holds back nobody.

use postq_core::id::JobId;
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::kept;
use crate::tx::{Sql, Tx};

/// Jobs that cannot be read, and why.
pub(crate) type Broken = Vec<(JobId, String)>;

/// The rows that can be read, and the jobs, by the column `id`, of those that cannot.
pub(crate) fn readable<T>(
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<(Vec<T>, Broken), Fault> {
    let (mut good, mut broken) = (Vec::with_capacity(rows.len()), Broken::new());
    for row in rows {
        match read(row) {
            Ok(value) => good.push(value),
            Err(fault) if fault.is_unreadable() => {
                broken.push((JobId::from_uuid(row.try_get("id")?), fault.to_string()));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok((good, broken))
}

/// Takes a job out of where it is planned or running; one that has ended as well stays ended. Answers its
/// lane, if it counts there.
const SET_ASIDE: &str = "WITH gone AS (
         DELETE FROM {s}.running WHERE job_id = $1
         RETURNING job_id, lane_id, 'running' AS state, run_at, fence, attempt, enqueued_at, started_at,
             trail),
     unborn AS (
         DELETE FROM {s}.planned WHERE job_id = $1 RETURNING job_id, run_at, trail),
     left_over AS (
         SELECT * FROM gone UNION ALL
         SELECT job_id, NULL, 'planned', run_at, 0, 0, NULL, NULL, trail FROM unborn),
     put AS (
         INSERT INTO {s}.ended (job_id, tenant_id, topic, state, run_at, fence, attempt, reason,
             dead_reason, enqueued_at, started_at, finished_at, trail)
         SELECT o.job_id, j.tenant_id, j.topic, 'dead_letter', o.run_at, o.fence, o.attempt, $2, 'missing',
             o.enqueued_at, o.started_at, clock_timestamp(),
             CASE WHEN o.trail = '' THEN '' ELSE o.trail || ',' END
             || '[' || (extract(epoch FROM clock_timestamp()) * 1000000)::bigint || ',\"' || o.state
             || '\",\"dead_letter\",' || o.fence || ',null,' || $3 || ']'
         FROM left_over o JOIN {s}.job j ON j.id = o.job_id
         ON CONFLICT (job_id) DO NOTHING)
     SELECT gone.lane_id FROM gone JOIN {s}.lanes l ON l.id = gone.lane_id AND NOT l.free";

/// Sets jobs aside.
pub(crate) async fn set_aside(tx: &Tx<'_>, broken: &Broken) -> Result<(), Fault> {
    for (job, why) in broken {
        let reason = format!("its row cannot be read: {}", kept(why));
        tracing::error!(job_id = %job, reason, "set aside");
        let quoted = serde_json::to_string(&reason)?;
        let sql: Sql<'_> = tx.sql;
        for row in sql.rows(SET_ASIDE, args![job.as_uuid(), reason, quoted]).await? {
            tx.touch(row.try_get("lane_id")?, -1);
        }
        tx.wake();
    }
    Ok(())
}
