//! A Reddit-shaped HTTP server on loopback, with faults on demand and a ledger of what it really accepted.
//!
//! It stands for both hosts of Reddit and for its store of files: submitting, galleries, leases and uploads,
//! lists of own posts, `/api/info`, what communities take, and OAuth. The token `tok-NAME` belongs to the user
//! NAME; every other token is refused, but for those that the token endpoint gave. A field that Reddit does not
//! document is refused.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use fake_reddit::{FakeReddit, Fault};
//!
//! let reddit = FakeReddit::start().await.expect("a free port");
//! reddit.faults([Fault::CutAfter]);
//!
//! // ... publish to reddit.base_url() with the token "tok-me", then:
//! assert!(reddit.accepted().is_empty());
//! # });
//! ```

mod answers;
mod communities;
mod faults;
mod grants;
mod ledger;
mod listing;
mod media;
mod server;
mod submit;

use std::io;
use std::time::Duration;

use fake_http::Server;

pub use fake_http::{Canned, Seen};
pub use faults::{Fault, MediaFault};
pub use grants::{CLIENT_ID, GrantFault};
pub use ledger::{Accepted, Standing};
pub use media::Uploaded;
pub use server::Target;

use server::World;

/// What may be sent: the table of what Reddit takes, as far as anybody here sends it.
pub const SHAPES: &str = include_str!("../../../postq-reddit/tests/shapes.json");

/// A running server; dropping it cuts every connection.
#[derive(Debug)]
pub struct FakeReddit {
    server: Server<World>,
}

impl FakeReddit {
    /// A server without faults, on a free port.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        let server = Server::start(0, server::MOST_OF_BODY, World::at, server::respond).await?;
        Ok(Self { server })
    }

    /// What a client is given as the base of the API and of OAuth: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// What was really accepted so far, in order.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.server.lock().book.accepted().to_vec()
    }

    /// Requests to create so far, whatever became of them.
    pub fn creates(&self) -> usize {
        self.server.lock().creates
    }

    /// What the next requests to create meet, one each.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.server.lock().faults.extend(faults);
    }

    /// What the next requests of uploads meet: each waits for one that it can happen to.
    pub fn media_faults(&self, faults: impl IntoIterator<Item = MediaFault>) {
        self.server.lock().media_faults.extend(faults);
    }

    /// From now on lists do not show a new post for so long.
    pub fn hide_for(&self, time: Duration) {
        self.server.lock().hide = time;
    }

    /// From now on pictures and videos are worked on for so long before their post is made.
    pub fn work_for(&self, time: Duration) {
        self.server.lock().work = time;
    }

    /// From now on the answer to a picture or video has no websocket.
    pub fn without_websockets(&self) {
        self.server.lock().has_websockets = false;
    }

    /// From now on lists do not tell the files of a post, nor whether it is a gallery or a video.
    pub fn without_files(&self) {
        self.server.lock().tells_files = false;
    }

    /// From now on the clock of the server's `Date` is so many seconds ahead, and its posts' as well.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.server.lock().ahead = seconds;
    }

    /// The next request of the kind gets this answer and has no other effect; several are given in
    /// order.
    pub fn answer(&self, target: Target, answer: Canned) {
        self.server.lock().canned.push(target, answer);
    }

    /// From now on, a post stands so.
    pub fn set_standing(&self, id: &str, standing: Standing) {
        self.server.lock().book.set_standing(id, standing);
    }

    /// From now on a community says this of itself: what `about`, its requirements and its flairs have.
    pub fn set_community(
        &self,
        name: &str,
        about: serde_json::Value,
        requirements: serde_json::Value,
        flairs: serde_json::Value,
    ) {
        let told = [about, requirements, flairs];
        self.server.lock().communities.insert(name.to_ascii_lowercase(), told);
    }

    /// From now on a community has these rules for people; null is a list that a user may not see.
    pub fn set_rules(&self, name: &str, rules: serde_json::Value) {
        self.server.lock().rules.insert(name.to_ascii_lowercase(), rules);
    }

    /// From now on this user agrees, and the app has this secret; an installed app has none.
    pub fn set_app(&self, person: &str, secret: &str) {
        let grants = &mut self.server.lock().grants;
        (grants.person, grants.secret) = (person.to_owned(), secret.to_owned());
    }

    /// From now on an answer to a refresh has its refresh token in it, or not.
    pub fn repeat_refresh_tokens(&self, repeat: bool) {
        self.server.lock().grants.repeats = repeat;
    }

    /// What the next requests for a grant meet, one each.
    pub fn grant_faults(&self, faults: impl IntoIterator<Item = GrantFault>) {
        self.server.lock().grants.faults.extend(faults);
    }

    /// Takes the right back that a user gave.
    pub fn revoke(&self, user: &str) {
        self.server.lock().grants.revoke(user);
    }

    /// Requests for a grant so far.
    pub fn grant_calls(&self) -> u64 {
        self.server.lock().grants.calls
    }

    /// Every file that was leased, sent or not.
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
