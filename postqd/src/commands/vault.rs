//! `postqd vault`: which keys seal what is secret, and how one is replaced.

use std::sync::Arc;

use anyhow::bail;
use postq_core::id::TenantId;
use postq_core::node::NodeState;
use postq_core::vault::{KeyRing, Vault as _};
use postq_engine::reseal::{Census, Resealed, Resealer, Unopened};
use serde::Serialize;
use serde_json::json;

use crate::cli::Vault;
use crate::compose::Node;
use crate::output::{Output, count, cut};

/// Accounts and webhooks that are sealed again before that is told.
const BATCH: usize = 100;

/// Batches of one run: more than any store has.
const MOST_BATCHES: usize = 100_000;

/// A key, and what is sealed with it.
#[derive(Debug, Serialize)]
struct Key {
    key: String,
    /// `seals`, `opens`, or `unknown`.
    does: &'static str,
    accounts: usize,
    webhooks: usize,
}

pub(super) async fn run(node: &Node, output: Output, command: Vault) -> anyhow::Result<()> {
    let ring = node.vault().await?;
    let resealer = Resealer::new(
        Arc::clone(&node.backend.accounts),
        Arc::clone(&node.store.webhooks),
        Arc::new(ring.clone()),
    );
    match command {
        Vault::Status => {
            let census = resealer.census(TenantId::DEFAULT).await?;
            status(output, &ring, &census);
            Ok(())
        }
        Vault::Rotate => {
            ensure_nodes_have(node, ring.key_id()).await?;
            rotate(node, output, &resealer, ring.key_id()).await
        }
    }
}

fn status(output: Output, ring: &KeyRing, census: &Census) {
    let keys = keys(ring, census);
    if output.is_json() {
        output.emit(&json!({ "keys": keys, "unopened": census.unopened }));
        return;
    }
    output.list(["key", "does", "accounts", "webhooks"], &keys, |key| {
        [key.key.clone(), key.does.to_owned(), key.accounts.to_string(), key.webhooks.to_string()]
    });
    census.unopened.iter().for_each(|one| output.note(unopened(one)));
}

/// The keys in force, and those that are not there.
fn keys(ring: &KeyRing, census: &Census) -> Vec<Key> {
    let strange = census.by_key.keys().map(String::as_str).filter(|key| !ring.has(key));
    let all = ring.key_ids().chain(strange).map(|key| {
        let sealed = census.by_key.get(key).copied().unwrap_or_default();
        let does = match ring.has(key) {
            true if key == ring.key_id() => "seals",
            true => "opens",
            false => "unknown",
        };
        Key { key: key.to_owned(), does, accounts: sealed.accounts, webhooks: sealed.webhooks }
    });
    all.collect()
}

/// Fails if a node is at work that could not open what is sealed with this key.
async fn ensure_nodes_have(node: &Node, key: &str) -> anyhow::Result<()> {
    let now = node.now().await?;
    for seen in node.store.nodes.list().await? {
        let is_up = seen.state(now) == NodeState::Up;
        if is_up && !seen.node.keys.iter().any(|known| known == key) {
            bail!(
                "the node {}:{} is at work without key {key}, and could not open what is sealed with it; \
                 start it again with that key, or stop it (one that was killed counts as gone after {} s)",
                seen.node.host,
                seen.node.pid,
                3 * seen.node.every.as_secs()
            )
        }
    }
    Ok(())
}

async fn rotate(node: &Node, output: Output, resealer: &Resealer, key: &str) -> anyhow::Result<()> {
    let mut total = 0;
    let mut last = Resealed::default();
    for _ in 0..MOST_BATCHES {
        last = resealer.reseal(TenantId::DEFAULT, node.now().await?, BATCH).await?;
        total += last.resealed;
        if last.left == 0 || last.resealed == 0 {
            break;
        }
        output.note(format!("{total} sealed with key {key}, {} left", last.left));
    }
    let Resealed { left, unopened: lost, .. } = &last;
    lost.iter().for_each(|one| output.note(unopened(one)));
    let told = match (total, left) {
        (0, 0) if lost.is_empty() => format!("everything is sealed with key {key} already"),
        (total, 0) => format!("{total} sealed with key {key}, none left"),
        (total, left) => format!("{total} sealed with key {key}, {left} left"),
    };
    output.tell(told, &json!({ "key": key, "resealed": total, "left": left, "unopened": lost }));
    if *left > 0 {
        bail!(
            "{left} changed all the time and stay as they are; postqd vault rotate goes on with them"
        )
    }
    if !lost.is_empty() {
        let what = count(lost.len(), "secret");
        bail!(
            "no key opens {what}; add the keys to POSTQ_ENCRYPTION_KEYS_OLD, or connect them again"
        )
    }
    Ok(())
}

fn unopened(one: &Unopened) -> String {
    format!("{} (key {}): {}", one.owner, one.key_id, cut(&one.why, 300))
}
