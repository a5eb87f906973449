//! Readers: a few connections that cannot write, in parallel with the writer and one another.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postq_core::clock::Clock;
use postq_core::error::{ErrorKind, StoreError};
use postq_core::pool::PoolUse;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::connect;
use crate::error::Fault;
use crate::writer::Tx;

/// The pool. Connections are opened when they are first needed and kept.
pub(crate) struct Readers {
    path: PathBuf,
    busy_timeout: Duration,
    clock: Arc<dyn Clock>,
    size: usize,
    places: Semaphore,
    /// Calls that have no place yet.
    waiting: AtomicUsize,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Readers {
    pub(crate) fn new(
        path: PathBuf,
        busy_timeout: Duration,
        size: usize,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let size = size.max(1);
        let (places, waiting) = (Semaphore::new(size), AtomicUsize::new(0));
        Arc::new(Self { path, busy_timeout, clock, size, places, waiting, idle: Mutex::default() })
    }

    /// Reads one consistent state of the file.
    pub(crate) async fn read<T, R>(
        self: &Arc<Self>,
        action: &'static str,
        read: R,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let closed =
            || StoreError::new(ErrorKind::Unavailable, format!("{action}: the store is closed"));
        let _place = {
            let _waiting = Waiting::new(&self.waiting);
            self.places.acquire().await.map_err(|_| closed())?
        };
        let pool = Arc::clone(self);
        spawn_blocking(move || {
            pool.read_now(read).map_err(|fault| fault.during(action, &pool.path))
        })
        .await
        .map_err(|error| StoreError::new(ErrorKind::Internal, action.to_owned()).caused_by(error))?
    }

    /// How they are used now.
    pub(crate) fn usage(&self) -> PoolUse {
        PoolUse {
            pool: "readers",
            in_use: self.size - self.places.available_permits().min(self.size),
            idle: self.idle().len(),
            waiting: self.waiting.load(Ordering::Relaxed),
            most: self.size,
        }
    }

    /// Closes the connections; later reads are refused.
    pub(crate) fn close(&self) {
        self.places.close();
        self.idle().clear();
    }

    fn read_now<T>(&self, read: impl FnOnce(&Tx<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = self.idle().pop();
        let conn = match idle {
            Some(conn) => conn,
            None => connect::reader(&self.path, self.busy_timeout)?,
        };
        conn.prepare_cached("BEGIN")?.execute([])?;
        let result = read(&Tx::new(&conn, self.clock.now()));
        // A connection that cannot end its transaction is dropped with it.
        if conn.prepare_cached("COMMIT").and_then(|mut end| end.execute([])).is_ok() {
            self.idle().push(conn);
        }
        result
    }

    // Nothing can panic while the lock is held, so a poisoned one is as good as any.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call for as long as it waits, however that ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
