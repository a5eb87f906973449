//! Publishes to Reddit through its OAuth API: text, link, picture, gallery and video posts, once.
//!
//! | module | what is in it |
//! |---|---|
//! | `config` | what a user may set |
//! | `client` | [`Reddit`] itself, and how it is called |
//! | `options` | what a post is told besides its text, and what kind of post that makes |
//! | `publish`, `submit` | its [`Platform`](postq_core::platform::Platform), and the body of the creating call |
//! | `preflight`, `rules`, `written` | its [`Preflight`](postq_core::platform::Preflight): what a community takes, and what it writes for people |
//! | `connect` | its [`Connect`](postq_core::connect::Connect) and [`Refresh`](postq_core::connect::Refresh): OAuth 2 |
//! | `reconcile`, `listing`, `sent`, `text` | its [`Reconcile`](postq_core::platform::Reconcile): finds a post again among the account's own |
//! | `metrics` | its [`Metrics`](postq_core::platform::Metrics): counts of up to 100 posts in one call |
//! | `media` | its [`Media`](postq_core::platform::Media): a lease, then the file in one piece |
//! | `error` | answers as failures, without secrets and content |
//! | `limits` | what headers and refusals say about limits |
//!
//! ```
//! use postq_core::content::{Draft, Part};
//! use postq_core::options::{OptionValue, PostOptions};
//! use postq_core::platform::violations;
//! use postq_reddit::{Config, Reddit};
//!
//! let reddit = Reddit::new(Config::default())?;
//! let parts = [Part::text("Some **markdown**.")];
//! let mut options = PostOptions::default();
//! options.set("subreddit", OptionValue::Text("r/rust".to_owned()));
//!
//! let missing = violations(&reddit, Draft { parts: &parts, options: &options });
//! assert_eq!(missing[0].message, "the option \"title\" is missing: the title, which stays");
//! # Ok::<(), postq_reddit::ConfigError>(())
//! ```
//!
//! What is unusual about Reddit:
//!
//! - **Every post needs a community and a title**: the options `subreddit` and `title`. What kind of post it is
//!   follows from what is there: an option `url` makes a link, one picture an image post, several a gallery, a
//!   video a video post, nothing of these a text post. A picture beside a video is shown before it plays;
//!   without one, a plain one is.
//! - **There is no idempotency key, and a text post may be sent twice.** A call whose answer is lost is looked
//!   for among the account's own posts. A link that the community has already is refused, whoever posted it:
//!   that is a guard against sending it twice; the option `resubmit` takes it away.
//! - **A refusal is an answer with status 200**; see `error`.
//! - **Picture and video posts bring no id.** Reddit answers that it took them and makes the post when it has
//!   worked on them. Their outcome is unknown until the post is found in the account's list, most often at
//!   the first looks. A picture that is not there after the settle time is absent, and sent again.
//! - **A video that is not found is never sent again by itself.** Reddit works on a long one for minutes, and
//!   says neither when it is done nor that it has failed. After the settle time a person decides, or the
//!   account's `on_unknown`: with `resend` a video may come out twice.
//! - **Rules are the community's own**, so they are asked for before and remembered for an hour. What they only
//!   write for people is shown with a preview, and nothing is refused for it; regular expressions are left to
//!   Reddit, which checks again.
//! - **How fast an account may post** Reddit says only when it refuses; the wait is obeyed.
//! - A post that moderators or their bots remove was published: it is not sent again, and its metrics say that
//!   it is hidden. What its author has deleted is gone; Reddit's terms want copies of it deleted as well.
//! - A score below zero is told as 0. `locked` is 1 once a moderator has ended the comments.
//! - Pictures have no description for those who cannot see them; in a gallery it becomes the caption.
//!
//! What is left of publishing twice, or not at all: a text, link or picture that Reddit shows only after the
//! settle time is sent again; and what somebody makes by hand with the same title and text in the same community
//! in the same minutes is taken for the post whose answer was lost, unless its files tell the two apart.

mod client;
mod config;
mod connect;
mod error;
mod limits;
mod listing;
mod media;
mod metrics;
mod options;
mod preflight;
mod publish;
mod reconcile;
mod rules;
mod sent;
mod submit;
mod text;
mod written;

pub use client::{Reddit, Whoami};
pub use config::Config;
pub use postq_http::ConfigError;
