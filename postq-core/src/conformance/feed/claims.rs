//! Rules 1 to 3, 7 and 8: what a claim gives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::backend::Backend;
use crate::conformance::eventually;
use crate::conformance::fixtures::{World, plain_job, refused};
use crate::feed::{Claim, Only, Settle};
use crate::id::{JobId, NodeId, ScheduleId};
use crate::intent::Evidence;
use crate::job::{NewJob, Topic};
use crate::machine::JobState;
use crate::retry::RetryDecision;

/// A claim turns due `enqueued` and `failed` jobs into `running` ones: fence and attempt rise by one,
/// the lease starts, the transition is recorded.
pub async fn a_claim_raises_fence_and_attempt(backend: Backend) {
    let world = World::new(backend).await;
    let made = world.due_job().await;
    let before = world.now().await;

    let claimed = world.take_claimed().await;

    let job = &claimed.job;
    assert_eq!(claimed.evidence, Evidence::default(), "nothing was sent");
    assert_eq!((job.id(), job.state), (made.id, JobState::Running));
    assert_eq!((job.fence.0, job.attempt, job.node), (1, 1, Some(world.node)));
    let after = world.now().await;
    assert!(job.started_at.is_some_and(|at| at >= before && at <= after));
    assert_eq!(world.job_now(made.id).await, *job, "the store has what was given");
    let event = world.story(made.id).await.events.pop().expect("an event");
    assert_eq!((event.from, event.to), (Some(JobState::Enqueued), JobState::Running));
    assert_eq!((event.fence.0, event.node), (1, Some(world.node)));

    let soon = world.now().await;
    world.apply(job, Settle::Failed(refused(), RetryDecision::RetryAt(soon))).await;
    let other = World { node: NodeId::new(), ..world.clone() };
    let again = other.take().await;
    assert_eq!((again.fence.0, again.attempt, again.node), (2, 2, Some(other.node)));
    let event = world.story(made.id).await.events.pop().expect("an event");
    assert_eq!((event.from, event.to), (Some(JobState::Failed), JobState::Running));
}

/// A job is never claimed earlier than `ahead` before its `run_at`.
pub async fn nothing_is_claimed_early(backend: Backend) {
    let world = World::new(backend).await;
    let far = plain_job(None, 9, world.at(60_000).await);
    let soon = plain_job(None, 0, world.at(400).await);
    world.insert(&[far.clone(), soon.clone()]).await;
    let ahead = |seconds| Claim { ahead: Duration::from_secs(seconds), ..world.claim(10) };

    let claimed = eventually("the job becomes due", async || {
        let claimed = world.backend.feed.claim(&world.claim(10)).await.expect("claim");
        let early = claimed.now < soon.planned_at;
        assert!(claimed.jobs.is_empty() || !early, "claimed at {}", claimed.now);
        (!claimed.jobs.is_empty()).then_some(claimed)
    })
    .await;
    assert_eq!(claimed.jobs[0].job.id(), soon.id);
    assert_eq!(claimed.jobs.len(), 1, "the other one is not due");

    assert!(world.claim_now(&ahead(30)).await.is_empty(), "half a minute is too early");
    let got = world.claim_n(&ahead(61), 1).await;
    assert_eq!(got[0].id(), far.id, "its worker waits for the moment itself");

    let retry = RetryDecision::RetryAt(world.at(60_000).await);
    world.apply(&got[0], Settle::Failed(refused(), retry)).await;
    assert!(world.claim_now(&ahead(30)).await.is_empty(), "nor is a retry early");
}

/// However many claim at once, a job goes to one of them.
pub async fn claims_are_exclusive(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let jobs: Vec<_> = (0..96)
        .map(|n| {
            let lane = format!("test/{}", n % 48);
            plain_job((n % 3 > 0).then_some(lane.as_str()), n % 2, at)
        })
        .collect();
    world.insert(&jobs).await;
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let world = World { node: NodeId::new(), ..world.clone() };
        claimers.spawn(async move {
            let claim = Claim { lane_width: 2, ..world.claim(5) };
            let mut got = Vec::new();
            for _ in 0..30 {
                got.extend(world.claim_now(&claim).await.into_iter().map(|claimed| claimed.job));
            }
            got
        });
    }

    let got = claimers.join_all().await.concat();

    let ids: BTreeSet<_> = got.iter().map(|job| job.id()).collect();
    assert_eq!(ids.len(), got.len(), "none twice");
    assert!(got.iter().all(|job| job.fence.0 == 1));
    let claim = Claim { lane_width: 2, ..world.claim(100) };
    let rest = world.claim_n(&claim, jobs.len() - got.len()).await;
    let ids: BTreeSet<_> = got.iter().chain(&rest).map(|job| job.id()).collect();
    assert_eq!(ids, jobs.iter().map(|job| job.id).collect(), "none left out");
    for job in got {
        assert_eq!(world.job_now(job.id()).await.node, job.node, "held by whom it was given to");
    }
}

/// `only` leaves other jobs untouched.
pub async fn only_what_is_asked_for_is_claimed(backend: Backend) {
    let world = World::new(backend).await;
    let (ours, theirs) = (ScheduleId::new(), ScheduleId::new());
    let at = world.at(-1_000).await;
    let of = |schedule: Option<ScheduleId>, priority| NewJob {
        schedule_id: schedule,
        ..plain_job(Some("test/a"), priority, at)
    };
    let jobs = [of(None, 9), of(Some(theirs), 8), of(Some(ours), 7), of(Some(ours), 6)];
    world.insert(&jobs).await;
    let only = |only| Claim { only, ..world.claim(10) };
    let of_schedules =
        |ids: &[ScheduleId]| only(Only::Schedules(Arc::new(ids.iter().copied().collect())));
    let of_jobs = |ids: &[JobId]| only(Only::Jobs(Arc::new(ids.iter().copied().collect())));

    assert!(world.claim_now(&of_schedules(&[])).await.is_empty(), "of none");
    assert!(world.claim_now(&of_schedules(&[ScheduleId::new()])).await.is_empty());
    assert!(world.claim_now(&of_jobs(&[JobId::new()])).await.is_empty());

    let got = world.claim_n(&of_schedules(&[ours]), 1).await;
    assert_eq!(got[0].id(), jobs[2].id, "the first of ours");
    let full = world.claim_now(&of_jobs(&[jobs[1].id])).await;
    assert!(full.is_empty(), "the lane is full, whoever fills it");
    world.apply(&got[0], Settle::Succeeded(None)).await;

    let got = world.claim_n(&of_jobs(&[jobs[3].id, jobs[0].id]), 1).await;
    assert_eq!(got[0].id(), jobs[0].id, "the first of these");
    for untouched in [&jobs[1], &jobs[3]] {
        let job = world.job_now(untouched.id).await;
        assert_eq!((job.state, job.fence.0), (JobState::Enqueued, 0));
    }
}

async fn next_at(world: &World) -> Option<DateTime<Utc>> {
    world.backend.feed.claim(&world.claim(10)).await.expect("claim").next_at
}

/// `next_at` is the next moment worth a claim.
pub async fn a_claim_tells_the_next_moment(backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(next_at(&world).await, None, "nothing waits");

    let (near, far) = (world.at(60_000).await, world.at(120_000).await);
    world.insert(&[plain_job(Some("test/a"), 9, far)]).await;
    assert_eq!(next_at(&world).await, Some(far));
    world.insert(&[plain_job(Some("test/b"), 0, near)]).await;
    assert_eq!(next_at(&world).await, Some(near), "the earliest");
    world
        .insert(&[NewJob { topic: Topic::notify(), ..plain_job(None, 0, world.now().await) }])
        .await;
    assert_eq!(next_at(&world).await, Some(near), "of the topic");

    world.insert(&[plain_job(Some("test/c"), 0, world.at(-1_000).await)]).await;
    let running = world.take().await;
    world.insert(&[plain_job(Some("test/c"), 0, world.at(-1_000).await)]).await;
    assert_eq!(next_at(&world).await, Some(near), "a full lane counts as nothing");
    let ahead = Claim { ahead: Duration::from_secs(5), ..world.claim(10) };
    let claimed = world.backend.feed.claim(&ahead).await.expect("claim");
    assert_eq!(claimed.next_at, Some(near), "the time of the job, however far ahead is claimed");

    let retry = world.at(30_000).await;
    world.apply(&running, Settle::Failed(refused(), RetryDecision::RetryAt(retry))).await;
    let claim = world.backend.feed.claim(&world.claim(10)).await.expect("claim");
    assert_eq!(claim.jobs.len(), 1, "the lane is free for the next one");
    world.apply(&claim.jobs[0].job, Settle::Succeeded(None)).await;
    assert_eq!(next_at(&world).await, Some(retry), "a retry is worth a claim");
}

/// Workers of one topic do not see the jobs of another.
pub async fn topics_are_claimed_apart(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let publish = plain_job(Some("test/a"), 0, at);
    let notify = NewJob { topic: Topic::notify(), ..plain_job(Some("test/a"), 9, at) };
    world.insert(&[publish.clone(), notify.clone()]).await;

    let job = world.take().await;
    assert_eq!(job.id(), publish.id);
    world.assert_nothing_to_claim().await;

    let claim = Claim { topic: Topic::notify(), ..world.claim(10) };
    let got = world.claim_n(&claim, 1).await;
    assert_eq!(got[0].id(), notify.id, "a lane that is full in one topic is free in another");
}
