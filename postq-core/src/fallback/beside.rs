//! What runs beside the stores, in one bundle.

use std::sync::Arc;

use crate::backend::Backend;
use crate::composed::Composed;
use crate::fallback::breaker::Breaker;
use crate::fallback::limiter::{FallbackLimiter, LimiterMode};
use crate::fallback::queue::FallbackQueue;
use crate::limiter::RateLimiter;
use crate::lock::DedupeLock;
use crate::queue::Queue;

/// A fast service beside the stores, that may be away at any moment.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Its queue; none where the stores do without one.
    pub queue: Option<Arc<dyn Queue>>,
    /// Its dedupe lock. Callers go on without a lock that does not answer.
    pub lock: Arc<dyn DedupeLock>,
    /// Its rate limiter.
    pub limiter: Arc<dyn RateLimiter>,
}

impl Beside {
    /// The stores with the service beside them. Queue and limiter share the breaker, whose state tells
    /// whether the service is used; `mode` is where all nodes agree on the limiter.
    pub fn over(self, stores: Backend, mode: Arc<dyn LimiterMode>, breaker: &Breaker) -> Backend {
        let limiter =
            FallbackLimiter::new(self.limiter, stores.limiter.clone(), mode, breaker.clone());
        let stores = Backend { lock: self.lock, limiter: Arc::new(limiter), ..stores };
        match self.queue {
            Some(queue) => {
                Composed::backend(Arc::new(FallbackQueue::new(queue, breaker.clone())), stores)
            }
            None => stores,
        }
    }
}
