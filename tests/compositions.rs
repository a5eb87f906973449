//! The published suites over what configuration can compose: Postgres with Redis beside it, by way of the
//! fallbacks, on real servers.

#![allow(missing_docs, reason = "a test")]

use std::sync::Arc;

use postq::core::backend::Backend;
use postq::core::conformance::pushing::pushing;
use postq::core::fallback::{Beside, Breaker, BreakerSettings, FallbackQueue};
use postq::core::limiter::RateLimiter;
use postq::core::lock::DedupeLock;
use postq::core::queue::Queue;
use postq_postgres::{Config, PgStore};
use test_servers::{Postgres, Redis};

/// A schema of its own, and a Redis of its own beside it.
async fn composed(has_queue: bool) -> (Backend, (PgStore, Redis)) {
    let (postgres, server) = (Postgres::shared(), Redis::start());
    let config = Config::new(postgres.url()).in_schema(postgres.fresh_schema());
    let store = PgStore::open(config.with_connections(4)).await.expect("Postgres");
    let redis = redis(&server);
    let beside = Beside {
        queue: has_queue.then(|| Arc::new(redis.queue()) as Arc<dyn Queue>),
        lock: Arc::new(redis.lock()),
        limiter: Arc::new(redis.limiter()),
    };
    let backend = beside.over(store.backend(), store.limiter_mode(), &breaker());
    (backend, (store, server))
}

fn redis(server: &Redis) -> postq_redis::Redis {
    postq_redis::Redis::new(postq_redis::Config::new(server.url())).expect("settings that fit")
}

fn breaker() -> Breaker {
    Breaker::new("Redis", BreakerSettings::default())
}

mod postgres_and_redis {
    use super::*;

    async fn fresh() -> (Backend, (PgStore, Redis)) {
        let (backend, keeper) = composed(true).await;
        (pushing(backend), keeper)
    }

    async fn limiter() -> (Arc<dyn RateLimiter>, (PgStore, Redis)) {
        let (backend, keeper) = composed(true).await;
        (backend.limiter, keeper)
    }

    async fn lock() -> (Arc<dyn DedupeLock>, (PgStore, Redis)) {
        let (backend, keeper) = composed(true).await;
        (backend.lock, keeper)
    }

    postq::core::store_conformance!(fresh);
    postq::core::feed_conformance!(fresh);
    postq::core::limiter_conformance!(limiter);
    postq::core::lock_conformance!(lock);
}

/// Redis is there and the queue stays in Postgres.
mod use_pg_queue {
    use super::*;

    async fn fresh() -> (Backend, (PgStore, Redis)) {
        composed(false).await
    }

    postq::core::feed_conformance!(fresh);
}

/// The feed's suite holds while Redis is away as well: the store is the truth. The limiter's cannot: a bucket
/// that has moved gives no burst.
mod without_redis {
    use super::*;

    async fn fresh() -> (Backend, (PgStore, Redis)) {
        let (backend, (store, mut server)) = composed(true).await;
        server.kill();
        (pushing(backend), (store, server))
    }

    postq::core::feed_conformance!(fresh);
}

mod fallback_queue {
    use super::*;

    async fn fresh() -> (Arc<dyn Queue>, Redis) {
        let server = Redis::start();
        let queue = Arc::new(redis(&server).queue());
        (Arc::new(FallbackQueue::new(queue, breaker())), server)
    }

    postq::core::queue_conformance!(fresh);
}
