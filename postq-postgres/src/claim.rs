//! Claiming: which due jobs go to whom.
//!
//! One statement takes them all. Before it, lanes are chosen by their cached heads and locked; from each
//! it takes as many jobs as there is room for, and jobs without a lane one by one. Nobody waits for
//! anybody: what another claim has locked is skipped. What has become due moves to where claims look
//! in a transaction of its own, only where there is something to move.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use postq_core::feed::{Claim, Claimed, ClaimedJob, Mark, Only};
use postq_core::id::{JobId, NodeId, ScheduleId};
use postq_core::job::{Fence, Job, Topic};
use postq_core::machine::JobState;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::aside::{Broken, readable};
use crate::asking::{Asking, LEFT_ALONE, TO_ASK};
use crate::error::Fault;
use crate::evidence;
use crate::lanes;
use crate::rows::micros;
use crate::trail::added_in_sql;
use crate::transition::{IN_DUE, job};
use crate::tx::{Sql, Tx, together};

/// Jobs that become due in one claim; the rest follows with the next. Order within a lane is kept
/// among so many.
const PROMOTE: i64 = 5_000;

/// Future jobs that are looked at to tell the next moment; were they all in lanes that stand still, the
/// last of them is the next moment to look again. So few that even without statistics the server
/// walks along the index rather than sort the whole future.
pub(crate) const LOOK: i64 = 16;

/// What a claim finds before it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) now: DateTime<Utc>,
    /// Some jobs have become due.
    pub(crate) promotable: bool,
    /// Some blocks have ended.
    pub(crate) unblocked: bool,
    /// Some lanes have a due job.
    pub(crate) laned: bool,
    /// Some app is about to ask whether it may go on.
    pub(crate) asking: bool,
}

pub(crate) fn find_sql() -> String {
    format!(
        "SELECT clock_timestamp() AS now,
            EXISTS (SELECT 1 FROM {{s}}.later WHERE topic = $1
                    AND run_at <= now() + $2 * interval '1 microsecond') AS promotable,
            EXISTS (SELECT 1 FROM {{s}}.lanes WHERE topic = $1 AND blocked_until <= now()) AS unblocked,
            coalesce((SELECT true FROM {{s}}.lanes WHERE topic = $1 AND head IS NOT NULL
                      AND blocked_until IS NULL
                      ORDER BY head_rank, head_planned_at, head LIMIT 1), false) AS laned,
            EXISTS (SELECT 1 FROM {{s}}.blocks WHERE {TO_ASK}) AS asking"
    )
}

/// Looks whether there is something to do before a claim.
pub(crate) async fn find(sql: Sql<'_>, claim: &Claim) -> Result<Found, Fault> {
    let rows = sql.rows(&find_sql(), args![claim.topic.as_str(), micros(claim.ahead)]).await?;
    let row = rows.first().ok_or_else(|| Fault::internal("a question was not answered"))?;
    Ok(Found {
        now: row.try_get("now")?,
        promotable: row.try_get("promotable")?,
        unblocked: row.try_get("unblocked")?,
        laned: row.try_get("laned")?,
        asking: row.try_get("asking")?,
    })
}

pub(crate) const PROMOTE_SQL: &str = "WITH moved AS (
        DELETE FROM {s}.later WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM {s}.later WHERE topic = $1 AND run_at <= now() + $2 * interval '1 microsecond'
            ORDER BY run_at, job_id LIMIT $3 FOR UPDATE SKIP LOCKED))
        RETURNING *),
     put AS (
        INSERT INTO {s}.due (lane_id, rank, planned_at, job_id, run_at, schedule_id, state, fence,
            attempt, slot, reason, enqueued_at, started_at, settled, trail)
        SELECT lane_id, rank, planned_at, job_id, run_at, schedule_id, state, fence, attempt, slot,
            reason, enqueued_at, started_at, settled, trail FROM moved
        RETURNING lane_id)
     SELECT DISTINCT put.lane_id FROM put JOIN {s}.lanes ON lanes.id = put.lane_id AND NOT lanes.free";

/// Moves what can be claimed now to where claims look.
pub(crate) async fn promote(tx: &Tx<'_>, topic: &Topic, ahead: i64) -> Result<(), Fault> {
    let moved = tx.sql.rows(PROMOTE_SQL, args![topic.as_str(), ahead, PROMOTE]).await?;
    for row in moved {
        tx.touch(row.try_get("lane_id")?, 0);
    }
    Ok(())
}

/// The lanes of a topic that have a due job and room, in the order of their heads; where the claim is
/// restricted, those in which something waits that it wants. Parameters: topic, width, skipped scopes,
/// limit; and the wanted jobs or schedules.
pub(crate) fn lanes_sql(only: &Only, is_careful: bool) -> String {
    let wanted = match only {
        Only::Any => String::new(),
        Only::Jobs(_) => lane_of("j.id"),
        Only::Schedules(_) => lane_of("j.schedule_id"),
    };
    let left_alone = if is_careful { "true" } else { LEFT_ALONE };
    format!(
        "SELECT id, name, running FROM {{s}}.lanes l
         WHERE topic = $1 AND head IS NOT NULL AND blocked_until IS NULL AND running < $2
           AND NOT EXISTS (SELECT 1 FROM unnest($3) AS s (scope) WHERE starts_with(l.name, s.scope))
           AND {left_alone} {wanted}
         ORDER BY head_rank, head_planned_at, head LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED"
    )
}

fn lane_of(which: &str) -> String {
    format!(
        "AND id = ANY (ARRAY (SELECT j.lane_id FROM {{s}}.job j JOIN {{s}}.due d ON {IN_DUE}
                              WHERE {which} = ANY($5) AND j.topic = $1))"
    )
}

/// Lanes that are locked, and how many jobs each has room for.
#[derive(Debug, Default)]
pub(crate) struct Locked {
    ids: Vec<i64>,
    rooms: Vec<i32>,
}

/// Locks lanes to take from. A statement of its own: the one that takes must see what whoever had
/// them locked before has done. Of an app that is about to ask it is one lane, for one job.
pub(crate) async fn lock_lanes(
    sql: Sql<'_>,
    claim: &Claim,
    asking: Option<&Asking>,
) -> Result<Locked, Fault> {
    let (topic, width, wanted) = (claim.topic.as_str(), width(claim), listed(&claim.only));
    let limit = if claim.only == Only::Any { limit(claim) } else { MOST_LANES };
    let args = args![topic, width, claim.skip, limit, wanted];
    let given = if claim.only == Only::Any { &args[..4] } else { args };
    let rows = sql.rows(&lanes_sql(&claim.only, asking.is_some()), given).await?;
    let (mut locked, mut apps) = (Locked::default(), BTreeSet::new());
    for row in rows {
        let mut room = width - row.try_get::<_, i32>("running")?;
        if let Some(app) = asking.and_then(|asking| asking.app(row.get("name"))) {
            if !apps.insert(app) {
                continue;
            }
            room = 1;
        }
        locked.ids.push(row.try_get("id")?);
        locked.rooms.push(room);
    }
    Ok(locked)
}

/// The statement that takes the jobs. Parameters: topic, limit, ahead, lease, node, claim, lanes, their
/// rooms; and, where it is restricted, the wanted jobs or schedules.
pub(crate) fn take_sql(only: &Only) -> String {
    let (in_lane, of_lane, alone) = match only {
        Only::Any => ("", "", String::new()),
        // Of a lane only its first jobs go, wanted or not.
        Only::Jobs(_) => ("", "WHERE o.job_id = ANY($9)", format!("AND {}", among("j.id"))),
        Only::Schedules(_) => {
            ("AND d.schedule_id = ANY($9)", "", format!("AND {}", among("j.schedule_id")))
        }
    };
    let trail = added_in_sql(
        "gone.trail",
        "clock.now",
        "gone.state",
        JobState::Running,
        "gone.fence + 1",
        "$5",
        "'null'",
    );
    format!(
        "WITH clock AS MATERIALIZED (
            SELECT now, now + $3 * interval '1 microsecond' AS horizon FROM clock_timestamp() AS now),
         in_lanes AS MATERIALIZED (
            SELECT o.* FROM unnest($7, $8) AS lane (id, room) CROSS JOIN LATERAL (
                SELECT d.ctid AS place, d.rank, d.planned_at, d.job_id FROM {{s}}.due d
                WHERE d.lane_id = lane.id AND d.run_at <= (SELECT horizon FROM clock) {in_lane}
                ORDER BY d.rank, d.planned_at, d.job_id LIMIT least(lane.room, $2)
                FOR UPDATE SKIP LOCKED) o {of_lane}),
         alone AS MATERIALIZED (
            SELECT d.ctid AS place, d.rank, d.planned_at, d.job_id FROM {{s}}.due d
            WHERE d.lane_id = (SELECT id FROM {{s}}.lanes WHERE topic = $1 AND free AND name = '')
              AND d.run_at <= (SELECT horizon FROM clock) {alone}
            ORDER BY d.rank, d.planned_at, d.job_id LIMIT $2 FOR UPDATE SKIP LOCKED),
         gone AS (
            DELETE FROM {{s}}.due WHERE ctid = ANY (ARRAY (
                SELECT place FROM (SELECT * FROM in_lanes UNION ALL SELECT * FROM alone) AS offered
                ORDER BY rank, planned_at, job_id LIMIT $2))
            RETURNING *),
         taken AS (
            INSERT INTO {{s}}.running (job_id, lane_id, run_at, fence, attempt, slot, reason,
                enqueued_at, started_at, node, lease_until, claim, trail)
            SELECT gone.job_id, gone.lane_id, gone.run_at, gone.fence + 1, gone.attempt + 1, gone.slot,
                gone.reason, gone.enqueued_at, clock.now, $5::uuid,
                clock.now + $4 * interval '1 microsecond', $6, {trail}
            FROM gone CROSS JOIN clock
            RETURNING *)
         SELECT j.*, 'running' AS state, t.fence, t.attempt, t.run_at, t.slot, t.reason,
            NULL::text AS dead_reason, NULL::text AS resolution, t.node, t.enqueued_at, t.started_at,
            NULL::timestamptz AS finished_at
         FROM taken t JOIN {{s}}.job j ON j.id = t.job_id
         ORDER BY -(j.priority::integer), j.planned_at, j.id"
    )
}

/// The place of `d` is that of a job that is asked for.
fn among(which: &str) -> String {
    format!(
        "(d.rank, d.planned_at, d.job_id) IN (
            SELECT -(j.priority::integer), j.planned_at, j.id FROM {{s}}.job j
            WHERE {which} = ANY($9) AND j.topic = $1 AND j.lane IS NULL)"
    )
}

/// The ids that a restricted claim names.
fn listed(only: &Only) -> Vec<Uuid> {
    match only {
        Only::Any => Vec::new(),
        Only::Jobs(jobs) => jobs.iter().map(|id| JobId::as_uuid(*id)).collect(),
        Only::Schedules(ids) => ids.iter().map(|id| ScheduleId::as_uuid(*id)).collect(),
    }
}

/// Takes jobs of these lanes and of those that have none, and brings the lanes up to date. Those that
/// cannot be read are taken as well, and told apart.
pub(crate) async fn take(
    sql: Sql<'_>,
    claim: &Claim,
    id: Uuid,
    lanes: &Locked,
) -> Result<(Vec<Job>, Broken), Fault> {
    let (topic, limit) = (claim.topic.as_str(), limit(claim));
    let (ahead, lease) = (micros(claim.ahead), micros(claim.lease));
    let node = NodeId::as_uuid(claim.node).to_string();
    let (statement, wanted) = (take_sql(&claim.only), listed(&claim.only));
    let args = args![topic, limit, ahead, lease, node, id, lanes.ids, lanes.rooms, wanted];
    let given = if claim.only == Only::Any { &args[..8] } else { args };
    let rows = sql.rows(&statement, given).await?;
    let mut taken: BTreeMap<i64, i32> = BTreeMap::new();
    for row in &rows {
        *taken.entry(row.try_get("lane_id")?).or_default() += 1;
    }
    // Those that gave nothing as well: what their heads told may no longer be so.
    if !lanes.ids.is_empty() {
        let changes: Vec<i32> =
            lanes.ids.iter().map(|lane| taken.get(lane).copied().unwrap_or(0)).collect();
        lanes::refresh(sql, &lanes.ids, &changes).await?;
    }
    readable(&rows, job)
}

fn width(claim: &Claim) -> i32 {
    i32::try_from(claim.lane_width).unwrap_or(i32::MAX)
}

/// Lanes that a restricted claim looks at.
const MOST_LANES: i64 = 5_000;

fn limit(claim: &Claim) -> i64 {
    /// More than a worker can hold; a bound on the work of one statement.
    const MOST: usize = 5_000;
    i64::try_from(claim.limit.min(MOST)).unwrap_or(0)
}

/// When the next job can be claimed; what is due already is told as its `run_at`. In lanes that have
/// room and no block the head tells; then the future; then the ends of blocks. A lane is closed until
/// its block has really ended, however far ahead claims look; so that a caller who comes `ahead` before
/// the moment it is told does not come in vain, it is told one that is so much later.
pub(crate) fn next_sql(only: &Only) -> String {
    let among = match only {
        Only::Any => "",
        Only::Jobs(_) => "AND w.job_id = ANY($6)",
        Only::Schedules(_) => {
            "AND w.job_id = ANY (ARRAY (SELECT j.id FROM {s}.job j WHERE j.schedule_id = ANY($6)))"
        }
    };
    let heads = match only {
        Only::Any => "(SELECT head_run_at FROM {s}.lanes l
                 WHERE topic = $1 AND head IS NOT NULL AND blocked_until IS NULL AND running < $2
                   AND NOT EXISTS (SELECT 1 FROM unnest($3) AS s (scope)
                                   WHERE starts_with(l.name, s.scope))
                 ORDER BY head_rank, head_planned_at, head LIMIT 1),
             (SELECT run_at FROM {s}.due WHERE lane_id = (
                 SELECT id FROM {s}.lanes WHERE topic = $1 AND free AND name = '')
              ORDER BY rank, planned_at, job_id LIMIT 1)"
            .to_owned(),
        Only::Jobs(_) | Only::Schedules(_) => {
            let which = if matches!(only, Only::Jobs(_)) { "j.id" } else { "j.schedule_id" };
            format!(
                "(SELECT min(d.run_at) FROM {{s}}.job j JOIN {{s}}.due d ON {IN_DUE}
                  JOIN {{s}}.lanes l ON l.id = d.lane_id
                  WHERE {which} = ANY($6) AND j.topic = $1 AND (l.free OR (l.blocked_until IS NULL
                    AND l.running < $2 AND NOT EXISTS (SELECT 1 FROM unnest($3) AS s (scope)
                                                      WHERE starts_with(l.name, s.scope)))))"
            )
        }
    };
    format!(
        "WITH soon AS MATERIALIZED (
            SELECT w.run_at, w.lane_id FROM {{s}}.later w WHERE w.topic = $1 {among}
            ORDER BY w.run_at, w.job_id LIMIT $5),
         open AS (
            SELECT greatest(s.run_at, CASE WHEN NOT l.free
                       THEN l.blocked_until + $4 * interval '1 microsecond' END) AS moment
            FROM soon s JOIN {{s}}.lanes l ON l.id = s.lane_id
            WHERE l.free OR (l.running < $2 AND NOT EXISTS (
                SELECT 1 FROM unnest($3) AS s (scope) WHERE starts_with(l.name, s.scope)))),
         blocked AS (
            SELECT greatest(l.blocked_until + $4 * interval '1 microsecond', l.head_run_at) AS moment
            FROM {{s}}.lanes l
            WHERE topic = $1 AND blocked_until < 'infinity' AND head IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM unnest($3) AS s (scope) WHERE starts_with(l.name, s.scope))
            ORDER BY blocked_until LIMIT 1),
         next AS (
            SELECT least({heads},
                (SELECT min(moment) FROM open),
                (SELECT CASE WHEN count(*) = $5 THEN max(run_at) END FROM soon),
                (SELECT moment FROM blocked)) AS moment)
         SELECT nullif(moment, 'infinity') AS moment FROM next"
    )
}

/// Whether something may have been sent for a job: nothing was for one that is claimed for the first time
/// and replays no other.
fn may_have_evidence(job: &Job) -> bool {
    job.fence > Fence(1) || job.replay_of.is_some()
}

/// When the next job can be claimed, and what is known of the claimed ones; apart from them, those of
/// which it cannot be read.
pub(crate) async fn answer(
    sql: Sql<'_>,
    claim: &Claim,
    jobs: &[Job],
    now: DateTime<Utc>,
    mark: Mark,
) -> Result<(Claimed, Broken), Fault> {
    let next = next_sql(&claim.only);
    let width = width(claim);
    let (topic, ahead, wanted) = (claim.topic.as_str(), micros(claim.ahead), listed(&claim.only));
    let roots: BTreeSet<JobId> =
        jobs.iter().filter(|job| may_have_evidence(job)).map(|job| job.root).collect();
    let next = async {
        let args = args![topic, width, claim.skip, ahead, LOOK, wanted];
        let given = if claim.only == Only::Any { &args[..5] } else { args };
        sql.first(&next, given).await
    };
    let known = async {
        if roots.is_empty() {
            return Ok(Default::default());
        }
        evidence::readable_of_roots(sql, &roots).await
    };
    let ((known, unknown), next) = together!(known, next)?;
    let next_at = next.map(|row: Row| row.try_get("moment")).transpose()?.flatten();
    let (mut given, mut broken) = (Vec::with_capacity(jobs.len()), Broken::new());
    for job in jobs {
        if let Some((_, why)) = unknown.iter().find(|(root, _)| *root == job.root) {
            broken.push((job.id(), why.clone()));
            continue;
        }
        let evidence = known.get(&job.root).cloned().unwrap_or_default();
        given.push(ClaimedJob { job: job.clone(), evidence });
    }
    Ok((Claimed { jobs: given, now, mark, next_at }, broken))
}
