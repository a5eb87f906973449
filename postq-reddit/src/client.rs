//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::Failure;
use postq_core::platform::PlatformName;
use postq_http::{
    Answer, Calls, ConfigError, Hidden, NoAnswer, Token, ask, client, server_time, within,
};
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde::Deserialize;

use crate::config::{Bases, Config};
use crate::error::unread;
use crate::media::Leases;
use crate::preflight::Communities;
use crate::rules::Rules;

/// The longest answer to a call that creates, or that asks who one is.
pub(crate) const MOST_OF_ONE: usize = 64 * 1_024;
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
    /// What communities take.
    pub(crate) communities: Communities<Rules>,
    /// What they write for people.
    pub(crate) written: Communities<Vec<String>>,
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
        let calls = Calls::of("reddit", "base_url", &bases.api, config.send_timeout)
            .with_base(&bases.auth)
            .with_user_agent(config.user_agent()?)
            .with_most_idle(MOST_IDLE);
        let http = client(&calls)?;
        Ok(Self {
            config,
            name: "reddit".parse().expect("a short lower-case word"),
            clock: Arc::new(SystemClock),
            bases,
            communities: Communities::default(),
            written: Communities::default(),
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
        let token = token_of(Some(secret))?;
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
        within(self.config.send_timeout)
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

/// An account's access token, under the scheme as Reddit writes it.
pub(crate) fn token_of(secret: Option<&SecretString>) -> Result<Token, Failure> {
    Token::read_as("bearer", secret)
}

async fn send(
    request: RequestBuilder,
    token: &Token,
    most: usize,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    ask("reddit", token.sign(request), most, within).await
}

#[cfg(test)]
mod tests {
    use super::*;

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
