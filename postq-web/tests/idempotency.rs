//! A request that is made again under its key is done once, and has the same answer.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use postq_core::idempotency::{Begun, KeyedRequest};
use postq_core::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use support::{Answer, Site};

async fn keyed(site: &Site, path: &str, key: &str, body: &Value) -> Answer {
    let request = site.request(Method::POST, path).header("idempotency-key", key).json(body);
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_done_once_and_another_one_is_refused() {
    let site = Site::still().await;
    let body = json!({"text": "hello", "accounts": ["dry_run:a"]});

    let first = keyed(&site, "/api/posts", "k1", &body).await.is(201);
    let again = keyed(&site, "/api/posts", "k1", &body).await.is(201);

    assert_eq!(first.text, again.text);
    for name in ["location", "etag", "content-type"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_eq!(
        (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
        ("", "true")
    );
    let other = json!({"text": "other", "accounts": ["dry_run:a"]});
    keyed(&site, "/api/posts", "k1", &other).await.refused(409, "idempotency_key_reused");
    keyed(&site, "/api/posts/preview", "k1", &body).await.refused(409, "idempotency_key_reused");
    keyed(&site, "/api/posts", "k2", &body).await.is(201);
    let posts = site.get("/api/posts").await.is(200).body;
    assert_eq!(posts["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_answered_again_too() {
    let site = Site::still().await;
    let body = json!({"text": "hello", "accounts": ["nobody"]});

    let first = keyed(&site, "/api/posts", "k", &body).await.refused(422, "invalid");
    site.post("/api/accounts", json!({"platform": "dry_run", "name": "nobody"})).await.is(201);
    let again = keyed(&site, "/api/posts", "k", &body).await.refused(422, "invalid");

    assert_eq!(first.text, again.text);
    for bad in ["", "a b", &"k".repeat(201), "\u{fc}"] {
        let request = site.request(Method::POST, "/api/posts").json(&body);
        let value = reqwest::header::HeaderValue::from_bytes(bad.as_bytes()).unwrap();
        let request = request.header("idempotency-key", value);
        let answer = Answer::of(request.send().await.unwrap()).await;
        answer.refused(400, "bad_idempotency_key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_is_done() {
    let site = std::sync::Arc::new(Site::still().await);
    let body = json!({"text": "hello", "accounts": ["dry_run:a"]});
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (site, body) = (std::sync::Arc::clone(&site), body.clone());
        askers.spawn(async move { keyed(&site, "/api/posts", "k", &body).await });
    }

    let answers = askers.join_all().await;

    let mut made: Vec<String> = Vec::new();
    for answer in answers {
        if answer.status == 201 {
            made.push(answer.id());
        } else {
            let waits = answer.refused(409, "in_progress");
            assert_eq!(waits.header("retry-after"), "1");
        }
    }
    made.dedup();
    assert_eq!(made.len(), 1, "one post: {made:?}");
    assert_eq!(site.get("/api/posts").await.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_may_choose_the_same_key() {
    let site = Site::still().await;
    let tokens = [site.token(Scope::Write).await, site.token(Scope::Write).await];
    let mut ids = Vec::new();
    for (text, token) in ["one", "two"].into_iter().zip(&tokens) {
        let request = site.request(Method::POST, "/api/posts").header("idempotency-key", "k");
        let request = request.bearer_auth(token).json(&json!({"text": text}));
        ids.push(Answer::of(request.send().await.unwrap()).await.is(201).id());
    }
    assert_ne!(ids[0], ids[1]);
}

/// A process that dies between its work and its answer leaves a request that was begun. Whoever makes
/// it again gets what was made, not a second one.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_completed_and_not_done_twice() {
    let site = Site::still().await;
    let account = site.post("/api/accounts", json!({"platform": "dry_run", "name": "a"})).await;
    account.is(201);
    let new = json!({"text": "x", "accounts": ["a"], "schedule": {"kind": "one_shot", "at": "2099-01-01T00:00:00Z"}});
    let post = site.post("/api/posts", new.clone()).await.is(201).id();
    let execute = format!("/api/posts/{post}/execute");
    for (path, body) in [("/api/posts", new), (execute.as_str(), json!({}))] {
        let first = keyed(&site, path, "cut", &body).await;
        let made = first.status;
        forget_the_answer(&site).await;

        let again = keyed(&site, path, "cut", &body).await.is(made.as_u16());

        assert_eq!(again.header("idempotency-replayed"), "", "it was done again");
        match path {
            "/api/posts" => assert_eq!(first.id(), again.id()),
            _ => assert_eq!(first.body["jobs"], again.body["jobs"]),
        }
        forget_the_key(&site).await;
    }
    assert_eq!(site.get("/api/posts").await.body["items"].as_array().unwrap().len(), 2);
    let jobs = site.get(&format!("/api/jobs?post={post}")).await.body;
    let publishes = jobs["items"].as_array().unwrap();
    assert_eq!(publishes.len(), 1, "{jobs}");
}

/// As if the process had died before it kept the answer.
async fn forget_the_answer(site: &Site) {
    sql(
        site,
        "UPDATE idempotency_keys SET status = NULL, headers = NULL, body = NULL, leased_until = 0",
    )
    .await;
}

async fn forget_the_key(site: &Site) {
    sql(site, "DELETE FROM idempotency_keys").await;
}

async fn sql(site: &Site, sql: &'static str) {
    let path = site.store.path().to_owned();
    let changed = tokio::task::spawn_blocking(move || {
        let conn = rusqlite::Connection::open(path).unwrap();
        conn.busy_timeout(Duration::from_secs(10)).unwrap();
        conn.execute(sql, []).unwrap()
    });
    assert!(changed.await.unwrap() > 0, "there was a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_kept_for_a_repeated_request() {
    let site = Site::still().await;
    let body = json!({"name": "ci", "scope": "admin"});
    // The first one is made from loopback, where nobody needs a token yet; the second needs it.
    let first = site.post("/api/tokens", body.clone()).await.is(201);
    let token = first.body["token"].as_str().unwrap().to_owned();
    let ask = async || {
        let request = site.request(Method::POST, "/api/tokens").header("idempotency-key", "k");
        Answer::of(request.bearer_auth(&token).json(&body).send().await.unwrap()).await.is(201)
    };

    let (made, again) = (ask().await, ask().await);

    assert!(made.body["token"].is_string());
    assert_eq!((&again.body["token"], again.id()), (&Value::Null, made.id()));
    let secret = made.body["token"].as_str().unwrap().splitn(3, '_').nth(2).unwrap().to_owned();
    let file = std::fs::read(site.store.path()).unwrap();
    let log = std::fs::read(site.store.path().with_extension("db-wal")).unwrap_or_default();
    let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(!has(&file) && !has(&log), "no token is on the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_does_not_stop_what_was_begun() {
    let site = Site::still().await;
    let body = json!({"text": "hello", "accounts": ["dry_run:a"]});
    for n in 0..20u64 {
        let request =
            site.request(Method::POST, "/api/posts").header("idempotency-key", n.to_string());
        let asked = request.json(&body).timeout(Duration::from_micros(300 * n)).send().await;
        drop(asked);
    }

    for n in 0..20 {
        let deadline = std::time::Instant::now() + support::PATIENCE;
        loop {
            let answer = keyed(&site, "/api/posts", &n.to_string(), &body).await;
            if answer.status == 201 {
                break;
            }
            answer.refused(409, "in_progress");
            assert!(std::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(site.get("/api/posts").await.body["items"].as_array().unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_for_a_day() {
    let site = Site::still().await;
    let body = json!({"text": "hello"});
    keyed(&site, "/api/posts", "k", &body).await.is(201);

    let kept = tokio::task::spawn_blocking({
        let path = site.store.path().to_owned();
        move || {
            let conn = rusqlite::Connection::open(path).unwrap();
            let sql = "SELECT kept_until - leased_until FROM idempotency_keys";
            conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        }
    });

    let lease = site.web.settings.request_timeout + Duration::from_secs(10);
    let day = Duration::from_secs(86_400) - lease;
    assert_eq!(u128::try_from(kept.await.unwrap()).unwrap(), day.as_micros());
    let foreign = KeyedRequest {
        key: "loopback:k".to_owned(),
        fingerprint: [0; 32],
        id: uuid::Uuid::now_v7(),
        lease,
        keep: day,
    };
    assert_eq!(site.web.idempotency.begin(&foreign).await.unwrap(), Begun::Other);
}
