//! What all connections share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that a server knows, as it is handed to each connection.
#[derive(Debug)]
pub struct Shared<W>(Arc<Mutex<W>>);

impl<W> Shared<W> {
    pub(crate) fn new(world: W) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// It, while nobody else has it.
    pub fn lock(&self) -> MutexGuard<'_, W> {
        // A test that failed while it held the lock must not hide why.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
