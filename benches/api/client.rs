//! A client that takes little of the two cores: HTTP/1.1 on a kept connection, answers with a length.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Target;

/// The largest answer: a page of 50 is well below it.
const MOST: usize = 1_024 * 1_024;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /api/posts?limit=50`.
    pub(crate) line: String,
    /// The `Idempotency-Key` and the body of a POST.
    pub(crate) body: Option<(String, String)>,
}

impl Request {
    pub(crate) fn get(path: String) -> Self {
        Self { line: format!("GET {path}"), body: None }
    }

    fn text(&self, target: &Target) -> String {
        let (line, head) = (&self.line, &target.head);
        match &self.body {
            None => format!("{line} HTTP/1.1\r\n{head}\r\n"),
            Some((key, body)) => format!(
                "{line} HTTP/1.1\r\n{head}content-type: application/json\r\n\
                 idempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        }
    }
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(64 * 1_024) })
    }

    /// Sends a request and reads its whole answer; its status.
    pub(crate) async fn ask(&mut self, target: &Target, request: &Request) -> io::Result<u16> {
        self.stream.write_all(request.text(target).as_bytes()).await?;
        self.read.clear();
        let body_at = loop {
            self.more().await?;
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.read[..body_at]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let (Some(status), Some(length)) = (status, length.and_then(|n| n.parse().ok())) else {
            return Err(io::Error::other(format!("no status or length in {head}")));
        };
        let length: usize = length;
        while self.read.len() < body_at + length {
            self.more().await?;
        }
        Ok(status)
    }

    /// What was answered to the last request, its head among it.
    pub(crate) fn answer(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.read)
    }

    async fn more(&mut self) -> io::Result<()> {
        let got = self.stream.read_buf(&mut self.read).await?;
        if got == 0 || self.read.len() > MOST {
            return Err(io::Error::other("the answer ends too early, or never"));
        }
        Ok(())
    }

    /// Asks for what has no end, and hands over the connection.
    pub(crate) async fn stream(mut self, target: &Target, path: &str) -> io::Result<TcpStream> {
        let request = Request::get(path.to_owned()).text(target);
        self.stream.write_all(request.as_bytes()).await?;
        Ok(self.stream)
    }
}
