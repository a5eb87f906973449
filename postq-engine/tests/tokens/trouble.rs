use postq_core::clock::Clock;
use postq_core::conformance::connect::GrantTrouble;
use postq_core::credentials::Credentials;
use postq_core::id::TenantId;
use postq_core::notifier::NoticeKind;
use postq_engine::tokens::troubles;

use crate::world::{Run, World, key, pass};

#[tokio::test(start_paused = true)]
async fn a_person_is_told_once_that_a_token_could_not_be_renewed_for_long() {
    let world = World::new().await;
    let run = Run::of(&world);
    world.authority.meet([GrantTrouble::Unavailable; 100_000]);
    // Ten to fifteen minutes before its end it is renewed, or would be; two hours after it began.
    pass(6_900).await;
    run.post(&world, "waits").await;
    let told = troubles(&world.backend, TenantId::DEFAULT).await.unwrap();
    assert!(told[&world.account.id].contains("503"), "{told:?}");

    pass(2_700).await;
    assert!(world.stored().await.token_expires_at.unwrap() < world.clock.now(), "it has ended");
    assert!(run.told.0.lock().unwrap().is_empty(), "most trouble passes within the hour");

    pass(86_400).await;
    assert_eq!(run.told.0.lock().unwrap().len(), 1, "{:?}", run.told.0.lock().unwrap());
    assert_eq!(run.told_of(NoticeKind::TokenNotRenewed), 1);
    let notice = run.told.0.lock().unwrap()[0].clone();
    assert_eq!(
        (notice.account, notice.account_name.as_deref()),
        (Some(world.account.id), Some("main"))
    );
    assert!(notice.message.contains("503") && notice.message.contains("go on by themselves"));
    assert!(world.backend.blocks.blocks().await.unwrap().is_empty(), "it stays connected");

    world.authority.end_trouble();
    pass(120).await;

    assert_eq!(*world.town.out.lock().unwrap(), ["waits"]);
    assert!(troubles(&world.backend, TenantId::DEFAULT).await.unwrap().is_empty());
    assert_eq!(run.told.0.lock().unwrap().len(), 1);
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_after_a_long_time_is_no_long_trouble() {
    let world = World::new().await;
    world.later().await;
    pass(86_400).await;
    world.authority.meet([GrantTrouble::CutBefore; 10]);

    let run = Run::of(&world);
    run.post(&world, "late").await;
    pass(900).await;

    assert_eq!(*world.town.out.lock().unwrap(), ["late"]);
    assert!(run.told.0.lock().unwrap().is_empty());
    run.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_known_which_tokens_are_renewed_by_themselves() {
    let world = World::new().await;
    let node = world.node();
    assert_eq!(node.renews(&world.stored().await).await, Some(true));

    let mut bare = world.stored().await;
    let token = Credentials::bare("access:9:ann".into()).write();
    bare.credentials = Some(key(1).seal(bare.id, &token).await.unwrap());
    assert_eq!(node.renews(&bare).await, Some(false), "another envelope is looked at anew");
    bare.credentials = Some(key(9).seal(bare.id, &token).await.unwrap());
    assert_eq!(node.renews(&bare).await, None, "it does not open here");

    world.later().await;
    world.authority.revoke("ann");
    world.usable(&node).await.unwrap_err();
    assert_eq!(node.renews(&world.stored().await).await, Some(false), "it was refused");
}
