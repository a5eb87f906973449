//! Redis beside the store of postq: the queue, the dedupe lock, the rate limiter and the cache. Redis 6.2
//! or newer, Valkey, Redis Cluster.
//!
//! | module | what is in it |
//! |---|---|
//! | `config`, `server`, `check` | [`Config`], [`Redis`], what a server is like |
//! | `queue`, `lock`, `limiter`, `cache` | one file per implemented trait |
//! | `lua/` | one script per step, named after the method it serves |
//! | `member`, `keys` | how jobs and keys are written |
//! | `connect`, `wake` | connections, and the one that listens |
//!
//! # What it promises
//!
//! The store is the truth and Redis the fast path: whatever is lost here costs time and no post. Every
//! step is one script, so that a crash between two leaves nothing half done; a script looks at 1,000 jobs
//! at most. Time is the server's. Every call ends within its time-outs, and a connection that was lost is
//! made again.
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use postq_core::job::Topic;
//! use postq_core::queue::{Queue, Reserve};
//! use postq_redis::{Config, Redis};
//!
//! let redis = Redis::new(Config::new("redis://localhost"))?;
//! for warning in redis.check().await?.warnings {
//!     eprintln!("{warning}");
//! }
//! let deliveries = redis.queue().reserve(&Reserve::up_to(10, Topic::publish())).await?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod check;
mod config;
mod connect;
mod error;
mod keys;
mod limiter;
mod lock;
mod member;
mod queue;
mod server;
mod wake;

pub use crate::cache::RedisCache;
pub use crate::check::{Durability, RedisHealth};
pub use crate::config::{Config, Server};
pub use crate::limiter::RedisLimiter;
pub use crate::lock::RedisLock;
pub use crate::queue::RedisQueue;
pub use crate::server::Redis;
