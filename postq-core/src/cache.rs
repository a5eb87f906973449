//! The cache: what is costly to get and may be a little old.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;

/// Makes a value that was not in the cache.
pub type Make = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> + Send>;

/// Keeps values for a while.
///
/// # Contract
///
/// 1. Within its time a value is made once.  (`a_value_is_made_once`)
/// 2. After its time it is made again.  (`a_value_ends`)
/// 3. Callers that come while it is being made share the result.  (`callers_share_one_making`)
/// 4. A `make` that gives nothing leaves nothing behind: the next caller makes.  (`nothing_is_not_kept`)
/// 5. A failing backend means a miss, never an error.
///
/// Each rule is a public test in `conformance::cache`.
#[async_trait]
pub trait Cache: fmt::Debug + Send + Sync + 'static {
    /// The value under the key, made now if it is not there, kept for `ttl`.
    async fn get_or_set(&self, key: &str, ttl: Duration, make: Make) -> Option<Vec<u8>>;

    /// Forgets a value.
    async fn forget(&self, key: &str);
}

const _OBJECT_SAFE: fn(&dyn Cache) = |_| {};

#[cfg(feature = "mock")]
mockall::mock! {
    #[derive(Debug)]
    pub Cache {}

    #[async_trait]
    impl Cache for Cache {
        async fn get_or_set(&self, key: &str, ttl: Duration, make: Make) -> Option<Vec<u8>>;
        async fn forget(&self, key: &str);
    }
}
