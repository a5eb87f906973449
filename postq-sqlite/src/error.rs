//! SQLite's errors -> the traits' errors, in one place: each names the file and the remedy.

use std::error::Error as StdError;
use std::path::Path;

use postq_core::error::{ErrorKind, LimitError, LockError, QueueError, StoreError, chain};
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// What stopped a piece of work inside its transaction.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite said no.
    Sql(rusqlite::Error),
    /// We said no: what is wrong, and what the caller can do.
    Refused(ErrorKind, String),
}

impl Fault {
    /// Something else is there already.
    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Refused(ErrorKind::Conflict, what.into())
    }

    /// What should not happen.
    pub(crate) fn internal(what: impl Into<String>) -> Self {
        Self::Refused(ErrorKind::Internal, what.into())
    }

    /// Whether a stored value could not be read: this row is broken, not the file.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::Sql(
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::Utf8Error(..)
            )
        )
    }

    /// The public error: the action and its file, then what is wrong and the remedy.
    pub(crate) fn during(self, action: &str, path: &Path) -> StoreError {
        match self {
            Self::Refused(kind, what) => StoreError::new(kind, format!("{action}: {what}")),
            Self::Sql(error) => {
                let (kind, what) = explain(&error);
                StoreError::new(kind, format!("{action} in \"{}\"", path.display())).caused_by(what)
            }
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Refused(_, what) => f.write_str(what),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(format!("a stored value cannot be read or written: {error}"))
    }
}

/// What the caller can do, and what a person is told: what is wrong and the remedy in our words, with
/// SQLite's own behind them where those say more.
pub(crate) fn explain(error: &rusqlite::Error) -> (ErrorKind, String) {
    let (kind, remedy) = remedy(error);
    let what = match own_words(error) {
        Some(words) => format!("{remedy} ({words})"),
        None => remedy.to_owned(),
    };
    (kind, what)
}

/// SQLite's words, once: its error and the cause of it repeat each other.
fn own_words(error: &rusqlite::Error) -> Option<String> {
    let rusqlite::Error::SqliteFailure(code, message) = error else {
        return Some(error.to_string());
    };
    match code.code {
        ErrorCode::SystemIoFailure => Some(format!("SQLite error {}", code.extended_code)),
        ErrorCode::ConstraintViolation => message.clone(),
        _ if remedy(error).1 != UNEXPECTED => None,
        _ => Some(message.clone().unwrap_or_else(|| code.to_string())),
    }
}

const UNEXPECTED: &str = "this should not happen; please report it";

fn remedy(error: &rusqlite::Error) -> (ErrorKind, &'static str) {
    use ErrorKind::{Conflict, Internal, Invalid, Unavailable};

    match error.sqlite_error_code() {
        // Beside the file, SQLite keeps one that it shares between processes.
        Some(ErrorCode::SystemIoFailure)
            if error.sqlite_error().is_some_and(|e| e.extended_code == SQLITE_IOERR_SHMSIZE) =>
        {
            (
                Unavailable,
                "there is no room for the file beside it, or the disk failed; free some space, else \
                 look into the system's log",
            )
        }
        Some(ErrorCode::DiskFull) => (
            Unavailable,
            "the disk is full; nothing that was acknowledged is lost; free some space and try again",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Unavailable,
            "another process holds the write lock for too long; try again, or end that process",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Internal,
            "the file is damaged; stop every process that uses it and restore it from a backup",
        ),
        Some(ErrorCode::NotADatabase) => (
            Invalid,
            "the file is no SQLite database, or damaged; name another file or restore it from a backup",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            Unavailable,
            "the file or its folder cannot be written; give this user the right to write both",
        ),
        Some(ErrorCode::CannotOpen) => (
            Unavailable,
            "the file cannot be opened; its folder must exist and this user must be able to write it",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Unavailable,
            "the disk failed to read or write; look into the system's log and check the disk",
        ),
        Some(ErrorCode::OutOfMemory) => (Unavailable, "there is not enough memory; free some"),
        Some(ErrorCode::ConstraintViolation) => {
            (Conflict, "something else is there already; load it again and decide anew")
        }
        _ => (Internal, UNEXPECTED),
    }
}

/// The same error for another trait.
macro_rules! convert {
    ($($name:ident, $to:ident;)*) => {$(
        #[doc = concat!("As a `", stringify!($to), "`.")]
        pub(crate) fn $name(error: StoreError) -> $to {
            $to::new(error.kind(), chain(&error as &dyn StdError))
        }
    )*};
}

convert! {
    queue, QueueError;
    lock, LockError;
    limit, LimitError;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: i32, message: &str) -> String {
        let code = rusqlite::ffi::Error::new(code);
        let error = rusqlite::Error::SqliteFailure(code, Some(message.to_owned()));
        let path = Path::new("/data/postq.db");
        chain(&Fault::from(error).during("insert posts", path))
    }

    #[test]
    fn each_thing_is_said_once_with_its_remedy() {
        use rusqlite::ffi::{SQLITE_CONSTRAINT, SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_MISUSE};

        for (told, expected) in [
            (
                told(SQLITE_FULL, "database or disk is full"),
                "the disk is full; nothing that was acknowledged is lost; free some space and try again",
            ),
            (
                told(SQLITE_IOERR_SHMSIZE, "disk I/O error"),
                "there is no room for the file beside it, or the disk failed; free some space, else \
                 look into the system's log (SQLite error 4874)",
            ),
            (
                told(SQLITE_IOERR_WRITE, "disk I/O error"),
                "the disk failed to read or write; look into the system's log and check the disk \
                 (SQLite error 778)",
            ),
            (
                told(SQLITE_CONSTRAINT, "UNIQUE constraint failed: posts.key"),
                "something else is there already; load it again and decide anew \
                 (UNIQUE constraint failed: posts.key)",
            ),
            (
                told(SQLITE_MISUSE, "bad parameter"),
                "this should not happen; please report it (bad parameter)",
            ),
        ] {
            assert_eq!(told, format!("insert posts in \"/data/postq.db\": {expected}"));
        }
    }
}
