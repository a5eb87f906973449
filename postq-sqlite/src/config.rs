//! What a user may set.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postq_core::clock::{Clock, SystemClock};

/// How a [`SqliteStore`](crate::SqliteStore) is opened.
#[derive(Clone, Debug)]
pub struct Config {
    /// The database file; made if it is not there. Its folder must exist and be on a local disk: the
    /// processes that share the file share memory.
    pub path: PathBuf,
    /// How long a call waits for another process that holds the write lock. Defaults to 10 s; zero
    /// gives up at once.
    pub busy_timeout: Duration,
    /// Connections for reading, opened when they are needed. Defaults to 4; at least 1 is used.
    pub readers: usize,
    /// How often other processes' changes are looked for. Defaults to 1 s; at least 10 ms is used.
    pub change_check: Duration,
    /// What tells the wall-clock time: it decides what is due. Defaults to the host's clock.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// The defaults for this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

impl Default for Config {
    /// `postq.db` in the current folder.
    fn default() -> Self {
        Self {
            path: PathBuf::from("postq.db"),
            busy_timeout: Duration::from_secs(10),
            readers: 4,
            change_check: Duration::from_secs(1),
            clock: Arc::new(SystemClock),
        }
    }
}
