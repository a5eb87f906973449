//! Facts about a file, for a doctor.

use std::fs;
use std::path::Path;
use std::time::Duration;

use postq_core::error::{ErrorKind, StoreError};
use serde::Serialize;

use crate::connect;
use crate::error::Fault;
use crate::schema;

/// The most problems that a check lists.
const PROBLEMS: u32 = 20;

/// What is known of a database file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Facts {
    /// The schema version of the file; none if nothing was ever stored in it.
    pub schema_version: Option<i64>,
    /// The schema version that this build writes.
    pub our_version: i64,
    /// What is damaged, as SQLite's `quick_check` tells it; empty for a sound file.
    pub problems: Vec<String>,
    /// `wal` for a file that postq has opened.
    pub journal_mode: String,
    /// How safely a commit is written: always `full`.
    pub synchronous: &'static str,
    /// The size of the file and of its log.
    pub bytes: u64,
    /// The size of the log that is not yet in the file.
    pub log_bytes: u64,
    /// Pages of the file.
    pub pages: u64,
    /// Pages that are free for new rows.
    pub free_pages: u64,
    /// The version of SQLite in this build.
    pub sqlite: &'static str,
}

impl Facts {
    /// Whether the file is one that this build can use as it is or migrate.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
            && self.schema_version.is_none_or(|theirs| theirs <= self.our_version)
    }

    pub(crate) fn of(path: &Path) -> Result<Self, StoreError> {
        let size = |path: &Path| fs::metadata(path).map(|facts| facts.len());
        let bytes = size(path).map_err(|error| {
            let what = format!("check \"{}\"", path.display());
            StoreError::new(ErrorKind::Invalid, what).caused_by(error)
        })?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log_bytes = size(Path::new(&log)).unwrap_or(0);
        Self::read(path, bytes + log_bytes, log_bytes)
            .map_err(|fault| fault.during("check the file", path))
    }

    fn read(path: &Path, bytes: u64, log_bytes: u64) -> Result<Self, Fault> {
        let conn = connect::reader(path, Duration::from_secs(10))?;
        let number = |pragma: &str| {
            let read = conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
            read.map(i64::unsigned_abs)
        };
        let mut check = conn.prepare(&format!("PRAGMA quick_check({PROBLEMS})"))?;
        let found = check.query_map([], |row| row.get::<_, String>(0))?;
        let problems = found.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self {
            schema_version: schema::of(&conn)?,
            our_version: schema::ours(),
            problems: problems.into_iter().filter(|problem| problem != "ok").collect(),
            journal_mode: conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?,
            synchronous: "full",
            bytes,
            log_bytes,
            pages: number("page_count")?,
            free_pages: number("freelist_count")?,
            sqlite: rusqlite::version(),
        })
    }
}
