//! Webhooks by the API, to a real receiver.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chrono::TimeDelta;
use postq_core::clock::{Clock, SystemClock};
use postq_core::token::Scope;
use postq_outbound::signing::{ID, SIGNATURE, Signed, SigningKey, TIMESTAMP};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use support::{Answer, Site};

/// A receiver: answers as it is told, and keeps what came.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    answers: Arc<AtomicU16>,
    came: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, came) = (Arc::new(AtomicU16::new(204)), Arc::default());
        let this = Self { address, answers, came };
        let kept = this.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            kept.came.lock().unwrap().push((headers, body));
            StatusCode::from_u16(kept.answers.load(Ordering::SeqCst)).unwrap()
        };
        let app = Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        this
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn answer(&self, status: u16) {
        self.answers.store(status, Ordering::SeqCst);
    }

    fn came(&self) -> Vec<(HeaderMap, Bytes)> {
        self.came.lock().unwrap().clone()
    }

    fn ids(&self) -> Vec<String> {
        self.came().iter().map(|(headers, _)| text(headers, ID).to_owned()).collect()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().unwrap()
}

/// Whether the newest request is signed with this secret.
fn is_signed(receiver: &Receiver, secret: &str) -> bool {
    let (headers, body) = receiver.came().pop().unwrap();
    let key: SigningKey = secret.parse().unwrap();
    let signed = Signed {
        id: text(&headers, ID),
        timestamp: text(&headers, TIMESTAMP),
        signatures: text(&headers, SIGNATURE),
        body: &body,
    };
    key.verify(signed, SystemClock.now(), TimeDelta::minutes(5).to_std().unwrap())
}

async fn add(site: &Site, receiver: &Receiver, events: Value) -> (String, String) {
    let new = json!({"url": receiver.url(), "events": events});
    let made = site.post("/api/webhooks", new).await.is(201);
    let (id, secret) = (made.id(), made.body["secret"].as_str().unwrap().to_owned());
    assert_eq!(made.header("location"), format!("/api/webhooks/{id}"));
    (id, secret)
}

async fn publish(site: &Site, text: &str) {
    let new = json!({"text": text, "accounts": ["acme"], "schedule": {"kind": "now"}});
    site.post("/api/posts", new).await.is(201);
}

async fn deliveries(site: &Site, id: &str, count: usize, state: &str) -> Vec<Value> {
    let path = format!("/api/webhooks/{id}/deliveries");
    let done = |page: &Value| {
        let items = page["items"].as_array().unwrap();
        items.len() == count && items.iter().all(|item| item["state"] == state)
    };
    site.until(&path, done).await["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_signed_and_sent_again_on_demand() {
    let site = Site::running().await;
    let receiver = Receiver::start().await;
    let account = site.recorder_account().await;
    let (id, secret) = add(&site, &receiver, json!(["job.succeeded"])).await;

    publish(&site, "hello from a test").await;
    let delivery = deliveries(&site, &id, 1, "succeeded").await.remove(0);

    let (headers, body) = receiver.came().remove(0);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(is_signed(&receiver, &secret));
    assert_eq!(delivery["message_id"], text(&headers, ID));
    assert_eq!((&delivery["event"], &delivery["attempt"]), (&json!("job.succeeded"), &json!(1)));
    assert_eq!(body["type"], "job.succeeded");
    assert_eq!(body["data"]["account_id"], account);
    assert!(!body.to_string().contains("hello from a test"));

    let path = format!("/api/webhooks/{id}/deliveries/{}/resend", delivery["id"].as_str().unwrap());
    let resend = async || {
        let request = site.request(Method::POST, &path).header("idempotency-key", "k1");
        Answer::of(request.send().await.unwrap()).await.is(202).id()
    };
    assert_eq!(resend().await, resend().await, "once, however often it is asked");
    deliveries(&site, &id, 2, "succeeded").await;
    let ids = receiver.ids();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));

    let first = site.get(&format!("/api/webhooks/{id}/deliveries?limit=1")).await.is(200).body;
    let next = first["next"].as_str().unwrap();
    let path = format!("/api/webhooks/{id}/deliveries?limit=1&cursor={next}");
    let second = site.get(&path).await.is(200).body;
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_wants_no_more_is_paused_and_resumed() {
    let site = Site::running().await;
    let receiver = Receiver::start().await;
    site.recorder_account().await;
    let (id, _) = add(&site, &receiver, json!([])).await;
    receiver.answer(410);

    publish(&site, "hello").await;
    let path = format!("/api/webhooks/{id}");
    let shown = site.until(&path, |webhook| !webhook["paused"].is_null()).await;
    assert!(shown["paused"]["why"].as_str().unwrap().contains("410"), "{shown}");
    let waits = deliveries(&site, &id, 1, "failed").await.remove(0);
    assert!(waits["reason"].as_str().unwrap().contains("the endpoint answered 410"), "{waits}");
    let resend = format!("{path}/deliveries/{}/resend", waits["id"].as_str().unwrap());
    site.post(&resend, json!({})).await.refused(409, "conflict");

    receiver.answer(200);
    let resumed = site.post(&format!("{path}/resume"), json!({})).await.is(200);
    assert_eq!(resumed.body["paused"], Value::Null);
    deliveries(&site, &id, 1, "succeeded").await;
    let ids = receiver.ids();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_replaced() {
    let site = Site::still().await;
    let receiver = Receiver::start().await;
    let new = json!({"url": receiver.url()});
    let create = async || {
        let request = site.request(Method::POST, "/api/webhooks").header("idempotency-key", "k1");
        Answer::of(request.json(&new).send().await.unwrap()).await.is(201)
    };
    let (first, again) = (create().await, create().await);
    let (id, secret) = (first.id(), first.body["secret"].as_str().unwrap().to_owned());
    assert_eq!((again.id(), &again.body["secret"]), (id.clone(), &Value::Null));
    let path = format!("/api/webhooks/{id}");

    let tried = site.post(&format!("{path}/test"), json!({})).await.is(200).body;
    assert_eq!((&tried["taken"], &tried["status"]), (&json!(true), &json!(204)));
    assert!(is_signed(&receiver, &secret));
    let rotated = site.post(&format!("{path}/secret"), json!({})).await.is(200).body;
    let fresh = rotated["secret"].as_str().unwrap();
    assert!(rotated["old_secret_until"].is_string());
    receiver.answer(500);
    let tried = site.post(&format!("{path}/test"), json!({})).await.is(200).body;
    assert_eq!((&tried["taken"], &tried["status"]), (&json!(false), &json!(500)));
    assert!(is_signed(&receiver, &secret) && is_signed(&receiver, fresh), "both, for a day");

    for shown in [site.get(&path).await.text, site.get("/api/webhooks").await.text] {
        assert!(shown.contains(&id) && !shown.contains("whsec_"), "{shown}");
    }
    let body: Value = serde_json::from_slice(&receiver.came()[0].1).unwrap();
    assert_eq!(body["type"], "ping");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_by_field() {
    let site = Site::still().await;
    let receiver = Receiver::start().await;
    let refused = async |body: Value, field: &str| {
        let answer = site.post("/api/webhooks", body).await.refused(422, "invalid");
        assert_eq!(answer.body["field"], field, "{}", answer.text);
    };
    refused(json!({"url": "ftp://hooks.example.com/"}), "url").await;
    refused(json!({"url": "http://169.254.169.254/latest"}), "url").await;
    refused(json!({"url": "https://a.example/", "events": ["job.done"]}), "events").await;
    refused(json!({"url": "https://a.example/", "events": ["ping"]}), "events").await;
    refused(json!({"url": "https://a.example/", "secret": "s"}), "secret").await;
    refused(json!({"events": []}), "url").await;

    let (id, _) = add(&site, &receiver, json!([])).await;
    let path = format!("/api/webhooks/{id}");
    let tag = site.get(&path).await.header("etag").to_owned();
    let change = async |tag: &str, body: Value| {
        let request = site.request(Method::PATCH, &path).header("if-match", tag).json(&body);
        Answer::of(request.send().await.unwrap()).await
    };
    let changed = change(&tag, json!({"events": ["job.dead"]})).await.is(200);
    assert_eq!(changed.body["events"], json!(["job.dead"]));
    assert_ne!(changed.header("etag"), tag);
    change(&tag, json!({"events": []})).await.refused(412, "changed");
    site.patch(&path, json!({})).await.refused(422, "invalid");
    let stale = site.request(Method::DELETE, &path).header("if-match", &tag).send().await.unwrap();
    Answer::of(stale).await.refused(412, "changed");
    site.post(&format!("{path}/pause"), json!({"note": "x".repeat(501)}))
        .await
        .refused(422, "invalid");
    let paused = site.post(&format!("{path}/pause"), json!({"note": "maintenance"})).await.is(200);
    assert_eq!(paused.body["paused"]["why"], "maintenance");
    site.delete(&path).await.is(204);
    site.get(&path).await.refused(404, "not_found");
    site.get(&format!("{path}/deliveries")).await.refused(404, "not_found");

    let narrow = site.token(Scope::Write).await;
    let read =
        site.request(Method::GET, "/api/webhooks").bearer_auth(&narrow).send().await.unwrap();
    Answer::of(read).await.refused(403, "forbidden");
}
