//! `IdempotencyStore`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::idempotency::{Begun, IdempotencyStore, KeptAnswer, KeyedRequest};
use postq_core::job::Applied;
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::error::Fault;
use crate::rows::{blob, json, micros, uuid};
use crate::store::SqliteStore;
use crate::writer::Tx;

/// Forgotten keys that one call clears away, so that the table stays as small as what is kept.
const CLEAR: i64 = 100;

impl SqliteStore {
    /// The idempotency keys of the API.
    pub fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn begin(&self, request: &KeyedRequest) -> Result<Begun, StoreError> {
        let request = request.clone();
        self.write("begin a request", move |tx| begin(tx, &request)).await
    }

    async fn answer(&self, key: &str, answer: &KeptAnswer) -> Result<Applied, StoreError> {
        let (key, answer) = (key.to_owned(), answer.clone());
        let sql = "UPDATE idempotency_keys SET status = ?, headers = ?, body = ?
                   WHERE key = ? AND status IS NULL";
        self.write("keep an answer", move |tx| {
            let headers = serde_json::to_string(&answer.headers)?;
            let changed = tx.run(sql, params![answer.status, headers, answer.body, key])?;
            told(tx, changed, &key)
        })
        .await
    }

    async fn abandon(&self, key: &str) -> Result<Applied, StoreError> {
        let key = key.to_owned();
        let sql = "UPDATE idempotency_keys SET leased_until = ? WHERE key = ? AND status IS NULL";
        self.write("give a request back", move |tx| {
            let changed = tx.run(sql, params![micros(tx.now), key])?;
            told(tx, changed, &key)
        })
        .await
    }
}

/// What is kept of a key.
struct Kept {
    fingerprint: [u8; 32],
    id: Uuid,
    leased_until: i64,
    answer: Option<KeptAnswer>,
}

fn begin(tx: &Tx<'_>, request: &KeyedRequest) -> Result<Begun, Fault> {
    let now = micros(tx.now);
    let end = |stretch: Duration| {
        now.saturating_add(i64::try_from(stretch.as_micros()).unwrap_or(i64::MAX))
    };
    let clear = "DELETE FROM idempotency_keys WHERE key IN (
                     SELECT key FROM idempotency_keys WHERE kept_until <= ? LIMIT ?)";
    tx.run(clear, params![now, CLEAR])?;
    let find = "SELECT * FROM idempotency_keys WHERE key = ? AND kept_until > ?";
    let Some(kept) = tx.get(find, params![request.key, now], kept)? else {
        let insert = "INSERT OR REPLACE INTO idempotency_keys
                          (key, fingerprint, id, leased_until, kept_until)
                      VALUES (?, ?, ?, ?, ?)";
        let (lease, keep) = (end(request.lease), end(request.keep));
        tx.run(insert, params![request.key, request.fingerprint, blob(request.id), lease, keep])?;
        return Ok(Begun::Do(request.id));
    };
    if kept.fingerprint != request.fingerprint {
        return Ok(Begun::Other);
    }
    if let Some(answer) = kept.answer {
        return Ok(Begun::Answered(answer));
    }
    if kept.leased_until > now {
        return Ok(Begun::Running);
    }
    let again = "UPDATE idempotency_keys SET leased_until = ? WHERE key = ?";
    tx.run(again, params![end(request.lease), request.key])?;
    Ok(Begun::Do(kept.id))
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let answer = match row.get::<_, Option<u16>>("status")? {
        Some(status) => {
            Some(KeptAnswer { status, headers: json(row, "headers")?, body: row.get("body")? })
        }
        None => None,
    };
    Ok(Kept {
        fingerprint: row.get("fingerprint")?,
        id: uuid(row, "id")?,
        leased_until: row.get("leased_until")?,
        answer,
    })
}

/// What a change did that leaves an answered key as it is.
fn told(tx: &Tx<'_>, changed: usize, key: &str) -> Result<Applied, Fault> {
    if changed == 1 {
        return Ok(Applied::Applied);
    }
    let there = tx.has("SELECT 1 FROM idempotency_keys WHERE key = ?", [key])?;
    Ok(if there { Applied::Stale } else { Applied::Gone })
}
