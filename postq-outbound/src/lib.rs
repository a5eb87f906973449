//! What postq calls that is no platform: webhooks, media, mail, chat.
//!
//! | module | what is in it |
//! |---|---|
//! | `call` | [`Outbound`]: one bounded HTTP call, through the guard |
//! | `guard`, `address`, `allow` | which URLs and addresses may be called |
//! | `resolve` | names to addresses, each checked, none looked up twice |
//! | `deliver` | [`HttpCourier`]: brings webhooks to their endpoints |
//! | `fetch` | [`WebMedia`]: reads pictures and videos as they come |
//! | [`notify`] | telling a person by webhook, chat and mail |
//! | [`signing`] | signatures as Standard Webhooks has them |
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use postq_outbound::{AllowList, Call, Outbound};
//!
//! let outbound = Outbound::new("hooks.lan".parse::<AllowList>()?)?;
//! let url = outbound.check("https://hooks.example.com/postq")?;
//!
//! let answer = outbound.call(Call::post(url, b"{}".to_vec())).await?;
//! println!("{}", answer.status);
//! # Ok(())
//! # }
//! ```
//!
//! # The guard
//!
//! A URL that somebody gave to postq must not make it ask what only postq's own host can reach: the
//! metadata of a cloud, a router, a database. So only `http` and `https` to addresses of the open
//! internet are called, and to what an [`AllowList`] names. Names are resolved here, every address is
//! checked, and the connection goes to exactly the addresses that were: a name that answers otherwise a
//! moment later gains nothing. Redirects are followed for `GET` alone, one by one, each through the same
//! guard. No proxy of the environment is used: behind one, nobody could tell where a call goes.

mod address;
mod allow;
mod call;
mod deliver;
mod fetch;
mod guard;
pub mod notify;
mod resolve;
pub mod signing;

pub use reqwest::header;
pub use reqwest::{Method, StatusCode, Url};

pub use self::allow::{AllowError, AllowList};
pub use self::call::{Answer, Call, NoAnswer, Outbound, OutboundError};
pub use self::deliver::HttpCourier;
pub use self::fetch::WebMedia;
pub use self::guard::Refused;
pub use self::resolve::{Lookup, SystemLookup};
