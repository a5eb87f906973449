//! What claims and plans cost: statements use their indexes, and what cannot be claimed is not visited.

use std::time::Duration;

use postq_core::job::Lane;
use postq_core::store::{Block, BlockReason};
use rusqlite::{Connection, StatementStatus};

use crate::rows::micros;
use crate::writer::Tx;
use crate::{claim, evidence, intent, lanes, plan, publications};

use super::{claim as claim_now, database, insert, job, now, query_plan, seconds, up_to};

#[test]
fn claims_and_plans_use_their_indexes() {
    let conn = database();
    let expect = [
        (claim::HEADS, "lanes_heads"),
        (claim::NEXT, "lanes_next"),
        (claim::FIRST_IN_LANE, "PRIMARY KEY (lane_id=?)"),
        (lanes::PROMOTABLE, "lanes_next"),
        (plan::DUE, "schedules_due"),
        (plan::NEXT, "schedules_due"),
    ];

    for (sql, index) in expect {
        let plan = query_plan(&conn, sql);

        assert!(plan.contains(index), "{sql}\n{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

/// What is asked of an account's identity is found by what its accounts have, mostly one.
#[test]
fn what_an_identity_has_is_found_by_its_accounts() {
    let conn = database();
    let expect = [
        (intent::TWINS, "evidence_open (account_id=?)"),
        (publications::CLAIMED, "evidence_by_time (account_id=? AND published_at>?)"),
        (publications::WITH_TEXT, "evidence_by_time (account_id=? AND published_at<?)"),
        (evidence::FOREIGN, "evidence_by_remote_id (account_id=? AND remote_id=?)"),
    ];

    for (sql, index) in expect {
        let plan = query_plan(&conn, sql).replace("SCAN CONSTANT ROW", "");

        assert!(plan.contains(index), "{sql}\n{plan}");
        let identity = "identities USING PRIMARY KEY (platform=? AND remote_id=?)";
        assert!(plan.contains(identity) && !plan.contains("SCAN"), "{sql}\n{plan}");
    }
}

/// What one claim that finds nothing takes, in steps of SQLite's machine.
fn steps_of_an_empty_claim(tx: &Tx<'_>, conn: &Connection) -> i64 {
    let counted = [claim::HEADS, claim::NEXT, claim::BLOCKED, lanes::PROMOTABLE];
    let total = || {
        let steps = |sql| {
            let statement = conn.prepare_cached(sql).expect("known");
            i64::from(statement.get_status(StatementStatus::VmStep))
        };
        counted.into_iter().map(steps).sum::<i64>()
    };
    let before = total();
    assert!(claim_now(tx, &up_to(50)).jobs.is_empty());
    let steps = total() - before;
    assert!(steps > 0, "the statements that are counted are those that a claim runs");
    steps
}

fn block(tx: &Tx<'_>, scope: &str, until: Option<chrono::DateTime<chrono::Utc>>) {
    let block = Block {
        scope: scope.to_owned(),
        reason: BlockReason::RateLimit,
        until,
        note: String::new(),
    };
    tx.run(
        "INSERT OR REPLACE INTO blocks (scope, reason, until, note) VALUES (?, ?, ?, '')",
        rusqlite::params![block.scope, block.reason.as_str(), block.until.map(micros)],
    )
    .expect("block");
    tx.apply_blocks(scope).expect("apply");
}

#[test]
fn due_jobs_of_a_blocked_lane_cost_nothing() {
    let conn = database();
    let tx = Tx::new(&conn, now());
    insert(&tx, &[job("x/blocked", now() - seconds(60))]);
    block(&tx, "x/blocked", Some(now() + seconds(3_600)));
    let one = steps_of_an_empty_claim(&tx, &conn);

    let many: Vec<_> = (0..10_000).map(|_| job("x/blocked", now() - seconds(60))).collect();
    insert(&tx, &many);

    assert_eq!(steps_of_an_empty_claim(&tx, &conn), one);
}

#[test]
fn due_jobs_of_a_full_lane_cost_nothing() {
    let conn = database();
    let tx = Tx::new(&conn, now());
    insert(&tx, &[job("x/full", now() - seconds(60)), job("x/full", now() - seconds(60))]);
    assert_eq!(claim_now(&tx, &up_to(50)).jobs.len(), 1);
    let one = steps_of_an_empty_claim(&tx, &conn);

    let many: Vec<_> = (0..10_000).map(|_| job("x/full", now() - seconds(60))).collect();
    insert(&tx, &many);

    assert_eq!(steps_of_an_empty_claim(&tx, &conn), one);
}

#[test]
fn a_long_future_costs_nothing() {
    let conn = database();
    let tx = Tx::new(&conn, now());
    insert(&tx, &[job("x/later", now() + seconds(3_600))]);
    let one = steps_of_an_empty_claim(&tx, &conn);

    let many: Vec<_> = (0..10_000).map(|n| job("x/later", now() + seconds(4_000 + n))).collect();
    insert(&tx, &many);

    assert_eq!(steps_of_an_empty_claim(&tx, &conn), one);
}

#[test]
fn a_claim_that_looked_ahead_makes_nobody_early() {
    let conn = database();
    let tx = Tx::new(&conn, now());
    let (soon, due) = (now() + seconds(30), now() - seconds(1));
    let first = postq_core::job::NewJob { priority: 9, ..job("x/one", soon) };
    let behind = job("x/one", due);
    insert(&tx, &[first.clone(), behind.clone(), job("x/two", soon), job("x/two", soon)]);
    let mut ahead = up_to(1);
    ahead.ahead = Duration::from_secs(60);
    ahead.skip = vec![Lane::from_raw("x/one").as_str().to_owned()];
    assert_eq!(claim_now(&tx, &ahead).jobs.len(), 1, "it moved all four to where claims look");

    let claimed = claim_now(&tx, &up_to(10));

    let ids: Vec<_> = claimed.jobs.iter().map(|claimed| claimed.job.id()).collect();
    assert_eq!(ids, [behind.id], "due, although a better one that is not due is before it");
    assert_eq!(claimed.next_at, None, "both lanes are full");
}

#[test]
fn the_end_of_a_block_is_told_so_that_nobody_comes_in_vain() {
    let conn = database();
    let tx = Tx::new(&conn, now());
    let until = now() + seconds(100);
    insert(&tx, &[job("x/one", now() - seconds(1)), job("y/two", now() - seconds(1))]);
    block(&tx, "x/", Some(until));
    block(&tx, "y/two", None);
    let mut ahead = up_to(5);
    ahead.ahead = Duration::from_secs(2);

    assert_eq!(claim_now(&tx, &up_to(5)).next_at, Some(until));
    assert_eq!(claim_now(&tx, &ahead).next_at, Some(until + seconds(2)));
}
