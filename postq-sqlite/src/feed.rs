//! `JobFeed`, natively: each call is one transaction.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::feed::{Claim, Claimed, JobFeed, Mark, Settlement};
use postq_core::intent::{Intent, IntentAnswer};
use postq_core::job::{Applied, Held, Topic};

use crate::changes::About;
use crate::store::SqliteStore;
use crate::{claim, intent, settle};

#[async_trait]
impl JobFeed for SqliteStore {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let mark = self.changes().mark(About::Jobs);
        let claim = claim.clone();
        self.write("claim jobs", move |tx| claim::claim(tx, &claim, mark)).await
    }

    async fn wait(
        &self,
        topic: &Topic,
        mark: Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.changes().wait(About::topic(topic), mark, until, self.clock()).await;
        Ok(())
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        let held = held.to_vec();
        self.write_urgently("renew leases", move |tx| {
            held.iter().map(|held| intent::renew(tx, *held, lease)).collect()
        })
        .await
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        let intent = intent.clone();
        self.write("record an intent", move |tx| intent::intent(tx, &intent, room)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        let settlements = settlements.to_vec();
        self.write("settle jobs", move |tx| {
            settlements.iter().map(|settlement| settle::settle(tx, settlement)).collect()
        })
        .await
    }
}
