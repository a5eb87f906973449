//! `TokenStore`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{TenantId, TokenId};
use postq_core::job::Applied;
use postq_core::token::{Token, TokenStore};
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{whole, word, word_of};
use crate::store::PgStore;
use crate::tx::{Sql, read};

impl PgStore {
    /// The tokens of the API.
    pub fn tokens(&self) -> Arc<dyn TokenStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl TokenStore for PgStore {
    async fn insert(&self, token: &Token) -> Result<(), StoreError> {
        read!(self, "insert a token", |sql| insert(sql, token))
    }

    async fn find(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        let find = "SELECT * FROM {s}.tokens WHERE id = $1";
        let row = read!(self, "find a token", |sql| sql.first(find, args![id.as_uuid()]))?;
        row.as_ref().map(token).transpose().map_err(|fault| fault.during("find a token"))
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Token>, StoreError> {
        let list = "SELECT * FROM {s}.tokens WHERE tenant_id = $1 ORDER BY id";
        read!(self, "list tokens", |sql| sql.all(list, args![tenant.as_uuid()], token))
    }

    async fn revoke(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError> {
        let revoke = "UPDATE {s}.tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1";
        read!(self, "revoke a token", |sql| stamp(sql, revoke, id, at))
    }

    async fn used(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError> {
        // `greatest` leaves out what is not there.
        let used = "UPDATE {s}.tokens SET used_at = greatest(used_at, $2) WHERE id = $1";
        read!(self, "record the use of a token", |sql| stamp(sql, used, id, at))
    }
}

async fn insert(sql: Sql<'_>, token: &Token) -> Result<(), Fault> {
    let insert = "INSERT INTO {s}.tokens (id, tenant_id, name, scope, hash, created_at, used_at,
             revoked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING";
    let args = args![
        token.id.as_uuid(),
        token.tenant_id.as_uuid(),
        token.name,
        word_of(token.scope)?,
        token.hash.as_slice(),
        whole(token.created_at),
        token.used_at.map(whole),
        token.revoked_at.map(whole),
    ];
    sql.run(insert, args).await?;
    Ok(())
}

async fn stamp(
    sql: Sql<'_>,
    statement: &str,
    id: TokenId,
    at: DateTime<Utc>,
) -> Result<Applied, Fault> {
    let changed = sql.run(statement, args![id.as_uuid(), whole(at)]).await?;
    Ok(if changed == 1 { Applied::Applied } else { Applied::Gone })
}

fn token(row: &Row) -> Result<Token, Fault> {
    let hash: &[u8] = row.try_get("hash")?;
    let hash = hash
        .try_into()
        .map_err(|_| Fault::Unreadable(format!("a token's hash has {} bytes", hash.len())))?;
    Ok(Token {
        id: TokenId::from_uuid(row.try_get("id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        name: row.try_get("name")?,
        scope: word(row, "scope")?,
        hash,
        created_at: row.try_get("created_at")?,
        used_at: row.try_get("used_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
