//! The cache.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::cache::{Cache, Make};
use crate::clock::Clock;

/// A value and its end; behind a lock of its own, held while it is made.
type Slot = Arc<tokio::sync::Mutex<Option<(Vec<u8>, DateTime<Utc>)>>>;

/// A cache in memory, of at most so many values.
#[derive(Debug)]
pub struct MemoryCache {
    clock: Arc<dyn Clock>,
    capacity: usize,
    slots: Mutex<BTreeMap<String, Slot>>,
}

impl MemoryCache {
    /// Values kept by default.
    pub const CAPACITY: usize = 10_000;

    /// An empty cache of [`CAPACITY`](Self::CAPACITY) values.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_capacity(clock, Self::CAPACITY)
    }

    /// An empty cache of `capacity` values. Full, it forgets what has ended, and if that makes no
    /// room, all that nobody is waiting for.
    pub fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self { clock, capacity, slots: Mutex::new(BTreeMap::new()) }
    }

    fn slot(&self, key: &str) -> Slot {
        let now = self.clock.now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= self.capacity && !slots.contains_key(key) {
            slots.retain(|_, slot| is_in_use(slot) || !has_ended(slot, now));
            if slots.len() >= self.capacity {
                slots.retain(|_, slot| is_in_use(slot));
            }
        }
        slots.entry(key.to_owned()).or_default().clone()
    }
}

fn is_in_use(slot: &Slot) -> bool {
    Arc::strong_count(slot) > 1
}

fn has_ended(slot: &Slot, now: DateTime<Utc>) -> bool {
    slot.try_lock().is_ok_and(|value| value.as_ref().is_none_or(|(_, ends)| *ends <= now))
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get_or_set(&self, key: &str, ttl: Duration, make: Make) -> Option<Vec<u8>> {
        let slot = self.slot(key);
        let mut value = slot.lock().await;
        if let Some((bytes, ends)) = &*value
            && *ends > self.clock.now()
        {
            return Some(bytes.clone());
        }
        *value = None;
        let made = make().await?;
        *value = Some((made.clone(), self.clock.now() + ttl));
        Some(made)
    }

    async fn forget(&self, key: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn it_never_holds_more_than_its_capacity() {
        let cache = MemoryCache::with_capacity(Arc::new(SystemClock), 3);
        let make = || -> Make { Box::new(|| Box::pin(async { Some(vec![1]) })) };

        for n in 0..50 {
            let ttl = Duration::from_secs(n % 2 * 60);
            cache.get_or_set(&n.to_string(), ttl, make()).await;
            assert!(cache.slots.lock().unwrap().len() <= 3);
        }
    }
}
