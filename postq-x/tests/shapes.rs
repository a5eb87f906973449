//! Every request against what X documents: nothing else is sent, and all of the table is.
//!
//! `shapes.json` has what this adapter uses of version 2.166 of the API, and of 2.167 where that has other names.

mod support;

use std::io::Cursor;
use std::time::Duration;

use fake_x::{CLIENT_ID, Dialect, FakeX, Faults, SHAPES};
use postq_core::connect::{Connect, Nonce, Refresh, Revoke};
use postq_core::content::MediaRef;
use postq_core::media::{MediaFacts, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::options::NO_OPTIONS;
use postq_core::platform::{
    Asked, Media, Metrics, Outgoing, Platform, PreparedMedia, UploadFile, UploadStep,
};
use postq_x::{Config, Fields, Group, X};
use test_shapes::{Sent, Shapes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{Bench, bench_with, intent, now, reply};

async fn upload(bench: &Bench, kind: MediaKind, alt: Option<&str>) -> PreparedMedia {
    let store = MemoryMedia::default();
    let content = Cursor::new(b"content");
    let stored = store.put(Box::new(content), u64::MAX).await.expect("put");
    let facts = MediaFacts::picture(kind, 640, 480);
    let mut state = None;
    for _ in 0..20 {
        let file = UploadFile {
            store: &store,
            id: stored.id,
            bytes: stored.bytes,
            facts: &facts,
            alt,
            url: None,
            now: now(),
        };
        match bench.x.step(&bench.who, file, state.as_ref()).await.expect("a step") {
            UploadStep::Ready(prepared) => return prepared,
            UploadStep::Going { state: next, .. } => state = Some(next),
        }
    }
    panic!("it does not end")
}

async fn send_with(bench: &Bench, text: &str, prepared: &[PreparedMedia]) {
    let intent = intent(text);
    let media: Vec<MediaRef> =
        prepared.iter().map(|_| MediaRef { source: "a".into(), alt: None }).collect();
    let part = Outgoing {
        part: 0,
        of: 1,
        text,
        options: &NO_OPTIONS,
        media: &media,
        prepared,
        container: None,
        reply_to: None,
        thread: None,
        key: &intent.key,
    };
    bench.x.publish(&bench.who, part).await.expect("published");
}

/// Everything that an account of this server can do.
async fn work(bench: &Bench) {
    bench.x.whoami(bench.who.secret.as_ref().expect("a token")).await.expect("somebody");
    let first = bench.publish("first").await.expect("published").receipt.remote_id;
    bench.send(&reply("second", &first)).await.expect("published");
    let picture = upload(bench, MediaKind::Jpeg, Some("a dot")).await;
    send_with(bench, "look", &[picture, upload(bench, MediaKind::Webp, None).await]).await;
    for kind in [MediaKind::Png, MediaKind::Gif, MediaKind::Mp4, MediaKind::Quicktime] {
        send_with(bench, "", &[upload(bench, kind, None).await]).await;
    }
    for n in 0..101 {
        bench.publish(&format!("more {n}")).await.expect("published");
    }
    // On the second page.
    bench.look(&intent("none like it")).await.expect("a look");
    let older = now() - chrono::TimeDelta::days(40);
    for published_at in [now(), older] {
        let asked = [Asked { remote_id: first.clone(), published_at }];
        bench.x.fetch(&bench.who, &asked, now()).await.expect("counts");
    }
}

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

/// Connects, renews what that brought, and takes it back.
async fn connect(server: &FakeX, secret: Option<&str>) {
    server.set_app("42", secret);
    let config = Config {
        base_url: server.base_url(),
        authorize_url: server.authorize_url(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: secret.map(Into::into),
        redirect_uri: Some("http://127.0.0.1:1/back".to_owned()),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    let x = X::new(config).expect("an adapter");
    let verifier = Nonce::random();
    let address = x.authorize(&Nonce::random(), &verifier).expect("an address");
    let code = agree(&address).await.into();
    let grant = x.exchange(&code, &verifier, None).await.expect("a grant");
    let token = grant.refresh_token.expect("a refresh token");
    Refresh::refresh(&x, &token).await.expect("renewed");
    Revoke::revoke(&x, &token).await.expect("taken back");
}

#[tokio::test]
async fn what_is_sent_is_what_x_documents() {
    let groups = || vec![Group::Public, Group::NonPublic, Group::Organic];
    let older = bench_with(|config| config.groups = groups()).await;
    work(&older).await;
    connect(&older.server, None).await;
    let newer = bench_with(|config| {
        config.groups = groups();
        config.fields = Fields::Post;
    });
    let newer = newer.await;
    newer.server.set_faults(Faults { dialect: Dialect::Post, ..Faults::default() });
    work(&newer).await;
    let confidential = FakeX::start().await.expect("a free port");
    connect(&confidential, Some("s3cret")).await;

    let seen = [older.server.seen(), newer.server.seen(), confidential.seen()].concat();
    let sent = seen.iter().map(|seen| Sent {
        method: &seen.method,
        target: &seen.target,
        headers: &seen.headers,
        body: &seen.body,
    });
    Shapes::read(SHAPES).assert_sent(sent);
    for server in [&older.server, &newer.server, &confidential] {
        assert_eq!(server.unlisted(), [""; 0]);
    }
}
