//! `RateLimiter`: a bucket per key; the server's clock, one script per call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::{ErrorKind, LimitError, StoreError};
use postq_core::limiter::{RateLimiter, Take};

use crate::error::{Fault, limit};
use crate::member::micros;
use crate::server::{Lua, Redis};

/// The furthest time that a script can count with to the microsecond: the year 2255.
const FURTHEST: i64 = 1 << 53;

/// The rate limiter in Redis, shared by all nodes, by the server's clock.
///
/// After a wipe that a running node notices, buckets start empty and not full: the slots that were
/// given before it are not given again.
#[derive(Clone, Debug)]
pub struct RedisLimiter {
    redis: Redis,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The epoch that the last `take` told; 0 for none.
    epoch: AtomicU64,
    take: Lua,
    tighten: Lua,
}

impl RedisLimiter {
    pub(crate) fn new(redis: Redis) -> Self {
        let inner = Inner {
            epoch: AtomicU64::new(0),
            take: Lua::new(include_str!("lua/take.lua")),
            tighten: Lua::new(include_str!("lua/tighten.lua")),
        };
        Self { redis, inner: Arc::new(inner) }
    }

    async fn take_slot(&self, take: &Take) -> Result<DateTime<Utc>, Fault> {
        let (bucket, epoch, lost) = {
            let keys = self.redis.keys();
            (keys.of("limit", &take.key), keys.one("epoch"), keys.one("lost"))
        };
        let args = [
            // Whole microseconds, rounded to the slower side: otherwise slots would come too early.
            take.rate.every.as_nanos().div_ceil(1_000).to_string(),
            take.rate.burst.to_string(),
            countable(take.not_before)?.to_string(),
            self.inner.epoch.load(Ordering::Relaxed).to_string(),
        ];
        let keys = [&bucket, &epoch, &lost].map(String::as_str);
        let (slot, epoch): (String, String) =
            self.redis.run(&self.inner.take, &keys, &args, self.redis.patience()).await?;
        self.inner.epoch.store(epoch.parse().unwrap_or(0), Ordering::Relaxed);
        let slot = slot.parse().ok().and_then(DateTime::from_timestamp_micros);
        slot.ok_or_else(|| Fault::Refused(ErrorKind::Internal, "the slot is no time".to_owned()))
    }

    async fn tighten_bucket(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let bucket = self.redis.keys().of("limit", key);
        let args = [remaining.to_string(), countable(resets_at)?.to_string()];
        self.redis.run(&self.inner.tighten, &[&bucket], &args, self.redis.patience()).await
    }
}

fn countable(time: DateTime<Utc>) -> Result<i64, Fault> {
    let micros = micros(time);
    if micros >= FURTHEST {
        let what = format!("{time} is further away than can be counted; choose a time before 2255");
        return Err(Fault::Refused(ErrorKind::Invalid, what));
    }
    Ok(micros)
}

fn during(action: &'static str) -> impl Fn(Fault) -> LimitError {
    move |fault| {
        let error: StoreError = fault.during(action);
        limit(error)
    }
}

#[async_trait]
impl RateLimiter for RedisLimiter {
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError> {
        self.take_slot(take).await.map_err(during("take a slot"))
    }

    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError> {
        let tighten = self.tighten_bucket(key, remaining, resets_at);
        tighten.await.map_err(during("tighten a limit"))
    }
}
