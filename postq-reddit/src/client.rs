//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::credentials::Credentials;
use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::PlatformName;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::config::{Bases, Config, ConfigError};
use crate::error::{NoAnswer, unread};
use crate::hide::Hidden;
use crate::limits::server_time;
use crate::media::Leases;
use crate::preflight::Communities;

/// The longest answer to a call that creates, or that asks who one is.
const MOST_OF_ONE: usize = 64 * 1_024;
/// The longest wait for a connection; a shorter one where `send_timeout` is short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept so long without use: below what servers commonly allow, so that a call seldom meets a
/// connection that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(45);
/// Connections kept for the next burst.
const MOST_IDLE: usize = 64;
/// Asked for with every call: texts as they are, not as HTML.
pub(crate) const RAW: (&str, &str) = ("raw_json", "1");

/// The platform `reddit`: publishes through Reddit's OAuth API, and finds again what it cannot tell of.
///
/// An account's secret is its access token, bare or as JSON `{"access_token": "…"}`. Its remote id is the
/// user's name, which nobody can change; where it is unknown, every look asks Reddit for it first.
pub struct Reddit {
    pub(crate) config: Config,
    pub(crate) name: PlatformName,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bases: Bases,
    pub(crate) communities: Communities,
    pub(crate) leases: Leases,
    http: reqwest::Client,
}

impl fmt::Debug for Reddit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reddit").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whom a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whoami {
    /// Reddit's id of the user, without `t2_`.
    pub id: String,
    /// The name behind `u/`: the account's remote id.
    pub name: String,
}

impl Reddit {
    /// An adapter with these settings; makes no request.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, named; or that the host has no certificates to check Reddit's by.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let bases = config.check()?;
        let http = build(&config, &bases)?;
        Ok(Self {
            config,
            name: "reddit".parse().expect("a short lower-case word"),
            clock: Arc::new(SystemClock),
            bases,
            communities: Communities::default(),
            leases: Leases::default(),
            http,
        })
    }

    /// Asks Reddit whom a token belongs to: for connecting an account.
    ///
    /// # Errors
    ///
    /// Of class `auth` if Reddit refuses the token.
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
            .get("/api/v1/me", &[], token, MOST_OF_ONE, within)
            .await
            .map_err(|lost| lost.into_failure(hidden))?;
        let me = answer.read::<Me>().filter(|_| answer.status.is_success());
        match me {
            Some(Me { id, name }) if is_name(&name) => Ok(Whoami { id, name }),
            _ => Err(unread(&answer, hidden, self.server_now(&answer))),
        }
    }

    /// A call with a body.
    pub(crate) async fn post(
        &self,
        path: &str,
        (kind, body): (&'static str, Vec<u8>),
        token: &Token,
    ) -> Result<Answer, NoAnswer> {
        let url = format!("{}{path}", self.bases.api.url);
        let request = self.http.post(url).query(&[RAW]).header(CONTENT_TYPE, kind).body(body);
        send(request, token, MOST_OF_ONE, self.patience()).await
    }

    /// A call to the token endpoint, without an access token.
    pub(crate) fn post_auth(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.bases.auth.url))
    }

    /// A call to a store of Reddit's media: no token goes there.
    pub(crate) fn post_file(&self, url: &str) -> RequestBuilder {
        self.http.post(url)
    }

    pub(crate) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
        most: usize,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        let url = format!("{}{path}", self.bases.api.url);
        let request = self.http.get(url).query(query).query(&[RAW]);
        send(request, token, most, within).await
    }

    /// How long a call may take, with a margin, so that the answer to the caller is not later than was
    /// promised.
    pub(crate) fn patience(&self) -> Duration {
        let margin = (self.config.send_timeout / 20).min(Duration::from_millis(500));
        self.config.send_timeout - margin
    }

    /// The time by Reddit's clock, else by the host's.
    pub(crate) fn server_now(&self, answer: &Answer) -> DateTime<Utc> {
        server_time(&answer.headers).unwrap_or_else(|| self.clock.now())
    }
}

#[derive(Deserialize)]
struct Me {
    #[serde(default)]
    id: String,
    name: String,
}

/// Whether this can be the name of a user or a community, and nothing that could change a path.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

/// Whether this can be an id: base 36 in lower case today.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric())
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
        let secret = secret.ok_or_else(|| unusable("the account has no access token"))?;
        let known = Credentials::read(secret)
            .map_err(|_| unusable("the account's secret has no \"access_token\""))?;
        let text = format!("bearer {}", known.access_token.expose_secret());
        let mut header = HeaderValue::try_from(text).map_err(|_| {
            unusable("the account's access token has characters that none can have")
        })?;
        header.set_sensitive(true);
        Ok(Self { secret: known.access_token, header })
    }

    pub(crate) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

fn build(config: &Config, bases: &Bases) -> Result<reqwest::Client, ConfigError> {
    // reqwest panics without one. Whichever was installed first stays.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(config.user_agent()?)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // One connection per call in flight: where one is cut, one outcome is unknown.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT.min(config.send_timeout / 2))
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE);
    if bases.api.is_plain && bases.auth.is_plain {
        // No certificate is ever checked, so the host needs none.
        builder = builder.tls_certs_only([]);
    }
    if bases.api.is_loopback {
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
    fn a_name_or_id_cannot_change_a_path() {
        assert!(is_name("spez") && is_name("u_some-one_") && is_id("4bbe4b"));
        for bad in ["", "a/b", "..", "a?b", "a b", "é", &"a".repeat(33)] {
            assert!(!is_name(bad) && !is_id(bad), "{bad}");
        }
    }

    #[test]
    fn an_adapter_does_not_show_more_than_its_settings() {
        let config = Config { base_url: "http://127.0.0.1:1".into(), ..Config::default() };

        let shown = format!("{:?}", Reddit::new(config).expect("an adapter"));

        assert!(shown.starts_with("Reddit { config: Config"), "{shown}");
    }
}
