//! Telling the other nodes that this one is there.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::chain;
use postq_core::node::{Node, NodeStore, NodeTopic};
use tokio::time::Instant;

use crate::engine::Shared;

/// A node tells of itself so often: a row that is written twice a minute costs nothing.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// One of which nothing was heard for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(86_400);

const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// What a node tells of itself besides how it works. The engine knows neither its host nor its roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The name of its host; empty if nobody knows.
    pub host: String,
    /// The number of its process there.
    pub pid: u32,
    /// The version that it runs.
    pub version: String,
    /// What it is there for, in words.
    pub roles: Vec<String>,
    /// The ids of the keys that it opens credentials with.
    pub keys: Vec<String>,
}

/// What an engine tells of itself, and where.
#[derive(Debug)]
pub(crate) struct Presence {
    /// None where nobody asks.
    pub(crate) nodes: Option<Arc<dyn NodeStore>>,
    pub(crate) facts: NodeFacts,
    pub(crate) started_at: DateTime<Utc>,
}

/// Tells of this node every so often, in the rhythm of whoever owns this: when it last did.
#[derive(Debug, Default)]
pub(crate) struct Announcer(Option<Instant>);

impl Announcer {
    /// Tells if it is time to. It is nobody's work: a failure is no error of the round, and is tried
    /// again with the next one.
    pub(crate) async fn again(&mut self, shared: &Shared) {
        if self.0.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        if tell(shared, false).await {
            self.0 = Some(Instant::now());
        }
    }
}

/// Says that the node ended in good order. A store that is away keeps nobody from ending: the node is
/// `gone` then.
pub(crate) async fn farewell(shared: &Shared) {
    let _ = tokio::time::timeout(FAREWELL_WITHIN, tell(shared, true)).await;
}

/// Forgets those that were silent for long.
pub(crate) async fn forget(shared: &Shared) {
    let Some(nodes) = &shared.presence.nodes else { return };
    if let Err(error) = shared.bounded("forget nodes", nodes.forget(FORGOTTEN_AFTER)).await {
        tracing::debug!(error = %chain(&error), "silent nodes were not forgotten");
    }
}

async fn tell(shared: &Shared, stopped: bool) -> bool {
    let Some(nodes) = &shared.presence.nodes else { return true };
    let node = node(shared, stopped);
    match shared.bounded("tell of a node", nodes.tell(&node)).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(error = %chain(&error), "the others were not told of this node");
            false
        }
    }
}

/// What there is to tell now.
pub(crate) fn node(shared: &Shared, stopped: bool) -> Node {
    let NodeFacts { host, pid, version, roles, keys } = shared.presence.facts.clone();
    let topics = shared.settings.topics.iter();
    Node {
        id: shared.node,
        host,
        pid,
        version,
        roles,
        keys,
        topics: topics
            .map(|workers| NodeTopic { topic: workers.topic.clone(), at_once: workers.at_once })
            .collect(),
        loops: shared.health.loops().into_values().collect(),
        started_at: shared.presence.started_at,
        every: EVERY,
        stopped,
    }
}
