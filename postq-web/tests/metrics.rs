//! `/metrics`: who may see it, and whether it tells how things are.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use postq_core::token::Scope;
use postq_web::{Reach, Recorded, Settings, Web, router};
use reqwest::Method;
use serde_json::{Value, json};
use tower::ServiceExt;

use support::{Answer, Plan, Site};

/// Asks a router as if from this address.
async fn ask(router: &Router, from: &str, path: &str, token: Option<&str>) -> (u16, String) {
    let mut request = Request::builder().uri(path).header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    let from: SocketAddr = from.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(from));
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1_000_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

const NEAR: &str = "127.0.0.1:1";
const FAR: &str = "192.0.2.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_host_it_needs_a_token_or_a_setting() {
    let site = Site::still().await;
    let token = site.token(Scope::Read).await;
    for router in [router(site.web.clone()), postq_web::probes(site.web.clone())] {
        assert_eq!(ask(&router, NEAR, "/metrics", None).await.0, 200);
        assert_eq!(ask(&router, "[::ffff:127.0.0.1]:1", "/metrics", None).await.0, 200);
        assert_eq!(ask(&router, FAR, "/metrics", None).await.0, 401);
        assert_eq!(ask(&router, FAR, "/metrics", Some("postq_wrong")).await.0, 401);
        assert_eq!(ask(&router, FAR, "/metrics", Some(&token)).await.0, 200);
    }
    let proxied = site.request(Method::GET, "/metrics").header("x-forwarded-for", "127.0.0.1");
    Answer::of(proxied.send().await.unwrap()).await.refused(401, "unauthorized");
    let rebound = site.request(Method::GET, "/metrics").header("host", "evil.example");
    Answer::of(rebound.send().await.unwrap()).await.refused(403, "host_not_allowed");

    let settings = Settings { metrics_open: true, ..Settings::default() };
    let open = router(Web { settings, ..site.web.clone() });
    assert_eq!(ask(&open, FAR, "/metrics", None).await.0, 200);
    assert_eq!(ask(&open, FAR, "/api/about", None).await.0, 401, "the rest stays closed");
}

/// Makes a post to this account, due now.
async fn execute(site: &Site, account: &str) {
    let post = site.post("/api/posts", json!({"text": "t", "accounts": [account]})).await.is(201);
    let path = format!("/api/posts/{}/execute", post.id());
    site.post(&path, json!({"accounts": [account]})).await.is(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pause_holds_back_is_due_and_not_late() {
    let site = Site::still().await;
    let account = site.recorder_account().await;
    execute(&site, "acme").await;
    site.post(&format!("/api/accounts/{account}/pause"), json!({})).await.is(200);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;

    let page = site.get("/metrics").await.is(200);

    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "postq_queue_depth{topic=\"publish\",state=\"waiting\"} 1\n",
        "postq_oldest_due_seconds{topic=\"publish\"} 0\n",
        "postq_blocked{platform=\"recorder\",reason=\"paused\"} 1\n",
        "postq_store_up 1\n",
        "postq_dead_letters 0\n",
        // The engine has not started.
        "postq_ready 0\n",
    ] {
        assert!(page.text.contains(line), "{line} is not in {}", page.text);
    }
    execute(&site, "dry_run:b").await;
    assert_eq!(site.get("/metrics").await.text, page.text, "it is worked out every few seconds");
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let (_, fresh) = ask(&router(site.web.clone()), NEAR, "/metrics", None).await;
    assert!(fresh.contains("postq_queue_depth{topic=\"publish\",state=\"waiting\"} 2\n"));
    let oldest =
        fresh.lines().find(|line| line.contains("due_seconds{topic=\"publish\"}")).unwrap();
    let seconds: f64 = oldest.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!((0.01..30.0).contains(&seconds), "the one that nothing holds back: {oldest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_told_within_seconds() {
    let site = Site::still().await;
    site.store.close().await.unwrap();

    let page = site.get("/metrics").await.is(200);

    assert!(page.text.contains("postq_store_up 0\n"), "{}", page.text);
    assert!(page.text.contains("postq_build_info{version="), "{}", page.text);
    assert!(!page.text.contains("postq_queue_depth"), "{}", page.text);
}

#[derive(Debug)]
struct Counted;

impl Recorded for Counted {
    fn render(&self) -> String {
        "what_was_recorded 7\n".to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_stands_beside_the_gauges() {
    let site = Site::still().await;
    let web = Web { recorded: Some(Arc::new(Counted)), ..site.web.clone() };

    let (status, text) = ask(&router(web), NEAR, "/metrics", None).await;

    assert_eq!(status, 200);
    assert!(text.ends_with("what_was_recorded 7\n") && text.contains("\npostq_ready "), "{text}");
}

#[derive(Debug, Default)]
struct Walled(AtomicUsize);

#[async_trait]
impl Reach for Walled {
    async fn unreachable(&self) -> Vec<String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        vec!["x cannot be reached: a wall".to_owned()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_are_reached_for_when_asked_and_not_too_often() {
    let plan = Plan { runs: true, ..Plan::default() };
    let site = Site::with(plan).await;
    site.until("/readyz", |ready| ready["status"] == "ready").await;
    let walled = Arc::new(Walled::default());
    let router = router(Web { reach: Some(walled.clone()), ..site.web.clone() });
    let ready = async |path: &str| {
        let (status, text) = ask(&router, FAR, path, None).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        (status, body["status"].clone(), body["reasons"].clone())
    };

    assert_eq!(ready("/readyz").await, (200, json!("ready"), json!([])));
    for _ in 0..3 {
        let degraded = (200, json!("degraded"), json!(["x cannot be reached: a wall"]));
        assert_eq!(ready("/readyz?platforms=true").await, degraded);
    }
    assert_eq!(walled.0.load(Ordering::Relaxed), 1, "the answer is good for some seconds");
    assert_eq!(ready("/readyz").await.1, json!("ready"), "who does not ask is not told");
}
