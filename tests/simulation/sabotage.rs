//! A feed with one safeguard taken out: the simulation must notice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::backend::Backend;
use postq_core::conformance::meddled::{Meddle, Meddled};
use postq_core::error::StoreError;
use postq_core::feed::{JobFeed, Settlement};
use postq_core::id::JobId;
use postq_core::intent::{Intent, IntentAnswer};
use postq_core::job::{Applied, Fence, Held};
use postq_core::store::JobStore;

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "each names what is not there")]
pub(crate) enum Sabotage {
    /// Intents are promised and not written down.
    NoIntent,
    /// Whoever comes is taken for the current holder.
    NoFence,
    /// Absence is believed at once.
    NoSettleTime,
}

/// A feed without a safeguard.
#[derive(Debug)]
pub(crate) struct Sabotaged {
    inner: Arc<dyn JobFeed>,
    jobs: Arc<dyn JobStore>,
    sabotage: Sabotage,
}

impl Sabotaged {
    pub(crate) fn feed(backend: &Backend, sabotage: Option<Sabotage>) -> Arc<dyn JobFeed> {
        let inner = Arc::clone(&backend.feed);
        match sabotage {
            Some(sabotage) => {
                let jobs = Arc::clone(&backend.jobs);
                Arc::new(Meddled(Self { inner, jobs, sabotage }))
            }
            None => inner,
        }
    }

    /// The fence that the store would accept.
    async fn fence(&self, job: JobId, fence: Fence) -> Result<Fence, StoreError> {
        if self.sabotage != Sabotage::NoFence {
            return Ok(fence);
        }
        Ok(self.jobs.story(job).await?.map_or(fence, |story| story.job.fence))
    }
}

#[async_trait]
impl Meddle for Sabotaged {
    fn feed(&self) -> &dyn JobFeed {
        self.inner.as_ref()
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        if self.sabotage == Sabotage::NoIntent {
            return Ok(IntentAnswer::Recorded(self.jobs.now().await?));
        }
        let fence = self.fence(intent.job, intent.fence).await?;
        self.inner.intent(&Intent { fence, ..intent.clone() }, room).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        let mut forged = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            let held = settlement.held;
            let fence = self.fence(held.job, held.fence).await?;
            forged.push(Settlement { held: Held { fence, ..held }, ..settlement.clone() });
        }
        self.inner.settle(&forged).await
    }
}
