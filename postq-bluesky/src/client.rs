//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::Failure;
use postq_core::platform::PlatformName;
use postq_http::{Answer, Calls, ConfigError, Hidden, NoAnswer, ask, client, server_time, within};
use reqwest::RequestBuilder;
use secrecy::SecretString;
use serde::Deserialize;

use crate::config::{Config, Places};
use crate::error::unread;
use crate::session::{Session, is_did};

/// The longest answer to a call about one thing.
pub(crate) const MOST_OF_ONE: usize = 256 * 1_024;

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
        let calls = Calls::of("bluesky", "service_url", &places.service, config.send_timeout);
        let http = client(&calls)?;
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
        let hidden = Hidden::secret(session.expose());
        let request = self.get(&session.pds, "com.atproto.server.getSession");
        let answer = deadline
            .ask(session.sign(request), MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(hidden)))?;
        match answer.success::<Me>() {
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
    pub(crate) fn after(promised: Duration) -> Self {
        Self(Instant::now() + within(promised))
    }

    /// Makes one call in what is left of the time.
    pub(crate) async fn ask(
        self,
        request: RequestBuilder,
        most: usize,
    ) -> Result<Answer, NoAnswer> {
        let left = self.0.saturating_duration_since(Instant::now());
        ask("bluesky", request, most, left).await
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
