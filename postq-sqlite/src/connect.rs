//! Connections: how each kind is opened.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// How much of the file a connection keeps in memory at most, in KiB (SQLite's sign for it is minus):
/// enough for the hot tables of 100,000 jobs, and little enough for a small machine.
const WRITER_CACHE_KIB: i64 = 4_096;
const READER_CACHE_KIB: i64 = 1_024;

/// Statements kept prepared: more than this crate has, so that none is ever prepared twice.
const STATEMENTS: usize = 256;

/// After a checkpoint the log is cut back to at most so much.
const LOG_LIMIT_BYTES: i64 = 64 * 1_024 * 1_024;

/// A connection that may write, and makes the file if it is not there. Changes nothing yet.
pub(crate) fn unprepared(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy_timeout)?;
    Ok(conn)
}

/// Makes it a connection that keeps postq's promises.
pub(crate) fn prepare_writer(conn: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    write_ahead(conn, busy_timeout)?;
    // FULL: a commit returns when the disk has it, so that what was acknowledged survives a power
    // loss.
    conn.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted or replaced is overwritten: no free page keeps an envelope of credentials.
    conn.pragma_update(None, "secure_delete", "ON")?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "journal_size_limit", LOG_LIMIT_BYTES)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// A connection that cannot write.
pub(crate) fn reader(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy_timeout)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Turns the write-ahead log on. Only the first process to open a new file changes anything; SQLite
/// does not wait by itself when two try at once, so this does, for as long as a lock may take.
fn write_ahead(conn: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    let deadline = Instant::now() + busy_timeout;
    loop {
        match conn.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}
