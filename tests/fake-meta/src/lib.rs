//! A server on loopback that answers as Meta's Graph API does for Pages and for Instagram, with faults on
//! demand and a ledger of what is really out.
//!
//! | path | what it is |
//! |---|---|
//! | `POST /v25.0/{page}/feed`, `/photos`, `/videos` | a Page's posts, photos that nobody sees yet, videos in phases |
//! | `GET /v25.0/{page}/published_posts` | what a Page has published |
//! | `POST /v25.0/{account}/media`, `/media_publish` | Instagram's containers, and publishing one |
//! | `GET /v25.0/{account}/media`, `/stories`, `/content_publishing_limit` | what an account has published, and may |
//! | `GET /v25.0/{id}`, `/{id}/insights` | a post, a video or a container; its counts |
//! | `/dialog/oauth`, `/v25.0/oauth/access_token`, `/v25.0/me/accounts` | Facebook's login |
//! | `/oauth/authorize`, `/oauth/access_token`, `/access_token`, `/refresh_access_token` | Instagram's login |
//!
//! The token `tok-ID` belongs to the Page or the account `ID`; other tokens are refused, but for those that
//! were granted. A parameter that the documentation does not list is refused with code 100.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use fake_meta::{FakeMeta, Fault};
//!
//! let meta = FakeMeta::start().await.expect("a free port");
//! meta.script([Fault::CutAfter]);
//!
//! // ... publish to meta.base_url() with the token "tok-42", then:
//! assert!(meta.ledger().accepted.is_empty());
//! # });
//! ```

mod answers;
mod body;
mod facebook;
mod faults;
mod grants;
mod instagram;
mod ledger;
mod nodes;
mod server;
mod world;

use std::io;

use fake_http::Server;

pub use answers::Refuses;
pub use fake_http::{Canned, Seen};
pub use faults::{Fault, Faults};
pub use grants::{APP_ID, APP_SECRET, GrantFault, Grants, PageRole};
pub use ledger::{Accepted, Ledger};
pub use world::{Container, Photo, VideoSession, World};

/// What may be sent: the table of what Meta documents, as far as anybody here sends it.
pub const SHAPES: &str = include_str!("../../../postq-meta/tests/shapes.json");

/// A running server; dropping it cuts every connection.
#[derive(Debug)]
pub struct FakeMeta {
    server: Server<World>,
}

impl FakeMeta {
    /// A server without faults, on a free port.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        let world = |_| World::default();
        let server = Server::start(0, server::MOST_OF_BODY, world, server::respond).await?;
        Ok(Self { server })
    }

    /// What a client is given as the API's base: `http://127.0.0.1:PORT/v25.0`.
    pub fn base_url(&self) -> String {
        format!("{}/v25.0", self.root())
    }

    /// The base without a version.
    pub fn root(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What is really out so far.
    pub fn ledger(&self) -> Ledger {
        self.server.lock().ledger.clone()
    }

    /// What happens to the next creating calls, one each.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.server.lock().faults.script.extend(faults);
    }

    /// Changes anything that the server knows.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.server.lock())
    }

    /// The next request with this method and last part of a path (`POST feed`) gets this answer and has no
    /// other effect; several are given in order.
    pub fn answer(&self, what: &str, answer: Canned) {
        self.server.lock().canned.push(what.to_owned(), answer);
    }

    /// What was sent that is not in [`SHAPES`]; each was refused.
    pub fn unlisted(&self) -> Vec<String> {
        self.server.lock().record.unlisted()
    }

    /// The last 1,000 requests.
    pub fn seen(&self) -> Vec<Seen> {
        self.server.lock().record.seen()
    }

    /// The requests so far with this method and last part of a path.
    pub fn seen_of(&self, what: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.what() == what).collect()
    }
}
