//! The rules of [`Clock`].

use std::sync::Arc;

use crate::clock::Clock;
use crate::conformance::eventually;

/// Writes one test per rule of [`Clock`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! clock_conformance {
    ($fresh:expr) => {
        mod clock_rules {
            $crate::conformance_rules! { $fresh, clock { now_has_whole_microseconds, it_moves } }
        }
    };
}

/// `now` has whole microseconds: what every store can keep.
pub async fn now_has_whole_microseconds(clock: Arc<dyn Clock>) {
    for _ in 0..1_000 {
        let now = clock.now();
        assert_eq!(now.timestamp_subsec_nanos() % 1_000, 0, "{now}");
    }
}

/// Time moves on.
pub async fn it_moves(clock: Arc<dyn Clock>) {
    let start = clock.now();

    eventually("the clock moves", async || (clock.now() > start).then_some(())).await;
}
