//! A run at `trace` whose output is searched for every secret and every text of the run.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use postq_core::token::Scope;
use reqwest::Method;
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use support::log::Log;
use support::{Answer, Site};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_text_is_in_a_log_or_an_error() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let site = Site::running().await;
    let mut errors = String::new();
    let secrets =
        ["acc3ss-t0ken-one", "acc3ss-t0ken-two", "the text of a post", "refuse this text"];
    let account =
        json!({"platform": "recorder", "name": "acme", "access_token": "acc3ss-t0ken-one"});
    let account = site.post("/api/accounts", account).await.is(201);
    for (text, account) in [
        ("the text of a post", "acme"),
        ("refuse this text", "acme"),
        ("the text of a post", "nobody"),
    ] {
        let new = json!({"text": text, "accounts": [account], "schedule": {"kind": "now"}});
        let answer = site.post("/api/posts", new).await;
        match answer.status.as_u16() {
            201 => {
                let path = format!("/api/posts/{}", answer.id());
                site.until(&path, |post| post["state"] != "scheduled").await;
            }
            _ => errors.push_str(&answer.text),
        }
    }
    let bad = [
        (
            "/api/accounts",
            json!({"platform": "recorder", "name": "acme", "access_token": "acc3ss-t0ken-two"}),
        ),
        (
            "/api/accounts",
            json!({"platform": "x", "name": "b", "access_token": ["acc3ss-t0ken-two"]}),
        ),
        (
            "/api/accounts",
            json!({"platform": "recorder", "name": "b", "acess_token": "acc3ss-t0ken-two"}),
        ),
        ("/api/posts", json!({"text": "the text of a post", "priority": "the text of a post"})),
        ("/api/posts", json!({"text": ["the text of a post"]})),
        ("/api/posts", json!({"text": "the text of a post", "key": "a\nb"})),
    ];
    for (path, body) in bad {
        let request = site.request(Method::POST, path).header("idempotency-key", "k3y").json(&body);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.text);
        errors.push_str(&answer.text);
    }
    let token = site.token(Scope::Write).await;
    let id = account.id();
    for (method, path) in
        [(Method::GET, "/api/tokens".to_owned()), (Method::DELETE, format!("/api/accounts/{id}"))]
    {
        let answer = site.request(method, &path).bearer_auth(&token).send().await.unwrap();
        errors.push_str(&Answer::of(answer).await.is(403).text);
    }
    let wrong = format!("{}AAAA", &token[..token.len() - 4]);
    let answer = site.request(Method::GET, "/api/posts").bearer_auth(&wrong).send().await.unwrap();
    errors.push_str(&Answer::of(answer).await.is(401).text);

    let logged = log.text();
    assert!(logged.contains("TRACE") && logged.len() > 10_000, "{} bytes", logged.len());
    // Its client is ours only in this test: what it logs of its own requests is its own matter.
    let ours: String = logged
        .lines()
        .filter(|line| !line.contains("hyper_util::client"))
        .collect::<Vec<_>>()
        .join("\n");
    let halves = [&token[40..], &wrong[40..]];
    for secret in secrets.iter().chain(&halves) {
        assert!(!ours.contains(secret), "logged: {secret}");
        assert!(!errors.contains(secret), "answered: {secret}");
    }
    assert!(ours.contains("refused a token"), "what is refused is logged");
}
