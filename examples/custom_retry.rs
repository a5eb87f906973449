//! A retry strategy of one's own: Fibonacci minutes. It passes the published suite:
//! `cargo test --features conformance --example custom_retry`.
//!
//! `cargo run --example custom_retry`

use std::time::Duration;

use postq::core::failure::{Failure, FailureClass};
use postq::core::retry::{RetryDecision, RetryStrategy, Tried, give_up_reason};

/// Waits 1, 2, 3, 5, 8, ... minutes.
#[derive(Clone, Copy, Debug, Default)]
struct Fibonacci;

impl RetryStrategy for Fibonacci {
    fn decide(&self, tried: Tried<'_>) -> RetryDecision {
        // What no wait can mend, and the last attempt, end the same way in every strategy.
        if let Some(reason) = give_up_reason(tried) {
            return RetryDecision::GiveUp(reason);
        }
        let (mut minutes, mut next) = (1u64, 2u64);
        for _ in 1..tried.attempt.min(40) {
            (minutes, next) = (next, minutes + next);
        }
        RetryDecision::RetryAt(tried.now + Duration::from_secs(60 * minutes))
    }
}

fn main() {
    let failure = Failure::not_published(FailureClass::Network, "no route to the platform");
    let now = chrono::DateTime::UNIX_EPOCH;
    let mut waits = Vec::new();
    for attempt in 1..=6 {
        let tried = Tried { failure: &failure, attempt, max_attempts: 6, now, sample: 0.5 };
        match Fibonacci.decide(tried) {
            RetryDecision::RetryAt(at) => waits.push((at - now).num_minutes()),
            RetryDecision::GiveUp(reason) => eprintln!("after {waits:?} minutes: {reason}"),
        }
    }
    assert_eq!(waits, [1, 2, 3, 5, 8]);
    // `Engine::builder(backend).retry(Arc::new(Fibonacci))` puts it to work.
}

#[cfg(all(test, feature = "conformance"))]
mod conformance {
    use std::sync::Arc;

    use super::{Fibonacci, RetryStrategy};

    async fn fresh() -> Arc<dyn RetryStrategy> {
        Arc::new(Fibonacci)
    }

    postq::core::retry_conformance!(fresh);
}
