//! When each loop of an engine last succeeded.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postq_core::clock::Clock;
use postq_core::error::chain;
use postq_core::node::NodeLoop;

/// The health of an engine's loops, by name.
#[derive(Clone, Debug)]
pub struct Health {
    loops: Arc<Mutex<BTreeMap<String, NodeLoop>>>,
    clock: Arc<dyn Clock>,
}

impl Health {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { loops: Arc::default(), clock }
    }

    /// How each loop is doing.
    pub fn loops(&self) -> BTreeMap<String, NodeLoop> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every loop has succeeded lately; the engine can do its work.
    pub fn is_ready(&self) -> bool {
        let (loops, now) = (self.loops(), self.clock.now());
        !loops.is_empty() && loops.values().all(|health| health.is_fresh(now))
    }

    pub(crate) fn beat(&self, name: impl Into<String>, every: Duration) -> Beat {
        let name = name.into();
        let fresh = NodeLoop { name: name.clone(), every, last_success: None, error: None };
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        crate::metrics::loop_begins(&name);
        loops.insert(name.clone(), fresh);
        Beat { health: self.clone(), name, failures: 0 }
    }
}

/// One loop's line in the health report, and its backoff.
#[derive(Debug)]
pub(crate) struct Beat {
    health: Health,
    name: String,
    failures: u32,
}

impl Beat {
    /// A round went well.
    pub(crate) fn ok(&mut self) {
        if self.failures > 0 {
            tracing::info!(loop_name = %self.name, "recovered");
        }
        self.failures = 0;
        let now = self.health.clock.now();
        self.write(|health| {
            health.last_success = Some(now);
            health.error = None;
        });
    }

    /// A round failed; answers how long to wait before the next one: from 100 ms, doubling, at most 5 s
    /// (so that a loop is back within 5 s of its backend), times a sample from [0.5, 1).
    pub(crate) fn failed(&mut self, error: &(dyn Error + 'static), sample: f64) -> Duration {
        let text = chain(error);
        crate::metrics::round_failed(&self.name);
        if self.failures == 0 {
            tracing::warn!(loop_name = %self.name, error = %text, "a round failed; trying again");
        }
        self.write(|health| health.error = Some(text));
        let wait = Duration::from_millis(100) * (1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        wait.min(Duration::from_secs(5)).mul_f64(0.5 + sample / 2.0)
    }

    fn write(&self, change: impl FnOnce(&mut NodeLoop)) {
        let mut loops = self.health.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = loops.get_mut(&self.name) {
            change(health);
        }
    }
}

#[cfg(test)]
mod tests {
    use postq_core::clock::SystemClock;
    use postq_core::error::{ErrorKind, StoreError};

    use super::*;

    #[test]
    fn an_engine_is_ready_when_every_loop_has_succeeded() {
        let health = Health::new(Arc::new(SystemClock));
        assert!(!health.is_ready(), "without loops nothing works");
        let mut planner = health.beat("planner", Duration::from_secs(30));
        let mut worker = health.beat("worker", Duration::from_secs(30));

        planner.ok();
        assert!(!health.is_ready());
        worker.ok();
        assert!(health.is_ready());
    }

    #[test]
    fn the_backoff_grows_to_five_seconds_and_starts_again() {
        let health = Health::new(Arc::new(SystemClock));
        let mut beat = health.beat("worker", Duration::from_secs(30));
        let error = StoreError::new(ErrorKind::Unavailable, "claim jobs");

        let waits: Vec<_> = (0..8).map(|_| beat.failed(&error, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(health.loops()["worker"].error.as_deref(), Some("claim jobs"));
        beat.ok();
        assert_eq!(beat.failed(&error, 1.0).as_millis(), 100);
    }
}
