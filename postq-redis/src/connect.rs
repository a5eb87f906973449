//! Connections: a pool over one server or a cluster.

use std::time::Duration;

use deadpool::managed::{self, Manager, Metrics, Object, RecycleResult};
use deadpool_redis::cluster;
use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisError, RedisResult, TlsCertificates, Value,
};
use postq_core::error::ErrorKind;
use secrecy::ExposeSecret;

use crate::config::Config;
use crate::error::Fault;

/// A connection that was used so lately is taken to be alive; if it is not, the call notices and is
/// made again. Asking each time would double what a call costs.
const ALIVE: Duration = Duration::from_secs(1);

/// Connections to one server, or to a cluster.
pub(crate) enum Pool {
    One(managed::Pool<Warm<deadpool_redis::Manager>>),
    Cluster(managed::Pool<Warm<cluster::Manager>>),
}

impl Pool {
    pub(crate) fn new(config: &Config) -> Result<Self, Fault> {
        let servers = servers(config)?;
        let size = config.connections.max(1);
        if config.cluster {
            let manager = Warm(cluster::Manager::new(servers, false)?);
            return Ok(Self::Cluster(sized(manager, size)?));
        }
        let [server] = <[ConnectionInfo; 1]>::try_from(servers).map_err(|servers| {
            let what = format!(
                "REDIS_URL names {} servers, expected one; several are for a cluster \
                 (POSTQ_REDIS_CLUSTER=true)",
                servers.len()
            );
            Fault::Refused(ErrorKind::Invalid, what)
        })?;
        let manager = deadpool_redis::Manager::new_with_config(server, times(config))?;
        Ok(Self::One(sized(Warm(manager), size)?))
    }

    pub(crate) async fn link(&self) -> Result<Link<'_>, Fault> {
        let kind = match self {
            Self::One(pool) => Kind::One(pool.get().await?),
            Self::Cluster(pool) => Kind::Cluster(pool.get().await?),
        };
        Ok(Link { pool: self, kind: Some(kind), healthy: true })
    }

    /// Closes the connections that nobody uses: the server they led to is gone.
    fn clear(&self) {
        match self {
            Self::One(pool) => drop(pool.retain(|_, _| false)),
            Self::Cluster(pool) => drop(pool.retain(|_, _| false)),
        }
    }
}

fn sized<M: Manager>(manager: M, size: usize) -> Result<managed::Pool<M>, Fault> {
    managed::Pool::builder(manager)
        .max_size(size)
        .build()
        .map_err(|error| Fault::Refused(ErrorKind::Internal, error.to_string()))
}

/// The servers that the URL names.
pub(crate) fn servers(config: &Config) -> Result<Vec<ConnectionInfo>, Fault> {
    let urls = config.url.expose_secret().split(',').map(str::trim);
    let servers = urls.map(|url| {
        let info = url.into_connection_info().map_err(|error| {
            let what = format!(
                "REDIS_URL cannot be read ({}), expected redis://user:password@host:port/database",
                error.category()
            );
            Fault::Refused(ErrorKind::Invalid, what)
        })?;
        trusting(info, config)
    });
    servers.collect()
}

/// The same, checked with certificates of the user's own where there are some.
fn trusting(info: ConnectionInfo, config: &Config) -> Result<ConnectionInfo, Fault> {
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        // The driver takes the process's provider and panics without one; whoever has chosen one
        // keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let Some(path) = &config.root_certificates else { return Ok(info) };
    let invalid = |what: String| Fault::Refused(ErrorKind::Invalid, what);
    let pem = std::fs::read(path)
        .map_err(|error| invalid(format!("certificates \"{}\": {error}", path.display())))?;
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    let client = Client::build_with_tls(info, certificates)
        .map_err(|error| invalid(format!("certificates \"{}\": {error}", path.display())))?;
    Ok(client.get_connection_info().clone())
}

/// How long connecting and answering may take.
pub(crate) fn times(config: &Config) -> AsyncConnectionConfig {
    let least = Duration::from_millis(10);
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout.max(least)))
        .set_response_timeout(Some(config.response_timeout.max(least)))
}

/// A manager that asks a connection whether it is alive only if it was idle for a while.
#[derive(Debug)]
pub(crate) struct Warm<M>(M);

impl<M: Manager<Error = RedisError> + Sync> Manager for Warm<M>
where
    M::Type: Send,
{
    type Type = M::Type;
    type Error = RedisError;

    async fn create(&self) -> Result<M::Type, RedisError> {
        self.0.create().await
    }

    async fn recycle(&self, link: &mut M::Type, metrics: &Metrics) -> RecycleResult<RedisError> {
        if metrics.last_used() < ALIVE {
            return Ok(());
        }
        self.0.recycle(link, metrics).await
    }
}

/// A connection, for as long as it is held. One whose call did not end is closed, not given back.
pub(crate) struct Link<'a> {
    pool: &'a Pool,
    kind: Option<Kind>,
    healthy: bool,
}

enum Kind {
    One(Object<Warm<deadpool_redis::Manager>>),
    Cluster(Object<Warm<cluster::Manager>>),
}

/// What is sent in one go.
pub(crate) enum Request {
    Cmd(Cmd),
    Pipe(Pipeline),
}

impl Link<'_> {
    /// Sends it and waits for the answer.
    pub(crate) async fn send(&mut self, request: &Request) -> RedisResult<Value> {
        // Until the answer is there: if this future is dropped, the connection may be dead.
        self.healthy = false;
        let answer = match self.kind.as_mut().expect("it is there until it is dropped") {
            Kind::One(link) => exchange(&mut **link, request).await,
            Kind::Cluster(link) => exchange(&mut **link, request).await,
        };
        match &answer {
            Err(error) if error.is_timeout() || error.is_unrecoverable_error() => self.pool.clear(),
            _ => self.healthy = true,
        }
        answer
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        match self.kind.take() {
            Some(Kind::One(link)) if !self.healthy => drop(Object::take(link)),
            Some(Kind::Cluster(link)) if !self.healthy => drop(Object::take(link)),
            _ => {}
        }
    }
}

async fn exchange(link: &mut impl ConnectionLike, request: &Request) -> RedisResult<Value> {
    match request {
        Request::Cmd(cmd) => cmd.query_async(link).await,
        Request::Pipe(pipe) => pipe.query_async(link).await,
    }
}

/// Whether the connection is why a call failed, and a new one may do.
pub(crate) fn is_lost(error: &RedisError) -> bool {
    !error.is_timeout() && (error.is_connection_dropped() || error.is_unrecoverable_error())
}
