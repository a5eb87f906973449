//! The rules of [`IdempotencyStore`].

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::conformance::{SHORT_LEASE, eventually};
use crate::idempotency::{Begun, IdempotencyStore, KeptAnswer, KeyedRequest};
use crate::job::Applied;

/// Writes one test per rule of [`IdempotencyStore`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! idempotency_conformance {
    ($fresh:expr) => {
        mod idempotency_rules {
            $crate::conformance_rules! { $fresh, idempotency {
                one_of_many_begins,
                the_same_request_has_the_same_answer,
                another_request_is_refused,
                an_abandoned_request_keeps_its_id,
                a_request_can_be_given_back,
                the_first_answer_stays,
                a_key_is_forgotten,
            } }
        }
    };
}

const LONG: Duration = Duration::from_secs(60);

fn request(key: &str) -> KeyedRequest {
    KeyedRequest {
        key: key.to_owned(),
        fingerprint: [7; 32],
        id: Uuid::now_v7(),
        lease: LONG,
        keep: LONG,
    }
}

fn answer(body: &[u8]) -> KeptAnswer {
    let headers = vec![("location".to_owned(), "/é".to_owned())];
    KeptAnswer { status: 201, headers, body: body.to_vec() }
}

async fn begin(store: &dyn IdempotencyStore, request: &KeyedRequest) -> Begun {
    store.begin(request).await.expect("begin")
}

/// Of many that begin the same request at once, one does it.
pub async fn one_of_many_begins(store: Arc<dyn IdempotencyStore>) {
    let mut beginners = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        beginners.spawn(async move { begin(&*store, &request("k")).await });
    }

    let answers = beginners.join_all().await;

    let (doing, waiting): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|begun| matches!(begun, Begun::Do(_)));
    assert_eq!(doing.len(), 1, "{doing:?}");
    assert!(waiting.iter().all(|begun| *begun == Begun::Running), "{waiting:?}");
    let other = request("K");
    assert_eq!(begin(&*store, &other).await, Begun::Do(other.id), "another key");
}

/// Once answered, the same request has the same answer.
pub async fn the_same_request_has_the_same_answer(store: Arc<dyn IdempotencyStore>) {
    let first = answer(&[0, 159, 146, 150, 255]);
    let _ = begin(&*store, &request("k")).await;

    assert_eq!(store.answer("k", &first).await.expect("answer"), Applied::Applied);

    for _ in 0..2 {
        assert_eq!(begin(&*store, &request("k")).await, Begun::Answered(first.clone()));
    }
}

/// Another request under the key is refused, answered or not.
pub async fn another_request_is_refused(store: Arc<dyn IdempotencyStore>) {
    let other = KeyedRequest { fingerprint: [8; 32], ..request("k") };
    let _ = begin(&*store, &request("k")).await;

    assert_eq!(begin(&*store, &other).await, Begun::Other);
    store.answer("k", &answer(b"{}")).await.map(drop).expect("answer");
    assert_eq!(begin(&*store, &other).await, Begun::Other);
}

/// What was abandoned is begun again after its lease, with the id that was given out first.
pub async fn an_abandoned_request_keeps_its_id(store: Arc<dyn IdempotencyStore>) {
    let first = KeyedRequest { lease: SHORT_LEASE, ..request("k") };
    assert_eq!(begin(&*store, &first).await, Begun::Do(first.id));

    let again = eventually("the lease ends", async || match begin(&*store, &request("k")).await {
        Begun::Running => None,
        begun => Some(begun),
    })
    .await;

    assert_eq!(again, Begun::Do(first.id));
    assert_eq!(begin(&*store, &request("k")).await, Begun::Running, "under a new lease");
}

/// A request that is given back is the next one's to do.
pub async fn a_request_can_be_given_back(store: Arc<dyn IdempotencyStore>) {
    let first = request("k");
    let _ = begin(&*store, &first).await;

    assert_eq!(store.abandon("k").await.expect("abandon"), Applied::Applied);
    assert_eq!(begin(&*store, &request("k")).await, Begun::Do(first.id));
    store.answer("k", &answer(b"1")).await.map(drop).expect("answer");
    assert_eq!(store.abandon("k").await.expect("too late"), Applied::Stale);
    assert_eq!(store.abandon("none").await.expect("none"), Applied::Gone);
}

/// The first answer stays.
pub async fn the_first_answer_stays(store: Arc<dyn IdempotencyStore>) {
    let _ = begin(&*store, &request("k")).await;
    store.answer("k", &answer(b"1")).await.map(drop).expect("answer");

    assert_eq!(store.answer("k", &answer(b"2")).await.expect("another"), Applied::Stale);
    assert_eq!(store.answer("none", &answer(b"2")).await.expect("none"), Applied::Gone);

    assert_eq!(begin(&*store, &request("k")).await, Begun::Answered(answer(b"1")));
}

/// A key is forgotten when its time is over.
pub async fn a_key_is_forgotten(store: Arc<dyn IdempotencyStore>) {
    let first = KeyedRequest { keep: SHORT_LEASE, ..request("k") };
    let _ = begin(&*store, &first).await;
    store.answer("k", &answer(b"1")).await.map(drop).expect("answer");
    let _ = begin(&*store, &request("kept")).await;

    let other = KeyedRequest { fingerprint: [8; 32], ..request("k") };
    let begun = eventually("the key is forgotten", async || match begin(&*store, &other).await {
        Begun::Other => None,
        begun => Some(begun),
    })
    .await;

    assert_eq!(begun, Begun::Do(other.id));
    assert_eq!(begin(&*store, &request("kept")).await, Begun::Running, "others are kept");
}
