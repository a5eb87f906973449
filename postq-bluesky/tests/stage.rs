//! What is looked up and written down before a post is sent: whose the handles are that it mentions.

mod support;

use std::time::{Duration, Instant};

use fake_bluesky::{Canned, Refuses};
use postq_core::failure::{FailureClass, Outcome};
use serde_json::json;

use support::{bench, bench_with, intent, now, outgoing};

#[tokio::test]
async fn whom_a_text_mentions_is_asked_before_anything_is_sent() {
    let bench = bench().await;
    let resolve = "com.atproto.identity.resolveHandle";
    bench.server.answer(resolve, Canned::error(502, "UpstreamFailure", "not now"));

    let failure = bench.publish("hi @bob.test").await.expect_err("nobody can tell who that is");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::NotPublished));
    assert_eq!(bench.server.ledger().writes, 0);

    // What was asked once is written down, and sent as it was.
    let bob = bench.server.add_user("bob.test", "pw");
    let mut intent = intent("hi @bob.test");
    let staged = bench.stage(outgoing(&intent), now()).await.expect("staged");
    assert!(staged.expires_at.is_some_and(|ends| ends > now()));
    intent.container = Some(staged.remote_id);
    bench.server.answer(resolve, Canned::error(400, "InvalidRequest", "Unable to resolve handle"));
    bench.send(&intent).await.expect("published");
    assert_eq!(bench.last()["facets"][0]["features"][0]["did"], json!(bob));
}

/// Who answers for a handle may be slow, or be nobody: a post does not wait for it.
#[tokio::test]
async fn a_handle_that_nobody_tells_of_is_text() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(800)).await;
    let bob = bench.server.add_user("bob.test", "pw");
    bench.server.hang_on("slow.test");
    let mut intent = intent("hi @slow.test and @bob.test");
    let resolve = "com.atproto.identity.resolveHandle";
    let asked = || {
        let of = |seen: &&fake_bluesky::Seen| seen.target.contains(resolve);
        let targets: Vec<String> =
            bench.server.seen().iter().filter(of).map(|seen| seen.target.clone()).collect();
        ["slow.test", "bob.test"].map(|who| targets.iter().filter(|it| it.ends_with(who)).count())
    };

    let staged = bench.stage(outgoing(&intent), now()).await.expect("staged");

    assert_eq!(asked(), [3, 1], "three tries, and what is known is asked once");
    intent.container = Some(staged.remote_id);
    bench.send(&intent).await.expect("published");
    let facets = bench.last()["facets"].clone();
    assert_eq!(facets.as_array().map(Vec::len), Some(1));
    assert_eq!(facets[0]["features"][0]["did"], json!(bob));

    // Where nothing is staged there is one try, and the rest of the time is the post's.
    intent.container = None;
    let start = Instant::now();
    bench.publish(&intent.text).await.expect("published");
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    assert_eq!(asked()[0], 4);
}

#[tokio::test]
async fn a_server_that_cannot_tell_whose_a_handle_is_holds_up_no_post_for_ever() {
    let bench = bench().await;
    let resolve = "com.atproto.identity.resolveHandle";
    for _ in 0..3 {
        bench.server.answer(resolve, Canned::error(502, "UpstreamFailure", "not now"));
    }
    let mut intent = intent("hi @bob.test");

    intent.container = Some(bench.stage(outgoing(&intent), now()).await.expect("staged").remote_id);

    bench.send(&intent).await.expect("published");
    assert!(bench.last().get("facets").is_none());

    // One that can the second time is believed.
    let bob = bench.server.add_user("bob.test", "pw");
    bench.server.answer(resolve, Canned::error(502, "UpstreamFailure", "not now"));
    let staged = bench.stage(outgoing(&intent), now()).await.expect("staged");
    assert!(staged.remote_id.contains(&bob), "{staged:?}");
}
