//! The dedupe lock.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::LockError;
use crate::job::DedupeKey;
use crate::lock::{DedupeLock, LockToken};
use crate::memory::MemoryBackend;

#[async_trait]
impl DedupeLock for MemoryBackend {
    async fn acquire(
        &self,
        keys: &[DedupeKey],
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Vec<bool>, LockError> {
        let now = self.time();
        let mut state = self.lock();
        state.locks.retain(|_, (_, until)| *until > now);
        let mut acquire = |key: &DedupeKey| {
            if state.locks.contains_key(key) {
                return false;
            }
            state.locks.insert(key.clone(), (token.as_str().to_owned(), now + ttl));
            true
        };
        Ok(keys.iter().map(&mut acquire).collect())
    }

    async fn release(&self, keys: &[DedupeKey], token: &LockToken) -> Result<(), LockError> {
        let mut state = self.lock();
        for key in keys {
            if state.locks.get(key).is_some_and(|(holder, _)| holder == token.as_str()) {
                state.locks.remove(key);
            }
        }
        Ok(())
    }
}
