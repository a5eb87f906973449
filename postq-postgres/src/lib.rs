//! The Postgres backend of postq: every store, the job feed, a queue, the dedupe lock and the rate limiter
//! in one schema, shared by any number of nodes.
//!
//! | module | what is in it |
//! |---|---|
//! | `store`, `config`, `server` | [`PgStore`], how it is opened, where the server is |
//! | `posts` … `metrics`, `slots`, `feed`, `queue`, `lock`, `limiter`, `mode`, `nodes`, `tokens`, `idempotency`, `webhooks` | one file per implemented trait |
//! | `claim`, `asking`, `recover`, `lanes` | which due jobs go to whom |
//! | `make`, `transition`, `trail`, `settle`, `plain`, `gather`, `intent`, `evidence`, `takeback`, `aside`, `plan` | what happens to a job |
//! | `tx`, `args`, `rows`, `changes`, `wake` | statements, and what wakes those who wait |
//! | `schema`, `migrations/` | the tables |
//! | `check` | what the server is like, for a start and for diagnosis |
//!
//! # What it promises
//!
//! What a call acknowledged survives a crash of the server, as safely as the server keeps its commits
//! (`synchronous_commit`; buckets of the rate limiter alone are kept less safely). Every call may be
//! repeated: one that failed because its connection was lost is repeated by itself, and a claim whose
//! answer was lost gives its jobs to the next claim of the same process. All time is the server's. Leases,
//! locks and limits are rows: nothing depends on which connection a call goes through.
//!
//! # Scheduling with your own rows
//!
//! [`PgStore::schedule_in`] adds posts and schedules in a transaction of yours;
//! [`PgStore::open_over`] works over your own pool. The drivers are re-exported, so that both are of
//! the same version.
//!
//! # Poolers
//!
//! A pooler in transaction mode (PgBouncer) works for everything but listening: no statement is
//! prepared by name, and no session setting is sent. Set [`Config::pooler`], name the server itself in
//! [`Config::listen_url`] (without that, other nodes' changes are noticed within
//! [`Config::check_every`]), and give the role what connections would set otherwise:
//!
//! ```sql
//! ALTER ROLE postq SET statement_timeout = '30s';
//! ALTER ROLE postq SET idle_in_transaction_session_timeout = '10s';
//! ALTER ROLE postq SET enable_bitmapscan = off;
//! ALTER ROLE postq SET random_page_cost = 1.1;
//! ```
//!
//! All published suites pass through PgBouncer 1.18 in transaction mode, one node and two; this is tried by
//! hand, not with every run of the tests:
//!
//! ```text
//! POSTQ_TEST_DATABASE_URL=postgres://... POSTQ_TEST_POOLER_URL=postgres://... \
//!     cargo test -p postq-postgres --test conformance
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use postq_core::content::{Content, Post};
//! use postq_postgres::{Config, PgStore};
//!
//! let store = PgStore::open(Config::new("postgres://postq@localhost/postq")).await?;
//! let backend = store.backend();
//! let now = backend.jobs.now().await?;
//! backend.posts.insert(&[Post::new(Content::text("Hello"), now)]).await?;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod args;
mod aside;
mod asking;
mod blocks;
mod changes;
mod check;
mod claim;
mod config;
mod connecting;
mod control;
mod error;
mod evidence;
mod feed;
mod gather;
mod history;
mod idempotency;
mod intent;
mod jobs;
mod lanes;
mod limiter;
mod lock;
mod make;
mod media;
mod metrics;
mod mode;
mod nodes;
mod plain;
mod plan;
mod posts;
mod publications;
mod queue;
mod recover;
mod rows;
mod schedules;
mod schema;
mod server;
mod settle;
mod slots;
mod store;
mod takeback;
#[cfg(test)]
mod tests;
mod tokens;
mod trail;
mod transition;
mod tx;
mod upkeep;
mod wake;
mod webhooks;

pub use deadpool_postgres;
pub use tokio_postgres;

pub use crate::check::{Durability, PgHealth};
pub use crate::config::Config;
pub use crate::schema::{migrate, migrate_back, schema_version};
pub use crate::store::PgStore;
