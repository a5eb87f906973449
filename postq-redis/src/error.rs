//! The driver's errors -> the traits' errors, in one place: what is wrong, and the remedy. No error
//! shows a password or what was sent.

use std::error::Error as StdError;
use std::time::Duration;

use deadpool::managed::PoolError;
use deadpool_redis::redis::{ErrorKind as RedisKind, RedisError};
use postq_core::error::{ErrorKind, LimitError, LockError, QueueError, StoreError, chain};

/// What stopped a call.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Redis said no, or could not be asked.
    Redis(RedisError),
    /// No answer came in time.
    NoAnswer(Duration),
    /// We said no: what is wrong, and what the caller can do.
    Refused(ErrorKind, String),
}

impl Fault {
    /// The public error: the action, then what is wrong and the remedy.
    pub(crate) fn during(self, action: &str) -> StoreError {
        let (kind, what) = match self {
            Self::Redis(error) => explain(&error),
            Self::NoAnswer(bound) => (
                ErrorKind::Unavailable,
                format!(
                    "no answer within {bound:?}; look whether the server is overloaded or cannot be \
                     reached"
                ),
            ),
            Self::Refused(kind, what) => (kind, what),
        };
        StoreError::new(kind, format!("{action} in Redis")).caused_by(what)
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<PoolError<RedisError>> for Fault {
    fn from(error: PoolError<RedisError>) -> Self {
        match error {
            PoolError::Backend(error) => Self::Redis(error),
            other => Self::Refused(ErrorKind::Internal, other.to_string()),
        }
    }
}

/// What the caller can do, and what a person is told: the remedy in our words, the server's behind them.
pub(crate) fn explain(error: &RedisError) -> (ErrorKind, String) {
    let (kind, remedy) = remedy(error);
    (kind, format!("{remedy} ({error})"))
}

fn remedy(error: &RedisError) -> (ErrorKind, &'static str) {
    use ErrorKind::{Internal, Invalid, Unavailable};

    if error.kind() == RedisKind::AuthenticationFailed {
        return REFUSED_LOGIN;
    }
    let words = error.to_string();
    match code(error, &words) {
        Some("NOAUTH" | "WRONGPASS") => REFUSED_LOGIN,
        // A long command was refused before it was looked at, for lack of a log-in.
        _ if words.contains("unauthenticated") => REFUSED_LOGIN,
        Some("NOPERM") => (
            Invalid,
            "the user lacks a right; give it `+@all -@admin ~{postq}:* &{postq}:*`, or name another \
             user in REDIS_URL",
        ),
        Some("READONLY") => {
            (Unavailable, "the server is a read-only replica; name the primary in REDIS_URL")
        }
        Some("OOM") => (
            Unavailable,
            "the server is out of memory; raise its maxmemory, or give it to postq alone",
        ),
        Some("MISCONF") => (
            Unavailable,
            "the server cannot save to its disk and takes no writes; free some space there and look \
             into its log",
        ),
        Some("LOADING") => (Unavailable, "the server is starting; try again"),
        Some("BUSY") => (Unavailable, "a script of somebody holds the server up; try again"),
        Some("NOREPLICAS") => (
            Unavailable,
            "too few replicas are there for a write; look into them, or lower min-replicas-to-write",
        ),
        Some("MOVED" | "ASK") => {
            (Invalid, "the server belongs to a cluster; say so with POSTQ_REDIS_CLUSTER=true")
        }
        Some("CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN") => {
            (Unavailable, "a part of the cluster is down; look into its nodes")
        }
        Some("CROSSSLOT") => (Internal, UNEXPECTED),
        _ if error.is_timeout() => (
            Unavailable,
            "no answer came in time; look whether the server is overloaded or cannot be reached",
        ),
        _ if error.kind() == RedisKind::InvalidClientConfig => {
            (Invalid, "the connection cannot be made as it is set; check REDIS_URL")
        }
        _ if error.kind() == RedisKind::Io || error.is_connection_dropped() => (
            Unavailable,
            "the connection was lost or cannot be made; check REDIS_URL, and whether the server runs",
        ),
        _ if words.contains("DB index is out of range") => {
            (Invalid, "there is no such database; name a lower number in REDIS_URL or REDIS_DB")
        }
        _ if error.kind() == RedisKind::ClusterConnectionNotFound => (
            Unavailable,
            "no node of the cluster can be reached; check REDIS_URL, and whether the nodes run",
        ),
        _ => (Internal, UNEXPECTED),
    }
}

/// The server's code. Before version 7 an error inside a script has that of the script, and its own in the
/// words: `ERR Error running script (...): @user_script: 12: -OOM command not allowed ...`.
fn code<'a>(error: &'a RedisError, words: &'a str) -> Option<&'a str> {
    let code = error.code()?;
    if code != "ERR" {
        return Some(code);
    }
    let inner = words.split(": -").nth(1).and_then(|rest| rest.split(' ').next());
    let is_code = |word: &&str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
    inner.filter(is_code).or(Some(code))
}

const REFUSED_LOGIN: (ErrorKind, &str) = (
    ErrorKind::Invalid,
    "the server refuses the user or the password; check both in REDIS_URL, or REDIS_PASSWORD",
);

const UNEXPECTED: &str = "this should not happen; please report it";

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
    use deadpool_redis::redis::Value;

    use super::*;

    /// As the parser gives it.
    fn told(answer: &str) -> (ErrorKind, String) {
        let parsed = deadpool_redis::redis::parse_redis_value(answer.as_bytes());
        let error = match parsed.expect("an answer") {
            Value::ServerError(error) => RedisError::from(error),
            other => panic!("{other:?} is no error"),
        };
        explain(&error)
    }

    #[test]
    fn each_error_has_its_remedy() {
        for (answer, kind, remedy) in [
            ("-WRONGPASS invalid username-password pair", ErrorKind::Invalid, "REDIS_PASSWORD"),
            (
                "-ERR Protocol error: unauthenticated bulk length",
                ErrorKind::Invalid,
                "REDIS_PASSWORD",
            ),
            ("-OOM command not allowed", ErrorKind::Unavailable, "raise its maxmemory"),
            (
                "-ERR Error running script (call to f_12): @user_script:9: @user_script: 9: -OOM \
                 command not allowed when used memory > 'maxmemory'.",
                ErrorKind::Unavailable,
                "raise its maxmemory",
            ),
            (
                "-READONLY You can't write against a read only replica.",
                ErrorKind::Unavailable,
                "primary",
            ),
            ("-MISCONF Redis is configured to save RDB snapshots", ErrorKind::Unavailable, "space"),
            (
                "-LOADING Redis is loading the dataset in memory",
                ErrorKind::Unavailable,
                "try again",
            ),
            ("-MOVED 3999 127.0.0.1:6381", ErrorKind::Invalid, "POSTQ_REDIS_CLUSTER=true"),
            ("-CLUSTERDOWN The cluster is down", ErrorKind::Unavailable, "nodes"),
            ("-ERR invalid DB index: DB index is out of range", ErrorKind::Invalid, "REDIS_DB"),
            ("-ERR something new", ErrorKind::Internal, "report it (ResponseError: something new)"),
        ] {
            let (found, what) = told(&format!("{answer}\r\n"));
            assert_eq!(found, kind, "{answer}: {what}");
            assert!(what.contains(remedy), "{answer}: {what}");
        }
    }
}
