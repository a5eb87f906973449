//! Putting an engine together and running it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_calendar::Calendar;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::error::{ErrorKind, StoreError};
use postq_core::feed::Mark;
use postq_core::id::{JobId, NodeId, TenantId};
use postq_core::job::{JobKind, Topic};
use postq_core::node::{Node, NodeStore};
use postq_core::notifier::{LogNotifier, Notifier};
use postq_core::platform::Platform;
use postq_core::retry::{ExponentialJitter, RetryStrategy};
use postq_core::schedule::Resolver;
use postq_core::vault::Vault;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::{Builder, Uuid};

use crate::desk::Desk;
use crate::handler::{Handler, Notify};
use crate::health::Health;
use crate::keeper::Keeper;
use crate::media::{Media, MediaDesk};
use crate::pauses::Pauses;
use crate::planner::SLOW_SWEEP;
use crate::platforms::Platforms;
use crate::polls::{Capture, Polling};
use crate::presence::{self, NodeFacts, Presence};
use crate::prices::Prices;
use crate::readings::{CallsLeft, Readings};
use crate::settings::Settings;
use crate::settle::Report;
use crate::tokens::{self, Tokens};
use crate::webhooks::{Deliver, Failing, Listeners, WebhookDesk, Webhooks};
use crate::{keeper, planner, polls, rezone, sweeper, worker};

/// Plans, publishes, looks, retries: everything between a schedule and a publication.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use postq_core::clock::{Clock, SystemClock};
/// use postq_core::memory::MemoryBackend;
/// use postq_engine::Engine;
/// use postq_engine::dry_run::DryRun;
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock: Arc<dyn Clock> = Arc::new(SystemClock);
/// let backend = MemoryBackend::new(Arc::clone(&clock)).backend();
/// let engine = Engine::builder(backend)
///     .platform(Arc::new(DryRun::new(clock)))
///     .build()
///     .expect("the defaults fit together");
///
/// let shutdown = CancellationToken::new();
/// let stop = shutdown.clone();
/// tokio::spawn(async move {
///     tokio::time::sleep(Duration::from_millis(10)).await;
///     stop.cancel();
/// });
/// engine.run(shutdown).await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all parts of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) backend: Backend,
    pub(crate) platforms: Platforms,
    pub(crate) vault: Option<Arc<dyn Vault>>,
    pub(crate) tokens: Tokens,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) retry: Arc<dyn RetryStrategy>,
    pub(crate) polling: Polling,
    pub(crate) prices: Arc<Prices>,
    pub(crate) handlers: BTreeMap<JobKind, Arc<dyn Handler>>,
    /// By which a person is told.
    pub(crate) channels: Vec<String>,
    pub(crate) settings: Settings,
    pub(crate) health: Health,
    pub(crate) keeper: Keeper,
    pub(crate) pauses: Pauses,
    pub(crate) readings: Readings,
    pub(crate) presence: Presence,
    /// Who is told of what happens; nobody is without webhooks.
    pub(crate) listeners: Option<Listeners>,
    pub(crate) reports: broadcast::Sender<Report>,
    /// What posts with media need; without it they are refused.
    pub(crate) media: Option<Media>,
    webhooks: Option<Webhooks>,
    rng: Mutex<SmallRng>,
}

impl Shared {
    /// A sample from [0, 1).
    pub(crate) fn sample(&self) -> f64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// A new job's id: later ones sort later, and with a seed it follows from the seed.
    pub(crate) fn job_id(&self, now: DateTime<Utc>) -> JobId {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        JobId::from_uuid(Builder::from_unix_timestamp_millis(millis, &rng.random()).into_uuid())
    }

    /// A stretch of time, shortened by up to a quarter, so that nodes do not beat together.
    pub(crate) fn jittered(&self, stretch: Duration) -> Duration {
        stretch.mul_f64(1.0 - self.sample() / 4.0)
    }

    /// Waits for a change, until then at the latest; a feed that does not come back is an error.
    pub(crate) async fn wait(
        &self,
        topic: &Topic,
        mark: Mark,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // The engine waits for less than two of its slow sweeps, whatever the clocks say.
        let most = SLOW_SWEEP * 2 + self.settings.store_timeout;
        match tokio::time::timeout(most, self.backend.feed.wait(topic, mark, until)).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new(
                ErrorKind::Unavailable,
                format!("wait for a change: no answer within {most:?}"),
            )),
        }
    }

    /// Bounds a call to a store.
    pub(crate) async fn bounded<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.settings.store_timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new(
                ErrorKind::Unavailable,
                format!("{action}: no answer within {:?}", self.settings.store_timeout),
            )),
        }
    }
}

impl Engine {
    /// Starts to put an engine together, on this backend.
    pub fn builder(backend: Backend) -> EngineBuilder {
        EngineBuilder {
            backend,
            platforms: Vec::new(),
            vault: None,
            resolver: Arc::new(Calendar::new()),
            retry: Arc::new(ExponentialJitter::default()),
            polling: Polling::default(),
            prices: Prices::default(),
            notifiers: Vec::new(),
            handlers: BTreeMap::new(),
            webhooks: None,
            media: None,
            clock: Arc::new(SystemClock),
            nodes: None,
            facts: NodeFacts::default(),
            seed: None,
            settings: Settings::default(),
        }
    }

    /// Runs until `shutdown`: then it claims nothing more, lets running attempts finish within the
    /// grace period and gives the rest back. Trouble with the backend never ends it: every loop
    /// tries again, and [`health`](Self::health) tells.
    ///
    /// Dropping the future stops everything at once, as a crash would; leases then run out.
    pub async fn run(&self, shutdown: CancellationToken) {
        let again = || (Arc::clone(&self.shared), shutdown.clone());
        let mut loops = JoinSet::new();
        loops.spawn(supervised("keeper", again(), |shared, _| keeper::run(shared)));
        loops.spawn(supervised("sweeper", again(), sweeper::run));
        if self.shared.settings.plan {
            loops.spawn(supervised("planner", again(), planner::run));
            loops.spawn(supervised("rezone", again(), rezone::run));
            loops.spawn(supervised("tokens", again(), tokens::ahead::run));
        }
        if polls::are_wanted(&self.shared.settings) {
            loops.spawn(supervised("polls", again(), polls::run));
        }
        let mut workers = JoinSet::new();
        for topic in self.shared.settings.topics.clone() {
            let run = move |shared, shutdown| worker::run(shared, topic.clone(), shutdown);
            workers.spawn(supervised("worker", again(), run));
        }
        shutdown.cancelled().await;
        // The workers end after their last attempt; the keeper holds the leases of these attempts
        // until it is dropped here.
        while workers.join_next().await.is_some() {}
        // A token that is just being renewed is worth its while: without its end the account is lost.
        let written = self.shared.tokens.written();
        if tokio::time::timeout(self.shared.settings.grace_period, written).await.is_err() {
            tracing::error!("a renewed token was not written down at the end of the grace period");
        }
        // Whatever tells that it is there is over before it says that it is not.
        drop(loops);
        presence::farewell(&self.shared).await;
    }

    /// How the loops are doing.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// The calls that platforms have left at `now`, as far as they told it to attempts that ran here.
    pub fn calls_left(&self, now: DateTime<Utc>) -> Vec<CallsLeft> {
        self.shared.readings.left(now)
    }

    /// The backend it runs on.
    pub fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    /// Which engine this is.
    pub fn node(&self) -> NodeId {
        self.shared.node
    }

    /// What it tells the other nodes of itself, as it is now.
    pub fn told(&self) -> Node {
        presence::node(&self.shared, false)
    }

    /// Where the nodes tell of themselves, if it was given that.
    pub fn nodes(&self) -> Option<&Arc<dyn NodeStore>> {
        self.shared.presence.nodes.as_ref()
    }

    /// What it was set to.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// What opens the accounts' credentials.
    pub fn vault(&self) -> Option<&Arc<dyn Vault>> {
        self.shared.vault.as_ref()
    }

    /// What gives, and renews, the accounts' credentials.
    pub fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// The platforms it publishes on.
    pub fn platforms(&self) -> &Platforms {
        &self.shared.platforms
    }

    /// Where posts and schedules come in, with the engine's [`Settings::desk`].
    pub fn desk(&self) -> Desk {
        let desk = Desk::new(
            self.shared.backend.clone(),
            self.shared.platforms.clone(),
            Arc::clone(&self.shared.resolver),
        )
        .with_settings(self.shared.settings.desk)
        .with_tokens(self.shared.tokens.clone())
        .with_prices(Arc::clone(&self.shared.prices));
        match self.shared.media.clone() {
            Some(media) => desk.with_media(media),
            None => desk,
        }
    }

    /// What calls cost.
    pub fn prices(&self) -> &Prices {
        &self.shared.prices
    }

    /// Where media come in; none without [`EngineBuilder::media`].
    pub fn media(&self) -> Option<MediaDesk> {
        Some(MediaDesk::new(self.shared.media.clone()?, TenantId::DEFAULT))
    }

    /// Where webhooks are set up; none without [`EngineBuilder::webhooks`].
    pub fn webhooks(&self) -> Option<WebhookDesk> {
        let (webhooks, vault) = (self.shared.webhooks.clone()?, self.shared.vault.clone());
        Some(WebhookDesk::new(webhooks, self.shared.backend.clone(), vault))
    }

    /// What becomes of each attempt, as it happens. A receiver that lags loses the oldest.
    pub fn reports(&self) -> broadcast::Receiver<Report> {
        self.shared.reports.subscribe()
    }
}

/// Does a round every so often until the shutdown, and tells how that goes.
pub(crate) async fn in_rounds<F: Future<Output = Result<(), StoreError>>>(
    shared: &Shared,
    shutdown: &CancellationToken,
    name: &'static str,
    every: Duration,
    round: impl Fn() -> F,
) {
    let mut beat = shared.health.beat(name, every);
    while !shutdown.is_cancelled() {
        let pause = match round().await {
            Ok(()) => {
                beat.ok();
                shared.jittered(every)
            }
            Err(error) => beat.failed(&error, shared.sample()),
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Runs a loop, and starts it again if it panics: none may die quietly.
async fn supervised<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    (shared, shutdown): (Arc<Shared>, CancellationToken),
    run: impl Fn(Arc<Shared>, CancellationToken) -> F,
) {
    loop {
        // A set and not a handle: dropped with this future, it takes the loop with it.
        let mut task = JoinSet::new();
        task.spawn(run(Arc::clone(&shared), shutdown.clone()));
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(loop_name = name, %error, "a loop panicked; it starts again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            _ => return,
        }
    }
}

/// Puts an engine together. Only the backend has no default.
#[derive(Debug)]
pub struct EngineBuilder {
    backend: Backend,
    platforms: Vec<Arc<dyn Platform>>,
    vault: Option<Arc<dyn Vault>>,
    resolver: Arc<dyn Resolver>,
    retry: Arc<dyn RetryStrategy>,
    polling: Polling,
    prices: Prices,
    notifiers: Vec<Arc<dyn Notifier>>,
    handlers: BTreeMap<JobKind, Arc<dyn Handler>>,
    webhooks: Option<Webhooks>,
    media: Option<Media>,
    clock: Arc<dyn Clock>,
    nodes: Option<Arc<dyn NodeStore>>,
    facts: NodeFacts,
    seed: Option<u64>,
    settings: Settings,
}

/// Why an engine cannot be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(String);

impl EngineBuilder {
    /// Adds a platform, under its own name.
    #[must_use]
    pub fn platform(mut self, platform: Arc<dyn Platform>) -> Self {
        self.platforms.push(platform);
        self
    }

    /// What opens the accounts' credentials. Without one, accounts that have some cannot publish.
    #[must_use]
    pub fn vault(mut self, vault: Arc<dyn Vault>) -> Self {
        self.vault = Some(vault);
        self
    }

    /// What resolves schedules. Defaults to [`Calendar`].
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// When failed attempts are retried. Defaults to [`ExponentialJitter`].
    #[must_use]
    pub fn retry(mut self, retry: Arc<dyn RetryStrategy>) -> Self {
        self.retry = retry;
        self
    }

    /// What calls cost, and how much may be spent in a month. Defaults to nothing.
    #[must_use]
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = prices;
        self
    }

    /// How metrics are polled, where the settings have the topic `metrics`.
    #[must_use]
    pub fn polling(mut self, polling: Polling) -> Self {
        self.polling = polling;
        self
    }

    /// Adds a channel by which a person is told. Without any there is [`LogNotifier`].
    #[must_use]
    pub fn notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifiers.push(notifier);
        self
    }

    /// What runs jobs of a kind of the user's own; the kind's topic belongs in the settings.
    #[must_use]
    pub fn handler(mut self, kind: JobKind, handler: Arc<dyn Handler>) -> Self {
        self.handlers.insert(kind, handler);
        self
    }

    /// Tells endpoints of what happens, and delivers where the settings have the topic `webhook`.
    #[must_use]
    pub fn webhooks(mut self, webhooks: Webhooks) -> Self {
        self.webhooks = Some(webhooks);
        self
    }

    /// What posts with media need. Files are uploaded ahead where the settings have the topic `media`.
    #[must_use]
    pub fn media(mut self, media: Media) -> Self {
        self.media = Some(media);
        self
    }

    /// The clock of the health report, and of webhooks' signatures. Defaults to the host's. Work follows
    /// the store's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where the nodes that share the backend tell of themselves, and what this one has to tell. Defaults
    /// to nowhere: an engine alone need not.
    #[must_use]
    pub fn among(mut self, nodes: Arc<dyn NodeStore>, facts: NodeFacts) -> Self {
        (self.nodes, self.facts) = (Some(nodes), facts);
        self
    }

    /// Makes every jitter follow from this number. For simulations.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What else can be set.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Checks that everything fits together.
    pub fn build(mut self) -> Result<Engine, BuildError> {
        let longest_send = self.platforms.iter().map(|p| p.pace().send_timeout).max();
        if let Some(problem) = self.settings.problem(longest_send.unwrap_or_default()) {
            return Err(BuildError(problem));
        }
        let channels = channels(self.notifiers)?;
        let names: Vec<String> = channels.keys().cloned().collect();
        self.handlers.entry(JobKind::notify()).or_insert(Arc::new(Notify(channels)));
        if let Some(webhooks) = &self.webhooks {
            let deliver = Deliver {
                webhooks: webhooks.clone(),
                backend: self.backend.clone(),
                vault: self.vault.clone(),
                clock: Arc::clone(&self.clock),
                channels: names.clone(),
                failing: Failing::default(),
            };
            self.handlers.entry(JobKind::webhook_deliver()).or_insert(Arc::new(deliver));
        }
        let platforms = Platforms::new(self.platforms);
        let tokens = Tokens::new(
            &self.backend,
            self.vault.clone(),
            platforms.clone(),
            self.settings.store_timeout,
        );
        let prices = Arc::new(self.prices.polled_by(self.polling.cadence.as_ref()));
        let capture = Capture {
            backend: self.backend.clone(),
            platforms: platforms.clone(),
            tokens: tokens.clone(),
            polling: self.polling.clone(),
            prices: Arc::clone(&prices),
            rate_limit: self.settings.rate_limit,
            channels: names.clone(),
        };
        let kind = JobKind::new(JobKind::METRICS_CAPTURE);
        self.handlers.entry(kind).or_insert(Arc::new(capture));
        let (seed, node) = match self.seed {
            Some(seed) => (seed, NodeId::from_uuid(Uuid::from_u64_pair(seed, seed))),
            None => (rand::random(), NodeId::new()),
        };
        let shared = Shared {
            node,
            backend: self.backend,
            platforms,
            vault: self.vault,
            tokens,
            resolver: self.resolver,
            retry: self.retry,
            polling: self.polling,
            prices,
            handlers: self.handlers,
            channels: names,
            settings: self.settings,
            presence: Presence {
                nodes: self.nodes,
                facts: self.facts,
                started_at: self.clock.now(),
            },
            health: Health::new(self.clock),
            keeper: Keeper::default(),
            pauses: Pauses::default(),
            readings: Readings::default(),
            listeners: self
                .webhooks
                .as_ref()
                .map(|webhooks| Listeners::new(Arc::clone(&webhooks.store))),
            reports: broadcast::Sender::new(4_096),
            webhooks: self.webhooks,
            media: self.media,
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
        };
        Ok(Engine { shared: Arc::new(shared) })
    }
}

/// Channels by their names.
fn channels(
    mut notifiers: Vec<Arc<dyn Notifier>>,
) -> Result<BTreeMap<String, Arc<dyn Notifier>>, BuildError> {
    if notifiers.is_empty() {
        notifiers.push(Arc::new(LogNotifier));
    }
    let mut channels = BTreeMap::new();
    for notifier in notifiers {
        let name = notifier.channel().to_owned();
        if channels.insert(name.clone(), notifier).is_some() {
            return Err(BuildError(format!("there are two channels \"{name}\" to notify by")));
        }
    }
    Ok(channels)
}
