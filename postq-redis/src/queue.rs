//! `Queue`: what is ready in order, what comes later, what is given out; each step is one script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_redis::redis::{FromRedisValue, Value, from_redis_value};
use postq_core::error::{ErrorKind, QueueError, StoreError};
use postq_core::id::JobId;
use postq_core::job::{Applied, Topic};
use postq_core::queue::{Delivery, Depth, Lease, Queue, QueuedJob, Reserve};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Fault, queue};
use crate::member;
use crate::server::{Lua, Redis};
use crate::wake::Wake;

/// Jobs in one script: what it does in a few milliseconds, for nobody else is served meanwhile.
const BATCH: usize = 1_000;

/// Scripts in one call, where there is more to look at than one may.
const ROUNDS: usize = 50;

/// Who waits looks so often, in case a wake-up was lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A queue in Redis. Losing it is allowed: the store is the truth.
///
/// `push` of more than 1,000 jobs takes several scripts; if one fails, those before it have worked, and
/// pushing all of them again is harmless. A waiting `reserve` is woken over a channel
/// (`{prefix}:v1:wake`) that one connection per queue listens to; without the right to use it, it looks
/// once a second.
#[derive(Clone, Debug)]
pub struct RedisQueue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    redis: Redis,
    wake: Wake,
    /// Kept for the fences of all topics.
    fence: String,
    epoch: String,
    /// The epoch that was seen last; 0 for none. See [`RedisQueue::wipes`].
    seen: AtomicU64,
    wipes: watch::Sender<u64>,
    scripts: Scripts,
}

#[derive(Debug)]
struct Scripts {
    push: Lua,
    reserve: Lua,
    ack: Lua,
    release: Lua,
    extend: Lua,
    remove: Lua,
    depth: Lua,
}

impl RedisQueue {
    pub(crate) fn new(redis: Redis) -> Self {
        let keys = redis.keys();
        let inner = Inner {
            wake: Wake::new(keys.one("wake")),
            fence: keys.one("fence"),
            epoch: keys.one("epoch"),
            seen: AtomicU64::new(0),
            wipes: watch::Sender::new(0),
            scripts: Scripts {
                push: Lua::new(include_str!("lua/push.lua")),
                reserve: Lua::new(include_str!("lua/reserve.lua")),
                ack: Lua::new(include_str!("lua/ack.lua")),
                release: Lua::new(include_str!("lua/release.lua")),
                extend: Lua::new(include_str!("lua/extend.lua")),
                remove: Lua::new(include_str!("lua/remove.lua")),
                depth: Lua::new(include_str!("lua/depth.lua")),
            },
            redis,
        };
        Self { inner: Arc::new(inner) }
    }

    /// How often the queue was found wiped (`FLUSHALL`, a restart without persistence, eviction):
    /// whoever pushes what is absent does so at once when this changes. Noticed by the first call after
    /// it, by a key that is made anew when it is missing.
    pub fn wipes(&self) -> watch::Receiver<u64> {
        self.inner.wipes.subscribe()
    }

    async fn run<T: FromRedisValue>(
        &self,
        action: &'static str,
        script: &Lua,
        keys: &[&str],
        args: &[String],
    ) -> Result<T, StoreError> {
        let redis = &self.inner.redis;
        redis.run(script, keys, args, redis.patience()).await.map_err(|fault| fault.during(action))
    }

    /// Compares the epoch that an answer told with the one that was seen before.
    fn saw(&self, epoch: &str) {
        let epoch = epoch.parse().unwrap_or(0);
        let before = self.inner.seen.swap(epoch, Ordering::Relaxed);
        if before != 0 && before != epoch {
            tracing::warn!(
                "the queue in Redis was emptied; the next sweep pushes what is due again"
            );
            self.inner.wipes.send_modify(|count| *count += 1);
        }
    }

    /// Runs a script for the holders of deliveries, once for each topic; its arguments are `before`, then
    /// per lease the id and the fence. One answer per lease, in order.
    async fn each(
        &self,
        action: &'static str,
        script: &Lua,
        before: &[String],
        leases: &[Lease],
    ) -> Result<Vec<Applied>, StoreError> {
        let mut topics: BTreeMap<&Topic, Vec<usize>> = BTreeMap::new();
        for (place, held) in leases.iter().enumerate() {
            topics.entry(&held.topic).or_default().push(place);
        }
        let mut answers = vec![Applied::Gone; leases.len()];
        for (topic, places) in topics {
            let keys = self.inner.redis.keys().of_topic(topic);
            let keys = [&keys.jobs, &keys.leases].map(String::as_str);
            for places in places.chunks(BATCH) {
                let mut args = before.to_vec();
                for place in places {
                    let held = &leases[*place];
                    args.extend([member::id(held.job), member::fence(held.fence)]);
                }
                let told: Vec<i64> = self.run(action, script, &keys, &args).await?;
                for (place, answer) in places.iter().zip(told) {
                    answers[*place] = applied(answer);
                }
            }
        }
        Ok(answers)
    }

    /// Reserves what can be had now; tells also after how long to look again.
    async fn reserve_now(
        &self,
        reserve: &Reserve,
    ) -> Result<(Vec<Delivery>, Duration), StoreError> {
        let action = "reserve jobs";
        let keys = self.inner.redis.keys().of_topic(&reserve.topic);
        let keys = [
            &keys.jobs,
            &keys.ready,
            &keys.later,
            &keys.leases,
            &self.inner.fence,
            &self.inner.epoch,
        ]
        .map(String::as_str);
        let limit = reserve.limit.min(BATCH);
        let (mut got, mut cursor) = (Vec::new(), String::new());
        for round in 1.. {
            let last = round == ROUNDS;
            let mut args = vec![
                (limit - got.len()).to_string(),
                reserve.lease.as_micros().to_string(),
                cursor,
                u8::from(last).to_string(),
                BATCH.to_string(),
            ];
            args.extend(reserve.skip.iter().cloned());
            let answer: Vec<Value> =
                self.run(action, &self.inner.scripts.reserve, &keys, &args).await?;
            let answer =
                Answer::read(answer, &reserve.topic).map_err(|fault| fault.during(action))?;
            self.saw(&answer.epoch);
            got.extend(answer.deliveries);
            cursor = answer.cursor;
            if !answer.more || last {
                return Ok((got, answer.next));
            }
        }
        unreachable!("the rounds end inside the loop")
    }
}

/// What the script of `reserve` answers.
struct Answer {
    epoch: String,
    /// Until something becomes due; the longest time if nothing will.
    next: Duration,
    more: bool,
    cursor: String,
    deliveries: Vec<Delivery>,
}

impl Answer {
    fn read(answer: Vec<Value>, topic: &Topic) -> Result<Self, Fault> {
        let mut values = answer.into_iter();
        let mut value = || values.next().unwrap_or(Value::Nil);
        let mut read = || -> Result<_, deadpool_redis::redis::ParsingError> {
            Ok((
                from_redis_value::<String>(value())?,
                from_redis_value::<i64>(value())?,
                from_redis_value::<i64>(value())? == 1,
                from_redis_value::<String>(value())?,
            ))
        };
        let (epoch, next, more, cursor) = read().map_err(unreadable)?;
        let delivery = |value: Value| {
            member::delivery(&from_redis_value::<String>(value).map_err(unreadable)?, topic)
        };
        let deliveries = values.map(delivery).collect::<Result<_, _>>()?;
        let next = u64::try_from(next).map_or(Duration::MAX, Duration::from_micros);
        Ok(Self { epoch, next, more, cursor, deliveries })
    }
}

fn unreadable(error: deadpool_redis::redis::ParsingError) -> Fault {
    Fault::Refused(ErrorKind::Internal, format!("an answer cannot be read: {error}"))
}

fn applied(answer: i64) -> Applied {
    match answer {
        1 => Applied::Applied,
        0 => Applied::Stale,
        _ => Applied::Gone,
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn push(&self, jobs: &[QueuedJob]) -> Result<(), QueueError> {
        let mut topics: BTreeMap<&Topic, Vec<&QueuedJob>> = BTreeMap::new();
        for job in jobs {
            topics.entry(&job.topic).or_default().push(job);
        }
        for (topic, jobs) in topics {
            let keys = self.inner.redis.keys().of_topic(topic);
            let keys =
                [&keys.jobs, &keys.ready, &keys.later, &self.inner.epoch].map(String::as_str);
            for jobs in jobs.chunks(BATCH) {
                let mut args = vec![self.inner.wake.channel().to_owned()];
                for job in jobs {
                    let due = member::micros(job.run_at).to_string();
                    args.extend([member::id(job.id), member::member(job), due]);
                }
                let push = self.run("push jobs", &self.inner.scripts.push, &keys, &args);
                let epoch: String = push.await.map_err(queue)?;
                self.saw(&epoch);
            }
        }
        Ok(())
    }

    async fn reserve(&self, reserve: &Reserve) -> Result<Vec<Delivery>, QueueError> {
        if reserve.limit == 0 {
            return Ok(Vec::new());
        }
        let start = Instant::now();
        let wakes =
            (!reserve.wait.is_zero()).then(|| self.inner.wake.listen(self.inner.redis.config()));
        loop {
            let mut wakes = wakes.clone();
            if let Some(wakes) = &mut wakes {
                wakes.mark_unchanged();
            }
            let (got, next) = self.reserve_now(reserve).await.map_err(queue)?;
            let left = reserve.wait.saturating_sub(start.elapsed());
            let Some(wakes) = wakes.as_mut().filter(|_| got.is_empty() && !left.is_zero()) else {
                return Ok(got);
            };
            // A wake-up and the end of the time are both a reason to look again.
            let _ = tokio::time::timeout(left.min(next).min(LOOK_EVERY), wakes.changed()).await;
        }
    }

    async fn ack(&self, leases: &[Lease]) -> Result<Vec<Applied>, QueueError> {
        let script = &self.inner.scripts.ack;
        self.each("acknowledge deliveries", script, &[], leases).await.map_err(queue)
    }

    async fn release(&self, lease: &Lease, run_at: DateTime<Utc>) -> Result<Applied, QueueError> {
        let keys = self.inner.redis.keys().of_topic(&lease.topic);
        let due = member::micros(run_at);
        let args = [
            member::id(lease.job),
            member::fence(lease.fence),
            member::time(due),
            due.to_string(),
            self.inner.wake.channel().to_owned(),
        ];
        let keys = [&keys.jobs, &keys.later, &keys.leases].map(String::as_str);
        let release = self.run("release a delivery", &self.inner.scripts.release, &keys, &args);
        release.await.map(applied).map_err(queue)
    }

    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Applied>, QueueError> {
        let (script, lease) = (&self.inner.scripts.extend, lease.as_micros().to_string());
        self.each("extend leases", script, &[lease], leases).await.map_err(queue)
    }

    async fn remove(&self, topic: &Topic, jobs: &[JobId]) -> Result<(), QueueError> {
        let keys = self.inner.redis.keys().of_topic(topic);
        let keys = [&keys.jobs, &keys.ready, &keys.later, &keys.leases].map(String::as_str);
        for jobs in jobs.chunks(BATCH) {
            let ids: Vec<_> = jobs.iter().copied().map(member::id).collect();
            let remove = self.run("remove jobs", &self.inner.scripts.remove, &keys, &ids);
            let _: i64 = remove.await.map_err(queue)?;
        }
        Ok(())
    }

    async fn depth(&self, topic: &Topic) -> Result<Depth, QueueError> {
        let keys = self.inner.redis.keys().of_topic(topic);
        let keys = [&keys.ready, &keys.later, &keys.leases].map(String::as_str);
        let depth = self.run("count a topic", &self.inner.scripts.depth, &keys, &[]);
        let (ready, delayed, leased) = depth.await.map_err(queue)?;
        Ok(Depth { ready, delayed, leased })
    }
}
