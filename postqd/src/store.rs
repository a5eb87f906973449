//! What everything durable is kept in: a SQLite file, or Postgres with or without Redis beside it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use postq_core::backend::Backend;
use postq_core::connecting::ConnectingStore;
use postq_core::error::chain;
use postq_core::fallback::{Beside, Breaker, BreakerSettings};
use postq_core::idempotency::IdempotencyStore;
use postq_core::media::{MediaCatalog, UploadStore};
use postq_core::node::NodeStore;
use postq_core::pool::Pools;
use postq_core::token::TokenStore;
use postq_core::webhook::WebhookStore;
use postq_postgres::PgStore;
use postq_redis::Redis;
use postq_sqlite::SqliteStore;

use crate::compose::database;
use crate::config::{Config, Kept, Servers};
use crate::folder;

/// Everything durable, opened.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) backend: Backend,
    pub(crate) tokens: Arc<dyn TokenStore>,
    pub(crate) idempotency: Arc<dyn IdempotencyStore>,
    pub(crate) connecting: Arc<dyn ConnectingStore>,
    pub(crate) webhooks: Arc<dyn WebhookStore>,
    pub(crate) nodes: Arc<dyn NodeStore>,
    pub(crate) media: Arc<dyn MediaCatalog>,
    pub(crate) uploads: Arc<dyn UploadStore>,
    pub(crate) pools: Arc<dyn Pools>,
    /// Redis, where it runs beside the store, and whether it is used now.
    pub(crate) redis: Option<(Redis, Breaker)>,
    opened: Opened,
}

#[derive(Debug)]
enum Opened {
    File(SqliteStore),
    Postgres(PgStore),
}

/// A server is asked for so long what it is like, before a node starts without an answer.
const ASKING: Duration = Duration::from_secs(5);

impl Store {
    /// Opens what the configuration names.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        match &config.kept {
            Kept::InFile => Self::in_file(config),
            Kept::OnServers(servers) => Self::on_servers(servers).await,
        }
    }

    fn in_file(config: &Config) -> anyhow::Result<Self> {
        folder::make(&config.data_dir)?;
        let store = SqliteStore::open(database(config))?;
        Ok(Self {
            backend: store.backend(),
            tokens: store.tokens(),
            idempotency: store.idempotency(),
            connecting: store.connecting(),
            webhooks: store.webhooks(),
            nodes: store.nodes(),
            media: store.media_catalog(),
            uploads: store.uploads(),
            pools: store.pools(),
            redis: None,
            opened: Opened::File(store),
        })
    }

    async fn on_servers(servers: &Servers) -> anyhow::Result<Self> {
        let store = PgStore::open(servers.postgres.clone()).await.context("DATABASE_URL")?;
        let redis = servers.redis.clone().map(beside).transpose()?;
        let mut backend = store.backend();
        if let Some((redis, breaker)) = &redis {
            let queue = (!servers.use_pg_queue).then(|| Arc::new(redis.queue()) as Arc<_>);
            let (lock, limiter) = (Arc::new(redis.lock()), Arc::new(redis.limiter()));
            let beside = Beside { queue, lock, limiter };
            backend = beside.over(backend, store.limiter_mode(), breaker);
        }
        Ok(Self {
            backend,
            tokens: store.tokens(),
            idempotency: store.idempotency(),
            connecting: store.connecting(),
            webhooks: store.webhooks(),
            nodes: store.nodes(),
            media: store.media_catalog(),
            uploads: store.uploads(),
            pools: store.pools(),
            redis,
            opened: Opened::Postgres(store),
        })
    }

    /// Says in the log what a person should change about the servers. That Redis is away is no reason
    /// not to start.
    pub(crate) async fn warn_of_servers(&self, config: &Config) {
        let Kept::OnServers(servers) = &config.kept else { return };
        match tokio::time::timeout(ASKING, PgStore::check(&servers.postgres)).await {
            Ok(Ok(health)) => warn_all(&health.version, &health.warnings),
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "Postgres was not looked at"),
            Err(_) => tracing::warn!("Postgres was not looked at: no answer within {ASKING:?}"),
        }
        let Some((redis, _)) = &self.redis else { return };
        let without = "Redis (REDIS_URL) cannot be used now; the work goes on through Postgres";
        match tokio::time::timeout(ASKING, redis.check()).await {
            Ok(Ok(health)) => warn_all(&health.version, &health.warnings),
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "{without}"),
            Err(_) => tracing::warn!("{without}: no answer within {ASKING:?}"),
        }
    }

    /// What is kept where, for the log.
    pub(crate) fn told(&self, config: &Config) -> String {
        match (&config.kept, &self.redis) {
            (Kept::InFile, _) => database(config).display().to_string(),
            (Kept::OnServers(servers), None) => {
                format!("Postgres, schema {}", servers.postgres.schema)
            }
            (Kept::OnServers(servers), Some(_)) => {
                format!("Postgres, schema {}, with Redis", servers.postgres.schema)
            }
        }
    }

    /// Closes it, with everything written.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        match &self.opened {
            Opened::File(store) => store.close().await?,
            Opened::Postgres(store) => store.close(),
        }
        Ok(())
    }
}

fn warn_all(server: &str, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(server, "{warning}");
    }
}

fn beside(config: postq_redis::Config) -> anyhow::Result<(Redis, Breaker)> {
    let redis = Redis::new(config).context("REDIS_URL")?;
    Ok((redis, Breaker::new("Redis", BreakerSettings::default())))
}
