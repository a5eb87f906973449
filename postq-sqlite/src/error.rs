//! SQLite's errors -> the traits' errors, in one place: each names the file and the remedy.

use std::error::Error as StdError;
use std::path::Path;

use postq_core::error::{ErrorKind, LimitError, LockError, QueueError, StoreError, chain};
use rusqlite::ErrorCode;

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

    /// The public error: the action and its file, then the remedy, then SQLite's own words.
    pub(crate) fn during(self, action: &str, path: &Path) -> StoreError {
        match self {
            Self::Refused(kind, what) => StoreError::new(kind, format!("{action}: {what}")),
            Self::Sql(error) => {
                let (kind, remedy) = remedy(&error);
                StoreError::new(kind, format!("{action} in \"{}\"", path.display()))
                    .caused_by(Remedied { remedy, error })
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

/// SQLite's error with what a person can do about it.
#[derive(Debug, thiserror::Error)]
#[error("{remedy}")]
struct Remedied {
    remedy: &'static str,
    #[source]
    error: rusqlite::Error,
}

fn remedy(error: &rusqlite::Error) -> (ErrorKind, &'static str) {
    use ErrorKind::{Conflict, Internal, Invalid, Unavailable};

    match error.sqlite_error_code() {
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
        _ => (Internal, "this should not happen; please report it"),
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
