//! Settling what is plain: a job that publishes nothing has succeeded, and nothing follows from it. One
//! statement moves a whole batch from `running` to `ended`; what it does not find as it expects (an older
//! fence, a publish job, a long trail, one that goes first for its app, a row that somebody else has
//! locked) is left for the careful way, in the next transaction.

use std::collections::{BTreeMap, HashSet};

use postq_core::feed::{Settle, Settlement};
use postq_core::id::{JobId, NodeId};
use postq_core::job::Held;
use postq_core::machine::JobState;
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{fence_number, kept};
use crate::settle::digest;
use crate::trail::{LONG, added_in_sql};
use crate::tx::Tx;

/// The statement. Parameters: jobs, fences, what tells each settlement from others, reasons, reasons as
/// JSON, node, the longest trail. What is locked is skipped, so that nobody waits in a circle. Rows go by
/// their key and not by their place: a renewal gives a row a new place, and one that was committed after
/// this statement began would not be found there.
pub(crate) fn plain_sql() -> String {
    let trail = added_in_sql(
        "held.trail",
        "clock.now",
        "'running'",
        JobState::Succeeded,
        "held.fence",
        "$6",
        "held.quoted",
    );
    format!(
        "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
         given AS MATERIALIZED (
            SELECT * FROM unnest($1, $2, $3, $4, $5) AS g (job_id, fence, digest, why, quoted)),
         held AS MATERIALIZED (
            SELECT r.job_id, r.run_at, r.fence, r.attempt, r.slot, r.enqueued_at,
                r.started_at, r.trail, r.lane_id, j.tenant_id, j.topic, j.lane IS NOT NULL AS laned,
                g.digest, g.why, g.quoted
            FROM given g JOIN {{s}}.running r ON r.job_id = g.job_id AND r.fence = g.fence
            JOIN {{s}}.job j ON j.id = g.job_id AND j.post_id IS NULL
            WHERE octet_length(r.trail) < $7
              AND NOT EXISTS (SELECT 1 FROM {{s}}.blocks b WHERE b.asking = r.job_id)
            FOR UPDATE OF r SKIP LOCKED),
         gone AS (
            DELETE FROM {{s}}.running WHERE job_id = ANY (ARRAY (SELECT job_id FROM held))
            RETURNING job_id),
         put AS (
            INSERT INTO {{s}}.ended (job_id, tenant_id, topic, state, run_at, fence, attempt, slot, reason,
                enqueued_at, started_at, finished_at, settled, trail)
            SELECT held.job_id, held.tenant_id, held.topic, '{succeeded}', held.run_at, held.fence,
                held.attempt, held.slot, held.why, held.enqueued_at, held.started_at, clock.now, held.digest, {trail}
            FROM held JOIN gone USING (job_id) CROSS JOIN clock)
         SELECT job_id, CASE WHEN laned THEN lane_id END AS lane_id FROM held JOIN gone USING (job_id)",
        succeeded = JobState::Succeeded,
    )
}

/// Settles those of a batch that look plain, in the open transaction; answers which.
pub(crate) async fn settle_plain(
    tx: &Tx<'_>,
    settlements: &[Settlement],
    plain: &HashSet<Held>,
) -> Result<HashSet<Held>, Fault> {
    let mut by_node: BTreeMap<NodeId, Vec<&Settlement>> = BTreeMap::new();
    for one in settlements.iter().filter(|one| plain.contains(&one.held)) {
        by_node.entry(one.node).or_default().push(one);
    }
    let mut done = HashSet::new();
    for (node, plain) in by_node {
        let reasons: Vec<Option<_>> =
            plain.iter().map(|one| one.reason.as_deref().map(kept)).collect();
        let quoted: Result<Vec<_>, _> = reasons.iter().map(serde_json::to_string).collect();
        let (digest, sql) = (digest(&Settle::Succeeded(None)), plain_sql());
        let args = args![
            plain.iter().map(|one| one.held.job.as_uuid()).collect::<Vec<_>>(),
            plain.iter().map(|one| fence_number(one.held.fence)).collect::<Vec<_>>(),
            vec![&*digest; plain.len()],
            reasons.iter().map(|reason| reason.as_deref()).collect::<Vec<_>>(),
            quoted?,
            node.as_uuid().to_string(),
            i32::try_from(LONG / 2).unwrap_or(i32::MAX),
        ];
        let moved = tx.sql.all(&sql, args, |row| {
            let job = JobId::from_uuid(row.try_get::<_, Uuid>("job_id")?);
            Ok((job, row.try_get::<_, Option<i64>>("lane_id")?))
        });
        let moved: BTreeMap<JobId, Option<i64>> = moved.await?.into_iter().collect();
        for lane in moved.values().flatten() {
            tx.touch(*lane, -1);
            // Room in a lane.
            tx.wake();
        }
        done.extend(plain.iter().map(|one| one.held).filter(|held| moved.contains_key(&held.job)));
    }
    Ok(done)
}

/// The claims of a batch whose settlement looks plain; a job that is settled twice in one batch does not.
pub(crate) fn plain_of(settlements: &[Settlement]) -> HashSet<Held> {
    let mut times: BTreeMap<JobId, u32> = BTreeMap::new();
    for one in settlements {
        *times.entry(one.held.job).or_default() += 1;
    }
    let plain = settlements.iter().filter(|one| {
        one.settle == Settle::Succeeded(None)
            && one.follow_ups.is_empty()
            && times[&one.held.job] == 1
    });
    plain.map(|one| one.held).collect()
}
