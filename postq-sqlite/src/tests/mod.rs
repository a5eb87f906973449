//! What needs a look inside: query plans, the cost of claims, the caches against the truth.

mod caches;
mod costs;
mod faults;
mod only;

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::feed::{Claim, Claimed, Mark};
use postq_core::id::NodeId;
use postq_core::job::{JobKind, Lane, NewJob, Topic};
use rusqlite::Connection;

use crate::writer::Tx;
use crate::{claim, schema};

/// A database in memory with our schema.
pub(crate) fn database() -> Connection {
    let mut conn = Connection::open_in_memory().expect("a database in memory");
    schema::migrate(&mut conn, Path::new(":memory:")).expect("our schema");
    conn
}

/// How SQLite would find the rows of a statement.
pub(crate) fn query_plan(conn: &Connection, sql: &str) -> String {
    let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("explain");
    let count = explain.parameter_count();
    let nothing = vec![rusqlite::types::Null; count];
    let lines = explain
        .query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>("detail"))
        .expect("query plan");
    lines.collect::<Result<Vec<_>, _>>().expect("lines").join("\n")
}

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

fn job(lane: &str, at: DateTime<Utc>) -> NewJob {
    let lane = Some(Lane::from_raw(lane));
    NewJob { lane, ..NewJob::new(JobKind::publish(), Topic::publish(), at) }
}

fn insert(tx: &Tx<'_>, jobs: &[NewJob]) {
    for job in jobs {
        assert!(tx.enqueue_new(job, None).expect("insert"), "it is new");
    }
    tx.refresh_touched().expect("refresh");
}

fn up_to(limit: usize) -> Claim {
    Claim::up_to(limit, Topic::publish(), NodeId::new())
}

fn claim(tx: &Tx<'_>, asked: &Claim) -> Claimed {
    claim::claim(tx, asked, Mark::default()).expect("claim")
}

fn seconds(n: i64) -> TimeDelta {
    TimeDelta::seconds(n)
}

#[test]
fn a_row_that_cannot_be_read_holds_back_nobody() {
    let conn = database();
    let tx = Tx::new(&conn, now());
    let past = tx.now - TimeDelta::seconds(1);
    let (broken, good) = (job("x/1", past), job("x/1", past));
    insert(&tx, &[broken.clone(), good.clone()]);
    tx.run("UPDATE jobs SET payload = 'no JSON' WHERE id = ?", [broken.id.as_uuid().into_bytes()])
        .expect("break it");

    let claimed = claim(&tx, &up_to(10));
    let again = claim(&tx, &up_to(10));

    let ids: Vec<_> = claimed.jobs.iter().chain(&again.jobs).map(|job| job.job.id()).collect();
    assert_eq!(ids, [good.id], "the one behind it");
    let left = "SELECT state || ': ' || reason FROM jobs WHERE id = ?";
    let left: String = tx
        .get(left, [broken.id.as_uuid().into_bytes()], |row| row.get(0))
        .expect("read")
        .expect("kept");
    assert!(left.starts_with("dead_letter: its row cannot be read"), "{left}");
}
