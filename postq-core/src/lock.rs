//! The dedupe lock: saves doing what somebody else is doing.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::LockError;
use crate::job::DedupeKey;

/// Proof of who acquired a key: random, made by the holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockToken(String);

impl LockToken {
    /// A new random token.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The token as a backend keeps it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps others from doing the same work at the same time: one that plans, one that sweeps. It only saves
/// work: what is planned once is decided by the store's unique key, so losing every lock is harmless.
///
/// # Contract
///
/// 1. A free key is acquired; one that is held is refused, by whoever it is asked for.
///    (`a_held_key_is_refused`)
/// 2. Keys of one call are decided one by one, in order.  (`keys_are_decided_one_by_one`)
/// 3. `release` frees a key only for the token that acquired it.  (`only_its_holder_releases`)
/// 4. A key is free again when its time is over.  (`a_key_frees_itself`)
///
/// Each rule is a public test in `conformance::lock`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait DedupeLock: fmt::Debug + Send + Sync + 'static {
    /// Acquires each key that is free, for `ttl`; tells which.
    async fn acquire(
        &self,
        keys: &[DedupeKey],
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Vec<bool>, LockError>;

    /// Frees those of the keys that the token holds.
    async fn release(&self, keys: &[DedupeKey], token: &LockToken) -> Result<(), LockError>;
}

/// How long a planned key is kept by default: 48 h.
pub const DEDUPE_TTL: Duration = Duration::from_secs(172_800);

const _OBJECT_SAFE: fn(&dyn DedupeLock) = |_| {};
