//! `/api/webhooks`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use postq_core::id::{JobId, WebhookId};
use postq_core::webhook::{Endpoint, EventKind};
use postq_engine::webhooks::{WebhookDesk, WebhookError};
use secrecy::{ExposeSecret, SecretString};

use crate::answer::Tagged;
use crate::extract::{Body, Fresh, Id, OptionalBody, Query, Seen};
use crate::guard::once::Masked;
use crate::paging::{Listed, Paging};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::views::webhook::{
    DeliveryView, NewWebhook, WebhookChange, WebhookPause, WebhookTried, WebhookView,
    WebhookWithSecret,
};
use crate::web::{App, Shared};

/// The longest note, in characters.
const MOST_NOTE: usize = 500;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(list, create));
    add(route!(show, change, remove));
    add(route!(rotate));
    add(route!(pause));
    add(route!(resume));
    add(route!(test));
    add(route!(deliveries));
    add(route!(resend));
}

/// Lists webhooks; never their secrets.
#[utoipa::path(get, path = "/api/webhooks", tag = "webhooks", params(Paging),
    operation_id = "list_webhooks", security(("token" = ["admin"])),
    responses((status = 200, description = "a page", body = Listed<WebhookView>)))]
async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listed<WebhookView>>, Problem> {
    let page = paging.page()?;
    let all = desk(&app)?.list().await?;
    let show = |endpoint| WebhookView::from(&endpoint);
    Ok(Json(page.of_all(all, |endpoint| endpoint.id.as_uuid(), show)))
}

/// Adds a webhook; its secret is shown this once.
#[utoipa::path(post, path = "/api/webhooks", tag = "webhooks", request_body = NewWebhook,
    operation_id = "create_webhook", security(("token" = ["admin"])),
    responses((status = 201, description = "added", body = WebhookWithSecret)))]
async fn create(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    Fresh(id): Fresh,
    Body(new): Body<NewWebhook>,
) -> Result<Response, Problem> {
    let events = events(&new.events)?;
    let id = WebhookId::from_uuid(id);
    let (endpoint, secret) = desk(&app)?.add(id, &new.url, &events).await?;
    let mut answer = with_secret(StatusCode::CREATED, &endpoint, &secret);
    put_location(&mut answer, &uri, id);
    Ok(answer)
}

/// Shows a webhook; never its secret.
#[utoipa::path(get, path = "/api/webhooks/{id}", tag = "webhooks", params(("id" = Uuid, Path)),
    operation_id = "show_webhook", security(("token" = ["admin"])),
    responses((status = 200, description = "the webhook", body = WebhookView)))]
async fn show(
    State(app): State<App>,
    Id(id): Id<WebhookId>,
) -> Result<Tagged<WebhookView>, Problem> {
    Ok(tagged(&desk(&app)?.find(id).await?))
}

/// Gives a webhook another URL, or other events.
#[utoipa::path(patch, path = "/api/webhooks/{id}", tag = "webhooks",
    params(("id" = Uuid, Path)), operation_id = "change_webhook", request_body = WebhookChange,
    security(("token" = ["admin"])),
    responses((status = 200, description = "changed", body = WebhookView)))]
async fn change(
    State(app): State<App>,
    Id(id): Id<WebhookId>,
    seen: Seen,
    Body(change): Body<WebhookChange>,
) -> Result<Tagged<WebhookView>, Problem> {
    if change.url.is_none() && change.events.is_none() {
        return Err(Problem::invalid("url", "nothing to change; expected url or events"));
    }
    let events = change.events.as_deref().map(events).transpose()?;
    let (url, seen) = (change.url.as_deref(), seen.revision());
    Ok(tagged(&desk(&app)?.change(id, seen, url, events.as_deref()).await?))
}

/// Takes a webhook away; what waits for it is not delivered.
#[utoipa::path(delete, path = "/api/webhooks/{id}", tag = "webhooks",
    params(("id" = Uuid, Path)), operation_id = "remove_webhook", security(("token" = ["admin"])),
    responses((status = 204, description = "taken away")))]
async fn remove(
    State(app): State<App>,
    Id(id): Id<WebhookId>,
    seen: Seen,
) -> Result<StatusCode, Problem> {
    desk(&app)?.remove(id, seen.revision()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook a new secret, which is shown this once.
///
/// The one before signs beside it for 24 h: the header has two signatures until then.
#[utoipa::path(post, path = "/api/webhooks/{id}/secret", tag = "webhooks",
    params(("id" = Uuid, Path)), operation_id = "rotate_webhook_secret",
    security(("token" = ["admin"])),
    responses((status = 200, description = "the new secret", body = WebhookWithSecret)))]
async fn rotate(State(app): State<App>, Id(id): Id<WebhookId>) -> Result<Response, Problem> {
    let (endpoint, secret) = desk(&app)?.rotate(id).await?;
    Ok(with_secret(StatusCode::OK, &endpoint, &secret))
}

/// Tells a webhook nothing more: what was made before waits, and what happens meanwhile is not sent.
#[utoipa::path(post, path = "/api/webhooks/{id}/pause", tag = "webhooks",
    params(("id" = Uuid, Path)), operation_id = "pause_webhook",
    request_body(content = Option<WebhookPause>), security(("token" = ["admin"])),
    responses((status = 200, description = "paused", body = WebhookView)))]
async fn pause(
    State(app): State<App>,
    Id(id): Id<WebhookId>,
    OptionalBody(pause): OptionalBody<WebhookPause>,
) -> Result<Tagged<WebhookView>, Problem> {
    if pause.note.chars().count() > MOST_NOTE {
        let detail = format!("is too long, at most {MOST_NOTE} characters");
        return Err(Problem::invalid("note", detail));
    }
    let why = if pause.note.is_empty() { "paused by a person" } else { &pause.note };
    Ok(tagged(&desk(&app)?.pause(id, why).await?))
}

/// Tells a webhook again, beginning with what waited.
#[utoipa::path(post, path = "/api/webhooks/{id}/resume", tag = "webhooks",
    params(("id" = Uuid, Path)), operation_id = "resume_webhook", security(("token" = ["admin"])),
    responses((status = 200, description = "it goes on", body = WebhookView)))]
async fn resume(
    State(app): State<App>,
    Id(id): Id<WebhookId>,
) -> Result<Tagged<WebhookView>, Problem> {
    Ok(tagged(&desk(&app)?.resume(id).await?))
}

/// Sends a webhook a `ping`, once and now, paused or not, and tells what it answered.
#[utoipa::path(post, path = "/api/webhooks/{id}/test", tag = "webhooks",
    params(("id" = Uuid, Path)), operation_id = "test_webhook", security(("token" = ["admin"])),
    responses((status = 200, description = "what it answered", body = WebhookTried)))]
async fn test(
    State(app): State<App>,
    Id(id): Id<WebhookId>,
) -> Result<Json<WebhookTried>, Problem> {
    Ok(Json(desk(&app)?.test(id).await?.into()))
}

/// Lists the deliveries to a webhook, oldest first.
#[utoipa::path(get, path = "/api/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = Uuid, Path), Paging), operation_id = "webhook_deliveries",
    security(("token" = ["admin"])),
    responses((status = 200, description = "a page", body = Listed<DeliveryView>)))]
async fn deliveries(
    State(app): State<App>,
    Id(id): Id<WebhookId>,
    Query(paging): Query<Paging>,
) -> Result<Json<Listed<DeliveryView>>, Problem> {
    let page = paging.page()?;
    let jobs = desk(&app)?.deliveries(id, page.and_one()).await?;
    Ok(Json(page.list(jobs, |job| job.id().as_uuid(), DeliveryView::from)))
}

/// Sends a delivery again, now, with the same `webhook-id`.
///
/// What waits for its retry is only made due; for what has ended, a new delivery is made.
#[utoipa::path(post, path = "/api/webhooks/{id}/deliveries/{delivery}/resend", tag = "webhooks",
    params(("id" = Uuid, Path), ("delivery" = Uuid, Path)), operation_id = "resend_webhook",
    security(("token" = ["admin"])),
    responses((status = 202, description = "the delivery that does", body = DeliveryView)))]
async fn resend(
    State(app): State<App>,
    Path((webhook, delivery)): Path<(String, String)>,
    Fresh(id): Fresh,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let no_id = |field: &str| {
        Problem::new(Code::Malformed, "expected an id, as the lists show them").in_field(field)
    };
    let webhook: WebhookId = webhook.parse().map_err(|_| no_id("id"))?;
    let delivery: JobId = delivery.parse().map_err(|_| no_id("delivery"))?;
    let job = desk(&app)?.resend(webhook, delivery, JobId::from_uuid(id)).await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

fn desk(app: &Shared) -> Result<WebhookDesk, Problem> {
    let desk = app.web.engine.webhooks();
    let desk = desk.ok_or_else(|| Problem::not_found("webhook: they are not set up here"))?;
    Ok(desk.for_tenant(app.desk.tenant()))
}

fn events(words: &[String]) -> Result<Vec<EventKind>, Problem> {
    let read = |word: &String| word.parse();
    let events: Result<_, _> = words.iter().map(read).collect();
    events.map_err(|error: postq_core::webhook::UnknownEvent| {
        Problem::invalid("events", error.to_string())
    })
}

fn tagged(endpoint: &Endpoint) -> Tagged<WebhookView> {
    Tagged { tag: endpoint.version.to_string(), body: WebhookView::from(endpoint) }
}

fn with_secret(status: StatusCode, endpoint: &Endpoint, secret: &SecretString) -> Response {
    let webhook = WebhookView::from(endpoint);
    let masked = WebhookWithSecret { webhook: webhook.clone(), secret: None };
    let shown = WebhookWithSecret { webhook, secret: Some(secret.expose_secret().to_owned()) };
    let shown = Tagged { tag: endpoint.version.to_string(), body: shown };
    let mut answer = (status, shown).into_response();
    // The secret is not kept, not even for a repeated request.
    let masked = serde_json::to_vec(&masked).unwrap_or_default();
    answer.extensions_mut().insert(Masked(Bytes::from(masked)));
    answer
}

fn put_location(answer: &mut Response, list: &Uri, id: WebhookId) {
    if let Ok(at) = HeaderValue::try_from(format!("{}/{id}", list.path())) {
        answer.headers_mut().insert(LOCATION, at);
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotFound(what) => Self::not_found(what),
            WebhookError::Invalid { field, problem } => Self::invalid(field, problem),
            WebhookError::Changed(_) => Self::new(Code::Changed, error.to_string()),
            WebhookError::Conflict(why) => Self::new(Code::Conflict, why),
            WebhookError::Store(error) => error.into(),
            other => {
                let error = postq_core::error::chain(&other);
                tracing::error!(error, "a webhook's secret could not be sealed");
                Self::new(Code::Internal, "the webhook's secret could not be sealed")
            }
        }
    }
}
