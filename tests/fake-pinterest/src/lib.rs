//! A Pinterest-shaped HTTP server on loopback, with faults on demand and a ledger of the Pins it really has.
//!
//! It answers the calls of API v5 that create and show Pins, list boards and sections, take videos in, tell whose
//! a token is and give tokens; it refuses what the documentation does not list. The token `tok-USER` belongs to
//! the user with the id `USER`; every other one is refused, but for those that `POST /v5/oauth/token` gave, which
//! end. `GET /oauth/` is where a person agrees, at once. `POST /storage` is where videos are sent.
//!
//! Every user has the boards of [`BOARDS`] and, on the first of them, the section [`SECTION`].
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use fake_pinterest::{FakePinterest, Fault, Faults};
//!
//! let pinterest = FakePinterest::start().await.expect("a free port");
//! pinterest.set_faults(Faults::script([Fault::CutAfter]));
//!
//! // ... publish to pinterest.base_url() with the token "tok-42", then:
//! assert!(pinterest.pins().is_empty());
//! # });
//! ```

mod answers;
mod boards;
mod faults;
mod grants;
mod pins;
mod server;
mod storage;

use std::io;

use fake_http::Server;
use serde_json::Value;

pub use boards::{BOARDS, SECTION};
pub use fake_http::{Canned, Seen};
pub use faults::{Fault, Faults, MediaFault, Order};
pub use grants::{CLIENT_ID, CLIENT_SECRET, GrantFault};
pub use pins::{Accepted, Standing};
pub use server::Target;
pub use storage::Uploaded;

use server::World;

/// What may be sent: the table of what Pinterest documents, as far as anybody here sends it.
pub const SHAPES: &str = include_str!("../../../postq-pinterest/tests/shapes.json");

/// A running server; dropping it cuts every connection.
#[derive(Debug)]
pub struct FakePinterest {
    server: Server<World>,
}

impl FakePinterest {
    /// A server without faults, on a free port.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        let server = Server::start(0, server::MOST_OF_BODY, World::at, server::respond).await?;
        Ok(Self { server })
    }

    /// What a client is given as the API's base: `http://127.0.0.1:PORT/v5`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v5", self.server.address())
    }

    /// Where people agree to connect an account.
    pub fn authorize_url(&self) -> String {
        format!("http://{}/oauth/", self.server.address())
    }

    /// The Pins that were really accepted so far, in order.
    pub fn pins(&self) -> Vec<Accepted> {
        self.server.lock().pins.all().to_vec()
    }

    /// Requests to create a Pin so far, whatever became of them.
    pub fn creates(&self) -> u64 {
        self.server.lock().creates
    }

    /// From now on, these faults and no others.
    pub fn set_faults(&self, faults: Faults) {
        self.server.lock().faults = faults;
    }

    /// The next request of the kind gets this answer and has no other effect; several are given in order.
    pub fn answer(&self, target: Target, answer: Canned) {
        self.server.lock().canned.push(target, answer);
    }

    /// From now on there are these boards, by id and name, and no sections.
    pub fn set_boards(&self, boards: &[(&str, &str)]) {
        self.server.lock().boards.set(boards);
    }

    /// From now on, this is told as the `pin_metrics` of a Pin.
    pub fn count(&self, id: &str, metrics: Value) {
        self.server.lock().pins.count(id, metrics);
    }

    /// From now on, a Pin stands so to those who ask for it.
    pub fn set_standing(&self, id: &str, standing: Standing) {
        self.server.lock().pins.set_standing(id, standing);
    }

    /// Every upload that is known.
    pub fn uploads(&self) -> Vec<Uploaded> {
        self.server.lock().storage.all()
    }

    /// From now on this user agrees.
    pub fn set_person(&self, person: &str) {
        self.server.lock().grants.set_person(person);
    }

    /// From now on a renewal brings no new refresh token: the one before goes on, as those of the older kind.
    pub fn keep_refresh_tokens(&self) {
        self.server.lock().grants.keep_refresh_tokens();
    }

    /// What the next requests for a grant meet, one each.
    pub fn grant_faults(&self, faults: impl IntoIterator<Item = GrantFault>) {
        self.server.lock().grants.meet(faults);
    }

    /// Requests for a grant so far.
    pub fn grant_calls(&self) -> u64 {
        self.server.lock().grants.calls()
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
