//! Calls to platforms: one at a time, bounded, and what surely did not happen.
//!
//! An adapter of a platform brings its paths, its shapes and its table of refusals. What all of them need to
//! be right is here, once.
//!
//! | module | what is in it |
//! |---|---|
//! | `client` | [`client()`]: no redirects, no retries, one connection for each call in flight |
//! | `answer` | [`ask`]: one call, within a time and a size, and its whole [`Answer`] |
//! | `no_answer` | [`NoAnswer`]: whether a call without an answer surely never left |
//! | `base` | [`Base`]: where a platform is, if nobody reads along on the way; [`ConfigError`] |
//! | `times` | [`ensure_settles`], [`ensure_ends`], [`ensure_paced`]: what an adapter may not be set to |
//! | `oauth` | [`Granted`], [`basic()`]: what a token endpoint gives, and how an app shows itself to it |
//! | `token` | [`Token`]: an account's access token, ready to be sent |
//! | `hide` | [`Hidden`]: keeps secrets and content out of messages |
//! | `form`, `multipart`, `body` | [`form()`], [`FileForm`], [`FileBody`]: fields and files as they are sent |
//! | `upload` | [`time_to_send`]: how long a call with a file may take |
//! | `headers` | [`server_time`], [`retry_after`]: what any server may say |
//!
//! ```
//! use std::time::Duration;
//!
//! use postq_http::{Base, Calls, Hidden, NoAnswer, ask, client};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), postq_http::ConfigError> {
//! let timeout = Duration::from_secs(2);
//! // Nobody listens there.
//! let base = Base::parse("base_url", "http://127.0.0.1:1/2/", "https://api.example.com/2")?;
//! let client = client(&Calls::of("example", "base_url", &base, timeout))?;
//!
//! let request = client.post(format!("{}/posts", base.url)).body("{}");
//! let lost = ask("example", request, 64 * 1_024, timeout).await.expect_err("nobody answers");
//!
//! assert!(matches!(lost, NoAnswer::NeverSent(_)), "so the same post may be sent again at once");
//! let failure = lost.into_failure(Hidden::secret("the token"));
//! assert!(failure.message.starts_with("example could not be reached"));
//! # Ok(())
//! # }
//! ```
//!
//! What surely did not happen is told from what nobody knows in two places only: here, where there is no
//! answer, and in an adapter's `error`, where there is one.

mod answer;
mod base;
mod body;
mod client;
mod form;
mod headers;
mod hide;
mod multipart;
mod no_answer;
mod oauth;
mod times;
mod token;
mod upload;

pub use answer::{Answer, ask, within};
pub use base::{Base, ConfigError, ensure_safe, is_loopback};
pub use body::FileBody;
pub use client::{Calls, client};
pub use form::form;
pub use headers::{LONGEST_WAIT, SHORTEST_WAIT, header, retry_after, server_time, wait_until};
pub use hide::{Hidden, MOST_TEXTS};
pub use multipart::{FileForm, FilePart};
pub use no_answer::NoAnswer;
pub use oauth::{Granted, basic};
pub use times::{ensure_ends, ensure_paced, ensure_settles};
pub use token::Token;
pub use upload::time_to_send;
