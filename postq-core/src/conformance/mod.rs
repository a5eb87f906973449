//! The conformance suites: one public test per numbered rule of each trait's contract.
//!
//! An adapter's `tests/conformance.rs` is a function that yields a fresh, isolated thing under test,
//! and one macro per trait. A macro writes one `#[tokio::test]` per rule, so that a failure names its
//! rule, none can be left out, and a new rule reaches every adapter at once. The adapter needs
//! `tokio` with `macros` and `rt-multi-thread` among its dev-dependencies.
//!
//! ```
//! use std::sync::Arc;
//!
//! use postq_core::backend::Backend;
//! use postq_core::clock::SystemClock;
//! use postq_core::memory::MemoryBackend;
//!
//! async fn fresh() -> Backend {
//!     MemoryBackend::new(Arc::new(SystemClock)).backend()
//! }
//!
//! postq_core::store_conformance!(fresh);
//! postq_core::feed_conformance!(fresh);
//! # fn main() {}
//! ```
//!
//! | macro | what its argument yields |
//! |---|---|
//! | `store_conformance!`, `feed_conformance!` | [`Backend`](crate::backend::Backend) |
//! | `queue_conformance!` | `Arc<dyn Queue>` |
//! | `lock_conformance!` | `Arc<dyn DedupeLock>` |
//! | `limiter_conformance!` | `Arc<dyn RateLimiter>` |
//! | `limiter_mode_conformance!` | `Arc<dyn LimiterMode>` |
//! | `connecting_conformance!` | `Arc<dyn ConnectingStore>` |
//! | `token_conformance!` | `Arc<dyn TokenStore>` |
//! | `node_conformance!` | `Arc<dyn NodeStore>` |
//! | `webhook_conformance!` | `Arc<dyn WebhookStore>` |
//! | `media_conformance!` | `Arc<dyn MediaStore>` |
//! | `media_catalog_conformance!` | [`media_catalog::Parts`] |
//! | `idempotency_conformance!` | `Arc<dyn IdempotencyStore>` |
//! | `cache_conformance!` | `Arc<dyn Cache>` |
//! | `platform_conformance!` | `Arc<dyn PlatformHarness>`, see [`platform::PlatformHarness`] |
//! | `connect_conformance!` | `Arc<dyn ConnectHarness>`, see [`connect::ConnectHarness`] |
//! | `vault_conformance!` | `Arc<dyn Vault>` |
//! | `retry_conformance!` | `Arc<dyn RetryStrategy>` |
//! | `cadence_conformance!` | `Arc<dyn PollingCadence>` |
//! | `clock_conformance!` | `Arc<dyn Clock>` |
//! | `resolver_conformance!` | `Arc<dyn Resolver>` |
//!
//! Where something must live as long as the test (a directory, a server), the argument yields a
//! pair of the thing and its keeper: see [`Harness`].
//!
//! The suites run against real clocks: leases of 200 ms, and polls with a bound instead of sleeps.

use std::time::Duration;

pub mod cache;
pub mod cadence;
pub mod clock;
pub mod connect;
pub mod connecting;
pub mod feed;
pub mod fixtures;
pub mod idempotency;
pub mod limiter;
pub mod limiter_mode;
pub mod lock;
pub mod meddled;
pub mod media;
pub mod media_catalog;
pub mod node;
pub mod platform;
pub mod pushing;
pub mod queue;
pub mod resolver;
pub mod retry;
pub mod store;
pub mod token;
pub mod vault;
pub mod webhook;

/// What a suite's argument yields: the thing under test itself, or a pair of it and of what must
/// live as long as it.
pub trait Harness<T> {
    /// The thing under test.
    fn subject(&self) -> T;
}

impl<T: Clone> Harness<T> for T {
    fn subject(&self) -> T {
        self.clone()
    }
}

impl<T: Clone, K> Harness<T> for (T, K) {
    fn subject(&self) -> T {
        self.0.clone()
    }
}

/// A lease that a test lets end without doing anything under it.
pub const SHORT_LEASE: Duration = Duration::from_millis(200);

/// A lease that a test lets end after a step or two: long enough for a slow machine.
pub const BRIEF_LEASE: Duration = Duration::from_millis(1_000);

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Polls until there is something, every few milliseconds.
///
/// # Panics
///
/// After [`PATIENCE`], saying what did not happen.
pub async fn eventually<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Writes the tests of one module of rules.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_rules {
    ($fresh:expr, $suite:ident $(:: $part:ident)? { $($rule:ident),* $(,)? }) => {
        $crate::conformance_rules! { @module $fresh, ($suite $(:: $part)?), $suite $($part)?, $($rule)* }
    };
    (@module $fresh:expr, $path:tt, $suite:ident $part:ident, $($rule:ident)*) => {
        mod $part {
            $crate::conformance_rules! { @tests $fresh, $path, $($rule)* }
        }
    };
    (@module $fresh:expr, $path:tt, $suite:ident, $($rule:ident)*) => {
        $crate::conformance_rules! { @tests $fresh, $path, $($rule)* }
    };
    (@tests $fresh:expr, $path:tt, $($rule:ident)*) => {
        #[allow(
            unused_imports,
            clippy::wildcard_imports,
            reason = "whatever the caller's expression names"
        )]
        use super::*;

        $($crate::conformance_rules! { @test $fresh, $path, $rule })*
    };
    (@test $fresh:expr, ($($path:ident)::+), $rule:ident) => {
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            let harness = ($fresh)().await;
            $crate::conformance::$($path)::+::$rule($crate::conformance::Harness::subject(&harness))
                .await;
        }
    };
}
