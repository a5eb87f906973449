//! A Redis server, and what may be asked of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{Cmd, FromRedisValue, Pipeline, RedisError, Script, Value, cmd};
use postq_core::error::{ErrorKind, StoreError};

use crate::cache::RedisCache;
use crate::config::Config;
use crate::connect::{Pool, Request, is_lost};
use crate::error::Fault;
use crate::keys::Keys;
use crate::limiter::RedisLimiter;
use crate::lock::RedisLock;
use crate::queue::RedisQueue;

/// A Redis server, or a cluster of them. Clones share the connections.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    pool: Pool,
    keys: Keys,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("keys", &self.inner.keys).finish_non_exhaustive()
    }
}

impl Redis {
    /// Gets ready to use the server. Connects only when something is asked for: a server that is away
    /// is no error here; [`check`](Self::check) asks it.
    pub fn new(config: Config) -> Result<Self, StoreError> {
        let new = || {
            let keys = Keys::new(&config.prefix)?;
            Ok((keys, Pool::new(&config)?))
        };
        let (keys, pool) = new().map_err(|fault: Fault| fault.during("set up the connection"))?;
        Ok(Self { inner: Arc::new(Inner { config, pool, keys }) })
    }

    /// The queue.
    pub fn queue(&self) -> RedisQueue {
        RedisQueue::new(self.clone())
    }

    /// The dedupe lock.
    pub fn lock(&self) -> RedisLock {
        RedisLock::new(self.clone())
    }

    /// The rate limiter.
    pub fn limiter(&self) -> RedisLimiter {
        RedisLimiter::new(self.clone())
    }

    /// The cache.
    pub fn cache(&self) -> RedisCache {
        RedisCache::new(self.clone())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// How long a call may take in all.
    pub(crate) fn patience(&self) -> Duration {
        self.config().connect_timeout + self.config().response_timeout
    }

    /// Sends one command.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        cmd: Cmd,
        bound: Duration,
    ) -> Result<T, Fault> {
        read(self.ask(&Request::Cmd(cmd), bound).await?)
    }

    /// Sends several commands in one go; each answer stands for itself.
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        pipe: Pipeline,
        bound: Duration,
    ) -> Result<T, Fault> {
        read(self.ask(&Request::Pipe(pipe), bound).await?)
    }

    /// Runs a script, by its hash; in full where the server does not have it.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Lua,
        keys: &[&str],
        args: &[String],
        bound: Duration,
    ) -> Result<T, Fault> {
        let call = |how: &str, what: &str| {
            let mut call = cmd(how);
            call.arg(what).arg(keys.len()).arg(keys).arg(args);
            Request::Cmd(call)
        };
        match self.ask(&call("EVALSHA", script.hash()), bound).await {
            Err(Fault::Redis(error)) if error.code() == Some("NOSCRIPT") => {
                read(self.ask(&call("EVAL", script.code), bound).await?)
            }
            answer => read(answer?),
        }
    }

    /// Asks within a bound; once more if the connection turns out to be gone. Every call is safe to
    /// repeat.
    async fn ask(&self, request: &Request, bound: Duration) -> Result<Value, Fault> {
        let ask = async {
            match self.once(request).await {
                Err(Fault::Redis(error)) if is_lost(&error) => self.once(request).await,
                answer => answer,
            }
        };
        tokio::time::timeout(bound, ask).await.unwrap_or(Err(Fault::NoAnswer(bound)))
    }

    async fn once(&self, request: &Request) -> Result<Value, Fault> {
        Ok(self.inner.pool.link().await?.send(request).await?)
    }
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, Fault> {
    T::from_redis_value(value).map_err(|error| {
        let what = format!("an answer cannot be read: {}", RedisError::from(error));
        Fault::Refused(ErrorKind::Internal, what)
    })
}

/// A script, with its hash.
#[derive(Debug)]
pub(crate) struct Lua {
    code: &'static str,
    script: Script,
}

impl Lua {
    pub(crate) fn new(code: &'static str) -> Self {
        Self { code, script: Script::new(code) }
    }

    fn hash(&self) -> &str {
        self.script.get_hash()
    }
}
