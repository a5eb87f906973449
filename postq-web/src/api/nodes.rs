//! `/api/nodes`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use postq_core::id::NodeId;
use postq_core::job::Job;
use postq_core::machine::JobState;
use postq_core::node::{Node, NodeLoop, NodeState, SeenNode};
use postq_core::store::{JobFilter, Page};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::Problem;
use crate::router::{Route, route};
use crate::web::App;

/// Running jobs that are looked at, of all nodes.
const MOST_RUNNING: usize = 1_000;

/// Running jobs that are shown of one node; the others are counted.
const MOST_SHOWN: usize = 50;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(nodes));
}

/// The nodes that share the store.
#[derive(Debug, Serialize, ToSchema)]
struct Nodes {
    items: Vec<NodeView>,
    /// The node that answers.
    answered_by: Uuid,
}

/// A running engine.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeView {
    id: Uuid,
    /// `up`, `stopped` (in good order) or `gone` (nothing is heard of it).
    #[schema(value_type = String)]
    state: NodeState,
    host: String,
    pid: u32,
    version: String,
    /// What it is there for.
    #[schema(example = json!(["planner", "worker", "web"]))]
    roles: Vec<String>,
    /// The topics that it works on.
    topics: Vec<NodeTopic>,
    started_at: DateTime<Utc>,
    /// When it last told of itself.
    seen_at: DateTime<Utc>,
    /// Its loops, as it last told.
    loops: Vec<LoopView>,
    /// How many jobs run on it; at most 1,000 are counted, of all nodes together.
    running: usize,
    /// The first of them.
    running_jobs: Vec<RunningJob>,
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
    /// Whether it had succeeded within three rounds when this was told.
    fresh: bool,
    /// What its last round failed with.
    error: Option<String>,
}

/// A job that runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct RunningJob {
    id: Uuid,
    topic: String,
    account_id: Option<Uuid>,
    attempt: u32,
    started_at: Option<DateTime<Utc>>,
}

impl From<&Job> for RunningJob {
    fn from(job: &Job) -> Self {
        Self {
            id: job.id().as_uuid(),
            topic: job.made.topic.to_string(),
            account_id: job.made.account_id.map(|id| id.as_uuid()),
            attempt: job.attempt,
            started_at: job.started_at,
        }
    }
}

/// Shows the nodes that share the store: what each works on, what runs on it, how its loops are.
///
/// A node tells of itself every 30 s, when it starts and when it ends. One of which nothing was heard for
/// three times as long is `gone`; after a day it is forgotten.
#[utoipa::path(get, path = "/api/nodes", tag = "operation", operation_id = "nodes",
    security(("token" = ["read"])),
    responses((status = 200, description = "the nodes", body = Nodes)))]
async fn nodes(State(app): State<App>) -> Result<Json<Nodes>, Problem> {
    let engine = &app.web.engine;
    let backend = engine.backend();
    let now = backend.jobs.now().await?;
    let filter = JobFilter { states: vec![JobState::Running], ..JobFilter::default() };
    let page = Page::first(MOST_RUNNING);
    let mut running: BTreeMap<NodeId, Vec<Job>> = BTreeMap::new();
    for job in backend.jobs.list(app.desk.tenant(), &filter, page).await? {
        if let Some(node) = job.node {
            running.entry(node).or_default().push(job);
        }
    }
    let mut seen = match engine.nodes() {
        Some(nodes) => nodes.list().await?,
        None => Vec::new(),
    };
    // Of itself it knows more than it last told.
    let own = SeenNode { node: engine.told(), seen_at: now };
    match seen.iter_mut().find(|seen| seen.node.id == own.node.id) {
        Some(known) => *known = own,
        None if !own.node.loops.is_empty() => seen.push(own),
        None => {} // it only answers: its engine does not run
    }
    let jobs = |id| running.get(&id).map(Vec::as_slice).unwrap_or_default();
    let items = seen.into_iter().map(|seen| {
        let running = jobs(seen.node.id);
        view(seen, now, running)
    });
    Ok(Json(Nodes { items: items.collect(), answered_by: engine.node().as_uuid() }))
}

fn view(seen: SeenNode, now: DateTime<Utc>, running: &[Job]) -> NodeView {
    let (state, seen_at) = (seen.state(now), seen.seen_at);
    let Node { id, host, pid, version, roles, topics, loops, started_at, .. } = seen.node;
    let topic = |told: postq_core::node::NodeTopic| NodeTopic {
        topic: told.topic.to_string(),
        at_once: told.at_once,
    };
    NodeView {
        id: id.as_uuid(),
        state,
        host,
        pid,
        version,
        roles,
        topics: topics.into_iter().map(topic).collect(),
        started_at,
        seen_at,
        loops: loops.into_iter().map(|told| loop_view(told, seen_at)).collect(),
        running: running.len(),
        running_jobs: running.iter().take(MOST_SHOWN).map(RunningJob::from).collect(),
    }
}

fn loop_view(told: NodeLoop, at: DateTime<Utc>) -> LoopView {
    LoopView {
        fresh: told.is_fresh(at),
        every_ms: u64::try_from(told.every.as_millis()).unwrap_or(u64::MAX),
        name: told.name,
        last_success: told.last_success,
        error: told.error,
    }
}
