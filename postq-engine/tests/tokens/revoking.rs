use std::time::Duration;

use postq_core::account::Account;
use postq_core::clock::Clock;
use postq_core::conformance::connect::GrantTrouble;
use postq_core::credentials::Credentials;
use postq_core::job::Applied;
use postq_engine::Unusable;
use postq_engine::tokens::Revoked;

use crate::world::{World, key};

async fn removed(world: &World) -> Account {
    let known = world.stored().await;
    let removed = world.backend.accounts.remove(known.id, Some(&known)).await.unwrap();
    assert_eq!(removed, Applied::Applied);
    known
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_removed_account_is_taken_back() {
    let world = World::new().await;
    let token = world.credentials().await.access_token;
    let account = removed(&world).await;

    assert_eq!(world.node().revoke(&account).await, Revoked::Yes);

    assert!(!world.authority.takes(&token));
}

#[tokio::test(start_paused = true)]
async fn a_platform_in_trouble_is_no_reason_to_wait() {
    let world = World::new().await;
    let account = removed(&world).await;
    world.authority.meet([GrantTrouble::Unavailable; 2]);

    assert_eq!(world.node().revoke(&account).await, Revoked::No);
    assert_eq!(world.authority.calls(), 2, "once for each token");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_in_use_elsewhere_stays() {
    let world = World::new().await;
    let mut own = world.stored().await;
    // A person brought it along.
    let bare = Credentials::bare("access:1:ann".into()).write();
    own.credentials = Some(key(1).seal(own.id, &bare).await.unwrap());
    assert_eq!(world.node().revoke(&own).await, Revoked::Nothing);

    // Another account is the same identity.
    let mut twin = Account::new("twin", world.town.name.clone(), world.clock.now());
    twin.remote_id = Some("ann".to_owned());
    world.backend.accounts.insert(&twin).await.unwrap();
    let mut account = world.stored().await;
    account.remote_id = Some("ann".to_owned());
    assert_eq!(world.node().revoke(&account).await, Revoked::Nothing);
    assert_eq!(world.authority.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_renewing_brings_for_a_removed_account_is_taken_back() {
    let world = World::new().await;
    world.later().await;
    world.authority.set_pace(Some(Duration::from_secs(7_200)), Duration::from_millis(200));
    let (node, seen, now) = (world.node(), world.stored().await, world.clock.now());
    let renewing = tokio::spawn(async move { node.usable(&seen, now).await });
    tokio::time::sleep(Duration::from_millis(100)).await;

    removed(&world).await;

    assert!(matches!(renewing.await.unwrap(), Err(Unusable::Gone)));
    assert!(world.authority.calls() > 1, "renewed, and taken back");
    assert!(!world.authority.takes(&"access:2:ann".into()));
}
