//! `BlockStore`.

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::store::{Block, BlockReason, BlockStore};
use rusqlite::{Row, params};

use crate::asking::OVER;
use crate::rows::{micros, some_micros, some_time, word};
use crate::store::SqliteStore;

#[async_trait]
impl BlockStore for SqliteStore {
    async fn block(&self, block: &Block) -> Result<(), StoreError> {
        let block = block.clone();
        self.write("block a lane", move |tx| {
            tx.run(&format!("DELETE FROM blocks WHERE {OVER}"), [micros(tx.now)])?;
            tx.run(
                "INSERT OR REPLACE INTO blocks (scope, reason, until, note) VALUES (?, ?, ?, ?)",
                params![block.scope, block.reason.as_str(), some_micros(block.until), block.note],
            )?;
            // A shorter block in the place of a longer one may let the lane go on.
            tx.wake();
            tx.apply_blocks(&block.scope)
        })
        .await
    }

    async fn lift(&self, scope: &str, reason: BlockReason) -> Result<(), StoreError> {
        let scope = scope.to_owned();
        self.write("lift a block", move |tx| {
            let lift = "DELETE FROM blocks WHERE scope = ? AND reason = ?";
            if tx.run(lift, params![scope, reason.as_str()])? > 0 {
                tx.apply_blocks(&scope)?;
                tx.wake();
            }
            Ok(())
        })
        .await
    }

    async fn blocks(&self) -> Result<Vec<Block>, StoreError> {
        let sql = "SELECT * FROM blocks WHERE until IS NULL OR until > ? ORDER BY scope, reason";
        self.read("list blocks", move |tx| Ok(tx.all(sql, [micros(tx.now)], block)?)).await
    }
}

fn block(row: &Row<'_>) -> rusqlite::Result<Block> {
    Ok(Block {
        scope: row.get("scope")?,
        reason: word(row, "reason")?,
        until: some_time(row, "until")?,
        note: row.get("note")?,
    })
}
