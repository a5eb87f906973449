//! Requests that no decent client makes: slow, huge, malformed, forged.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use postq_web::Settings;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{PATIENCE, Plan, Site};

/// Sends bytes and reads all that comes until the server closes, or for a while.
async fn exchange(site: &Site, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    // A server that has heard enough closes: what it said is still to be read.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(10), read).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
        .into_bytes()
}

#[track_caller]
fn starts(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "expected {status}: {answer:.300}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_and_hurts_nobody() {
    let site = Site::still().await;
    let bad: [&[u8]; 9] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /api/posts HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"G\0T /api/posts HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/posts HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n",
        b"GET /api/posts HTTP/1.1\r\nHost: localhost\r\n bad: folded\r\n\r\n",
        b"POST /api/posts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /api/posts HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/posts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ];
    for bytes in bad {
        let answer = exchange(&site, bytes).await;
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400");
        assert!(is_refused, "{:?}: {answer:.200}", String::from_utf8_lossy(bytes));
    }
    let two = b"GET /api/about HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    starts(&exchange(&site, two).await, 403);
    let none = b"GET /api/about HTTP/1.1\r\nConnection: close\r\n\r\n";
    starts(&exchange(&site, none).await, 403);
    let absolute = b"GET http://evil.example/api/about HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    starts(&exchange(&site, absolute).await, 403);
    starts(
        &exchange(
            &site,
            &get("/api/about", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
        )
        .await,
        401,
    );
    starts(&exchange(&site, &get("/api/about", "")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_can_be_smuggled_into_an_answer() {
    let site = Site::still().await;
    let injected = "%0d%0aSet-Cookie:%20a=b%0d%0a";
    for path in [
        format!("/api/posts/{injected}"),
        format!("/api/posts?cursor={injected}"),
        format!("/api/{injected}"),
        format!("/api/jobs?account={injected}"),
    ] {
        let answer = exchange(&site, &get(&path, "")).await;
        let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 4") && !head.contains("set-cookie"), "{path}: {head}");
    }
    let name = json!({"platform": "dry_run", "name": "a\r\nSet-Cookie: a=b"});
    site.post("/api/accounts", name).await.refused(422, "invalid");
    let key = json!({"text": "x", "key": "a\r\nb"});
    site.post("/api/posts", key).await.refused(422, "invalid");
    let origin = exchange(&site, &get("/api/about", "Origin: https://a\tb\r\n")).await;
    starts(&origin, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_huge_is_refused_early() {
    let site = Site::still().await;
    let text = "x".repeat(600 * 1_024);
    site.post("/api/posts", json!({"text": text})).await.refused(413, "too_large");
    let request = site.request(reqwest::Method::POST, "/api/posts").header("idempotency-key", "k");
    let keyed = request.json(&json!({"text": text})).send().await.unwrap();
    assert_eq!(keyed.status(), 413);

    let head = format!("X-Long: {}\r\n", "a".repeat(64 * 1_024));
    let answer = exchange(&site, &get("/api/about", &head)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer:.200}");
    let path = format!("/api/posts?cursor={}", "a".repeat(64 * 1_024));
    let answer = exchange(&site, &get(&path, "")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:.200}");
    // A body without an end, in chunks, is not read to its end.
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    let head = "POST /api/posts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let sent = async {
        let mut sent = 0usize;
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 1;
            if sent > 2_000 {
                break;
            }
        }
        sent
    };
    let sent = tokio::time::timeout(PATIENCE, sent).await.unwrap_or_default();
    assert!(sent < 1_000, "the server took {sent} chunks of 64 KiB");
    let deep = format!("{{\"text\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let request = site.request(reqwest::Method::POST, "/api/posts");
    let request = request.header("content-type", "application/json").body(deep);
    assert!(request.send().await.unwrap().status().is_client_error());
    site.get("/api/about").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_is_let_go_and_holds_nobody_up() {
    let settings = Settings { request_timeout: Duration::from_secs(1), ..Settings::default() };
    let site = Site::with(Plan { settings, runs: false, ..Plan::default() }).await;
    let begun = Instant::now();
    let mut heads = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(b"GET /api/about HTTP/1.1\r\nHost: loc").await.unwrap();
        heads.push(stream);
    }
    let mut body = TcpStream::connect(site.address).await.unwrap();
    let head = "POST /api/posts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{\"text\":";
    body.write_all(head.as_bytes()).await.unwrap();

    let asked = Instant::now();
    site.get("/api/about").await.is(200);
    assert!(asked.elapsed() < Duration::from_secs(5), "others are answered");
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(20), body.read_exact(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    for mut stream in heads {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(25), stream.read_to_end(&mut rest));
        end.await.expect("the server closes").ok();
    }
    assert!(begun.elapsed() >= Duration::from_secs(14), "it was patient for a while");
}
