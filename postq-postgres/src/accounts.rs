//! `AccountStore`.

use async_trait::async_trait;
use postq_core::account::Account;
use postq_core::error::StoreError;
use postq_core::id::{AccountId, TenantId};
use postq_core::job::Applied;
use postq_core::store::AccountStore;
use postq_core::vault::Sealed;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{whole, word, word_of};
use crate::store::PgStore;
use crate::takeback::IS_LIVE;
use crate::tx::{Sql, Tx, read, write};

/// The account, and every other one that is, or was, the same identity: mostly itself alone.
macro_rules! same_identity {
    ($account:literal) => {
        concat!(
            "(SELECT ",
            $account,
            " UNION ALL SELECT i.account_id FROM {s}.accounts a
                 JOIN {s}.identities i ON i.platform = a.platform AND i.remote_id = a.remote_id
                 WHERE a.id = ",
            $account,
            ")"
        )
    };
}
pub(crate) use same_identity;

#[async_trait]
impl AccountStore for PgStore {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        write!(self, "insert an account", |tx| insert(&tx, account))
    }

    async fn load(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let load = "SELECT * FROM {s}.accounts WHERE id = ANY($1)";
        read!(self, "load accounts", |sql| sql.all(load, args![ids], account))
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Account>, StoreError> {
        let list = "SELECT * FROM {s}.accounts WHERE tenant_id = $1 ORDER BY name";
        read!(self, "list accounts", |sql| sql.all(list, args![tenant.as_uuid()], account))
    }

    async fn update<'a>(
        &self,
        account: &Account,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        write!(self, "update an account", |tx| update(&tx, account, seen))
    }

    async fn remove<'a>(
        &self,
        id: AccountId,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        write!(self, "remove an account", |tx| remove(&tx, id, seen))
    }
}

async fn insert(tx: &Tx<'_>, account: &Account) -> Result<(), Fault> {
    let insert =
        "INSERT INTO {s}.accounts (id, tenant_id, name, platform, remote_id, on_unknown, key_id,
             sealed, token_expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let args = args![
        account.id.as_uuid(),
        account.tenant_id.as_uuid(),
        account.name,
        account.platform.as_str(),
        account.remote_id,
        word_of(account.on_unknown)?,
        account.credentials.as_ref().map(|sealed| sealed.key_id.as_str()),
        account.credentials.as_ref().map(|sealed| sealed.bytes.as_slice()),
        account.token_expires_at.map(whole),
        whole(account.created_at),
    ];
    if tx.sql.run(insert, args).await? == 1 {
        return Ok(());
    }
    let there = "SELECT 1 FROM {s}.accounts WHERE id = $1";
    if tx.sql.has(there, args![account.id.as_uuid()]).await? {
        return Ok(());
    }
    let name = &account.name;
    Err(Fault::conflict(format!("another account has the name \"{name}\"; choose another name")))
}

/// Locks it; whether it is there, and as it was seen.
async fn lock(sql: Sql<'_>, id: AccountId, seen: Option<&Account>) -> Result<Applied, Fault> {
    let lock = "SELECT * FROM {s}.accounts WHERE id = $1 FOR UPDATE";
    let found = sql.first(lock, args![id.as_uuid()]).await?;
    Ok(match (found.as_ref().map(account).transpose()?, seen) {
        (None, _) => Applied::Gone,
        (Some(known), Some(seen)) if !known.is_as(seen) => Applied::Stale,
        (Some(_), _) => Applied::Applied,
    })
}

async fn update(tx: &Tx<'_>, account: &Account, seen: Option<&Account>) -> Result<Applied, Fault> {
    let locked = lock(tx.sql, account.id, seen).await?;
    if locked != Applied::Applied {
        return Ok(locked);
    }
    let update =
        "UPDATE {s}.accounts SET remote_id = $2, on_unknown = $3, key_id = $4, sealed = $5,
             token_expires_at = $6
         WHERE id = $1";
    let args = args![
        account.id.as_uuid(),
        account.remote_id,
        word_of(account.on_unknown)?,
        account.credentials.as_ref().map(|sealed| sealed.key_id.as_str()),
        account.credentials.as_ref().map(|sealed| sealed.bytes.as_slice()),
        account.token_expires_at.map(whole),
    ];
    tx.sql.run(update, args).await?;
    Ok(Applied::Applied)
}

async fn remove(tx: &Tx<'_>, id: AccountId, seen: Option<&Account>) -> Result<Applied, Fault> {
    let locked = lock(tx.sql, id, seen).await?;
    if locked != Applied::Applied {
        return Ok(locked);
    }
    // A schedule that has ended stays enabled; it uses nothing any more.
    let scheduled = "SELECT 1 FROM {s}.schedules
         WHERE enabled AND next_run_at IS NOT NULL AND accounts @> ARRAY[$1] LIMIT 1";
    if tx.sql.has(scheduled, args![id.as_uuid()]).await? {
        return Err(Fault::conflict(
            "an enabled schedule uses the account; change or remove it first",
        ));
    }
    let live = format!("SELECT 1 FROM {{s}}.job j WHERE j.account_id = $1 AND {IS_LIVE} LIMIT 1");
    if tx.sql.has(&live, args![id.as_uuid()]).await? {
        return Err(Fault::conflict(
            "a job of the account has not ended; cancel it or wait for its end",
        ));
    }
    tx.sql.run("DELETE FROM {s}.accounts WHERE id = $1", args![id.as_uuid()]).await?;
    Ok(Applied::Applied)
}

fn account(row: &Row) -> Result<Account, Fault> {
    let key_id: Option<String> = row.try_get("key_id")?;
    let bytes: Option<Vec<u8>> = row.try_get("sealed")?;
    Ok(Account {
        id: AccountId::from_uuid(row.try_get("id")?),
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        name: row.try_get("name")?,
        platform: word(row, "platform")?,
        remote_id: row.try_get("remote_id")?,
        on_unknown: word(row, "on_unknown")?,
        credentials: key_id.zip(bytes).map(|(key_id, bytes)| Sealed { key_id, bytes }),
        token_expires_at: row.try_get("token_expires_at")?,
        created_at: row.try_get("created_at")?,
    })
}
