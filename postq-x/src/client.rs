//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::PlatformName;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::config::{Base, Config, ConfigError};
use crate::error::{NoAnswer, unread};
use crate::hide::Hidden;
use crate::limits::server_time;

/// The longest answer to a call that creates, or that asks who one is.
const MOST_OF_ONE: usize = 64 * 1_024;
/// The longest wait for a connection; a shorter one where `send_timeout` is short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept so long without use: below what servers commonly allow, so that a call seldom meets a
/// connection that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(45);
/// Connections kept for the next burst.
const MOST_IDLE: usize = 512;

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
        let http = build(&config, &base)?;
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
        let hidden = Hidden { token: token.expose(), text: "" };
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
        // A margin, so that the answer to the caller is not later than was promised.
        let margin = (self.config.send_timeout / 20).min(Duration::from_millis(500));
        send(request, token, MOST_OF_ONE, self.config.send_timeout - margin).await
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
        let margin = (self.config.send_timeout / 20).min(Duration::from_millis(500));
        send(request, token, most, self.config.send_timeout - margin).await
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
}

/// An access token, ready to be sent.
pub(crate) struct Token {
    secret: SecretString,
    header: HeaderValue,
}

impl Token {
    /// Reads an account's secret: a bare token, or JSON with an `access_token`.
    pub(crate) fn read(secret: Option<&SecretString>) -> Result<Self, Failure> {
        let unusable = |problem: &str| {
            let message = format!("{problem}; add the account again with an access token");
            Failure::not_published(FailureClass::Auth, message)
        };
        let text = secret.map(|secret| secret.expose_secret().trim()).unwrap_or_default();
        if text.is_empty() {
            return Err(unusable("the account has no access token"));
        }
        let token = if text.starts_with('{') {
            let stored: Stored = serde_json::from_str(text)
                .map_err(|_| unusable("the account's secret has no \"access_token\""))?;
            stored.access_token
        } else {
            text.to_owned()
        };
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            unusable("the account's access token has characters that none can have")
        })?;
        header.set_sensitive(true);
        Ok(Self { secret: token.into(), header })
    }

    pub(crate) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

#[derive(Deserialize)]
struct Stored {
    access_token: String,
}

fn build(config: &Config, base: &Base) -> Result<reqwest::Client, ConfigError> {
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
    if base.is_plain {
        // No certificate is ever checked, so the host needs none.
        builder = builder.tls_certs_only([]);
    }
    if base.is_loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        let cause = postq_core::error::chain(&error);
        let remedy = "install the system's CA certificates (package ca-certificates)";
        ConfigError::new("base_url", format!("no TLS client can be made: {cause}; {remedy}"))
    })
}

async fn send(
    request: RequestBuilder,
    token: &Token,
    most: usize,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    read(request.header(AUTHORIZATION, token.header.clone()).timeout(within), most).await
}

/// Asks for something that needs no access token.
pub(crate) async fn ask(request: RequestBuilder, within: Duration) -> Result<Answer, NoAnswer> {
    read(request.timeout(within), MOST_OF_ONE).await
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

    fn token(secret: &str) -> Result<String, String> {
        let secret = SecretString::from(secret.to_owned());
        Token::read(Some(&secret))
            .map(|token| token.expose().to_owned())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_secret_is_a_bare_token_or_json() {
        assert_eq!(token(" abc\n"), Ok("abc".to_owned()));
        assert_eq!(token(r#"{"access_token":"abc","refresh_token":"r"}"#), Ok("abc".to_owned()));
    }

    #[test]
    fn an_unusable_secret_says_what_to_do_and_is_not_shown() {
        for secret in ["", "  ", r#"{"token":"hunter2"}"#, "{hunter2", "hunter2\nx"] {
            let error = token(secret).expect_err(secret);
            assert!(error.contains("add the account again"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Token::read(None).is_err());
    }

    #[test]
    fn an_adapter_does_not_show_more_than_its_settings() {
        let x = X::new(Config { base_url: "http://127.0.0.1:1".into(), ..Config::default() });

        assert!(format!("{:?}", x.expect("an adapter")).starts_with("X { config: Config"));
    }
}
