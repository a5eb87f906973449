//! How fast the HTTP API answers, on a SQLite file with 100,000 posts.
//!
//! The server is a process of its own: engine, router and store as `postqd serve` has them, with full
//! durability and a token in each request. The client, in this process, asks over kept connections on
//! loopback, on the same cores.
//!
//! - Steady: 500 requests a second for 20 s, of a mix that a dashboard and a program would make, 25 of
//!   them a second new posts that go out two seconds later. Each request has its moment, whatever the
//!   ones before it do, and its latency counts from that moment: a server that stalls is charged for
//!   every request that should have been sent meanwhile.
//! - Live: the same with 200 clients of `/api/events`, each of whom must get every event.
//! - Paging: page 1 and page 1,000 of each list, in turns.
//!
//! Counts are asserted: every answer is as expected, every client has every event. No time is.
//!
//! `scripts/bench api` runs it; `posts=20000`, `seconds=5`, `rate=200` and `clients=50` change it.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "api/client.rs"]
mod client;
#[path = "api/fill.rs"]
mod fill;
#[path = "api/load.rs"]
mod load;
#[path = "api/paging.rs"]
mod paging;
#[path = "api/server.rs"]
mod server;
#[path = "api/stream.rs"]
mod stream;

use std::time::Duration;

use server::Server;

/// What is asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    posts: usize,
    seconds: u64,
    rate: u32,
    clients: usize,
}

impl Wanted {
    fn read() -> Self {
        let mut wanted = Self { posts: 100_000, seconds: 20, rate: 500, clients: 200 };
        // Cargo adds `--bench`.
        for word in std::env::args().skip(1).filter(|word| !word.starts_with("--")) {
            let (name, number) = word.split_once('=').expect("NAME=NUMBER");
            let number: usize = number.parse().expect("NAME=NUMBER");
            match name {
                "posts" => wanted.posts = number,
                "seconds" => wanted.seconds = number as u64,
                "rate" => wanted.rate = u32::try_from(number).expect("fewer requests"),
                "clients" => wanted.clients = number,
                _ => panic!("expected posts=, seconds=, rate= or clients="),
            }
        }
        wanted
    }
}

fn main() {
    // The server is this program once more.
    if let Some(folder) = std::env::args().nth(1).and_then(|word| {
        let folder = word.strip_prefix(server::MARK)?;
        Some(std::path::PathBuf::from(folder))
    }) {
        return server::run(&folder);
    }
    let wanted = Wanted::read();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(wanted));
}

async fn run(wanted: Wanted) {
    let folder = tempfile::tempdir().expect("a folder");
    let filled = fill::fill(folder.path(), wanted.posts).await;
    let server = Server::start(folder.path(), &filled);
    let length = Duration::from_secs(wanted.seconds);

    // Once before what counts: caches, connections and prepared statements are there.
    load::run(&server, &filled, wanted.rate, length / 4).await;

    let before = server.used();
    let figures = load::run(&server, &filled, wanted.rate, length).await;
    figures.print("steady", wanted.rate, server.used() - before);

    // What was handed in last goes out first: no stream begins with it.
    tokio::time::sleep(load::AHEAD * 2).await;
    let streams = stream::open(&server, wanted.clients).await;
    let before = server.used();
    let figures = load::run(&server, &filled, wanted.rate, length).await;
    figures.print("live", wanted.rate, server.used() - before);
    streams.finish(figures.made()).await;

    paging::compare(&server, &filled).await;
    println!("the server has {:.1} MiB in memory", server.resident_mib());
}
