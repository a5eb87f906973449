//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::MediaStore;
use postq_core::platform::{Identity, PlatformName};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::boards::Known;
use crate::config::{Base, Config, ConfigError};
use crate::error::{NoAnswer, unread};
use crate::hide::{Hidden, Texts};
use crate::limits::server_time;
use crate::media::Tickets;

/// The longest answer that is about one thing.
pub(crate) const MOST_OF_ONE: usize = 256 * 1_024;
/// The longest wait for a connection; a shorter one where `send_timeout` is short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept so long without use: below what servers commonly allow, so that a call seldom meets a connection
/// that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(45);
/// Connections kept for the next burst.
const MOST_IDLE: usize = 512;
/// A margin, so that the answer to the caller is not later than was promised.
const MARGIN: Duration = Duration::from_millis(500);

/// The platform `pinterest`: publishes Pins through Pinterest's API v5, and finds again what it cannot tell
/// of.
///
/// An account's secret is its access token, bare or as JSON `{"access_token": "…"}`.
pub struct Pinterest {
    pub(crate) config: Config,
    pub(crate) name: PlatformName,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where pictures are read from when their Pin is created.
    pub(crate) files: Arc<dyn MediaStore>,
    pub(crate) known: Known,
    pub(crate) tickets: Tickets,
    pub(crate) base: Base,
    http: reqwest::Client,
}

impl fmt::Debug for Pinterest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinterest").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Whom a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: Option<String>,
}

impl Pinterest {
    /// An adapter with these settings, which reads pictures from where media are kept; makes no request.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, named; or that the host has no certificates to check Pinterest's by.
    pub fn new(config: Config, files: Arc<dyn MediaStore>) -> Result<Self, ConfigError> {
        let base = config.check()?;
        let http = build(&config, &base)?;
        Ok(Self {
            config,
            name: "pinterest".parse().expect("a short lower-case word"),
            clock: Arc::new(SystemClock),
            files,
            known: Known::default(),
            tickets: Tickets::default(),
            base,
            http,
        })
    }

    /// What calls for this account are made with; they end within `send_timeout` from now. The texts are kept
    /// out of what is told of them.
    pub(crate) fn caller<'a>(
        &'a self,
        who: &Identity,
        texts: Texts<'a>,
    ) -> Result<Caller<'a>, Failure> {
        Ok(self.caller_with(Token::read(who.secret.as_ref())?, texts))
    }

    pub(crate) fn caller_with<'a>(&'a self, token: Token, texts: Texts<'a>) -> Caller<'a> {
        let within = within(self.config.send_timeout);
        Caller { pinterest: self, token, texts, deadline: Instant::now() + within }
    }

    /// A request without a token.
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base.url))
    }

    /// A request to an address that Pinterest named.
    pub(crate) fn post_to(&self, address: &str) -> RequestBuilder {
        self.http.post(address)
    }

    /// The time by Pinterest's clock, else by the host's.
    pub(crate) fn server_now(&self, answer: &Answer) -> DateTime<Utc> {
        server_time(&answer.headers).unwrap_or_else(|| self.clock.now())
    }
}

/// What is left of a promised time for the calls themselves.
pub(crate) fn within(promised: Duration) -> Duration {
    promised - (promised / 20).min(MARGIN)
}

/// Makes calls for one account, until a deadline.
pub(crate) struct Caller<'a> {
    pub(crate) pinterest: &'a Pinterest,
    token: Token,
    texts: Texts<'a>,
    deadline: Instant,
}

impl Caller<'_> {
    /// The same, to end sooner.
    pub(crate) fn within(self, most: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + most), ..self }
    }

    pub(crate) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        most: usize,
    ) -> Result<Answer, NoAnswer> {
        let base = &self.pinterest.base.url;
        self.send(self.pinterest.http.get(format!("{base}{path}")).query(query), most).await
    }

    pub(crate) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let request = self.pinterest.post(path).header(CONTENT_TYPE, "application/json");
        self.send(request.body(body), MOST_OF_ONE).await
    }

    /// Asks Pinterest whom the token belongs to.
    pub(crate) async fn user(&self) -> Result<User, Failure> {
        let asked = self.get("/user_account", &[], MOST_OF_ONE).await;
        let answer = asked.map_err(|lost| lost.into_failure(self.hidden()))?;
        let user = answer.read::<User>().filter(|_| answer.status.is_success());
        user.filter(|user| is_id(&user.id)).ok_or_else(|| self.unread(&answer))
    }

    /// An answer with nothing to read, as a failed look.
    pub(crate) fn unread(&self, answer: &Answer) -> Failure {
        let now = self.pinterest.server_now(answer);
        unread(answer, self.hidden(), self.pinterest.config.access, now)
    }

    pub(crate) fn hidden(&self) -> Hidden<'_> {
        Hidden { token: self.token.expose(), texts: self.texts }
    }

    /// Waits for something of our own no longer than for Pinterest.
    pub(crate) async fn bounded<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::time::timeout(self.left(), work).await.unwrap_or_else(|_| {
            let message = format!("there was no time left to {what}");
            Err(Failure::not_published(FailureClass::Internal, message))
        })
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn send(&self, request: RequestBuilder, most: usize) -> Result<Answer, NoAnswer> {
        let left = self.left();
        if left.is_zero() {
            return Err(NoAnswer::NeverSent("there was no time left to ask pinterest".to_owned()));
        }
        let request = request.header(AUTHORIZATION, self.token.header.clone());
        read(request.timeout(left), most).await
    }
}

/// Whether this can be an id of Pinterest: digits.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_digit())
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

    fn expose(&self) -> &str {
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

/// Sends a request and reads its whole answer, to a bound.
pub(crate) async fn read(request: RequestBuilder, most: usize) -> Result<Answer, NoAnswer> {
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
    use postq_core::memory::MemoryMedia;

    use super::*;

    fn token(secret: &str) -> Result<String, String> {
        let secret = SecretString::from(secret.to_owned());
        Token::read(Some(&secret))
            .map(|token| token.expose().to_owned())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_secret_is_a_bare_token_or_json() {
        assert_eq!(token(" pina_abc\n"), Ok("pina_abc".to_owned()));
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
        let config = Config { base_url: "http://127.0.0.1:1".into(), ..Config::default() };
        let pinterest = Pinterest::new(config, Arc::new(MemoryMedia::default()));

        let shown = format!("{:?}", pinterest.expect("an adapter"));
        assert!(shown.starts_with("Pinterest { config: Config"), "{shown}");
    }

    #[test]
    fn ids_are_digits() {
        assert!(is_id("549755885175"));
        for bad in ["", "12a", "../1", "１", &"1".repeat(65)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
