//! Every request against what is known of Reddit's API: nothing else is sent, and all of the table is.

mod support;

use std::time::Duration;

use fake_reddit::{CLIENT_ID, FakeReddit, SHAPES};
use postq_core::connect::{Connect, Nonce, Refresh};
use postq_core::content::{Draft, Part};
use postq_core::failure::Outcome;
use postq_core::media::MediaKind;
use postq_core::platform::{Asked, Metrics, Preflight};
use postq_reddit::{Config, Reddit};
use serde_json::json;
use test_shapes::{Sent, Shapes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Bench, bench, files, intent, intent_of, now, titled};

const FLAIR: &str = r#","flair_id":"f","flair_text":"Rust""#;

async fn send_files(bench: &Bench, kinds: &[MediaKind]) {
    let mut prepared = Vec::new();
    for kind in kinds {
        prepared.push(bench.uploaded(*kind, b"content").await);
    }
    for (text, more) in [("", ""), ("a text", FLAIR)] {
        let intent = intent_of(text, titled("a title", more), &prepared);
        let media = files(&vec![Some("a cat"); kinds.len()]);
        // Of a picture or a video Reddit does not say which post it became.
        if let Err(failure) = bench.send_with(&intent, &media, &prepared).await {
            assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
        }
    }
}

async fn agree(address: &str) -> String {
    let rest = address.strip_prefix("http://").expect("on loopback");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await.expect("the server");
    let ask = format!(
        "GET /{path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: a browser\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let code = answer.split("code=").nth(1).expect("a code");
    code.split_whitespace().next().expect("a code").trim_end_matches("#_").to_owned()
}

/// Connects, and renews what that brought.
async fn connect(server: &FakeReddit) {
    server.set_app("me", "s3cret");
    let config = Config {
        base_url: server.base_url(),
        auth_url: server.base_url(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: Some("s3cret".into()),
        redirect_uri: Some("http://127.0.0.1:1/back".to_owned()),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    let reddit = Reddit::new(config).expect("an adapter");
    let address = reddit.authorize(&Nonce::random(), &Nonce::random()).expect("an address");
    let code = agree(&address).await.into();
    let grant = reddit.exchange(&code, &Nonce::random(), None).await.expect("a grant");
    reddit.whose(&grant).await.expect("whose it is");
    let token = grant.refresh_token.expect("a refresh token");
    Refresh::refresh(&reddit, &token).await.expect("renewed");
}

#[tokio::test]
async fn what_is_sent_is_what_reddit_takes() {
    let bench = bench().await;
    bench.server.set_community(
        "test",
        json!({ "submission_type": "any", "allow_images": true }),
        json!({ "is_flair_required": true }),
        json!([{ "id": "f", "text": "Rust", "text_editable": true }]),
    );
    let parts = [Part::text("text")];
    let options = titled("a title", FLAIR);
    let draft = Draft { parts: &parts, options: &options };
    bench.reddit.check(&bench.who, draft).await.expect("asked");
    bench.reddit.advice(&bench.who, draft).await.expect("asked");
    let link = r#","url":"https://a.example/","nsfw":true,"spoiler":true,"send_replies":false"#;
    for (text, more) in [("a text", ""), ("a text", FLAIR), ("", link)] {
        bench.publish(text, titled("a title", more)).await.expect("published");
    }
    let whole = titled("a title", &format!(r#","url":"https://b.example/"{FLAIR}"#));
    let out = bench.publish("a text", whole).await.expect("published").receipt.remote_id;
    send_files(&bench, &[MediaKind::Png]).await;
    send_files(&bench, &[MediaKind::Mp4]).await;
    send_files(&bench, &[MediaKind::Quicktime, MediaKind::Png]).await;
    send_files(&bench, &[MediaKind::Jpeg, MediaKind::Gif]).await;
    for n in 0..101 {
        bench.publish("", titled(&format!("more {n}"), "")).await.expect("published");
    }
    // On the second page.
    bench.look(&intent("", titled("none like it", ""))).await.expect("a look");
    let asked = [Asked { remote_id: out, published_at: now() }];
    bench.reddit.fetch(&bench.who, &asked, now()).await.expect("counts");
    connect(&bench.server).await;

    let seen = bench.server.seen();
    Shapes::read(SHAPES).assert_sent(seen.iter().map(|seen| Sent {
        method: &seen.method,
        target: &seen.target,
        headers: &seen.headers,
        body: &seen.body,
    }));
    assert_eq!(bench.server.unlisted(), [""; 0]);
}
