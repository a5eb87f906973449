//! Lanes: the accounts whose jobs go one after the other.
//!
//! Whoever changes what waits in a lane locks the lane's row and computes its head again, in the same
//! transaction and as its last step; claims then choose among lanes, never among jobs. Locking and
//! computing are two statements: the second one sees what the one who held the lock before had done.

use std::collections::{BTreeMap, BTreeSet};

use postq_core::job::{Lane, Topic};

use crate::args::args;
use crate::error::Fault;
use crate::tx::{Sql, Tx, together};

/// The latest end among the blocks that hold back the lane `l.name`.
const BLOCKED_UNTIL: &str = "(
    SELECT max(coalesce(greatest(b.until, b.asking_until), 'infinity')) FROM {s}.blocks b
    WHERE (b.until IS NULL OR b.until > clock_timestamp() OR b.asking_until > clock_timestamp())
      AND (b.scope = l.name OR (right(b.scope, 1) = '/' AND starts_with(l.name, b.scope))))";

const LOCK: &str = "SELECT 1 FROM {s}.lanes WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";

/// The lanes of some scopes: a lane itself, or all of an app.
const OF_SCOPES: &str = "NOT free AND EXISTS (SELECT 1 FROM unnest($1) AS s (scope)
     WHERE CASE WHEN right(s.scope, 1) = '/' THEN starts_with(name, s.scope) ELSE name = s.scope END)";

pub(crate) const REFRESH: &str =
    "UPDATE {s}.lanes l SET running = l.running + t.change, head = h.job_id,
        head_rank = h.rank, head_planned_at = h.planned_at, head_run_at = h.run_at
     FROM unnest($1, $2) AS t (id, change)
     LEFT JOIN LATERAL (
         SELECT d.job_id, d.rank, d.planned_at, d.run_at FROM {s}.due d WHERE d.lane_id = t.id
         ORDER BY d.rank, d.planned_at, d.job_id LIMIT 1) h ON true
     WHERE l.id = t.id AND (t.change <> 0 OR l.head IS DISTINCT FROM h.job_id)";

/// Lanes whose block ended, in one claim.
const AT_ONCE: i64 = 1_000;

/// Locks lanes and brings them up to date: `changes` is by how much the number of their running jobs
/// did; the blocks of the lanes of `scopes` are computed again.
pub(crate) async fn lock_and_refresh(
    sql: Sql<'_>,
    ids: &[i64],
    changes: &[i32],
    scopes: &[String],
) -> Result<(), Fault> {
    if scopes.is_empty() {
        let lock = args![ids.to_vec()];
        together!(sql.run(LOCK, lock), refresh(sql, ids, changes))?;
        return Ok(());
    }
    let lock = format!(
        "SELECT 1 FROM {{s}}.lanes WHERE id = ANY($2) OR ({OF_SCOPES})
         ORDER BY id FOR NO KEY UPDATE"
    );
    sql.rows(&lock, args![scopes.to_vec(), ids.to_vec()]).await?;
    refresh(sql, ids, changes).await?;
    apply_blocks(sql, scopes).await
}

/// Locks all lanes of scopes.
pub(crate) async fn lock_scopes(sql: Sql<'_>, scopes: &[String]) -> Result<(), Fault> {
    lock_and_refresh(sql, &[], &[], scopes).await
}

/// Computes the blocks of all lanes of scopes again, in every topic; they are locked.
pub(crate) async fn apply_blocks(sql: Sql<'_>, scopes: &[String]) -> Result<(), Fault> {
    let apply = format!(
        "UPDATE {{s}}.lanes l SET blocked_until = {BLOCKED_UNTIL}
         WHERE {OF_SCOPES} AND blocked_until IS DISTINCT FROM {BLOCKED_UNTIL}"
    );
    sql.run(&apply, args![scopes.to_vec()]).await?;
    Ok(())
}

/// The same for lanes that are locked already.
pub(crate) async fn refresh(sql: Sql<'_>, ids: &[i64], changes: &[i32]) -> Result<(), Fault> {
    sql.run(REFRESH, args![ids.to_vec(), changes.to_vec()]).await?;
    Ok(())
}

/// A lane of a topic, or the topic's jobs that have none.
pub(crate) type Key = (Topic, Option<Lane>);

/// The ids of lanes.
pub(crate) type Ids = BTreeMap<Key, i64>;

impl Tx<'_> {
    /// The ids of these lanes, made if they are not there.
    pub(crate) async fn lanes(&self, keys: &BTreeSet<Key>) -> Result<Ids, Fault> {
        let known = find(self.sql, keys).await?;
        if known.len() == keys.len() {
            return Ok(known);
        }
        // Not while blocks change: a lane that is made now must have those that are in force.
        lock_blocks(self.sql, false).await?;
        let make = format!(
            "INSERT INTO {{s}}.lanes (topic, free, name, blocked_until)
             SELECT l.topic, l.free, l.name, CASE WHEN NOT l.free THEN {BLOCKED_UNTIL} END
             FROM unnest($1, $2, $3) AS l (topic, free, name)
             ON CONFLICT DO NOTHING"
        );
        let (topics, free, names) = columns(keys);
        self.sql.run(&make, args![topics, free, names]).await?;
        find(self.sql, keys).await
    }

    /// Lets the lanes of a topic go on whose block has ended.
    pub(crate) async fn end_blocks(&self, topic: &Topic) -> Result<(), Fault> {
        let end = format!(
            "UPDATE {{s}}.lanes l SET blocked_until = {BLOCKED_UNTIL}
             WHERE id = ANY (ARRAY (
                 SELECT id FROM {{s}}.lanes WHERE topic = $1 AND blocked_until <= now()
                 LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED))"
        );
        self.sql.run(&end, args![topic.as_str(), AT_ONCE]).await?;
        Ok(())
    }
}

/// Keeps blocks as they are while lanes are made, or lanes as they are while blocks change.
pub(crate) async fn lock_blocks(sql: Sql<'_>, to_change: bool) -> Result<(), Fault> {
    let how = if to_change { "" } else { "_shared" };
    let lock = format!("SELECT pg_advisory_xact_lock{how}(hashtextextended('{{s}} blocks', 0))");
    sql.rows(&lock, args![]).await?;
    Ok(())
}

async fn find(sql: Sql<'_>, keys: &BTreeSet<Key>) -> Result<Ids, Fault> {
    let (topics, free, names) = columns(keys);
    let find = "SELECT l.id, l.topic, l.free, l.name
         FROM unnest($1, $2, $3) AS k (topic, free, name) JOIN {s}.lanes l USING (topic, free, name)";
    sql.all(find, args![topics, free, names], |row| {
        let lane = if row.try_get("free")? {
            None
        } else {
            Some(Lane::from_raw(row.try_get::<_, String>("name")?))
        };
        Ok(((Topic::new(row.try_get::<_, String>("topic")?), lane), row.try_get("id")?))
    })
    .await
    .map(BTreeMap::from_iter)
}

fn columns(keys: &BTreeSet<Key>) -> (Vec<&str>, Vec<bool>, Vec<&str>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (topic, lane) in keys {
        columns.0.push(topic.as_str());
        columns.1.push(lane.is_none());
        columns.2.push(lane.as_ref().map_or("", Lane::as_str));
    }
    columns
}
