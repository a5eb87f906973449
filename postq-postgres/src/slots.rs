//! `SlotStore`.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{AccountId, ScheduleId};
use postq_core::slot::{SlotRule, SlotStore, TakeSlot, TakenSlot};
use tokio_postgres::Row;

use crate::args::args;
use crate::error::Fault;
use crate::rows::{json, whole};
use crate::store::PgStore;
use crate::tx::{Tx, read, write};

#[async_trait]
impl SlotStore for PgStore {
    async fn rules(&self, account: AccountId) -> Result<Vec<SlotRule>, StoreError> {
        let load = "SELECT rules FROM {s}.slot_rules WHERE account_id = $1";
        let (args, rules) = (args![account.as_uuid()], |row: &Row| json(row, "rules"));
        let found: Vec<Vec<SlotRule>> =
            read!(self, "load slots", |sql| sql.all(load, args, rules))?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    async fn set_rules(&self, account: AccountId, rules: &[SlotRule]) -> Result<(), StoreError> {
        write!(self, "set slots", |tx| set_rules(&tx, account, rules))
    }

    async fn taken(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
    ) -> Result<Vec<TakenSlot>, StoreError> {
        let list = "SELECT * FROM {s}.slots WHERE account_id = $1 AND at >= $2 AND at < $3
            ORDER BY at";
        let args = args![account.as_uuid(), span.start, span.end];
        read!(self, "list taken slots", |sql| sql.all(list, args, taken))
    }

    async fn take(&self, take: &TakeSlot) -> Result<bool, StoreError> {
        write!(self, "take a slot", |tx| take_slot(&tx, take))
    }
}

async fn set_rules(tx: &Tx<'_>, account: AccountId, rules: &[SlotRule]) -> Result<(), Fault> {
    let set = "INSERT INTO {s}.slot_rules (account_id, rules) VALUES ($1, $2)
        ON CONFLICT (account_id) DO UPDATE SET rules = excluded.rules";
    tx.sql.run(set, args![account.as_uuid(), serde_json::to_string(rules)?]).await?;
    Ok(())
}

async fn take_slot(tx: &Tx<'_>, take: &TakeSlot) -> Result<bool, Fault> {
    let put = "INSERT INTO {s}.slots AS s (account_id, at, schedule_id, taken_at)
        VALUES ($1, $2, $3, clock_timestamp())
        ON CONFLICT (account_id, at) DO UPDATE
        SET schedule_id = excluded.schedule_id, taken_at = excluded.taken_at
        WHERE s.schedule_id = excluded.schedule_id OR s.schedule_id = $4";
    let (account, schedule) = (take.account_id.as_uuid(), take.schedule_id.as_uuid());
    let (at, from) = (whole(take.at), take.instead_of.map(|id| id.as_uuid()));
    if tx.sql.run(put, args![account, at, schedule, from]).await? == 0 {
        return Ok(false);
    }
    let free = "DELETE FROM {s}.slots WHERE account_id = $1 AND schedule_id = $2 AND at <> $3";
    tx.sql.run(free, args![account, schedule, at]).await?;
    Ok(true)
}

fn taken(row: &Row) -> Result<TakenSlot, Fault> {
    Ok(TakenSlot {
        account_id: AccountId::from_uuid(row.try_get("account_id")?),
        at: row.try_get("at")?,
        schedule_id: ScheduleId::from_uuid(row.try_get("schedule_id")?),
        taken_at: row.try_get("taken_at")?,
    })
}
