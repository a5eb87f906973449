//! `RateLimiter`: the shared arithmetic on a row per bucket.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use postq_core::error::LimitError;
use postq_core::limiter::{Bucket, Budget, Rate, RateLimiter, Take, ensure_few};
use rusqlite::{Row, params};

use crate::error::{Fault, limit};
use crate::rows::{micros, time};
use crate::store::SqliteStore;
use crate::writer::Tx;

#[async_trait]
impl RateLimiter for SqliteStore {
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError> {
        let take = take.clone();
        self.write("take a slot", move |tx| {
            let mut bucket = load(tx, &take.key)?;
            // A slot in the past would let what comes late come all at once.
            let not_before = round_up(take.not_before).max(tx.now);
            let slot = bucket.take(whole_micros(take.rate), not_before);
            save(tx, &take.key, bucket)?;
            Ok(slot)
        })
        .await
        .map_err(limit)
    }

    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError> {
        let key = key.to_owned();
        self.write("tighten a limit", move |tx| {
            let mut bucket = load(tx, &key)?;
            bucket.tighten(remaining, round_up(resets_at), tx.now);
            save(tx, &key, bucket)
        })
        .await
        .map_err(limit)
    }

    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError> {
        ensure_few(takes)?;
        let takes = takes.to_vec();
        self.read("look at limits", move |tx| look(tx, &takes)).await.map_err(limit)
    }
}

fn look(tx: &Tx<'_>, takes: &[Take]) -> Result<Vec<Budget>, Fault> {
    let keys: Vec<&str> = takes.iter().map(|take| take.key.as_str()).collect();
    let sql = "SELECT * FROM buckets WHERE key IN (SELECT value FROM json_each(?))";
    let keyed = |row: &Row<'_>| Ok((row.get("key")?, bucket(row)?));
    let known = tx.all(sql, [serde_json::to_string(&keys)?], keyed)?;
    let known: HashMap<String, Bucket> = known.into_iter().collect();
    let look = |take: &Take| {
        let bucket = known.get(&take.key).copied().unwrap_or_else(|| Bucket::fresh(tx.now));
        bucket.look(whole_micros(take.rate), round_up(take.not_before), tx.now)
    };
    Ok(takes.iter().map(look).collect())
}

/// A row keeps whole microseconds, so a rate is rounded to them first, to the slower side: otherwise
/// the rounding would add up to slots that come too early.
fn whole_micros(rate: Rate) -> Rate {
    let whole = Duration::from_micros(u64::try_from(rate.every.as_micros()).unwrap_or(u64::MAX));
    let every = if whole < rate.every { whole + Duration::from_micros(1) } else { whole };
    Rate { every, ..rate }
}

fn round_up(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_round_up(TimeDelta::microseconds(1)).unwrap_or(time)
}

fn load(tx: &Tx<'_>, key: &str) -> Result<Bucket, Fault> {
    let sql = "SELECT * FROM buckets WHERE key = ?";
    Ok(tx.get(sql, [key], bucket)?.unwrap_or_else(|| Bucket::fresh(tx.now)))
}

fn bucket(row: &Row<'_>) -> rusqlite::Result<Bucket> {
    Ok(Bucket {
        tat: time(row, "tat")?,
        remaining: row.get("remaining")?,
        resets_at: time(row, "resets_at")?,
    })
}

fn save(tx: &Tx<'_>, key: &str, bucket: Bucket) -> Result<(), Fault> {
    tx.run(
        "INSERT OR REPLACE INTO buckets (key, tat, remaining, resets_at) VALUES (?, ?, ?, ?)",
        params![key, micros(bucket.tat), bucket.remaining, micros(bucket.resets_at)],
    )?;
    Ok(())
}
