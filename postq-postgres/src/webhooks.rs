//! `WebhookStore`.

use std::sync::Arc;

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::id::{TenantId, WebhookId};
use postq_core::job::Applied;
use postq_core::store::Edited;
use postq_core::vault::Sealed;
use postq_core::webhook::{Endpoint, Paused, Retiring, WebhookStore};
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{json, kept, number, whole};
use crate::store::PgStore;
use crate::tx::{Sql, Tx, read, write};

impl PgStore {
    /// The endpoints that webhooks are delivered to.
    pub fn webhooks(&self) -> Arc<dyn WebhookStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl WebhookStore for PgStore {
    async fn insert(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        write!(self, "insert a webhook", |tx| insert(&tx, endpoint))
    }

    async fn find(&self, id: WebhookId) -> Result<Option<Endpoint>, StoreError> {
        let find = "SELECT * FROM {s}.webhooks WHERE id = $1";
        let row = read!(self, "find a webhook", |sql| sql.first(find, args![id.as_uuid()]))?;
        row.as_ref().map(endpoint).transpose().map_err(|fault| fault.during("find a webhook"))
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let list = "SELECT * FROM {s}.webhooks WHERE tenant_id = $1 ORDER BY id";
        read!(self, "list webhooks", |sql| sql.all(list, args![tenant.as_uuid()], endpoint))
    }

    async fn update(&self, endpoint: &Endpoint) -> Result<Edited, StoreError> {
        write!(self, "update a webhook", |tx| update(&tx, endpoint))
    }

    async fn remove(&self, id: WebhookId) -> Result<Applied, StoreError> {
        read!(self, "remove a webhook", |sql| remove(sql, id))
    }
}

async fn insert(tx: &Tx<'_>, endpoint: &Endpoint) -> Result<(), Fault> {
    // Whoever counts holds back whoever else does: a bound on rows that are not there yet has none to
    // lock.
    tx.sql.run("LOCK TABLE {s}.webhooks IN SHARE ROW EXCLUSIVE MODE", args![]).await?;
    let there = "SELECT 1 FROM {s}.webhooks WHERE id = $1";
    if tx.sql.has(there, args![endpoint.id.as_uuid()]).await? {
        return Ok(());
    }
    let most = i64::try_from(Endpoint::MOST).unwrap_or(i64::MAX);
    let full = "SELECT 1 FROM {s}.webhooks WHERE tenant_id = $1 LIMIT 1 OFFSET $2";
    if tx.sql.has(full, args![endpoint.tenant_id.as_uuid(), most - 1]).await? {
        return Err(Fault::conflict(format!("there are {most} webhooks already; remove one")));
    }
    // What may change follows, where it is written for an update as well.
    let insert = "INSERT INTO {s}.webhooks
             (id, tenant_id, created_at, url, key_id, sealed, events, version)
         VALUES ($1, $2, $3, '', '', '', '[]', 0)";
    let (id, tenant) = (endpoint.id.as_uuid(), endpoint.tenant_id.as_uuid());
    tx.sql.run(insert, args![id, tenant, whole(endpoint.created_at)]).await?;
    put(tx, endpoint, endpoint.version).await
}

async fn update(tx: &Tx<'_>, endpoint: &Endpoint) -> Result<Edited, Fault> {
    let lock = "SELECT * FROM {s}.webhooks WHERE id = $1 FOR UPDATE";
    let Some(row) = tx.sql.first(lock, args![endpoint.id.as_uuid()]).await? else {
        return Ok(Edited::Gone);
    };
    let known = self::endpoint(&row)?;
    let (tenant_id, created_at) = (known.tenant_id, known.created_at);
    let version = endpoint.version + 1;
    if known.version != endpoint.version {
        let updated = Endpoint { version, tenant_id, created_at, ..endpoint.clone() };
        return Ok(match known == stored(updated) {
            true => Edited::Applied { revision: version },
            false => Edited::Changed { revision: known.version },
        });
    }
    put(tx, endpoint, version).await?;
    Ok(Edited::Applied { revision: version })
}

/// Writes all that may change.
async fn put(tx: &Tx<'_>, endpoint: &Endpoint, version: u32) -> Result<(), Fault> {
    let update = "UPDATE {s}.webhooks SET url = $2, key_id = $3, sealed = $4, old_key_id = $5,
             old_sealed = $6, old_until = $7, events = $8, paused_at = $9, paused_why = $10,
             version = $11
         WHERE id = $1";
    let (retiring, paused) = (endpoint.retiring.as_ref(), endpoint.paused.as_ref());
    let why = paused.map(|paused| kept(&paused.why));
    let args = args![
        endpoint.id.as_uuid(),
        endpoint.url,
        endpoint.secret.key_id,
        endpoint.secret.bytes.as_slice(),
        retiring.map(|old| old.secret.key_id.as_str()),
        retiring.map(|old| old.secret.bytes.as_slice()),
        retiring.map(|old| whole(old.until)),
        serde_json::to_string(&endpoint.events)?,
        paused.map(|paused| whole(paused.at)),
        why.as_deref(),
        i64::from(version),
    ];
    tx.sql.run(update, args).await?;
    Ok(())
}

/// An endpoint as it comes back: times in whole microseconds, texts without NUL.
fn stored(mut endpoint: Endpoint) -> Endpoint {
    if let Some(retiring) = &mut endpoint.retiring {
        retiring.until = whole(retiring.until);
    }
    if let Some(paused) = &mut endpoint.paused {
        paused.at = whole(paused.at);
        paused.why = kept(&paused.why).into_owned();
    }
    endpoint
}

async fn remove(sql: Sql<'_>, id: WebhookId) -> Result<Applied, Fault> {
    let removed = sql.run("DELETE FROM {s}.webhooks WHERE id = $1", args![id.as_uuid()]).await?;
    Ok(if removed == 1 { Applied::Applied } else { Applied::Gone })
}

fn endpoint(row: &Row) -> Result<Endpoint, Fault> {
    let old = (row.try_get("old_key_id")?, row.try_get("old_sealed")?, row.try_get("old_until")?);
    let retiring = match old {
        (Some(key_id), Some(bytes), Some(until)) => {
            Some(Retiring { secret: Sealed { key_id, bytes }, until })
        }
        _ => None,
    };
    let paused: (Option<_>, Option<_>) = (row.try_get("paused_at")?, row.try_get("paused_why")?);
    Ok(Endpoint {
        id: WebhookId::from_uuid(row.try_get("id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        url: row.try_get("url")?,
        secret: Sealed { key_id: row.try_get("key_id")?, bytes: row.try_get("sealed")? },
        retiring,
        events: json(row, "events")?,
        paused: paused.0.zip(paused.1).map(|(at, why)| Paused { at, why }),
        version: number(row, "version")?,
        created_at: row.try_get("created_at")?,
    })
}
