//! What the router is made of, and what may be set.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{MatchedPath, Request};
use postq_core::cache::Cache;
use postq_core::clock::{Clock, SystemClock};
use postq_core::connect::{Grant, Whose};
use postq_core::connecting::ConnectingStore;
use postq_core::error::StoreError;
use postq_core::failure::Failure;
use postq_core::fallback::Breaker;
use postq_core::idempotency::IdempotencyStore;
use postq_core::memory::MemoryCache;
use postq_core::platform::PlatformName;
use postq_core::pool::Pools;
use postq_core::token::TokenStore;
use postq_engine::Engine;
use postq_engine::desk::Desk;
use secrecy::SecretString;

use crate::api::{import, media};
use crate::channel::Channel;
use crate::document::Shown;
use crate::events::Hub;
use crate::guard::access::Gate;
use crate::guard::limit::Limits;
use crate::health::Readiness;
use crate::incoming::Incoming;
use crate::metrics::{Recorded, Scrape};
use crate::reach::{Reach, Reached};
use crate::tally::Counted;

/// Answers that are kept in memory where no other cache is given: a year by day takes about 100 KiB.
const CACHED: usize = 256;

/// Everything that the router needs; see [`router`](crate::router).
#[derive(Clone, Debug)]
pub struct Web {
    /// The engine beside it: its desk takes posts in, its reports are the live events.
    pub engine: Engine,
    /// Who may use the API.
    pub tokens: Arc<dyn TokenStore>,
    /// What makes a repeated request harmless.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// What keeps connections that were begun; without it accounts are added by access token alone.
    pub connecting: Option<Arc<dyn ConnectingStore>>,
    /// Tells whose an access token is; without it accounts are connected without asking.
    pub identify: Option<Arc<dyn Identify>>,
    /// Signs in with passwords that are made for apps; without it no platform takes one.
    pub sign_in: Option<Arc<dyn SignIn>>,
    /// What takes what platforms send by themselves; without any, nothing is taken.
    pub incoming: Vec<Arc<dyn Incoming>>,
    /// Services beside the store that may be away; while one is, the node is `degraded`.
    pub services: Vec<Breaker>,
    /// Tells `/readyz?platforms=true` which platforms cannot be reached; without it nothing is asked.
    pub reach: Option<Arc<dyn Reach>>,
    /// The channels by which people are told, as the engine's; without any none is shown and none tried.
    pub channels: Vec<Channel>,
    /// How the store's connections are used; without it `/metrics` does not tell.
    pub pools: Option<Arc<dyn Pools>>,
    /// What the process has recorded; without it `/metrics` shows the gauges alone.
    pub recorded: Option<Arc<dyn Recorded>>,
    /// Keeps what is costly to work out. Defaults to one in memory.
    pub cache: Arc<dyn Cache>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// What may be set.
    pub settings: Settings,
}

impl Web {
    /// A router's parts with the defaults for the rest.
    pub fn new(
        engine: Engine,
        tokens: Arc<dyn TokenStore>,
        idempotency: Arc<dyn IdempotencyStore>,
    ) -> Self {
        Self {
            engine,
            tokens,
            idempotency,
            connecting: None,
            identify: None,
            sign_in: None,
            incoming: Vec::new(),
            services: Vec::new(),
            reach: None,
            channels: Vec::new(),
            pools: None,
            recorded: None,
            cache: Arc::new(MemoryCache::with_capacity(Arc::new(SystemClock), CACHED)),
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
        }
    }

    /// Fails if the API would be open to everybody at this address: beyond loopback there must be a
    /// good token. To be asked before it listens.
    pub async fn ensure_guarded(&self, address: SocketAddr) -> Result<(), Unguarded> {
        if address.ip().is_loopback() {
            return Ok(());
        }
        let tokens = self.tokens.list(self.engine.desk().tenant()).await?;
        if tokens.iter().any(|token| token.revoked_at.is_none()) {
            return Ok(());
        }
        Err(Unguarded::NoToken(address))
    }
}

/// Why the API must not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unguarded {
    /// Nobody could be told from anybody else.
    #[error(
        "{0} can be reached from other hosts and there is no token; make one first: postqd token \
         create --scope admin --name NAME, or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The store could not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a user may set of the API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host names by which it may be asked, besides `localhost` and IP addresses. Defaults to none.
    pub hosts: Vec<String>,
    /// Origins (`https://app.example.com`) whose pages may use it. Defaults to none.
    pub origins: Vec<String>,
    /// Requests per second of one token, or one address without one. Defaults to 50.
    pub requests_per_second: NonZeroU32,
    /// As many may come at once. Defaults to 100.
    pub burst: NonZeroU32,
    /// The largest body, in bytes. Defaults to 512 KiB: a post may have 64 KiB of text for each
    /// platform.
    pub most_body: usize,
    /// A request is given up after so long. Defaults to 30 s.
    pub request_timeout: Duration,
    /// The largest body with content calendars, in bytes. Defaults to 24 MiB.
    pub most_import: usize,
    /// The import of content calendars is given up after so long. Defaults to 5 min.
    pub import_timeout: Duration,
    /// The upload of a picture or video is given up after so long. Defaults to 20 min.
    pub upload_timeout: Duration,
    /// Answers are kept for repeated requests for so long. Defaults to 24 h.
    pub keep_answers: Duration,
    /// Event streams that may be open at once. Defaults to 256.
    pub most_streams: usize,
    /// Whether `/metrics` needs no token, wherever it is asked from. Defaults to no: it needs one but
    /// from this very host.
    pub metrics_open: bool,
    /// The version that is shown. Defaults to this crate's.
    pub version: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        let number = |n| NonZeroU32::new(n).expect("no default is 0");
        Self {
            hosts: Vec::new(),
            origins: Vec::new(),
            requests_per_second: number(50),
            burst: number(100),
            most_body: 512 * 1_024,
            request_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_secs(20 * 60),
            most_import: 24 * 1_024 * 1_024,
            import_timeout: Duration::from_secs(300),
            keep_answers: Duration::from_secs(86_400),
            most_streams: 256,
            metrics_open: false,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// How much a request may bring, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) most_body: usize,
    pub(crate) timeout: Duration,
}

impl Settings {
    /// The bounds of a request: those of its route.
    pub(crate) fn bounds(&self, request: &Request) -> Bounds {
        let route = request.extensions().get::<MatchedPath>();
        let is = |path| route.is_some_and(|route| route.as_str().ends_with(path));
        if is(import::PATH) {
            return Bounds { most_body: self.most_import, timeout: self.import_timeout };
        }
        // How large a file may be is for whoever keeps it.
        let timeout = if is(media::PATH) { self.upload_timeout } else { self.request_timeout };
        Bounds { most_body: self.most_body, timeout }
    }
}

/// Tells whose an access token is.
#[async_trait]
pub trait Identify: fmt::Debug + Send + Sync + 'static {
    /// The platform's id of whom the token belongs to; none if the platform cannot be asked that. A
    /// failure of class `auth` means that the token is refused.
    async fn identify(
        &self,
        platform: &PlatformName,
        token: &SecretString,
    ) -> Result<Option<String>, Failure>;
}

/// Makes a grant of a password that was made for an app, where a platform has such.
#[async_trait]
pub trait SignIn: fmt::Debug + Send + Sync + 'static {
    /// Whether the platform has such passwords.
    fn takes(&self, platform: &PlatformName) -> bool;

    /// What the platform gives for the password, and whose it is. A failure of class `auth` means that it is
    /// refused. The password is kept nowhere.
    async fn sign_in(
        &self,
        platform: &PlatformName,
        handle: &str,
        password: &SecretString,
    ) -> Result<(Grant, Whose), Failure>;
}

/// What all handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) web: Web,
    pub(crate) desk: Desk,
    pub(crate) gate: Gate,
    pub(crate) limits: Limits,
    /// By who tries to sign in.
    pub(crate) sign_ins: Limits,
    /// Of notifications.
    pub(crate) tests: Limits,
    pub(crate) hub: Hub,
    pub(crate) readiness: Readiness,
    pub(crate) scrape: Scrape,
    pub(crate) counted: Counted,
    pub(crate) reached: Reached,
    /// Put together when it is first asked for.
    pub(crate) document: OnceLock<Shown>,
}

/// What a handler is given.
pub(crate) type App = Arc<Shared>;
