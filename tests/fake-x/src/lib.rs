//! An X-shaped HTTP server on loopback, with faults on demand and a ledger of what it really
//! accepted.
//!
//! It answers `POST /2/tweets`, `GET /2/tweets`, `GET /2/users/:id/tweets`, `GET /2/users/me` and uploads of media
//! as X does. The token `tok-USER` belongs to the user with the id `USER`; every other token is refused, but for
//! those that `POST /2/oauth2/token` gave, which end, or are taken back by `POST /2/oauth2/revoke`.
//! `GET /i/oauth2/authorize` is where a person agrees, at once. `GET /_ledger` shows the [`Ledger`] as JSON,
//! `POST /_faults` takes new [`Faults`] in their text form. What X does not document is refused, and remembered.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use fake_x::{FakeX, Fault, Faults};
//!
//! let x = FakeX::start().await.expect("a free port");
//! x.set_faults(Faults::script([Fault::CutAfter]));
//!
//! // ... publish to x.base_url() with the token "tok-42", then:
//! assert!(x.ledger().accepted.is_empty());
//! # });
//! ```

mod answers;
mod faults;
mod grants;
mod ledger;
mod listing;
mod media;
mod reading;
mod server;
mod shapes;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fake_http::Server;
use postq_core::clock::{Clock, SystemClock};

pub use fake_http::{Canned, Seen};
pub use faults::{BadFaults, Dialect, Fault, Faults, MediaFault};
pub use grants::{CLIENT_ID, GrantFault};
pub use ledger::{Accepted, Ledger};
pub use media::Uploaded;
pub use reading::Standing;
pub use server::Target;

use ledger::Book;
use server::World;

/// What may be sent: the table of what X documents, as far as anybody here sends it.
pub const SHAPES: &str = include_str!("../../../postq-x/tests/shapes.json");

/// How a server starts.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port; 0 for one that is free.
    pub port: u16,
    /// A file to which each accepted post is appended, as a line of JSON, before it is answered.
    pub ledger: Option<PathBuf>,
    /// What goes wrong.
    pub faults: Faults,
    /// What chance starts from.
    pub seed: u64,
}

/// A running server; dropping it cuts every connection.
#[derive(Debug)]
pub struct FakeX {
    server: Server<World>,
}

impl FakeX {
    /// A server without faults, on a free port.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// A server as described.
    ///
    /// # Errors
    ///
    /// If the port is taken, or the ledger cannot be written.
    pub async fn start_with(options: Options) -> io::Result<Self> {
        let append = |path| OpenOptions::new().create(true).append(true).open(path);
        let book = Book::writing_to(options.ledger.map(append).transpose()?);
        let world = |_| World::new(book, options.faults, options.seed);
        let most = server::MOST_OF_PIECE;
        let server = Server::start(options.port, most, world, server::respond).await?;
        Ok(Self { server })
    }

    /// What a client is given as the API's base: `http://127.0.0.1:PORT/2`.
    pub fn base_url(&self) -> String {
        format!("http://{}/2", self.server.address())
    }

    /// What was really accepted so far.
    pub fn ledger(&self) -> Ledger {
        self.server.lock().book.ledger.clone()
    }

    /// From now on, these faults and no others.
    pub fn set_faults(&self, faults: Faults) {
        self.server.lock().faults = faults;
    }

    /// The next request of the kind gets this answer and has no other effect; several are given in
    /// order.
    pub fn answer(&self, target: Target, answer: Canned) {
        self.server.lock().canned.push(target, answer);
    }

    /// Where people agree to connect an account.
    pub fn authorize_url(&self) -> String {
        format!("http://{}/i/oauth2/authorize", self.server.address())
    }

    /// From now on this user agrees, and the app has this secret; without one it is a public client.
    pub fn set_app(&self, person: &str, secret: Option<&str>) {
        let grants = &mut self.server.lock().grants;
        (grants.person, grants.secret) = (person.to_owned(), secret.map(str::to_owned));
    }

    /// Whoever comes next to agree does not.
    pub fn decline_once(&self) {
        self.server.lock().grants.declines = true;
    }

    /// From now on access tokens live so long.
    pub fn set_token_life(&self, life: Duration) {
        self.server.lock().grants.life = life;
    }

    /// What the next requests for a grant meet, one each.
    pub fn grant_faults(&self, faults: impl IntoIterator<Item = GrantFault>) {
        self.server.lock().grants.faults.extend(faults);
    }

    /// Takes the right back that a user gave.
    pub fn revoke(&self, user: &str) {
        self.server.lock().grants.revoke(user);
    }

    /// Requests for a grant, or to take one back, so far.
    pub fn grant_calls(&self) -> u64 {
        self.server.lock().grants.calls
    }

    /// A grant for a user who agrees just now, as the token endpoint gives it.
    pub fn grant(&self, user: &str) -> serde_json::Value {
        self.server.lock().grants.grant(user, SystemClock.now())
    }

    /// From now on, a post has been counted to this: what everybody sees, and what its author is told.
    /// The names are those of `tweet.fields`.
    pub fn count(&self, id: &str, public: BTreeMap<String, u64>, private: BTreeMap<String, u64>) {
        let mut world = self.server.lock();
        let counted = world.counted.entry(id.to_owned()).or_default();
        (counted.public, counted.private) = (public, private);
    }

    /// From now on, a post stands so to those who ask for its counts.
    pub fn set_standing(&self, id: &str, standing: Standing) {
        self.server.lock().counted.entry(id.to_owned()).or_default().standing = standing;
    }

    /// Every upload that is known, finished or not.
    pub fn uploads(&self) -> Vec<Uploaded> {
        self.server.lock().uploads.all()
    }

    /// What was sent that is not in [`SHAPES`]; each was refused.
    pub fn unlisted(&self) -> Vec<String> {
        self.server.lock().record.unlisted()
    }

    /// The last 1,000 requests.
    pub fn seen(&self) -> Vec<Seen> {
        self.server.lock().record.seen()
    }
}
