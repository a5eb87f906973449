//! A server of the AT Protocol on loopback, with faults on demand and a ledger of what it really accepted.
//!
//! It is everything at once that an account meets: the service that knows handles, the directory of
//! identities, the account's own server, whoever works on videos and whoever counts likes. It answers as the
//! reference server does where that is known, refuses fields of a record that the lexicon does not have, and
//! takes an account's app password as [`FakeBluesky::add_user`] was told it.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use fake_bluesky::{FakeBluesky, Fault};
//!
//! let bluesky = FakeBluesky::start().await.expect("a free port");
//! let did = bluesky.add_user("alice.test", "app-password");
//! bluesky.meet([Fault::CutAfter]);
//!
//! // ... publish to bluesky.url() with bluesky.session(&did), then:
//! assert!(bluesky.ledger().posts.is_empty());
//! # });
//! ```

mod answers;
mod faults;
mod ledger;
mod lexicon;
mod server;
mod sessions;
mod videos;

use std::io;
use std::time::Duration;

use fake_http::Server;
use serde_json::Value;

pub use answers::Refuses;
pub use fake_http::{Canned, Seen};
pub use faults::{Fault, GrantFault, VideoFault};
pub use ledger::{Blob, Ledger, Post};

use server::World;

/// What may be sent: the table of what the lexicons have, as far as anybody here sends it.
pub const SHAPES: &str = include_str!("../../../postq-bluesky/tests/shapes.json");

/// A running server; dropping it cuts every connection.
#[derive(Debug)]
pub struct FakeBluesky {
    server: Server<World>,
}

impl FakeBluesky {
    /// A server without faults, on a free port.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        let server = Server::start(0, server::MOST_OF_BODY, World::at, server::respond).await?;
        Ok(Self { server })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// A new account; answers its DID.
    pub fn add_user(&self, handle: &str, app_password: &str) -> String {
        self.server.lock().sessions.add_user(handle, app_password)
    }

    /// A new session of an account, as its secret: `DID SERVER TOKEN`.
    pub fn session(&self, did: &str) -> String {
        format!("{did} {} {}", self.url(), self.server.lock().sessions.access(did))
    }

    /// Ends all access tokens that were given.
    pub fn expire_access(&self) {
        self.server.lock().sessions.expire_access();
    }

    /// Ends all refresh tokens that were given.
    pub fn revoke(&self) {
        self.server.lock().sessions.revoke();
    }

    /// From now on a spent refresh token brings the same pair again, as for a short while after its renewal.
    pub fn set_grace(&self) {
        self.server.lock().sessions.grace = true;
    }

    /// Requests for a session so far, of both kinds.
    pub fn grant_calls(&self) -> u64 {
        self.server.lock().sessions.calls
    }

    /// What the next requests to renew a session meet, one each.
    pub fn grant_faults(&self, faults: impl IntoIterator<Item = GrantFault>) {
        self.server.lock().grant_faults.extend(faults);
    }

    /// What the next requests to write a record meet, one each.
    pub fn meet(&self, faults: impl IntoIterator<Item = Fault>) {
        self.server.lock().faults.extend(faults);
    }

    /// How long what hangs hangs; 60 s if nobody says.
    pub fn set_hang(&self, hang: Duration) {
        self.server.lock().hang = hang;
    }

    /// From now on the question whose this handle is hangs.
    pub fn hang_on(&self, handle: &str) {
        self.server.lock().slow.push(handle.to_owned());
    }

    /// Whoever works on videos forgets all jobs.
    pub fn forget_videos(&self) {
        self.server.lock().videos.forget();
    }

    /// What the next video meets.
    pub fn meet_video(&self, fault: VideoFault) {
        self.server.lock().videos.faults.push_back(fault);
    }

    /// The next request of this method (`com.atproto.repo.putRecord`) gets this answer and has no other effect;
    /// several are given in order.
    pub fn answer(&self, method: &str, answer: Canned) {
        self.server.lock().canned.push(method.to_owned(), answer);
    }

    /// What was really accepted so far.
    pub fn ledger(&self) -> Ledger {
        self.server.lock().ledger.clone()
    }

    /// Replaces a record by another one, as another client of the same account can.
    pub fn overwrite(&self, uri: &str, record: Value) {
        self.server.lock().ledger.overwrite(uri, record);
    }

    /// Takes a record away, as its author can.
    pub fn delete(&self, uri: &str) {
        self.server.lock().ledger.posts.retain(|post| post.uri != uri);
    }

    /// Forgets all files that no record names.
    pub fn forget_blobs(&self) {
        self.server.lock().ledger.forget_blobs();
    }

    /// From now on a post has been counted to this, by the names of `app.bsky.feed.defs#postView`.
    pub fn count(&self, uri: &str, counts: Value) {
        self.server.lock().counted.insert(uri.to_owned(), counts);
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
