//! The caches against the truth: whatever happens, in whatever order, lanes know their jobs.

use std::time::Duration;

use postq_core::failure::{Failure, FailureClass};
use postq_core::feed::{Deferral, Settle, Settlement};
use postq_core::id::NodeId;
use postq_core::job::{DeadReason, Held, NewJob};
use postq_core::retry::RetryDecision;
use rusqlite::Connection;

use crate::settle;
use crate::writer::Tx;

use super::{claim, database, insert, job, now, seconds, up_to};

/// A small source of numbers that one seed decides (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn moment(&mut self) -> chrono::DateTime<chrono::Utc> {
        let from_now = i64::try_from(self.below(9)).expect("small") - 5;
        now() + seconds(from_now * 60)
    }
}

#[test]
fn lanes_always_know_their_jobs() {
    for seed in 1..=40 {
        let conn = database();
        let mut numbers = Numbers(seed);
        let mut held = Vec::new();
        for step in 0..120 {
            let tx = Tx::new(&conn, now());
            act(&tx, &mut numbers, &mut held);
            tx.refresh_touched().expect("refresh");
            check(&conn, &format!("seed {seed}, step {step}"));
        }
    }
}

fn act(tx: &Tx<'_>, numbers: &mut Numbers, held: &mut Vec<Held>) {
    match numbers.below(6) {
        0 | 1 => {
            let lane = format!("x/{}", numbers.below(4));
            let priority = i16::try_from(numbers.below(3)).expect("small");
            let mut new = NewJob { priority, ..job(&lane, numbers.moment()) };
            if numbers.below(5) == 0 {
                new.lane = None;
            }
            insert(tx, &[new]);
        }
        2 => {
            let mut asked = up_to(usize::try_from(numbers.below(4)).expect("small"));
            asked.ahead = Duration::from_secs(numbers.below(3) * 60);
            asked.lane_width = 1 + u32::try_from(numbers.below(2)).expect("small");
            let claimed = claim(tx, &asked);
            held.extend(claimed.jobs.iter().map(|claimed| claimed.job.held()));
        }
        3 | 4 if !held.is_empty() => {
            let which = usize::try_from(numbers.below(held.len() as u64)).expect("small");
            let settlement = Settlement {
                held: held.swap_remove(which),
                node: NodeId::new(),
                settle: outcome(numbers),
                reason: None,
                follow_ups: Vec::new(),
            };
            let applied = settle::settle(tx, &settlement).expect("settle");
            assert_eq!(applied, postq_core::job::Applied::Applied);
        }
        _ => {
            let scope = ["x/0", "x/1", "x/"][usize::try_from(numbers.below(3)).expect("small")];
            tx.run("DELETE FROM blocks WHERE scope = ?", [scope]).expect("lift");
            if numbers.below(2) == 0 {
                let sql = "INSERT INTO blocks (scope, reason, until, note)
                           VALUES (?, 'paused', NULL, '')";
                tx.run(sql, [scope]).expect("block");
            }
            tx.apply_blocks(scope).expect("apply");
        }
    }
}

fn outcome(numbers: &mut Numbers) -> Settle {
    let failure = Failure::not_published(FailureClass::Network, "no");
    match numbers.below(5) {
        0 => Settle::Succeeded(None),
        1 => Settle::Failed(failure, RetryDecision::RetryAt(numbers.moment())),
        2 => Settle::Failed(failure, RetryDecision::GiveUp(DeadReason::Content)),
        3 => Settle::Missed,
        _ => Settle::Deferred(numbers.moment(), Deferral::Wait),
    }
}

/// Every count must be zero.
fn check(conn: &Connection, when: &str) {
    let wrong = [
        (
            "a claimable job waits in exactly one place",
            "SELECT count(*) FROM jobs WHERE (state IN ('enqueued', 'failed')) <>
                 ((SELECT count(*) FROM due WHERE job_id = id)
                + (SELECT count(*) FROM later WHERE job_id = id))",
        ),
        (
            "a running job, and no other, has a lease",
            "SELECT count(*) FROM jobs
             WHERE (state = 'running') <> (SELECT count(*) FROM leases WHERE job_id = id)",
        ),
        (
            "a lane counts what runs in it",
            "SELECT count(*) FROM lanes WHERE running <>
                 (SELECT count(*) FROM jobs WHERE lane_id = lanes.id AND state = 'running')",
        ),
        (
            "a lane knows its first due job",
            "SELECT count(*) FROM lanes WHERE head IS NOT
                 (SELECT job_id FROM due WHERE lane_id = lanes.id
                  ORDER BY rank, planned_at, job_id LIMIT 1)",
        ),
        (
            "a lane knows when its next job is due",
            "SELECT count(*) FROM lanes WHERE next_run_at IS NOT
                 (SELECT min(run_at) FROM later WHERE lane_id = lanes.id)",
        ),
        (
            "a lane is closed if and only if something blocks it",
            "SELECT count(*) FROM lanes WHERE (blocked_until IS NOT NULL) <>
                 (free = 0 AND EXISTS (SELECT 1 FROM blocks WHERE scope IN (name, 'x/')))",
        ),
        (
            "a job has as many events as it says",
            "SELECT count(*) FROM jobs
             WHERE events <> (SELECT count(*) FROM job_events WHERE job_id = id)",
        ),
    ];
    for (rule, sql) in wrong {
        let broken: i64 = conn.query_row(sql, [], |row| row.get(0)).expect(rule);
        assert_eq!(broken, 0, "{rule}: {when}");
    }
}
