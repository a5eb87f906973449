//! `DedupeLock`: a key per lock, set if it is not there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{Pipeline, Value};
use postq_core::error::LockError;
use postq_core::job::DedupeKey;
use postq_core::lock::{DedupeLock, LockToken};

use crate::error::lock;
use crate::keys::{LONGEST_TTL, millis};
use crate::server::{Lua, Redis};

/// Keys in one go.
const BATCH: usize = 1_000;

/// The dedupe lock in Redis: `SET key token NX` with the time of the lock, all keys of a call in one go.
/// It only saves work, and so answers within [`lock_timeout`](crate::Config::lock_timeout) or not at all.
#[derive(Clone, Debug)]
pub struct RedisLock {
    redis: Redis,
    unlock: Arc<Lua>,
}

impl RedisLock {
    pub(crate) fn new(redis: Redis) -> Self {
        Self { redis, unlock: Arc::new(Lua::new(include_str!("lua/unlock.lua"))) }
    }

    fn name(&self, key: &DedupeKey) -> String {
        self.redis.keys().of("lock", key.as_str())
    }
}

#[async_trait]
impl DedupeLock for RedisLock {
    async fn acquire(
        &self,
        keys: &[DedupeKey],
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Vec<bool>, LockError> {
        let bound = self.redis.config().lock_timeout;
        let mut acquired = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            let mut pipe = Pipeline::with_capacity(keys.len());
            for key in keys {
                pipe.cmd("SET").arg(self.name(key)).arg(token.as_str()).arg("NX");
                lasting(&mut pipe, ttl);
            }
            let answers: Vec<Value> = self
                .redis
                .pipeline(pipe, bound)
                .await
                .map_err(|fault| lock(fault.during("acquire dedupe locks")))?;
            acquired.extend(answers.iter().map(|answer| *answer != Value::Nil));
        }
        Ok(acquired)
    }

    async fn release(&self, keys: &[DedupeKey], token: &LockToken) -> Result<(), LockError> {
        let bound = self.redis.config().lock_timeout;
        for keys in keys.chunks(BATCH) {
            let names: Vec<_> = keys.iter().map(|key| self.name(key)).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let token = [token.as_str().to_owned()];
            self.redis
                .run::<()>(&self.unlock, &names, &token, bound)
                .await
                .map_err(|fault| lock(fault.during("release dedupe locks")))?;
        }
        Ok(())
    }
}

/// Adds the time after which the key is gone, to the last command.
fn lasting(pipe: &mut Pipeline, ttl: Duration) {
    if ttl.subsec_nanos() == 0 && (1..LONGEST_TTL).contains(&ttl.as_secs()) {
        pipe.arg("EX").arg(ttl.as_secs());
    } else {
        pipe.arg("PX").arg(millis(ttl));
    }
}
