//! A job feed over a queue and a store: the queue proposes, the store decides.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::backend::Backend;
use crate::error::{ErrorKind, QueueError, StoreError, chain};
use crate::feed::{Claim, Claimed, ClaimedJob, JobFeed, Mark, Only, Settlement};
use crate::id::JobId;
use crate::intent::{Intent, IntentAnswer};
use crate::job::{Applied, Held, Topic};
use crate::queue::{Delivery, Lease, Queue, QueuedJob, Reserve};

/// How long a proposal is kept from other nodes while the store decides. One that is lost on the way
/// is proposed again after it.
const PROPOSAL_LEASE: Duration = Duration::from_secs(10);

/// A queue that takes longer to answer is done without.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);

/// A [`JobFeed`] that claims by the ids that a [`Queue`] proposes.
///
/// A proposal has done its work as soon as the store has decided: it is acked whether or not the
/// store gave the job, so that the queue holds nothing of a running job, and the store's lease is
/// the only one. What the queue did not propose (it was wiped, it cannot be reached, the lane was
/// full when it did, the job is due only within `ahead`) the store gives by itself: the claim for
/// the places that are left is also the one that tells the next moment. A proposal that is not the
/// first of its lane is among these: a retry that no sweep has pushed yet may go before it.
#[derive(Clone, Debug)]
pub struct Composed {
    queue: Arc<dyn Queue>,
    store: Arc<dyn JobFeed>,
}

impl Composed {
    /// A feed over both.
    pub fn new(queue: Arc<dyn Queue>, store: Arc<dyn JobFeed>) -> Self {
        Self { queue, store }
    }

    /// The same stores with the queue beside them.
    pub fn backend(queue: Arc<dyn Queue>, stores: Backend) -> Backend {
        let feed = Arc::new(Self::new(queue.clone(), stores.feed));
        Backend { feed, queue: Some(queue), ..stores }
    }

    /// What the queue proposes; nothing if it cannot be asked.
    async fn proposals(&self, claim: &Claim) -> Vec<Delivery> {
        let reserve = Reserve::up_to(claim.limit, claim.topic.clone())
            .leased_for(PROPOSAL_LEASE)
            .skipping(claim.skip.clone());
        soon(self.queue.reserve(&reserve)).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = chain(&error),
                "the queue proposes nothing; claiming without it"
            );
            Vec::new()
        })
    }

    /// Claims what is proposed; tells also what the queue holds for us until it is acked.
    async fn claim_proposed(
        &self,
        claim: &Claim,
    ) -> Result<Option<(Claimed, Vec<Lease>)>, StoreError> {
        let proposals = self.proposals(claim).await;
        if proposals.is_empty() {
            return Ok(None);
        }
        let ids: BTreeSet<JobId> = proposals.iter().map(|proposal| proposal.job.id).collect();
        let claim = Claim { only: Only::Jobs(Arc::new(ids)), ..claim.clone() };
        let claimed = self.store.claim(&claim).await?;
        Ok(Some((claimed, proposals.into_iter().map(|proposal| proposal.lease).collect())))
    }

    async fn ack(&self, leases: &[Lease]) {
        if let Err(error) = soon(self.queue.ack(leases)).await {
            // They will be proposed again, and the store will not give them.
            tracing::debug!(error = chain(&error), jobs = leases.len(), "proposals were not acked");
        }
    }

    /// Takes from the queue what the store gave by itself.
    async fn forget(&self, topic: &Topic, jobs: &[ClaimedJob]) {
        let ids: Vec<JobId> = jobs.iter().map(|claimed| claimed.job.id()).collect();
        if ids.is_empty() {
            return;
        }
        if let Err(error) = soon(self.queue.remove(topic, &ids)).await {
            tracing::debug!(error = chain(&error), "the queue keeps jobs that are running");
        }
    }

    /// Tells the queue of what follows from settlements that applied.
    async fn push_follow_ups(&self, settlements: &[Settlement], answers: &[Applied]) {
        let applied = settlements.iter().zip(answers).filter(|(_, a)| **a == Applied::Applied);
        let jobs: Vec<_> = applied
            .flat_map(|(settlement, _)| &settlement.follow_ups)
            .map(|made| QueuedJob {
                id: made.id,
                topic: made.topic.clone(),
                lane: made.lane.clone(),
                priority: made.priority,
                run_at: made.planned_at,
            })
            .collect();
        if jobs.is_empty() {
            return;
        }
        if let Err(error) = soon(self.queue.push(&jobs)).await {
            tracing::warn!(error = chain(&error), "follow-ups wait for the sweep to push them");
        }
    }
}

/// A queue that does not answer must hold up nobody: the work goes on without it.
async fn soon<T>(call: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    match tokio::time::timeout(QUEUE_TIMEOUT, call).await {
        Ok(answer) => answer,
        Err(_) => {
            let what = format!("ask the queue: no answer within {QUEUE_TIMEOUT:?}");
            Err(QueueError::new(ErrorKind::Unavailable, what))
        }
    }
}

/// The order in which claimed jobs should start.
fn in_order(jobs: &mut [ClaimedJob]) {
    jobs.sort_by_key(|claimed| {
        let made = &claimed.job.made;
        (Reverse(made.priority), made.planned_at, made.id)
    });
}

#[async_trait]
impl JobFeed for Composed {
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let proposed = match claim.only {
            Only::Any => self.claim_proposed(claim).await?,
            // The queue knows nothing of schedules, and another one's proposals are not asked for.
            Only::Jobs(_) | Only::Schedules(_) => None,
        };
        let Some((proposed, leases)) = proposed else {
            let claimed = self.store.claim(claim).await?;
            self.forget(&claim.topic, &claimed.jobs).await;
            return Ok(claimed);
        };
        let given = proposed.jobs.len();
        // There may be more: worth another claim at once.
        let full = Claimed { next_at: Some(proposed.now), ..proposed };
        if given > 0 && given >= claim.limit {
            self.ack(&leases).await;
            return Ok(full);
        }
        let rest = Claim { limit: claim.limit - given, ..claim.clone() };
        let (claimed, ()) = tokio::join!(self.store.claim(&rest), self.ack(&leases));
        let mut claimed = match claimed {
            Ok(claimed) => claimed,
            // What was given must not be lost with the answer about the rest.
            Err(error) if given > 0 => {
                tracing::warn!(error = chain(&error), "the store did not tell of the rest");
                return Ok(full);
            }
            Err(error) => return Err(error),
        };
        self.forget(&claim.topic, &claimed.jobs).await;
        claimed.jobs.extend(full.jobs);
        in_order(&mut claimed.jobs);
        claimed.mark = claimed.mark.min(full.mark);
        Ok(claimed)
    }

    async fn wait(
        &self,
        topic: &Topic,
        mark: Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.store.wait(topic, mark, until).await
    }

    async fn renew(&self, held: &[Held], lease: Duration) -> Result<Vec<Applied>, StoreError> {
        self.store.renew(held, lease).await
    }

    async fn intent(&self, intent: &Intent, room: Duration) -> Result<IntentAnswer, StoreError> {
        self.store.intent(intent, room).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Applied>, StoreError> {
        let answers = self.store.settle(settlements).await?;
        self.push_follow_ups(settlements, &answers).await;
        Ok(answers)
    }
}
