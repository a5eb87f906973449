//! The rules of [`RetryStrategy`].

use std::sync::Arc;

use chrono::DateTime;

use crate::failure::{Failure, FailureClass, Outcome};
use crate::retry::{RetryDecision, RetryStrategy, Tried};

/// Writes one test per rule of [`RetryStrategy`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! retry_conformance {
    ($fresh:expr) => {
        mod retry_rules {
            $crate::conformance_rules! { $fresh, retry {
                decisions_are_pure,
                a_retry_is_never_in_the_past,
                what_cannot_mend_itself_is_given_up,
                the_last_attempt_gives_up,
            } }
        }
    };
}

const TRANSIENT: [FailureClass; 4] = [
    FailureClass::RateLimit,
    FailureClass::Network,
    FailureClass::Platform,
    FailureClass::Internal,
];
const SAMPLES: [f64; 4] = [0.0, 0.25, 0.5, 0.999_999];
const ATTEMPTS: [u32; 8] = [0, 1, 2, 3, 4, 5, 63, u32::MAX];

fn each(mut check: impl FnMut(Tried<'_>)) {
    for class in [&TRANSIENT[..], &[FailureClass::Auth, FailureClass::Content]].concat() {
        for outcome in [Outcome::NotPublished, Outcome::Unknown] {
            let failure = Failure { outcome, ..Failure::not_published(class, "any") };
            for attempt in ATTEMPTS {
                for max_attempts in ATTEMPTS {
                    for sample in SAMPLES {
                        let now = DateTime::UNIX_EPOCH;
                        check(Tried { failure: &failure, attempt, max_attempts, now, sample });
                    }
                }
            }
        }
    }
}

/// The same input gives the same decision.
pub async fn decisions_are_pure(strategy: Arc<dyn RetryStrategy>) {
    each(|tried| assert_eq!(strategy.decide(tried), strategy.decide(tried), "{tried:?}"));
}

/// A retry is never in the past.
pub async fn a_retry_is_never_in_the_past(strategy: Arc<dyn RetryStrategy>) {
    each(|tried| {
        if let RetryDecision::RetryAt(at) = strategy.decide(tried) {
            assert!(at >= tried.now, "{tried:?} retried at {at}");
        }
    });
}

/// A failure that cannot mend itself (`auth`, `content`) is given up.
pub async fn what_cannot_mend_itself_is_given_up(strategy: Arc<dyn RetryStrategy>) {
    each(|tried| {
        if !tried.failure.class.is_transient() {
            let decision = strategy.decide(tried);
            assert!(matches!(decision, RetryDecision::GiveUp(_)), "{tried:?}: {decision:?}");
        }
    });
}

/// The last allowed attempt is given up.
pub async fn the_last_attempt_gives_up(strategy: Arc<dyn RetryStrategy>) {
    each(|tried| {
        if tried.attempt >= tried.max_attempts {
            let decision = strategy.decide(tried);
            assert!(matches!(decision, RetryDecision::GiveUp(_)), "{tried:?}: {decision:?}");
        }
    });
}
