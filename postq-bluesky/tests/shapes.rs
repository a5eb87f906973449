//! Every request against the lexicons: nothing else is sent, and all of the table is.

mod support;

use std::io::Cursor;
use std::time::Duration;

use fake_bluesky::{FakeBluesky, SHAPES};
use postq_bluesky::{Bluesky, Config};
use postq_core::connect::Refresh;
use postq_core::content::MediaRef;
use postq_core::intent::Intent;
use postq_core::media::{MediaFacts, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::platform::{
    Asked, Media, Metrics, Outgoing, Platform, PreparedMedia, UploadFile, UploadStep,
};
use test_shapes::{Sent, Shapes};

use support::{Bench, bench, intent, now, options, outgoing};

async fn upload(bench: &Bench, kind: MediaKind) -> PreparedMedia {
    let store = MemoryMedia::default();
    let content = Cursor::new(b"content".to_vec());
    let stored = store.put(Box::new(content), u64::MAX).await.expect("put");
    let facts = MediaFacts::picture(kind, 640, 480);
    let mut state = None;
    for _ in 0..20 {
        let file = UploadFile {
            store: &store,
            id: stored.id,
            bytes: stored.bytes,
            facts: &facts,
            alt: Some("a cat"),
            url: None,
            now: now(),
        };
        let step = Media::step(&bench.bluesky, &bench.who, file, state.as_ref()).await;
        match step.expect("a step") {
            UploadStep::Ready(prepared) => return prepared,
            UploadStep::Going { state: next, .. } => state = Some(next),
        }
    }
    panic!("it does not end")
}

/// Publishes with a file; the id.
async fn send_with(bench: &Bench, intent: &Intent, kind: MediaKind) -> String {
    let prepared = [upload(bench, kind).await];
    let media = [MediaRef { source: "a".into(), alt: Some("a cat".into()) }];
    let part = Outgoing { media: &media, prepared: &prepared, ..outgoing(intent) };
    bench.bluesky.publish(&bench.who, part).await.expect("published").receipt.remote_id
}

/// Signs in and renews the session.
async fn connect(server: &FakeBluesky) {
    let config = Config {
        service_url: server.url(),
        plc_url: server.url(),
        appview_url: server.url(),
        send_timeout: Duration::from_secs(5),
        ..Config::default()
    };
    let bluesky = Bluesky::new(config).expect("an adapter");
    let signed_in = bluesky.sign_in("alice.test", &"app-password".into()).await;
    let (grant, _) = signed_in.expect("a session");
    bluesky.whoami(&grant.access_token).await.expect("somebody");
    let token = grant.refresh_token.expect("a refresh token");
    Refresh::refresh(&bluesky, &token).await.expect("renewed");
}

#[tokio::test]
async fn what_is_sent_is_what_the_lexicons_have() {
    let bench = bench().await;
    let told = options(
        r#"{"langs":["en","de"],"labels":["sexual"],"tags":["rust"],
            "card_url":"https://a.example/b","card_title":"A title","card_description":"What it is"}"#,
    );
    let whole =
        Intent { options: told, ..intent("Hi @alice.test and https://a.example/é #日本") };
    let root = send_with(&bench, &whole, MediaKind::Png).await;
    let second = Intent { part: 1, reply_to: Some(root.clone()), ..intent("two") };
    send_with(&bench, &second, MediaKind::Jpeg).await;
    send_with(&bench, &intent("a video"), MediaKind::Mp4).await;
    bench.look(&intent("none like it")).await.expect("a look");
    let asked = [Asked { remote_id: root, published_at: now() - Duration::from_secs(86_400) }];
    bench.bluesky.fetch(&bench.who, &asked, now()).await.expect("counts");
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
