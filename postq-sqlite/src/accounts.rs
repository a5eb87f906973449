//! `AccountStore`.

use async_trait::async_trait;
use postq_core::account::Account;
use postq_core::error::StoreError;
use postq_core::id::{AccountId, TenantId};
use postq_core::job::Applied;
use postq_core::store::AccountStore;
use postq_core::vault::Sealed;
use rusqlite::{Row, params};

use crate::error::Fault;
use crate::rows::{blob, hex_list, micros, some_micros, some_time, time, uuid, word, word_of};
use crate::store::SqliteStore;
use crate::takeback::LIVE;
use crate::writer::Tx;

/// The account, and every other one that is, or was, the same identity: mostly itself alone.
macro_rules! same_identity {
    ($account:literal) => {
        concat!(
            "(SELECT ",
            $account,
            " UNION ALL SELECT identities.account_id FROM accounts
                 JOIN identities ON identities.platform = accounts.platform
                     AND identities.remote_id = accounts.remote_id
                 WHERE accounts.id = ",
            $account,
            ")"
        )
    };
}
pub(crate) use same_identity;

#[async_trait]
impl AccountStore for SqliteStore {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        let account = account.clone();
        self.write("insert an account", move |tx| insert(tx, &account)).await
    }

    async fn load(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        let ids = hex_list(ids.iter().map(|id| id.as_uuid()));
        let sql = "SELECT * FROM accounts WHERE id IN (SELECT unhex(value) FROM json_each(?))";
        self.read("load accounts", move |tx| Ok(tx.all(sql, [ids], account)?)).await
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Account>, StoreError> {
        let sql = "SELECT * FROM accounts WHERE tenant_id = ? ORDER BY name";
        let tenant = blob(tenant.as_uuid());
        self.read("list accounts", move |tx| Ok(tx.all(sql, [tenant], account)?)).await
    }

    async fn update<'a>(
        &self,
        account: &Account,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        let (account, seen) = (account.clone(), seen.cloned());
        self.write("update an account", move |tx| match ensure_as(tx, account.id, seen.as_ref())? {
            Applied::Applied => update(tx, &account),
            refused => Ok(refused),
        })
        .await
    }

    async fn remove<'a>(
        &self,
        id: AccountId,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        let seen = seen.cloned();
        let removed = self
            .write("remove an account", move |tx| match ensure_as(tx, id, seen.as_ref())? {
                Applied::Applied => remove(tx, id),
                refused => Ok(refused),
            })
            .await?;
        if removed == Applied::Applied {
            self.empty_log().await;
        }
        Ok(removed)
    }
}

fn insert(tx: &Tx<'_>, account: &Account) -> Result<(), Fault> {
    let (id, tenant) = (blob(account.id.as_uuid()), blob(account.tenant_id.as_uuid()));
    if tx.has("SELECT 1 FROM accounts WHERE id = ?", [id])? {
        return Ok(());
    }
    let name = &account.name;
    let taken = "SELECT 1 FROM accounts WHERE tenant_id = ? AND name = ?";
    if tx.has(taken, params![tenant, name])? {
        return Err(Fault::conflict(format!("another account has the name \"{name}\"")));
    }
    tx.run(
        "INSERT INTO accounts (id, tenant_id, name, platform, remote_id, on_unknown, key_id, sealed,
             token_expires_at, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            id,
            tenant,
            name,
            account.platform.as_str(),
            account.remote_id,
            word_of(account.on_unknown)?,
            account.credentials.as_ref().map(|sealed| &sealed.key_id),
            account.credentials.as_ref().map(|sealed| &sealed.bytes),
            some_micros(account.token_expires_at),
            micros(account.created_at),
        ],
    )?;
    Ok(())
}

/// Whether it is there, and as it was seen.
fn ensure_as(tx: &Tx<'_>, id: AccountId, seen: Option<&Account>) -> Result<Applied, Fault> {
    let found = tx.get("SELECT * FROM accounts WHERE id = ?", [blob(id.as_uuid())], account)?;
    Ok(match (found, seen) {
        (None, _) => Applied::Gone,
        (Some(known), Some(seen)) if !known.is_as(seen) => Applied::Stale,
        (Some(_), _) => Applied::Applied,
    })
}

fn update(tx: &Tx<'_>, account: &Account) -> Result<Applied, Fault> {
    tx.run(
        "UPDATE accounts SET remote_id = ?, on_unknown = ?, key_id = ?, sealed = ?,
             token_expires_at = ? WHERE id = ?",
        params![
            account.remote_id,
            word_of(account.on_unknown)?,
            account.credentials.as_ref().map(|sealed| &sealed.key_id),
            account.credentials.as_ref().map(|sealed| &sealed.bytes),
            some_micros(account.token_expires_at),
            blob(account.id.as_uuid()),
        ],
    )?;
    Ok(Applied::Applied)
}

fn remove(tx: &Tx<'_>, id: AccountId) -> Result<Applied, Fault> {
    let key = [blob(id.as_uuid())];
    // A schedule that has ended stays enabled; it uses nothing any more.
    let scheduled = "SELECT 1 FROM schedules JOIN json_each(schedules.accounts) AS used
                     WHERE enabled = 1 AND next_run_at IS NOT NULL AND used.value = ?";
    if tx.has(scheduled, [id.to_string()])? {
        return Err(Fault::conflict(
            "an enabled schedule uses the account; change or remove it first",
        ));
    }
    let live = format!("SELECT 1 FROM jobs WHERE account_id = ? AND state IN {LIVE}");
    if tx.has(&live, key)? {
        return Err(Fault::conflict(
            "a job of the account has not ended; cancel it or wait for its end",
        ));
    }
    // Overwritten as it is deleted: see `connect::prepare_writer`.
    tx.run("DELETE FROM connecting WHERE account_id = ?", key)?;
    tx.run("DELETE FROM accounts WHERE id = ?", key)?;
    Ok(Applied::Applied)
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let key_id: Option<String> = row.get("key_id")?;
    let bytes: Option<Vec<u8>> = row.get("sealed")?;
    Ok(Account {
        id: AccountId::from_uuid(uuid(row, "id")?),
        tenant_id: TenantId::from_uuid(uuid(row, "tenant_id")?),
        name: row.get("name")?,
        platform: word(row, "platform")?,
        remote_id: row.get("remote_id")?,
        on_unknown: word(row, "on_unknown")?,
        credentials: key_id.zip(bytes).map(|(key_id, bytes)| Sealed { key_id, bytes }),
        token_expires_at: some_time(row, "token_expires_at")?,
        created_at: time(row, "created_at")?,
    })
}
