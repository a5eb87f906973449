//! Going on without a service that is away: a fast queue and a fast limiter beside the store.
//!
//! A [`Breaker`] watches the calls to the service. After a few failures in a row it opens: from then on
//! nobody waits for the service, and now and then one call, with a short time-out, finds out whether it
//! is back. [`FallbackQueue`] is an empty queue meanwhile (the store gives its jobs by itself, and the
//! sweeper fills the queue again); [`FallbackLimiter`] hands over to the store's limiter, on all nodes
//! together. Both share the breaker of their service; [`Beside`] puts them together.
//!
//! ```
//! use std::sync::Arc;
//!
//! use postq_core::clock::SystemClock;
//! use postq_core::fallback::{Breaker, BreakerSettings, FallbackQueue};
//! use postq_core::memory::MemoryQueue;
//!
//! let breaker = Breaker::new("redis", BreakerSettings::default());
//! let fast = Arc::new(MemoryQueue::new(Arc::new(SystemClock)));
//! let queue = FallbackQueue::new(fast, breaker.clone());
//! assert!(breaker.state().is_closed(), "not degraded");
//! ```

mod beside;
mod breaker;
mod limiter;
mod queue;

pub use self::beside::Beside;
pub use self::breaker::{Breaker, BreakerSettings, BreakerState};
pub use self::limiter::{FallbackLimiter, LimiterMode, LocalMode, Mode, Source};
pub use self::queue::FallbackQueue;
