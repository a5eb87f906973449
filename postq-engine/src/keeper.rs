//! The keeper: renews the leases of the attempts that run here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use postq_core::error::{ErrorKind, StoreError};
use postq_core::id::JobId;
use postq_core::job::{Applied, Fence, Held};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;
use crate::planner::SLOW_SWEEP;

/// What runs here. A running attempt keeps a [`Kept`]; dropping it lets the lease go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeper {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<BTreeMap<JobId, (Fence, CancellationToken)>>,
    first: Notify,
}

/// A lease that is being kept.
#[derive(Debug)]
pub(crate) struct Kept {
    keeper: Keeper,
    held: Held,
    /// Cancelled when the lease is lost: another worker may hold the job now.
    pub(crate) lost: CancellationToken,
}

impl Keeper {
    /// Keeps this claim's lease until the answer is dropped.
    pub(crate) fn keep(&self, held: Held) -> Kept {
        let lost = CancellationToken::new();
        let mut all = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(held.job, (held.fence, lost.clone()));
        self.inner.first.notify_one();
        Kept { keeper: self.clone(), held, lost }
    }

    fn held(&self) -> Vec<Held> {
        let all = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(&job, &(fence, _))| Held { job, fence }).collect()
    }

    fn lose(&self, held: Held) {
        let all = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((fence, lost)) = all.get(&held.job)
            && *fence == held.fence
        {
            lost.cancel();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut all = self.keeper.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&self.held.job).is_some_and(|(fence, _)| *fence == self.held.fence) {
            all.remove(&self.held.job);
        }
    }
}

/// Renews, at a third of the lease, all leases at once; sleeps while nothing runs here.
pub(crate) async fn run(shared: Arc<Shared>) {
    let keeper = &shared.keeper;
    let (lease, every) = (shared.settings.lease, shared.settings.lease / 3);
    let mut beat = shared.health.beat("keeper", every.max(SLOW_SWEEP));
    loop {
        let held = keeper.held();
        if held.is_empty() {
            beat.ok();
            // Nothing to renew: woken by the first lease, or to say that it is well.
            if tokio::time::timeout(SLOW_SWEEP, keeper.inner.first.notified()).await.is_ok() {
                tokio::time::sleep(every).await;
            }
            continue;
        }
        // Bounded by the lease and not by the store's time-out: an answer after that is no use.
        let renew = shared.backend.feed.renew(&held, lease);
        let answer = match tokio::time::timeout(every, renew).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new(ErrorKind::Unavailable, "renew leases: no answer")),
        };
        match answer {
            Ok(answers) => {
                beat.ok();
                for (held, answer) in held.into_iter().zip(answers) {
                    if answer != Applied::Applied {
                        tracing::warn!(job_id = %held.job, fence = %held.fence, "lease lost");
                        keeper.lose(held);
                    }
                }
                tokio::time::sleep(every).await;
            }
            // Soon again: two thirds of the lease are left to get through.
            Err(error) => {
                let pause = beat.failed(&error, shared.sample());
                tokio::time::sleep(pause.min(every / 8)).await;
            }
        }
    }
}
