//! Every request against what Pinterest documents: nothing else is sent, and all of the table is. The test server's
//! answers too.
//!
//! `shapes.json` has what this adapter uses of version 5.23.0 of the API: names, types, limits.

mod support;

use std::sync::Arc;
use std::time::Duration;

use fake_pinterest::{
    BOARDS, CLIENT_ID, CLIENT_SECRET, Canned, FakePinterest, SECTION, SHAPES, Seen, Target,
};
use postq_core::connect::{Connect, Nonce, Refresh};
use postq_core::media::MediaKind;
use postq_core::platform::{Asked, Metrics};
use postq_pinterest::{Config, Pinterest};
use serde_json::json;
use test_shapes::{Sent, Shapes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::bucket::Bucket;
use support::{Bench, bench, intent, intent_with, now};

async fn agree(address: &str) -> String {
    let rest = address.strip_prefix("http://").expect("on loopback");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await.expect("the server");
    let ask = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let code = answer.split("code=").nth(1).expect("a code");
    code.split_whitespace().next().expect("a code").to_owned()
}

/// Connects, and renews what that brought.
async fn connect(server: &FakePinterest) {
    let config = Config {
        base_url: server.base_url(),
        authorize_url: server.authorize_url(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: Some(CLIENT_SECRET.into()),
        redirect_uri: Some("http://127.0.0.1:1/back".to_owned()),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    let files = Arc::new(postq_core::memory::MemoryMedia::default());
    let pinterest = Pinterest::new(config, files).expect("an adapter");
    let address = pinterest.authorize(&Nonce::random(), &Nonce::random()).expect("an address");
    let code = agree(&address).await.into();
    let grant = pinterest.exchange(&code, &Nonce::random(), None).await.expect("a grant");
    pinterest.whose(&grant).await.expect("whose it is");
    let token = grant.refresh_token.expect("a refresh token");
    Refresh::refresh(&pinterest, &token).await.expect("renewed");
}

/// Pictures that Pinterest fetches: one, several, and a cover.
async fn send_addresses(bench: &mut Bench) {
    let config = Config {
        base_url: bench.server.base_url(),
        settle_time: Duration::from_secs(1),
        fetch_pictures: true,
        ..Config::default()
    };
    let bucket = Arc::new(Bucket::over(&bench.files));
    bench.pinterest = Pinterest::new(config, bucket).expect("an adapter");
    let (jpeg, video) = ((MediaKind::Jpeg, None), (MediaKind::Mp4, None));
    for files in [&[jpeg][..], &[jpeg, jpeg], &[video, jpeg]] {
        bench.send_files(&intent("by address"), files).await.expect("published");
    }
}

/// Lists whose first page is not all.
async fn page(bench: &Bench) {
    let more = || Canned::new(200, r#"{"items":[],"bookmark":"0"}"#);
    let board = BOARDS[0].0;
    for (target, options) in [
        (Target::Boards, [("board", BOARDS[1].1)].as_slice()),
        (Target::Boards, &[("board", board), ("section", SECTION.1)]),
        (Target::List, &[("board", board), ("section", SECTION.0)]),
        (Target::List, &[("board", board)]),
    ] {
        bench.server.answer(target, more());
        match target {
            Target::List => drop(bench.look(&intent_with("none", options)).await.expect("a look")),
            _ => drop(bench.send(&intent_with("paged", options)).await.expect("published")),
        }
    }
}

#[tokio::test]
async fn what_is_sent_is_what_pinterest_documents() {
    let mut bench = bench().await;
    page(&bench).await;
    let (jpeg, png, video) =
        ((MediaKind::Jpeg, Some("alt")), (MediaKind::Png, None), (MediaKind::Mp4, None));
    let full = intent_with(
        &"é".repeat(800),
        &[
            ("board", BOARDS[0].1),
            ("section", SECTION.1),
            ("title", &"👍".repeat(100)),
            ("link", "https://example.com/"),
            ("dominant_color", "#6E7874"),
            ("cover_at", "3"),
        ],
    );
    for files in [&[jpeg][..], &[jpeg, png], &[video], &[video, png]] {
        bench.send_files(&full, files).await.expect("published");
    }
    bench.publish("plain").await.expect("published");
    bench.look(&full).await.expect("a look");
    bench.look(&intent("plain")).await.expect("a look");
    send_addresses(&mut bench).await;
    let id = bench.server.pins()[0].id.clone();
    bench.server.count(&id, json!({ "90d": { "impression": 1 } }));
    let asked = [Asked { remote_id: id, published_at: now() }];
    bench.pinterest.fetch(&bench.who, &asked, now()).await.expect("counts");
    connect(&bench.server).await;

    // Files go to the storage that Pinterest names, by a form of Pinterest's own.
    let seen: Vec<Seen> = bench.server.seen();
    let seen = seen.iter().filter(|seen| seen.target.starts_with("/v5/"));
    let seen: Vec<(Sent<'_>, &Seen)> = seen.map(|seen| (sent(seen), seen)).collect();
    let shapes = Shapes::read(SHAPES);
    shapes.assert_sent(seen.iter().map(|(sent, _)| *sent));
    for (sent, seen) in seen {
        let (status, answer) = seen.answer.as_ref().expect("an answer");
        assert_eq!(shapes.wrong_answer(sent, *status, answer), None);
    }
    assert_eq!(bench.server.unlisted(), [""; 0]);
}

fn sent(seen: &Seen) -> Sent<'_> {
    Sent { method: &seen.method, target: &seen.target, headers: &seen.headers, body: &seen.body }
}
