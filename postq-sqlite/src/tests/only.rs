//! Claims of some schedules against the plain truth, however the two ways of finding them divide it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use postq_core::feed::Only;
use postq_core::id::{JobId, ScheduleId};
use postq_core::job::NewJob;

use crate::writer::Tx;

use super::{claim, database, insert, job, now, seconds, up_to};

/// What should be claimed: all wanted due jobs in order, one per lane.
fn expected(
    jobs: &[NewJob],
    wanted: &BTreeSet<ScheduleId>,
    now: DateTime<Utc>,
    limit: usize,
) -> Vec<JobId> {
    let is_wanted = |job: &&NewJob| job.schedule_id.is_some_and(|id| wanted.contains(&id));
    let mut due: Vec<_> =
        jobs.iter().filter(is_wanted).filter(|job| job.planned_at <= now).collect();
    due.sort_by_key(|job| (-job.priority, job.planned_at, job.id));
    let mut lanes = BTreeMap::new();
    due.retain(|job| lanes.insert(job.lane.clone(), ()).is_none());
    due.iter().take(limit).map(|job| job.id).collect()
}

fn check(foreign: i64, limit: usize) {
    let conn = database();
    let start = now();
    let tx = Tx::new(&conn, start);
    let schedules: Vec<_> = (0..10).map(|_| ScheduleId::new()).collect();
    let wanted: BTreeSet<_> = schedules[..5].iter().copied().collect();
    let own = (0..60).map(|n: i16| NewJob {
        priority: n % 3,
        schedule_id: Some(schedules[usize::try_from(n % 10).expect("small")]),
        ..job(&format!("x/{}", n % 7), start - seconds(i64::from(n * 37 % 60) - 10))
    });
    let others = (0..foreign).map(|n| job(&format!("x/{}", n % 7), start - seconds(n + 60)));
    let jobs: Vec<_> = own.chain(others).collect();
    insert(&tx, &jobs);
    let mut asked = up_to(limit);
    asked.only = Only::Schedules(Arc::new(wanted.clone()));

    let claimed = claim(&tx, &asked);

    let ids: Vec<_> = claimed.jobs.iter().map(|claimed| claimed.job.id()).collect();
    assert_eq!(ids, expected(&jobs, &wanted, start, limit), "{foreign} others, limit {limit}");
    if ids.len() == limit {
        assert!(claimed.next_at.is_some_and(|next| next <= start), "there is more");
    }
}

#[test]
fn the_wanted_ones_are_found_among_few_and_among_many() {
    for foreign in [0, 50, 2_500] {
        for limit in [1, 3, 100] {
            check(foreign, limit);
        }
    }
}
