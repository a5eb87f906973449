//! What happens at the same time: one of two wins, wholly.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::backend::Backend;
use crate::conformance::SHORT_LEASE;
use crate::conformance::fixtures::{World, post};
use crate::content::Content;
use crate::feed::Settle;
use crate::intent::IntentAnswer;
use crate::job::Applied;
use crate::machine::JobState;
use crate::store::{Controlled, Edited};

/// So many races per rule.
const RACES: u64 = 40;

/// Runs two things at the same time, one of them a little later; which and how much differs from
/// race to race, the same in every run.
async fn race<A, B>(
    race: u64,
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let mut random = SmallRng::seed_from_u64(race);
    let late = Duration::from_micros(random.random_range(0..300));
    let (first, second) =
        if random.random() { (late, Duration::ZERO) } else { (Duration::ZERO, late) };
    let one = tokio::spawn(async move {
        pause(first).await;
        one.await
    });
    let other = tokio::spawn(async move {
        pause(second).await;
        other.await
    });
    (one.await.expect("it ends well"), other.await.expect("it ends well"))
}

/// Gives way for so long: timers are too coarse for microseconds.
async fn pause(time: Duration) {
    let start = std::time::Instant::now();
    while start.elapsed() < time {
        tokio::task::yield_now().await;
    }
}

/// A cancel races a claim: the job runs or is cancelled, never both.
pub async fn a_cancel_wins_or_loses_wholly(backend: Backend) {
    let world = World::new(backend).await;
    for n in 0..RACES {
        let job = world.due_job().await;
        let (canceller, claimer) = (world.clone(), world.clone());

        let (cancelled, claimed) = race(
            n,
            async move { canceller.backend.control.cancel(job.id, "raced").await.expect("cancel") },
            async move { claimer.claim_now(&claimer.claim(10)).await },
        )
        .await;

        let state = world.job_now(job.id).await.state;
        match (cancelled, claimed.first()) {
            (Controlled::Applied, None) => assert_eq!(state, JobState::Cancelled),
            (Controlled::AlreadyPublishing, Some(claimed)) => {
                assert_eq!(state, JobState::Running);
                world.apply(&claimed.job, Settle::Succeeded(None)).await;
            }
            other => panic!("both or neither: {other:?}, the job is {state}"),
        }
        world.path(job.id).await;
        world.assert_nothing_to_claim().await;
    }
}

/// An edit races an intent: the old text is sent or the new one, never the old one after the edit.
pub async fn an_edit_wins_or_loses_wholly(backend: Backend) {
    let world = World::new(backend).await;
    for n in 0..RACES {
        let post = post(&world.backend, "before").await;
        let world = World { post, ..world.clone() };
        let job = world.running().await;
        let (editor, sender) = (world.clone(), world.clone());
        let asked = job.clone();

        let (edited, answer) = race(
            n,
            async move {
                let content = Content::text("after");
                editor.backend.posts.edit(editor.post.id, 1, &content).await.expect("edit")
            },
            async move { sender.ask(&asked, 0).await },
        )
        .await;

        match (edited, &answer) {
            (Edited::Applied { revision: 2 }, IntentAnswer::Edited) => {}
            (Edited::AlreadyPublishing, IntentAnswer::Recorded(_)) => {
                world.apply(&job, Settle::Absent { part: 0 }).await;
            }
            other => panic!("both or neither: {other:?}"),
        }
        world.apply(&job, Settle::Succeeded(None)).await;
    }
}

/// A settlement races the sweep at the end of the lease: one of them takes the job.
pub async fn a_sweep_wins_or_loses_wholly(backend: Backend) {
    let world = World::new(backend).await;
    for n in 0..8 {
        let made = world.due_job().await;
        let job = world.take_leased(SHORT_LEASE).await.job;
        assert_eq!(job.id(), made.id);
        let ends = tokio::time::Instant::now() + SHORT_LEASE;
        let (settler, sweeper) = (world.clone(), world.clone());
        let held = job.clone();

        let (settled, swept) = race(
            n,
            async move {
                tokio::time::sleep_until(ends).await;
                settler.settle(&held, Settle::Succeeded(None)).await
            },
            async move {
                tokio::time::sleep_until(ends).await;
                sweeper.backend.upkeep.expire(10).await.expect("expire")
            },
        )
        .await;

        let state = world.job_now(job.id()).await.state;
        match (settled, swept.as_slice()) {
            (Applied::Applied, []) => assert_eq!(state, JobState::Succeeded),
            (Applied::Stale, [id]) if *id == job.id() => {
                assert_eq!(state, JobState::Failed);
                let again = world.take().await;
                world.apply(&again, Settle::Succeeded(None)).await;
            }
            other => panic!("both or neither: {other:?}, the job is {state}"),
        }
        world.path(job.id()).await;
    }
}

/// Removing a post races a claim of its job: a removed post is never sent.
pub async fn a_removal_never_publishes(backend: Backend) {
    let world = World::new(backend).await;
    for n in 0..RACES {
        let post = post(&world.backend, "unwanted").await;
        let world = World { post, ..world.clone() };
        let made = world.due_job().await;
        let (remover, claimer) = (world.clone(), world.clone());

        let (removed, sent) = race(
            n,
            async move { remover.backend.posts.remove(remover.post.id).await.expect("remove") },
            async move {
                let claimed = claimer.claim_now(&claimer.claim(10)).await.pop()?;
                let answer = claimer.ask(&claimed.job, 0).await;
                assert!(matches!(answer, IntentAnswer::Recorded(_)), "{answer:?}");
                Some(claimed.job)
            },
        )
        .await;

        match (removed, sent) {
            (Edited::Applied { .. }, None) => {
                assert_eq!(world.job_now(made.id).await.state, JobState::Cancelled);
            }
            (Edited::AlreadyPublishing, Some(job)) => {
                world.apply(&job, Settle::Succeeded(Some(world.receipt(0).await))).await;
            }
            other => panic!("both or neither: {other:?}"),
        }
        world.assert_nothing_to_claim().await;
    }
}
