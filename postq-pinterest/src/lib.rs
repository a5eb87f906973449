//! Publishes Pins to Pinterest through its API v5: pictures and videos, once.
//!
//! | module | what is in it |
//! |---|---|
//! | `config` | what a user may set |
//! | `client` | [`Pinterest`] itself, and how it is called |
//! | `publish`, `pin`, `options` | its [`Platform`](postq_core::platform::Platform): the creating call, and what is in it |
//! | `preflight`, `boards` | its [`Preflight`](postq_core::platform::Preflight): boards and sections by name or id |
//! | `media`, `upload` | its [`Media`](postq_core::platform::Media): videos are sent ahead, pictures with the Pin |
//! | `connect` | its [`Connect`](postq_core::connect::Connect) and [`Refresh`](postq_core::connect::Refresh): OAuth 2 |
//! | `reconcile`, `sent`, `text` | its [`Reconcile`](postq_core::platform::Reconcile): finds a Pin again on its board |
//! | `metrics` | its [`Metrics`](postq_core::platform::Metrics): what a Pin was counted to |
//! | `error` | answers as failures, without secrets and content |
//! | `limits` | what the headers say about limits |
//!
//! ```
//! use std::sync::Arc;
//!
//! use postq_core::content::Part;
//! use postq_core::memory::MemoryMedia;
//! use postq_core::platform::Platform;
//! use postq_pinterest::{Config, Pinterest};
//!
//! let pinterest = Pinterest::new(Config::default(), Arc::new(MemoryMedia::default()))?;
//!
//! let violations = pinterest.validate((&[Part::text("a description")][..]).into());
//! assert_eq!(violations[0].message, "a Pin needs a picture or a video");
//! # Ok::<(), postq_pinterest::ConfigError>(())
//! ```
//!
//! What is unlike other platforms:
//!
//! - A Pin needs a board (the option `board`) and media. The text is its description.
//! - It has one picture, 2 to 5 pictures, or one video. A picture beside a video is its cover; without one the
//!   cover is the frame at `cover_at` seconds.
//! - A picture has no place of its own at Pinterest: its bytes are in the creating call, read from the store that
//!   the adapter is given.
//! - A video goes to Pinterest in one call, which has [`Config::send_timeout`] and a second more for each 256 kB.
//!   Pictures are in the creating call itself: that ends within [`Config::send_timeout`], however many there are.
//! - There is no idempotency key, and the same Pin twice is two Pins. A call whose answer is lost is looked for
//!   on the board, by description, title, link and kind of media. A Pin that says nothing at all is known by the
//!   shape of its one picture; other Pins without words cannot be told apart, and a person decides.
//! - A secret board is not seen by the rights that are asked for: nothing is published there.
//! - With Trial access nobody but its creator sees a Pin.

mod boards;
mod client;
mod config;
mod connect;
mod error;
mod limits;
mod media;
mod metrics;
mod options;
mod pin;
mod preflight;
mod publish;
mod reconcile;
mod sent;
mod text;
mod upload;

pub use client::Pinterest;
pub use config::{Access, Config};
pub use postq_http::ConfigError;
