//! Publishes to Facebook Pages and to Instagram through Meta's Graph API, once.
//!
//! | module | what is in it |
//! |---|---|
//! | `config` | what a user may set, for each platform |
//! | `facebook` | [`Facebook`]: a post of the feed, photos, videos; looked for among the Page's own |
//! | `instagram` | [`Instagram`]: image, carousel, reel, story, built as a container whose status is the witness |
//! | `client` | what both share: how the Graph API is called |
//! | `error` | answers as failures, without secrets and content: one table of codes |
//! | `limits` | what the headers say about limits |
//! | `grant` | asking for tokens |
//! | `insights` | counts, group by group |
//! | `text`, `time` | when two texts are the same; times as Meta writes them |
//!
//! ```
//! use postq_core::content::Part;
//! use postq_core::platform::Platform;
//! use postq_meta::{Instagram, InstagramConfig};
//!
//! let instagram = Instagram::new(InstagramConfig::default())?;
//!
//! let violations = instagram.validate((&[Part::text("a text alone")][..]).into());
//! assert_eq!(violations[0].message, "there is no media: Instagram takes no text alone");
//! # Ok::<(), postq_meta::ConfigError>(())
//! ```
//!
//! # Quirks
//!
//! - Facebook has no idempotency key. A post whose answer is lost is looked for among what the Page has
//!   published: by the ids of its photos, else by its text, its link and its time. What is left of publishing
//!   twice, or not at all: a text that Facebook shows only after the settle time is sent again; and what somebody
//!   posts by hand with the same text in the same minutes is taken for the post whose answer was lost.
//! - A video of a Page has an id before it is published, so its own status says what became of a lost answer.
//! - Instagram publishes in two steps. The first makes a container, which nobody sees; the second publishes
//!   it, and a container is published at most once. So after a lost answer its status says what became of it.
//!   A post cannot be edited or taken back.
//! - Instagram fetches pictures and videos itself: postq must be reached from outside, or keep media in a
//!   bucket.
//! - The HTTP status is 400 for nearly everything: what a failure is, is told by its code.
//! - A Page's token has no fixed end. A token of Instagram lives 60 days and is extended in place; it is told
//!   to end ten days earlier, so that a daemon that was off for a week finds it alive.
//! - Limits are percents. From 80 on postq slows down.

mod client;
mod config;
mod error;
mod facebook;
mod grant;
mod insights;
mod instagram;
mod limits;
mod text;
mod time;

pub use config::{FacebookConfig, InstagramConfig};
pub use facebook::Facebook;
pub use instagram::Instagram;
pub use postq_http::ConfigError;
