//! The embedded default backend of postq: every store, the job feed, a queue, the dedupe lock and the
//! rate limiter on one SQLite file. Nothing to install; several processes may share the file.
//!
//! | module | what is in it |
//! |---|---|
//! | `store`, `config`, `facts` | [`SqliteStore`], how it is opened, what a doctor asks |
//! | `posts` … `metrics`, `slots`, `feed`, `queue`, `lock`, `limiter`, `nodes`, `tokens`, `idempotency`, `webhooks` | one file per implemented trait |
//! | `claim`, `only`, `lanes` | which due jobs go to whom |
//! | `transition`, `settle`, `intent`, `evidence`, `takeback`, `plan` | what happens to a job |
//! | `writer`, `turn`, `readers`, `changes` | threads and connections |
//! | `schema`, `migrations/` | the file's format |
//!
//! # What it promises
//!
//! A commit that was acknowledged survives `kill -9` and a power loss: write-ahead log,
//! `synchronous = FULL`, and one writer thread that answers after the commit. Calls that come at the
//! same time share one commit. What is due is told by the wall clock; leases are measured in the time
//! since boot, so that setting the clock neither ends nor extends one, and a reboot ends all.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("postq.db");
//! use postq_core::content::{Content, Post};
//! use postq_sqlite::SqliteStore;
//!
//! let store = SqliteStore::open(&path)?;
//! let backend = store.backend();
//! let now = backend.jobs.now().await?;
//! backend.posts.insert(&[Post::new(Content::text("Hello"), now)]).await?;
//! store.close().await?;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod asking;
mod blocks;
mod boot;
mod changes;
mod claim;
mod config;
mod connect;
mod connecting;
mod control;
mod error;
mod evidence;
mod facts;
mod feed;
mod history;
mod idempotency;
mod intent;
mod jobs;
mod lanes;
mod limiter;
mod lock;
mod media;
mod metrics;
mod nodes;
mod only;
mod plan;
mod posts;
mod publications;
mod queue;
mod readers;
mod rows;
mod schedules;
mod schema;
mod settle;
mod slots;
mod store;
mod takeback;
#[cfg(test)]
mod tests;
mod tokens;
mod transition;
mod turn;
mod upkeep;
mod webhooks;
mod wipe;
mod writer;

pub use crate::config::Config;
pub use crate::facts::Facts;
pub use crate::store::SqliteStore;
