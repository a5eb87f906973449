//! Media from the web: only what may be called, whole or not at all.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use postq_core::failure::{Failure, FailureClass};
use postq_core::media::MediaSource;
use postq_outbound::{AllowList, Outbound, WebMedia};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn web() -> WebMedia {
    let allow: AllowList = "127.0.0.0/8".parse().unwrap();
    WebMedia::new(Outbound::new(allow).unwrap())
}

/// Says this to everybody who asks, and hangs up.
async fn saying(text: Vec<u8>, stays: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/cat.png", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(&text).await.unwrap();
            tokio::time::sleep(stays).await;
        }
    });
    url
}

async fn refused(url: &str) -> Failure {
    match web().open(url).await {
        Ok(_) => panic!("{url} was opened"),
        Err(failure) => failure,
    }
}

#[tokio::test]
async fn what_is_there_comes_whole() {
    let body = vec![7; 300_000];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let url = saying([head.into_bytes(), body.clone()].concat(), Duration::ZERO).await;

    let mut read = Vec::new();
    web().open(&url).await.unwrap().read_to_end(&mut read).await.unwrap();

    assert!(read == body);
}

#[tokio::test]
async fn what_breaks_off_is_an_error_and_not_an_end() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it".to_vec();
    let url = saying(text, Duration::ZERO).await;

    let mut read = Vec::new();
    let error = web().open(&url).await.unwrap().read_to_end(&mut read).await.unwrap_err();

    assert!(error.to_string().contains("broke off"), "{error}");
}

#[tokio::test]
async fn what_never_ends_is_given_up() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it".to_vec();
    let url = saying(text, Duration::from_secs(60)).await;

    let mut read = Vec::new();
    let web = web().in_all(Duration::from_millis(200));
    let error = web.open(&url).await.unwrap().read_to_end(&mut read).await.unwrap_err();

    assert!(error.to_string().contains("within 200ms"), "{error}");
}

#[tokio::test]
async fn what_may_not_be_called_is_not() {
    let inner = Outbound::new(AllowList::default()).unwrap();
    let failure = WebMedia::new(inner).open("https://169.254.169.254/latest").await.err().unwrap();
    assert_eq!(failure.class, FailureClass::Content);
    assert!(failure.message.contains("POSTQ_OUTBOUND_ALLOW"), "{failure}");
    for url in ["http://8.8.8.8/cat.png", "file:///etc/passwd", "/etc/passwd"] {
        assert_eq!(refused(url).await.class, FailureClass::Content, "{url}");
    }
    let leads =
        b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_vec();
    let failure = refused(&saying(leads, Duration::ZERO).await).await;
    assert!(failure.message.contains("10.0.0.1"), "{failure}");
}

#[tokio::test]
async fn what_is_not_there_is_no_content_and_what_is_busy_may_be_later() {
    for (status, class) in [(404, FailureClass::Content), (503, FailureClass::Network)] {
        let text = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").into_bytes();
        let failure = refused(&saying(text, Duration::ZERO).await).await;
        assert_eq!(failure.class, class);
        assert!(
            failure.message.contains(&status.to_string()) && !failure.message.contains("cat.png")
        );
    }
}
