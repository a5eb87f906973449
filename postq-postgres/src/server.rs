//! Where the server is: reading the URL, TLS, and connecting.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use postq_core::error::{ErrorKind, StoreError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Config;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Until a table's statistics are made the server takes a backlog for a handful of rows, and would
/// rather fetch and sort all of it than walk along the index that has it in order. And a batch of a
/// hundred ids is found by the index also where a table is small: today it may be, tomorrow not.
const PLANS: &str = "-c enable_bitmapscan=off -c random_page_cost=1.1";

/// A server and how to talk to it.
#[derive(Clone)]
pub(crate) struct Server {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("database", &self.config.get_dbname())
            .finish_non_exhaustive()
    }
}

/// A node that freezes in a transaction keeps its locks for so long, and others from what it holds. None
/// of ours does anything between two statements that takes nearly as long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

impl Server {
    /// The server that does the work.
    pub(crate) fn of(config: &Config) -> Result<Self, StoreError> {
        Self::at(&config.url, config, config.pooler)
    }

    /// The server to listen at; none where that cannot be.
    pub(crate) fn to_listen(config: &Config) -> Result<Option<Self>, StoreError> {
        match &config.listen_url {
            Some(url) => Self::at(url, config, false).map(Some),
            None if config.pooler => Ok(None),
            None => Self::of(config).map(Some),
        }
    }

    fn at(url: &SecretString, config: &Config, pooler: bool) -> Result<Self, StoreError> {
        let Url { text, verify, roots } = Url::parse(url.expose_secret());
        let mut server: tokio_postgres::Config = text.parse().map_err(|error| {
            // The driver names the option that is wrong, and shows no value.
            invalid("read the server's URL (DATABASE_URL)")
                .caused_by(crate::error::explain(&error).1)
        })?;
        if verify {
            server.ssl_mode(SslMode::Require);
        }
        server.connect_timeout(CONNECT);
        server.keepalives_idle(Duration::from_secs(30));
        server.tcp_user_timeout(config.statement_timeout.max(Duration::from_secs(1)) * 2);
        if server.get_application_name().is_none() {
            server.application_name("postq");
        }
        if !pooler {
            let millis = config.statement_timeout.max(Duration::from_secs(1)).as_millis();
            let idle = IDLE_IN_TRANSACTION.as_millis();
            let ours = format!(
                "-c statement_timeout={millis} -c idle_in_transaction_session_timeout={idle} {PLANS}"
            );
            let options = match server.get_options() {
                Some(theirs) => format!("{ours} {theirs}"),
                None => ours,
            };
            server.options(options);
        }
        let roots = roots.as_deref().or(config.root_certificates.as_deref());
        Ok(Self { config: server, tls: MakeRustlsConnect::new(tls(verify, roots)?) })
    }

    /// Connections for the work, made when they are needed.
    pub(crate) fn pool(&self, size: usize) -> Result<Pool, StoreError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), config);
        Pool::builder(manager)
            .max_size(size.max(1))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| invalid("make the pool").caused_by(error))
    }

    /// A connection of its own.
    pub(crate) async fn connect(
        &self,
    ) -> Result<
        (
            tokio_postgres::Client,
            tokio_postgres::Connection<
                tokio_postgres::Socket,
                <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<
                    tokio_postgres::Socket,
                >>::Stream,
            >,
        ),
        tokio_postgres::Error,
    > {
        self.config.connect(self.tls.clone()).await
    }

    /// For messages: where, and as whom; never the password.
    pub(crate) fn told(&self) -> String {
        use tokio_postgres::config::Host;
        let host = self.config.get_hosts().first().map_or_else(
            || "localhost".to_owned(),
            |host| match host {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            },
        );
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("");
        format!("database \"{database}\" at \"{host}:{port}\"")
    }
}

fn invalid(action: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Invalid, action)
}

/// A URL without what the driver does not know.
struct Url {
    text: String,
    verify: bool,
    roots: Option<PathBuf>,
}

impl Url {
    fn parse(text: &str) -> Self {
        let mut url = Self { text: String::new(), verify: false, roots: None };
        match text.split_once('?') {
            Some((before, query)) if is_url(text) => {
                let kept: Vec<_> = query.split('&').filter(|pair| url.keeps(pair)).collect();
                url.text = if kept.is_empty() {
                    before.to_owned()
                } else {
                    format!("{before}?{}", kept.join("&"))
                };
            }
            _ if is_url(text) => url.text = text.to_owned(),
            _ => {
                let kept: Vec<_> = text.split_whitespace().filter(|pair| url.keeps(pair)).collect();
                // Only rebuilt where there was something to take out: a quoted value may have spaces.
                url.text = if url.verify || url.roots.is_some() {
                    kept.join(" ")
                } else {
                    text.to_owned()
                };
            }
        }
        url
    }

    /// Whether the driver knows the pair; notes what it does not.
    fn keeps(&mut self, pair: &str) -> bool {
        match pair.split_once('=') {
            Some(("sslmode", "verify-full" | "verify-ca")) => self.verify = true,
            Some(("sslrootcert", path)) => self.roots = Some(PathBuf::from(path)),
            _ => return true,
        }
        false
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

fn tls(verify: bool, roots: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("set up TLS").caused_by(error))?;
    if !verify && roots.is_none() {
        let trusting = Arc::new(AnyCertificate(provider));
        let builder = builder.dangerous().with_custom_certificate_verifier(trusting);
        return Ok(builder.with_no_client_auth());
    }
    let mut store = RootCertStore::empty();
    match roots {
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unreadable = |error: &dyn fmt::Display| {
                invalid(format!(
                    "read the root certificates in \"{}\": {error}; name a PEM file in sslrootcert",
                    path.display()
                ))
            };
            let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                store.add(certificate).map_err(|error| unreadable(&error))?;
            }
            if store.is_empty() {
                return Err(unreadable(&"there is none in it"));
            }
        }
    }
    Ok(builder.with_root_certificates(store).with_no_client_auth())
}

/// Trusts any certificate: what `sslmode=require` and `prefer` mean everywhere. The connection is
/// encrypted; who is at its other end is not checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, bool, Option<PathBuf>) {
        let Url { text, verify, roots } = Url::parse(text);
        (text, verify, roots)
    }

    #[test]
    fn what_the_driver_does_not_know_is_taken_out_of_the_url() {
        assert_eq!(
            parsed("postgres://u:p@h/d?sslmode=verify-full&connect_timeout=3&sslrootcert=/ca.pem"),
            ("postgres://u:p@h/d?connect_timeout=3".to_owned(), true, Some("/ca.pem".into()))
        );
        assert_eq!(
            parsed("postgres://u:p@h/d?sslmode=require"),
            ("postgres://u:p@h/d?sslmode=require".to_owned(), false, None)
        );
        assert_eq!(
            parsed("host=h user=u sslmode=verify-ca"),
            ("host=h user=u".to_owned(), true, None)
        );
        assert_eq!(
            parsed("host=h password='a  b'"),
            ("host=h password='a  b'".to_owned(), false, None)
        );
    }

    #[test]
    fn no_password_is_shown() {
        let config = Config::new("postgres://user:hunter2@host:1/base");
        let server = Server::of(&config).unwrap();

        assert!(!format!("{config:?} {server:?} {}", server.told()).contains("hunter2"));
        let broken = Config::new("postgres://user:hunter2@host:port/base?what=hunter2");
        let error = Server::of(&broken).unwrap_err();
        assert!(!postq_core::error::chain(&error).contains("hunter2"), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
