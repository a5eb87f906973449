//! `BlockStore`.

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::store::{Block, BlockReason, BlockStore};
use tokio_postgres::Row;

use crate::args::args;
use crate::asking::ASKS_FIRST;
use crate::error::Fault;
use crate::lanes;
use crate::rows::{kept, whole, word};
use crate::store::PgStore;
use crate::tx::{Tx, read, write};

#[async_trait]
impl BlockStore for PgStore {
    async fn block(&self, block: &Block) -> Result<(), StoreError> {
        write!(self, "block a lane", |tx| stop(&tx, block))
    }

    async fn lift(&self, scope: &str, reason: BlockReason) -> Result<(), StoreError> {
        write!(self, "lift a block", |tx| lift(&tx, scope, reason))
    }

    async fn blocks(&self) -> Result<Vec<Block>, StoreError> {
        let list =
            "SELECT * FROM {s}.blocks WHERE until IS NULL OR until > now() ORDER BY scope, reason";
        read!(self, "list blocks", |sql| sql.all(list, args![], from_row))
    }
}

async fn stop(tx: &Tx<'_>, block: &Block) -> Result<(), Fault> {
    lanes::lock_blocks(tx.sql, true).await?;
    let over = format!("DELETE FROM {{s}}.blocks WHERE until <= now() AND NOT ({ASKS_FIRST})");
    tx.sql.run(&over, args![]).await?;
    let replace = "INSERT INTO {s}.blocks (scope, reason, until, note) VALUES ($1, $2, $3, $4)
         ON CONFLICT (scope, reason) DO UPDATE SET until = excluded.until, note = excluded.note,
             asking = NULL, asking_until = NULL";
    let (reason, until) = (block.reason.as_str(), block.until.map(whole));
    tx.sql.run(replace, args![block.scope, reason, until, kept(&block.note).into_owned()]).await?;
    tx.touch_scope(&block.scope);
    // A shorter block in the place of a longer one may let the lane go on.
    tx.wake();
    Ok(())
}

async fn lift(tx: &Tx<'_>, scope: &str, reason: BlockReason) -> Result<(), Fault> {
    lanes::lock_blocks(tx.sql, true).await?;
    let lift = "DELETE FROM {s}.blocks WHERE scope = $1 AND reason = $2";
    if tx.sql.run(lift, args![scope, reason.as_str()]).await? > 0 {
        tx.touch_scope(scope);
        tx.wake();
    }
    Ok(())
}

fn from_row(row: &Row) -> Result<Block, Fault> {
    Ok(Block {
        scope: row.try_get("scope")?,
        reason: word(row, "reason")?,
        until: row.try_get("until")?,
        note: row.try_get("note")?,
    })
}
