//! `NodeStore`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::node::{Node, NodeStore, SeenNode};
use rusqlite::{Row, params};

use crate::rows::{blob, json, micros, time};
use crate::store::SqliteStore;

impl SqliteStore {
    /// What the nodes on this file tell of themselves.
    pub fn nodes(&self) -> Arc<dyn NodeStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl NodeStore for SqliteStore {
    async fn tell(&self, node: &Node) -> Result<(), StoreError> {
        let node = node.clone();
        self.write("tell of a node", move |tx| {
            tx.run(
                "INSERT OR REPLACE INTO nodes (id, seen_at, told) VALUES (?, ?, ?)",
                params![blob(node.id.as_uuid()), micros(tx.now), serde_json::to_string(&node)?],
            )?;
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Result<Vec<SeenNode>, StoreError> {
        let list = "SELECT told, seen_at FROM nodes ORDER BY id";
        self.read("list nodes", move |tx| Ok(tx.all(list, [], seen)?)).await
    }

    async fn forget(&self, silent_for: Duration) -> Result<u64, StoreError> {
        let silent_for = i64::try_from(silent_for.as_micros()).unwrap_or(i64::MAX);
        self.write("forget nodes", move |tx| {
            let before = micros(tx.now).saturating_sub(silent_for);
            Ok(tx.run("DELETE FROM nodes WHERE seen_at <= ?", [before])? as u64)
        })
        .await
    }
}

fn seen(row: &Row<'_>) -> rusqlite::Result<SeenNode> {
    Ok(SeenNode { node: json(row, "told")?, seen_at: time(row, "seen_at")? })
}
