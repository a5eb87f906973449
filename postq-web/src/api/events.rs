//! `/api/events`.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{KeepAlive, Sse};
use tokio_util::sync::CancellationToken;

use crate::events::{Events, JobHappened};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::serve::Stopping;
use crate::web::App;

/// A sign of life so often while nothing happens.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(events));
}

/// What becomes of each attempt, as it happens (server-sent events).
///
/// `job.succeeded`, `job.retrying`, `job.waiting`, `job.dead`, `job.missed`, each with an id: of this
/// process at once, of others on the same store within about two seconds (but for `job.waiting`). A client
/// that comes back with `Last-Event-ID` gets what it missed; where that is gone, `reset` comes first:
/// load what you show again. What a platform tells by itself of one of the accounts (see
/// `/api/incoming/{platform}`) comes as `platform.event`, with `at`, `platform`, `kind`, `account`,
/// `account_name` and `remote_id`. A stream ends after five minutes, and for a client that does not keep up:
/// come back.
#[utoipa::path(get, path = "/api/events", tag = "events", operation_id = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event")),
    security(("token" = ["read"])),
    responses((status = 200, description = "events", body = JobHappened,
        content_type = "text/event-stream")))]
async fn events(
    State(app): State<App>,
    stopping: Option<Extension<Stopping>>,
    headers: HeaderMap,
) -> Result<Sse<axum::response::sse::KeepAliveStream<Events>>, Problem> {
    let stop = stopping.map_or_else(CancellationToken::new, |stopping| stopping.0.0.clone());
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    app.hub.start(&app.web.engine, app.desk.tenant(), &app.web.clock).await;
    let stream = app.hub.stream(last.filter(|id| !id.is_empty()), stop).ok_or_else(|| {
        let most = app.web.settings.most_streams;
        Problem::new(Code::TooManyStreams, format!("{most} event streams are open")).after(5)
    })?;
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}
