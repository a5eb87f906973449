//! `LimiterMode`: which limiter all nodes use, in one row.

use std::sync::Arc;

use async_trait::async_trait;
use postq_core::error::LimitError;
use postq_core::fallback::{LimiterMode, Mode, Source};
use tokio_postgres::Row;

use crate::args::args;
use crate::error::{Fault, limit};
use crate::rows::number;
use crate::store::PgStore;
use crate::tx::{Sql, read};

impl PgStore {
    /// Which limiter all nodes on this schema use, for compositions that have a fast one.
    pub fn limiter_mode(&self) -> Arc<dyn LimiterMode> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl LimiterMode for PgStore {
    async fn mode(&self) -> Result<Mode, LimitError> {
        read!(self, "read the limiter's mode", |sql| current(sql)).map_err(limit)
    }

    async fn switch(&self, seen: u64, to: Source) -> Result<Mode, LimitError> {
        read!(self, "switch the limiter", |sql| switch(sql, seen, to)).map_err(limit)
    }
}

async fn current(sql: Sql<'_>) -> Result<Mode, Fault> {
    let row = sql.first("SELECT * FROM {s}.limiter_mode", args![]).await?;
    let row = row.ok_or_else(|| Fault::Unreadable("the limiter's mode has no row".to_owned()))?;
    mode(&row)
}

/// Two statements: the second one sees what another node has switched while the first one waited.
async fn switch(sql: Sql<'_>, seen: u64, to: Source) -> Result<Mode, Fault> {
    let switch = "UPDATE {s}.limiter_mode
         SET number = number + 1, source = $2, since = clock_timestamp() WHERE number = $1";
    // No mode has a number beyond what the column holds.
    let seen = i64::try_from(seen).unwrap_or(i64::MAX);
    sql.run(switch, args![seen, word(to)]).await?;
    current(sql).await
}

const fn word(source: Source) -> &'static str {
    match source {
        Source::Fast => "fast",
        Source::Store => "store",
    }
}

fn mode(row: &Row) -> Result<Mode, Fault> {
    let source: &str = row.try_get("source")?;
    let source = [Source::Fast, Source::Store]
        .into_iter()
        .find(|known| word(*known) == source)
        .ok_or_else(|| Fault::Unreadable(format!("\"{source}\" is no limiter's source")))?;
    Ok(Mode { number: number(row, "number")?, source, since: row.try_get("since")? })
}
