//! The store: one file, opened once per process and shared.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use postq_core::backend::Backend;
use postq_core::clock::Clock;
use postq_core::error::{ErrorKind, StoreError};
use postq_core::pool::{PoolUse, Pools};
use postq_core::queue::Queue;

use crate::boot;
use crate::changes::{Changes, Lookout};
use crate::config::Config;
use crate::connect;
use crate::error::Fault;
use crate::facts::Facts;
use crate::readers::Readers;
use crate::schema;
use crate::turn::Turns;
use crate::writer::{Context, Tx, Writer};

/// Every store, the job feed, a queue, the dedupe lock and the rate limiter on one SQLite file.
///
/// Cheap to clone: clones share the connections. Several processes, and several stores of one
/// process, may open the same file.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    changes: Changes,
    writer: Writer,
    renewer: Writer,
    readers: Arc<Readers>,
    lookout: Lookout,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file with the defaults; makes and migrates it as needed. Blocks for as long as
    /// that takes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(Config::new(path.as_ref()))
    }

    /// Opens the file.
    pub fn open_with(config: Config) -> Result<Self, StoreError> {
        let Config { path, busy_timeout, readers, change_check, clock } = config;
        let sql = |error: rusqlite::Error| Fault::from(error).during("open the store", &path);
        let mut first = connect::unprepared(&path, busy_timeout).map_err(sql)?;
        // Before anything is written, even the journal mode, to a file that may not be ours.
        schema::ensure_known(&first, &path)?;
        connect::prepare_writer(&first, busy_timeout).map_err(sql)?;
        schema::migrate(&mut first, &path)?;
        forget_earlier_boots(&mut first, &*clock)
            .map_err(|fault| fault.during("open the store", &path))?;

        let (changes, turns) = (Changes::default(), Arc::new(Turns::default()));
        let second = connect::unprepared(&path, busy_timeout).map_err(sql)?;
        connect::prepare_writer(&second, busy_timeout).map_err(sql)?;
        let third = connect::reader(&path, busy_timeout).map_err(sql)?;
        let context = |urgent| Context {
            path: path.clone(),
            clock: Arc::clone(&clock),
            changes: changes.clone(),
            turns: Arc::clone(&turns),
            urgent,
        };
        let start = |name, conn, urgent| {
            Writer::start(name, conn, context(urgent))
                .map_err(|fault| fault.during("open the store", &path))
        };
        let writer = start("postq-writer", first, false)?;
        let renewer = start("postq-renewer", second, true)?;
        let lookout =
            Lookout::start(third, &path, change_check, Arc::clone(&clock), changes.clone())?;
        let readers = Readers::new(path.clone(), busy_timeout, readers, Arc::clone(&clock));
        let inner = Inner { path: path.clone(), clock, changes, writer, renewer, readers, lookout };
        Ok(Self(Arc::new(inner)))
    }

    /// What a doctor wants to know of a file, without changing it.
    pub fn check(path: impl AsRef<Path>) -> Result<Facts, StoreError> {
        Facts::of(path.as_ref())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The bundle that an engine takes. Its queue is none: this store's feed needs none beside it.
    pub fn backend(&self) -> Backend {
        let store = Arc::new(self.clone());
        Backend {
            posts: store.clone(),
            accounts: store.clone(),
            blocks: store.clone(),
            schedules: store.clone(),
            jobs: store.clone(),
            control: store.clone(),
            upkeep: store.clone(),
            publications: store.clone(),
            metrics: store.clone(),
            slots: store.clone(),
            feed: store.clone(),
            queue: None,
            lock: store.clone(),
            limiter: store,
        }
    }

    /// The queue in this file, for compositions that want one.
    pub fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.clone())
    }

    /// How its connections are used: the writer and the readers.
    pub fn pools(&self) -> Arc<dyn Pools> {
        Arc::new(self.clone())
    }

    /// Does what is waiting, moves the log into the file and closes it. Later calls are refused.
    /// A store that is dropped without this loses nothing either.
    pub async fn close(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.0);
        let closing = tokio::task::spawn_blocking(move || {
            // The last connection to close removes the log, and only one that may write can.
            inner.readers.close();
            inner.lookout.stop();
            inner.renewer.stop();
            inner.writer.stop();
        });
        closing.await.map_err(|error| {
            StoreError::new(ErrorKind::Internal, "close the store").caused_by(error)
        })
    }

    pub(crate) async fn write<T, W>(&self, action: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.0.writer.write(action, work).await
    }

    /// As [`write`](Self::write), on the connection that goes before the other.
    pub(crate) async fn write_urgently<T, W>(
        &self,
        action: &'static str,
        work: W,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.0.renewer.write(action, work).await
    }

    pub(crate) async fn read<T, R>(&self, action: &'static str, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.0.readers.read(action, read).await
    }

    pub(crate) fn time(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.0.changes
    }
}

impl Pools for SqliteStore {
    fn pools(&self) -> Vec<PoolUse> {
        vec![self.0.writer.usage(), self.0.readers.usage()]
    }
}

fn forget_earlier_boots(conn: &mut rusqlite::Connection, clock: &dyn Clock) -> Result<(), Fault> {
    let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    boot::end_leases_of_earlier_boots(&Tx::new(&transaction, clock.now()))?;
    transaction.commit()?;
    Ok(())
}
