//! A job feed with which a test meddles: calls are lost, answers come late, safeguards are taken out.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::feed::{Claim, Claimed, JobFeed, Mark, Settlement};
use crate::intent::{Intent, IntentAnswer};
use crate::job::{Applied, Held, Topic};

/// What a test does around the calls of a feed. What it does not name goes straight through.
#[async_trait]
pub trait Meddle: fmt::Debug + Send + Sync + 'static {
    /// The feed that is meddled with.
    fn feed(&self) -> &dyn JobFeed;

    /// In the place of [`JobFeed::claim`].
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.feed().claim(claim).await
    }

    /// In the place of [`JobFeed::renew`].
    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        self.feed().renew(held, lease).await
    }

    /// In the place of [`JobFeed::intent`].
    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        self.feed().intent(intent, room).await
    }

    /// In the place of [`JobFeed::settle`].
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        self.feed().settle(settlements).await
    }
}

/// A feed with which a test meddles.
#[derive(Clone, Copy, Debug)]
pub struct Meddled<M>(pub M);

#[async_trait]
impl<M: Meddle> JobFeed for Meddled<M> {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.0.claim(claim).await
    }

    async fn wait(
        &self,
        topic: &Topic,
        mark: Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.0.feed().wait(topic, mark, until).await
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        self.0.renew(held, lease).await
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        self.0.intent(intent, room).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        self.0.settle(settlements).await
    }
}
