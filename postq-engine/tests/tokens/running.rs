use postq_core::clock::Clock;
use postq_core::conformance::connect::GrantTrouble;
use postq_core::job::Applied;
use postq_core::machine::JobState;
use postq_core::store::{AccountStore, BlockReason};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::{Death, LIFE, Mortal, Run, World, key, pass};

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_ahead_of_its_end_for_a_day() {
    let world = World::new().await;
    let run = Run::of(&world);
    for _ in 0..24 * 6 {
        pass(600).await;
        let ends = world.stored().await.token_expires_at.unwrap();
        assert!(ends > world.clock.now() + Duration::from_secs(300), "it never comes near its end");
    }
    let calls = world.authority.calls();
    assert!((12..=15).contains(&calls), "{calls} calls in a day");
    assert_eq!(run.told.0.lock().unwrap().len(), 0);
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn posts_wait_out_an_outage_of_the_authority_and_nobody_is_told() {
    let world = World::new().await;
    world.later().await;
    world.authority.meet([GrantTrouble::Unavailable; 6]);
    let run = Run::of(&world);
    let job = run.post(&world, "waits").await;

    pass(30).await;
    let waiting = run.job(&world, job).await;
    assert_eq!((waiting.state, waiting.attempt), (JobState::Enqueued, 0), "{waiting:?}");
    assert!(waiting.reason.unwrap().contains("could not be renewed yet"));
    pass(180).await;

    assert_eq!(run.job(&world, job).await.state, JobState::Succeeded);
    assert_eq!(*world.town.out.lock().unwrap(), ["waits"]);
    assert_eq!(run.told.0.lock().unwrap().len(), 0, "nobody is told");
    assert!(world.backend.blocks.blocks().await.unwrap().is_empty());
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_once_and_connecting_again_resumes_what_waited() {
    let world = World::new().await;
    world.later().await;
    world.authority.revoke("ann");
    let run = Run::of(&world);
    let jobs = [run.post(&world, "one").await, run.post(&world, "two").await];

    pass(600).await;
    assert_eq!(run.attention(), 1, "{:?}", run.told.0.lock().unwrap());
    let blocks = world.backend.blocks.blocks().await.unwrap();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].reason, BlockReason::NeedsAttention);
    for job in jobs {
        assert_eq!(run.job(&world, job).await.state, JobState::Enqueued);
    }

    reconnect(&world, &run).await;

    assert_eq!(*world.town.out.lock().unwrap(), ["one", "two"]);
    assert_eq!(run.attention(), 1);
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_platform_refuses_early_is_renewed_once() {
    let world = World::new().await;
    // Older than a token that was just given.
    pass(600).await;
    let mut known = world.stored().await;
    let mut credentials = world.credentials().await;
    credentials.access_token = "access:no-longer".into();
    known.credentials = Some(key(1).seal(known.id, &credentials.write()).await.unwrap());
    assert_eq!(world.backend.accounts.update(&known, None).await.unwrap(), Applied::Applied);
    let run = Run::of(&world);

    let job = run.post(&world, "once").await;
    pass(10).await;

    assert_eq!(run.job(&world, job).await.state, JobState::Succeeded);
    assert_eq!((world.authority.calls(), run.attention()), (1, 0));
    run.end().await;
}

/// A person connects the account again; what waited goes on.
async fn reconnect(world: &World, run: &Run) {
    let mut anew = world.stored().await;
    World::connect(&mut anew, world.authority.grant("ann"), world.clock.now()).await;
    assert_eq!(world.backend.accounts.update(&anew, None).await.unwrap(), Applied::Applied);
    run.engine.desk().reconnected(&anew).await.unwrap();
    pass(30).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_crash_lost_is_told_once_and_its_posts_wait() {
    let world = World::new().await;
    world.later().await;
    let mortal = Mortal::over(&world.backend.accounts, Some(Death { write: 1, written: false }));
    let node = world.node_over(Arc::clone(&mortal) as Arc<dyn AccountStore>);
    let seen = world.stored().await;
    let usable = node.usable(&seen, world.clock.now());
    let lost = tokio::time::timeout(Duration::from_secs(1), usable).await;
    assert!(lost.is_err() && mortal.dead.load(Ordering::SeqCst), "renewed, and not written down");

    let run = Run::of(&world);
    let jobs = [run.post(&world, "one").await, run.post(&world, "two").await];
    pass(3_600).await;
    assert_eq!((run.attention(), run.told.0.lock().unwrap().len()), (1, 1));
    for job in jobs {
        assert_eq!(run.job(&world, job).await.state, JobState::Enqueued);
    }
    assert!(world.town.out.lock().unwrap().is_empty());

    reconnect(&world, &run).await;

    assert_eq!(*world.town.out.lock().unwrap(), ["one", "two"]);
    assert_eq!(run.attention(), 1);
    let ends = world.stored().await.token_expires_at.unwrap();
    assert!(ends > world.clock.now() + LIFE / 2);
    run.end().await;
}
