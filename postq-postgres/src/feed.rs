//! `JobFeed`, natively.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::feed::{Claim, Claimed, JobFeed, Mark, Settlement};
use postq_core::intent::{Intent, IntentAnswer};
use postq_core::job::{Applied, Held, Job, Topic};
use tokio::time::Instant;
use uuid::Uuid;

use crate::aside::{Broken, set_aside};
use crate::asking::Asking;
use crate::changes::About;
use crate::claim::{self, Found, Locked};
use crate::error::Fault;
use crate::intent;
use crate::recover::{Taken, Undelivered};
use crate::rows::{micros, whole};
use crate::store::PgStore;
use crate::tx::{Sql, Tries, read, write};

#[async_trait]
impl JobFeed for PgStore {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let mark = self.changes().mark(About::Jobs);
        let asked = Instant::now();
        let found: Found = read!(self, "claim jobs", |sql| claim::find(sql, claim))?;
        let answered = Instant::now();
        self.clock().told(found.now, asked);
        self.prepare(claim, found).await?;
        let mut open = Undelivered::of(self, &claim.topic);
        let mut taken = open.find(claim).await?;
        if claim.limit > taken.jobs.len() {
            let mut rest = claim.clone();
            rest.limit -= taken.jobs.len();
            taken.and(self.take(&rest, found, &mut open).await?);
        }
        let started = taken.jobs.iter().filter_map(|job| job.started_at).max();
        let now = started.unwrap_or(found.now).max(found.now);
        let jobs = &taken.jobs;
        let (mut claimed, unknown): (Claimed, Broken) =
            read!(self, "claim jobs", |sql| claim::answer(sql, claim, jobs, now, mark))?;
        taken.broken.extend(unknown);
        if !taken.broken.is_empty() {
            write!(self, "set jobs aside", |tx| set_aside(&tx, &taken.broken))?;
        }
        open.delivered(&taken.claims);
        // As it is on return, for whoever waits by it for the moment of a job: what a claim of hundreds
        // takes would come on top. The answer was under way for a while, so this is never ahead.
        claimed.now = now.max(whole(found.now + answered.elapsed()));
        Ok(claimed)
    }

    async fn wait(
        &self,
        topic: &Topic,
        mark: Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.wait_for(About::topic(topic), mark, until).await
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        let urgent = self.urgently();
        read!(urgent, "renew leases", |sql| intent::renew(sql, held, lease))
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        write!(self, "record an intent", |tx| intent::intent(&tx, intent, room))
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        self.settle_gathered(settlements).await
    }
}

impl PgStore {
    /// Moves what has become due to where claims look, and lets lanes go on whose block has ended.
    async fn prepare(&self, claim: &Claim, found: Found) -> Result<(), StoreError> {
        if found.unblocked {
            write!(self, "end blocks", |tx| tx.end_blocks(&claim.topic))?;
        }
        if found.promotable {
            let ahead = micros(claim.ahead);
            write!(self, "make jobs due", |tx| claim::promote(&tx, &claim.topic, ahead))?;
        }
        Ok(())
    }

    /// Takes jobs.
    async fn take(
        &self,
        claim: &Claim,
        found: Found,
        open: &mut Undelivered<'_>,
    ) -> Result<Taken, StoreError> {
        let mut tries = Tries::default();
        loop {
            let id = open.begin(&claim.topic);
            let fault = match self.try_to_take(claim, found, id).await {
                Ok((jobs, broken)) => return Ok(Taken { claims: vec![id], jobs, broken }),
                Err(fault) => fault,
            };
            if !fault.may_be_done() {
                open.delivered(&[id]);
            }
            tries.after(fault, "claim jobs").await.map_err(|fault| fault.during("claim jobs"))?;
            let taken = open.find(claim).await?;
            if !taken.claims.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn try_to_take(
        &self,
        claim: &Claim,
        found: Found,
        id: Uuid,
    ) -> Result<(Vec<Job>, Broken), Fault> {
        let mut lent = self.lend().await?;
        let limit = self.limit();
        let work = async {
            if !found.laned && !found.promotable && !found.unblocked && !found.asking {
                // One statement, with a transaction of its own.
                let sql = Sql::new(lent.client(), self.schema());
                return claim::take(sql, claim, id, &Locked::default()).await;
            }
            let transaction = lent.begin().await?;
            let sql = Sql::new(transaction.client(), self.schema());
            let asking = if found.asking { Some(Asking::lock(sql).await?) } else { None };
            let lanes = claim::lock_lanes(sql, claim, asking.as_ref()).await?;
            let (jobs, broken) = claim::take(sql, claim, id, &lanes).await?;
            if let Some(asking) = asking {
                asking.taken(sql, &jobs, claim.lease).await?;
            }
            transaction.commit().await?;
            Ok((jobs, broken))
        };
        match tokio::time::timeout(limit, work).await {
            Ok(taken) => taken,
            Err(_) => Err(lent.give_up()),
        }
    }
}
