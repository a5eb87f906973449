//! Servers for the tests: small, real, on loopback.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod smtp;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.headers.get(name).is_some_and(|found| found == value)
    }
}

/// How it answers: status, headers, body; none: never.
type Answer = Option<(u16, String, String)>;

/// An HTTP server that keeps what it was asked.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    _task: JoinSet<()>,
}

impl Server {
    /// Answers 200 with this text.
    pub async fn start(text: &str) -> Self {
        let text = text.to_owned();
        Self::answering(move |_| Some((200, String::new(), text.clone()))).await
    }

    /// Redirects from paths to locations, and answers 200 on others.
    pub async fn redirecting(from_to: &[(&str, &str)]) -> Self {
        let table: BTreeMap<_, _> =
            from_to.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        Self::answering(move |request| {
            Some(match table.get(&request.path) {
                Some(to) => (302, format!("location: {to}\r\n"), String::new()),
                None => (200, String::new(), "ok".to_owned()),
            })
        })
        .await
    }

    /// Takes connections and says nothing.
    pub async fn silent() -> Self {
        Self::answering(|_| None).await
    }

    /// Answers as the function says.
    pub async fn answering(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let mut task = JoinSet::new();
        let kept = Arc::clone(&seen);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                connections.spawn(async move {
                    let _ended = serve(stream, &seen, &*answer).await;
                });
            }
        });
        Self { address, seen, _task: task }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers,
        body: bytes[end + 4..].to_vec(),
    };
    let said = answer(&request);
    seen.lock().unwrap().push(request);
    let Some((status, headers, body)) = said else {
        std::future::pending::<()>().await;
        return Ok(());
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
