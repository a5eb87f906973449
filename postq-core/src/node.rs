//! Nodes: which processes share a store, and how each of them is.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::id::NodeId;
use crate::job::Topic;

/// What a node tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id: another one with each start.
    pub id: NodeId,
    /// The name of its host; empty if it does not know.
    #[serde(default)]
    pub host: String,
    /// The number of its process there.
    #[serde(default)]
    pub pid: u32,
    /// The version that it runs.
    #[serde(default)]
    pub version: String,
    /// What it is there for, in words: `planner`, `worker`, `web`.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The topics that it works on.
    #[serde(default)]
    pub topics: Vec<NodeTopic>,
    /// The ids of the keys that it opens credentials with.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Its loops.
    #[serde(default)]
    pub loops: Vec<NodeLoop>,
    /// When it started, by its own clock.
    pub started_at: DateTime<Utc>,
    /// It tells so often.
    pub every: Duration,
    /// It ended in good order, and this is the last that is heard of it.
    #[serde(default)]
    pub stopped: bool,
}

/// A topic that a node works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTopic {
    /// The topic.
    pub topic: Topic,
    /// Attempts that may run at once.
    pub at_once: usize,
}

/// How a loop of a node is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLoop {
    /// Its name.
    pub name: String,
    /// The longest time between two rounds when nothing happens.
    pub every: Duration,
    /// When it last succeeded, by the node's clock; none before its first round.
    pub last_success: Option<DateTime<Utc>>,
    /// What its last round failed with; none if it succeeded.
    pub error: Option<String>,
}

impl NodeLoop {
    /// Whether its last success is no older than three rounds.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.last_success.is_some_and(|at| now <= at + self.every * 3)
    }
}

/// A node, and when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNode {
    /// What it told.
    pub node: Node,
    /// When, by the store's clock.
    pub seen_at: DateTime<Utc>,
}

/// How a node stands, by what is heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It tells of itself.
    Up,
    /// It ended in good order.
    Stopped,
    /// Nothing was heard of it for three times as long as it takes to tell.
    Gone,
}

impl SeenNode {
    /// How it stands at this time of the store's clock.
    pub fn state(&self, now: DateTime<Utc>) -> NodeState {
        if self.node.stopped {
            NodeState::Stopped
        } else if now > self.seen_at + self.node.every * 3 {
            NodeState::Gone
        } else {
            NodeState::Up
        }
    }
}

/// Keeps what the nodes that share a store tell of themselves.
///
/// # Contract
///
/// 1. What a node tells takes the place of what it told before, under the store's time.
///    (`a_node_has_one_entry`)
/// 2. `list` shows all of them, oldest id first.  (`nodes_are_listed_by_id`)
/// 3. `forget` takes away those of which nothing was heard for so long, and no other; it answers how
///    many. One that tells again is back.  (`a_silent_node_is_forgotten`)
///
/// Each rule is a public test in `conformance::node`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait NodeStore: fmt::Debug + Send + Sync + 'static {
    /// Takes down what a node tells.
    async fn tell(&self, node: &Node) -> Result<(), StoreError>;

    /// All nodes that are not forgotten.
    async fn list(&self) -> Result<Vec<SeenNode>, StoreError>;

    /// Forgets the silent ones.
    async fn forget(&self, silent_for: Duration) -> Result<u64, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn NodeStore) = |_| {};

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_node_is_gone_after_three_intervals_and_not_sooner() {
        let at = DateTime::UNIX_EPOCH;
        let node = Node {
            id: NodeId::new(),
            host: String::new(),
            pid: 1,
            version: String::new(),
            roles: Vec::new(),
            topics: Vec::new(),
            keys: Vec::new(),
            loops: Vec::new(),
            started_at: at,
            every: Duration::from_secs(30),
            stopped: false,
        };
        let seen = SeenNode { node, seen_at: at };

        assert_eq!(seen.state(at + TimeDelta::seconds(90)), NodeState::Up);
        assert_eq!(seen.state(at + TimeDelta::seconds(91)), NodeState::Gone);
        let stopped = SeenNode { node: Node { stopped: true, ..seen.node }, ..seen };
        assert_eq!(stopped.state(at + TimeDelta::days(1)), NodeState::Stopped);
    }

    #[test]
    fn what_an_older_version_told_can_be_read() {
        let old = serde_json::json!({
            "id": NodeId::new(), "started_at": DateTime::UNIX_EPOCH, "every": {"secs": 30, "nanos": 0},
            "of_another_version": true,
        });

        let node: Node = serde_json::from_value(old).unwrap();

        assert_eq!((node.every, node.stopped), (Duration::from_secs(30), false));
    }
}
