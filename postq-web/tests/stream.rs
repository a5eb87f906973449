//! Live events over a real connection.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use support::listener::Listener;
use support::{PATIENCE, Site};

async fn listen(site: &Site, last: Option<&str>) -> Listener {
    Listener::open(&site.client, site.address, last).await
}

async fn publish(site: &Site, text: &str) -> String {
    let new = json!({"text": text, "accounts": ["acme"], "schedule": {"kind": "now"}});
    let id = site.post("/api/posts", new).await.is(201).id();
    site.until(&format!("/api/posts/{id}"), |post| post["state"] != "scheduled").await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_resumes_where_it_was() {
    let site = Site::running().await;
    site.recorder_account().await;
    let mut first = listen(&site, None).await;

    publish(&site, "one").await;
    let one = first.next().await.unwrap();
    drop(first);
    publish(&site, "two").await;
    publish(&site, "refuse three").await;
    let mut second = listen(&site, Some(&one.id)).await;
    let (two, three) = (second.next().await.unwrap(), second.next().await.unwrap());
    publish(&site, "four").await;
    let mut last = second.next().await.unwrap();
    while last.data["account"].is_null() {
        last = second.next().await.unwrap(); // what a dead letter tells a person
    }

    assert_eq!([&one.name, &two.name, &last.name], ["job.succeeded"; 3]);
    let mut third = three;
    while third.data["account"].is_null() {
        third = second.next().await.unwrap();
    }
    assert_eq!(third.name, "job.dead");
    assert_eq!(one.data["account_name"], "acme");
    assert_eq!(one.data["kind"], "publish");
    assert!(one.data["post"].is_string(), "{:?}", one.data);
    assert_eq!(one.data["receipt"]["remote_id"], "1");
    assert_eq!(two.data["receipt"]["remote_id"], "2");
    assert!(!format!("{one:?}{two:?}{third:?}").contains("refuse three"), "no text of a post");
    let ids = [&one.id, &two.id, &third.id, &last.id].map(|id| id.split_once('-').unwrap());
    assert!(ids.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_heard_nothing_comes_back_and_has_missed_nothing() {
    let site = Site::running().await;
    site.recorder_account().await;
    let mut first = listen(&site, None).await;
    let begin = first.told().await.unwrap();
    assert_eq!((begin.name.as_str(), &begin.data), ("", &serde_json::Value::Null), "no event");
    drop(first);

    publish(&site, "one").await;

    let mut second = listen(&site, Some(&begin.id)).await;
    let one = second.next().await.unwrap();
    assert_eq!(
        (one.name.as_str(), one.data["account_name"].as_str()),
        ("job.succeeded", Some("acme"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_from_another_process_starts_anew() {
    let site = Site::running().await;

    let mut listener = listen(&site, Some("0badc0de-17")).await;

    let event = listener.next().await.unwrap();
    assert_eq!(event.name, "reset");
    assert!(event.id.ends_with("-0"), "from where it may come back: {}", event.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_server() {
    let site = Site::running().await;
    let mut listener = listen(&site, None).await;
    let begun = Instant::now();

    site.stop();

    assert!(listener.next().await.is_none());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_streams_are_open_than_may_be() {
    let settings = postq_web::Settings { most_streams: 2, ..postq_web::Settings::default() };
    let site = Site::with(support::Plan { settings, runs: true, ..support::Plan::default() }).await;
    let first = listen(&site, None).await;
    let _second = listen(&site, None).await;

    site.get("/api/events").await.refused(503, "too_many_streams");
    drop(first);

    let deadline = Instant::now() + PATIENCE;
    while site.request(Method::GET, "/api/events").send().await.unwrap().status() != 200 {
        assert!(Instant::now() < deadline, "a place is free again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
