//! A node that dies at a chosen write of a part's life.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq::core::backend::Backend;
use postq::core::error::StoreError;
use postq::core::feed::{Claim, Claimed, JobFeed, Mark, Settle, Settlement};
use postq::core::intent::{Intent, IntentAnswer};
use postq::core::job::{Applied, Held, Topic};
use tokio::sync::watch;

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// All is ready, nothing is written.
    BeforeIntent,
    /// What is about to be sent is written; the call is not made.
    AfterIntent,
    /// The platform has it, and its answer reaches nobody. No write tells of it: what stands between does.
    InTheCall,
    /// The platform has answered; that it is out is not written.
    BeforeReceipt,
    /// That it is out is written, and nobody is told.
    AfterReceipt,
    /// The platform was asked long enough and does not have it; that is not written.
    BeforeAbsence,
    /// That is written, and it is not sent again.
    AfterAbsence,
}

/// A backend whose node does nothing more after its death.
#[derive(Debug)]
pub(crate) struct Mortal {
    pub(crate) backend: Backend,
    died: watch::Receiver<bool>,
}

impl Mortal {
    /// Dies so at this part.
    pub(crate) fn over(backend: &Backend, death: Death, part: u16) -> Self {
        let (dies, died) = watch::channel(false);
        let feed = Feed { inner: Arc::clone(&backend.feed), death, part, dies };
        Self { backend: Backend { feed: Arc::new(feed), ..backend.clone() }, died }
    }

    pub(crate) async fn died(&self) {
        self.died.clone().wait_for(|died| *died).await.expect("the feed is still there");
    }
}

#[derive(Debug)]
struct Feed {
    inner: Arc<dyn JobFeed>,
    death: Death,
    part: u16,
    dies: watch::Sender<bool>,
}

impl Feed {
    /// Who is dead does nothing more.
    async fn die_if(&self, now: bool) {
        if now {
            self.dies.send_replace(true);
        }
        if *self.dies.borrow() {
            std::future::pending::<()>().await;
        }
    }

    /// Dies if that is what its death is at.
    async fn die_at(&self, receipt: Death, absence: Death, settlements: &[Settlement]) {
        let dies = settlements.iter().any(|settlement| match &settlement.settle {
            Settle::Part(out) | Settle::Succeeded(Some(out)) => {
                out.part == self.part && self.death == receipt
            }
            Settle::Absent { part } => *part == self.part && self.death == absence,
            _ => false,
        });
        self.die_if(dies).await;
    }
}

#[async_trait]
impl JobFeed for Feed {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.inner.claim(claim).await
    }

    async fn wait(
        &self,
        topic: &Topic,
        mark: Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.inner.wait(topic, mark, until).await
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        self.die_if(false).await;
        self.inner.renew(held, lease).await
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        let here = intent.part == self.part;
        self.die_if(here && self.death == Death::BeforeIntent).await;
        let answer = self.inner.intent(intent, room).await;
        self.die_if(here && self.death == Death::AfterIntent).await;
        answer
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        self.die_at(Death::BeforeReceipt, Death::BeforeAbsence, settlements).await;
        let answer = self.inner.settle(settlements).await;
        self.die_at(Death::AfterReceipt, Death::AfterAbsence, settlements).await;
        answer
    }
}
