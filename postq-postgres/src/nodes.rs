//! `NodeStore`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::node::{Node, NodeStore, SeenNode};
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{json, micros};
use crate::store::PgStore;
use crate::tx::{Sql, read};

impl PgStore {
    /// What the nodes on this schema tell of themselves.
    pub fn nodes(&self) -> Arc<dyn NodeStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl NodeStore for PgStore {
    async fn tell(&self, node: &Node) -> Result<(), StoreError> {
        read!(self, "tell of a node", |sql| tell(sql, node))
    }

    async fn list(&self) -> Result<Vec<SeenNode>, StoreError> {
        let list = "SELECT told, seen_at FROM {s}.nodes ORDER BY id";
        read!(self, "list nodes", |sql| sql.all(list, args![], seen))
    }

    async fn forget(&self, silent_for: Duration) -> Result<u64, StoreError> {
        let silent_for = micros(silent_for);
        let forget = "DELETE FROM {s}.nodes
             WHERE seen_at <= clock_timestamp() - $1 * interval '1 microsecond'";
        read!(self, "forget nodes", |sql| sql.run(forget, args![silent_for]))
    }
}

async fn tell(sql: Sql<'_>, node: &Node) -> Result<(), Fault> {
    let tell = "INSERT INTO {s}.nodes (id, seen_at, told) VALUES ($1, clock_timestamp(), $2)
         ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, told = excluded.told";
    sql.run(tell, args![node.id.as_uuid(), serde_json::to_string(node)?]).await?;
    Ok(())
}

fn seen(row: &Row) -> Result<SeenNode, Fault> {
    Ok(SeenNode { node: json(row, "told")?, seen_at: row.try_get("seen_at")? })
}
