//! `IdempotencyStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::idempotency::{Begun, IdempotencyStore, KeptAnswer, KeyedRequest};
use postq_core::job::Applied;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{json, micros};
use crate::store::PgStore;
use crate::tx::{Sql, Tx, read, together, write};

/// Forgotten keys that one call clears away, so that the table stays as small as what is kept.
const CLEAR: i64 = 100;

impl PgStore {
    /// The idempotency keys of the API.
    pub fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl IdempotencyStore for PgStore {
    async fn begin(&self, request: &KeyedRequest) -> Result<Begun, StoreError> {
        // The same in every try: one whose answer was lost has begun the request for this call.
        let call = Uuid::now_v7();
        write!(self, "begin a request", |tx| begin(&tx, request, call))
    }

    async fn answer(&self, key: &str, answer: &KeptAnswer) -> Result<Applied, StoreError> {
        read!(self, "keep an answer", |sql| keep(sql, key, answer))
    }

    async fn abandon(&self, key: &str) -> Result<Applied, StoreError> {
        let abandon = "UPDATE {s}.idempotency_keys SET leased_until = clock_timestamp()
             WHERE key = $1 AND status IS NULL";
        read!(self, "give a request back", |sql| async {
            let changed = sql.run(abandon, args![key]).await?;
            told(sql, changed, key).await
        })
    }
}

/// What is kept of a key.
struct Kept {
    fingerprint: Vec<u8>,
    id: Uuid,
    begun_by: Uuid,
    leased_until: DateTime<Utc>,
    kept_until: DateTime<Utc>,
    answer: Option<KeptAnswer>,
}

pub(crate) async fn begin(tx: &Tx<'_>, request: &KeyedRequest, call: Uuid) -> Result<Begun, Fault> {
    let forget =
        "DELETE FROM {s}.idempotency_keys WHERE key = $1 AND kept_until <= clock_timestamp()";
    let clear = "DELETE FROM {s}.idempotency_keys WHERE key = ANY (ARRAY (
             SELECT key FROM {s}.idempotency_keys WHERE kept_until <= now()
             LIMIT $1 FOR UPDATE SKIP LOCKED))";
    // Whoever inserts the same key first is waited for here.
    let insert = "INSERT INTO {s}.idempotency_keys
             (key, fingerprint, id, begun_by, leased_until, kept_until)
         SELECT $1, $2, $3, $4, at + $5 * interval '1 microsecond', at + $6 * interval '1 microsecond'
         FROM clock_timestamp() AS at ON CONFLICT (key) DO NOTHING";
    let find = "SELECT * FROM {s}.idempotency_keys WHERE key = $1 FOR UPDATE";
    let (lease, keep) = (micros(request.lease), micros(request.keep));
    let (_, inserted, kept, _, now) = together!(
        tx.sql.run(forget, args![request.key]),
        tx.sql.run(
            insert,
            args![request.key, request.fingerprint.as_slice(), request.id, call, lease, keep]
        ),
        tx.sql.first(find, args![request.key]),
        tx.sql.run(clear, args![CLEAR]),
        tx.sql.now(),
    )?;
    if inserted == 1 {
        return Ok(Begun::Do(request.id));
    }
    let kept = kept.as_ref().map(self::kept).transpose()?;
    let Some(kept) = kept.filter(|kept| kept.kept_until > now) else {
        return Err(Fault::Again("the key was forgotten in this moment"));
    };
    if kept.fingerprint != request.fingerprint {
        return Ok(Begun::Other);
    }
    if let Some(answer) = kept.answer {
        return Ok(Begun::Answered(answer));
    }
    if kept.leased_until > now && kept.begun_by != call {
        return Ok(Begun::Running);
    }
    let again = "UPDATE {s}.idempotency_keys SET begun_by = $2,
             leased_until = clock_timestamp() + $3 * interval '1 microsecond'
         WHERE key = $1";
    tx.sql.run(again, args![request.key, call, lease]).await?;
    Ok(Begun::Do(kept.id))
}

/// The first answer stays; the same again, from a call that was repeated, is that one.
async fn keep(sql: Sql<'_>, key: &str, answer: &KeptAnswer) -> Result<Applied, Fault> {
    let keep = "UPDATE {s}.idempotency_keys SET status = $2, headers = $3, body = $4
         WHERE key = $1 AND (status IS NULL OR (status, headers, body) = ($2, $3, $4))";
    let headers = serde_json::to_string(&answer.headers)?;
    let args = args![key, i32::from(answer.status), headers, answer.body.as_slice()];
    let changed = sql.run(keep, args).await?;
    told(sql, changed, key).await
}

/// What a change did that leaves an answered key as it is.
async fn told(sql: Sql<'_>, changed: u64, key: &str) -> Result<Applied, Fault> {
    if changed == 1 {
        return Ok(Applied::Applied);
    }
    let there = sql.has("SELECT 1 FROM {s}.idempotency_keys WHERE key = $1", args![key]).await?;
    Ok(if there { Applied::Stale } else { Applied::Gone })
}

fn kept(row: &Row) -> Result<Kept, Fault> {
    let answer = match row.try_get::<_, Option<i32>>("status")? {
        Some(status) => Some(KeptAnswer {
            status: u16::try_from(status)
                .map_err(|_| Fault::Unreadable(format!("{status} is no status")))?,
            headers: json(row, "headers")?,
            body: row.try_get("body")?,
        }),
        None => None,
    };
    Ok(Kept {
        fingerprint: row.try_get("fingerprint")?,
        id: row.try_get("id")?,
        begun_by: row.try_get("begun_by")?,
        leased_until: row.try_get("leased_until")?,
        kept_until: row.try_get("kept_until")?,
        answer,
    })
}
