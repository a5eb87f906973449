//! Taking what was removed out of the files: of the database by SQLite's `secure_delete`, and of the log.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use crate::connect;
use crate::store::SqliteStore;

/// A reader of an older state keeps the log from being emptied: then it is tried so often, with such a
/// pause. Later the next removal, or the clean end of the last process, empties it.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

impl SqliteStore {
    /// Moves the log into the file and empties it: it held what has just been removed.
    pub(crate) async fn empty_log(&self) {
        let path = self.path().to_owned();
        let emptied = tokio::task::spawn_blocking(move || empty(&path)).await;
        let why = match emptied {
            Ok(Ok(true)) => return,
            Ok(Ok(false)) => "somebody reads an older state".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(why, "removed credentials are sealed in the log until it is emptied");
    }
}

fn empty(path: &Path) -> rusqlite::Result<bool> {
    let conn: Connection = connect::unprepared(path, PAUSE)?;
    for _ in 0..TRIES {
        let busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !busy {
            return Ok(true);
        }
        thread::sleep(PAUSE);
    }
    Ok(false)
}
