//! The rules of [`DedupeLock`].

use std::sync::Arc;
use std::time::Duration;

use crate::conformance::{SHORT_LEASE, eventually};
use crate::job::DedupeKey;
use crate::lock::{DedupeLock, LockToken};

/// Writes one test per rule of [`DedupeLock`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! lock_conformance {
    ($fresh:expr) => {
        mod lock_rules {
            $crate::conformance_rules! { $fresh, lock {
                a_held_key_is_refused,
                keys_are_decided_one_by_one,
                only_its_holder_releases,
                a_key_frees_itself,
                one_of_many_acquires,
            } }
        }
    };
}

const LONG: Duration = Duration::from_secs(60);

fn key(word: &str) -> DedupeKey {
    DedupeKey::new(word)
}

async fn acquire(lock: &dyn DedupeLock, keys: &[DedupeKey], token: &LockToken) -> Vec<bool> {
    lock.acquire(keys, token, LONG).await.expect("acquire")
}

/// A free key is acquired; one that is held is refused, by whoever it is asked for.
pub async fn a_held_key_is_refused(lock: Arc<dyn DedupeLock>) {
    let (first, second) = (LockToken::random(), LockToken::random());

    assert_eq!(acquire(&*lock, &[key("a")], &first).await, [true]);
    assert_eq!(acquire(&*lock, &[key("a")], &second).await, [false], "somebody else");
    assert_eq!(acquire(&*lock, &[key("a")], &first).await, [false], "the holder itself");
    assert_eq!(acquire(&*lock, &[key("A")], &second).await, [true], "another key");
}

/// Keys of one call are decided one by one, in order.
pub async fn keys_are_decided_one_by_one(lock: Arc<dyn DedupeLock>) {
    let (first, second) = (LockToken::random(), LockToken::random());
    acquire(&*lock, &[key("b")], &first).await;

    let got = acquire(&*lock, &[key("a"), key("b"), key("c"), key("a")], &second).await;

    assert_eq!(got, [true, false, true, false]);
    assert!(acquire(&*lock, &[], &second).await.is_empty(), "no keys, no answers");
}

/// `release` frees a key only for the token that acquired it.
pub async fn only_its_holder_releases(lock: Arc<dyn DedupeLock>) {
    let (holder, other) = (LockToken::random(), LockToken::random());
    acquire(&*lock, &[key("a"), key("b")], &holder).await;

    lock.release(&[key("a"), key("none")], &other).await.expect("release what is not held");
    assert_eq!(acquire(&*lock, &[key("a")], &other).await, [false]);

    lock.release(&[key("a")], &holder).await.expect("release");
    assert_eq!(acquire(&*lock, &[key("a"), key("b")], &other).await, [true, false]);

    lock.release(&[key("a")], &holder).await.expect("release again");
    assert_eq!(acquire(&*lock, &[key("a")], &holder).await, [false], "it has a new holder");
}

/// A key is free again when its time is over.
pub async fn a_key_frees_itself(lock: Arc<dyn DedupeLock>) {
    let (first, second) = (LockToken::random(), LockToken::random());
    lock.acquire(&[key("a")], &first, SHORT_LEASE).await.expect("acquire");

    eventually("the key becomes free", async || {
        acquire(&*lock, &[key("a")], &second).await[0].then_some(())
    })
    .await;

    lock.release(&[key("a")], &first).await.expect("a late release");
    assert_eq!(acquire(&*lock, &[key("a")], &first).await, [false], "the second one holds it");
}

/// Of many that ask at once for the same keys, one acquires each.
pub async fn one_of_many_acquires(lock: Arc<dyn DedupeLock>) {
    let keys: Vec<_> = (0..20).map(|n| key(&n.to_string())).collect();
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (lock, keys) = (lock.clone(), keys.clone());
        askers.spawn(async move { acquire(&*lock, &keys, &LockToken::random()).await });
    }

    let answers = askers.join_all().await;

    for n in 0..keys.len() {
        let holders = answers.iter().filter(|answer| answer[n]).count();
        assert_eq!(holders, 1, "holders of key {n}");
    }
}
