//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::Failure;
use postq_core::platform::PlatformName;
use postq_http::{
    Answer, Base, Calls, ConfigError, Hidden, NoAnswer, Token, ask, client, server_time, within,
};
use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use secrecy::SecretString;
use serde::Deserialize;

use crate::config::Config;
use crate::error::unread;

/// The longest answer to a call that creates, or that asks who one is.
pub(crate) const MOST_OF_ONE: usize = 64 * 1_024;

/// The platform `x`: publishes through X's API v2, and finds again what it cannot tell of.
///
/// An account's secret is its access token, bare or as JSON `{"access_token": "…"}`. Its remote id
/// is X's id of the user; where it is unknown, every look asks X for it first.
pub struct X {
    pub(crate) config: Config,
    pub(crate) name: PlatformName,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether X was found to want the newer names; see [`Fields::Auto`](crate::Fields::Auto).
    pub(crate) wants_post_fields: AtomicBool,
    base: Base,
    http: reqwest::Client,
}

impl fmt::Debug for X {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whom a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whoami {
    /// X's id of the user: the account's remote id.
    pub id: String,
    /// The name behind the `@`.
    pub username: Option<String>,
}

impl X {
    /// An adapter with these settings; makes no request.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, named; or that the host has no certificates to check X's by.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let base = config.check()?;
        let http = client(&Calls::of("x", "base_url", &base, config.send_timeout))?;
        Ok(Self {
            config,
            name: "x".parse().expect("a short lower-case word"),
            clock: Arc::new(SystemClock),
            wants_post_fields: AtomicBool::new(false),
            base,
            http,
        })
    }

    /// Asks X whom a token belongs to: for connecting an account.
    ///
    /// # Errors
    ///
    /// Of class `auth` if X refuses the token.
    pub async fn whoami(&self, secret: &SecretString) -> Result<Whoami, Failure> {
        let token = Token::read(Some(secret))?;
        self.ask_whoami(&token, self.config.send_timeout).await
    }

    pub(crate) async fn ask_whoami(
        &self,
        token: &Token,
        within: Duration,
    ) -> Result<Whoami, Failure> {
        let hidden = Hidden::secret(token.expose());
        let answer = self
            .get("/users/me", &[], token, MOST_OF_ONE, within)
            .await
            .map_err(|lost| lost.into_failure(hidden))?;
        let me = answer.read::<Me>().filter(|_| answer.status.is_success());
        match me {
            Some(Me { data: User { id, username } }) if is_id(&id) => Ok(Whoami { id, username }),
            _ => Err(unread(&answer, hidden, self.server_now(&answer))),
        }
    }

    /// The one creating call.
    pub(crate) async fn create(&self, token: &Token, body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let request = self
            .http
            .post(format!("{}/tweets", self.base.url))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        send(request, token, MOST_OF_ONE, within(self.config.send_timeout)).await
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base.url))
    }

    /// A call that publishes nothing.
    pub(crate) async fn call(
        &self,
        path: &str,
        body: Option<Vec<u8>>,
        token: &Token,
        most: usize,
    ) -> Result<Answer, NoAnswer> {
        let mut request = self.post(path);
        request = match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body),
            None => request.header(CONTENT_LENGTH, "0"),
        };
        send(request, token, most, within(self.config.send_timeout)).await
    }

    pub(crate) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
        most: usize,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        let request = self.http.get(format!("{}{path}", self.base.url)).query(query);
        send(request, token, most, within).await
    }

    /// The time by X's clock, else by the host's.
    pub(crate) fn server_now(&self, answer: &Answer) -> DateTime<Utc> {
        server_time(&answer.headers).unwrap_or_else(|| self.clock.now())
    }
}

#[derive(Deserialize)]
struct Me {
    data: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: Option<String>,
}

/// Whether this can be an id of X: digits today, and nothing that could change a path.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

async fn send(
    request: RequestBuilder,
    token: &Token,
    most: usize,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    ask("x", token.sign(request), most, within).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_does_not_show_more_than_its_settings() {
        let x = X::new(Config { base_url: "http://127.0.0.1:1".into(), ..Config::default() });

        assert!(format!("{:?}", x.expect("an adapter")).starts_with("X { config: Config"));
    }
}
