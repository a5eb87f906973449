//! The published suites, on a real server, in a fresh place each.

mod support;

use std::sync::Arc;

use postq_core::backend::Backend;
use postq_core::cache::Cache;
use postq_core::clock::SystemClock;
use postq_core::composed::Composed;
use postq_core::conformance::pushing::pushing;
use postq_core::limiter::RateLimiter;
use postq_core::lock::DedupeLock;
use postq_core::memory::MemoryBackend;
use postq_core::queue::Queue;
use support::{Keeper, redis};

async fn queue() -> (Arc<dyn Queue>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.queue()), keeper)
}

async fn lock() -> (Arc<dyn DedupeLock>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.lock()), keeper)
}

async fn limiter() -> (Arc<dyn RateLimiter>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.limiter()), keeper)
}

async fn cache() -> (Arc<dyn Cache>, Keeper) {
    let (redis, keeper) = redis();
    (Arc::new(redis.cache()), keeper)
}

postq_core::queue_conformance!(queue);
postq_core::lock_conformance!(lock);
postq_core::limiter_conformance!(limiter);
postq_core::cache_conformance!(cache);

/// The queue beside a store.
mod beside_a_store {
    use super::*;

    async fn fresh() -> (Backend, Keeper) {
        let (queue, keeper) = queue().await;
        let stores = MemoryBackend::new(Arc::new(SystemClock)).backend();
        (pushing(Composed::backend(queue, stores)), keeper)
    }

    postq_core::feed_conformance!(fresh);
}
