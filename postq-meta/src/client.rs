//! The HTTP side that both platforms share: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use postq_core::clock::{Clock, SystemClock};
use postq_core::credentials::Credentials;
use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::Identity;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::config::{Base, ConfigError};
use crate::error::{NoAnswer, unread};
use crate::hide::Hidden;
use crate::limits::server_time;

/// The longest answer about one thing.
pub(crate) const MOST_OF_ONE: usize = 64 * 1_024;
/// The longest page of a list.
pub(crate) const MOST_OF_LIST: usize = 1_024 * 1_024;
/// The longest wait for a connection; a shorter one where `send_timeout` is short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept so long without use: below what servers commonly allow, so that a call seldom meets a
/// connection that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(45);
/// Connections kept for the next burst.
const MOST_IDLE: usize = 128;

/// The Graph API, as one platform of it is called.
pub(crate) struct Graph {
    /// What people call the platform: it begins every message.
    pub(crate) name: &'static str,
    pub(crate) base: Base,
    /// The longest that one call of the platform's traits may take.
    pub(crate) send_timeout: Duration,
    /// What calls are proved with, where the app wants that.
    proof: Option<SecretString>,
    clock: Arc<dyn Clock>,
    http: reqwest::Client,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("base", &self.base.url).finish_non_exhaustive()
    }
}

impl Graph {
    pub(crate) fn new(
        name: &'static str,
        base: Base,
        send_timeout: Duration,
        proof: Option<SecretString>,
    ) -> Result<Self, ConfigError> {
        let http = build(&base, send_timeout)?;
        Ok(Self { name, base, send_timeout, proof, clock: Arc::new(SystemClock), http })
    }

    /// A token of an account, ready to be sent.
    pub(crate) fn token(&self, who: &Identity) -> Result<Token, Failure> {
        let Some(secret) = &who.secret else {
            let message = "the account has no access token; connect the account again";
            return Err(Failure::not_published(FailureClass::Auth, message));
        };
        self.token_of(secret)
    }

    /// The same of what is sealed for an account, or of a bare token.
    pub(crate) fn token_of(&self, secret: &SecretString) -> Result<Token, Failure> {
        let unusable = |why: String| Failure::not_published(FailureClass::Auth, why);
        let credentials = Credentials::read(secret).map_err(|bad| unusable(bad.to_string()))?;
        let secret = credentials.access_token;
        let mut header = HeaderValue::try_from(format!("Bearer {}", secret.expose_secret()))
            .map_err(|_| {
                let why = "the account's access token has characters that none can have";
                unusable(format!("{why}; connect the account again"))
            })?;
        header.set_sensitive(true);
        let proof = self.proof.as_ref().map(|key| proof(key, &secret));
        Ok(Token { secret, header, proof })
    }

    /// Until when a call of a trait may go on: a little less than was promised.
    pub(crate) fn deadline(&self) -> Instant {
        let margin = (self.send_timeout / 20).min(Duration::from_millis(500));
        Instant::now() + self.send_timeout - margin
    }

    /// Reads something below the base.
    pub(crate) async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
        (most, until): (usize, Instant),
    ) -> Result<Answer, NoAnswer> {
        let request = self.http.get(format!("{}{path}", self.base.url)).query(query);
        self.send(token.on(request), most, until).await
    }

    /// Sends JSON to a path below the base.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Value,
        token: &Token,
        until: Instant,
    ) -> Result<Answer, NoAnswer> {
        let request = self.http.post(format!("{}{path}", self.base.url));
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        self.send(token.on(request), MOST_OF_ONE, until).await
    }

    /// Sends a form with files in it, to an address.
    pub(crate) async fn upload(
        &self,
        url: String,
        (kind, body): (String, Vec<u8>),
        token: &Token,
        until: Instant,
    ) -> Result<Answer, NoAnswer> {
        let request = self.http.post(url).header(CONTENT_TYPE, kind).body(body);
        self.send(token.on(request), MOST_OF_ONE, until).await
    }

    /// Asks an address for a grant: without a token, with what is in the query or the form.
    pub(crate) async fn ask(&self, what: Ask<'_>, until: Instant) -> Result<Answer, NoAnswer> {
        let request = match what {
            Ask::Get(url, query) => self.http.get(url).query(query),
            Ask::Post(url, form) => self
                .http
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.as_bytes().to_vec()),
        };
        self.send(request, MOST_OF_ONE, until).await
    }

    /// Reads one thing that publishes nothing, in a shape.
    pub(crate) async fn read<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        token: &Token,
        (most, until): (usize, Instant),
    ) -> Result<T, Failure> {
        let hidden = Hidden { token: token.expose(), text: "" };
        let answer = self.get(path, query, token, (most, until)).await;
        let answer = answer.map_err(|lost| lost.into_failure(self.name, hidden))?;
        let read = answer.read().filter(|_| answer.status.is_success());
        read.ok_or_else(|| unread(&answer, (self.name, hidden)))
    }

    /// The time by the platform's clock, else by the host's.
    pub(crate) fn now(&self, answer: &Answer) -> DateTime<Utc> {
        server_time(&answer.headers).unwrap_or_else(|| self.clock.now())
    }

    async fn send(
        &self,
        request: RequestBuilder,
        most: usize,
        until: Instant,
    ) -> Result<Answer, NoAnswer> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoAnswer::NeverSent("there was no time left for the call".to_owned()));
        }
        read(request.timeout(left), most).await
    }
}

/// How a grant is asked for.
pub(crate) enum Ask<'a> {
    Get(&'a str, &'a [(&'a str, &'a str)]),
    Post(&'a str, &'a str),
}

/// Whether this can be an id of Meta's: digits, for a post of a Page two rows of them.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id.bytes().all(|c| c.is_ascii_digit() || c == b'_')
        && !id.starts_with('_')
}

/// Which node calls are made for: a Page, or an Instagram account.
pub(crate) fn node_of(who: &Identity) -> Option<Result<&str, Failure>> {
    let id = who.remote_id.as_deref()?;
    Some(if is_id(id) {
        Ok(id)
    } else {
        let message = "the account's remote id is no id of Meta's; connect the account again";
        Err(Failure::not_published(FailureClass::Auth, message))
    })
}

/// An id in an answer: Meta writes texts, and in places numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Id {
    Text(String),
    Number(u64),
}

impl Id {
    /// The id, if it can be one.
    pub(crate) fn checked(self) -> Option<String> {
        let id = match self {
            Self::Text(id) => id,
            Self::Number(id) => id.to_string(),
        };
        is_id(&id).then_some(id)
    }
}

/// An answer that has an id and says no more.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    id: Id,
}

impl Created {
    /// The id that a successful answer brings.
    pub(crate) fn of(answer: &Answer) -> Option<String> {
        answer.read::<Self>().filter(|_| answer.status.is_success())?.id.checked()
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
}

/// An access token, ready to be sent.
pub(crate) struct Token {
    secret: SecretString,
    header: HeaderValue,
    proof: Option<String>,
}

impl Token {
    pub(crate) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(AUTHORIZATION, self.header.clone());
        match &self.proof {
            Some(proof) => request.query(&[("appsecret_proof", proof)]),
            None => request,
        }
    }
}

/// Proves that who has the token is the app: its HMAC under the app's secret.
fn proof(app_secret: &SecretString, token: &SecretString) -> String {
    let key = app_secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(token.expose_secret().as_bytes());
    let mac = mac.finalize().into_bytes();
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn build(base: &Base, send_timeout: Duration) -> Result<reqwest::Client, ConfigError> {
    // reqwest panics without one. Whichever was installed first stays.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("postq/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // One connection per call in flight: where one is cut, one outcome is unknown.
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT.min(send_timeout / 2))
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
    fn an_id_can_not_change_a_path() {
        for good in ["1", "17841400000000000", "42_1220"] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", "_1", "me", "1/2", "../1", "1?x", "1 2", &"1".repeat(101)] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_call_is_proved_with_the_apps_secret() {
        let proof = proof(&"app-secret".into(), &"token".into());

        // echo -n token | openssl dgst -sha256 -hmac app-secret
        assert_eq!(proof, "4b062935fec529e51d39e89ee371a452c231b1e0c5549ac72d83fc4f3a0b0471");
    }
}
