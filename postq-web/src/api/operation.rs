//! How the installation is: statistics, the queue, nodes, and the document itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use postq_calendar::zone;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::document::{self, Shown};
use crate::health::{self, Ready};
use crate::problem::Problem;
use crate::router::{Route, route};
use crate::tally;
use crate::web::{App, Shared};

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(stats));
    add(route!(queue_health));
    add(route!(nodes));
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
#[utoipa::path(get, path = "/api/posts/scheduler/stats", tag = "operation",
    operation_id = "scheduler_stats", security(("token" = ["read"])),
    responses((status = 200, description = "by topic", body = Stats)))]
async fn stats(State(app): State<App>) -> Result<Json<Stats>, Problem> {
    let now = app.web.engine.backend().jobs.now().await?;
    let mut topics = Vec::new();
    for topic in tally::topics(&app) {
        let tally = tally::tally(&app, &topic, &[], now).await?;
        topics.push(TopicStats {
            topic: topic.to_string(),
            waiting: tally.waiting,
            waiting_at_least: tally.waiting_at_least,
            active: tally.active,
            completed: tally.completed,
            failed: tally.failed,
            delayed: tally.delayed,
        });
    }
    Ok(Json(Stats { topics, at: now }))
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

/// The nodes that answer.
#[derive(Debug, Serialize, ToSchema)]
struct Nodes {
    items: Vec<NodeView>,
}

/// A running engine.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeView {
    id: Uuid,
    version: &'static str,
    /// Whether it plans.
    plans: bool,
    /// The topics that it works on.
    topics: Vec<NodeTopic>,
    /// Its loops.
    loops: Vec<LoopView>,
}

/// A topic that a node works on.
#[derive(Debug, Serialize, ToSchema)]
struct NodeTopic {
    topic: String,
    /// Attempts that may run at once.
    at_once: usize,
}

/// How a loop is doing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Loop)]
struct LoopView {
    name: String,
    /// The longest time between two rounds, in milliseconds.
    every_ms: u64,
    last_success: Option<DateTime<Utc>>,
    /// Whether it has succeeded within three rounds.
    fresh: bool,
    /// What its last round failed with.
    error: Option<String>,
}

/// Shows the node that answers: what it works on, and when each of its loops last succeeded.
#[utoipa::path(get, path = "/api/nodes", tag = "operation", operation_id = "nodes",
    security(("token" = ["read"])),
    responses((status = 200, description = "the node", body = Nodes)))]
async fn nodes(State(app): State<App>) -> Json<Nodes> {
    let engine = &app.web.engine;
    let now = app.web.clock.now();
    let one = |(name, health): (String, postq_engine::health::LoopHealth)| LoopView {
        name,
        every_ms: u64::try_from(health.every.as_millis()).unwrap_or(u64::MAX),
        last_success: health.last_success,
        fresh: health.is_fresh(now),
        error: health.error,
    };
    let topics = engine.settings().topics.iter();
    let node = NodeView {
        id: engine.node().as_uuid(),
        version: app.web.settings.version,
        plans: engine.settings().plan,
        topics: topics
            .map(|workers| NodeTopic { topic: workers.topic.to_string(), at_once: workers.at_once })
            .collect(),
        loops: engine.health().loops().into_iter().map(one).collect(),
    };
    Json(Nodes { items: vec![node] })
}

/// What this is.
#[derive(Debug, Serialize, ToSchema)]
struct About {
    name: &'static str,
    version: &'static str,
    /// The platforms that are set up here.
    platforms: Vec<String>,
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
        tzdb: zone::tzdb_version(),
    })
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
