//! The circuit breaker.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::chain;

/// When a [`Breaker`] opens, and how it finds out that the service is back.
#[derive(Clone, Copy, Debug)]
pub struct BreakerSettings {
    /// It opens after so many failures in a row. Defaults to 3; at least 1 is used.
    pub failures: u32,
    /// A call that takes longer has failed. Defaults to 500 ms.
    pub timeout: Duration,
    /// The same for the one call that tries whether the service is back. Defaults to 250 ms.
    pub probe_timeout: Duration,
    /// From opening to the first try. Defaults to 500 ms, and doubles with every try.
    pub first_pause: Duration,
    /// The longest time between two tries. Defaults to 4 s, so that a service is used again within 5 s.
    pub longest_pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 3,
            timeout: Duration::from_millis(500),
            probe_timeout: Duration::from_millis(250),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(4),
        }
    }
}

/// Whether a service is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not: the work goes on without it.
    Open {
        /// For so long.
        since: Duration,
        /// What its last call failed with.
        reason: String,
    },
}

impl BreakerState {
    /// Whether the service is used.
    pub fn is_closed(&self) -> bool {
        *self == Self::Closed
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("in use"),
            Self::Open { since, reason } => {
                write!(f, "out of use for {} s: {reason}", since.as_secs())
            }
        }
    }
}

/// Keeps callers from waiting for a service that is away. Clones share the state.
#[derive(Clone, Debug)]
pub struct Breaker {
    service: &'static str,
    settings: BreakerSettings,
    /// A `std` mutex: it is never held across an await.
    circuit: Arc<Mutex<Circuit>>,
}

#[derive(Debug)]
enum Circuit {
    Closed { failures: u32 },
    Open { since: Instant, reason: String, pause: Duration, retry_at: Instant },
}

impl Breaker {
    /// A closed one, for the service of this name.
    pub fn new(service: &'static str, settings: BreakerSettings) -> Self {
        Self { service, settings, circuit: Arc::new(Mutex::new(Circuit::Closed { failures: 0 })) }
    }

    /// The name of the service.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Whether the service is used: `degraded` for who asks whether the node is ready.
    pub fn state(&self) -> BreakerState {
        match &*self.circuit() {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { since, reason, .. } => {
                BreakerState::Open { since: since.elapsed(), reason: reason.clone() }
            }
        }
    }

    /// When the next call may try an open one; none for a closed one.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match &*self.circuit() {
            Circuit::Closed { .. } => None,
            Circuit::Open { retry_at, .. } => Some(*retry_at),
        }
    }

    /// Makes the call, and takes note of how it ends; nothing if it fails, takes longer than `asks_for`
    /// and the time-out, or is not made because the breaker is open.
    pub(super) async fn call<T, E: StdError + 'static>(
        &self,
        asks_for: Duration,
        call: impl Future<Output = Result<T, E>>,
    ) -> Option<T> {
        let (timeout, is_try) = self.admit(asks_for)?;
        let reason = match tokio::time::timeout(timeout, call).await {
            Ok(Ok(answer)) => {
                self.succeeded();
                return Some(answer);
            }
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {timeout:?}"),
        };
        self.failed(reason, is_try);
        None
    }

    /// How long the call may take, and whether it tries an open one; nothing if it may not be made.
    fn admit(&self, asks_for: Duration) -> Option<(Duration, bool)> {
        let now = Instant::now();
        match &mut *self.circuit() {
            Circuit::Closed { .. } => Some((asks_for + self.settings.timeout, false)),
            Circuit::Open { retry_at, pause, .. } if now >= *retry_at => {
                // The others go on without it; so do they if this call is never heard of again.
                *retry_at = now + self.settings.probe_timeout + *pause;
                Some((self.settings.probe_timeout, true))
            }
            Circuit::Open { .. } => None,
        }
    }

    fn succeeded(&self) {
        let mut circuit = self.circuit();
        if let Circuit::Open { since, .. } = &*circuit {
            let after = since.elapsed();
            tracing::info!(service = self.service, ?after, "back in use");
        }
        *circuit = Circuit::Closed { failures: 0 };
    }

    fn failed(&self, why: String, is_try: bool) {
        let now = Instant::now();
        let mut circuit = self.circuit();
        match &mut *circuit {
            Circuit::Closed { failures } => {
                *failures += 1;
                tracing::debug!(service = self.service, error = why, "a call failed");
                if *failures >= self.settings.failures {
                    tracing::warn!(service = self.service, error = why, "going on without it");
                    let pause = self.settings.first_pause;
                    *circuit =
                        Circuit::Open { since: now, reason: why, pause, retry_at: now + pause };
                }
            }
            Circuit::Open { reason, pause, retry_at, .. } if is_try => {
                *pause = (*pause * 2).min(self.settings.longest_pause);
                *retry_at = now + *pause;
                *reason = why;
            }
            // It was on its way when the breaker opened.
            Circuit::Open { .. } => {}
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
