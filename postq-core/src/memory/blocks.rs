//! What stands still.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::job::Lane;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::store::{Block, BlockReason, BlockStore};

#[async_trait]
impl BlockStore for MemoryBackend {
    async fn block(&self, block: &Block) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.blocks.insert((block.scope.clone(), block.reason), block.clone());
        drop(state);
        // The one that it replaces may have been longer.
        self.changed();
        Ok(())
    }

    async fn lift(&self, scope: &str, reason: BlockReason) -> Result<(), StoreError> {
        self.lock().blocks.remove(&(scope.to_owned(), reason));
        self.changed();
        Ok(())
    }

    async fn blocks(&self) -> Result<Vec<Block>, StoreError> {
        let now = self.time();
        let mut state = self.lock();
        state.blocks.retain(|_, block| is_in_force(block, now));
        Ok(state.blocks.values().cloned().collect())
    }
}

impl State {
    /// Whether a lane is blocked, and until when: none without an end.
    pub(super) fn blocked(&self, lane: &Lane, now: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
        let blocks = self.blocks.values();
        let ends = blocks.filter(|b| is_in_force(b, now) && covers(b, lane)).map(|b| b.until);
        // Of several the longest counts, and one without an end is the longest.
        ends.reduce(|one, other| Some(one?.max(other?)))
    }
}

fn is_in_force(block: &Block, now: DateTime<Utc>) -> bool {
    block.until.is_none_or(|until| until > now)
}

fn covers(block: &Block, lane: &Lane) -> bool {
    let scope = block.scope.as_str();
    scope == lane.as_str() || (scope.ends_with('/') && lane.as_str().starts_with(scope))
}
