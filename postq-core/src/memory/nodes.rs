//! Nodes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::error::StoreError;
use crate::id::NodeId;
use crate::node::{Node, NodeStore, SeenNode};

/// A [`NodeStore`] in memory: the reference. Clones share what they keep.
#[derive(Clone, Debug)]
pub struct MemoryNodes {
    clock: Arc<dyn Clock>,
    nodes: Arc<Mutex<BTreeMap<NodeId, SeenNode>>>,
}

impl MemoryNodes {
    /// None yet; this clock tells when each is seen.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, nodes: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, SeenNode>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl NodeStore for MemoryNodes {
    async fn tell(&self, node: &Node) -> Result<(), StoreError> {
        let seen = SeenNode { node: node.clone(), seen_at: self.clock.now() };
        self.lock().insert(node.id, seen);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<SeenNode>, StoreError> {
        Ok(self.lock().values().cloned().collect())
    }

    async fn forget(&self, silent_for: Duration) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let mut nodes = self.lock();
        let before = nodes.len();
        nodes.retain(|_, seen| now < seen.seen_at + silent_for);
        Ok((before - nodes.len()) as u64)
    }
}
