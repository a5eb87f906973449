//! What stands between a node and a platform's server, as proxies do: it lets requests through, and meddles with
//! those that it is told to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// The largest body: a test's video is far smaller.
const MOST_OF_BODY: usize = 16 * 1_024 * 1_024;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The creating call.
    Create,
    /// Bringing a file, or building what is published later.
    Build,
    /// Asking for new credentials.
    Grant,
    /// Reading.
    Look,
    Other,
}

/// A request, as far as it tells what it is for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Its body, as far as it is text.
    pub(crate) body: String,
}

impl Asked {
    /// Its method and the last part of its path: `POST feed`.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.path.rsplit('/').next().unwrap_or_default())
    }
}

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// The connection is cut, nothing comes through.
    CutBefore,
    /// It comes through, then the connection is cut.
    CutAfter,
    /// It comes through; no answer ever does.
    HangAfter,
    /// The connection is cut at once; it comes through so much later.
    Late(Duration),
    /// It comes through, and is answered so.
    After(Reply),
    /// It is answered so, and does not come through.
    Instead(Reply),
}

/// An answer that is not the server's.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        let json = ("content-type", "application/json; charset=utf-8");
        Self { status, headers: vec![json], body: body.into() }
    }

    /// What a proxy says that waited for too long.
    pub(crate) fn of_a_proxy() -> Self {
        let headers = vec![("content-type", "text/html")];
        Self { headers, ..Self::new(504, "<html><h1>504 Gateway Time-out</h1></html>") }
    }

    /// Wait for a second.
    pub(crate) fn limited() -> Self {
        let mut limited = Self::new(429, "{}");
        limited.headers.push(("retry-after", "1"));
        limited
    }

    fn response(&self) -> Answer {
        let mut builder = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Full::from(self.body.clone())).expect("headers of a test")
    }
}

/// A creating call that came.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    pub(crate) at: Instant,
    pub(crate) body: String,
}

type Answer = Response<Full<Bytes>>;

/// The connection is cut without an answer: hyper drops it when its service fails.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut")
    }
}

impl Error for Cut {}

/// A proxy; dropping it cuts every connection.
#[derive(Debug)]
pub(crate) struct Between {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<Infallible>,
}

#[derive(Debug)]
struct Shared {
    server: String,
    kind: fn(&Asked) -> Kind,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Each waits for those before it, and then for a request of its kind, after letting some through.
    script: VecDeque<(Kind, usize, Trouble)>,
    struck: usize,
    creates: Vec<Created>,
    grants: usize,
}

impl Between {
    /// Before the server at this address (`http://127.0.0.1:PORT`), whose requests are told apart so.
    pub(crate) async fn before(server: String, kind: fn(&Asked) -> Kind) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { server, kind, state: Mutex::default() });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, serving }
    }

    /// Where nodes find the server.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request of this kind meets this, once what was told before has happened; so many are let through
    /// first.
    pub(crate) fn strike(&self, kind: Kind, after: usize, trouble: Trouble) {
        self.shared.lock().script.push_back((kind, after, trouble));
    }

    /// How often it has meddled: what comes through then has done so.
    pub(crate) fn struck(&self) -> usize {
        self.shared.lock().struck
    }

    /// Whether all that was told has happened.
    pub(crate) fn is_done(&self) -> bool {
        self.shared.lock().script.is_empty()
    }

    /// Every creating call that came, whatever became of it.
    pub(crate) fn creates(&self) -> Vec<Created> {
        self.shared.lock().creates.clone()
    }

    /// Calls for new credentials so far.
    pub(crate) fn grants(&self) -> usize {
        self.shared.lock().grants
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a connection");
                connections.spawn(connection(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let fast = stream.set_nodelay(true);
    let service = service_fn(|request| respond(request, Arc::clone(&shared)));
    // A connection that was cut, by either side, is what this is for.
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    drop((fast, served));
}

async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MOST_OF_BODY).collect().await.map_err(|_| Cut)?.to_bytes();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let trouble = shared.meet(&asked);
    // A task of its own: what a server has begun to take in, it takes in, whether or not its caller lives.
    let through = |wait: Duration| {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            shared.pass(head, body).await
        })
    };
    let answer = match trouble {
        None => return through(Duration::ZERO).await.expect("it does not panic"),
        Some(Trouble::CutBefore) => Err(Cut),
        Some(Trouble::Late(wait)) => {
            through(wait);
            Err(Cut)
        }
        Some(Trouble::CutAfter) => {
            drop(through(Duration::ZERO).await);
            Err(Cut)
        }
        Some(Trouble::HangAfter) => {
            drop(through(Duration::ZERO).await);
            shared.lock().struck += 1;
            std::future::pending().await
        }
        Some(Trouble::After(reply)) => {
            drop(through(Duration::ZERO).await);
            Ok(reply.response())
        }
        Some(Trouble::Instead(reply)) => Ok(reply.response()),
    };
    shared.lock().struck += 1;
    answer
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request; what happens to it.
    fn meet(&self, asked: &Asked) -> Option<Trouble> {
        let kind = (self.kind)(asked);
        let mut state = self.lock();
        if kind == Kind::Create {
            state.creates.push(Created { at: Instant::now(), body: asked.body.clone() });
        }
        state.grants += usize::from(kind == Kind::Grant);
        let (waits_for, after, _) = state.script.front_mut()?;
        if *waits_for != kind {
            return None;
        }
        if *after > 0 {
            *after -= 1;
            return None;
        }
        state.script.pop_front().map(|(.., trouble)| trouble)
    }

    /// Lets a request through, and its answer back.
    async fn pass(&self, mut head: Parts, body: Bytes) -> Result<Answer, Cut> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("{}{path}", self.server).parse().expect("it came as one");
        for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
            head.headers.remove(name);
        }
        let mut request = Request::builder().method(head.method).uri(uri);
        *request.headers_mut().expect("it can be one") = head.headers;
        let request = request.body(Full::new(body)).expect("it came as one");
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (mut head, body) = client.request(request).await.map_err(|_| Cut)?.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        for name in [CONNECTION, TRANSFER_ENCODING] {
            head.headers.remove(name);
        }
        Ok(Response::from_parts(head, Full::new(body)))
    }
}
