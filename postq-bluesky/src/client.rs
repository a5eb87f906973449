//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::Failure;
use postq_core::platform::PlatformName;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;

use crate::config::{Config, ConfigError, Places};
use crate::error::{NoAnswer, unread};
use crate::hide::Hidden;
use crate::limits::server_time;
use crate::session::{Session, is_did};

/// The longest answer to a call about one thing.
pub(crate) const MOST_OF_ONE: usize = 256 * 1_024;
/// The longest wait for a connection; a shorter one where `send_timeout` is short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept so long without use: below what servers commonly allow, so that a call seldom meets a
/// connection that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(45);
/// Connections kept for the next burst.
const MOST_IDLE: usize = 512;

/// The platform `bluesky`: publishes to the account's own server through the AT Protocol.
///
/// An account's secret is a session: see [`sign_in`](Bluesky::sign_in), which makes one of an app password.
/// Its remote id is its DID.
pub struct Bluesky {
    pub(crate) config: Config,
    pub(crate) name: PlatformName,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) places: Places,
    http: reqwest::Client,
}

impl fmt::Debug for Bluesky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bluesky").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whom a session belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whoami {
    /// The account's DID: its remote id.
    pub did: String,
    /// What people call it: `alice.bsky.social`.
    pub handle: Option<String>,
}

impl Bluesky {
    /// An adapter with these settings; makes no request.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, named; or that the host has no certificates to check servers by.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let places = config.check()?;
        let http = build(&config, &places)?;
        Ok(Self {
            config,
            name: "bluesky".parse().expect("a short lower-case word"),
            clock: Arc::new(SystemClock),
            places,
            http,
        })
    }

    /// Asks the account's server whom a session belongs to.
    ///
    /// # Errors
    ///
    /// Of class `auth` if the server refuses the session.
    pub async fn whoami(&self, secret: &SecretString) -> Result<Whoami, Failure> {
        let session = Session::read(Some(secret), &self.places)?;
        self.ask_whoami(&session, self.deadline()).await
    }

    pub(crate) async fn ask_whoami(
        &self,
        session: &Session,
        deadline: Deadline,
    ) -> Result<Whoami, Failure> {
        let hidden = Hidden { token: session.expose(), text: "" };
        let request = self.get(&session.pds, "com.atproto.server.getSession");
        let answer = deadline
            .ask(session.sign(request), MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(hidden)))?;
        match answer.read::<Me>().filter(|_| answer.status.is_success()) {
            Some(Me { did, handle }) if is_did(&did) => Ok(Whoami { did, handle }),
            _ => Err(not_published(unread(&answer, hidden, self.server_now(&answer)))),
        }
    }

    pub(crate) fn get(&self, base: &str, method: &str) -> RequestBuilder {
        self.http.get(format!("{base}/xrpc/{method}"))
    }

    pub(crate) fn post(&self, base: &str, method: &str) -> RequestBuilder {
        self.http.post(format!("{base}/xrpc/{method}"))
    }

    /// A document that is no call of the protocol.
    pub(crate) fn document(&self, url: &str) -> RequestBuilder {
        self.http.get(url)
    }

    /// When a call that begins now must have ended, with a margin, so that the answer to the caller is not
    /// later than was promised.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.config.send_timeout)
    }

    /// The time by the server's clock, else by the host's.
    pub(crate) fn server_now(&self, answer: &Answer) -> DateTime<Utc> {
        server_time(&answer.headers).unwrap_or_else(|| self.clock.now())
    }
}

/// What was made by no creating call: whatever happened, nothing is out by it.
pub(crate) fn not_published(failure: Failure) -> Failure {
    Failure { outcome: postq_core::failure::Outcome::NotPublished, ..failure }
}

#[derive(Deserialize)]
struct Me {
    did: String,
    handle: Option<String>,
}

/// When all calls of one answer must have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(within: Duration) -> Self {
        let margin = (within / 20).min(Duration::from_millis(500));
        Self(Instant::now() + within - margin)
    }

    /// Makes one call in what is left of the time.
    pub(crate) async fn ask(
        self,
        request: RequestBuilder,
        most: usize,
    ) -> Result<Answer, NoAnswer> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::NeverSent("there was no time left to ask bluesky".to_owned()));
        }
        read(request.timeout(left), most).await
    }
}

/// A whole answer, read to a bound.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Empty if it was larger than the bound.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON of a shape, if it has it.
    pub(crate) fn read<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body of a success as JSON of a shape.
    pub(crate) fn success<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        self.read().filter(|_| self.status.is_success())
    }
}

impl Session {
    /// The same request, in the name of the account.
    pub(crate) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(AUTHORIZATION, self.header())
    }
}

fn build(config: &Config, places: &Places) -> Result<reqwest::Client, ConfigError> {
    // reqwest panics without one. Whichever was installed first stays.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("postq/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // One connection per call in flight: where one is cut, one outcome is unknown.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT.min(config.send_timeout / 2))
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE);
    if places.is_plain {
        // No certificate is ever checked, so the host needs none.
        builder = builder.tls_certs_only([]);
    }
    if places.is_loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        let cause = postq_core::error::chain(&error);
        let remedy = "install the system's CA certificates (package ca-certificates)";
        ConfigError::new("service_url", format!("no TLS client can be made: {cause}; {remedy}"))
    })
}

async fn read(request: RequestBuilder, most: usize) -> Result<Answer, NoAnswer> {
    let mut response = request.send().await?;
    let mut body = Vec::new();
    // Cut in the middle of an answer, even a refusing one: not whole, so not believed.
    while let Some(chunk) = response.chunk().await.map_err(cut)? {
        if body.len() + chunk.len() > most {
            body = Vec::new();
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
}

fn cut(error: reqwest::Error) -> NoAnswer {
    match NoAnswer::from(error) {
        NoAnswer::NeverSent(why) | NoAnswer::Lost(why) => NoAnswer::Lost(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_does_not_show_more_than_its_settings() {
        let bluesky = Bluesky::new(Config::default()).expect("an adapter");

        assert!(format!("{bluesky:?}").starts_with("Bluesky { config: Config"));
    }
}
