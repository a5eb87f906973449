//! Counts: asked for in one call, and told by their own names.

mod support;

use std::time::Duration;

use fake_bluesky::{Canned, Refuses};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::platform::{Asked, Counts, Fetched, Metrics, Platform};
use serde_json::json;

use support::{Bench, bench, now};

const POSTS: &str = "app.bsky.feed.getPosts";

fn asked(remote_id: &str, age: Duration) -> Asked {
    Asked { remote_id: remote_id.to_owned(), published_at: now() - age }
}

fn id(n: usize) -> String {
    format!("at://did:plc:abc/app.bsky.feed.post/{n}#bafyreia")
}

fn shown(counts: &[(&str, u64)]) -> Fetched {
    let public: Counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Fetched::Counts { public, private: Counts::new() }
}

async fn fetch(bench: &Bench, asked: &[Asked]) -> Vec<Fetched> {
    bench.bluesky.fetch(&bench.who, asked, now()).await.expect("counts")
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn each_post_has_its_counts_in_order() {
    let bench = bench().await;
    let all = json!({
        "likeCount": 5, "replyCount": 4, "repostCount": 3, "quoteCount": 2, "bookmarkCount": 1,
        "indexedAt": "2026-11-22T03:00:00Z", "author": { "handle": "a.test" },
    });
    bench.server.count("at://did:plc:abc/app.bsky.feed.post/2", all);
    bench.server.count(
        "at://did:plc:abc/app.bsky.feed.post/1",
        json!({ "likeCount": 7, "replyCount": "x" }),
    );

    let told = fetch(&bench, &[asked(&id(1), DAY), asked(&id(2), DAY)]).await;

    let whole = [
        ("like_count", 5),
        ("reply_count", 4),
        ("repost_count", 3),
        ("quote_count", 2),
        ("bookmark_count", 1),
    ];
    assert_eq!(told, [shown(&[("like_count", 7)]), shown(&whole)]);
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 1);
    let uri = |n| format!("uris=at%3A%2F%2Fdid%3Aplc%3Aabc%2Fapp.bsky.feed.post%2F{n}");
    assert_eq!(seen[0].target, format!("/xrpc/{POSTS}?{}&{}", uri(1), uri(2)));
    assert!(!seen[0].headers.iter().any(|(name, _)| name == "authorization"), "counts are public");
    let names: Vec<_> = bench.bluesky.fields().iter().map(|field| field.name).collect();
    assert!(whole.iter().all(|(name, _)| names.contains(name)) && names.len() == whole.len());
}

#[tokio::test]
async fn what_nobody_counts_is_not_counted_yet_or_hidden_or_gone() {
    let bench = bench().await;
    let there = bench.publish("a text").await.expect("published").receipt.remote_id;
    let (minute, hours) = (Duration::from_secs(60), Duration::from_secs(2 * 3_600));

    let told =
        fetch(&bench, &[asked(&id(1), minute), asked(&id(2), hours), asked(&there, hours)]).await;

    assert_eq!(told, [Fetched::Untold, Fetched::Gone, Fetched::Hidden]);
    bench.server.answer(support::GET, Canned::error(502, "UpstreamFailure", ""));
    assert_eq!(fetch(&bench, &[asked(&there, hours)]).await, [Fetched::Untold]);
}

#[tokio::test]
async fn what_is_no_post_spoils_no_other_ones_counts() {
    let bench = bench().await;
    bench.server.count("at://did:plc:abc/app.bsky.feed.post/1", json!({ "likeCount": 7 }));

    let told = fetch(&bench, &[asked("12345", DAY), asked(&id(1), DAY), asked("", DAY)]).await;

    assert_eq!(told, [Fetched::Untold, shown(&[("like_count", 7)]), Fetched::Untold]);
    assert_eq!(fetch(&bench, &[asked("12345", DAY)]).await, [Fetched::Untold]);
    assert_eq!(bench.server.seen().len(), 1, "nothing is asked for nothing");
}

#[tokio::test]
async fn no_more_is_asked_for_than_is_allowed() {
    let bench = bench().await;
    let all: Vec<Asked> = (0..27).map(|n| asked(&id(n), DAY)).collect();

    let told = fetch(&bench, &all).await;

    assert_eq!(told.len(), 27);
    assert_eq!(told.iter().filter(|one| **one == Fetched::Gone).count(), 5);
    let seen = bench.server.seen();
    assert_eq!(seen[0].target.matches("uris=").count(), bench.bluesky.batch());
    assert_eq!(seen.len(), 1 + 5);
}

#[tokio::test]
async fn a_failed_read_says_so() {
    let bench = bench().await;
    for (answer, class) in [
        (Canned::error(400, "InvalidRequest", "No service configured"), FailureClass::Platform),
        (Canned::error(429, "RateLimitExceeded", ""), FailureClass::RateLimit),
        (Canned::new(502, "<html>"), FailureClass::Platform),
        (Canned::new(200, "{}"), FailureClass::Platform),
    ] {
        bench.server.answer(POSTS, answer);
        let asked = [asked(&id(1), DAY)];
        let failure = bench.bluesky.fetch(&bench.who, &asked, now()).await.expect_err("a failure");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished));
    }
    assert!(bench.bluesky.metrics().is_some());
    assert!(Metrics::pace(&bench.bluesky).app.is_some());
}
