//! Deliveries to real servers: what is sent, and what comes of every way to answer badly.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use chrono::DateTime;
use postq_core::courier::{Courier, Dispatch, Reply};
use postq_core::failure::{Failure, FailureClass};
use postq_outbound::{AllowList, HttpCourier, Outbound};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use support::Server;

/// The example of the specification.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &str = r#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn courier() -> HttpCourier {
    let allow: AllowList = "127.0.0.0/8".parse().unwrap();
    HttpCourier::new(Outbound::new(allow).unwrap())
}

async fn send(courier: &HttpCourier, url: &str) -> Result<Reply, Failure> {
    let secrets = [SecretString::from(SECRET)];
    let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
    courier.deliver(Dispatch { url, id: ID, at, body: BODY, secrets: &secrets }).await
}

async fn sent_to(server: &Server) -> Result<Reply, Failure> {
    send(&courier(), &server.url("/hook")).await
}

/// Says this, whatever it is asked, and hangs up.
async fn saying(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
    });
    url
}

#[tokio::test]
async fn a_delivery_is_signed_as_the_specification_has_it() {
    let server = Server::start("thanks").await;

    let reply = sent_to(&server).await.unwrap();

    assert!(reply.is_taken());
    assert_eq!((reply.status, reply.text.as_str()), (200, "thanks"));
    let request = server.requests().remove(0);
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", BODY.as_bytes()));
    for (name, value) in [
        ("content-type", "application/json"),
        ("webhook-id", ID),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", SIGNATURE),
    ] {
        assert!(request.has(name, value), "{name}: {request:?}");
    }
}

#[tokio::test]
async fn while_a_secret_is_changed_both_sign() {
    let server = Server::start("").await;
    let secrets =
        ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SECRET].map(SecretString::from);
    let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
    let url = server.url("/hook");
    let dispatch = Dispatch { url: &url, id: ID, at, body: BODY, secrets: &secrets };

    courier().deliver(dispatch).await.unwrap();

    let request = server.requests().remove(0);
    let signatures: Vec<&str> = request.headers["webhook-signature"].split(' ').collect();
    assert_eq!((signatures.len(), signatures[1]), (2, SIGNATURE));
    assert_ne!(signatures[0], SIGNATURE);
}

#[tokio::test]
async fn a_refusal_is_an_answer_with_the_wait_that_it_asks_for() {
    for (header, expected) in [
        ("retry-after: 120\r\n", Some(Duration::from_secs(120))),
        ("retry-after: Thu, 25 Feb 2021 15:03:10 GMT\r\n", Some(Duration::from_secs(60))),
        ("retry-after: soon\r\n", None),
        ("", None),
    ] {
        let answer = move |_: &_| Some((503, header.to_owned(), "no\n  room".to_owned()));
        let server = Server::answering(answer).await;

        let reply = sent_to(&server).await.unwrap();

        assert_eq!(reply, Reply { status: 503, retry_after: expected, text: "no room".to_owned() });
        assert!(!reply.is_taken());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::redirecting(&[("/hook", "/other")]).await;

    let reply = sent_to(&server).await.unwrap();

    assert_eq!(reply.status, 302);
    let paths: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/hook"]);
}

#[tokio::test]
async fn silence_ends_within_its_bound() {
    let server = Server::silent().await;
    let courier = courier().within(Duration::from_millis(200));

    let failure = send(&courier, &server.url("/T0/secret")).await.unwrap_err();

    assert_eq!(failure.class, FailureClass::Network);
    assert!(failure.message.contains("did not answer within 200ms"), "{failure}");
    assert!(!failure.message.contains("secret"), "{failure}");
}

#[tokio::test]
async fn whoever_hangs_up_gave_no_answer() {
    for text in ["", "HTTP/1.1 20", "HTTP/1.1 500 x\r\ncontent-length: 100\r\n\r\nhalf"] {
        let failure = send(&courier(), &saying(text).await).await.unwrap_err();

        assert_eq!(failure.class, FailureClass::Network, "{text:?}: {failure}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_read_to_its_bound() {
    let server = Server::answering(|_| Some((500, String::new(), "x".repeat(10_000_000)))).await;

    let reply = sent_to(&server).await.unwrap();

    assert_eq!((reply.status, reply.text.len()), (500, 200));
}

#[tokio::test]
async fn the_guard_holds_for_what_is_set_up_and_for_what_is_sent() {
    let server = Server::start("").await;
    let guarded = HttpCourier::new(Outbound::new(AllowList::default()).unwrap());

    let failure = send(&guarded, &server.url("/hook")).await.unwrap_err();

    assert_eq!(failure.class, FailureClass::Network, "it waits until that is allowed");
    assert!(failure.message.contains("127.0.0.1"), "{failure}");
    assert!(server.requests().is_empty());
    assert!(guarded.problem(&server.url("/hook")).is_some());
    assert!(guarded.problem("ftp://example.com/").is_some());
    assert!(guarded.problem("https://hooks.example.com/postq?key=1").is_none());
}
