//! The `media.prepare` jobs: made when a post with media is planned, long before it is due.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::{StoreError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{JobId, PostId, TenantId};
use postq_core::job::{DedupeKey, Job, JobKind, NewJob, Topic};
use postq_core::machine::JobState;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::engine::Shared;

/// New posts with media are looked for so often.
const EVERY: Duration = Duration::from_secs(15);
/// Jobs in one call, and calls in one round.
const BATCH: usize = 500;
const CALLS: usize = 20;
/// What is remembered of jobs that were made, so that they are not made again and again in vain.
const MOST_SEEN: usize = 20_000;
/// The first wait may be any long; a platform's own limits are its pace.
const ATTEMPTS: u32 = 8;

/// What a `media.prepare` job carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// Whose media.
    pub(crate) post: PostId,
    /// The root of the publish job that they are for.
    pub(crate) root: JobId,
    /// When the post is due.
    pub(crate) due: DateTime<Utc>,
}

impl Payload {
    pub(crate) fn of(job: &Job) -> Result<Self, Failure> {
        Self::deserialize(&job.made.payload).map_err(|error| {
            let message = format!("read what is to be prepared: {error}");
            Failure::not_published(FailureClass::Content, message)
        })
    }
}

/// Looks for publish jobs whose media are to be prepared.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    last: Option<Instant>,
    seen: BTreeSet<(JobId, u32)>,
}

impl Ahead {
    /// Looks again, if it is time.
    pub(crate) async fn again(&mut self, shared: &Shared) {
        let early = self.last.is_some_and(|last| last.elapsed() < EVERY);
        if early || shared.media.is_none() || !shared.settings.plan {
            return;
        }
        self.last = Some(Instant::now());
        if let Err(error) = self.round(shared).await {
            tracing::warn!(error = chain(&error), "media are not prepared ahead; tried again");
        }
    }

    /// Only posts with media are planned so long before they are due: nothing else is looked at.
    async fn round(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let settings = &shared.settings;
        if settings.prepare_ahead <= settings.look_ahead {
            return Ok(());
        }
        let now = shared.bounded("tell the time", shared.backend.jobs.now()).await?;
        let mut span = now + settings.look_ahead..now + settings.prepare_ahead + MARGIN;
        for _ in 0..CALLS {
            let found = shared.backend.jobs.planned_in(TenantId::DEFAULT, &span, BATCH);
            let found = shared.bounded("list what is planned", found).await?;
            self.make(shared, &found, now).await?;
            match found.last() {
                Some(last) if found.len() == BATCH => {
                    // Some of one moment may come twice. Of more than a batch of them the rest is left
                    // out here, and prepared when it is due.
                    span.start = last.made.planned_at.max(span.start + TimeDelta::microseconds(1));
                }
                _ => break,
            }
        }
        Ok(())
    }

    async fn make(
        &mut self,
        shared: &Shared,
        found: &[Job],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let waits = |job: &&Job| {
            matches!(job.state, JobState::Planned | JobState::Enqueued | JobState::Failed)
        };
        let posts: BTreeSet<PostId> =
            found.iter().filter(waits).filter_map(|job| job.made.post_id).collect();
        if posts.is_empty() {
            return Ok(());
        }
        let posts: Vec<PostId> = posts.into_iter().collect();
        let posts = shared.bounded("load posts", shared.backend.posts.load(&posts)).await?;
        let mut jobs = Vec::new();
        for job in found.iter().filter(waits) {
            let Some(post) = posts.iter().find(|post| Some(post.id) == job.made.post_id) else {
                continue;
            };
            if !post.content.has_media() || self.seen.contains(&(job.id(), post.revision)) {
                continue;
            }
            jobs.push((
                job.id(),
                post.revision,
                preparing(shared, job, post.id, post.revision, now),
            ));
        }
        let made: Vec<NewJob> = jobs.iter().map(|(_, _, job)| job.clone()).collect();
        if made.is_empty() {
            return Ok(());
        }
        shared.bounded("make media jobs", shared.backend.jobs.insert(&made)).await?;
        if self.seen.len() + jobs.len() > MOST_SEEN {
            self.seen.clear();
        }
        self.seen.extend(jobs.iter().map(|(job, revision, _)| (*job, *revision)));
        Ok(())
    }
}

/// Planning and this look do not happen at one moment.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

/// The job that prepares what a publish job needs: one for each revision of the post.
fn preparing(
    shared: &Shared,
    job: &Job,
    post: PostId,
    revision: u32,
    now: DateTime<Utc>,
) -> NewJob {
    let made = &job.made;
    let payload = Payload { post, root: job.root, due: made.planned_at };
    NewJob {
        id: shared.job_id(now),
        tenant_id: made.tenant_id,
        lane: made.lane.clone(),
        account_id: made.account_id,
        correlation_id: made.correlation_id.clone(),
        max_attempts: ATTEMPTS,
        dedupe_key: Some(DedupeKey::new(format!("media:{}:{revision}", job.id()))),
        payload: serde_json::to_value(payload).expect("plain data"),
        ..NewJob::new(JobKind::media_prepare(), Topic::media(), now)
    }
}
