//! `/api/events`.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{KeepAlive, KeepAliveStream, Sse};
use tokio_util::sync::CancellationToken;

use crate::events::{Events, JobHappened};
use crate::guard::access::{Claim, Trusted, caller};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::serve::Stopping;
use crate::web::App;

/// A sign of life so often while nothing happens.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// So often it is looked whether whoever listens still may.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Some proxies keep an answer back until it is whole.
const AT_ONCE: [(HeaderName, &str); 1] = [(HeaderName::from_static("x-accel-buffering"), "no")];

type Stream = ([(HeaderName, &'static str); 1], Sse<KeepAliveStream<Events>>);

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(events));
}

/// What becomes of each attempt, as it happens (server-sent events).
///
/// `job.succeeded`, `job.retrying`, `job.waiting`, `job.dead`, `job.missed`, each with an id: of this
/// process at once, of others on the same store within about two seconds (but for `job.waiting`). A client
/// that comes back with `Last-Event-ID` gets what it missed, even if it has heard nothing (a stream begins
/// with an id); where that is gone, `reset` comes first: load what you show again. What a platform tells by
/// itself of one of the accounts (see `/api/incoming/{platform}`) comes as `platform.event`, with `at`,
/// `platform`, `kind`, `account`, `account_name` and `remote_id`. A stream ends after five minutes, within 15
/// seconds of its token being revoked, and for a client that does not keep up: come back.
#[utoipa::path(get, path = "/api/events", tag = "events", operation_id = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event")),
    security(("token" = ["read"])),
    responses((status = 200, description = "events", body = JobHappened,
        content_type = "text/event-stream")))]
async fn events(
    State(app): State<App>,
    stopping: Option<Extension<Stopping>>,
    trusted: Option<Extension<Trusted>>,
    claim: Claim,
    headers: HeaderMap,
) -> Result<Stream, Problem> {
    let stop = stopping.map_or_else(CancellationToken::new, |stopping| stopping.0.0.child_token());
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    app.hub.start(&app.web.engine, app.desk.tenant(), &app.web.clock).await;
    let stream =
        app.hub.stream(last.filter(|id| !id.is_empty()), stop.clone()).ok_or_else(|| {
            let most = app.web.settings.most_streams;
            Problem::new(Code::TooManyStreams, format!("{most} event streams are open")).after(5)
        })?;
    if trusted.is_none() {
        tokio::spawn(ended_with_its_token(app, claim, stop));
    }
    Ok((AT_ONCE, Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE_EVERY))))
}

/// Ends a stream whose caller may not listen any more. A store that does not answer ends none.
async fn ended_with_its_token(app: App, claim: Claim, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        if matches!(caller(&app, &claim).await, Ok(None)) {
            return stop.cancel();
        }
    }
}
