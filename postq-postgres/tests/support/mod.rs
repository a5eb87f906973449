//! A store in a fresh schema of the shared server.

#![allow(dead_code, reason = "each test uses a part of it")]

use postq_core::feed::{Claim, Settle, Settlement};
use postq_core::job::Held;
use postq_postgres::{Config, PgStore};
use test_servers::Postgres;
use tokio_postgres::NoTls;

/// A store that nobody else uses.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) store: PgStore,
    pub(crate) schema: String,
}

impl Fresh {
    /// In a new schema, with the defaults.
    pub(crate) async fn open() -> Self {
        Self::open_with(|config| config).await
    }

    /// In a new schema.
    pub(crate) async fn open_with(set: impl FnOnce(Config) -> Config) -> Self {
        let schema = Postgres::shared().fresh_schema();
        let store = PgStore::open(set(config_of(&schema))).await.expect("a fresh store");
        Self { store, schema }
    }

    /// Another store on the same schema: another node.
    pub(crate) async fn another(&self) -> Self {
        let store = PgStore::open(config_of(&self.schema)).await.expect("a second store");
        Self { store, schema: self.schema.clone() }
    }

    /// How to open another store on the same schema.
    pub(crate) fn config(&self) -> Config {
        config_of(&self.schema)
    }
}

/// How to open a schema, with few connections: many tests share the server.
///
/// By hand, `POSTQ_TEST_POOLER_URL` sends the work through a pooler in transaction mode before the server
/// of `POSTQ_TEST_DATABASE_URL`.
pub(crate) fn config_of(schema: &str) -> Config {
    let server = Postgres::shared().url();
    #[allow(clippy::disallowed_methods, reason = "the tests' own setting")]
    let pooler = std::env::var("POSTQ_TEST_POOLER_URL").ok();
    let mut config = Config::new(pooler.as_deref().unwrap_or(server));
    if pooler.is_some() {
        config.pooler = true;
        config.listen_url = Some(server.into());
    }
    config.in_schema(schema).with_connections(4)
}

/// A connection beside the stores.
pub(crate) async fn admin(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Done.
pub(crate) fn settled(claim: &Claim, held: Held) -> Settlement {
    Settlement {
        held,
        node: claim.node,
        settle: Settle::Succeeded(None),
        reason: None,
        follow_ups: Vec::new(),
    }
}
