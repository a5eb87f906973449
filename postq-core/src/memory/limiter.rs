//! The rate limiter.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::LimitError;
use crate::limiter::{Bucket, Budget, RateLimiter, Take, ensure_few};
use crate::memory::MemoryBackend;

#[async_trait]
impl RateLimiter for MemoryBackend {
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError> {
        let now = self.time();
        let mut state = self.lock();
        let bucket = state.buckets.entry(take.key.clone()).or_insert_with(|| Bucket::fresh(now));
        Ok(bucket.take(take.rate, take.not_before.max(now)))
    }

    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError> {
        let now = self.time();
        let mut state = self.lock();
        let bucket = state.buckets.entry(key.to_owned()).or_insert_with(|| Bucket::fresh(now));
        bucket.tighten(remaining, resets_at, now);
        Ok(())
    }

    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError> {
        ensure_few(takes)?;
        let now = self.time();
        let state = self.lock();
        let look = |take: &Take| {
            let bucket = state.buckets.get(&take.key).copied();
            bucket.unwrap_or_else(|| Bucket::fresh(now)).look(take.rate, take.not_before, now)
        };
        Ok(takes.iter().map(look).collect())
    }
}
