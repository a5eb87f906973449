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
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

pub use answers::Canned;
pub use faults::{Fault, GrantFault, VideoFault};
pub use ledger::{Blob, Ledger, Post};
pub use server::Seen;

use server::{Shared, World};

/// What may be sent: the table of what the lexicons have, as far as anybody here sends it.
pub const SHAPES: &str = include_str!("../../../postq-bluesky/tests/shapes.json");

/// A running server; dropping it cuts every connection.
#[derive(Debug)]
pub struct FakeBluesky {
    address: SocketAddr,
    shared: Shared,
    serving: JoinHandle<std::convert::Infallible>,
}

impl FakeBluesky {
    /// A server without faults, on a free port.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        let (listener, address) = server::listen().await?;
        let shared = Shared::new(World::new(format!("http://{address}")));
        let serving = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(Self { address, shared, serving })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new account; answers its DID.
    pub fn add_user(&self, handle: &str, app_password: &str) -> String {
        self.shared.lock().sessions.add_user(handle, app_password)
    }

    /// A new session of an account, as its secret: `DID SERVER TOKEN`.
    pub fn session(&self, did: &str) -> String {
        format!("{did} {} {}", self.url(), self.shared.lock().sessions.access(did))
    }

    /// Ends all access tokens that were given.
    pub fn expire_access(&self) {
        self.shared.lock().sessions.expire_access();
    }

    /// Ends all refresh tokens that were given.
    pub fn revoke(&self) {
        self.shared.lock().sessions.revoke();
    }

    /// From now on a spent refresh token brings the same pair again, as for a short while after its renewal.
    pub fn set_grace(&self) {
        self.shared.lock().sessions.grace = true;
    }

    /// Requests for a session so far, of both kinds.
    pub fn grant_calls(&self) -> u64 {
        self.shared.lock().sessions.calls
    }

    /// What the next requests to renew a session meet, one each.
    pub fn grant_faults(&self, faults: impl IntoIterator<Item = GrantFault>) {
        self.shared.lock().grant_faults.extend(faults);
    }

    /// What the next requests to write a record meet, one each.
    pub fn meet(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().faults.extend(faults);
    }

    /// How long what hangs hangs; 60 s if nobody says.
    pub fn set_hang(&self, hang: Duration) {
        self.shared.lock().hang = hang;
    }

    /// From now on the question whose this handle is hangs.
    pub fn hang_on(&self, handle: &str) {
        self.shared.lock().slow.push(handle.to_owned());
    }

    /// Whoever works on videos forgets all jobs.
    pub fn forget_videos(&self) {
        self.shared.lock().videos.forget();
    }

    /// What the next video meets.
    pub fn meet_video(&self, fault: VideoFault) {
        self.shared.lock().videos.faults.push_back(fault);
    }

    /// The next request of this method (`com.atproto.repo.putRecord`) gets this answer and has no other effect;
    /// several are given in order.
    pub fn answer(&self, method: &str, answer: Canned) {
        self.shared.lock().canned.push_back((method.to_owned(), answer));
    }

    /// What was really accepted so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().ledger.clone()
    }

    /// Replaces a record by another one, as another client of the same account can.
    pub fn overwrite(&self, uri: &str, record: Value) {
        self.shared.lock().ledger.overwrite(uri, record);
    }

    /// Takes a record away, as its author can.
    pub fn delete(&self, uri: &str) {
        self.shared.lock().ledger.posts.retain(|post| post.uri != uri);
    }

    /// Forgets all files that no record names.
    pub fn forget_blobs(&self) {
        self.shared.lock().ledger.forget_blobs();
    }

    /// From now on a post has been counted to this, by the names of `app.bsky.feed.defs#postView`.
    pub fn count(&self, uri: &str, counts: Value) {
        self.shared.lock().counted.insert(uri.to_owned(), counts);
    }

    /// What was sent that is not in [`SHAPES`]; each was refused.
    pub fn unlisted(&self) -> Vec<String> {
        self.shared.lock().unlisted.clone()
    }

    /// The last 1,000 requests.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.iter().cloned().collect()
    }
}

impl Drop for FakeBluesky {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
