//! What stands still.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::id::JobId;
use crate::job::Lane;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::store::{Block, BlockReason, BlockStore};

/// A block as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    block: Block,
    /// After its end: the job that goes first, and how long the others wait for it.
    asking: Option<(JobId, DateTime<Utc>)>,
}

impl Standing {
    /// Until when it holds back what it covers: none without an end; nothing if it does not.
    fn holds_back(&self, now: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
        let asking = self.asking.map(|(_, until)| Some(until));
        let ends = [Some(self.block.until), asking].into_iter().flatten();
        ends.filter(|end| end.is_none_or(|end| end > now)).max_by_key(|end| (end.is_none(), *end))
    }

    fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.block.until.is_none_or(|until| until > now)
    }

    fn covers(&self, lane: &Lane) -> bool {
        let scope = self.block.scope.as_str();
        scope == lane.as_str() || (scope.ends_with('/') && lane.as_str().starts_with(scope))
    }
}

#[async_trait]
impl BlockStore for MemoryBackend {
    async fn block(&self, block: &Block) -> Result<(), StoreError> {
        let mut state = self.lock();
        let standing = Standing { block: block.clone(), asking: None };
        state.blocks.insert((block.scope.clone(), block.reason), standing);
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
        state.blocks.retain(|_, known| known.is_in_force(now) || known.block.asks_first());
        let in_force = state.blocks.values().filter(|known| known.is_in_force(now));
        Ok(in_force.map(|known| known.block.clone()).collect())
    }
}

impl State {
    /// Whether a lane is blocked, and until when: none without an end.
    pub(super) fn blocked(&self, lane: &Lane, now: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
        let blocks = self.blocks.values().filter(|known| known.covers(lane));
        // Of several the longest counts, and one without an end is the longest.
        let ends = blocks.filter_map(|known| known.holds_back(now));
        ends.reduce(|one, other| Some(one?.max(other?)))
    }

    /// A job is taken from an open lane. If its app had been asked to wait it goes first, and the others
    /// wait for it until then.
    pub(super) fn begin_asking(&mut self, job: JobId, lane: Option<&Lane>, until: DateTime<Utc>) {
        let Some(lane) = lane else { return };
        let covering = self.blocks.values_mut().filter(|known| known.covers(lane));
        for known in covering.filter(|known| known.block.asks_first()) {
            known.asking = Some((job, until));
        }
    }

    /// A job has settled. If it went first, its success lets its app go on, and any other end lets the
    /// next one go first.
    pub(super) fn end_asking(&mut self, job: JobId, succeeded: bool) {
        self.blocks.retain(|_, known| {
            let went_first = known.asking.is_some_and(|(asking, _)| asking == job);
            if went_first {
                known.asking = None;
            }
            !(went_first && succeeded)
        });
    }
}
