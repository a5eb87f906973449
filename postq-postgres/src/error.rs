//! The driver's errors -> the traits' errors, in one place: what is wrong, and the remedy. No error
//! shows a password or a statement's parameters.

use std::error::Error as StdError;
use std::fmt;

use postq_core::error::{ErrorKind, LimitError, LockError, QueueError, StoreError, chain};
use tokio_postgres::error::SqlState;

/// What stopped a piece of work.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Postgres said no, or could not be asked.
    Sql(tokio_postgres::Error),
    /// No connection became free in time.
    NoneFree,
    /// No answer came in time.
    NoAnswer,
    /// A stored value makes no sense: this row is broken, not the database.
    Unreadable(String),
    /// We said no: what is wrong, and what the caller can do.
    Refused(ErrorKind, String),
    /// Somebody else changed what we were about to change: the work can be done again at once.
    Again(&'static str),
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

    /// Whether doing the same again at once can help. Every piece of work is safe to repeat.
    pub(crate) fn can_repeat(&self) -> bool {
        match self {
            Self::Again(_) => true,
            Self::Sql(error) => {
                is_lost(error)
                    || error.code().is_some_and(|code| {
                        [
                            SqlState::T_R_SERIALIZATION_FAILURE,
                            SqlState::T_R_DEADLOCK_DETECTED,
                            SqlState::ADMIN_SHUTDOWN,
                            SqlState::CRASH_SHUTDOWN,
                        ]
                        .contains(code)
                    })
            }
            Self::NoneFree | Self::NoAnswer | Self::Unreadable(_) | Self::Refused(..) => false,
        }
    }

    /// Whether the work may have been done although it failed, its answer lost on the way. A server
    /// that says no has not done it, unless it says that it is going down.
    pub(crate) fn may_be_done(&self) -> bool {
        match self {
            Self::NoAnswer => true,
            Self::Sql(error) => error.code().is_none_or(|code| code.code().starts_with("57P")),
            _ => false,
        }
    }

    /// Whether a stored value could not be read: this row is broken, not the database.
    pub(crate) fn is_unreadable(&self) -> bool {
        match self {
            Self::Unreadable(_) => true,
            Self::Sql(error) => error.to_string().starts_with("error deserializing column"),
            _ => false,
        }
    }

    /// The public error: the action, then what is wrong and the remedy.
    pub(crate) fn during(self, action: &str) -> StoreError {
        let (kind, what) = self.explain();
        StoreError::new(kind, format!("{action} in Postgres")).caused_by(what)
    }

    fn explain(self) -> (ErrorKind, String) {
        match self {
            Self::Sql(error) => explain(&error),
            Self::NoneFree => (
                ErrorKind::Unavailable,
                "no connection became free in time; allow more connections, or do less at once"
                    .to_owned(),
            ),
            Self::NoAnswer => (
                ErrorKind::Unavailable,
                "no answer came in time; look whether the server is overloaded or cannot be reached"
                    .to_owned(),
            ),
            Self::Unreadable(what) => {
                (ErrorKind::Internal, format!("{what}; repair the row, or restore a backup"))
            }
            Self::Refused(kind, what) => (kind, what),
            Self::Again(what) => (ErrorKind::Unavailable, format!("{what}; try again")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(error) => f.write_str(&words(error)),
            Self::NoneFree => f.write_str("no free connection"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Unreadable(what) | Self::Refused(_, what) => f.write_str(what),
            Self::Again(what) => f.write_str(what),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(format!("a stored value cannot be read or written: {error}"))
    }
}

/// What the caller can do, and what a person is told: the remedy in our words, the server's behind them.
pub(crate) fn explain(error: &tokio_postgres::Error) -> (ErrorKind, String) {
    let (kind, remedy) = remedy(error);
    (kind, format!("{remedy} ({})", words(error)))
}

/// Whether the connection is gone; then nobody knows whether a commit went through.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || (io_cause(error).is_some() && !is_untrusted(error))
}

/// Whether it is about TLS, not about a connection that was cut while it was set up.
fn is_untrusted(error: &tokio_postgres::Error) -> bool {
    let is_refusal =
        |io: &std::io::Error| io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    error.to_string().contains("TLS") && io_cause(error).is_none_or(is_refusal)
}

fn io_cause(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    error.source()?.downcast_ref()
}

/// The driver's words and the server's, once each; never the detail or the hint, which may show values.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{}: {}", db.code().code(), db.message()),
        None => chain(error as &dyn StdError),
    }
}

fn remedy(error: &tokio_postgres::Error) -> (ErrorKind, &'static str) {
    use ErrorKind::{Conflict, Internal, Invalid, Unavailable};

    let Some(code) = error.code() else {
        return if is_lost(error) {
            (
                Unavailable,
                "the connection was lost or cannot be made; look whether the server runs, and whether \
                 DATABASE_URL names it",
            )
        } else if error.to_string().starts_with("error deserializing column") {
            (Internal, "a stored value cannot be read; repair the row, or restore a backup")
        } else if is_untrusted(error) {
            (
                Invalid,
                "no trusted encrypted connection can be made; check sslmode in DATABASE_URL, and name \
                 the server's certificates in sslrootcert",
            )
        } else {
            (Unavailable, "the server cannot be asked; check DATABASE_URL and the server")
        };
    };
    let class = &code.code()[..2];
    match code.code() {
        "28P01" | "28000" => {
            (Invalid, "the server refuses the user or the password; check both in DATABASE_URL")
        }
        "3D000" => (Invalid, "there is no such database; make it, or name another in DATABASE_URL"),
        "42501" => {
            (Invalid, "the user lacks a right; grant it, or name another user in DATABASE_URL")
        }
        "42P01" | "3F000" | "42703" => (
            Invalid,
            "the schema is not there or not of this version; run the migrations, or check POSTQ_PG_SCHEMA",
        ),
        "25006" => (
            Unavailable,
            "the server is read-only, a replica perhaps; name the primary in DATABASE_URL",
        ),
        "22021" | "22P05" => {
            (Invalid, "a text has a NUL character, which cannot be kept; remove it")
        }
        "22008" => (Invalid, "a time is further away than can be kept; choose a nearer one"),
        "57014" => (
            Unavailable,
            "it took longer than a statement may; look at the server's load, or raise the time-out",
        ),
        "55P03" => (Unavailable, "somebody else holds a lock for too long; try again"),
        "40001" | "40P01" => (Unavailable, "others kept changing the same; try again"),
        "53100" => (
            Unavailable,
            "the server's disk is full; nothing that was acknowledged is lost; free some space",
        ),
        "53300" => (
            Unavailable,
            "the server allows no more connections; use fewer here, or raise its max_connections",
        ),
        "57P01" | "57P02" | "57P03" => {
            (Unavailable, "the server is stopping or starting; try again")
        }
        _ if class == "23" => {
            (Conflict, "something else is there already; load it again and decide anew")
        }
        _ if class == "08" || class == "53" || class == "58" => {
            (Unavailable, "the server has trouble; look into its log")
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
