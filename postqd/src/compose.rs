//! Putting the parts together: one store, the platforms, the vault, an engine.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::feed::Only;
use postq_core::id::TenantId;
use postq_core::media::MediaStore;
use postq_core::platform::Platform;
use postq_core::vault::KeyRing;
use postq_engine::desk::DeskSettings;
use postq_engine::dry_run::DryRun;
use postq_engine::webhooks::Webhooks;
use postq_engine::{Engine, EngineBuilder, NodeFacts, Settings};
use postq_outbound::HttpCourier;

use crate::adapters::Adapters;
use crate::config::Config;
use crate::key::{self, Secrets};
use crate::media::{files, media};
use crate::output::Usage;
use crate::outward;
use crate::store::Store;

/// The database in the data folder.
pub(crate) const DATABASE: &str = "postq.db";

/// Everything that the commands work with.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) backend: Backend,
    pub(crate) adapters: Adapters,
    pub(crate) files: Arc<dyn MediaStore>,
    platforms: Vec<Arc<dyn Platform>>,
}

impl Node {
    /// Opens the store and puts the platforms together.
    pub(crate) async fn open(config: Config) -> anyhow::Result<Self> {
        let store = Store::open(&config).await?;
        let files = files(&config).await?;
        let adapters = Adapters::new(&config, &files)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut platforms: Vec<Arc<dyn Platform>> = vec![Arc::new(DryRun::new(Arc::clone(&clock)))];
        platforms.extend(adapters.all().into_iter().map(|platform| match config.dry_run {
            true => Arc::new(DryRun::of(platform, Arc::clone(&clock))) as Arc<dyn Platform>,
            false => platform,
        }));
        let backend = store.backend.clone();
        Ok(Self { config, store, backend, adapters, files, platforms })
    }

    /// The platforms, the dry run among them.
    pub(crate) fn platforms(&self) -> impl Iterator<Item = &Arc<dyn Platform>> {
        self.platforms.iter()
    }

    fn desk_settings(&self) -> DeskSettings {
        DeskSettings {
            min_interval: self.config.min_interval,
            grace: self.config.misfire_grace,
            ..DeskSettings::default()
        }
    }

    /// The vault in force, whether or not it opens what is sealed.
    pub(crate) async fn vault(&self) -> anyhow::Result<KeyRing> {
        key::vault(&self.config, &self.secrets().await?)
    }

    /// Fails if a key that is gone, or another one, would keep an engine from starting. To be asked
    /// before something is taken in: a refused command leaves nothing behind that is sent later.
    pub(crate) async fn ensure_key(&self) -> anyhow::Result<()> {
        let secrets = self.secrets().await?;
        key::ensure_fits(&key::vault(&self.config, &secrets)?, &secrets)
    }

    /// Everything that is sealed.
    pub(crate) async fn secrets(&self) -> anyhow::Result<Secrets> {
        let webhooks = self.store.webhooks.list(TenantId::DEFAULT).await?;
        Ok(Secrets { accounts: self.accounts().await?, webhooks })
    }

    /// All accounts.
    pub(crate) async fn accounts(&self) -> anyhow::Result<Vec<Account>> {
        Ok(self.backend.accounts.list(TenantId::DEFAULT).await?)
    }

    /// The store's time.
    pub(crate) async fn now(&self) -> anyhow::Result<DateTime<Utc>> {
        Ok(self.backend.jobs.now().await?)
    }

    /// An engine that touches nothing but what it is given, and plays every role.
    pub(crate) async fn engine(&self, only: Only) -> anyhow::Result<Engine> {
        self.built(self.builder(self.settings(only)).await?)
    }

    /// An engine that plays the roles of this node, and tells the others that it does.
    pub(crate) async fn engine_in_its_roles(&self) -> anyhow::Result<Engine> {
        let (roles, mut settings) = (self.config.roles, self.settings(Only::Any));
        settings.plan = roles.planner;
        if !roles.worker {
            settings.topics.clear();
        }
        let keys = self.vault().await?.key_ids().map(str::to_owned).collect();
        self.built(self.among(self.builder(settings).await?, keys))
    }

    /// An engine that never runs, for its desk; with the vault where credentials are to be sealed, or platforms are
    /// to be asked for their rules.
    pub(crate) fn engine_at_rest(&self, vault: Option<KeyRing>) -> anyhow::Result<Engine> {
        let mut builder = self.among(
            Engine::builder(self.backend.clone())
                .settings(self.settings(Only::Any))
                .prices(self.config.prices.clone())
                .media(media(self, Vec::new())?),
            Vec::new(),
        );
        if let Some(vault) = vault {
            // Not kept from fitting by other accounts that are sealed with a key that is gone: to
            // connect one again is how that is mended.
            builder = builder.vault(Arc::new(vault)).webhooks(self.webhooks()?);
        }
        self.built(builder)
    }

    fn among(&self, builder: EngineBuilder, keys: Vec<String>) -> EngineBuilder {
        let facts = NodeFacts {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roles: self.config.roles.names().map(str::to_owned).collect(),
            keys,
        };
        builder.among(Arc::clone(&self.store.nodes), facts)
    }

    async fn builder(&self, settings: Settings) -> anyhow::Result<EngineBuilder> {
        let secrets = self.secrets().await?;
        let vault = key::vault(&self.config, &secrets)?;
        key::ensure_fits(&vault, &secrets)?;
        let links = key::link_keys(&self.config, &secrets)?;
        let mut builder = Engine::builder(self.backend.clone())
            .vault(Arc::new(vault))
            .webhooks(self.webhooks()?)
            .media(media(self, links)?)
            .prices(self.config.prices.clone())
            .settings(settings);
        for channel in outward::channels(&self.config.outward)? {
            builder = builder.notifier(channel.notifier);
        }
        Ok(builder)
    }

    /// Where endpoints are kept, and what brings requests to them.
    fn webhooks(&self) -> anyhow::Result<Webhooks> {
        let outbound = outward::outbound(&self.config.outward)?;
        let courier = Arc::new(HttpCourier::new(outbound));
        Ok(Webhooks { store: Arc::clone(&self.store.webhooks), courier })
    }

    fn built(&self, mut builder: EngineBuilder) -> anyhow::Result<Engine> {
        for platform in &self.platforms {
            builder = builder.platform(Arc::clone(platform));
        }
        builder.build().map_err(|error| Usage(error.to_string()).into())
    }

    fn settings(&self, only: Only) -> Settings {
        let config = &self.config;
        Settings {
            topics: config.topics.clone(),
            look_ahead: config.look_ahead,
            prepare_ahead: config.prepare_ahead,
            lease: config.lease,
            max_attempts: config.max_attempts.get(),
            time_limit: config.time_limit,
            warn_after: config.time_limit.mul_f64(0.8),
            grace_period: config.grace_period,
            retention: config.retention,
            only,
            desk: self.desk_settings(),
            ..Settings::default()
        }
    }
}

/// Where the database is.
pub(crate) fn database(config: &Config) -> PathBuf {
    config.data_dir.join(DATABASE)
}
