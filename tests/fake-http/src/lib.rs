//! What the test servers of all platforms share: a [`Server`] on loopback that takes each request apart into a
//! [`Call`] and cuts the connection when it is answered with [`Cut`], a [`Record`] of what came in that finds what a
//! table of shapes does not list, and [`Canned`] answers of a test's own. What a platform answers is the business of
//! its own server.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use fake_http::{Answer, Call, Canned, Cut, Server, Shared};
//!
//! async fn respond(call: Call, count: Shared<u64>) -> Result<Answer, Cut> {
//!     *count.lock() += 1;
//!     match call.path.as_str() {
//!         "/cut" => Err(Cut),
//!         _ => Ok(Canned::new(200, "hello").answer("text/plain")),
//!     }
//! }
//!
//! let server = Server::start(0, 1_024, |_| 0, respond).await.expect("a free port");
//!
//! // ... send requests to server.address(), then:
//! assert_eq!(*server.lock(), 0);
//! # });
//! ```

mod answer;
mod call;
mod canned;
mod record;
mod seen;
mod server;
mod shared;

pub use answer::{Answer, Cut};
pub use call::Call;
pub use canned::{Canned, Prepared};
pub use record::{Record, Unlisted};
pub use seen::Seen;
pub use server::Server;
pub use shared::Shared;
pub use test_shapes::form;
