//! Webhooks and their deliveries.

use chrono::{DateTime, Utc};
use postq_core::job::Job;
use postq_core::machine::JobState;
use postq_core::webhook::{Endpoint, EventKind};
use postq_engine::webhooks::{Delivery, Tried};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An endpoint that is told of what happens, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookView {
    pub(crate) id: Uuid,
    url: String,
    /// What it is told of; everything if empty.
    #[schema(value_type = Vec<String>, example = json!(["job.dead", "account.needs_attention"]))]
    events: Vec<EventKind>,
    /// Why it is told nothing; null while it is.
    paused: Option<PausedView>,
    /// Until when the secret before the last rotation signs as well.
    old_secret_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// Why and since when an endpoint is told nothing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Paused)]
pub(crate) struct PausedView {
    at: DateTime<Utc>,
    why: String,
}

impl From<&Endpoint> for WebhookView {
    fn from(endpoint: &Endpoint) -> Self {
        let paused = endpoint.paused.as_ref();
        Self {
            id: endpoint.id.as_uuid(),
            url: endpoint.url.clone(),
            events: endpoint.events.clone(),
            paused: paused.map(|paused| PausedView { at: paused.at, why: paused.why.clone() }),
            old_secret_until: endpoint.retiring.as_ref().map(|old| old.until),
            created_at: endpoint.created_at,
        }
    }
}

/// A webhook whose secret is shown this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WebhookWithSecret {
    #[serde(flatten)]
    pub(crate) webhook: WebhookView,
    /// What signs its requests: `whsec_` and base64. Null where the same request is answered again.
    pub(crate) secret: Option<String>,
}

/// An endpoint to be added.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// Where requests go: `https` or `http`, of the open internet unless `POSTQ_OUTBOUND_ALLOW` has it.
    #[schema(max_length = 2048)]
    pub(crate) url: String,
    /// What it is told of; everything if left out or empty.
    #[serde(default)]
    pub(crate) events: Vec<String>,
}

/// What is to change of an endpoint; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookChange {
    #[schema(max_length = 2048)]
    pub(crate) url: Option<String>,
    /// Empty for everything.
    pub(crate) events: Option<Vec<String>>,
}

/// Why an endpoint is paused.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookPause {
    /// For whoever looks later.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub(crate) note: String,
}

/// One event on its way to an endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    /// The job that delivers it.
    id: Uuid,
    /// The header `webhook-id`: the same however often the event is sent.
    message_id: Option<String>,
    /// What happened.
    #[schema(value_type = Option<String>, example = "job.dead")]
    event: Option<EventKind>,
    /// `enqueued`, `running`, `failed` (it is tried again), `succeeded`, `dead_letter` or `cancelled`.
    #[schema(value_type = String, example = "succeeded")]
    state: JobState,
    attempt: u32,
    max_attempts: u32,
    /// Why the last attempt failed.
    reason: Option<String>,
    /// When it was made.
    made_at: DateTime<Utc>,
    /// Not tried earlier than this.
    run_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    correlation_id: String,
}

impl From<Job> for DeliveryView {
    fn from(job: Job) -> Self {
        let (id, event) = match Delivery::of(&job) {
            Some(delivery) => (Some(delivery.id), Some(delivery.event)),
            None => (None, None),
        };
        Self {
            id: job.id().as_uuid(),
            message_id: id,
            event,
            state: job.state,
            attempt: job.attempt,
            max_attempts: job.made.max_attempts,
            reason: job.reason,
            made_at: job.made.planned_at,
            run_at: job.run_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            correlation_id: job.made.correlation_id.to_string(),
        }
    }
}

/// What came of trying an endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WebhookTried {
    /// Whether it took the event.
    taken: bool,
    /// The header `webhook-id`.
    message_id: String,
    /// The status of its answer; null if there was none.
    status: Option<u16>,
    /// How its answer begins, or why there is none.
    answer: String,
    took_ms: u64,
}

impl From<Tried> for WebhookTried {
    fn from(tried: Tried) -> Self {
        let (taken, status, answer) = match tried.answer {
            Ok(reply) => (reply.is_taken(), Some(reply.status), reply.text),
            Err(failure) => (false, None, failure.message),
        };
        let took_ms = u64::try_from(tried.took.as_millis()).unwrap_or(u64::MAX);
        Self { taken, message_id: tried.id, status, answer, took_ms }
    }
}
