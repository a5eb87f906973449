//! The in-memory reference backend: what every store means, written for reading.
//!
//! Nothing survives the process. One lock guards all state; everything iterates in order, and with
//! [`MemoryBackend::seeded`] the ids that it makes are decided by the seed: under a paused clock a
//! whole run is repeatable.
//!
//! ```
//! use std::sync::Arc;
//!
//! use postq_core::clock::SystemClock;
//! use postq_core::memory::MemoryBackend;
//!
//! let backend = MemoryBackend::new(Arc::new(SystemClock)).backend();
//! assert!(backend.queue.is_none(), "the store is also the queue");
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::backend::Backend;
use crate::clock::Clock;
use crate::media::{MediaCatalog, UploadStore};

use self::changes::Changes;
use self::ids::Ids;
use self::state::State;

mod accounts;
mod blocks;
mod cache;
mod changes;
mod claim;
mod connecting;
mod control;
mod evidence;
mod feed;
mod idempotency;
mod ids;
mod jobs;
mod lanes;
mod limiter;
mod lock;
mod media;
mod metrics;
mod nodes;
mod posts;
mod publications;
mod queue;
mod schedules;
mod slots;
mod state;
mod tokens;
mod upkeep;
mod webhooks;

pub use self::cache::MemoryCache;
pub use self::connecting::MemoryConnecting;
pub use self::idempotency::MemoryIdempotency;
pub use self::media::MemoryMedia;
pub use self::nodes::MemoryNodes;
pub use self::queue::MemoryQueue;
pub use self::tokens::MemoryTokens;
pub use self::webhooks::MemoryWebhooks;

/// Every store, the job feed, the dedupe lock and the rate limiter over one state in memory. Clones
/// share it.
#[derive(Clone, Debug)]
pub struct MemoryBackend {
    clock: Arc<dyn Clock>,
    /// A `std` mutex: it is never held across an await.
    state: Arc<Mutex<State>>,
    /// The number of the last change: what waiters wait on.
    changes: Changes,
}

impl MemoryBackend {
    /// An empty one; the ids that it makes follow the host's time.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_ids(clock, Ids::Random)
    }

    /// An empty one; the ids of the jobs and publications that it makes itself follow the clock and
    /// are decided by the seed.
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::with_ids(clock, Ids::seeded(seed))
    }

    /// Everything that an engine needs; every call gives the same state.
    pub fn backend(&self) -> Backend {
        let shared = Arc::new(self.clone());
        Backend {
            posts: shared.clone(),
            accounts: shared.clone(),
            blocks: shared.clone(),
            schedules: shared.clone(),
            jobs: shared.clone(),
            control: shared.clone(),
            upkeep: shared.clone(),
            publications: shared.clone(),
            metrics: shared.clone(),
            slots: shared.clone(),
            feed: shared.clone(),
            queue: None,
            lock: shared.clone(),
            limiter: shared,
        }
    }

    /// What is known of media; every call gives the same state.
    pub fn media_catalog(&self) -> Arc<dyn MediaCatalog> {
        Arc::new(self.clone())
    }

    /// How far uploads are.
    pub fn uploads(&self) -> Arc<dyn UploadStore> {
        Arc::new(self.clone())
    }

    fn with_ids(clock: Arc<dyn Clock>, ids: Ids) -> Self {
        Self { clock, state: Arc::new(Mutex::new(State::new(ids))), changes: Changes::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock must not hide what it found.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Wakes whoever waits for a change.
    fn changed(&self) {
        self.changes.bump();
    }
}
