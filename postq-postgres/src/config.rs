//! What a user may set.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// How a [`PgStore`](crate::PgStore) is opened. Shows no password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the server is: a URL (`postgres://user:password@host:5432/database`) or `key=value` pairs.
    /// `sslmode` is `disable`, `prefer` (the default), `require` (encrypts and trusts any certificate)
    /// or `verify-full` (checks it, against `sslrootcert` where that is given).
    pub url: SecretString,
    /// The schema that all tables are in, made if it is not there. Defaults to `postq`. At most 40 of
    /// `a-z`, `0-9` and `_`.
    pub schema: String,
    /// Connections for the work. Defaults to 10; at least 1 is used. Three more serve renewals,
    /// wake-ups and listening.
    pub connections: usize,
    /// How long work waits for a free connection before it is told to try later. Defaults to 60 s.
    pub patience: Duration,
    /// The longest that one statement may run on the server, and twice that for a whole call. Defaults
    /// to 30 s; at least 1 s is used.
    pub statement_timeout: Duration,
    /// Whether [`open`](crate::PgStore::open) brings the schema to this build's version. Defaults to true;
    /// otherwise [`migrate`](crate::migrate) must have been run.
    pub migrate: bool,
    /// Whether the URL leads to a pooler in transaction mode (PgBouncer). Defaults to false. With a
    /// pooler no session settings are sent: give the role those that the
    /// crate's page names.
    pub pooler: bool,
    /// Where to listen for wake-ups, if not at `url`: the server itself, where `url` is a pooler. With a
    /// pooler and without this nobody listens, and other nodes' changes are noticed within
    /// [`check_every`](Self::check_every).
    pub listen_url: Option<SecretString>,
    /// How often other nodes' changes are looked for while nobody listens. Defaults to 1 s; at least
    /// 50 ms is used.
    pub check_every: Duration,
    /// A file of certificates (PEM) to check the server's with, instead of the public ones. The same
    /// as `sslrootcert` in the URL.
    pub root_certificates: Option<PathBuf>,
}

impl Config {
    /// The defaults for this server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            schema: "postq".to_owned(),
            connections: 10,
            patience: Duration::from_secs(60),
            statement_timeout: Duration::from_secs(30),
            migrate: true,
            pooler: false,
            listen_url: None,
            check_every: Duration::from_secs(1),
            root_certificates: None,
        }
    }

    /// In another schema.
    #[must_use]
    pub fn in_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// With so many connections for the work.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }
}
