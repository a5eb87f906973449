//! Publishes to Bluesky, and to any other server of the AT Protocol: posts and threads, once.
//!
//! | module | what is in it |
//! |---|---|
//! | `config` | what a user may set |
//! | `client` | [`Bluesky`] itself, and how it is called |
//! | `session`, `identity` | whose a token is and where it may be sent; handle, DID, server |
//! | `connect` | [`Bluesky::sign_in`] with an app password, and its [`Refresh`](postq_core::connect::Refresh) |
//! | `publish`, `record`, `options` | its [`Platform`](postq_core::platform::Platform): what a post is written as |
//! | `facets` | links, mentions and hashtags of a text, by their bytes |
//! | `tid` | record keys |
//! | `stage` | its [`Stage`](postq_core::platform::Stage): what a record says besides, looked up and written down before |
//! | `reconcile` | its [`Reconcile`](postq_core::platform::Reconcile): reads the record under the part's own key |
//! | `media`, `video` | its [`Media`](postq_core::platform::Media): pictures, cards' thumbnails, videos |
//! | `metrics` | its [`Metrics`](postq_core::platform::Metrics): counts of up to 25 posts in one call |
//! | `error` | answers as failures, without secrets and content |
//! | `limits` | what the headers say about limits |
//!
//! ```
//! use postq_bluesky::{Bluesky, Config};
//! use postq_core::content::Part;
//! use postq_core::platform::Platform;
//!
//! let bluesky = Bluesky::new(Config::default())?;
//!
//! let violations = bluesky.validate((&[Part::text("long ".repeat(61))][..]).into());
//! assert_eq!(violations[0].message, "the text is 305 long as Bluesky counts, at most 300");
//! # Ok::<(), postq_bluesky::ConfigError>(())
//! ```
//!
//! What is particular about it:
//!
//! - **A post cannot go out twice.** The record key follows from the key that postq sends a part under, and a
//!   record is only written where there is none. The same call again succeeds and writes nothing; a look reads
//!   that one record. So an outcome that is not known is soon told, without a person.
//! - **The author's record is what people see.** Nothing in a text is a link until it is said where it begins and
//!   ends. Links with `http://` or `https://`, `@handles` that somebody has, and `#tags` are found and said; a
//!   handle that nobody has stays text, and so does one that nobody tells of in three tries of 3 s. Links count in
//!   full. No emoji and no letter with its marks is cut in half by any of them.
//! - **300 graphemes and 3,000 bytes.** The length that is shown is graphemes, or tenths of the bytes where those
//!   are more.
//! - **A remote id is the record's address and the id of its content**, `at://DID/app.bsky.feed.post/KEY#CID`:
//!   replies name both.
//! - **A card** (`card_url`, `card_title`, `card_description`) stands on the first part, with a picture of that
//!   part as its thumbnail. It replaces other media: a post shows one or the other.
//! - **`langs` and `labels`** are of every part of a thread, `tags` of the first.
//! - **Accounts are added with an app password**, of which a session is made at once; the password is kept nowhere.
//!   A session that is renewed too late, or revoked, needs a new app password.
//! - **GIFs** are not taken: Bluesky shows them as stills.
//! - **Counts** come from a public index, without a token. Of a post that the index does not have and that is an
//!   hour old, the account's own server tells whether it is gone or only not shown.
//! - **A video** is sent in one call, which has `send_timeout` and a second more for each 256 kB.
//! - **What the server has forgotten** of files that no post named is uploaded again.

mod client;
mod config;
mod connect;
mod error;
mod facets;
mod identity;
mod limits;
mod media;
mod metrics;
mod options;
mod publish;
mod reconcile;
mod record;
mod session;
mod stage;
mod tid;
mod video;

pub use client::{Bluesky, Whoami};
pub use config::Config;
pub use postq_http::ConfigError;
