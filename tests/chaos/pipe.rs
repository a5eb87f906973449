//! The way of one node to its Postgres: it can be closed, and it can fall silent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the pipe does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections stay, nothing comes through until it is open again.
    Frozen,
    /// Connections are cut and refused.
    Closed,
}

/// A socket before the server's own.
#[derive(Debug)]
pub(crate) struct Pipe {
    url: String,
    way: watch::Sender<Way>,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

impl Pipe {
    /// To the server at this URL, which must lead to a socket.
    pub(crate) fn to(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (user, rest) = url.split_once('@').expect("a user");
        let (host, rest) = rest.split_once(':').expect("a port");
        let (port, database) = rest.split_once('/').expect("a database");
        let socket = format!(".s.PGSQL.{port}");
        let server = Path::new(&host.replace("%2F", "/")).join(&socket);
        let listener = UnixListener::bind(folder.path().join(&socket)).expect("a socket");
        let way = watch::Sender::new(Way::Open);
        let serving = tokio::spawn(serve(listener, Arc::new(server), way.subscribe()));
        let host = folder.path().display().to_string().replace('/', "%2F");
        Self { url: format!("{user}@{host}:{port}/{database}"), way, serving, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn freeze(&self) {
        self.way.send_replace(Way::Frozen);
    }

    pub(crate) fn close(&self) {
        self.way.send_replace(Way::Closed);
    }

    pub(crate) fn open(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: UnixListener, server: Arc<PathBuf>, way: watch::Receiver<Way>) {
    let mut pairs = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (client, _) = accepted.expect("a connection");
                pairs.spawn(pair(client, Arc::clone(&server), way.clone()));
            }
            Some(_) = pairs.join_next() => {}
        }
    }
}

/// Carries one connection both ways until either end or the pipe is closed.
async fn pair(client: UnixStream, server: Arc<PathBuf>, mut way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Closed {
        return;
    }
    let Ok(server) = UnixStream::connect(&*server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(from_client, to_server, way.clone()) => {}
        () = carry(from_server, to_client, way.clone()) => {}
        // Nobody is left to open it again, or it was closed.
        _ = way.wait_for(|way| *way == Way::Closed) => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 16 * 1_024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // What was read meanwhile waits, and comes through when the pipe is open again.
        if way.wait_for(|way| *way != Way::Frozen).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
