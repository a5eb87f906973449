//! How the installation is: statistics, the queue, and the document itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use postq_calendar::zone;
use postq_core::platform::PlatformName;
use serde::Serialize;
use utoipa::ToSchema;

use crate::document::{self, Shown};
use crate::health::{self, Ready};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::tally;
use crate::web::{App, Shared};

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(stats));
    add(route!(queue_health));
    add(route!(about));
    add(route!(openapi));
    add(route!(docs));
}

/// Jobs by topic.
#[derive(Debug, Serialize, ToSchema)]
struct Stats {
    topics: Vec<TopicStats>,
    at: DateTime<Utc>,
}

/// The jobs of one topic.
#[derive(Debug, Serialize, ToSchema)]
struct TopicStats {
    topic: String,
    /// Due now and not begun.
    waiting: u64,
    /// `waiting` was counted no further than 10,000.
    waiting_at_least: bool,
    /// Running.
    active: u64,
    /// Succeeded; they are cleaned up after a while.
    completed: u64,
    /// Given up, and nobody has dealt with it.
    failed: u64,
    /// Due later, those that wait for a retry among them.
    delayed: u64,
}

/// Counts jobs by topic: waiting, active, completed, failed, delayed.
///
/// Counted at most once a second, whoever asks; `at` tells when.
#[utoipa::path(get, path = "/api/posts/scheduler/stats", tag = "operation",
    operation_id = "scheduler_stats", security(("token" = ["read"])),
    responses((status = 200, description = "by topic", body = Stats)))]
async fn stats(State(app): State<App>) -> Result<Json<Stats>, Problem> {
    let tallies = tally::tallies(&app).await?;
    let topics = tallies.topics.into_iter().map(|(topic, tally)| TopicStats {
        topic: topic.to_string(),
        waiting: tally.waiting,
        waiting_at_least: tally.waiting_at_least,
        active: tally.active,
        completed: tally.completed,
        failed: tally.failed,
        delayed: tally.delayed,
    });
    Ok(Json(Stats { topics: topics.collect(), at: tallies.at }))
}

/// How the queue is.
#[derive(Debug, Serialize, ToSchema)]
struct QueueHealth {
    health: Ready,
    /// The queue beside the store; null where the store is also the queue.
    queue: Option<Vec<QueueDepth>>,
    /// Jobs that are due and not begun, by topic; at most 10,000 are counted.
    due: BTreeMap<String, u64>,
}

/// What a queue beside the store holds of a topic.
#[derive(Debug, Serialize, ToSchema)]
struct QueueDepth {
    topic: String,
    ready: u64,
    delayed: u64,
    leased: u64,
}

/// Shows how the queue is: what is due, what a queue beside the store holds, what is wrong.
#[utoipa::path(get, path = "/api/queue/health", tag = "operation",
    operation_id = "queue_health", security(("token" = ["read"])),
    responses((status = 200, description = "how it is", body = QueueHealth)))]
async fn queue_health(State(app): State<App>) -> Result<Json<QueueHealth>, Problem> {
    let health = health::ready(&app).await;
    let backend = app.web.engine.backend();
    let now = backend.jobs.now().await?;
    let (mut waiting, mut depths) = (BTreeMap::new(), Vec::new());
    for topic in &tally::topics(&app) {
        waiting.insert(topic.to_string(), tally::due(&app, topic, &[], now).await?.count);
        // A queue that does not answer is in `health`.
        if let Some(Ok(depth)) = match &backend.queue {
            Some(queue) => Some(queue.depth(topic).await),
            None => None,
        } {
            depths.push(QueueDepth {
                topic: topic.to_string(),
                ready: depth.ready,
                delayed: depth.delayed,
                leased: depth.leased,
            });
        }
    }
    let queue = backend.queue.as_ref().map(|_| depths);
    Ok(Json(QueueHealth { health, queue, due: waiting }))
}

/// What this is.
#[derive(Debug, Serialize, ToSchema)]
struct About {
    name: &'static str,
    version: &'static str,
    /// The platforms that are set up here.
    platforms: Vec<String>,
    /// Those of them whose accounts are connected in a browser here: POST /api/accounts/connect/{platform}.
    connects: Vec<String>,
    /// Those of them that take a handle and a password that was made for an app: POST /api/accounts.
    passwords: Vec<String>,
    /// The version of the time zone database.
    tzdb: &'static str,
}

/// Tells the version and the platforms that are set up here.
#[utoipa::path(get, path = "/api/about", tag = "operation", operation_id = "about",
    security(("token" = ["read"])),
    responses((status = 200, description = "what this is", body = About)))]
async fn about(State(app): State<App>) -> Json<About> {
    Json(About {
        name: "postq",
        version: app.web.settings.version,
        platforms: app.web.engine.platforms().names().map(ToString::to_string).collect(),
        connects: connects(&app),
        passwords: passwords(&app),
        tzdb: zone::tzdb_version(),
    })
}

/// The platforms that are set up to send people back here.
fn connects(app: &Shared) -> Vec<String> {
    let platforms = app.web.engine.platforms();
    let is_set_up = |name: &&PlatformName| {
        let connect = platforms.get(name).and_then(|platform| platform.connect());
        connect.is_some_and(|connect| connect.redirect_uri().is_ok())
            && app.web.connecting.is_some()
    };
    platforms.names().filter(is_set_up).map(ToString::to_string).collect()
}

/// The platforms that are signed in to with a password for an app.
fn passwords(app: &Shared) -> Vec<String> {
    let takes =
        |name: &&PlatformName| app.web.sign_in.as_ref().is_some_and(|sign_in| sign_in.takes(name));
    app.web.engine.platforms().names().filter(takes).map(ToString::to_string).collect()
}

/// The OpenAPI document of this API.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operation", operation_id = "openapi",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object,
        content_type = "application/json")))]
async fn openapi(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], shown(&app).json.clone())
}

/// The same for people.
#[utoipa::path(get, path = "/api/docs", tag = "operation", operation_id = "docs", security(()),
    responses((status = 200, description = "a page", body = String, content_type = "text/html")))]
async fn docs(State(app): State<App>) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, document::policy()),
    ];
    (headers, shown(&app).page.clone())
}

fn shown(app: &Shared) -> &Shown {
    app.document.get_or_init(|| Shown::new(app.web.settings.version))
}
