//! Idempotency keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::StoreError;
use crate::idempotency::{Begun, IdempotencyStore, KeptAnswer, KeyedRequest};
use crate::job::Applied;

/// An [`IdempotencyStore`] in memory: the reference. Clones share what they keep.
#[derive(Clone, Debug)]
pub struct MemoryIdempotency {
    clock: Arc<dyn Clock>,
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    fingerprint: [u8; 32],
    id: Uuid,
    leased_until: DateTime<Utc>,
    kept_until: DateTime<Utc>,
    answer: Option<KeptAnswer>,
}

impl MemoryIdempotency {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, kept: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Kept)) -> Applied {
        match self.lock().get_mut(key) {
            Some(kept) if kept.answer.is_some() => Applied::Stale,
            Some(kept) => {
                change(kept);
                Applied::Applied
            }
            None => Applied::Gone,
        }
    }
}

#[async_trait]
impl IdempotencyStore for MemoryIdempotency {
    async fn begin(&self, request: &KeyedRequest) -> Result<Begun, StoreError> {
        let now = self.clock.now();
        let mut all = self.lock();
        all.retain(|_, kept| kept.kept_until > now);
        let Some(kept) = all.get_mut(&request.key) else {
            let kept = Kept {
                fingerprint: request.fingerprint,
                id: request.id,
                leased_until: now + request.lease,
                kept_until: now + request.keep,
                answer: None,
            };
            all.insert(request.key.clone(), kept);
            return Ok(Begun::Do(request.id));
        };
        if kept.fingerprint != request.fingerprint {
            return Ok(Begun::Other);
        }
        if let Some(answer) = &kept.answer {
            return Ok(Begun::Answered(answer.clone()));
        }
        if kept.leased_until > now {
            return Ok(Begun::Running);
        }
        kept.leased_until = now + request.lease;
        Ok(Begun::Do(kept.id))
    }

    async fn answer(&self, key: &str, answer: &KeptAnswer) -> Result<Applied, StoreError> {
        Ok(self.change(key, |kept| kept.answer = Some(answer.clone())))
    }

    async fn abandon(&self, key: &str) -> Result<Applied, StoreError> {
        let now = self.clock.now();
        Ok(self.change(key, |kept| kept.leased_until = now))
    }
}
