//! `WebhookStore`.

use std::sync::Arc;

use async_trait::async_trait;
use postq_core::error::StoreError;
use postq_core::id::{TenantId, WebhookId};
use postq_core::job::Applied;
use postq_core::store::Edited;
use postq_core::vault::Sealed;
use postq_core::webhook::{Endpoint, Paused, Retiring, WebhookStore};
use rusqlite::{Row, params};

use crate::error::Fault;
use crate::rows::{blob, json, micros, some_micros, some_time, time, uuid};
use crate::store::SqliteStore;
use crate::writer::Tx;

impl SqliteStore {
    /// The endpoints that webhooks are delivered to.
    pub fn webhooks(&self) -> Arc<dyn WebhookStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn insert(&self, endpoint: &Endpoint) -> Result<(), StoreError> {
        let endpoint = endpoint.clone();
        self.write("insert a webhook", move |tx| insert(tx, &endpoint)).await
    }

    async fn find(&self, id: WebhookId) -> Result<Option<Endpoint>, StoreError> {
        self.read("find a webhook", move |tx| find(tx, id)).await
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let sql = "SELECT * FROM webhooks WHERE tenant_id = ? ORDER BY id";
        let tenant = [blob(tenant.as_uuid())];
        self.read("list webhooks", move |tx| Ok(tx.all(sql, tenant, endpoint)?)).await
    }

    async fn update(&self, endpoint: &Endpoint) -> Result<Edited, StoreError> {
        let endpoint = endpoint.clone();
        self.write("update a webhook", move |tx| update(tx, &endpoint)).await
    }

    async fn remove(&self, id: WebhookId) -> Result<Applied, StoreError> {
        self.write("remove a webhook", move |tx| {
            let id = [blob(id.as_uuid())];
            // Overwritten in place first, so that no free page keeps the envelopes.
            let wipe = "UPDATE webhooks SET sealed = zeroblob(length(sealed)),
                            old_sealed = zeroblob(length(old_sealed)) WHERE id = ?";
            tx.run(wipe, id)?;
            let removed = tx.run("DELETE FROM webhooks WHERE id = ?", id)?;
            Ok(if removed == 1 { Applied::Applied } else { Applied::Gone })
        })
        .await
    }
}

fn find(tx: &Tx<'_>, id: WebhookId) -> Result<Option<Endpoint>, Fault> {
    Ok(tx.get("SELECT * FROM webhooks WHERE id = ?", [blob(id.as_uuid())], endpoint)?)
}

fn insert(tx: &Tx<'_>, endpoint: &Endpoint) -> Result<(), Fault> {
    if find(tx, endpoint.id)?.is_some() {
        return Ok(());
    }
    let tenant = blob(endpoint.tenant_id.as_uuid());
    let most = i64::try_from(Endpoint::MOST).unwrap_or(i64::MAX);
    let full = "SELECT 1 FROM webhooks WHERE tenant_id = ? LIMIT 1 OFFSET ?";
    if tx.has(full, params![tenant, most - 1])? {
        return Err(Fault::conflict(format!("there are {most} webhooks already; remove one")));
    }
    // What may change follows, where it is written for an update as well.
    let made =
        "INSERT INTO webhooks (id, tenant_id, created_at, url, key_id, sealed, events, version)
         VALUES (?, ?, ?, '', '', x'', '[]', 0)";
    tx.run(made, params![blob(endpoint.id.as_uuid()), tenant, micros(endpoint.created_at)])?;
    write(tx, endpoint, endpoint.version)
}

fn update(tx: &Tx<'_>, endpoint: &Endpoint) -> Result<Edited, Fault> {
    let Some(known) = find(tx, endpoint.id)? else { return Ok(Edited::Gone) };
    let (tenant_id, created_at) = (known.tenant_id, known.created_at);
    let version = endpoint.version + 1;
    if known.version != endpoint.version {
        let updated = Endpoint { version, tenant_id, created_at, ..endpoint.clone() };
        return Ok(match known == updated {
            true => Edited::Applied { revision: version },
            false => Edited::Changed { revision: known.version },
        });
    }
    write(tx, endpoint, version)?;
    Ok(Edited::Applied { revision: version })
}

/// Writes all that may change.
fn write(tx: &Tx<'_>, endpoint: &Endpoint, version: u32) -> Result<(), Fault> {
    let retiring = endpoint.retiring.as_ref();
    let paused = endpoint.paused.as_ref();
    tx.run(
        "UPDATE webhooks SET url = ?, key_id = ?, sealed = ?, old_key_id = ?, old_sealed = ?,
             old_until = ?, events = ?, paused_at = ?, paused_why = ?, version = ?
         WHERE id = ?",
        params![
            endpoint.url,
            endpoint.secret.key_id,
            endpoint.secret.bytes,
            retiring.map(|old| &old.secret.key_id),
            retiring.map(|old| &old.secret.bytes),
            some_micros(retiring.map(|old| old.until)),
            serde_json::to_string(&endpoint.events)?,
            some_micros(paused.map(|paused| paused.at)),
            paused.map(|paused| &paused.why),
            version,
            blob(endpoint.id.as_uuid()),
        ],
    )?;
    Ok(())
}

fn endpoint(row: &Row<'_>) -> rusqlite::Result<Endpoint> {
    let old = (row.get("old_key_id")?, row.get("old_sealed")?, some_time(row, "old_until")?);
    let retiring = match old {
        (Some(key_id), Some(bytes), Some(until)) => {
            Some(Retiring { secret: Sealed { key_id, bytes }, until })
        }
        _ => None,
    };
    let paused = some_time(row, "paused_at")?.zip(row.get("paused_why")?);
    Ok(Endpoint {
        id: WebhookId::from_uuid(uuid(row, "id")?),
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        url: row.get("url")?,
        secret: Sealed { key_id: row.get("key_id")?, bytes: row.get("sealed")? },
        retiring,
        events: json(row, "events")?,
        paused: paused.map(|(at, why)| Paused { at, why }),
        version: row.get("version")?,
        created_at: time(row, "created_at")?,
    })
}
