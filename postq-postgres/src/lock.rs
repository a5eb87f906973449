//! `DedupeLock`.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::error::LockError;
use postq_core::job::DedupeKey;
use postq_core::lock::{DedupeLock, LockToken};

use crate::args::args;
use crate::error::{Fault, lock};
use crate::rows::micros;
use crate::store::PgStore;
use crate::tx::{Sql, read, together};

/// Ended locks that one call clears away, so that the table stays as small as what is locked.
const CLEAR: i64 = 1_000;

const ACQUIRE: &str = "INSERT INTO {s}.dedupe_locks (key, token, until)
     SELECT k.key, $2, clock_timestamp() + $3 * interval '1 microsecond'
     FROM unnest($1) AS k (key) ORDER BY k.key
     ON CONFLICT (key) DO UPDATE SET token = excluded.token, until = excluded.until
         WHERE dedupe_locks.until <= clock_timestamp()
     RETURNING key";

#[async_trait]
impl DedupeLock for PgStore {
    async fn acquire(
        &self,
        keys: &[DedupeKey],
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Vec<bool>, LockError> {
        read!(self, "acquire dedupe locks", |sql| acquire(sql, keys, token, ttl)).map_err(lock)
    }

    async fn release(&self, keys: &[DedupeKey], token: &LockToken) -> Result<(), LockError> {
        read!(self, "release dedupe locks", |sql| release(sql, keys, token)).map_err(lock)
    }
}

async fn acquire(
    sql: Sql<'_>,
    keys: &[DedupeKey],
    token: &LockToken,
    ttl: Duration,
) -> Result<Vec<bool>, Fault> {
    // Of the same key several times in one call, only the first can be acquired.
    let asked: BTreeSet<&str> = keys.iter().map(DedupeKey::as_str).collect();
    let asked: Vec<&str> = asked.into_iter().collect();
    let clear = "DELETE FROM {s}.dedupe_locks WHERE key = ANY (ARRAY (
             SELECT key FROM {s}.dedupe_locks WHERE until <= now() LIMIT $1 FOR UPDATE SKIP LOCKED))";
    let (_, acquired) = together!(
        sql.run(clear, args![CLEAR]),
        sql.all(ACQUIRE, args![asked, token.as_str(), micros(ttl)], |row| {
            Ok(row.try_get::<_, String>("key")?)
        }),
    )?;
    let mut acquired: BTreeSet<String> = acquired.into_iter().collect();
    Ok(keys.iter().map(|key| acquired.remove(key.as_str())).collect())
}

async fn release(sql: Sql<'_>, keys: &[DedupeKey], token: &LockToken) -> Result<(), Fault> {
    let keys: Vec<&str> = keys.iter().map(DedupeKey::as_str).collect();
    let release = "DELETE FROM {s}.dedupe_locks WHERE key = ANY($1) AND token = $2";
    sql.run(release, args![keys, token.as_str()]).await?;
    Ok(())
}
