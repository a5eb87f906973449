//! Claims that are restricted to some jobs: those that a queue proposed, or those of some schedules.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use postq_core::feed::Only;
use rusqlite::{Row, params};

use crate::claim::{HEADS, Key, NEXT, Offer, Wanted, earlier, key};
use crate::error::Fault;
use crate::rows::{hex_list, micros};

/// Waiting jobs that are looked at before those of the wanted schedules are asked for one by one: the
/// first is cheap when nearly all are wanted, the second when nearly none is.
const WALK: usize = 2_000;

/// The wanted jobs that can be claimed now, by lane.
pub(crate) struct Listed {
    lanes: BTreeMap<i64, Waiting>,
    /// There are more than were listed.
    more: bool,
}

struct Waiting {
    room: i64,
    keys: BTreeSet<Key>,
}

/// Claimable jobs of a topic among a list, with their lanes.
macro_rules! among {
    ($column:literal) => {
        concat!(
            "SELECT jobs.lane_id, free, name, running, -jobs.priority AS rank, jobs.planned_at,
                 jobs.id AS job_id, jobs.run_at
             FROM jobs JOIN lanes ON lanes.id = jobs.lane_id
             WHERE jobs.",
            $column,
            " IN (SELECT unhex(value) FROM json_each(?1))
               AND jobs.topic = ?2 AND jobs.state IN ('enqueued', 'failed')
               AND lanes.blocked_until IS NULL AND (free = 1 OR running < ?3)"
        )
    };
}

impl Listed {
    /// Works out the list.
    pub(crate) fn of(wanted: &Wanted<'_>) -> Result<Self, Fault> {
        let mut listed = Self { lanes: BTreeMap::new(), more: false };
        if !matches!(wanted.claim.only, Only::Schedules(_)) || !listed.walk_due(wanted)? {
            listed = Self { lanes: BTreeMap::new(), more: false };
            let horizon = micros(wanted.horizon);
            wanted.each_asked_for(|row| {
                if row.get::<_, i64>("run_at")? <= horizon {
                    listed.add(wanted, row)?;
                }
                Ok(())
            })?;
        }
        if let Only::Jobs(_) = wanted.claim.only {
            listed.keep_the_first(wanted)?;
        }
        Ok(listed)
    }

    /// Leaves out what is not among the first due jobs of its lane, as many as the lane has room for:
    /// a queue may propose a job and not know of one that goes before it.
    fn keep_the_first(&mut self, wanted: &Wanted<'_>) -> Result<(), Fault> {
        let horizon = micros(wanted.horizon);
        for (lane, waiting) in &mut self.lanes {
            // Without a lane no job waits for another.
            if waiting.room < i64::MAX {
                let params = params![lane, horizon, waiting.room];
                let first = wanted.tx.all(FIRST_OF_LANE, params, key)?;
                waiting.keys.retain(|key| first.contains(key));
            }
        }
        Ok(())
    }

    /// The first job of each lane.
    pub(crate) fn offers(&mut self) -> BinaryHeap<Reverse<Offer>> {
        let first = |(&lane, waiting): (&i64, &mut Waiting)| {
            let key = waiting.keys.pop_first()?;
            Some(Reverse(Offer { key, lane, room: waiting.room }))
        };
        self.lanes.iter_mut().filter_map(first).collect()
    }

    /// The next job of a lane.
    pub(crate) fn next(&mut self, lane: i64) -> Option<Key> {
        self.lanes.get_mut(&lane)?.keys.pop_first()
    }

    /// The next moment at which one of the wanted jobs can be claimed; those on `offer` can be now.
    pub(crate) fn next_at(self, wanted: &Wanted<'_>, offer: bool) -> Result<Option<i64>, Fault> {
        if offer || self.more {
            return Ok(Some(micros(wanted.tx.now)));
        }
        if let Only::Schedules(_) = wanted.claim.only
            && let Walked::All(next) = walk_later(wanted)?
        {
            return Ok(next);
        }
        let (mut next, horizon) = (None, micros(wanted.horizon));
        wanted.each_asked_for(|row| {
            let run_at = row.get("run_at")?;
            let skipped = wanted.skips(row.get("free")?, row.get_ref("name")?.as_str()?);
            if run_at > horizon && !skipped {
                next = earlier(next, Some(run_at));
            }
            Ok(())
        })?;
        Ok(next)
    }

    /// Looks through what is due, lane by lane in the order of their heads, until there is enough;
    /// false when that is too much.
    fn walk_due(&mut self, wanted: &Wanted<'_>) -> Result<bool, Fault> {
        let (tx, claim) = (wanted.tx, wanted.claim);
        let lanes = tx.all(HEADS, params![claim.topic.as_str(), claim.lane_width], |row| {
            let head = (row.get("head_rank")?, row.get("head_planned_at")?, row.get("head")?);
            Ok((row.get::<_, i64>("id")?, head))
        })?;
        let limit = claim.limit.max(1);
        let (mut seen, mut found) = (0, BTreeSet::new());
        for (lane, head) in lanes {
            // No job of this lane, nor of those behind it, comes before its head.
            if found.range(..head).count() >= limit {
                self.more = true;
                break;
            }
            let mut in_lane = 0;
            tx.walk(IN_LANE, [lane], |row| {
                seen += 1;
                let is_due = row.get::<_, i64>("run_at")? <= micros(wanted.horizon);
                let mut room = i64::MAX;
                if is_due
                    && wanted.has_schedule(row)?
                    && let Some((key, left)) = self.add(wanted, row)?
                {
                    found.insert(key);
                    in_lane += 1;
                    room = left;
                }
                self.more |= in_lane >= limit;
                Ok(seen <= WALK
                    && in_lane < limit
                    && i64::try_from(in_lane).is_ok_and(|n| n < room))
            })?;
            if seen > WALK {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lists a job, unless its lane is to be left alone; tells its key and the room in its lane.
    fn add(&mut self, wanted: &Wanted<'_>, row: &Row<'_>) -> rusqlite::Result<Option<(Key, i64)>> {
        let free = row.get("free")?;
        if wanted.skips(free, row.get_ref("name")?.as_str()?) {
            return Ok(None);
        }
        let room = wanted.room(free, row.get("running")?);
        let key = (row.get("rank")?, row.get("planned_at")?, row.get("job_id")?);
        let waiting = self.lanes.entry(row.get("lane_id")?);
        waiting.or_insert_with(|| Waiting { room, keys: BTreeSet::new() }).keys.insert(key);
        Ok(Some((key, room)))
    }
}

/// The first jobs of a lane that are due by a time.
const FIRST_OF_LANE: &str =
    "SELECT rank, planned_at, job_id FROM due WHERE lane_id = ? AND run_at <= ?
     ORDER BY rank, planned_at, job_id LIMIT ?";

/// The due jobs of one lane, with the lane.
const IN_LANE: &str =
    "SELECT lane_id, free, name, running, rank, planned_at, job_id, run_at, schedule_id
     FROM due JOIN lanes ON lanes.id = due.lane_id
     WHERE lane_id = ? ORDER BY rank, planned_at, job_id";

enum Walked {
    /// To the end: the first wanted one.
    All(Option<i64>),
    /// There was too much to walk through.
    TooMuch,
}

/// Looks for the first wanted job that becomes due.
fn walk_later(wanted: &Wanted<'_>) -> Result<Walked, Fault> {
    let (tx, claim) = (wanted.tx, wanted.claim);
    let mut lanes = Vec::new();
    tx.walk(NEXT, params![claim.topic.as_str(), claim.lane_width], |row| {
        if !wanted.skips(row.get("free")?, row.get_ref("name")?.as_str()?) {
            lanes.push((row.get::<_, i64>("id")?, row.get::<_, i64>("next_run_at")?));
        }
        Ok(lanes.len() <= WALK)
    })?;
    let (mut next, mut seen) = (None, lanes.len());
    let later = "SELECT run_at, schedule_id FROM later WHERE lane_id = ? ORDER BY run_at, job_id";
    for (lane, next_run_at) in lanes {
        // The lanes come in order, so no later one can have an earlier job.
        if next.is_some_and(|next| next <= next_run_at) {
            break;
        }
        tx.walk(later, [lane], |row| {
            seen += 1;
            let is_wanted = wanted.has_schedule(row)?;
            if is_wanted {
                next = earlier(next, Some(row.get("run_at")?));
            }
            Ok(!is_wanted && seen <= WALK)
        })?;
        if seen > WALK {
            return Ok(Walked::TooMuch);
        }
    }
    Ok(Walked::All(next))
}

impl Wanted<'_> {
    /// Whether the waiting job in the row belongs to a wanted schedule.
    fn has_schedule(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let Only::Schedules(schedules) = &self.claim.only else { return Ok(false) };
        let schedule = crate::rows::some_uuid(row, "schedule_id")?;
        Ok(schedule
            .is_some_and(|id| schedules.contains(&postq_core::id::ScheduleId::from_uuid(id))))
    }

    /// Reads the claimable jobs that the claim names, found by their ids or their schedules'.
    fn each_asked_for(
        &self,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Fault> {
        let (sql, list) = match &self.claim.only {
            Only::Any => return Ok(()),
            Only::Jobs(jobs) => (among!("id"), hex_list(jobs.iter().map(|id| id.as_uuid()))),
            Only::Schedules(ids) => {
                (among!("schedule_id"), hex_list(ids.iter().map(|id| id.as_uuid())))
            }
        };
        let params = params![list, self.claim.topic.as_str(), self.claim.lane_width];
        self.tx.walk(sql, params, |row| read(row).map(|()| true))?;
        Ok(())
    }
}
