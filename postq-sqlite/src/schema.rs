//! The schema: migrations embedded in the binary, applied when a file is opened.

use std::error::Error as StdError;
use std::path::Path;

use postq_core::error::{ErrorKind, StoreError};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::error::{Fault, explain};

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
    // Refinery commits its own table, and with it an index that SQLite names, before our tables: a
    // file may have these alone, for a moment or since a crash.
    let tables = "SELECT count(*) FROM sqlite_schema
                  WHERE type = 'table' AND name NOT GLOB 'refinery_*' AND name NOT GLOB 'sqlite_*'";
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

/// Refinery's words for where it failed help nobody but us: what SQLite said of it, if it did.
fn not_migrated(error: &refinery::Error, path: &Path) -> StoreError {
    let what = format!("migrate \"{}\" to schema version {}", path.display(), ours());
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
            let (kind, why) = explain(error);
            return StoreError::new(kind, what).caused_by(why);
        }
        cause = error.source();
    }
    StoreError::new(ErrorKind::Unavailable, what).caused_by(error.to_string())
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
            Err(error) if tried >= TRIES => return Err(not_migrated(&error, path)),
            Err(error) => tracing::debug!(%error, "another process may be migrating: trying again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use postq_core::error::chain;
    use rusqlite::OpenFlags;

    use super::*;

    fn file(sql: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("posts.db");
        Connection::open(&path).expect("open").execute_batch(sql).expect("make it");
        (folder, path)
    }

    #[test]
    fn what_was_cut_off_before_its_first_table_is_migrated() {
        let (_folder, path) = file(
            "CREATE TABLE refinery_schema_history(version INT4 PRIMARY KEY, name VARCHAR(255),
                 applied_on VARCHAR(255), checksum VARCHAR(255))",
        );
        let mut conn = Connection::open(&path).expect("open");

        migrate(&mut conn, &path).expect("it is ours");

        assert_eq!(of(&conn).expect("read"), Some(ours()));
    }

    #[test]
    fn a_file_that_cannot_be_migrated_says_why_once() {
        let (_folder, path) = file("VACUUM");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let mut conn = Connection::open_with_flags(&path, flags).expect("open");

        let error = migrate(&mut conn, &path).expect_err("it cannot be written");

        assert_eq!(
            chain(&error),
            format!(
                "migrate \"{}\" to schema version {}: the file or its folder cannot be written; give \
                 this user the right to write both",
                path.display(),
                ours()
            )
        );
    }

    #[test]
    fn a_file_of_the_first_version_is_brought_up_to_ours() {
        let mut conn = Connection::open_in_memory().expect("a database in memory");
        let first = refinery::Target::Version(1);
        embedded::migrations::runner().set_target(first).run(&mut conn).expect("the first version");
        let block = "INSERT INTO blocks (scope, reason, note) VALUES ('x/', 'paused', '')";
        conn.execute(block, []).expect("a row of that time");

        migrate(&mut conn, Path::new(":memory:")).expect("migrate");

        assert_eq!(of(&conn).expect("a version"), Some(ours()));
        let kept = "SELECT count(*) FROM blocks WHERE scope = 'x/' AND asking IS NULL";
        let kept: i64 = conn.query_row(kept, [], |row| row.get(0)).expect("the row");
        assert_eq!(kept, 1);
    }

    #[test]
    fn accounts_of_an_earlier_version_keep_their_identities() {
        let mut conn = Connection::open_in_memory().expect("a database in memory");
        let before = refinery::Target::Version(12);
        embedded::migrations::runner().set_target(before).run(&mut conn).expect("that version");
        let accounts = "INSERT INTO accounts (id, tenant_id, name, platform, remote_id, on_unknown, created_at)
            VALUES (x'01', x'00', 'main', 'x', '42', 'hold', 0), (x'02', x'00', 'other', 'x', NULL, 'hold', 0)";
        conn.execute(accounts, []).expect("accounts of that time");

        migrate(&mut conn, Path::new(":memory:")).expect("migrate");

        let known = "SELECT group_concat(platform || ' ' || remote_id || ' ' || hex(account_id)) FROM identities";
        let known: String = conn.query_row(known, [], |row| row.get(0)).expect("one");
        assert_eq!(known, "x 42 01");
    }
}
