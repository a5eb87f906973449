//! The published suites, on a fresh file each.

use std::sync::Arc;
use std::time::Duration;

use postq_core::backend::Backend;
use postq_core::conformance::media_catalog::Parts;
use postq_core::idempotency::IdempotencyStore;
use postq_core::limiter::RateLimiter;
use postq_core::lock::DedupeLock;
use postq_core::node::NodeStore;
use postq_core::queue::Queue;
use postq_core::token::TokenStore;
use postq_core::webhook::WebhookStore;
use postq_sqlite::{Config, SqliteStore};
use tempfile::TempDir;

fn open() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let store = SqliteStore::open(folder.path().join("postq.db")).expect("a fresh store");
    (store, folder)
}

async fn fresh() -> (Backend, TempDir) {
    let (store, folder) = open();
    (store.backend(), folder)
}

async fn fresh_queue() -> (Arc<dyn Queue>, TempDir) {
    let (store, folder) = open();
    (store.queue(), folder)
}

async fn fresh_lock() -> (Arc<dyn DedupeLock>, TempDir) {
    let (store, folder) = open();
    (store.backend().lock, folder)
}

async fn fresh_limiter() -> (Arc<dyn RateLimiter>, TempDir) {
    let (store, folder) = open();
    (store.backend().limiter, folder)
}

async fn fresh_tokens() -> (Arc<dyn TokenStore>, TempDir) {
    let (store, folder) = open();
    (store.tokens(), folder)
}

async fn fresh_webhooks() -> (Arc<dyn WebhookStore>, TempDir) {
    let (store, folder) = open();
    (store.webhooks(), folder)
}

async fn fresh_nodes() -> (Arc<dyn NodeStore>, TempDir) {
    let (store, folder) = open();
    (store.nodes(), folder)
}

async fn fresh_media() -> (Parts, TempDir) {
    let (store, folder) = open();
    let (catalog, uploads) = (store.media_catalog(), store.uploads());
    (Parts { catalog, uploads, posts: store.backend().posts }, folder)
}

async fn fresh_idempotency() -> (Arc<dyn IdempotencyStore>, TempDir) {
    let (store, folder) = open();
    (store.idempotency(), folder)
}

postq_core::connecting_conformance!(async || {
    let (store, folder) = open();
    (store.connecting(), folder)
});
postq_core::store_conformance!(fresh);
postq_core::feed_conformance!(fresh);
postq_core::queue_conformance!(fresh_queue);
postq_core::lock_conformance!(fresh_lock);
postq_core::limiter_conformance!(fresh_limiter);
postq_core::node_conformance!(fresh_nodes);
postq_core::token_conformance!(fresh_tokens);
postq_core::webhook_conformance!(fresh_webhooks);
postq_core::idempotency_conformance!(fresh_idempotency);
postq_core::media_catalog_conformance!(fresh_media);

/// The same where workers and whoever makes their work are two processes: jobs, blocks and the rest
/// go through another store on the same file. The marks of planning and those that the feed waits
/// for must come from one store, as they do in one process.
mod apart {
    use super::*;

    async fn fresh() -> (Backend, TempDir) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let open = || {
            let path = folder.path().join("postq.db");
            let change_check = Duration::from_millis(50);
            SqliteStore::open_with(Config { path, change_check, ..Config::default() })
                .expect("a store on the shared file")
        };
        let (ours, theirs) = (open().backend(), open().backend());
        (Backend { feed: ours.feed, schedules: ours.schedules, ..theirs }, folder)
    }

    postq_core::feed_conformance!(fresh);
    postq_core::store_conformance!(fresh);
}
