//! Outgoing webhooks: endpoints are told over HTTP of what happens.
//!
//! | file | what is in it |
//! |---|---|
//! | `event` | what happened, as it is sent |
//! | `tell` | the deliveries that follow from the end of a job |
//! | `missed` | the deliveries that follow from what a planner finds missed |
//! | `deliver` | what runs a delivery, and pauses an endpoint that is dead |
//! | `desk` | [`WebhookDesk`]: what a person does to endpoints and deliveries |
//!
//! Deliveries are jobs of the kind `webhook.deliver`, made in the transaction that ends the job they tell
//! of: nothing that happened is forgotten, and nothing is told that did not happen. Each endpoint has a lane
//! and all have a topic of their own, so that a dead one holds up neither another one nor a post.
//!
//! Who is told is read from the store when a job ends, at most every few seconds. A store that does not say
//! so in time holds up nothing: then one delivery follows for all, which asks again when it runs.

mod deliver;
mod desk;
mod event;
mod missed;
mod tell;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use postq_core::courier::Courier;
use postq_core::id::{JobId, TenantId, WebhookId};
use postq_core::job::{CorrelationId, DedupeKey, JobKind, Lane, NewJob, Topic};
use postq_core::webhook::{EventKind, WebhookStore};
use serde::{Deserialize, Serialize};

pub use self::desk::{Delivery, Tried, WebhookDesk, WebhookError};

pub(crate) use self::deliver::{Deliver, Failing};
pub(crate) use self::event::Event;
pub(crate) use self::missed::TellMissed;
pub(crate) use self::tell::Listeners;

/// Attempts of a delivery: with the waits of [`deliver`], a little more than a day.
const ATTEMPTS: u32 = 15;

/// What webhooks need: where the endpoints are kept, and who brings requests to them. The topic
/// `webhook` belongs in the settings of a node that delivers.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// The endpoints.
    pub store: Arc<dyn WebhookStore>,
    /// Who brings requests to them.
    pub courier: Arc<dyn Courier>,
}

/// What a delivery carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Payload {
    /// What the event is known by, whenever and to whom it is sent.
    id: String,
    /// To whom; to everybody who wants it if none.
    endpoint: Option<WebhookId>,
    kind: EventKind,
    /// The event as it is sent, to the byte.
    body: String,
}

/// What the deliveries of one event have in common.
#[derive(Clone, Debug)]
struct Letter {
    tenant: TenantId,
    correlation: CorrelationId,
    id: String,
    kind: EventKind,
    body: String,
}

impl Letter {
    /// The delivery to an endpoint, or to everybody who wants it.
    fn to(&self, endpoint: Option<WebhookId>, id: JobId, now: DateTime<Utc>) -> NewJob {
        let whom = endpoint.map_or_else(|| "all".to_owned(), |id| id.to_string());
        let payload =
            Payload { id: self.id.clone(), endpoint, kind: self.kind, body: self.body.clone() };
        NewJob {
            id,
            tenant_id: self.tenant,
            lane: endpoint.map(Lane::of_webhook),
            max_attempts: ATTEMPTS,
            dedupe_key: Some(DedupeKey::new(format!("webhook:{}:{whom}", self.id))),
            correlation_id: self.correlation.clone(),
            payload: serde_json::to_value(payload).expect("a delivery is plain data"),
            ..NewJob::new(JobKind::webhook_deliver(), Topic::webhook(), now)
        }
    }
}
