//! A platform: its test server, the adapter for it, what is sent to it, and what is really out.

use std::sync::Arc;
use std::time::Duration;

use postq::core::connect::{Connect, Grant, Nonce};
use postq::core::content::Part;
use postq::core::memory::MemoryMedia;
use postq::core::options::{OptionValue, PostOptions};
use postq::core::platform::Platform;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::between::{Asked, Kind, Reply};

/// Where people come back to who agreed.
pub(crate) const BACK: &str = "http://127.0.0.1:8484/api/accounts/callback/test";

/// A platform.
pub(crate) trait Town: Sized + Send + Sync + 'static {
    /// What is good for a renewal after the answer to one was lost.
    const RENEWS: Renews;

    /// So many looks that succeed and tell nothing, some of them after the settle time, are made again. X's list says
    /// how many posts it has: one that does not is in doubt, and a post that is in doubt then is held.
    const EMPTY_LOOKS: usize = 3;

    async fn start() -> Self;

    /// Where the server is: `http://127.0.0.1:PORT`.
    fn server(&self) -> String;

    /// The adapter of a node that finds the server there.
    fn adapter(&self, at: &str, files: &MemoryMedia) -> Arc<dyn Platform>;

    /// Somebody connects: the remote id, and what the platform gives.
    async fn connect(&self, at: &str) -> (String, Grant);

    /// The posts that are sent, each with this word in every text.
    fn posts(word: &str) -> Vec<Sent>;

    /// What a request is for.
    fn kind(asked: &Asked) -> Kind;

    /// What is really out, in order.
    fn live(&self) -> Vec<Live>;

    /// From now on lists show a new post only after so long. Does nothing where all is shown at once.
    fn hide(&self, time: Duration);

    /// A refusal of what is sent.
    fn refusal() -> Reply;

    /// A refusal because the same is there already, where the platform knows such.
    fn duplicate() -> Option<Reply>;

    /// A refusal of the access token.
    fn ended() -> Reply;

    /// A refusal of what renews it.
    fn dead() -> Reply;
}

/// How a platform renews tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renews {
    /// What renews is good for one call.
    Once,
    /// What renews is good until it is taken back.
    Always,
    /// Nothing renews: a person connects again.
    Never,
}

/// A post that is sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// For whoever reads a failure.
    pub(crate) name: &'static str,
    pub(crate) parts: Vec<Part>,
    pub(crate) options: PostOptions,
    /// The part that meets the trouble.
    pub(crate) struck: usize,
    /// Whether the platform can tell that it is not there; else it is held.
    pub(crate) absence_is_told: bool,
    /// Whether a file is taken in, or a container built, before its creating call.
    pub(crate) is_prepared: bool,
    /// Whether the platform refuses a copy of it.
    pub(crate) is_taken_once: bool,
}

impl Sent {
    pub(crate) fn new(name: &'static str, parts: Vec<Part>) -> Self {
        Self {
            name,
            parts,
            options: PostOptions::default(),
            struck: 0,
            absence_is_told: true,
            is_prepared: false,
            is_taken_once: false,
        }
    }

    pub(crate) fn prepared(self) -> Self {
        Self { is_prepared: true, ..self }
    }

    pub(crate) fn taken_once(self) -> Self {
        Self { is_taken_once: true, ..self }
    }

    /// A thread of three, once for each part that meets the trouble.
    pub(crate) fn threads(word: &str) -> Vec<Self> {
        let parts = ["first", "second", "third"].map(|which| Part::text(format!("{word}{which}")));
        let threads = ["a thread at its 1st part", "at its 2nd", "at its 3rd"];
        let of = |(struck, name)| Self { struck, ..Self::new(name, parts.to_vec()) };
        threads.into_iter().enumerate().map(of).collect()
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.options.set(name, OptionValue::Text(value.to_owned()));
        self
    }

    /// Which part a creating call is about: each has a text that no other has.
    pub(crate) fn part_of(&self, body: &str) -> usize {
        let known = self.parts.iter().position(|part| body.contains(&part.text));
        known.unwrap_or_default()
    }
}

/// A post that is out.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// What a receipt may name it by.
    pub(crate) ids: Vec<String>,
    pub(crate) reply_to: Option<String>,
}

/// A person goes to an address, agrees, and comes back: the grant and whose it is.
pub(crate) async fn agreed(connect: &dyn Connect) -> (String, Grant) {
    let (state, verifier) = (Nonce::random(), Nonce::random());
    let address = connect.authorize(&state, &verifier).expect("an address");
    let grant = connect.exchange(&code_at(&address).await, &verifier, None).await.expect("a grant");
    let whose = connect.whose(&grant).await.expect("somebody's");
    (whose.remote_id, grant)
}

async fn code_at(address: &str) -> SecretString {
    let rest = address.strip_prefix("http://").expect("on loopback");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await.expect("the server");
    let ask = format!(
        "GET /{path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: a browser\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let back = answer.lines().find_map(|line| line.strip_prefix("location: ")).expect("back");
    assert!(back.starts_with(BACK), "{back}");
    let code = back.split("code=").nth(1).and_then(|rest| rest.split(['&', '#']).next());
    code.expect("a code").into()
}
