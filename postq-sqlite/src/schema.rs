//! The schema: migrations embedded in the binary, applied when a file is opened.

use std::path::Path;

use postq_core::error::{ErrorKind, StoreError};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::error::Fault;

mod embedded {
    refinery::embed_migrations!("src/migrations");
}

/// "posq": tells postq's files from other programs' databases.
const APPLICATION_ID: i64 = 0x706f_7371;

/// Two processes may migrate a file at once; whoever comes second finds it done when it tries again.
const TRIES: u32 = 3;

/// The version that this build writes.
pub(crate) fn ours() -> i64 {
    embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(|m| m.version())
        .max()
        .map_or(0, i64::from)
}

/// The version of the file: none for a file without tables.
pub(crate) fn of(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let history = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    if conn.query_row(history, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    conn.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
}

/// Refuses a file that is not ours, or newer than we are.
pub(crate) fn ensure_known(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| Fault::from(error).during("open the store", path);
    let refuse = |what: String| {
        let what = format!("open the store: \"{}\" {what}", path.display());
        Err(StoreError::new(ErrorKind::Invalid, what))
    };
    // The tables before the id: who sees the tables of another process that migrates right now sees
    // its id as well.
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'refinery%'";
    let tables: i64 = conn.query_row(tables, [], |row| row.get(0)).map_err(sql)?;
    let id = "SELECT application_id FROM pragma_application_id";
    let id: i64 = conn.query_row(id, [], |row| row.get(0)).map_err(sql)?;
    if tables > 0 && id != APPLICATION_ID {
        return refuse("is another program's database; name another file".to_owned());
    }
    match of(conn).map_err(sql)? {
        Some(theirs) if theirs > ours() => refuse(format!(
            "has schema version {theirs}, this postq knows versions up to {}; \
             run the postq that wrote it, or a newer one",
            ours()
        )),
        _ => Ok(()),
    }
}

/// Brings the file to our version.
pub(crate) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    ensure_known(conn, path)?;
    if of(conn).is_ok_and(|version| version == Some(ours())) {
        return Ok(());
    }
    // All migrations in one transaction, which takes the write lock at its beginning: refinery takes
    // no lock of its own, so two processes at once both find the old version; the second then fails
    // as a whole on what the first has made, and tries again.
    conn.set_transaction_behavior(TransactionBehavior::Immediate);
    let mut tried = 0;
    loop {
        tried += 1;
        match embedded::migrations::runner().set_grouped(true).run(conn) {
            Ok(_) => return Ok(()),
            Err(error) if tried >= TRIES => {
                let what = format!("migrate \"{}\" to schema version {}", path.display(), ours());
                return Err(StoreError::new(ErrorKind::Unavailable, what).caused_by(error));
            }
            Err(error) => tracing::debug!(%error, "another process may be migrating: trying again"),
        }
    }
}
