//! What was done and not heard of is done again to the same effect.

use std::time::Duration;

use postq_core::idempotency::{Begun, IdempotencyStore, KeptAnswer, KeyedRequest};
use postq_core::job::Applied;
use test_servers::Postgres;
use uuid::Uuid;

use crate::idempotency::begin;
use crate::tx::write;
use crate::{Config, PgStore};

async fn store() -> PgStore {
    let schema = Postgres::shared().fresh_schema();
    let config = Config::new(Postgres::shared().url()).in_schema(&schema).with_connections(2);
    PgStore::open(config).await.expect("a fresh store")
}

/// A call whose commit was not answered goes on with the request that it has begun; another call waits.
#[tokio::test]
async fn a_request_is_begun_once_however_often_a_call_is_repeated() {
    let store = store().await;
    let request = KeyedRequest {
        key: "k".to_owned(),
        fingerprint: [1; 32],
        id: Uuid::now_v7(),
        lease: Duration::from_secs(60),
        keep: Duration::from_secs(60),
    };
    let committed = async |call: Uuid| {
        let begun: Result<Begun, _> = write!(store, "begin", |tx| begin(&tx, &request, call));
        begun.expect("begin")
    };
    let (ours, theirs) = (Uuid::now_v7(), Uuid::now_v7());

    for _ in 0..2 {
        assert_eq!(committed(ours).await, Begun::Do(request.id));
        assert_eq!(committed(theirs).await, Begun::Running);
    }

    let answer = KeptAnswer { status: 201, headers: Vec::new(), body: b"{}".to_vec() };
    for _ in 0..2 {
        assert_eq!(store.answer("k", &answer).await.expect("answer"), Applied::Applied);
        assert_eq!(committed(ours).await, Begun::Answered(answer.clone()));
    }
    let other = KeptAnswer { status: 200, ..answer };
    assert_eq!(store.answer("k", &other).await.expect("another"), Applied::Stale);
}

/// A key that is used again in the moment in which it is forgotten belongs to one caller.
#[tokio::test]
async fn a_forgotten_key_is_taken_by_one() {
    let store = store().await;
    for round in 0..10 {
        let request = |keep| KeyedRequest {
            key: format!("key {round}"),
            fingerprint: [1; 32],
            id: Uuid::now_v7(),
            lease: Duration::from_secs(60),
            keep,
        };
        let first = request(Duration::from_millis(1));
        assert_eq!(store.begin(&first).await.expect("begin"), Begun::Do(first.id));
        tokio::time::sleep(Duration::from_millis(2)).await;
        let [a, b, c, d] = [(); 4].map(|()| request(Duration::from_secs(60)));

        let begun =
            tokio::try_join!(store.begin(&a), store.begin(&b), store.begin(&c), store.begin(&d));

        let begun = <[Begun; 4]>::from(begun.expect("begin"));
        let doing = begun.iter().filter(|begun| matches!(begun, Begun::Do(_))).count();
        assert_eq!(doing, 1, "{begun:?}");
    }
}
