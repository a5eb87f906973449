//! A daemon that is asked over the network: bounded in time and size, and nothing is done twice because
//! a connection was lost.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use postq_core::error::chain;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Body, Client, Method, Request, Url};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use uuid::Uuid;

use super::answer::Answer;
use super::form::Form;
use super::{Ask, MEDIA};
use crate::config::Config;
use crate::output::{Output, Usage};

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for an answer: a little more than a daemon gives itself.
const TIMEOUT: Duration = Duration::from_secs(40);
/// The same for files: a daemon gives itself 20 minutes.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(21 * 60);
/// The same for calendars.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(320);
/// The largest answer.
const MOST_ANSWER: usize = 64 * 1_024 * 1_024;
/// Longer waits that a daemon asks for are not waited for.
const MOST_RETRY_AFTER: u64 = 60;
/// Asked again so often where the daemon says that it is too busy.
const MOST_BUSY: u32 = 10;

/// A daemon and how it is asked.
#[derive(Debug)]
pub(super) struct Server {
    base: Url,
    token: Option<HeaderValue>,
    http: Client,
}

impl Server {
    /// The daemon that the configuration names.
    pub(super) fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(text) = &config.server else { return Ok(None) };
        let base = base(text).map_err(|why| Usage(format!("--server (POSTQ_SERVER): {why}")))?;
        let token = match &config.token {
            Some(token) => {
                let header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
                let mut header = header.map_err(|_| {
                    Usage("--token (POSTQ_TOKEN): is no token; expected postq_...".to_owned())
                })?;
                header.set_sensitive(true);
                Some(header)
            }
            None => None,
        };
        let http = client(&base)?;
        Ok(Some(Self { base, token, http }))
    }

    /// Tells if somebody on the way could read the token.
    pub(super) fn warn(&self, output: Output) {
        if self.token.is_some() && self.base.scheme() == "http" && !is_loopback(&self.base) {
            output.warn(format!(
                "the token goes to {} unencrypted, and everybody on the way can read it; use https",
                self.name()
            ));
        }
    }

    fn name(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Asks, and asks once more if the connection was lost and that is safe: what reads, and what has a
    /// key under which it is done once.
    pub(super) async fn ask(&self, ask: Ask) -> anyhow::Result<Answer> {
        let key = (ask.method == Method::POST).then(|| Uuid::now_v7().to_string());
        let is_safe = key.is_some() || ask.method == Method::GET;
        let is_import = ask.path == "/api/import";
        let within = if is_import { IMPORT_TIMEOUT } else { TIMEOUT };
        let deadline = Instant::now() + within;
        let (mut lost, mut busy) = (0, 0);
        loop {
            let answer = match self.once(self.request(&ask, key.as_deref(), within)?).await {
                Ok(answer) => answer,
                // One that took too long had its time.
                Err(Lost::Connection(error)) if is_safe && lost == 0 && !error.is_timeout() => {
                    lost += 1;
                    continue;
                }
                Err(lost) => return Err(self.lost(lost, is_safe)),
            };
            let problem = answer.problem();
            let code = problem.as_ref().map_or("", |problem| problem.code.as_str());
            let waits = match code {
                // The question that was lost on its way back is being worked on.
                "in_progress" => Instant::now() < deadline,
                "too_many_requests" => {
                    busy += 1;
                    busy <= MOST_BUSY
                }
                _ => false,
            };
            let seconds = answer.retry_after.unwrap_or(1);
            if waits && seconds <= MOST_RETRY_AFTER {
                tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
                continue;
            }
            return self.judged(answer);
        }
    }

    /// Sends a file, once: the same file again is the same file, and whoever asks may ask again.
    pub(super) async fn send(&self, form: Form) -> anyhow::Result<Answer> {
        let ask = Ask::new(Method::POST, MEDIA);
        let mut request = self.request(&ask, None, UPLOAD_TIMEOUT)?;
        let kind = HeaderValue::from_str(&form.kind()).context("put the form together")?;
        request.headers_mut().insert(CONTENT_TYPE, kind);
        let content = StreamBody::new(form.content().map_ok(Frame::data));
        *request.body_mut() = Some(Body::wrap(content));
        match self.once(request).await {
            Ok(answer) => self.judged(answer),
            Err(lost) => Err(self.lost(lost, true)),
        }
    }

    /// An answer of postq's API; another one is not believed, whatever its status.
    fn judged(&self, answer: Answer) -> anyhow::Result<Answer> {
        let is_empty = answer.status.as_u16() == 204 && answer.body.is_empty();
        let is_ours = match answer.status.is_success() {
            true => answer.is_json || is_empty,
            false => answer.problem().is_some(),
        };
        if !is_ours {
            bail!(
                "{} answered {}, and not as the API of postq does; is that the address of postqd \
                 serve?",
                self.name(),
                answer.status
            );
        }
        answer.good()
    }

    fn lost(&self, lost: Lost, is_safe: bool) -> anyhow::Error {
        let name = self.name();
        match lost {
            Lost::Connection(error) if error.is_connect() => anyhow::anyhow!(
                "{name} cannot be reached: {}; does postqd serve run there?",
                chain(&error.without_url())
            ),
            Lost::Connection(error) => {
                let what = match is_safe {
                    true => "ask again",
                    false => "it may be done or not: look before you ask again",
                };
                anyhow::anyhow!("{name} did not answer: {}; {what}", chain(&error.without_url()))
            }
            Lost::TooLarge => {
                anyhow::anyhow!(
                    "the answer of {name} is larger than any of postq's; is that the \
                                 address of postqd serve?"
                )
            }
        }
    }

    fn request(&self, ask: &Ask, key: Option<&str>, within: Duration) -> anyhow::Result<Request> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), ask.path));
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut request = self.http.request(ask.method.clone(), url).timeout(within);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(seen) = ask.seen {
            request = request.header(IF_MATCH, format!("\"{seen}\""));
        }
        if let Some(body) = &ask.body {
            let body = serde_json::to_vec(body)?;
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        request.build().context("put the request together")
    }

    async fn once(&self, request: Request) -> Result<Answer, Lost> {
        let mut response = self.http.execute(request).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MOST_ANSWER {
                return Err(Lost::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let kind = header(CONTENT_TYPE).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        Ok(Answer {
            status: response.status(),
            is_json: essence == "application/json" || essence == "application/problem+json",
            retry_after: header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
            cause: None,
            body,
        })
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Lost {
    Connection(reqwest::Error),
    TooLarge,
}

impl From<reqwest::Error> for Lost {
    fn from(error: reqwest::Error) -> Self {
        Self::Connection(error)
    }
}

fn base(text: &str) -> Result<Url, String> {
    let expected = "expected an address as https://postq.example.com or http://127.0.0.1:8484";
    // Not quoted: there may be a password in it.
    let url = Url::parse(text).map_err(|error| format!("is no address ({error}); {expected}"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return Err(format!("is no address of a web server; {expected}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "has a user or a password in it; give a token by POSTQ_TOKEN instead".to_owned()
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has more than an address in it; {expected}"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

fn client(base: &Url) -> anyhow::Result<Client> {
    // reqwest panics without one. Whichever was installed first stays.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("postqd/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT);
    if base.scheme() == "http" {
        // No certificate is ever checked, so this machine needs none.
        builder = builder.tls_certs_only([]);
    }
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        anyhow::anyhow!(
            "no TLS client can be made: {}; install the system's CA certificates (package \
             ca-certificates)",
            chain(&error)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_and_nothing_else() {
        for good in ["https://postq.example.com", "http://127.0.0.1:8484/", "https://a.b/postq"] {
            base(good).unwrap();
        }
        for (bad, why) in [
            ("localhost:8484", "no address of a web server"),
            ("postq.example.com", "no address"),
            ("ftp://a.b", "no address of a web server"),
            ("https://me:secret@a.b", "a password in it"),
            ("https://a.b/?token=secret", "more than an address"),
        ] {
            let told = base(bad).unwrap_err();
            assert!(told.contains(why) && !told.contains("secret"), "{bad}: {told}");
        }
    }

    #[test]
    fn loopback_is_this_machine() {
        for near in ["http://localhost:1", "http://127.0.0.2", "http://[::1]:8484"] {
            assert!(is_loopback(&base(near).unwrap()), "{near}");
        }
        for far in ["http://10.0.0.1", "http://localhost.example.com", "http://[::2]"] {
            assert!(!is_loopback(&base(far).unwrap()), "{far}");
        }
    }
}
