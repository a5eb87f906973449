//! What a user may set.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// How a [`Redis`](crate::Redis) is reached. Shows no password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the server is: `redis://user:password@host:6379/0`, with TLS `rediss://…`, or
    /// `unix:///path`. Of a cluster: any of its nodes, or several with commas between.
    pub url: SecretString,
    /// What all keys begin with; they are `{prefix}:v1:…`, so that all are in one slot of a cluster.
    /// Defaults to `postq`. Whoever shares a prefix shares the queue.
    pub prefix: String,
    /// Whether the URL leads to a Redis Cluster. Defaults to false.
    pub cluster: bool,
    /// Connections, opened when they are needed; one more listens. Defaults to 16; at least 1 is used.
    pub connections: usize,
    /// How long connecting may take, the log-in included. Defaults to 2 s; at least 10 ms is used.
    pub connect_timeout: Duration,
    /// How long an answer may take. Defaults to 1 s; at least 10 ms is used. Every call ends within
    /// this and [`connect_timeout`](Self::connect_timeout) together.
    pub response_timeout: Duration,
    /// The same for the dedupe lock, which only saves work. Defaults to 100 ms.
    pub lock_timeout: Duration,
    /// The same for the cache, which only saves time. Defaults to 250 ms.
    pub cache_timeout: Duration,
    /// A file of certificates (PEM) to check the server's with, instead of those the host trusts.
    pub root_certificates: Option<PathBuf>,
}

impl Config {
    /// The defaults for this server.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            prefix: "postq".to_owned(),
            cluster: false,
            connections: 16,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(1),
            lock_timeout: Duration::from_millis(100),
            cache_timeout: Duration::from_millis(250),
            root_certificates: None,
        }
    }

    /// The defaults for a server whose parts are known.
    pub fn at(server: &Server) -> Self {
        Self::new(server.url())
    }

    /// Under another prefix.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// With so many connections.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }
}

/// A server in parts, for those who have no URL. Shows no password.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Defaults to 6379.
    pub port: u16,
    /// Without one, the server's default user.
    pub username: Option<String>,
    /// Without one, the server must ask for none.
    pub password: Option<SecretString>,
    /// The number of the database. Defaults to 0, the only one that a cluster has.
    pub database: u32,
    /// Whether to use TLS. Defaults to false.
    pub tls: bool,
}

impl Server {
    /// The defaults for this host.
    pub fn new(host: impl Into<String>) -> Self {
        let host = host.into();
        Self { host, port: 6379, username: None, password: None, database: 0, tls: false }
    }

    fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let username = self.username.as_deref().map(escaped).unwrap_or_default();
        let login = match &self.password {
            Some(password) => format!("{username}:{}@", escaped(password.expose_secret())),
            None if username.is_empty() => String::new(),
            None => format!("{username}@"),
        };
        // An IPv6 address is told from a port by its brackets.
        let host = match self.host.contains(':') && !self.host.starts_with('[') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        format!("{scheme}://{login}{host}:{}/{}", self.port, self.database)
    }
}

/// As it may stand in a URL: every byte that could mean something there is escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::IntoConnectionInfo;

    use super::*;

    #[test]
    fn parts_make_a_url_that_means_them() {
        let server = Server {
            port: 6380,
            username: Some("po:st".to_owned()),
            password: Some(SecretString::from("p@ss/w%rd ü")),
            database: 3,
            tls: true,
            ..Server::new("::1")
        };

        let info = Config::at(&server).url.expose_secret().into_connection_info().unwrap();

        assert_eq!(info.addr().to_string(), "::1:6380");
        assert!(matches!(info.addr(), deadpool_redis::redis::ConnectionAddr::TcpTls { .. }));
        let login = info.redis_settings();
        assert_eq!((login.username(), login.password()), (Some("po:st"), Some("p@ss/w%rd ü")));
        assert_eq!(login.db(), 3);
    }

    #[test]
    fn no_password_is_shown() {
        let password = Some(SecretString::from("hunter2"));
        let server = Server { password, ..Server::new("localhost") };

        for shown in [format!("{server:?}"), format!("{:?}", Config::at(&server))] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
