//! Changes, counted; and the waiting for the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Counts changes and wakes whoever waits for one, in the order in which they began to wait.
///
/// Not tokio's `watch`: it wakes in random order, and a simulation must be repeatable.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: AtomicU64,
    next: Notify,
}

impl Changes {
    /// How many there have been.
    pub(super) fn count(&self) -> u64 {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Here is one.
    pub(super) fn bump(&self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.next.notify_waiters();
    }

    /// Waits until there are more than `seen`, at most for so long.
    pub(super) async fn after(&self, seen: u64, at_most: Duration) {
        let change = self.0.next.notified();
        tokio::pin!(change);
        // Listens before it compares: a change in between is not lost.
        change.as_mut().enable();
        if self.count() <= seen {
            // The time being over is what was asked for.
            let _ = tokio::time::timeout(at_most, change).await;
        }
    }
}
