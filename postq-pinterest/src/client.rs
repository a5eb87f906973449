//! The HTTP side: one client, bounded calls, no redirects, no retries.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::MediaStore;
use postq_core::platform::{Identity, PlatformName};
use postq_http::{
    Answer, Base, Calls, ConfigError, Hidden, NoAnswer, Token, ask, client, server_time, within,
};
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::boards::Known;
use crate::config::Config;
use crate::error::unread;
use crate::media::Tickets;

/// The longest answer that is about one thing.
pub(crate) const MOST_OF_ONE: usize = 256 * 1_024;

/// What a Pin says: its description, title, link, and what it shows for those who cannot see it.
pub(crate) type Texts<'a> = [&'a str; 4];

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
        let calls = Calls::of("pinterest", "base_url", &base, config.send_timeout);
        let http = client(&calls)?;
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
        Hidden::secret(self.token.expose()).with_texts(self.texts)
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
        ask("pinterest", self.token.sign(request), most, self.left()).await
    }
}

/// Whether this can be an id of Pinterest: digits.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use postq_core::memory::MemoryMedia;

    use super::*;

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
