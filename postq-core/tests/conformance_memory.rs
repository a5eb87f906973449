//! The reference backend passes every suite.

use std::sync::Arc;

use postq_core::backend::Backend;
use postq_core::cache::Cache;
use postq_core::clock::SystemClock;
use postq_core::conformance::media_catalog::Parts;
use postq_core::connecting::ConnectingStore;
use postq_core::idempotency::IdempotencyStore;
use postq_core::limiter::RateLimiter;
use postq_core::lock::DedupeLock;
use postq_core::media::MediaStore;
use postq_core::memory::{
    MemoryBackend, MemoryCache, MemoryConnecting, MemoryIdempotency, MemoryMedia, MemoryNodes,
    MemoryQueue, MemoryTokens, MemoryWebhooks,
};
use postq_core::node::NodeStore;
use postq_core::queue::Queue;
use postq_core::token::TokenStore;
use postq_core::webhook::WebhookStore;

async fn fresh() -> Backend {
    MemoryBackend::new(Arc::new(SystemClock)).backend()
}

async fn lock() -> Arc<dyn DedupeLock> {
    fresh().await.lock
}

async fn limiter() -> Arc<dyn RateLimiter> {
    fresh().await.limiter
}

async fn queue() -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new(Arc::new(SystemClock)))
}

async fn cache() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

async fn tokens() -> Arc<dyn TokenStore> {
    Arc::new(MemoryTokens::default())
}

async fn webhooks() -> Arc<dyn WebhookStore> {
    Arc::new(MemoryWebhooks::default())
}

async fn media() -> Arc<dyn MediaStore> {
    Arc::new(MemoryMedia::default())
}

async fn media_catalog() -> Parts {
    let memory = MemoryBackend::new(Arc::new(SystemClock));
    Parts {
        catalog: memory.media_catalog(),
        uploads: memory.uploads(),
        posts: memory.backend().posts,
    }
}

async fn nodes() -> Arc<dyn NodeStore> {
    Arc::new(MemoryNodes::new(Arc::new(SystemClock)))
}

async fn idempotency() -> Arc<dyn IdempotencyStore> {
    Arc::new(MemoryIdempotency::new(Arc::new(SystemClock)))
}

postq_core::connecting_conformance!(async || {
    Arc::new(MemoryConnecting::new(Arc::new(SystemClock))) as Arc<dyn ConnectingStore>
});
postq_core::store_conformance!(fresh);
postq_core::feed_conformance!(fresh);
postq_core::queue_conformance!(queue);
postq_core::lock_conformance!(lock);
postq_core::limiter_conformance!(limiter);
postq_core::cache_conformance!(cache);
postq_core::node_conformance!(nodes);
postq_core::token_conformance!(tokens);
postq_core::media_conformance!(media);
postq_core::media_catalog_conformance!(media_catalog);
postq_core::webhook_conformance!(webhooks);
postq_core::idempotency_conformance!(idempotency);

/// Seeded ids change nothing of the contract.
mod seeded {
    use super::{Arc, Backend, MemoryBackend, SystemClock};

    async fn fresh() -> Backend {
        MemoryBackend::seeded(Arc::new(SystemClock), 7).backend()
    }

    postq_core::store_conformance!(fresh);
    postq_core::feed_conformance!(fresh);
}
