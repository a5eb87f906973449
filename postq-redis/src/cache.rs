//! `Cache`: values that end by themselves; a Redis that fails is a miss.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{Cmd, FromRedisValue, cmd};
use postq_core::cache::{Cache, Make};
use postq_core::error::chain;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::Fault;
use crate::keys::millis;
use crate::server::{Lua, Redis};

/// While one node makes a value, the others wait at most so long for it; then they make their own.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(2);

/// How often they look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A cache in Redis, shared by all nodes.
///
/// Callers in one process that come while a value is being made share it, with or without Redis. Other
/// nodes wait for it for up to 2 s.
#[derive(Clone)]
pub struct RedisCache {
    redis: Redis,
    unlock: Arc<Lua>,
    flights: Arc<Flights>,
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache").field("redis", &self.redis).finish_non_exhaustive()
    }
}

/// A value on its way, for all who came while it was: they wait for the lock and find it.
type Flight = Arc<tokio::sync::Mutex<Option<Vec<u8>>>>;

/// The values that are on their way: as many as there are callers, at most.
#[derive(Default)]
struct Flights(Mutex<BTreeMap<String, Flight>>);

impl Flights {
    /// Gets on, the first one as the maker of it.
    fn board(self: &Arc<Self>, key: &str) -> Passenger {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = Arc::clone(flights.entry(key.to_owned()).or_default());
        Passenger { flights: Arc::clone(self), key: key.to_owned(), flight: Some(flight) }
    }
}

/// One caller's place; gives it up when it is dropped, however that comes.
struct Passenger {
    flights: Arc<Flights>,
    key: String,
    flight: Option<Flight>,
}

impl Passenger {
    /// Whoever comes from now on begins anew.
    fn land(&self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = |flight: &Flight| self.flight.as_ref().is_some_and(|f| Arc::ptr_eq(f, flight));
        if flights.get(&self.key).is_some_and(ours) {
            flights.remove(&self.key);
        }
    }
}

impl Drop for Passenger {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.flight = None;
        if flights.get(&self.key).is_some_and(|flight| Arc::strong_count(flight) == 1) {
            flights.remove(&self.key);
        }
    }
}

impl RedisCache {
    pub(crate) fn new(redis: Redis) -> Self {
        let unlock = Arc::new(Lua::new(include_str!("lua/unlock.lua")));
        Self { redis, unlock, flights: Arc::default() }
    }

    /// Asks Redis; what fails is nothing.
    async fn ask<T: FromRedisValue>(&self, what: &'static str, cmd: Cmd) -> Option<T> {
        let answer = self.redis.command(cmd, self.redis.config().cache_timeout).await;
        answer.map_err(|fault| log(what, fault)).ok()
    }

    async fn get(&self, name: &str) -> Option<Option<Vec<u8>>> {
        let mut get = cmd("GET");
        get.arg(name);
        self.ask("read the cache", get).await
    }

    /// The value, from another node or made here.
    async fn get_or_make(&self, key: &str, ttl: Duration, make: Make) -> Option<Vec<u8>> {
        let name = self.redis.keys().of("cache", key);
        let Some(found) = self.get(&name).await else { return make().await };
        if found.is_some() {
            return found;
        }
        let (making, token) = (self.redis.keys().of("making", key), Uuid::new_v4().to_string());
        if let Some(value) = self.made_elsewhere(&name, &making, &token).await {
            return Some(value);
        }
        let made = make().await;
        if let Some(value) = &made {
            let mut set = cmd("SET");
            set.arg(&name).arg(value).arg("PX").arg(millis(ttl));
            self.ask::<()>("fill the cache", set).await;
        }
        let bound = self.redis.config().cache_timeout;
        let (making, token) = ([making.as_str()], [token]);
        if let Err(fault) = self.redis.run::<()>(&self.unlock, &making, &token, bound).await {
            log("tell others that a value is made", fault);
        }
        made
    }

    /// Waits for the value if another node is making it; nothing if it is up to this one.
    async fn made_elsewhere(&self, name: &str, making: &str, token: &str) -> Option<Vec<u8>> {
        let until = Instant::now() + WAIT_FOR_OTHERS;
        loop {
            let mut claim = cmd("SET");
            claim.arg(making).arg(token).arg("NX").arg("PX").arg(millis(WAIT_FOR_OTHERS));
            let claimed: Option<String> = self.ask("claim a value", claim).await?;
            // Looks once more when it is free: whoever made it may just have done so.
            let found = self.get(name).await?;
            if found.is_some() || claimed.is_some() || Instant::now() >= until {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn log(what: &'static str, fault: Fault) {
    tracing::debug!(error = chain(&fault.during(what)), "the cache goes without Redis");
}

#[async_trait]
impl Cache for RedisCache {
    async fn get_or_set(&self, key: &str, ttl: Duration, make: Make) -> Option<Vec<u8>> {
        let passenger = self.flights.board(key);
        let flight = passenger.flight.clone()?;
        let mut value = flight.lock().await;
        if value.is_none() {
            *value = self.get_or_make(key, ttl, make).await;
            passenger.land();
        }
        value.clone()
    }

    async fn forget(&self, key: &str) {
        let mut forget = cmd("DEL");
        forget.arg(self.redis.keys().of("cache", key));
        self.ask::<i64>("forget a value", forget).await;
    }
}
