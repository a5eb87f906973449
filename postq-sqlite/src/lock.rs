//! `DedupeLock`.

use std::time::Duration;

use async_trait::async_trait;
use postq_core::error::LockError;
use postq_core::job::DedupeKey;
use postq_core::lock::{DedupeLock, LockToken};
use rusqlite::params;

use crate::error::lock;
use crate::rows::micros;
use crate::store::SqliteStore;

/// Ended locks that one call clears away, so that the table stays as small as what is locked.
const CLEAR: i64 = 1_000;

#[async_trait]
impl DedupeLock for SqliteStore {
    async fn acquire(
        &self,
        keys: &[DedupeKey],
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Vec<bool>, LockError> {
        let (keys, token) = (keys.to_vec(), token.clone());
        let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        self.write("acquire dedupe locks", move |tx| {
            let now = micros(tx.now);
            let clear = "DELETE FROM dedupe_locks WHERE key IN (
                             SELECT key FROM dedupe_locks WHERE until <= ? LIMIT ?)";
            tx.run(clear, params![now, CLEAR])?;
            let acquire = "INSERT INTO dedupe_locks (key, token, until) VALUES (?1, ?2, ?3)
                           ON CONFLICT (key) DO UPDATE SET token = ?2, until = ?3
                           WHERE until <= ?4";
            let until = now.saturating_add(ttl);
            let one = |key: &DedupeKey| {
                Ok(tx.run(acquire, params![key.as_str(), token.as_str(), until, now])? == 1)
            };
            keys.iter().map(one).collect()
        })
        .await
        .map_err(lock)
    }

    async fn release(&self, keys: &[DedupeKey], token: &LockToken) -> Result<(), LockError> {
        let (keys, token) = (keys.to_vec(), token.clone());
        self.write("release dedupe locks", move |tx| {
            for key in &keys {
                let release = "DELETE FROM dedupe_locks WHERE key = ? AND token = ?";
                tx.run(release, [key.as_str(), token.as_str()])?;
            }
            Ok(())
        })
        .await
        .map_err(lock)
    }
}
