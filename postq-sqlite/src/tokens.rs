//! `TokenStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{TenantId, TokenId};
use postq_core::job::Applied;
use postq_core::token::{Token, TokenStore};
use rusqlite::{Row, params};

use crate::rows::{blob, micros, some_micros, some_time, time, uuid, word, word_of};
use crate::store::SqliteStore;

impl SqliteStore {
    /// The tokens of the API.
    pub fn tokens(&self) -> Arc<dyn TokenStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn insert(&self, token: &Token) -> Result<(), StoreError> {
        let token = token.clone();
        let sql = "INSERT OR IGNORE INTO tokens (id, tenant_id, name, scope, hash, created_at,
                       used_at, revoked_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        self.write("insert a token", move |tx| {
            tx.run(
                sql,
                params![
                    blob(token.id.as_uuid()),
                    blob(token.tenant_id.as_uuid()),
                    token.name,
                    word_of(token.scope)?,
                    token.hash,
                    micros(token.created_at),
                    some_micros(token.used_at),
                    some_micros(token.revoked_at),
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        let sql = "SELECT * FROM tokens WHERE id = ?";
        self.read("find a token", move |tx| Ok(tx.get(sql, [blob(id.as_uuid())], token)?)).await
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Token>, StoreError> {
        let sql = "SELECT * FROM tokens WHERE tenant_id = ? ORDER BY id";
        let tenant = [blob(tenant.as_uuid())];
        self.read("list tokens", move |tx| Ok(tx.all(sql, tenant, token)?)).await
    }

    async fn revoke(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError> {
        let sql = "UPDATE tokens SET revoked_at = ifnull(revoked_at, ?) WHERE id = ?";
        self.stamp("revoke a token", sql, id, at).await
    }

    async fn used(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError> {
        let sql = "UPDATE tokens SET used_at = max(ifnull(used_at, ?1), ?1) WHERE id = ?2";
        self.stamp("record the use of a token", sql, id, at).await
    }
}

impl SqliteStore {
    async fn stamp(
        &self,
        action: &'static str,
        sql: &'static str,
        id: TokenId,
        at: DateTime<Utc>,
    ) -> Result<Applied, StoreError> {
        self.write(action, move |tx| {
            let changed = tx.run(sql, params![micros(at), blob(id.as_uuid())])?;
            Ok(if changed == 1 { Applied::Applied } else { Applied::Gone })
        })
        .await
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    Ok(Token {
        id: TokenId::from_uuid(uuid(row, "id")?),
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        name: row.get("name")?,
        scope: word(row, "scope")?,
        hash: row.get("hash")?,
        created_at: time(row, "created_at")?,
        used_at: some_time(row, "used_at")?,
        revoked_at: some_time(row, "revoked_at")?,
    })
}
