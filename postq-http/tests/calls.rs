//! Calls to a server that fails in every way: what surely never left, and what nobody knows.

#![allow(missing_docs, reason = "a test")]

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postq_core::failure::Outcome;
use postq_http::{Answer, Base, Calls, FileBody, Hidden, NoAnswer, Token, ask, client, within};
use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const PLENTY: usize = 64 * 1_024;
/// Long enough for a loopback that is busy.
const TIME: Duration = Duration::from_secs(10);
/// For calls that are to run out of time.
const SHORT: Duration = Duration::from_millis(300);

/// What a server does with a connection.
#[derive(Clone, Copy)]
enum Then {
    /// Says this and closes.
    Says(&'static str),
    /// Says this and goes on holding the connection.
    Holds(&'static str),
    /// Closes after so many bytes were read.
    Cuts(usize),
}

/// A server that does the same with each connection, and tells of what came in.
struct Server {
    at: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let (heard, heads) = mpsc::unbounded_channel();
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, then, heard.clone()));
            }
        });
        Self { at, connections, heads }
    }

    fn url(&self) -> String {
        format!("http://{}/2/posts", self.at)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The only request, as text; panics where there was another number of them.
    async fn only_request(&mut self) -> String {
        let head = self.heads.recv().await.expect("a request");
        assert!(self.heads.try_recv().is_err(), "one call is one request");
        head
    }
}

async fn serve(mut stream: TcpStream, then: Then, heard: mpsc::UnboundedSender<String>) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4_096]);
    let is_whole = |read: &[u8]| match then {
        Then::Cuts(bytes) => read.len() >= bytes,
        _ => read.windows(4).any(|end| end == b"\r\n\r\n"),
    };
    while !is_whole(&read) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => read.extend_from_slice(&buffer[..bytes]),
        }
    }
    let _nobody_asks = heard.send(String::from_utf8_lossy(&read).into_owned());
    if let Then::Says(words) | Then::Holds(words) = then {
        let _may_be_gone = stream.write_all(words.as_bytes()).await;
    }
    if let Then::Holds(_) = then {
        // Until the client closes it.
        let _closed = stream.read_to_end(&mut read).await;
    }
}

fn http(base_url: &str) -> Client {
    let base = Base::parse("base_url", base_url, "https://api.example.com/2").expect("a base");
    client(&Calls::of("x", "base_url", &base, TIME)).expect("a client")
}

fn post(server: &Server) -> RequestBuilder {
    http(&server.url()).post(server.url()).body("{}")
}

async fn call(request: RequestBuilder, within: Duration) -> Result<Answer, NoAnswer> {
    ask("x", request, PLENTY, within).await
}

/// The outcome as an adapter tells it, and its words.
fn told(result: Result<Answer, NoAnswer>) -> (Outcome, String) {
    let failure = result.expect_err("no answer").into_failure(Hidden::default());
    (failure.outcome, failure.message)
}

/// A port that nobody listens at.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}/", listener.local_addr().expect("an address"))
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let url = nobody().await;
    let request = http(&url).post(format!("{url}?token=hunter2")).body("{}");

    let (outcome, words) = told(call(request, TIME).await);

    assert_eq!(outcome, Outcome::NotPublished);
    assert!(words.starts_with("x could not be reached: "), "{words}");
    assert!(!words.contains("hunter2"), "{words}");
}

#[tokio::test]
async fn where_no_tls_was_agreed_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _may_be_gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let url = format!("https://{at}/");

    let (outcome, words) = told(call(http(&url).post(&url).body("{}"), TIME).await);

    assert_eq!(outcome, Outcome::NotPublished, "{words}");
    assert!(words.starts_with("x could not be reached: "), "{words}");
}

#[tokio::test]
async fn without_time_nothing_is_sent() {
    let server = Server::start(Then::Says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;

    let (outcome, words) = told(call(post(&server), Duration::ZERO).await);

    assert_eq!(outcome, Outcome::NotPublished);
    assert_eq!(words, "there was no time left to ask x");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_unknown() {
    let mut server = Server::start(Then::Holds("")).await;

    let (outcome, words) = told(call(post(&server), SHORT).await);

    assert_eq!((outcome, words.as_str()), (Outcome::Unknown, "x did not answer in time"));
    assert!(server.only_request().await.starts_with("POST /2/posts HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_answer_leaves_it_unknown() {
    // After the first byte, and after all of it.
    for then in [Then::Cuts(1), Then::Says("")] {
        let mut server = Server::start(then).await;

        let (outcome, words) = told(call(post(&server), TIME).await);

        assert_eq!(outcome, Outcome::Unknown, "{words}");
        assert!(words.starts_with("the connection to x was cut: "), "{words}");
        server.only_request().await;
        assert_eq!(server.connections(), 1, "nothing is repeated");
    }
}

#[tokio::test]
async fn half_an_answer_is_not_believed_even_if_it_refuses() {
    for status in ["200 OK", "400 Bad Request", "503 Unavailable"] {
        let half = format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\nhalf");
        let half: &'static str = half.leak();
        let server = Server::start(Then::Says(half)).await;
        let (outcome, words) = told(call(post(&server), TIME).await);
        assert_eq!(outcome, Outcome::Unknown, "{status}");
        assert!(words.starts_with("the connection to x was cut: "), "{words}");

        let server = Server::start(Then::Holds(half)).await;
        let (outcome, words) = told(call(post(&server), SHORT).await);
        assert_eq!((outcome, words.as_str()), (Outcome::Unknown, "x did not answer in time"));
    }
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let server = Server::start(Then::Says("SSH-2.0-OpenSSH_9.6\r\n\r\n")).await;

    let (outcome, words) = told(call(post(&server), TIME).await);

    assert_eq!(outcome, Outcome::Unknown);
    assert!(words.starts_with("the connection to x was cut: "), "{words}");
}

#[tokio::test]
async fn a_file_that_ends_too_early_may_have_left_in_part() {
    let server = Server::start(Then::Holds("")).await;
    let file = FileBody::new(Box::new(Cursor::new(vec![7; 100])), 200);
    let request = http(&server.url()).post(server.url()).body(file);

    let (outcome, words) = told(call(request, TIME).await);

    assert_eq!(outcome, Outcome::Unknown, "{words}");
    assert!(words.contains("the file is shorter now"), "{words}");
}

#[tokio::test]
async fn an_answer_is_whole_up_to_the_bound() {
    let server = Server::start(Then::Says("HTTP/1.1 201 C\r\ncontent-length: 4\r\n\r\n[17]")).await;
    let asked = |most| ask("x", post(&server), most, TIME);

    let whole = asked(4).await.expect("an answer");
    assert_eq!((whole.status.as_u16(), whole.read::<Vec<u8>>()), (201, Some(vec![17])));
    let larger = asked(3).await.expect("an answer all the same");
    assert_eq!((larger.status.as_u16(), larger.body.len()), (201, 0));
}

#[tokio::test]
async fn an_answer_without_an_end_costs_no_more_than_its_bound() {
    let endless =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n";
    let server = Server::start(Then::Holds(endless)).await;

    let answer = ask("x", post(&server), 9, TIME).await.expect("an answer");

    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
}

#[tokio::test]
async fn no_redirect_is_followed_and_nothing_is_repeated() {
    for (status, more) in [(301, "location: /"), (307, "location: /"), (503, "retry-after: 0")] {
        let answer = format!("HTTP/1.1 {status} No\r\n{more}\r\ncontent-length: 0\r\n\r\n");
        let mut server = Server::start(Then::Says(answer.leak())).await;

        let answer = call(post(&server), TIME).await.expect("an answer");

        assert_eq!(answer.status.as_u16(), status);
        let head = server.only_request().await;
        assert!(!head.contains("referer"), "{head}");
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn no_redirect_takes_a_token_elsewhere() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Server::start(Then::Says("HTTP/1.1 200 OK\r\n\r\n")).await;
        let there = elsewhere.url();
        let says = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: {there}\r\nrefresh: 0; url={there}\r\n\
             content-length: 0\r\n\r\n"
        );
        let server = Server::start(Then::Says(says.leak())).await;
        let token = Token::bare("tok-1".to_owned().into()).expect("a token");

        for request in [http(&server.url()).get(server.url()), post(&server)] {
            let answer = call(token.sign(request), TIME).await.expect("an answer");
            assert_eq!(answer.status.as_u16(), status);
        }

        assert_eq!((server.connections(), elsewhere.connections()), (2, 0), "{status}");
    }
}

#[tokio::test]
async fn a_call_tells_who_asks() {
    let mut server = Server::start(Then::Says("HTTP/1.1 204 N\r\n\r\n")).await;
    let base = Base::parse("base_url", &server.url(), "").expect("a base");
    let calls = Calls::of("x", "base_url", &base, within(TIME)).with_most_idle(1);

    let usual = client(&calls).expect("a client").get(server.url());
    call(usual, TIME).await.expect("an answer");
    let version = env!("CARGO_PKG_VERSION");
    let head = server.only_request().await;
    assert!(head.contains(&format!("user-agent: postq/{version}\r\n")), "{head}");

    let own = calls.with_user_agent(HeaderValue::from_static("server:my-app:1.0 (by /u/me)"));
    call(client(&own).expect("a client").get(server.url()), TIME).await.expect("an answer");
    assert!(server.only_request().await.contains("user-agent: server:my-app:1.0 (by /u/me)\r\n"));
}
