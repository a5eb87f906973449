//! Where the time comes from.

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the time. Everything that needs it is given one, so that a test can own the time.
///
/// # Contract
///
/// 1. `now` has whole microseconds: what every store can keep.  (`now_has_whole_microseconds`)
/// 2. It costs no I/O and never blocks.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}

/// The host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        #[allow(clippy::disallowed_methods, reason = "this is the one place that asks the host")]
        Utc::now().trunc_subsecs(6)
    }
}

/// A clock that moves with tokio's: under paused time it stands still until the test, or a sleep,
/// moves it. Two of them made from one `start` at one moment agree.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: DateTime<Utc>,
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `start` now.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        Self { start: start.trunc_subsecs(6), origin: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        (self.start + self.origin.elapsed()).trunc_subsecs(6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_has_whole_microseconds() {
        assert_eq!(SystemClock.now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
