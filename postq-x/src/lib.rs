//! Publishes to X (Twitter) through its API v2: posts and threads, once.
//!
//! | module | what is in it |
//! |---|---|
//! | `config` | what a user may set |
//! | `client` | [`X`] itself, and how it is called |
//! | `publish` | its [`Platform`](postq_core::platform::Platform) |
//! | `connect` | its [`Connect`](postq_core::connect::Connect) and [`Refresh`](postq_core::connect::Refresh): OAuth 2 with PKCE |
//! | `reconcile`, `timeline` | its [`Reconcile`](postq_core::platform::Reconcile): finds a post again among the account's own |
//! | `metrics` | its [`Metrics`](postq_core::platform::Metrics): counts of up to 100 posts in one call |
//! | `error` | answers as failures, without secrets and content |
//! | `limits` | what the headers say about limits |
//! | `webhook` | what X sends by itself: its proof, and what happened |
//! | `text` | weighted length, links, and when two texts are the same |
//!
//! ```
//! use postq_core::content::Part;
//! use postq_core::platform::Platform;
//! use postq_x::{Config, Tier, X};
//!
//! let x = X::new(Config { tier: Tier::Basic, ..Config::default() })?;
//!
//! let violations = x.validate((&[Part::text("long ".repeat(60))][..]).into());
//! assert_eq!(violations[0].message, "the text is 300 long as X counts, at most 280");
//! # Ok::<(), postq_x::ConfigError>(())
//! ```
//!
//! X has no idempotency key. A call whose answer is lost is looked for among the account's recent
//! posts; what is left is stated in `reconcile`: a post that X shows only after the settle time, or
//! that somebody makes by hand with the same text in the same minutes.

mod client;
mod config;
mod connect;
mod error;
mod limits;
mod media;
mod metrics;
mod publish;
mod reconcile;
mod text;
mod timeline;
mod webhook;

pub use client::{Whoami, X};
pub use config::{Asking, Config, Fields, Group, Tier};
pub use postq_http::ConfigError;
pub use text::weighted_length;
pub use webhook::{Happened, WebhookSecret, events};
