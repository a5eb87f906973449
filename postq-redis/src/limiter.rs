//! `RateLimiter`: a bucket per key; the server's clock, one script per call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::{ErrorKind, LimitError, StoreError};
use postq_core::limiter::{Bucket, Budget, Rate, RateLimiter, Take, ensure_few};

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
    look: Lua,
}

/// A bucket as Redis keeps it: when it is full again, slots left, until when.
type Kept = (Option<i64>, Option<u32>, Option<i64>);

impl RedisLimiter {
    pub(crate) fn new(redis: Redis) -> Self {
        let inner = Inner {
            epoch: AtomicU64::new(0),
            take: Lua::new(include_str!("lua/take.lua")),
            tighten: Lua::new(include_str!("lua/tighten.lua")),
            look: Lua::new(include_str!("lua/look.lua")),
        };
        Self { redis, inner: Arc::new(inner) }
    }

    async fn take_slot(&self, take: &Take) -> Result<DateTime<Utc>, Fault> {
        let (bucket, epoch, lost) = {
            let keys = self.redis.keys();
            (keys.of("limit", &take.key), keys.one("epoch"), keys.one("lost"))
        };
        let args = [
            every(take.rate).to_string(),
            take.rate.burst.to_string(),
            countable(take.not_before)?.to_string(),
            self.inner.epoch.load(Ordering::Relaxed).to_string(),
        ];
        let keys = [&bucket, &epoch, &lost].map(String::as_str);
        let (slot, epoch): (String, String) =
            self.redis.run(&self.inner.take, &keys, &args, self.redis.patience()).await?;
        self.inner.epoch.store(epoch.parse().unwrap_or(0), Ordering::Relaxed);
        time(slot.parse().ok())
    }

    async fn look_at(&self, takes: &[Take]) -> Result<Vec<Budget>, Fault> {
        let names = self.redis.keys();
        let mut keys = vec![names.one("epoch"), names.one("lost")];
        keys.extend(takes.iter().map(|take| names.of("limit", &take.key)));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let args = [self.inner.epoch.load(Ordering::Relaxed).to_string()];
        let look = self.redis.run(&self.inner.look, &keys, &args, self.redis.patience());
        let (now, lost, kept): (i64, Option<i64>, Vec<Kept>) = look.await?;
        let look = |(take, kept): (&Take, Kept)| {
            let every = Duration::from_micros(every(take.rate));
            let bucket = bucket(kept, now, lost, Rate { every, ..take.rate })?;
            let not_before = time(Some(countable(take.not_before)?))?;
            Ok(bucket.look(Rate { every, ..take.rate }, not_before, time(Some(now))?))
        };
        takes.iter().zip(kept).map(look).collect()
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

/// Whole microseconds, rounded to the slower side: otherwise slots would come too early.
fn every(rate: Rate) -> u64 {
    u64::try_from(rate.every.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// The bucket as `take` would find it: one that was lost starts empty.
fn bucket(
    (tat, remaining, resets_at): Kept,
    now: i64,
    lost: Option<i64>,
    rate: Rate,
) -> Result<Bucket, Fault> {
    let empty = |at: i64| {
        let fill = rate.every.as_micros().saturating_mul(rate.burst.get().into());
        at.saturating_add(i64::try_from(fill).unwrap_or(FURTHEST)).min(FURTHEST)
    };
    let fresh = lost.map_or(now, |at| now.max(empty(at)));
    Ok(Bucket {
        tat: time(Some(tat.unwrap_or(fresh)))?,
        remaining,
        resets_at: time(Some(resets_at.unwrap_or(now)))?,
    })
}

fn time(micros: Option<i64>) -> Result<DateTime<Utc>, Fault> {
    let time = micros.and_then(DateTime::from_timestamp_micros);
    time.ok_or_else(|| Fault::Refused(ErrorKind::Internal, "a slot is no time".to_owned()))
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

    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError> {
        ensure_few(takes)?;
        self.look_at(takes).await.map_err(during("look at limits"))
    }
}
