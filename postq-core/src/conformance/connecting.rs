//! The rules of [`ConnectingStore`].

use std::sync::Arc;
use std::time::Duration;

use crate::connecting::{Connecting, ConnectingStore};
use crate::error::ErrorKind;
use crate::id::AccountId;
use crate::vault::Sealed;

/// Writes one test per rule of [`ConnectingStore`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! connecting_conformance {
    ($fresh:expr) => {
        mod connecting_rules {
            $crate::conformance_rules! { $fresh, connecting {
                a_connection_is_taken_once,
                a_connection_ends_by_itself,
                a_state_is_used_once,
            } }
        }
    };
}

const LONG: Duration = Duration::from_secs(600);

fn connecting(byte: u8) -> Connecting {
    let sealed = Sealed { key_id: "k".to_owned(), bytes: vec![0, byte, 255] };
    Connecting { state: [byte; 32], account: AccountId::new(), sealed }
}

/// What was begun is taken as it was, by one of all who take it.
pub async fn a_connection_is_taken_once(store: Arc<dyn ConnectingStore>) {
    let (one, other) = (connecting(1), connecting(2));
    for begun in [&one, &other] {
        store.begin(begun, LONG).await.expect("begin");
    }
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        takers.spawn(async move { store.take(&[1; 32]).await.expect("take") });
    }

    let taken: Vec<_> = takers.join_all().await.into_iter().flatten().collect();

    assert_eq!(taken, [one]);
    assert_eq!(store.take(&[2; 32]).await.expect("take"), Some(other), "another one stays");
    assert_eq!(store.take(&[3; 32]).await.expect("take"), None, "nobody began this");
}

/// It is gone when its time is over.
pub async fn a_connection_ends_by_itself(store: Arc<dyn ConnectingStore>) {
    let brief = Duration::from_millis(50);
    store.begin(&connecting(1), brief).await.expect("begin");
    store.begin(&connecting(2), LONG).await.expect("begin");
    tokio::time::sleep(brief * 2).await;

    assert_eq!(store.take(&[1; 32]).await.expect("take"), None);
    assert!(store.take(&[2; 32]).await.expect("take").is_some());
    // Its place is free again.
    store.begin(&connecting(1), LONG).await.expect("begin again");
}

/// A state that is there already stays as it is.
pub async fn a_state_is_used_once(store: Arc<dyn ConnectingStore>) {
    let first = connecting(1);
    store.begin(&first, LONG).await.expect("begin");

    let error = store.begin(&connecting(1), LONG).await.expect_err("the state is in use");

    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(store.take(&[1; 32]).await.expect("take"), Some(first));
}
