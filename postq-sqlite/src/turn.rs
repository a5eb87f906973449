//! Whose turn it is to write, among the connections of this process.
//!
//! SQLite lets one connection write at a time and makes the others poll. A busy writer that takes
//! the lock again at once would starve the renewal of leases, so within a process they take turns
//! here, and an urgent one goes first.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Hands the write lock around.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: bool,
    urgent: usize,
}

/// The right to write, until dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for the turn. The wait is bounded by the longest transaction of the other connection.
    pub(crate) fn take(&self, urgent: bool) -> Turn<'_> {
        let mut state = self.lock();
        if urgent {
            state.urgent += 1;
        }
        while state.taken || (!urgent && state.urgent > 0) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if urgent {
            state.urgent -= 1;
        }
        state.taken = true;
        Turn(self)
    }

    // Nothing can panic while the lock is held, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().taken = false;
        self.0.changed.notify_all();
    }
}
