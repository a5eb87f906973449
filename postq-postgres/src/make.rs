//! Making jobs, in bulk: whose id or key is there already, or was published, is left out.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use postq_core::id::{AccountId, JobId, NodeId, PostId, ScheduleId};
use postq_core::job::{DedupeKey, Job, Lane, NewJob};
use postq_core::machine::JobState;
use serde_json::Value;

use crate::args::args;
use crate::error::Fault;
use crate::rows::whole;
use crate::trail::Trail;
use crate::transition::{Phase, Stored};
use crate::tx::Tx;

/// A job to be made and how it begins.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) job: Job,
    pub(crate) begins: Begins,
    pub(crate) node: Option<NodeId>,
    pub(crate) reason: Option<String>,
}

/// The state in which a job begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Planned,
    Enqueued,
    Cancelled,
}

impl Birth {
    /// Claimable as soon as it is due.
    pub(crate) fn enqueued(made: &NewJob, node: Option<NodeId>) -> Self {
        let job = Job::from_new(made.clone());
        Self { job, begins: Begins::Enqueued, node, reason: None }
    }

    /// The job with its first events.
    fn stored(&self, lane_id: i64, now: DateTime<Utc>) -> Result<Stored, Fault> {
        let mut job = self.job.clone();
        job.made.planned_at = whole(job.made.planned_at);
        job.run_at = whole(job.run_at);
        let mut stored = Stored {
            job,
            phase: Phase::Planned,
            lane_id,
            settled: None,
            replayed_by: None,
            trail: Trail::default(),
        };
        let fence = stored.job.fence;
        stored.trail.add(now, None, JobState::Planned, fence, self.node, None)?;
        let reason = self.reason.as_deref();
        match self.begins {
            Begins::Planned => {}
            Begins::Enqueued => stored.step(JobState::Enqueued, now, self.node, reason)?,
            Begins::Cancelled => stored.step(JobState::Cancelled, now, self.node, reason)?,
        }
        Ok(stored)
    }
}

impl Tx<'_> {
    /// Makes jobs; answers which were made, in order.
    pub(crate) async fn make(
        &self,
        births: &[Birth],
        now: DateTime<Utc>,
    ) -> Result<Vec<JobId>, Fault> {
        let mut seen = BTreeSet::new();
        let births: Vec<&Birth> = births.iter().filter(|b| seen.insert(b.job.id())).collect();
        if births.is_empty() {
            return Ok(Vec::new());
        }
        let key = |birth: &Birth| (birth.job.made.topic.clone(), birth.job.made.lane.clone());
        let lanes = self.lanes(&births.iter().map(|birth| key(birth)).collect()).await?;
        let mut jobs = Vec::with_capacity(births.len());
        for birth in births {
            let lane_id = lanes
                .get(&key(birth))
                .ok_or_else(|| Fault::internal("a lane that was just made is gone"))?;
            jobs.push(birth.stored(*lane_id, now)?);
        }
        let made = self.insert(&jobs).await?;
        jobs.retain(|job| made.contains(&job.job.id()));
        self.put_all(&mut jobs, now).await?;
        Ok(jobs.iter().map(|job| job.job.id()).collect())
    }

    /// Inserts what the jobs were made from; answers which were new.
    async fn insert(&self, jobs: &[Stored]) -> Result<BTreeSet<JobId>, Fault> {
        // Two that insert the same keys meet in the same order, and none waits in a circle.
        let mut sorted: Vec<&Stored> = jobs.iter().collect();
        sorted.sort_by_key(|job| job.job.made.dedupe_key.as_ref());
        let payloads: Result<Vec<_>, _> = sorted
            .iter()
            .map(|job| match &job.job.made.payload {
                Value::Null => Ok(None),
                payload => serde_json::to_string(payload).map(Some),
            })
            .collect();
        let insert = "INSERT INTO {s}.job (id, tenant_id, kind, topic, lane, lane_id, priority,
                 planned_at, max_attempts, dedupe_key, schedule_id, post_id, account_id,
                 correlation_id, payload, root, replay_of)
             SELECT g.* FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                 $16, $17) AS g (id, tenant_id, kind, topic, lane, lane_id, priority, planned_at,
                 max_attempts, dedupe_key, schedule_id, post_id, account_id, correlation_id, payload,
                 root, replay_of)
             WHERE g.dedupe_key IS NULL OR NOT EXISTS (
                 SELECT 1 FROM {s}.published_posts p WHERE p.dedupe_key = g.dedupe_key)
             ON CONFLICT DO NOTHING RETURNING id";
        let made: Vec<&NewJob> = sorted.iter().map(|job| &job.job.made).collect();
        let args = args![
            made.iter().map(|made| made.id.as_uuid()).collect::<Vec<_>>(),
            made.iter().map(|made| made.tenant_id.as_uuid()).collect::<Vec<_>>(),
            made.iter().map(|made| made.kind.as_str()).collect::<Vec<_>>(),
            made.iter().map(|made| made.topic.as_str()).collect::<Vec<_>>(),
            made.iter().map(|made| made.lane.as_ref().map(Lane::as_str)).collect::<Vec<_>>(),
            sorted.iter().map(|job| job.lane_id).collect::<Vec<_>>(),
            made.iter().map(|made| made.priority).collect::<Vec<_>>(),
            made.iter().map(|made| made.planned_at).collect::<Vec<_>>(),
            made.iter().map(|made| i64::from(made.max_attempts)).collect::<Vec<_>>(),
            made.iter()
                .map(|made| made.dedupe_key.as_ref().map(DedupeKey::as_str))
                .collect::<Vec<_>>(),
            made.iter().map(|made| made.schedule_id.map(ScheduleId::as_uuid)).collect::<Vec<_>>(),
            made.iter().map(|made| made.post_id.map(PostId::as_uuid)).collect::<Vec<_>>(),
            made.iter().map(|made| made.account_id.map(AccountId::as_uuid)).collect::<Vec<_>>(),
            made.iter().map(|made| made.correlation_id.as_str()).collect::<Vec<_>>(),
            payloads?,
            sorted.iter().map(|job| job.job.root.as_uuid()).collect::<Vec<_>>(),
            sorted.iter().map(|job| job.job.replay_of.map(JobId::as_uuid)).collect::<Vec<_>>(),
        ];
        let made = self.sql.all(insert, args, |row| Ok(JobId::from_uuid(row.try_get(0)?))).await?;
        Ok(made.into_iter().collect())
    }
}
