//! An X-shaped HTTP server on loopback, with faults on demand and a ledger of what it really
//! accepted.
//!
//! It answers `POST /2/tweets`, `GET /2/users/:id/tweets`, `GET /2/users/me` and uploads of media as X
//! does. The token
//! `tok-USER` belongs to the user with the id `USER`; every other token is refused. `GET /_ledger`
//! shows the [`Ledger`] as JSON, `POST /_faults` takes new [`Faults`] in their text form.
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
mod ledger;
mod listing;
mod media;
mod server;
mod shapes;

use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::task::JoinHandle;

pub use faults::{BadFaults, Dialect, Fault, Faults, MediaFault};
pub use ledger::{Accepted, Ledger};
pub use media::Uploaded;
pub use server::{Canned, Seen, Target};

use ledger::Book;
use server::{Shared, World};

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
    address: SocketAddr,
    shared: Shared,
    serving: JoinHandle<std::convert::Infallible>,
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
        let shared = Shared::new(World::new(book, options.faults, options.seed));
        let (listener, address) = server::listen(options.port).await?;
        let serving = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(Self { address, shared, serving })
    }

    /// What a client is given as the API's base: `http://127.0.0.1:PORT/2`.
    pub fn base_url(&self) -> String {
        format!("http://{}/2", self.address)
    }

    /// What was really accepted so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.lock().book.ledger.clone()
    }

    /// From now on, these faults and no others.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// The next request of the kind gets this answer and has no other effect; several are given in
    /// order.
    pub fn answer(&self, target: Target, answer: Canned) {
        self.shared.lock().canned.push_back((target, answer));
    }

    /// Every upload that is known, finished or not.
    pub fn uploads(&self) -> Vec<Uploaded> {
        self.shared.lock().uploads.all()
    }

    /// The last 1,000 requests.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.iter().cloned().collect()
    }
}

impl Drop for FakeX {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
