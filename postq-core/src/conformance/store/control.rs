//! The rules of [`JobControl`](crate::store::JobControl).

use std::collections::BTreeSet;

use crate::backend::Backend;
use crate::conformance::fixtures::{World, cut, refused};
use crate::feed::{Deferral, Settle};
use crate::id::JobId;
use crate::intent::IntentState;
use crate::job::{DeadReason, NewJob, Resolution};
use crate::machine::JobState;
use crate::retry::RetryDecision;
use crate::store::{Controlled, ReplayKey, Replayed};

async fn cancel(world: &World, id: JobId) -> Controlled {
    world.backend.control.cancel(id, "not any more").await.expect("cancel")
}

async fn due_now(world: &World, id: JobId) -> Controlled {
    world.backend.control.due_now(id).await.expect("due now")
}

async fn replay(world: &World, id: JobId, key: ReplayKey) -> Replayed {
    world.backend.control.replay(id, key).await.expect("replay")
}

async fn resolve(world: &World, id: JobId, resolution: Resolution) -> Controlled {
    world.backend.control.resolve(id, resolution).await.expect("resolve")
}

/// `cancel` ends a waiting job: `enqueued` becomes `cancelled`, `failed` a `dead_letter` with the
/// reason `cancelled`. A cancel that applied never publishes.
pub async fn a_cancelled_job_never_runs(backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(cancel(&world, JobId::new()).await, Controlled::Gone);

    let enqueued = world.due_job().await;
    assert_eq!(cancel(&world, enqueued.id).await, Controlled::Applied);
    let cancelled = world.job_now(enqueued.id).await;
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert_eq!(cancelled.reason.as_deref(), Some("not any more"));
    assert!(cancelled.finished_at.is_some());
    let event = world.story(enqueued.id).await.events.pop().expect("an event");
    assert_eq!(event.reason.as_deref(), Some("not any more"));

    let failed = world.crashed().await;
    assert_eq!(cancel(&world, failed.id()).await, Controlled::Applied);
    let given_up = world.job_now(failed.id()).await;
    assert_eq!(given_up.state, JobState::DeadLetter);
    assert_eq!(given_up.dead_reason, Some(DeadReason::Cancelled));
    assert_eq!(given_up.resolution, None);

    world.assert_nothing_to_claim().await;
    for id in [enqueued.id, failed.id()] {
        let state = world.job_now(id).await.state;
        assert_eq!(cancel(&world, id).await, Controlled::Refused(state), "it has ended");
        world.path(id).await;
    }
}

/// A running job and one with an open intent cannot be cancelled.
pub async fn what_may_be_out_cannot_be_cancelled(backend: Backend) {
    let world = World::new(backend).await;
    let job = world.running().await;
    assert_eq!(cancel(&world, job.id()).await, Controlled::AlreadyPublishing, "it runs");

    world.send(&job, 0).await;
    let soon = world.now().await;
    world.apply(&job, Settle::Failed(cut(), RetryDecision::RetryAt(soon))).await;
    assert_eq!(cancel(&world, job.id()).await, Controlled::AlreadyPublishing, "failed, unknown");

    let job = world.take().await;
    world.apply(&job, Settle::Deferred(soon, Deferral::Looking { absent: false })).await;
    assert_eq!(cancel(&world, job.id()).await, Controlled::AlreadyPublishing, "between two looks");

    let job = world.take().await;
    world.apply(&job, Settle::Absent { part: 0 }).await;
    world.apply(&job, Settle::Failed(refused(), RetryDecision::RetryAt(soon))).await;
    assert_eq!(cancel(&world, job.id()).await, Controlled::Applied, "surely not out");

    let (done, _) = world.published().await;
    assert_eq!(cancel(&world, done.id()).await, Controlled::Refused(JobState::Succeeded));
}

/// `due_now` makes a waiting job due now; others are refused.
pub async fn due_now_makes_it_due(backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(due_now(&world, JobId::new()).await, Controlled::Gone);

    let later = world.job(world.at(3_600_000).await);
    world.insert(std::slice::from_ref(&later)).await;
    world.assert_nothing_to_claim().await;
    assert_eq!(due_now(&world, later.id).await, Controlled::Applied);
    let job = world.take().await;
    assert_eq!((job.id(), job.made.planned_at), (later.id, later.planned_at));

    let refused_running = due_now(&world, job.id()).await;
    assert_ne!(refused_running, Controlled::Applied, "it runs");
    assert_eq!(world.job_now(job.id()).await.state, JobState::Running);

    let retry = RetryDecision::RetryAt(world.at(3_600_000).await);
    world.apply(&job, Settle::Failed(refused(), retry)).await;
    world.assert_nothing_to_claim().await;
    assert_eq!(due_now(&world, job.id()).await, Controlled::Applied, "a waiting retry");
    let job = world.take().await;
    assert_eq!((job.attempt, job.fence.0), (2, 2));

    let retry = RetryDecision::GiveUp(DeadReason::Content);
    world.apply(&job, Settle::Failed(refused(), retry)).await;
    assert_eq!(due_now(&world, job.id()).await, Controlled::Refused(JobState::DeadLetter));
    let (done, _) = world.published().await;
    assert_eq!(due_now(&world, done.id()).await, Controlled::Refused(JobState::Succeeded));
}

/// A dead letter is replayed once: again, and at the same time, answers the same job.
pub async fn a_dead_letter_is_replayed_once(backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(replay(&world, JobId::new(), ReplayKey::Keep).await, Replayed::Gone);
    let waiting = world.job(world.at(3_600_000).await);
    world.insert(std::slice::from_ref(&waiting)).await;
    assert_eq!(replay(&world, waiting.id, ReplayKey::Keep).await, Replayed::Refused);

    let dead = world.dead_letter().await;
    let mut askers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let world = world.clone();
        let key = if n % 2 == 0 { ReplayKey::Keep } else { ReplayKey::New };
        askers.spawn(async move { replay(&world, dead.made.id, key).await });
    }
    let answers = askers.join_all().await;
    let ids: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Replayed::By(id) => id,
            other => panic!("it can be replayed: {other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 1, "one job for all who asked");
    let id = *ids.first().expect("one");

    let letter = world.job_now(dead.made.id).await;
    assert_eq!(
        (letter.state, letter.resolution),
        (JobState::DeadLetter, Some(Resolution::Replayed))
    );
    let job = world.take().await;
    assert_eq!((job.id(), job.replay_of, job.attempt), (id, Some(letter.id()), 1));
    assert_eq!((&job.made.dedupe_key, job.resolution, job.dead_reason), (&None, None, None));
    let same =
        |made: &NewJob| (made.lane.clone(), made.post_id, made.account_id, made.payload.clone());
    let new = world.job_now(id).await.made;
    assert_eq!(same(&new), same(&letter.made));
    let start = world.path(id).await;
    assert_eq!(start, [JobState::Planned, JobState::Enqueued, JobState::Running]);

    world.give_up(&job, DeadReason::OutcomeUnknown).await;
    let again = replay(&world, id, ReplayKey::Keep).await;
    assert!(matches!(again, Replayed::By(other) if other != id), "a replay can be replayed");
    let first = replay(&world, letter.id(), ReplayKey::Keep).await;
    assert_eq!(first, Replayed::By(id), "the old letter answers as before");

    let letter = world.take().await;
    world.give_up(&letter, DeadReason::OutcomeUnknown).await;
    assert_eq!(resolve(&world, letter.id(), Resolution::Discarded).await, Controlled::Applied);
    assert_eq!(replay(&world, letter.id(), ReplayKey::Keep).await, Replayed::Refused);
}

/// `resolve` sets the resolution of an unresolved dead letter; marking it as published closes its
/// open intents.
pub async fn a_dead_letter_is_resolved_once(backend: Backend) {
    let world = World::new(backend).await;
    let gone = resolve(&world, JobId::new(), Resolution::Discarded).await;
    assert_eq!(gone, Controlled::Gone);
    let running = world.running().await;
    let refused = resolve(&world, running.id(), Resolution::Discarded).await;
    assert_eq!(refused, Controlled::Refused(JobState::Running));
    world.apply(&running, Settle::Succeeded(Some(world.receipt(0).await))).await;

    let cases = [
        (Resolution::MarkedPublished, Resolution::Discarded, IntentState::Published),
        (Resolution::Discarded, Resolution::MarkedPublished, IntentState::Open),
    ];
    for (chosen, other, state) in cases {
        let dead = world.dead_letter().await;

        assert_eq!(resolve(&world, dead.id(), chosen).await, Controlled::Applied);
        assert_eq!(resolve(&world, dead.id(), chosen).await, Controlled::Applied, "again");
        let refused = resolve(&world, dead.id(), other).await;
        assert_eq!(refused, Controlled::Refused(JobState::DeadLetter), "{other:?}");

        let story = world.story(dead.id()).await;
        assert_eq!(story.job.resolution, Some(chosen));
        assert_eq!(story.job.state, JobState::DeadLetter);
        assert_eq!(story.evidence.0[0].state, state, "{chosen:?}");
        assert_eq!(story.evidence.0[0].receipt, None);
        assert_eq!(replay(&world, dead.id(), ReplayKey::New).await, Replayed::Refused);
    }
    world.assert_nothing_to_claim().await;
}
