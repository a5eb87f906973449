//! The deliveries that follow from what a planner finds missed.

use std::sync::Arc;

use postq_core::id::TenantId;
use postq_core::job::NewJob;
use postq_core::store::{FollowUp, MissedJob};
use postq_core::webhook::EventKind;

use super::{Event, Letter, Listeners};
use crate::engine::Shared;

/// Makes one delivery of each missed job, whoever and however many want it: who that is is asked when
/// it runs, so that the transaction of a planner stays small after a long outage.
#[derive(Debug)]
pub(crate) struct TellMissed {
    shared: Arc<Shared>,
    /// Nobody of this tenant wants to know.
    quiet: Option<TenantId>,
}

impl TellMissed {
    pub(crate) async fn new(shared: &Arc<Shared>, listeners: &Listeners) -> Self {
        let tenant = TenantId::DEFAULT;
        let wanting = listeners.wanting(tenant, EventKind::JobMissed).await;
        let quiet = wanting.is_empty().then_some(tenant);
        Self { shared: Arc::clone(shared), quiet }
    }
}

impl FollowUp for TellMissed {
    fn of_missed(&self, missed: MissedJob<'_>) -> Option<NewJob> {
        let (job, now) = (missed.job, missed.now);
        if self.quiet == Some(job.tenant_id) {
            return None;
        }
        let event = Event::of_missed(missed);
        let letter = Letter {
            tenant: job.tenant_id,
            correlation: job.correlation_id.clone(),
            body: event.body(now),
            id: event.id,
            kind: event.kind,
        };
        Some(letter.to(None, self.shared.job_id(now), now))
    }
}
