//! How long an attempt may take.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use postq_core::failure::{Failure, FailureClass};
use postq_core::feed::Settle;
use postq_core::retry::RetryDecision;
use tokio::time::{Instant, timeout_at};

use super::End;
use crate::settle::Verdict;
use crate::worker::Work;

/// When an attempt is given up: at its time limit, and later where a platform takes a large file in one call.
#[derive(Debug)]
pub(crate) struct TimeLimit {
    usual: Duration,
    ends: Mutex<Instant>,
}

impl TimeLimit {
    /// The usual limit, from now on.
    pub(super) fn begin(usual: Duration) -> Self {
        Self { usual, ends: Mutex::new(Instant::now() + usual) }
    }

    /// A step begins that has a bound of its own; what follows it has the usual time again.
    pub(crate) fn make_room(&self, step: Duration) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        *ends = (*ends).max(Instant::now() + step + self.usual);
    }

    fn ends(&self) -> Instant {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an attempt until its limit; warns before.
    pub(super) async fn hold<T>(
        &self,
        work: &Work,
        warn_after: Duration,
        attempt: impl Future<Output = Result<T, End>>,
    ) -> Result<T, End> {
        let limit = self.usual;
        let mut attempt = std::pin::pin!(attempt);
        let mut warned = false;
        loop {
            let (ends, early) = (self.ends(), limit.saturating_sub(warn_after));
            let until = if warned { ends } else { ends.checked_sub(early).unwrap_or(ends) };
            if let Ok(ended) = timeout_at(until, &mut attempt).await {
                return ended;
            }
            if self.ends() > ends {
                continue;
            }
            if warned {
                return Err(over(work, limit));
            }
            tracing::warn!(?warn_after, ?limit, "the attempt takes long");
            warned = true;
        }
    }
}

/// Unknown, as it may have been cut off while sending. Claimed again, it looks if there is an intent, and gives
/// up if its attempts are used up.
fn over(work: &Work, limit: Duration) -> End {
    let message = format!("the attempt took longer than {limit:?}");
    let failure = Failure::unknown(FailureClass::Internal, message);
    let again = RetryDecision::RetryAt(work.time.now());
    Verdict::plain(Settle::Failed(failure, again)).into()
}
