//! One HTTP call: guarded, bounded, never repeated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use postq_core::error::chain;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};

use crate::allow::AllowList;
use crate::guard::{self, Refused};
use crate::resolve::{Lookup, Resolver, SystemLookup};

/// How long a call may take, where it does not say otherwise.
const WITHIN: Duration = Duration::from_secs(15);
/// How much of an answer is read, where the call does not say otherwise.
const AT_MOST: usize = 64 * 1_024;
/// Redirects that are followed, of a `GET`.
const REDIRECTS: u8 = 3;
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections without use are kept so long, and so many per host.
const IDLE: (Duration, usize) = (Duration::from_secs(45), 4);

/// Makes HTTP calls to where they may go. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Outbound {
    allow: Arc<AllowList>,
    guarded: Client,
    /// For names that the list allows at whatever address: of its own, as connections are shared by
    /// name.
    meant: Client,
    /// Why `https` cannot be called.
    no_tls: Option<Arc<str>>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Calls the open internet and what the list allows.
    ///
    /// # Errors
    ///
    /// If no HTTP client can be made. A host without certificates is none: then `https` alone fails.
    pub fn new(allow: AllowList) -> Result<Self, OutboundError> {
        Self::with_lookup(allow, Arc::new(SystemLookup))
    }

    /// The same with another way to look up names.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_lookup(allow: AllowList, lookup: Arc<dyn Lookup>) -> Result<Self, OutboundError> {
        let allow = Arc::new(allow);
        let guarded = Resolver { lookup: Arc::clone(&lookup), guard: Some(Arc::clone(&allow)) };
        let meant = Resolver { lookup, guard: None };
        let (guarded, meant) = (Arc::new(guarded), Arc::new(meant));
        match (client(&guarded).build(), client(&meant).build()) {
            (Ok(guarded), Ok(meant)) => Ok(Self { allow, guarded, meant, no_tls: None }),
            (Err(error), _) | (_, Err(error)) => {
                let without = |resolver| client(resolver).tls_certs_only([]).build();
                let (guarded, meant) = (without(&guarded)?, without(&meant)?);
                Ok(Self { allow, guarded, meant, no_tls: Some(chain(&error).into()) })
            }
        }
    }

    /// Reads a URL and checks what can be told without asking anybody: scheme, user, host, and the
    /// address if it holds one. The address behind a name is checked with every call.
    ///
    /// # Errors
    ///
    /// A URL that would never be called.
    pub fn check(&self, url: &str) -> Result<Url, Refused> {
        self.allow.check(url)
    }

    /// Makes one call, within its bounds.
    ///
    /// # Errors
    ///
    /// If there is no answer. An answer of any status is one.
    pub async fn call(&self, call: Call) -> Result<Answer, NoAnswer> {
        let (within, host) = (call.within, host(&call.url));
        match tokio::time::timeout(within, self.follow(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Lost(format!("\"{host}\" did not answer within {within:?}"))),
        }
    }

    /// Makes one call, and leaves the body to be read. Its own bound is for the answer to begin.
    pub(crate) async fn open(&self, call: Call) -> Result<Response, NoAnswer> {
        let (within, host) = (call.within, host(&call.url));
        match tokio::time::timeout(within, self.lead(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Lost(format!("\"{host}\" did not answer within {within:?}"))),
        }
    }

    /// What the list names.
    pub(crate) fn allowed(&self) -> &AllowList {
        &self.allow
    }

    async fn follow(&self, call: Call) -> Result<Answer, NoAnswer> {
        let at_most = call.at_most;
        Answer::read(self.lead(call).await?, at_most).await
    }

    /// Follows redirects to the answer that is none.
    async fn lead(&self, mut call: Call) -> Result<Response, NoAnswer> {
        loop {
            guard::check(&self.allow, &call.url)?;
            let response = self.send(&call).await?;
            let Some(next) = call.next(&response)? else {
                return Ok(response);
            };
            if next.origin() != call.url.origin() {
                // They were meant for the first one.
                call.headers.clear();
            }
            call.redirects -= 1;
            call.url = next;
        }
    }

    async fn send(&self, call: &Call) -> Result<Response, NoAnswer> {
        if let Some(problem) = self.no_tls.as_ref().filter(|_| call.url.scheme() == "https") {
            return Err(NoAnswer::NeverSent(format!(
                "https cannot be called: {problem}; install the system's CA certificates (package \
                 ca-certificates)"
            )));
        }
        let client = match guard::is_meant(&self.allow, &call.url) {
            true => &self.meant,
            false => &self.guarded,
        };
        let request = client
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone())
            .body(call.body.clone());
        request.send().await.map_err(|error| NoAnswer::of(&call.url, error))
    }
}

fn client(resolver: &Arc<Resolver>) -> reqwest::ClientBuilder {
    // reqwest panics without one. Whichever was installed first stays.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("postq/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::clone(resolver))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE.0)
        .pool_max_idle_per_host(IDLE.1)
}

/// A call to be made.
#[derive(Clone)]
#[must_use]
pub struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    within: Duration,
    at_most: usize,
    redirects: u8,
}

/// Shows no path, header or body: they may hold secrets.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Call");
        shown.field("method", &self.method).field("host", &host(&self.url)).finish_non_exhaustive()
    }
}

impl Call {
    /// Gets something; up to 3 redirects are followed, each through the guard.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, Vec::new(), REDIRECTS)
    }

    /// Posts a body. Redirects are not followed: they are answers.
    pub fn post(url: Url, body: Vec<u8>) -> Self {
        Self::new(Method::POST, url, body, 0)
    }

    fn new(method: Method, url: Url, body: Vec<u8>, redirects: u8) -> Self {
        let headers = HeaderMap::new();
        Self { method, url, headers, body, within: WITHIN, at_most: AT_MOST, redirects }
    }

    /// Adds a header. A redirect to another origin does not get it.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// How long all of it may take. Defaults to 15 s.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// How many bytes of the answer are read. Defaults to 64 KiB.
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.at_most = bytes;
        self
    }

    /// Where a redirect leads to, if it is one and may be followed.
    fn next(&self, response: &Response) -> Result<Option<Url>, Refused> {
        const FOLLOWED: [u16; 5] = [301, 302, 303, 307, 308];
        if self.redirects == 0 || !FOLLOWED.contains(&response.status().as_u16()) {
            return Ok(None);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(next) = location.and_then(|location| self.url.join(location).ok()) else {
            return Ok(None);
        };
        if self.url.scheme() == "https" && next.scheme() == "http" {
            return Err(Refused::downgrade(&host(&self.url)));
        }
        Ok(Some(next))
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// An answer, read to a bound.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, up to the bound.
    pub body: Vec<u8>,
    /// Whether that is all of the body.
    pub whole: bool,
}

/// Shows no body: it is somebody else's.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    async fn read(mut response: Response, at_most: usize) -> Result<Self, NoAnswer> {
        let (mut body, mut whole) = (Vec::new(), true);
        while let Some(chunk) = response.chunk().await.map_err(|error| {
            NoAnswer::Lost(format!("the answer was cut off: {}", chain(&error.without_url())))
        })? {
            let room = at_most - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                whole = false;
                break;
            }
        }
        Ok(Self { status: response.status(), headers: response.headers().clone(), body, whole })
    }
}

/// Why there is no answer. Names the host and never the path or the query: they may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The guard does not let it out.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Surely nothing was sent.
    #[error("{0}")]
    NeverSent(String),
    /// It may have been sent, or not.
    #[error("{0}")]
    Lost(String),
}

impl NoAnswer {
    fn of(url: &Url, error: reqwest::Error) -> Self {
        if let Some(refused) = refusal(&error) {
            return Self::Refused(refused.clone());
        }
        let never_sent = error.is_connect() || error.is_builder();
        let text = format!("call \"{}\": {}", host(url), chain(&error.without_url()));
        if never_sent { Self::NeverSent(text) } else { Self::Lost(text) }
    }
}

/// What the guard said to the client while it connected.
fn refusal(error: &reqwest::Error) -> Option<&Refused> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref() {
            return Some(refused);
        }
        next = cause.source();
    }
    None
}

/// Why no HTTP client can be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made")]
pub struct OutboundError(#[from] reqwest::Error);
