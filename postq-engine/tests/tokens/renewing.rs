use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use postq_core::backend::Backend;
use postq_core::clock::Clock;
use postq_core::conformance::connect::GrantTrouble;
use postq_core::credentials::Credentials;
use postq_core::id::TenantId;
use postq_core::job::Applied;
use postq_core::memory::{MemoryBackend, MemoryWebhooks};
use postq_core::store::AccountStore;
use postq_core::vault::{KeyRing, Vault};
use postq_engine::reseal::Resealer;
use postq_engine::{Tokens, Unusable};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::world::{Death, FORGOTTEN, LIFE, Mortal, World, key};

#[tokio::test(start_paused = true)]
async fn a_good_token_is_used_as_it_is() {
    let world = World::new().await;

    let token = world.usable(&world.node()).await.unwrap();

    assert!(world.authority.takes(&token));
    assert_eq!(world.authority.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn twenty_users_of_an_ended_token_on_four_nodes_make_one_call() {
    let world = Arc::new(World::new().await);
    world.later().await;
    let seen = world.stored().await;
    let mut users = JoinSet::new();
    for node in (0..4).map(|_| world.node()) {
        for _ in 0..5 {
            let (world, node, seen) = (Arc::clone(&world), node.clone(), seen.clone());
            users.spawn(async move { node.usable(&seen, world.clock.now()).await });
        }
    }

    for usable in users.join_all().await {
        let token = usable.unwrap().who.secret.unwrap();
        assert!(world.authority.takes(&token), "everybody has the one token in force");
    }

    assert_eq!((world.authority.calls(), world.authority.most_in_flight()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_lets_nobody_renew_twice() {
    let world = Arc::new(World::new().await);
    world.later().await;
    let seen = world.stored().await;
    let mut users = JoinSet::new();
    for _ in 0..4 {
        // A lock of its own: it keeps nobody else out.
        let own = MemoryBackend::new(Arc::new(world.clock)).backend();
        let backend = Backend { lock: own.lock, ..world.backend.clone() };
        let node = Tokens::new(&backend, Some(key(1)), world.platforms(), LIFE);
        let (clock, seen) = (world.clock, seen.clone());
        users.spawn(async move { node.usable(&seen, clock.now()).await });
    }

    let usable = users.join_all().await;

    assert!(usable.iter().all(Result::is_ok), "{usable:?}");
    assert_eq!(world.authority.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_renewals_with_kills_lose_no_chain() {
    let world = World::new().await;
    let mut rng = SmallRng::seed_from_u64(7);
    let mut kills = 0;
    for renewal in 0..1_000 {
        world.later().await;
        // Between the call and the write of what it brought nobody can help it: every other moment.
        let dies = match rng.random_range(0..8) {
            0 => Some(Death { write: 0, written: false }),
            1 => Some(Death { write: 0, written: true }),
            2 => Some(Death { write: 1, written: true }),
            _ => None,
        };
        let mortal = Mortal::over(&world.backend.accounts, dies);
        if rng.random_range(0..10) == 0 {
            *mortal.failing.lock().unwrap() = 1;
        }
        let node = world.node_over(Arc::clone(&mortal) as Arc<dyn AccountStore>);
        let seen = world.stored().await;
        let usable = node.usable(&seen, world.clock.now());
        let usable = tokio::time::timeout(Duration::from_secs(5), usable).await;
        if mortal.dead.load(Ordering::SeqCst) {
            assert!(usable.is_err(), "who is dead answers nothing");
            kills += 1;
            tokio::time::sleep(FORGOTTEN).await;
        }

        let mut token = world.usable(&world.node()).await;
        if matches!(token, Err(Unusable::Later(_))) {
            token = world.usable(&world.node()).await;
        }

        let token = token.unwrap_or_else(|why| panic!("renewal {renewal}: {why:?}"));
        assert!(world.authority.takes(&token), "renewal {renewal}");
        assert!(world.credentials().await.renewing_since.is_none());
    }
    assert!(kills > 200, "{kills}");
    assert!(world.authority.calls() >= 1_000, "{}", world.authority.calls());
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_call_and_its_storing_is_a_refusal_and_no_guess() {
    let world = World::new().await;
    world.later().await;
    let mortal = Mortal::over(&world.backend.accounts, Some(Death { write: 1, written: false }));
    let node = world.node_over(Arc::clone(&mortal) as Arc<dyn AccountStore>);
    let seen = world.stored().await;
    let usable = node.usable(&seen, world.clock.now());
    let lost = tokio::time::timeout(Duration::from_secs(1), usable).await;
    assert!(lost.is_err() && mortal.dead.load(Ordering::SeqCst));

    // While the mark holds nobody asks: whoever made it may be slow and not dead.
    let waiting = world.node();
    let seen = world.stored().await;
    let waited = waiting.usable(&seen, world.clock.now());
    assert!(tokio::time::timeout(Duration::from_secs(3), waited).await.is_err());
    assert_eq!(world.authority.calls(), 1);

    tokio::time::sleep(FORGOTTEN).await;
    let refused = world.usable(&world.node()).await.unwrap_err();
    assert!(matches!(refused, Unusable::Refused { .. }), "{refused:?}");
    assert_eq!(world.authority.calls(), 2);

    // Asked again at once, it is not.
    let refused = world.usable(&world.node()).await.unwrap_err();
    assert!(matches!(refused, Unusable::Refused { .. }), "{refused:?}");
    assert_eq!(world.authority.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn trouble_keeps_the_account_connected() {
    for trouble in [GrantTrouble::Unavailable, GrantTrouble::CutBefore] {
        let world = World::new().await;
        world.later().await;
        world.authority.meet([trouble, trouble]);

        for _ in 0..2 {
            let later = world.usable(&world.node()).await.unwrap_err();
            assert!(matches!(later, Unusable::Later(_)), "{later:?}");
            assert!(world.credentials().await.refused_at.is_none());
        }

        let token = world.usable(&world.node()).await.unwrap();
        assert!(world.authority.takes(&token), "after {trouble:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_keeps_the_account_connected_until_its_token_is_refused() {
    for trouble in [GrantTrouble::CutAfter, GrantTrouble::Hang] {
        let world = World::new().await;
        world.later().await;
        world.authority.meet([trouble]);

        let later = world.usable(&world.node()).await.unwrap_err();

        assert!(matches!(later, Unusable::Later(_)), "{later:?}");
        let kept = world.credentials().await;
        assert!(kept.refused_at.is_none() && kept.failing_since.is_some());
        // The platform has renewed it all the same, and takes what we have no more.
        let refused = world.usable(&world.node()).await.unwrap_err();
        assert!(matches!(refused, Unusable::Refused { .. }), "{refused:?}");
        assert_eq!(world.authority.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_brought_is_kept_when_its_envelope_was_replaced_meanwhile() {
    let world = World::new().await;
    world.later().await;
    world.authority.set_pace(Some(LIFE), Duration::from_millis(200));
    let ring: Arc<dyn Vault> = Arc::new(KeyRing::new(key(2)).opening(key(1)));
    let node = Tokens::new(&world.backend, Some(Arc::clone(&ring)), world.platforms(), LIFE);
    let seen = world.stored().await;
    let now = world.clock.now();
    let usable = tokio::spawn(async move { node.usable(&seen, now).await });

    // In the middle of the call the key is replaced.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut marked = world.stored().await;
    let secret = ring.open(marked.id, marked.credentials.as_ref().unwrap()).await.unwrap();
    assert!(Credentials::read(&secret).unwrap().renewing_since.is_some(), "the call is under way");
    marked.credentials = Some(key(1).seal(marked.id, &secret).await.unwrap());
    let webhooks = Arc::new(MemoryWebhooks::default());
    assert_eq!(world.backend.accounts.update(&marked, None).await.unwrap(), Applied::Applied);
    let resealer = Resealer::new(Arc::clone(&world.backend.accounts), webhooks, ring);
    assert_eq!(resealer.reseal(TenantId::DEFAULT, now, 10).await.unwrap().resealed, 1);

    let token = usable.await.unwrap().unwrap().who.secret.unwrap();
    assert!(world.authority.takes(&token));
    let stored = world.stored().await;
    assert!(stored.token_expires_at.unwrap() > world.clock.now() + LIFE / 2, "it is stored");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_connects_meanwhile_stays() {
    let world = World::new().await;
    world.later().await;
    world.authority.set_pace(Some(LIFE), Duration::from_millis(200));
    world.authority.revoke("ann");
    let (node, seen, now) = (world.node(), world.stored().await, world.clock.now());
    let usable = tokio::spawn(async move { node.usable(&seen, now).await });

    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut anew = world.stored().await;
    World::connect(&mut anew, world.authority.grant("bob"), now).await;
    assert_eq!(world.backend.accounts.update(&anew, None).await.unwrap(), Applied::Applied);

    let token = usable.await.unwrap().unwrap().who.secret.unwrap();
    assert!(world.authority.takes(&token), "the refusal said nothing of these");
    assert_eq!(world.stored().await, anew);
}

#[tokio::test(start_paused = true)]
async fn who_asks_may_be_cut_off_and_the_token_is_kept() {
    let world = World::new().await;
    world.later().await;
    let (node, seen) = (world.node(), world.stored().await);

    let cut = node.usable(&seen, world.clock.now());
    assert!(tokio::time::timeout(Duration::from_millis(20), cut).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert!(world.stored().await.token_expires_at.unwrap() > world.clock.now());
    assert_eq!(world.authority.calls(), 1);
}
