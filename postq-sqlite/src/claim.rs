//! Claiming: which due jobs go to whom.
//!
//! A claim chooses among lanes by their cached heads. Each lane it takes from then offers its next
//! job, which competes again, so the order is that of all due jobs although no row of waiting jobs
//! is ever walked through.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::feed::{Claim, Claimed, ClaimedJob, Mark, Only};
use postq_core::id::JobId;
use postq_core::machine::JobState;
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::asking::Asking;
use crate::error::Fault;
use crate::lanes::FOR_EVER;
use crate::only::Listed;
use crate::rows::{blob, micros, time_of};
use crate::writer::Tx;

/// What the jobs of a claim are ordered by: rank, `planned_at`, id. Lower goes first.
pub(crate) type Key = (i64, i64, [u8; 16]);

/// The lanes of a topic that have a due job and room, in the order of their heads.
pub(crate) const HEADS: &str =
    "SELECT id, free, name, running, head_rank, head_planned_at, head, head_run_at FROM lanes
     WHERE topic = ?1 AND head IS NOT NULL AND blocked_until IS NULL AND (free = 1 OR running < ?2)
     ORDER BY head_rank, head_planned_at, head";

/// The first job of a lane that is due by a time.
pub(crate) const FIRST_IN_LANE: &str =
    "SELECT rank, planned_at, job_id FROM due WHERE lane_id = ? AND run_at <= ?
     ORDER BY rank, planned_at, job_id LIMIT 1";

/// When the lanes of a topic that have room get their next job, earliest first.
pub(crate) const NEXT: &str = "SELECT id, free, name, next_run_at FROM lanes
     WHERE topic = ?1 AND next_run_at IS NOT NULL AND blocked_until IS NULL
       AND (free = 1 OR running < ?2)
     ORDER BY next_run_at";

/// The lanes of a topic whose block ends, and what waits in them.
pub(crate) const BLOCKED: &str =
    "SELECT free, name, blocked_until, min(ifnull(head_run_at, next_run_at),
                                          ifnull(next_run_at, head_run_at)) AS run_at FROM lanes
     WHERE topic = ?1 AND blocked_until < ?2 AND (head IS NOT NULL OR next_run_at IS NOT NULL)
     ORDER BY blocked_until";

/// What a claim wants, with the times it compares with.
pub(crate) struct Wanted<'a> {
    pub(crate) tx: &'a Tx<'a>,
    pub(crate) claim: &'a Claim,
    /// Jobs due by then may be claimed.
    pub(crate) horizon: DateTime<Utc>,
}

/// A lane with the job that it offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offer {
    pub(crate) key: Key,
    pub(crate) lane: i64,
    /// How many jobs of the lane may still be taken, this one included.
    pub(crate) room: i64,
}

/// Claims, in the open transaction.
pub(crate) fn claim(tx: &Tx<'_>, claim: &Claim, mark: Mark) -> Result<Claimed, Fault> {
    let ahead = TimeDelta::from_std(claim.ahead).unwrap_or(TimeDelta::days(365));
    let wanted = Wanted { tx, claim, horizon: tx.now + ahead };
    tx.end_blocks(&claim.topic)?;
    let mut asking = Asking::of(tx)?;
    tx.promote(&claim.topic, wanted.horizon)?;
    let mut listed = match claim.only {
        Only::Any => None,
        _ => Some(Listed::of(&wanted)?),
    };
    let mut offers: BinaryHeap<Reverse<Offer>> = match &mut listed {
        None => wanted.heads()?,
        Some(listed) => listed.offers(),
    };
    let mut jobs = Vec::new();
    while jobs.len() < claim.limit
        && let Some(Reverse(offer)) = offers.pop()
    {
        if !asking.admits(tx, offer.lane)? {
            continue;
        }
        match wanted.take(offer.key.2) {
            Ok(claimed) => {
                asking.taken(tx, offer.lane, claimed.job.id(), claim.lease)?;
                jobs.push(claimed);
            }
            Err(fault) if fault.is_unreadable() => wanted.set_aside(offer, &fault)?,
            Err(fault) => return Err(fault),
        }
        if offer.room > 1 {
            let next = match &mut listed {
                None => wanted.first_in(offer.lane)?,
                Some(listed) => listed.next(offer.lane),
            };
            offers.extend(next.map(|key| Reverse(Offer { key, room: offer.room - 1, ..offer })));
        }
    }
    // The next moment is told from the lanes as they are now.
    tx.refresh_touched()?;
    let next_at = match listed {
        None => wanted.next_of_any()?,
        Some(listed) => listed.next_at(&wanted, !offers.is_empty())?,
    };
    let next_at = earlier(next_at, wanted.end_of_blocks()?);
    Ok(Claimed { jobs, now: tx.now, mark, next_at: next_at.map(time_of).transpose()? })
}

impl Wanted<'_> {
    /// Whether this claim leaves the lane alone.
    pub(crate) fn skips(&self, free: bool, name: &str) -> bool {
        !free && self.claim.skip.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// How many more jobs of a lane may run.
    pub(crate) fn room(&self, free: bool, running: i64) -> i64 {
        if free { i64::MAX } else { i64::from(self.claim.lane_width) - running }
    }

    /// The best offers of as many lanes as the claim may take jobs.
    fn heads(&self) -> Result<BinaryHeap<Reverse<Offer>>, Fault> {
        let (mut offers, mut beyond) = (BinaryHeap::new(), Vec::new());
        if self.claim.limit == 0 {
            return Ok(offers);
        }
        let params = params![self.claim.topic.as_str(), self.claim.lane_width];
        self.tx.walk(HEADS, params, |row| {
            let (lane, free) = (row.get("id")?, row.get("free")?);
            if self.skips(free, row.get_ref("name")?.as_str()?) {
                return Ok(true);
            }
            let room = self.room(free, row.get("running")?);
            if row.get::<_, i64>("head_run_at")? > micros(self.horizon) {
                beyond.push((lane, room));
                return Ok(true);
            }
            let key = (row.get("head_rank")?, row.get("head_planned_at")?, row.get("head")?);
            offers.push(Reverse(Offer { key, lane, room }));
            Ok(offers.len() < self.claim.limit)
        })?;
        // Their heads were moved here for a claim that looked further ahead; behind them there may
        // be jobs that are due for this one.
        for (lane, room) in beyond {
            offers.extend(self.first_in(lane)?.map(|key| Reverse(Offer { key, lane, room })));
        }
        Ok(offers)
    }

    fn first_in(&self, lane: i64) -> Result<Option<Key>, Fault> {
        Ok(self.tx.get(FIRST_IN_LANE, params![lane, micros(self.horizon)], key)?)
    }

    /// Makes the job `running` here.
    fn take(&self, id: [u8; 16]) -> Result<ClaimedJob, Fault> {
        let (tx, claim) = (self.tx, self.claim);
        let Some(mut stored) = tx.job(JobId::from_uuid(Uuid::from_bytes(id)))? else {
            return Err(Fault::internal("a job waits in a lane and is in no table"));
        };
        // Read before anything is written: a row that cannot be read is left as it is.
        let evidence = tx.evidence(stored.job.root)?;
        stored.job.fence.0 += 1;
        stored.job.attempt += 1;
        stored.settled = None;
        tx.step(&mut stored, JobState::Running, Some(claim.node), None)?;
        tx.save(&stored)?;
        let lease = i64::try_from(claim.lease.as_millis()).unwrap_or(i64::MAX);
        let insert = "INSERT INTO leases (job_id, ends_at) VALUES (?, ?)";
        tx.run(insert, params![blob(stored.job.id().as_uuid()), tx.boot.saturating_add(lease)])?;
        Ok(ClaimedJob { job: stored.job, evidence })
    }

    /// Takes a job whose row cannot be read out of its lane, so that it holds back nobody: a dead
    /// letter, its row kept for whoever repairs it.
    fn set_aside(&self, offer: Offer, fault: &Fault) -> Result<(), Fault> {
        let (tx, (rank, planned_at, id)) = (self.tx, offer.key);
        let reason = format!("its row cannot be read: {fault}");
        let job = Uuid::from_bytes(id);
        tracing::error!(job_id = %job, reason, "set aside");
        let due =
            "DELETE FROM due WHERE lane_id = ? AND rank = ? AND planned_at = ? AND job_id = ?";
        tx.run(due, params![offer.lane, rank, planned_at, id])?;
        tx.touch(offer.lane);
        tx.set_job_aside(id, &reason)
    }

    /// The next moment at which some lane with room has something.
    fn next_of_any(&self) -> Result<Option<i64>, Fault> {
        let params = params![self.claim.topic.as_str(), self.claim.lane_width];
        let mut next = None;
        self.tx.walk(HEADS, params, |row| {
            if !self.skips(row.get("free")?, row.get_ref("name")?.as_str()?) {
                next = earlier(next, Some(row.get("head_run_at")?));
            }
            // What is due already is as soon as can be.
            Ok(next.is_none_or(|next| next > micros(self.tx.now)))
        })?;
        self.tx.walk(NEXT, params, |row| {
            let skipped = self.skips(row.get("free")?, row.get_ref("name")?.as_str()?);
            if !skipped {
                next = earlier(next, Some(row.get("next_run_at")?));
            }
            Ok(skipped)
        })?;
        Ok(next)
    }

    /// The moment at which some block ends that holds something back. A lane is closed until its
    /// block has really ended, however far ahead claims look; so that a caller who comes `ahead`
    /// before the moment it is told does not come in vain, it is told one that is so much later.
    fn end_of_blocks(&self) -> Result<Option<i64>, Fault> {
        let ahead = micros(self.horizon) - micros(self.tx.now);
        let mut next = None;
        self.tx.walk(BLOCKED, params![self.claim.topic.as_str(), FOR_EVER], |row| {
            let end = row.get::<_, i64>("blocked_until")?.saturating_add(ahead);
            if !self.skips(row.get("free")?, row.get_ref("name")?.as_str()?) {
                next = earlier(next, Some(end.max(row.get("run_at")?)));
            }
            Ok(next.is_none_or(|next| end < next))
        })?;
        Ok(next)
    }
}

/// Reads a key from the first three columns.
pub(crate) fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// The earlier one of two moments.
pub(crate) fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}
