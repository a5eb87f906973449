//! The deliveries that follow from the end of a job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postq_core::error::chain;
use postq_core::id::{TenantId, WebhookId};
use postq_core::webhook::{Endpoint, EventKind, WebhookStore};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Event, Letter};
use crate::engine::Shared;
use crate::settle::Verdict;
use crate::worker::Work;

/// Who is told is read again after so long.
const KEPT: Duration = Duration::from_secs(3);

/// The end of a job waits for that at most so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who is told, as the store said it a moment ago.
#[derive(Debug)]
pub(crate) struct Listeners {
    store: Arc<dyn WebhookStore>,
    known: Mutex<BTreeMap<TenantId, Known>>,
}

/// What the store said, or that it said nothing.
#[derive(Debug)]
struct Known {
    at: Instant,
    endpoints: Option<Arc<Vec<Endpoint>>>,
}

impl Listeners {
    pub(crate) fn new(store: Arc<dyn WebhookStore>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// The same with a memory of its own: who asks all the time keeps others from hearing of an endpoint
    /// that was just added.
    pub(crate) fn apart(&self) -> Self {
        Self::new(Arc::clone(&self.store))
    }

    /// The endpoints of a tenant; none if the store does not say so in time.
    async fn endpoints(&self, tenant: TenantId) -> Option<Arc<Vec<Endpoint>>> {
        // One asks, and the others that come meanwhile share the answer: the lock is held until then,
        // and no longer than the patience of who asks.
        let known = tokio::time::timeout(PATIENCE, self.known.lock()).await;
        let mut known = known.ok()?;
        known.retain(|_, known| known.at.elapsed() < KEPT);
        if let Some(known) = known.get(&tenant) {
            return known.endpoints.clone();
        }
        let endpoints = match tokio::time::timeout(PATIENCE, self.store.list(tenant)).await {
            Ok(Ok(endpoints)) => Some(Arc::new(endpoints)),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "webhooks not listed; asked when delivered");
                None
            }
            Err(_) => {
                tracing::warn!("webhooks not listed in time; asked when delivered");
                None
            }
        };
        known.insert(tenant, Known { at: Instant::now(), endpoints: endpoints.clone() });
        endpoints
    }

    /// To whom deliveries of such an event go: to the endpoints that want it. Where nobody knows who
    /// that is, one goes to all, and who wants it is asked again when it runs.
    pub(super) async fn wanting(
        &self,
        tenant: TenantId,
        kind: EventKind,
    ) -> Vec<Option<WebhookId>> {
        let Some(endpoints) = self.endpoints(tenant).await else { return vec![None] };
        let wanting = endpoints.iter().filter(|endpoint| endpoint.wants(kind));
        wanting.map(|endpoint| Some(endpoint.id)).collect()
    }
}

impl Shared {
    /// Lets the deliveries follow from what an attempt came to.
    pub(crate) async fn tell(&self, work: &Work, verdict: &mut Verdict) {
        let Some(listeners) = &self.listeners else { return };
        let kind = match &verdict.event {
            Some(event) => event.kind,
            None => match Event::kind_of_end(work, verdict) {
                Some(kind) => kind,
                None => return,
            },
        };
        let made = &work.job.made;
        let wanting = listeners.wanting(made.tenant_id, kind).await;
        if wanting.is_empty() {
            return;
        }
        let event = verdict.event.take().unwrap_or_else(|| Event::of_end(kind, work, verdict));
        let now = work.time.now();
        let letter = Letter {
            tenant: made.tenant_id,
            correlation: made.correlation_id.clone(),
            body: event.body(now),
            id: event.id,
            kind,
        };
        for endpoint in wanting {
            verdict.follow_ups.push(letter.to(endpoint, self.job_id(now), now));
        }
    }
}
