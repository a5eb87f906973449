//! The claimable jobs by topic and lane, so that a claim looks at the lanes that have something due
//! and at nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::id::JobId;
use crate::job::{Job, Lane, Topic};
use crate::machine::JobState;

/// The order in which due jobs go: the highest priority, the earliest plan, the lowest id.
pub(super) type Rank = (Reverse<i16>, DateTime<Utc>, JobId);

pub(super) fn rank(job: &Job) -> Rank {
    (Reverse(job.made.priority), job.made.planned_at, job.id())
}

/// The jobs of one lane, or those of a topic that have none.
#[derive(Debug, Default)]
pub(super) struct LaneJobs {
    /// The claimable ones, in the order in which they go.
    pub(super) ranked: BTreeSet<Rank>,
    /// The same by `run_at`.
    pub(super) times: BTreeSet<(DateTime<Utc>, JobId)>,
    pub(super) running: u32,
}

#[derive(Debug, Default)]
struct TopicLanes {
    lanes: BTreeMap<Option<Lane>, LaneJobs>,
    /// The lanes that have something claimable, by the earliest `run_at` in them.
    by_time: BTreeSet<(DateTime<Utc>, Option<Lane>)>,
}

/// All lanes of all topics.
#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<Topic, TopicLanes>);

impl Lanes {
    /// The lanes of a topic that have something claimable, those with the earliest first.
    pub(super) fn by_time(
        &self,
        topic: &Topic,
    ) -> impl Iterator<Item = (DateTime<Utc>, Option<&Lane>, &LaneJobs)> {
        let topic = self.0.get(topic).into_iter();
        topic.flat_map(|topic| {
            topic.by_time.iter().map(|(at, lane)| (*at, lane.as_ref(), &topic.lanes[lane]))
        })
    }

    /// The jobs of a lane; none if nothing waits or runs in it.
    pub(super) fn of(&self, topic: &Topic, lane: &Option<Lane>) -> Option<&LaneJobs> {
        self.0.get(topic)?.lanes.get(lane)
    }

    /// Takes a job in, in the state in which it is.
    pub(super) fn put(&mut self, job: &Job) {
        self.change(job, |lane| match job.state {
            JobState::Enqueued | JobState::Failed => {
                lane.ranked.insert(rank(job));
                lane.times.insert((job.run_at, job.id()));
            }
            JobState::Running => lane.running += 1,
            _ => {}
        });
    }

    /// Takes a job out, before its state or its `run_at` changes.
    pub(super) fn take(&mut self, job: &Job) {
        self.change(job, |lane| match job.state {
            JobState::Enqueued | JobState::Failed => {
                lane.ranked.remove(&rank(job));
                lane.times.remove(&(job.run_at, job.id()));
            }
            JobState::Running => lane.running -= 1,
            _ => {}
        });
    }

    /// Changes a job's lane and keeps the order of the lanes true. Empty lanes go.
    fn change(&mut self, job: &Job, change: impl FnOnce(&mut LaneJobs)) {
        let name = job.made.lane.clone();
        let topic = self.0.entry(job.made.topic.clone()).or_default();
        let lane = topic.lanes.entry(name.clone()).or_default();
        if let Some((earliest, _)) = lane.times.first() {
            topic.by_time.remove(&(*earliest, name.clone()));
        }
        change(lane);
        match lane.times.first() {
            Some((earliest, _)) => {
                topic.by_time.insert((*earliest, name));
            }
            None if lane.running == 0 => {
                topic.lanes.remove(&name);
            }
            None => {}
        }
    }
}
