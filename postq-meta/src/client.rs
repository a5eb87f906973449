//! The HTTP side that both platforms share: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::{Failure, FailureClass};
use postq_core::platform::Identity;
use postq_http::{
    Answer, Base, Calls, ConfigError, Hidden, NoAnswer, Token as Bearer, ask, client, server_time,
    within,
};
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::error::unread;

/// The longest answer about one thing.
pub(crate) const MOST_OF_ONE: usize = 64 * 1_024;
/// The longest page of a list.
pub(crate) const MOST_OF_LIST: usize = 1_024 * 1_024;
/// The longest address that is believed.
const MOST_URL: usize = 1_000;
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
        let calls = Calls::of(name, "base_url", &base, send_timeout).with_most_idle(MOST_IDLE);
        let http = client(&calls)?;
        Ok(Self { name, base, send_timeout, proof, clock: Arc::new(SystemClock), http })
    }

    /// A token of an account, ready to be sent.
    pub(crate) fn token(&self, who: &Identity) -> Result<Token, Failure> {
        self.proved(who.secret.as_ref())
    }

    /// The same of what is sealed for an account, or of a bare token.
    pub(crate) fn token_of(&self, secret: &SecretString) -> Result<Token, Failure> {
        self.proved(Some(secret))
    }

    fn proved(&self, secret: Option<&SecretString>) -> Result<Token, Failure> {
        let bearer = Bearer::read(secret)?;
        let proof = self.proof.as_ref().map(|key| proof(key, bearer.expose()));
        Ok(Token { bearer, proof })
    }

    /// Until when a call of a trait may go on: a little less than was promised.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + within(self.send_timeout)
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
        let hidden = Hidden::secret(token.expose());
        let answer = self.get(path, query, token, (most, until)).await;
        let answer = answer.map_err(|lost| lost.into_failure(hidden))?;
        answer.success().ok_or_else(|| unread(&answer, (self.name, hidden)))
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
        ask(self.name, request, most, left).await
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

/// Whether an address that Meta tells of a post can be shown to people.
pub(crate) fn is_address(url: &str) -> bool {
    url.starts_with("https://") && url.len() <= MOST_URL && !url.chars().any(char::is_whitespace)
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
        answer.success::<Self>()?.id.checked()
    }
}

/// An access token, ready to be sent, and what proves that the app may.
pub(crate) struct Token {
    bearer: Bearer,
    proof: Option<String>,
}

impl Token {
    pub(crate) fn expose(&self) -> &str {
        self.bearer.expose()
    }

    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        let request = self.bearer.sign(request);
        match &self.proof {
            Some(proof) => request.query(&[("appsecret_proof", proof)]),
            None => request,
        }
    }
}

/// Proves that who has the token is the app: its HMAC under the app's secret.
fn proof(app_secret: &SecretString, token: &str) -> String {
    let key = app_secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(token.as_bytes());
    let mac = mac.finalize().into_bytes();
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
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
        let proof = proof(&"app-secret".into(), "token");

        // echo -n token | openssl dgst -sha256 -hmac app-secret
        assert_eq!(proof, "4b062935fec529e51d39e89ee371a452c231b1e0c5549ac72d83fc4f3a0b0471");
    }
}
