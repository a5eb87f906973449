//! Looking: the record under the key, and nothing else, tells what is out.

mod support;

use std::time::Duration;

use fake_bluesky::{Canned, Refuses};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::intent::{Intent, PlatformKey};
use postq_core::platform::{Look, Reconcile};
use serde_json::json;

use support::{GET, bench, bench_with, cannot_tell, found, intent, now, who};

#[tokio::test]
async fn what_is_out_is_found_at_once() {
    let bench = bench().await;
    let intent = intent("a text");
    let receipt = bench.send(&intent).await.expect("published").receipt;

    let look = bench.look(&intent).await.expect("a look");

    assert_eq!(found(&look), receipt.remote_id);
    let Look::Found(again) = look else { panic!("found") };
    assert_eq!((again.url, again.published_at), (receipt.url, receipt.published_at));
    let seen = bench.server.seen().pop().expect("a request");
    let rkey = receipt.remote_id.split(['/', '#']).nth(4).expect("a key");
    let did = bench.did.replace(':', "%3A");
    let query = format!("?repo={did}&collection=app.bsky.feed.post&rkey={rkey}");
    assert_eq!((seen.method.as_str(), seen.target), ("GET", format!("/xrpc/{GET}{query}")));
    assert!(!seen.headers.iter().any(|(name, _)| name == "authorization"), "no token is needed");
}

#[tokio::test]
async fn what_is_not_there_is_absent_whatever_else_is() {
    let bench = bench().await;
    bench.publish("a text").await.expect("published");

    let look = bench.look(&intent("a text")).await.expect("a look");

    assert_eq!(look, Look::Absent, "the same text under another key is another post");
}

#[tokio::test]
async fn older_servers_say_it_in_words() {
    let bench = bench().await;
    let words = "Could not locate record: at://did:plc:a/app.bsky.feed.post/b";
    bench.server.answer(GET, Canned::error(400, "InvalidRequest", words));

    assert_eq!(bench.look(&intent("a")).await.expect("a look"), Look::Absent);
}

#[tokio::test]
async fn a_post_that_was_taken_away_is_absent() {
    let bench = bench().await;
    let intent = intent("a text");
    let receipt = bench.send(&intent).await.expect("published").receipt;
    bench.server.delete(receipt.remote_id.split('#').next().expect("an address"));

    assert_eq!(bench.look(&intent).await.expect("a look"), Look::Absent);
}

#[tokio::test]
async fn what_was_changed_is_for_a_person() {
    let bench = bench().await;
    let intent = intent("a text");
    let receipt = bench.send(&intent).await.expect("published").receipt;
    let uri = receipt.remote_id.split('#').next().expect("an address");

    let mut record = bench.last();
    record["text"] = json!("another text");
    bench.server.overwrite(uri, record.clone());
    let look = bench.look(&intent).await.expect("a look");
    assert_eq!(
        cannot_tell(&look),
        format!("post {uri} is under its key, but is not what was sent")
    );

    record["text"] = json!("a text");
    record["reply"] = json!({ "parent": { "uri": "at://did:plc:a/app.bsky.feed.post/b" } });
    bench.server.overwrite(uri, record.clone());
    cannot_tell(&bench.look(&intent).await.expect("a look"));

    // Other changes leave it the same post.
    record["reply"] = json!(null);
    record["langs"] = json!(["de"]);
    bench.server.overwrite(uri, record);
    assert!(found(&bench.look(&intent).await.expect("a look")).starts_with(uri));
}

#[tokio::test]
async fn what_another_publication_has_is_not_found() {
    let bench = bench().await;
    let intent = intent("a text");
    let receipt = bench.send(&intent).await.expect("published").receipt;

    let look = bench.look_besides(&intent, &[&receipt.remote_id]).await.expect("a look");

    assert!(cannot_tell(&look).contains("belongs to another publication"), "{look:?}");
}

#[tokio::test]
async fn a_reply_is_found_by_its_key_and_its_parent() {
    let bench = bench().await;
    let first = intent("one");
    let parent = bench.send(&first).await.expect("published").receipt.remote_id;
    let key = PlatformKey::derive(first.job, 1);
    let second = Intent { part: 1, key, text: "two".into(), reply_to: Some(parent), ..first };
    let receipt = bench.send(&second).await.expect("published").receipt;

    assert_eq!(found(&bench.look(&second).await.expect("a look")), receipt.remote_id);
    let alone = Intent { reply_to: None, ..second };
    cannot_tell(&bench.look(&alone).await.expect("a look"));
}

#[tokio::test]
async fn a_look_needs_no_living_session() {
    let bench = bench().await;
    let intent = intent("a text");
    bench.send(&intent).await.expect("published");
    bench.server.expire_access();

    found(&bench.look(&intent).await.expect("a look"));
}

#[tokio::test]
async fn a_look_that_fails_says_nothing_of_what_is_out() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(400)).await;
    let uri = "at://did:plc:other/app.bsky.feed.post/3jzfcijpj2z2a";
    for (answer, class) in [
        (Canned::error(400, "InvalidRequest", "Could not find repo"), FailureClass::Platform),
        (Canned::error(400, "RepoDeactivated", "it sleeps"), FailureClass::Auth),
        (Canned::error(429, "RateLimitExceeded", ""), FailureClass::RateLimit),
        (Canned::error(404, "XRPCNotSupported", ""), FailureClass::Platform),
        (Canned::new(502, "<html>"), FailureClass::Platform),
        (Canned::new(200, "{}"), FailureClass::Platform),
        (
            Canned::new(200, json!({ "uri": uri, "cid": "b", "value": {} }).to_string()),
            FailureClass::Platform,
        ),
        (Canned::new(200, "x".repeat(300_000)), FailureClass::Platform),
    ] {
        let told = format!("{answer:?}").chars().take(100).collect::<String>();
        bench.server.answer(GET, answer);
        let failure = bench.look(&intent("a")).await.expect_err(&told);
        assert_eq!((failure.class, failure.outcome), (class, Outcome::Unknown), "{told}");
    }
}

#[tokio::test]
async fn a_look_needs_to_know_where() {
    let mut bench = bench().await;
    bench.who = who("e30.e30.c2ln", None);

    let failure = bench.look(&intent("a")).await.expect_err("a token that nobody gave");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::Unknown));
    assert_eq!(bench.bluesky.settle_time(), Duration::from_secs(10));
}

#[tokio::test]
async fn a_made_up_time_is_not_believed() {
    let bench = bench().await;
    let intent = intent("a text");
    let receipt = bench.send(&intent).await.expect("published").receipt;
    let uri = receipt.remote_id.split('#').next().expect("an address");
    for at in ["1999-01-01T00:00:00Z", "never"] {
        let mut record = bench.last();
        record["createdAt"] = json!(at);
        bench.server.overwrite(uri, record);
        let Look::Found(found) = bench.look(&intent).await.expect("a look") else {
            panic!("found")
        };
        assert!((now() - found.published_at).num_seconds().abs() <= 2, "{}", found.published_at);
    }
}
