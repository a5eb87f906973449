//! Lanes: where claimable jobs wait, and the cached head of each lane.
//!
//! Every change of a lane's jobs ends with a refresh of its row, in the same transaction; claims
//! then choose among lanes, never among jobs.

use chrono::{DateTime, Utc};
use postq_core::job::{Lane, Topic};
use rusqlite::params;

use crate::error::Fault;
use crate::rows::micros;
use crate::writer::Tx;

/// Stands for a block without an end.
pub(crate) const FOR_EVER: i64 = i64::MAX;

/// Jobs of one lane that become due in one claim; the rest follows with the next claim. Order
/// within a lane is kept among so many.
const PROMOTE: i64 = 20_000;

/// Lanes that are looked at again in one claim because a block ended or a job became due.
const LANES_AT_ONCE: i64 = 1_000;

/// The latest end among the blocks that hold back the lane `lanes.name`; `?1` is the time.
const BLOCKED_UNTIL: &str = "(
    SELECT max(coalesce(max(until, coalesce(asking_until, until)), 9223372036854775807)) FROM blocks
    WHERE (until IS NULL OR until > ?1 OR asking_until > ?1)
      AND (scope = lanes.name
           OR (scope LIKE '%/' AND substr(lanes.name, 1, length(scope)) = scope)))";

/// Where a claimable job waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) lane_id: i64,
    pub(crate) job: [u8; 16],
    pub(crate) rank: i64,
    pub(crate) planned_at: i64,
    pub(crate) run_at: i64,
    pub(crate) schedule: Option<[u8; 16]>,
}

impl Tx<'_> {
    /// The row of a lane, made if it is not there; without a lane, that of the topic's free jobs.
    pub(crate) fn lane_id(&self, topic: &Topic, lane: Option<&Lane>) -> Result<i64, Fault> {
        let (free, name) = (lane.is_none(), lane.map_or("", Lane::as_str));
        let find = "SELECT id FROM lanes WHERE topic = ? AND free = ? AND name = ?";
        let key = params![topic.as_str(), free, name];
        if let Some(id) = self.get(find, key, |row| row.get(0))? {
            return Ok(id);
        }
        self.run("INSERT INTO lanes (topic, free, name) VALUES (?, ?, ?)", key)?;
        let id = self
            .get(find, key, |row| row.get(0))?
            .ok_or_else(|| Fault::internal("a lane that was just made is gone"))?;
        if !free {
            let block = format!("UPDATE lanes SET blocked_until = {BLOCKED_UNTIL} WHERE id = ?2");
            self.run(&block, params![micros(self.now), id])?;
        }
        Ok(id)
    }

    /// Puts a claimable job where it waits.
    pub(crate) fn place(&self, place: Place) -> Result<(), Fault> {
        let table = if place.run_at <= micros(self.now) {
            "INSERT INTO due (lane_id, rank, planned_at, job_id, run_at, schedule_id)
             VALUES (?, ?, ?, ?, ?, ?)"
        } else {
            "INSERT INTO later (lane_id, rank, planned_at, job_id, run_at, schedule_id)
             VALUES (?, ?, ?, ?, ?, ?)"
        };
        let Place { lane_id, rank, planned_at, job, run_at, schedule } = place;
        self.run(table, params![lane_id, rank, planned_at, job, run_at, schedule])?;
        self.touch(lane_id);
        self.wake();
        Ok(())
    }

    /// Takes a job away from where it waits.
    pub(crate) fn displace(&self, place: Place) -> Result<(), Fault> {
        let Place { lane_id, rank, planned_at, job, run_at, .. } = place;
        let due =
            "DELETE FROM due WHERE lane_id = ? AND rank = ? AND planned_at = ? AND job_id = ?";
        let later = "DELETE FROM later WHERE lane_id = ? AND run_at = ? AND job_id = ?";
        let gone = self.run(due, params![lane_id, rank, planned_at, job])?
            + self.run(later, params![lane_id, run_at, job])?;
        if gone != 1 {
            return Err(Fault::internal(format!("a claimable job was found {gone} times")));
        }
        self.touch(lane_id);
        Ok(())
    }

    /// Counts a job of the lane in or out of those that run.
    pub(crate) fn count_running(&self, lane_id: i64, change: i64) -> Result<(), Fault> {
        let count = "UPDATE lanes SET running = running + ? WHERE id = ?";
        self.run(count, params![change, lane_id])?;
        Ok(())
    }

    /// Computes the cached head and next time of a lane again.
    pub(crate) fn refresh_lane(&self, lane_id: i64) -> Result<(), Fault> {
        self.run(
            "UPDATE lanes SET
                 (head, head_rank, head_planned_at, head_run_at) = (
                     SELECT job_id, rank, planned_at, run_at FROM due WHERE lane_id = ?1
                     ORDER BY rank, planned_at, job_id LIMIT 1),
                 next_run_at = (SELECT min(run_at) FROM later WHERE lane_id = ?1)
             WHERE id = ?1",
            [lane_id],
        )?;
        Ok(())
    }

    /// Moves the jobs of a topic that can be claimed up to `horizon` to where claims look. Blocked
    /// lanes are left alone until their block ends.
    pub(crate) fn promote(&self, topic: &Topic, horizon: DateTime<Utc>) -> Result<(), Fault> {
        let horizon = micros(horizon);
        let lanes: Vec<i64> =
            self.all(PROMOTABLE, params![topic.as_str(), horizon, LANES_AT_ONCE], |row| {
                row.get(0)
            })?;
        for lane in lanes {
            let cut = "SELECT run_at FROM later WHERE lane_id = ? AND run_at <= ?
                       ORDER BY run_at LIMIT 1 OFFSET ?";
            let cut = self.get(cut, params![lane, horizon, PROMOTE], |row| row.get(0))?;
            let up_to: i64 = cut.unwrap_or(horizon);
            self.run(
                "INSERT INTO due (lane_id, rank, planned_at, job_id, run_at, schedule_id)
                 SELECT lane_id, rank, planned_at, job_id, run_at, schedule_id FROM later
                 WHERE lane_id = ? AND run_at <= ?",
                [lane, up_to],
            )?;
            self.run("DELETE FROM later WHERE lane_id = ? AND run_at <= ?", [lane, up_to])?;
            self.refresh_lane(lane)?;
        }
        Ok(())
    }

    /// Lets the lanes of a topic go on whose block has ended.
    pub(crate) fn end_blocks(&self, topic: &Topic) -> Result<(), Fault> {
        let now = micros(self.now);
        let ended = "SELECT id FROM lanes WHERE topic = ? AND blocked_until <= ? LIMIT ?";
        let lanes: Vec<i64> =
            self.all(ended, params![topic.as_str(), now, LANES_AT_ONCE], |row| row.get(0))?;
        for lane in lanes {
            let again = format!("UPDATE lanes SET blocked_until = {BLOCKED_UNTIL} WHERE id = ?2");
            self.run(&again, params![now, lane])?;
        }
        Ok(())
    }

    /// Computes the blocks of all lanes of a scope again, in every topic.
    pub(crate) fn apply_blocks(&self, scope: &str) -> Result<(), Fault> {
        let now = micros(self.now);
        let one = format!(
            "UPDATE lanes SET blocked_until = {BLOCKED_UNTIL} WHERE free = 0 AND name = ?2"
        );
        self.run(&one, params![now, scope])?;
        if scope.ends_with('/') {
            // U+10FFFF sorts after every character that a lane can have.
            let app = format!(
                "UPDATE lanes SET blocked_until = {BLOCKED_UNTIL}
                 WHERE free = 0 AND name > ?2 AND name < ?2 || char(1114111)"
            );
            self.run(&app, params![now, scope])?;
        }
        Ok(())
    }
}

/// The lanes of a topic that have something to promote, earliest first.
pub(crate) const PROMOTABLE: &str = "SELECT id FROM lanes
    WHERE topic = ? AND next_run_at <= ? AND blocked_until IS NULL
    ORDER BY next_run_at LIMIT ?";
