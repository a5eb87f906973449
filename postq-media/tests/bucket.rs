//! The bucket passes the published suite, on a server that speaks S3: `moto`, from PyPI. `scripts/test` installs it
//! where it is missing. A server that cannot be started fails the tests: no quiet skip.
#![cfg(feature = "s3")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use postq_core::media::{MediaKind, MediaStore};
use postq_media::{BucketConfig, BucketMedia};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Ends its server when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

async fn start() -> (BucketMedia, Server) {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let program = std::env::vars().find(|(name, _)| name == "POSTQ_TEST_MOTO_SERVER");
    let program = program.map(|(_, path)| path);
    let server = Command::new(program.as_deref().unwrap_or("moto_server"))
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`pip install moto[s3,server]`, or name moto_server in POSTQ_TEST_MOTO_SERVER");
    let server = Server(server);
    let make = "PUT /postq HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\
                Authorization: AWS4-HMAC-SHA256 Credential=k/20200101/us-east-1/s3/aws4_request\r\n\
                Connection: close\r\n\r\n";
    for _ in 0..600 {
        if ask(port, make).await.is_some_and(|answer| answer.contains(" 200 ")) {
            let config = BucketConfig {
                bucket: "postq".to_owned(),
                endpoint: Some(format!("http://127.0.0.1:{port}")),
                prefix: "media".to_owned(),
                access_key: Some("k".to_owned()),
                secret_key: Some("s".to_owned()),
                ..BucketConfig::default()
            };
            return (BucketMedia::new(&config).expect("a bucket"), server);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the S3 server did not start within 60 s");
}

async fn fresh() -> (Arc<dyn MediaStore>, Arc<Server>) {
    let (bucket, server) = start().await;
    (Arc::new(bucket), Arc::new(server))
}

postq_core::media_conformance!(fresh);

#[tokio::test]
async fn a_link_serves_the_content_to_anybody() {
    let (bucket, _server) = start().await;
    let stored = bucket.put(Box::new(&b"a cat"[..]), 10).await.expect("put");

    let link = bucket.link(stored.id, MediaKind::Png, Duration::from_secs(60)).await;

    let link = link.expect("signed").expect("a bucket serves its files");
    let rest = link.strip_prefix("http://127.0.0.1:").expect("the endpoint");
    let (port, path) = rest.split_once('/').expect("a path");
    assert!(path.contains("X-Amz-Signature=") && path.contains("X-Amz-Expires=60"), "{path}");
    let request =
        format!("GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let answer = ask(port.parse().expect("a port"), &request).await.expect("an answer");
    assert!(answer.ends_with("a cat"), "{answer}");
}

#[test]
fn settings_do_not_show_their_key() {
    let config = BucketConfig { secret_key: Some("hunter2".into()), ..BucketConfig::default() };
    assert!(!format!("{config:?}").contains("hunter2"));
}
