//! Putting the parts together: one store, the platforms, the vault, an engine.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use postq_calendar::Calendar;
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::feed::Only;
use postq_core::id::TenantId;
use postq_core::platform::Platform;
use postq_core::store::Retention;
use postq_core::vault::ChaChaVault;
use postq_engine::desk::{Desk, DeskSettings};
use postq_engine::dry_run::DryRun;
use postq_engine::{Engine, Platforms, Settings};
use postq_x::X;

use crate::config::Config;
use crate::key;
use crate::output::Usage;
use crate::store::Store;

/// The database in the data folder.
pub(crate) const DATABASE: &str = "postq.db";

/// Everything that the commands work with.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) backend: Backend,
    pub(crate) x: Arc<X>,
    platforms: Vec<Arc<dyn Platform>>,
}

impl Node {
    /// Opens the store and puts the platforms together.
    pub(crate) async fn open(config: Config) -> anyhow::Result<Self> {
        let x = Arc::new(x(&config)?);
        let store = Store::open(&config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let dry_run = Arc::new(DryRun::new(Arc::clone(&clock)));
        let real: Arc<dyn Platform> = match config.dry_run {
            true => Arc::new(DryRun::of(Arc::clone(&x) as Arc<dyn Platform>, clock)),
            false => Arc::clone(&x) as Arc<dyn Platform>,
        };
        let backend = store.backend.clone();
        Ok(Self { config, store, backend, x, platforms: vec![dry_run, real] })
    }

    /// Where posts and schedules come in.
    pub(crate) fn desk(&self) -> Desk {
        let platforms = Platforms::new(self.platforms.iter().cloned());
        Desk::new(self.backend.clone(), platforms, Arc::new(Calendar::new()))
            .with_settings(self.desk_settings())
    }

    fn desk_settings(&self) -> DeskSettings {
        DeskSettings {
            min_interval: self.config.min_interval,
            grace: self.config.misfire_grace,
            ..DeskSettings::default()
        }
    }

    /// The names of the platforms.
    pub(crate) fn platform_names(&self) -> Vec<String> {
        self.platforms.iter().map(|platform| platform.name().to_string()).collect()
    }

    /// The vault in force, whether or not it opens what is sealed.
    pub(crate) async fn vault(&self) -> anyhow::Result<ChaChaVault> {
        key::vault(&self.config, &self.accounts().await?)
    }

    /// Fails if a key that is gone, or another one, would keep an engine from starting. To be asked
    /// before something is taken in: a refused command leaves nothing behind that is sent later.
    pub(crate) async fn ensure_key(&self) -> anyhow::Result<()> {
        let accounts = self.accounts().await?;
        key::ensure_fits(&key::vault(&self.config, &accounts)?, &accounts)
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
        self.engine_with(self.settings(only)).await
    }

    /// An engine that plays the roles of this node.
    pub(crate) async fn engine_in_its_roles(&self) -> anyhow::Result<Engine> {
        let (roles, mut settings) = (self.config.roles, self.settings(Only::Any));
        settings.plan = roles.planner;
        if !roles.worker {
            settings.topics.clear();
        }
        self.engine_with(settings).await
    }

    async fn engine_with(&self, settings: Settings) -> anyhow::Result<Engine> {
        let accounts = self.accounts().await?;
        let vault = key::vault(&self.config, &accounts)?;
        key::ensure_fits(&vault, &accounts)?;
        let mut builder =
            Engine::builder(self.backend.clone()).vault(Arc::new(vault)).settings(settings);
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
            retention: Retention {
                ended: config.keep_ended,
                history: config.keep_history,
                ..Retention::default()
            },
            rate_limit: config.x.rate_limit,
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

/// The adapter for X, with its settings' names as the user knows them.
pub(crate) fn x(config: &Config) -> anyhow::Result<X> {
    X::new(config.x.clone()).map_err(|error| {
        let name = match error.setting {
            "base_url" => "x_api_base_url (X_API_BASE_URL)",
            "tier" => "x_api_tier (X_API_TIER)",
            "fields" => "x_tweet_fields (X_TWEET_FIELDS)",
            "settle_time" => "settle_time (POSTQ_SETTLE_TIME)",
            "rate_limit" => "rate_limit (POSTQ_RATE_LIMIT)",
            other => other,
        };
        Usage(format!("{name}: {}", error.problem)).into()
    })
}
