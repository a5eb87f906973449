//! Accounts that are just being connected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::connecting::{Connecting, ConnectingStore};
use crate::error::{ErrorKind, StoreError};

type Kept = BTreeMap<[u8; 32], (Connecting, DateTime<Utc>)>;

/// A [`ConnectingStore`] in memory: the reference. Clones share what they keep.
#[derive(Clone, Debug)]
pub struct MemoryConnecting {
    clock: Arc<dyn Clock>,
    kept: Arc<Mutex<Kept>>,
}

impl MemoryConnecting {
    /// An empty one, by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kept: Arc::default() }
    }
}

#[async_trait]
impl ConnectingStore for MemoryConnecting {
    async fn begin(&self, connecting: &Connecting, keep: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (_, until)| *until > now);
        if kept.contains_key(&connecting.state) {
            let action = "begin to connect an account: the state is in use";
            return Err(StoreError::new(ErrorKind::Conflict, action));
        }
        kept.insert(connecting.state, (connecting.clone(), now + keep));
        Ok(())
    }

    async fn take(&self, state: &[u8; 32]) -> Result<Option<Connecting>, StoreError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = kept.remove(state);
        let now = self.clock.now();
        Ok(taken.filter(|(_, until)| *until > now).map(|(connecting, _)| connecting))
    }
}
