//! `RateLimiter`: the shared arithmetic on a row per bucket.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use postq_core::error::LimitError;
use postq_core::limiter::{Bucket, Budget, Rate, RateLimiter, Take, ensure_few};
use tokio_postgres::Row;

use crate::args::args;
use crate::error::{Fault, limit};
use crate::rows::number;
use crate::store::PgStore;
use crate::tx::{Sql, Tx, read, together, write};

#[async_trait]
impl RateLimiter for PgStore {
    async fn take(&self, take: &Take) -> Result<DateTime<Utc>, LimitError> {
        write!(self, "take a slot", |tx| reserve(&tx, take)).map_err(limit)
    }

    async fn tighten(
        &self,
        key: &str,
        remaining: u32,
        resets_at: DateTime<Utc>,
    ) -> Result<(), LimitError> {
        write!(self, "tighten a limit", |tx| tighten(&tx, key, remaining, resets_at)).map_err(limit)
    }

    async fn look(&self, takes: &[Take]) -> Result<Vec<Budget>, LimitError> {
        ensure_few(takes)?;
        read!(self, "look at limits", |sql| look(sql, takes)).map_err(limit)
    }
}

async fn look(sql: Sql<'_>, takes: &[Take]) -> Result<Vec<Budget>, Fault> {
    let keys: Vec<&str> = takes.iter().map(|take| take.key.as_str()).collect();
    let keyed = |row: &Row| Ok((row.try_get("key")?, bucket(row)?));
    let known = "SELECT * FROM {s}.buckets WHERE key = ANY($1)";
    let (now, known) = together!(sql.now(), sql.all(known, args![keys], keyed))?;
    let known: HashMap<String, Bucket> = known.into_iter().collect();
    let look = |take: &Take| {
        let bucket = known.get(&take.key).copied().unwrap_or_else(|| Bucket::fresh(now));
        bucket.look(whole_micros(take.rate), round_up(take.not_before), now)
    };
    Ok(takes.iter().map(look).collect())
}

async fn reserve(tx: &Tx<'_>, take: &Take) -> Result<DateTime<Utc>, Fault> {
    let (mut bucket, now) = lock(tx, &take.key).await?;
    // A slot in the past would let what comes late come all at once.
    let not_before = round_up(take.not_before).max(now);
    let slot = bucket.take(whole_micros(take.rate), not_before);
    save(tx, &take.key, bucket).await?;
    Ok(slot)
}

async fn tighten(
    tx: &Tx<'_>,
    key: &str,
    remaining: u32,
    resets_at: DateTime<Utc>,
) -> Result<(), Fault> {
    let (mut bucket, now) = lock(tx, key).await?;
    bucket.tighten(remaining, round_up(resets_at), now);
    save(tx, key, bucket).await
}

/// The bucket, made if it is not there, and the time once it was ours.
///
/// A bucket that a crash of the server loses starts empty: that is allowed, so nobody waits for the
/// disk, and takers of one bucket follow one another faster.
async fn lock(tx: &Tx<'_>, key: &str) -> Result<(Bucket, DateTime<Utc>), Fault> {
    let sql = tx.sql;
    let make = "INSERT INTO {s}.buckets (key, tat, resets_at) VALUES ($1, now(), now())
         ON CONFLICT (key) DO NOTHING";
    let lock = "SELECT * FROM {s}.buckets WHERE key = $1 FOR UPDATE";
    let (_, _, row, now) = together!(
        sql.run("SET LOCAL synchronous_commit = off", args![]),
        sql.run(make, args![key]),
        sql.first(lock, args![key]),
        sql.now(),
    )?;
    let row = row.ok_or_else(|| Fault::internal("a bucket that was just made is gone"))?;
    Ok((bucket(&row)?, now))
}

fn bucket(row: &Row) -> Result<Bucket, Fault> {
    let remaining = match row.try_get::<_, Option<i64>>("remaining")? {
        Some(_) => Some(number(row, "remaining")?),
        None => None,
    };
    Ok(Bucket { tat: row.try_get("tat")?, remaining, resets_at: row.try_get("resets_at")? })
}

async fn save(tx: &Tx<'_>, key: &str, bucket: Bucket) -> Result<(), Fault> {
    let save = "UPDATE {s}.buckets SET tat = $2, remaining = $3, resets_at = $4 WHERE key = $1";
    let args = args![key, bucket.tat, bucket.remaining.map(i64::from), bucket.resets_at];
    tx.sql.run(save, args).await?;
    Ok(())
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
