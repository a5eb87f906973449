//! The rules of [`NodeStore`].

use std::sync::Arc;
use std::time::Duration;

use chrono::SubsecRound;
use uuid::Uuid;

use super::{SHORT_LEASE, eventually};
use crate::clock::{Clock, SystemClock};
use crate::id::NodeId;
use crate::job::Topic;
use crate::node::{Node, NodeLoop, NodeState, NodeStore, NodeTopic, SeenNode};

/// Writes one test per rule of [`NodeStore`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! node_conformance {
    ($fresh:expr) => {
        mod node_rules {
            $crate::conformance_rules! { $fresh, node {
                a_node_has_one_entry,
                nodes_are_listed_by_id,
                a_silent_node_is_forgotten,
            } }
        }
    };
}

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(3_600);

fn node(id: u64) -> Node {
    let started_at = SystemClock.now().trunc_subsecs(6);
    let beat = NodeLoop {
        name: "planner".to_owned(),
        every: Duration::from_millis(30_500),
        last_success: Some(started_at),
        error: Some("no answer from \"żółw\"".to_owned()),
    };
    Node {
        id: NodeId::from_uuid(Uuid::from_u64_pair(id, 0)),
        host: "straße-7".to_owned(),
        pid: u32::MAX,
        version: "0.1.0".to_owned(),
        roles: vec!["planner".to_owned(), "web".to_owned()],
        topics: vec![NodeTopic { topic: Topic::publish(), at_once: 512 }],
        keys: vec!["0a1b2c3d".to_owned()],
        loops: vec![beat],
        started_at,
        every: Duration::from_secs(30),
        stopped: false,
    }
}

async fn listed(nodes: &dyn NodeStore) -> Vec<SeenNode> {
    nodes.list().await.expect("list")
}

/// What a node tells takes the place of what it told before, under the store's time.
pub async fn a_node_has_one_entry(nodes: Arc<dyn NodeStore>) {
    let told = node(1);
    nodes.tell(&told).await.expect("tell");
    let first = listed(&*nodes).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].node, told);
    assert_eq!(first[0].state(first[0].seen_at), NodeState::Up);

    let again = Node { loops: Vec::new(), stopped: true, ..told };
    // By the store's time, which only has to move.
    eventually("the time moves on", async || {
        nodes.tell(&again).await.expect("tell again");
        let now = listed(&*nodes).await;
        assert_eq!(now.len(), 1);
        assert_eq!(now[0].node, again);
        (now[0].seen_at > first[0].seen_at).then_some(())
    })
    .await;
}

/// The list shows all of them, oldest id first.
pub async fn nodes_are_listed_by_id(nodes: Arc<dyn NodeStore>) {
    assert_eq!(listed(&*nodes).await, []);
    for id in [2, 3, 1] {
        nodes.tell(&node(id)).await.expect("tell");
    }

    let ids: Vec<_> = listed(&*nodes).await.into_iter().map(|seen| seen.node.id).collect();

    assert_eq!(ids, [node(1).id, node(2).id, node(3).id]);
}

/// A node of which nothing was heard for so long is forgotten, and no other; one that tells again is
/// back.
pub async fn a_silent_node_is_forgotten(nodes: Arc<dyn NodeStore>) {
    nodes.tell(&node(1)).await.expect("tell");
    assert_eq!(nodes.forget(LONG).await.expect("forget"), 0, "it has just told");

    tokio::time::sleep(SHORT_LEASE).await;
    nodes.tell(&node(2)).await.expect("tell");
    let forgotten = nodes.forget(SHORT_LEASE / 2).await.expect("forget");

    assert!(forgotten >= 1, "the first one was silent");
    assert!(!listed(&*nodes).await.iter().any(|seen| seen.node.id == node(1).id));
    nodes.tell(&node(1)).await.expect("tell again");
    assert_eq!(nodes.forget(LONG).await.expect("forget"), 0);
    assert!(listed(&*nodes).await.iter().any(|seen| seen.node.id == node(1).id));
}
