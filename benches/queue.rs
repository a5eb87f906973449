//! How fast jobs go in and out, and how soon they start: on a SQLite file, on Postgres, and on Postgres
//! with Redis beside it, each with the durability that it has by default (`fsync` and
//! `synchronous_commit` on, `appendfsync everysec`), on private servers on the same machine.
//!
//! Jobs do nothing; what is measured is postq and its stores. "Feed" is the real path: a job is made in
//! the store, claimed under a fence and settled under it, each transition in its history. "Queue" is the
//! bare `Queue` trait, which only proposes ids.
//!
//! - W1: jobs made in bulk, and one by one with one call in flight. Over Redis they are pushed as well.
//! - W2: 20,000 due jobs claimed and settled: in batches, as a program that drives the feed itself may; and
//!   as the engine does it, with 512 at once and each settled in a call of its own.
//! - W3: from the return of the call that made a job to its start, one job each 20 ms, made by another
//!   node than the one that works (on SQLite by the same process).
//! - W4: how late 500 jobs start that were made for one instant. As in the engine, they are claimed up to
//!   250 ms ahead, and wait for the moment by themselves. On the bare queue nothing is given out early.
//! - Future: a claim of 100 due jobs, and one that finds nothing, alone and among 2,000,000 future jobs, in
//!   turns.
//!
//! W1 to W4 are the medians of three rounds, each on an empty store; the order of the rounds is mixed, so
//! that what else the machine does hits all alike. Counts are asserted: every job once, with its whole
//! history. No time is.
//!
//! `scripts/bench queue` runs it; `scripts/bench queue postgres W3` a part; `future=0` leaves out the
//! future, `rounds=1` is quicker, `postgres=URL` and `redis=URL` name servers that are there already.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "queue/bare.rs"]
mod bare;
#[path = "queue/feed.rs"]
mod feed;
#[path = "queue/figures.rs"]
mod figures;
#[path = "queue/future.rs"]
mod future;
#[path = "queue/subject.rs"]
mod subject;

use figures::Figures;
use subject::{Kind, Servers};

/// What is asked for on the command line.
struct Wanted {
    words: Vec<String>,
    rounds: usize,
    future: usize,
    postgres: Option<String>,
    redis: Option<String>,
}

impl Wanted {
    fn read() -> Self {
        let mut wanted =
            Self { words: Vec::new(), rounds: 3, future: 2_000_000, postgres: None, redis: None };
        // Cargo adds `--bench`.
        for word in std::env::args().skip(1).filter(|word| !word.starts_with("--")) {
            match word.split_once('=') {
                Some(("rounds", n)) => wanted.rounds = n.parse().expect("rounds=NUMBER"),
                Some(("future", n)) => wanted.future = n.parse().expect("future=NUMBER"),
                Some(("postgres", url)) => wanted.postgres = Some(url.to_owned()),
                Some(("redis", url)) => wanted.redis = Some(url.to_owned()),
                _ => wanted.words.push(word),
            }
        }
        wanted
    }

    /// Whether one of these is asked for, or none of `all`.
    fn has(&self, word: &str, all: &[&str]) -> bool {
        let among: Vec<_> = self.words.iter().filter(|one| all.contains(&one.as_str())).collect();
        among.is_empty() || among.iter().any(|one| *one == word)
    }
}

fn main() {
    let wanted = Wanted::read();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run(&wanted));
}

const WORKLOADS: [&str; 6] = ["W1", "W2", "W3", "W4", "queue", "future"];

async fn run(wanted: &Wanted) {
    let kinds = Kind::ALL.map(Kind::word);
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| wanted.has(kind.word(), &kinds)).collect();
    let servers = Servers::start(&kinds, wanted.postgres.clone(), wanted.redis.clone());
    let wants = |workload| wanted.has(workload, &WORKLOADS);
    let mut figures = Figures::new(&kinds);
    for round in 0..wanted.rounds {
        for at in 0..kinds.len() {
            let kind = kinds[(at + round) % kinds.len()];
            for workload in WORKLOADS.into_iter().filter(|workload| wants(workload)) {
                match workload {
                    "W1" => feed::make(&servers, kind, &mut figures).await,
                    "W2" => feed::drain(&servers, kind, &mut figures).await,
                    "W3" => feed::pick_up(&servers, kind, &mut figures).await,
                    "W4" => feed::lateness(&servers, kind, &mut figures).await,
                    "queue" => bare::all(&servers, kind, &mut figures).await,
                    _ => {}
                }
            }
        }
    }
    if wants("future") && wanted.future > 0 {
        for kind in &kinds {
            future::claims(&servers, *kind, wanted.future, &mut figures).await;
        }
    }
    figures.print();
}
