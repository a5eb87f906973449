//! The server: accepts connections, takes requests apart, and has them answered.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::MutexGuard;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::{Answer, Call, Cut, Shared};

/// A running server on loopback; dropping it cuts every connection.
#[derive(Debug)]
pub struct Server<W> {
    address: SocketAddr,
    shared: Shared<W>,
    serving: JoinHandle<Infallible>,
}

impl<W: Send + 'static> Server<W> {
    /// Listens on a port, 0 for one that is free; has `respond` answer every request with a body of at most
    /// `most_of_body` bytes, and answers those with a larger one with 413.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn start<R>(
        port: u16,
        most_of_body: usize,
        world: impl FnOnce(SocketAddr) -> W,
        respond: impl Fn(Call, Shared<W>) -> R + Clone + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        R: Future<Output = Result<Answer, Cut>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let shared = Shared::new(world(address));
        let own = shared.clone();
        let respond = move |call| respond(call, own.clone());
        let serving = tokio::spawn(serve(listener, most_of_body, respond));
        Ok(Self { address, shared, serving })
    }
}

impl<W> Server<W> {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it knows, while no connection has it.
    pub fn lock(&self) -> MutexGuard<'_, W> {
        self.shared.lock()
    }
}

impl<W> Drop for Server<W> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves until it is dropped, and its connections with it.
async fn serve<F, R>(listener: TcpListener, most_of_body: usize, respond: F) -> Infallible
where
    F: Fn(Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Answer, Cut>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, most_of_body, respond.clone()));
                }
                // Out of file descriptors, say: others may become free.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection<F, R>(stream: TcpStream, most_of_body: usize, respond: F)
where
    F: Fn(Call) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Answer, Cut>> + Send + 'static,
{
    let fast = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, most_of_body, respond.clone()));
    // A connection that was cut, by either side, is what these servers are for.
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    drop((fast, served));
}

async fn answer<F, R>(
    request: Request<Incoming>,
    most_of_body: usize,
    respond: F,
) -> Result<Response<Full<Bytes>>, Cut>
where
    F: Fn(Call) -> R,
    R: Future<Output = Result<Answer, Cut>>,
{
    let answered = match Call::read(request, most_of_body).await {
        Some(call) => respond(call).await?,
        None => too_large(),
    };
    Ok(answered.map(Full::new))
}

fn too_large() -> Answer {
    let mut answer = Response::new(Bytes::from_static(b"the body is too large"));
    *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::Canned;

    async fn respond(call: Call, paths: Shared<Vec<String>>) -> Result<Answer, Cut> {
        paths.lock().push(call.path.clone());
        match call.path.as_str() {
            "/cut" => Err(Cut),
            _ => Ok(Canned::new(200, call.query).answer("text/plain")),
        }
    }

    async fn ask(address: SocketAddr, target: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        // A cut connection may end in an error.
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_request_is_answered_cut_or_too_large() {
        let server = Server::start(0, 4, |_| Vec::new(), respond).await.expect("a free port");
        let address = server.address();

        let answered = ask(address, "/a?b=c", "1234").await;
        assert!(answered.starts_with("HTTP/1.1 200 ") && answered.ends_with("b=c"), "{answered}");
        assert_eq!(ask(address, "/cut", "").await, "");
        let refused = ask(address, "/b", "12345").await;
        assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
        assert_eq!(*server.lock(), ["/a", "/cut"]);
    }

    #[tokio::test]
    async fn a_server_that_is_dropped_cuts_its_connections() {
        let server = Server::start(0, 4, |_| Vec::new(), respond).await.expect("a free port");
        let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
        stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it reads");
        assert_ne!(stream.read(&mut [0; 512]).await.expect("an answer"), 0);

        drop(server);
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut [0; 512])).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    }
}
