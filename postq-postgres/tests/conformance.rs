//! The published suites, in a fresh schema each.

mod support;

use std::sync::Arc;

use postq_core::backend::Backend;
use postq_core::conformance::media_catalog::Parts;
use postq_core::fallback::LimiterMode;
use postq_core::idempotency::IdempotencyStore;
use postq_core::limiter::RateLimiter;
use postq_core::lock::DedupeLock;
use postq_core::node::NodeStore;
use postq_core::queue::Queue;
use postq_core::token::TokenStore;
use postq_core::webhook::WebhookStore;

use crate::support::Fresh;

async fn fresh() -> (Backend, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.backend(), fresh)
}

async fn fresh_queue() -> (Arc<dyn Queue>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.queue(), fresh)
}

async fn fresh_lock() -> (Arc<dyn DedupeLock>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.backend().lock, fresh)
}

async fn fresh_limiter() -> (Arc<dyn RateLimiter>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.backend().limiter, fresh)
}

async fn fresh_limiter_mode() -> (Arc<dyn LimiterMode>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.limiter_mode(), fresh)
}

async fn fresh_tokens() -> (Arc<dyn TokenStore>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.tokens(), fresh)
}

async fn fresh_webhooks() -> (Arc<dyn WebhookStore>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.webhooks(), fresh)
}

async fn fresh_nodes() -> (Arc<dyn NodeStore>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.nodes(), fresh)
}

async fn fresh_media() -> (Parts, Fresh) {
    let fresh = Fresh::open().await;
    let (catalog, uploads) = (fresh.store.media_catalog(), fresh.store.uploads());
    (Parts { catalog, uploads, posts: fresh.store.backend().posts }, fresh)
}

async fn fresh_idempotency() -> (Arc<dyn IdempotencyStore>, Fresh) {
    let fresh = Fresh::open().await;
    (fresh.store.idempotency(), fresh)
}

postq_core::connecting_conformance!(async || {
    let fresh = Fresh::open().await;
    (fresh.store.connecting(), fresh)
});
postq_core::store_conformance!(fresh);
postq_core::feed_conformance!(fresh);
postq_core::queue_conformance!(fresh_queue);
postq_core::lock_conformance!(fresh_lock);
postq_core::limiter_conformance!(fresh_limiter);
postq_core::limiter_mode_conformance!(fresh_limiter_mode);
postq_core::node_conformance!(fresh_nodes);
postq_core::token_conformance!(fresh_tokens);
postq_core::webhook_conformance!(fresh_webhooks);
postq_core::idempotency_conformance!(fresh_idempotency);
postq_core::media_catalog_conformance!(fresh_media);

/// The same where workers and whoever makes their work are two nodes: jobs, blocks and the rest go
/// through another store on the same schema. The marks of planning and those that the feed waits for
/// must come from one store, as they do in one process.
mod apart {
    use super::*;

    async fn fresh() -> (Backend, (Fresh, Fresh)) {
        let ours = Fresh::open().await;
        let theirs = ours.another().await;
        let feed = ours.store.backend();
        let backend =
            Backend { feed: feed.feed, schedules: feed.schedules, ..theirs.store.backend() };
        (backend, (ours, theirs))
    }

    postq_core::feed_conformance!(fresh);
    postq_core::store_conformance!(fresh);
}
