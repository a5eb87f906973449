//! What platforms send by themselves.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::account::Account;
use postq_core::clock::{Clock, SystemClock};
use postq_core::platform::PlatformName;
use postq_core::token::Scope;
use postq_web::{Incoming, IncomingEvent, router, serve};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use support::listener::Listener;
use support::{Answer, Site};

/// A platform whose signature is a word, and whose events are lines: id, kind, user, seconds since 1970.
#[derive(Debug)]
struct Lines(PlatformName);

impl Incoming for Lines {
    fn platform(&self) -> &PlatformName {
        &self.0
    }

    fn challenge(&self, query: &str) -> Option<Value> {
        Some(json!({ "answer": query.strip_prefix("challenge=")? }))
    }

    fn events(&self, headers: &HeaderMap, body: &[u8]) -> Option<Vec<IncomingEvent>> {
        let is_signed = headers.get("proof").is_some_and(|proof| proof == "signed");
        let event = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            IncomingEvent {
                id: words[0].to_owned(),
                kind: words[1].to_owned(),
                user: Some(words[2].to_owned()),
                post: Some("9".to_owned()),
                at: words.get(3).and_then(|at| DateTime::from_timestamp(at.parse().unwrap(), 0)),
            }
        };
        is_signed.then(|| std::str::from_utf8(body).unwrap().lines().map(event).collect())
    }
}

/// A server that takes what the platform `recorder` sends.
async fn taking(site: &Site) -> SocketAddr {
    let mut web = site.web.clone();
    web.incoming.push(Arc::new(Lines("recorder".parse().unwrap())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router(web), CancellationToken::new()));
    address
}

async fn send(site: &Site, to: SocketAddr, proof: &str, body: impl Into<String>) -> Response {
    let url = format!("http://{to}/api/incoming/recorder");
    site.client.post(url).header("proof", proof).body(body.into()).send().await.unwrap()
}

async fn account(site: &Site, name: &str, remote_id: &str) -> Account {
    let now = SystemClock.now();
    let account = Account {
        remote_id: Some(remote_id.to_owned()),
        ..Account::new(name, "recorder".parse().unwrap(), now)
    };
    site.engine.backend().accounts.insert(&account).await.unwrap();
    account
}

/// In seconds since 1970.
fn ago(minutes: i64) -> i64 {
    (SystemClock.now() - TimeDelta::minutes(minutes)).timestamp()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_told_once() {
    let site = Site::still().await;
    let acme = account(&site, "acme", "7").await;
    let to = taking(&site).await;
    let mut listener = Listener::open(&site.client, to, None).await;

    let body = format!("1 post.delete 7 {}\n2 post.create 8\n3 oauth.revoke 7", ago(5));
    for _ in 0..3 {
        assert_eq!(send(&site, to, "signed", body.clone()).await.status(), 200);
    }
    let old = format!("4 post.delete 7 {}", ago(25 * 60));
    assert_eq!(send(&site, to, "signed", old).await.status(), 200, "nothing to be sent again");
    send(&site, to, "signed", "1 post.create 7").await;

    let mut told = Vec::new();
    for _ in 0..3 {
        let event = listener.next().await.unwrap();
        assert_eq!(event.name, "platform.event");
        assert_eq!(event.data["platform"], "recorder");
        assert_eq!(event.data["account"], acme.id.to_string());
        assert_eq!(event.data["account_name"], "acme");
        assert_eq!(event.data["remote_id"], "9");
        told.push(event.data["kind"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, ["post.delete", "oauth.revoke", "post.create"], "each once, old ones never");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_time_that_an_event_names_is_too_much() {
    let site = Site::still().await;
    let to = taking(&site).await;

    for at in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let event = format!("1 post.delete 7 {}", at.timestamp());
        assert_eq!(send(&site, to, "signed", event).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_is_refused_with_any_token() {
    let site = Site::still().await;
    account(&site, "acme", "7").await;
    let to = taking(&site).await;
    let token = site.token(Scope::Admin).await;

    for proof in ["", "forged"] {
        let answer = Answer::of(send(&site, to, proof, "1 post.delete 7").await).await;
        answer.refused(403, "bad_signature");
    }
    let url = format!("http://{to}/api/incoming/recorder");
    let request = site.client.post(&url).bearer_auth(&token).body("1 post.delete 7");
    Answer::of(request.send().await.unwrap()).await.refused(403, "bad_signature");
    assert_eq!(send(&site, to, "signed", "1 post.delete 7").await.status(), 200, "without a token");
    let large = "1 post.delete 7\n".repeat(40_000);
    Answer::of(send(&site, to, "signed", large).await).await.refused(413, "too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_answered_where_a_secret_is_set() {
    let site = Site::still().await;
    let to = taking(&site).await;
    let ask = async |path: &str| {
        let url = format!("http://{to}/api/incoming/{path}");
        Answer::of(site.client.get(url).send().await.unwrap()).await
    };

    assert_eq!(ask("recorder?challenge=abc").await.is(200).body, json!({ "answer": "abc" }));
    ask("recorder").await.refused(422, "invalid");
    ask("other?challenge=abc").await.refused(404, "not_found");
    site.get("/api/incoming/recorder?challenge=abc").await.refused(404, "not_found");
    site.post("/api/incoming/recorder", json!({})).await.refused(404, "not_found");
    let delete = site.client.delete(format!("http://{to}/api/incoming/recorder"));
    assert_eq!(delete.send().await.unwrap().status(), 405);
}
