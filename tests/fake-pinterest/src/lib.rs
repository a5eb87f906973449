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

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::task::JoinHandle;

pub use answers::Canned;
pub use boards::{BOARDS, SECTION};
pub use faults::{Fault, Faults, MediaFault, Order};
pub use grants::{CLIENT_ID, CLIENT_SECRET, GrantFault};
pub use pins::{Accepted, Standing};
pub use server::{Seen, Target};
pub use storage::Uploaded;

use server::Shared;

/// What may be sent: the table of what Pinterest documents, as far as anybody here sends it.
pub const SHAPES: &str = include_str!("../../../postq-pinterest/tests/shapes.json");

/// A running server; dropping it cuts every connection.
#[derive(Debug)]
pub struct FakePinterest {
    address: SocketAddr,
    shared: Shared,
    serving: JoinHandle<Infallible>,
}

impl FakePinterest {
    /// A server without faults, on a free port.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn start() -> io::Result<Self> {
        let (listener, address) = server::listen().await?;
        let shared = Shared::new(address);
        let serving = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(Self { address, shared, serving })
    }

    /// What a client is given as the API's base: `http://127.0.0.1:PORT/v5`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v5", self.address)
    }

    /// Where people agree to connect an account.
    pub fn authorize_url(&self) -> String {
        format!("http://{}/oauth/", self.address)
    }

    /// The Pins that were really accepted so far, in order.
    pub fn pins(&self) -> Vec<Accepted> {
        self.shared.lock().pins.all().to_vec()
    }

    /// Requests to create a Pin so far, whatever became of them.
    pub fn creates(&self) -> u64 {
        self.shared.lock().creates
    }

    /// From now on, these faults and no others.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// The next request of the kind gets this answer and has no other effect; several are given in order.
    pub fn answer(&self, target: Target, answer: Canned) {
        self.shared.lock().canned.push_back((target, answer));
    }

    /// From now on there are these boards, by id and name, and no sections.
    pub fn set_boards(&self, boards: &[(&str, &str)]) {
        self.shared.lock().boards.set(boards);
    }

    /// From now on, this is told as the `pin_metrics` of a Pin.
    pub fn count(&self, id: &str, metrics: Value) {
        self.shared.lock().pins.count(id, metrics);
    }

    /// From now on, a Pin stands so to those who ask for it.
    pub fn set_standing(&self, id: &str, standing: Standing) {
        self.shared.lock().pins.set_standing(id, standing);
    }

    /// Every upload that is known.
    pub fn uploads(&self) -> Vec<Uploaded> {
        self.shared.lock().storage.all()
    }

    /// From now on this user agrees.
    pub fn set_person(&self, person: &str) {
        self.shared.lock().grants.set_person(person);
    }

    /// From now on a renewal brings no new refresh token: the one before goes on, as those of the older kind.
    pub fn keep_refresh_tokens(&self) {
        self.shared.lock().grants.keep_refresh_tokens();
    }

    /// What the next requests for a grant meet, one each.
    pub fn grant_faults(&self, faults: impl IntoIterator<Item = GrantFault>) {
        self.shared.lock().grants.meet(faults);
    }

    /// Requests for a grant so far.
    pub fn grant_calls(&self) -> u64 {
        self.shared.lock().grants.calls()
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

impl Drop for FakePinterest {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
