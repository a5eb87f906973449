//! Clients of `/api/events`.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::Connection;
use crate::server::Server;

/// After the last post was handed in, its event comes within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// What each event of a post that went out has in it, once.
const SUCCEEDED: &[u8] = b"event: job.succeeded";

/// Open streams, each of which counts what it gets.
pub(crate) struct Streams {
    counting: JoinSet<usize>,
    wanted: tokio::sync::watch::Sender<Option<usize>>,
    clients: usize,
}

/// Opens so many streams, and waits until each is answered.
pub(crate) async fn open(server: &Server, clients: usize) -> Streams {
    let (wanted, told) = tokio::sync::watch::channel(None);
    let mut counting = JoinSet::new();
    for _ in 0..clients {
        let connection = Connection::open(&server.target).await.expect("a connection");
        let stream = connection.stream(&server.target, "/api/events").await.expect("a stream");
        stream.readable().await.expect("it is answered");
        counting.spawn(count(stream, told.clone()));
    }
    Streams { counting, wanted, clients }
}

impl Streams {
    /// Waits until every client has so many events.
    pub(crate) async fn finish(mut self, events: usize) {
        self.wanted.send_replace(Some(events));
        let all = async {
            while let Some(counted) = self.counting.join_next().await {
                assert_eq!(counted.expect("a stream that stays"), events, "each event once");
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, all).await;
        in_time.expect("every client gets every event");
        println!("  {} clients of /api/events got {events} events each", self.clients);
    }
}

/// Counts events until there are as many as wanted, once that is known.
async fn count(
    mut stream: TcpStream,
    mut told: tokio::sync::watch::Receiver<Option<usize>>,
) -> usize {
    let (mut seen, mut read) = (0, Vec::with_capacity(16 * 1_024));
    loop {
        if told.borrow().is_some_and(|wanted| seen >= wanted) {
            return seen;
        }
        tokio::select! {
            got = stream.read_buf(&mut read) => {
                assert!(got.expect("the stream goes on") > 0, "the stream ended after {seen} events");
            }
            _ = told.changed() => {}
        }
        let mut begin = 0;
        while let Some(at) = find(&read[begin..], SUCCEEDED) {
            begin += at + SUCCEEDED.len();
            seen += 1;
        }
        // What is left may hold the beginning of one.
        let rest = begin.max(read.len().saturating_sub(SUCCEEDED.len() - 1));
        read.drain(..rest);
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
