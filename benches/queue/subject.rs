//! What is measured: the kinds of backends, and their servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use postq::core::backend::Backend;
use postq::core::clock::SystemClock;
use postq::core::fallback::{Beside, Breaker, BreakerSettings, LocalMode};
use postq::core::queue::Queue;
use postq::sqlite::SqliteStore;
use postq_postgres::PgStore;
use postq_redis::Redis;
use test_servers::{Postgres as PostgresServer, Redis as RedisServer};

/// A composition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    PostgresRedis,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::PostgresRedis];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::PostgresRedis => "postgres+redis",
        }
    }
}

/// The servers that the kinds need.
pub(crate) struct Servers {
    postgres: String,
    redis: String,
    /// Numbers the schemas and prefixes: each subject has an empty one.
    next: AtomicU64,
    _private: (Option<PostgresServer>, Option<RedisServer>),
}

impl Servers {
    /// Starts those that are needed and not given.
    pub(crate) fn start(kinds: &[Kind], postgres: Option<String>, redis: Option<String>) -> Self {
        let needs = |ours: &[Kind]| ours.iter().any(|kind| kinds.contains(kind));
        let (mut own_postgres, mut own_redis) = (None, None);
        if postgres.is_none() && needs(&[Kind::Postgres, Kind::PostgresRedis]) {
            // As Postgres comes, where the tests' servers are smaller.
            let settings = ["shared_buffers = '128MB'", "max_wal_size = '1GB'"];
            own_postgres = Some(PostgresServer::start_with(&settings));
        }
        if redis.is_none() && needs(&[Kind::PostgresRedis]) {
            let settings = ["appendonly yes", "appendfsync everysec"];
            own_redis = Some(RedisServer::start_with(&settings));
        }
        let own_url = own_postgres.as_ref().map(PostgresServer::url);
        Self {
            postgres: postgres.or(own_url).unwrap_or_default(),
            redis: redis.or(own_redis.as_ref().map(RedisServer::url)).unwrap_or_default(),
            next: AtomicU64::new(0),
            _private: (own_postgres, own_redis),
        }
    }

    /// An empty one of this kind.
    pub(crate) async fn fresh(&self, kind: Kind) -> Subject {
        let name =
            format!("bench_{}_{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed));
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::tempdir().expect("a folder");
                let store = SqliteStore::open(folder.path().join("posts.db")).expect("a store");
                let backend = store.backend();
                let queue = store.queue();
                Subject { maker: backend.clone(), worker: backend, queue, _folder: Some(folder) }
            }
            Kind::Postgres => {
                let (one, other) = (self.store(&name).await, self.store(&name).await);
                Subject {
                    maker: one.backend(),
                    worker: other.backend(),
                    queue: other.queue(),
                    _folder: None,
                }
            }
            Kind::PostgresRedis => {
                let (one, other) = (self.store(&name).await, self.store(&name).await);
                let (queue, worker) = self.beside(other.backend(), &name);
                let (_, maker) = self.beside(one.backend(), &name);
                Subject { maker, worker, queue, _folder: None }
            }
        }
    }

    async fn store(&self, schema: &str) -> PgStore {
        let config = postq_postgres::Config::new(&self.postgres).in_schema(schema);
        PgStore::open(config).await.expect("a store")
    }

    fn beside(&self, stores: Backend, prefix: &str) -> (Arc<dyn Queue>, Backend) {
        let config = postq_redis::Config::new(&self.redis).with_prefix(prefix);
        let redis = Redis::new(config).expect("settings that fit");
        let queue: Arc<dyn Queue> = Arc::new(redis.queue());
        let beside = Beside {
            queue: Some(Arc::clone(&queue)),
            lock: Arc::new(redis.lock()),
            limiter: Arc::new(redis.limiter()),
        };
        let breaker = Breaker::new("redis", BreakerSettings::default());
        (queue, beside.over(stores, Arc::new(LocalMode::new(Arc::new(SystemClock))), &breaker))
    }
}

/// An empty backend, as two nodes see it.
pub(crate) struct Subject {
    /// By the node that makes jobs.
    pub(crate) maker: Backend,
    /// By the node that works; the same one on SQLite.
    pub(crate) worker: Backend,
    /// The bare queue.
    pub(crate) queue: Arc<dyn Queue>,
    _folder: Option<tempfile::TempDir>,
}
