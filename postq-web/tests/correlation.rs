//! One id from a request to its log lines, its job, the live event and the answer.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use reqwest::Method;
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use support::log::Log;
use support::{Answer, Site};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test(flavor = "multi_thread")]
async fn an_id_goes_from_the_request_to_all_that_comes_of_it() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        .with_writer(log.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let site = Site::running().await;
    site.recorder_account().await;
    let mut events = site.engine.reports();
    let new = json!({"text": "hello", "accounts": ["acme"]});
    let post = site
        .request(Method::POST, "/api/posts")
        .header("x-correlation-id", "taken-in-7")
        .json(&new);
    let post = Answer::of(post.send().await.unwrap()).await.is(201);

    let execute = site
        .request(Method::POST, &format!("/api/posts/{}/execute", post.id()))
        .header("x-correlation-id", "order-17")
        .json(&json!({"accounts": ["acme"]}));
    let executed = Answer::of(execute.send().await.unwrap()).await.is(202);

    assert_eq!(executed.header("x-correlation-id"), "order-17");
    let job = executed.body["jobs"][0].as_str().unwrap();
    let path = format!("/api/jobs/{job}");
    let done = site.until(&path, |story| story["job"]["state"] == "succeeded").await;
    assert_eq!(done["job"]["correlation_id"], "order-17", "{done}");
    assert_eq!(events.recv().await.unwrap().correlation_id.as_str(), "order-17");
    let logged = log.text();
    let line = |words: &[&str]| {
        let found = logged.lines().find(|line| words.iter().all(|word| line.contains(word)));
        assert!(found.is_some(), "{words:?} are in no line of {logged}");
    };
    line(&["attempt{", "correlation_id=order-17", "published"]);
    line(&["request{", "correlation_id=order-17", "answered", "status=202"]);
    line(&["correlation_id=taken-in-7", "answered", "status=201", &post.id()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schedule_makes_carries_the_id_of_its_request() {
    let site = Site::running().await;
    site.recorder_account().await;
    let ask = async |path: &str, id: &str, body: serde_json::Value| {
        let request = site.request(Method::POST, path).header("x-correlation-id", id).json(&body);
        Answer::of(request.send().await.unwrap()).await.is(201)
    };
    let soon = json!({"kind": "one_shot", "at": "+1s"});

    let new = json!({"text": "one", "accounts": ["acme"], "schedule": soon});
    let post = ask("/api/posts", "calendar-1", new).await;
    let draft = ask("/api/posts", "draft-1", json!({"text": "two"})).await;
    let further = json!({"post_id": draft.id(), "accounts": ["acme"], "schedule": soon});
    let schedule = ask("/api/schedules", "calendar-2", further).await;

    assert_eq!(schedule.body["correlation_id"], "calendar-2");
    for (post, id) in [(&post, "calendar-1"), (&draft, "calendar-2")] {
        let path = format!("/api/jobs?post={}", post.id());
        let out = |jobs: &serde_json::Value| jobs["items"][0]["state"] == "succeeded";
        let jobs = site.until(&path, out).await;
        assert_eq!(jobs["items"][0]["correlation_id"], id, "{jobs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_one_and_a_bad_one_is_replaced() {
    let site = Site::still().await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = site.request(Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        answer.header("x-correlation-id").to_owned()
    };
    let trace = format!("00-{TRACE}-00f067aa0ba902b7-01");

    assert_eq!(ask("/api/about", &[("x-correlation-id", "mine")]).await, "mine");
    assert_eq!(ask("/api/about", &[("traceparent", &trace)]).await, TRACE);
    let long = "a".repeat(129);
    for bad in ["", "a b", "a\"b", "<script>", &long] {
        let replaced = ask("/api/about", &[("x-correlation-id", bad)]).await;
        assert!(uuid::Uuid::parse_str(&replaced).is_ok(), "{bad:?} became {replaced}");
    }
    for path in ["/healthz", "/api/nothing", "/api/posts?limit=0", "/api/posts/none"] {
        assert_eq!(ask(path, &[("x-correlation-id", "mine")]).await, "mine", "{path}");
    }
    let refused = [("x-correlation-id", "mine"), ("host", "evil.example")];
    assert_eq!(ask("/api/about", &refused).await, "mine", "refusals too");
}
