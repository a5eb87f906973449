//! `ConnectingStore`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::connecting::{Connecting, ConnectingStore};
use postq_core::error::StoreError;
use postq_core::id::AccountId;
use postq_core::vault::Sealed;
use rusqlite::{Row, params};

use crate::error::Fault;
use crate::rows::{blob, micros, uuid};
use crate::store::SqliteStore;

impl SqliteStore {
    /// Accounts that are just being connected.
    pub fn connecting(&self) -> Arc<dyn ConnectingStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl ConnectingStore for SqliteStore {
    async fn begin(&self, connecting: &Connecting, keep: Duration) -> Result<(), StoreError> {
        let connecting = connecting.clone();
        let insert =
            "INSERT OR IGNORE INTO connecting (state, account_id, key_id, sealed, kept_until)
                      VALUES (?, ?, ?, ?, ?)";
        self.write("begin to connect an account", move |tx| {
            let now = micros(tx.now);
            let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
            tx.run("DELETE FROM connecting WHERE kept_until <= ?", [now])?;
            let made = tx.run(
                insert,
                params![
                    connecting.state,
                    blob(connecting.account.as_uuid()),
                    connecting.sealed.key_id,
                    connecting.sealed.bytes,
                    now.saturating_add(keep),
                ],
            )?;
            if made == 1 { Ok(()) } else { Err(Fault::conflict("the state is in use")) }
        })
        .await
    }

    async fn take(&self, state: &[u8; 32]) -> Result<Option<Connecting>, StoreError> {
        let state = *state;
        self.write("take a connection that was begun", move |tx| {
            let find = "SELECT * FROM connecting WHERE state = ? AND kept_until > ?";
            let found = tx.get(find, params![state, micros(tx.now)], connecting)?;
            tx.run("DELETE FROM connecting WHERE state = ?", [state])?;
            Ok(found)
        })
        .await
    }
}

fn connecting(row: &Row<'_>) -> rusqlite::Result<Connecting> {
    Ok(Connecting {
        state: row.get("state")?,
        account: AccountId::from_uuid(uuid(row, "account_id")?),
        sealed: Sealed { key_id: row.get("key_id")?, bytes: row.get("sealed")? },
    })
}
