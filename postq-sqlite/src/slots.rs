//! `SlotStore`.

use std::ops::Range;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::id::{AccountId, ScheduleId};
use postq_core::slot::{SlotRule, SlotStore, TakeSlot, TakenSlot};
use rusqlite::{Row, params};

use crate::rows::{blob, json, micros, time, uuid};
use crate::store::SqliteStore;

#[async_trait]
impl SlotStore for SqliteStore {
    async fn rules(&self, account: AccountId) -> Result<Vec<SlotRule>, StoreError> {
        let sql = "SELECT rules FROM slot_rules WHERE account_id = ?";
        self.read("load slots", move |tx| {
            let rules = tx.get(sql, [blob(account.as_uuid())], |row| json(row, "rules"))?;
            Ok(rules.unwrap_or_default())
        })
        .await
    }

    async fn set_rules(&self, account: AccountId, rules: &[SlotRule]) -> Result<(), StoreError> {
        let rules = rules.to_vec();
        let sql = "INSERT OR REPLACE INTO slot_rules (account_id, rules) VALUES (?, ?)";
        self.write("set slots", move |tx| {
            tx.run(sql, params![blob(account.as_uuid()), serde_json::to_string(&rules)?])?;
            Ok(())
        })
        .await
    }

    async fn taken(
        &self,
        account: AccountId,
        span: &Range<DateTime<Utc>>,
    ) -> Result<Vec<TakenSlot>, StoreError> {
        let (from, until) = (micros(span.start), micros(span.end));
        let sql = "SELECT * FROM slots WHERE account_id = ? AND at >= ? AND at < ? ORDER BY at";
        self.read("list taken slots", move |tx| {
            Ok(tx.all(sql, params![blob(account.as_uuid()), from, until], taken)?)
        })
        .await
    }

    async fn take(&self, take: &TakeSlot) -> Result<bool, StoreError> {
        let take = *take;
        let put =
            "INSERT INTO slots (account_id, at, schedule_id, taken_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (account_id, at) DO UPDATE
             SET schedule_id = excluded.schedule_id, taken_at = excluded.taken_at
             WHERE slots.schedule_id = excluded.schedule_id OR slots.schedule_id = ?5";
        let free = "DELETE FROM slots WHERE account_id = ? AND schedule_id = ? AND at <> ?";
        self.write("take a slot", move |tx| {
            let account = blob(take.account_id.as_uuid());
            let schedule = blob(take.schedule_id.as_uuid());
            let (at, from) = (micros(take.at), take.instead_of.map(|id| blob(id.as_uuid())));
            if tx.run(put, params![account, at, schedule, micros(tx.now), from])? == 0 {
                return Ok(false);
            }
            tx.run(free, params![account, schedule, at])?;
            Ok(true)
        })
        .await
    }
}

fn taken(row: &Row<'_>) -> rusqlite::Result<TakenSlot> {
    Ok(TakenSlot {
        account_id: AccountId::from_uuid(uuid(row, "account_id")?),
        at: time(row, "at")?,
        schedule_id: ScheduleId::from_uuid(uuid(row, "schedule_id")?),
        taken_at: time(row, "taken_at")?,
    })
}
