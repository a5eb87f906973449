//! `ConnectingStore`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::connecting::{Connecting, ConnectingStore};
use postq_core::error::{ErrorKind, StoreError};
use postq_core::id::AccountId;
use postq_core::vault::Sealed;
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::micros;
use crate::store::PgStore;
use crate::tx::read;

impl PgStore {
    /// Accounts that are just being connected.
    pub fn connecting(&self) -> Arc<dyn ConnectingStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl ConnectingStore for PgStore {
    async fn begin(&self, connecting: &Connecting, keep: Duration) -> Result<(), StoreError> {
        const ACTION: &str = "begin to connect an account";
        let forget = "DELETE FROM {s}.connecting WHERE kept_until <= clock_timestamp()";
        // The same again is no conflict: a try whose answer was lost has inserted it for this call.
        let insert = "INSERT INTO {s}.connecting AS known
                 (state, account_id, key_id, sealed, kept_until)
             VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 microsecond')
             ON CONFLICT (state) DO UPDATE SET state = known.state
                 WHERE known.account_id = $2 AND known.sealed = $4";
        let made = read!(self, ACTION, |sql| async {
            sql.run(forget, args![]).await?;
            let (state, sealed) = (connecting.state.as_slice(), &connecting.sealed);
            let args = args![
                state,
                connecting.account.as_uuid(),
                sealed.key_id,
                sealed.bytes.as_slice(),
                micros(keep)
            ];
            sql.run(insert, args).await
        })?;
        match made {
            1 => Ok(()),
            _ => {
                Err(StoreError::new(ErrorKind::Conflict, format!("{ACTION}: the state is in use")))
            }
        }
    }

    async fn take(&self, state: &[u8; 32]) -> Result<Option<Connecting>, StoreError> {
        const ACTION: &str = "take a connection that was begun";
        let take = "DELETE FROM {s}.connecting WHERE state = $1
             RETURNING state, account_id, key_id, sealed, kept_until > clock_timestamp() AS good";
        let row = read!(self, ACTION, |sql| sql.first(take, args![state.as_slice()]))?;
        let taken = row.as_ref().map(connecting).transpose();
        taken.map(Option::flatten).map_err(|fault| fault.during(ACTION))
    }
}

/// None if its time is over.
fn connecting(row: &Row) -> Result<Option<Connecting>, Fault> {
    if !row.try_get::<_, bool>("good")? {
        return Ok(None);
    }
    let state: &[u8] = row.try_get("state")?;
    let state = state
        .try_into()
        .map_err(|_| Fault::Unreadable(format!("a state has {} bytes", state.len())))?;
    Ok(Some(Connecting {
        state,
        account: AccountId::from_uuid(row.try_get("account_id")?),
        sealed: Sealed { key_id: row.try_get("key_id")?, bytes: row.try_get("sealed")? },
    }))
}
