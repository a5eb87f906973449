//! postq publishes social posts on time, once, and never loses one.
//!
//! This crate is a facade: it re-exports the crates of the workspace by feature, so that a service
//! that embeds postq has one dependency.
//!
//! | module | crate | feature |
//! |---|---|---|
//! | [`core`] | `postq-core`: words, traits, policies, the reference backend, conformance suites | |
//! | [`calendar`] | `postq-calendar`: schedules to occurrences | |
//! | [`engine`] | `postq-engine`: plans, publishes, looks, retries | |
//! | `bluesky` | `postq-bluesky`: Bluesky | `bluesky` |
//! | `meta` | `postq-meta`: Facebook Pages and Instagram | `meta` |
//! | `pinterest` | `postq-pinterest`: Pinterest | `pinterest` |
//! | `postgres` | `postq-postgres`: the store that any number of nodes share | `postgres` |
//! | `reddit` | `postq-reddit`: Reddit | `reddit` |
//! | `redis` | `postq-redis`: queue, lock, limiter and cache beside a store | `redis` |
//! | [`sqlite`] | `postq-sqlite`: the embedded store | `sqlite` (default) |
//! | [`x`] | `postq-x`: X | `x` (default) |
//!
//! `examples/embed.rs` is a whole program; `examples/custom_platform.rs` adds a platform.

#[cfg(feature = "bluesky")]
pub use postq_bluesky as bluesky;
pub use postq_calendar as calendar;
pub use postq_core as core;
pub use postq_engine as engine;
#[cfg(feature = "meta")]
pub use postq_meta as meta;
#[cfg(feature = "pinterest")]
pub use postq_pinterest as pinterest;
#[cfg(feature = "postgres")]
pub use postq_postgres as postgres;
#[cfg(feature = "reddit")]
pub use postq_reddit as reddit;
#[cfg(feature = "redis")]
pub use postq_redis as redis;
#[cfg(feature = "sqlite")]
pub use postq_sqlite as sqlite;
#[cfg(feature = "x")]
pub use postq_x as x;
