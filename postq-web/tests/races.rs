//! An edit, a move or a removal races with the publish: it wins wholly, or it is refused.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use postq_core::backend::Backend;
use postq_core::clock::{Clock, SystemClock};
use postq_core::idempotency::IdempotencyStore;
use postq_core::memory::{MemoryBackend, MemoryIdempotency, MemoryTokens};
use postq_core::token::TokenStore;
use postq_sqlite::SqliteStore;
use postq_web::{Settings, Web, router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use support::{PATIENCE, Recorder, engine};

const RACES: usize = 1_000;

/// As many as that run at once: each account publishes one at a time.
const AT_ONCE: usize = 50;

async fn ask(router: &Router, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    let mut request = request.body(body).unwrap();
    let peer: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Edit,
    Remove,
    CallOff,
    Move,
    CancelJob,
}

/// What was changed, what was answered, and when.
#[derive(Debug)]
struct Race {
    number: usize,
    change: Change,
    status: u16,
    body: Value,
    answered: Instant,
}

async fn race(router: Router, number: usize) -> Race {
    let account = format!("account {}", number % AT_ONCE);
    let at = SystemClock.now() + chrono::TimeDelta::milliseconds(500);
    let new = json!({
        "text": format!("old {number}"), "accounts": [account],
        "schedule": {"kind": "one_shot", "at": at},
    });
    let (status, post) = ask(&router, "POST", "/api/posts", Some(new)).await;
    assert_eq!(status, 201, "{post}");
    tokio::time::sleep(Duration::from_micros(rand::random_range(0..520_000))).await;
    let changes = [Change::Edit, Change::Remove, Change::CallOff, Change::Move, Change::CancelJob];
    let change = changes[rand::random_range(0..changes.len())];
    let post_path = format!("/api/posts/{}", post["id"].as_str().unwrap());
    let schedule = format!("/api/schedules/{}", post["schedules"][0]["id"].as_str().unwrap());
    let (method, path, body) = match change {
        Change::Edit => ("PATCH", post_path, Some(json!({"text": format!("new {number}")}))),
        Change::Remove => ("DELETE", post_path, None),
        Change::CallOff => ("POST", format!("{post_path}/cancel"), None),
        Change::Move => {
            let later = json!({"kind": "one_shot", "at": "2099-01-01T00:00:00Z"});
            ("PATCH", schedule, Some(json!({"schedule": later})))
        }
        Change::CancelJob => {
            let jobs = format!("/api/jobs?post={}", post["id"].as_str().unwrap());
            let (_, jobs) = ask(&router, "GET", &jobs, None).await;
            match jobs["items"][0]["id"].as_str() {
                Some(job) => ("POST", format!("/api/jobs/{job}/cancel"), None),
                None => ("GET", post_path, None), // not planned yet: nothing to race with
            }
        }
    };
    let (status, body) = ask(&router, method, &path, body).await;
    let change = if method == "GET" { Change::CallOff } else { change };
    let status = if method == "GET" { 0 } else { status };
    Race { number, change, status, body, answered: Instant::now() }
}

async fn race_a_thousand(
    backend: Backend,
    tokens: Arc<dyn TokenStore>,
    idempotency: Arc<dyn IdempotencyStore>,
) {
    let recorder = Recorder::new(10);
    let engine = engine(backend, &recorder);
    let mut web = Web::new(engine.clone(), tokens, idempotency);
    let many = NonZeroU32::new(1_000_000).unwrap();
    web.settings = Settings { requests_per_second: many, burst: many, ..Settings::default() };
    let router = router(web);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { engine.run(stop).await }
    });
    for n in 0..AT_ONCE {
        let new =
            json!({"platform": "recorder", "name": format!("account {n}"), "access_token": "t"});
        assert_eq!(ask(&router, "POST", "/api/accounts", Some(new)).await.0, 201);
    }

    let mut races = Vec::with_capacity(RACES);
    for first in (0..RACES).step_by(AT_ONCE) {
        let mut set = tokio::task::JoinSet::new();
        for number in first..first + AT_ONCE {
            set.spawn(race(router.clone(), number));
        }
        races.extend(set.join_all().await);
    }
    all_done(&router).await;
    stop.cancel();
    running.await.unwrap();

    let mut sent: BTreeMap<usize, Vec<(bool, Instant)>> = BTreeMap::new();
    for (text, at) in recorder.sent() {
        let (age, number) = text.split_once(' ').unwrap();
        sent.entry(number.parse().unwrap()).or_default().push((age == "new", at));
    }
    let (mut won, mut refused, mut late) = (0, 0, 0);
    for race in &races {
        let sends = sent.get(&race.number).map_or(&[][..], Vec::as_slice);
        assert!(sends.len() <= 1, "published twice: {race:?}");
        let only = sends.first();
        match (race.change, race.status) {
            (_, 0) => assert_eq!(sends.len(), 1, "left alone: {race:?}"),
            // Refused: it goes out as it was.
            (_, 409) => {
                let code = race.body["code"].as_str().unwrap();
                let known = matches!(code, "already_publishing" | "ended");
                assert!(known, "{race:?}");
                let (new, _) = only.expect("what was refused to be changed is published");
                assert!(!new, "refused and yet changed: {race:?}");
                refused += 1;
            }
            // Moved, or the job taken back: nothing goes out.
            (Change::Move | Change::CancelJob, 200) => {
                assert_eq!(only, None, "sent after it was taken back: {race:?}");
                won += 1;
            }
            (Change::Edit, 200) if only.is_some_and(|(new, _)| *new) => won += 1,
            (Change::CallOff, 200) | (Change::Remove, 204) if only.is_none() => won += 1,
            // It was out before it was changed, and the answer says so.
            (Change::Edit | Change::CallOff, 200) => {
                assert_eq!(race.body["state"], "published", "{race:?}");
                assert!(only.is_some_and(|(_, at)| *at < race.answered), "{race:?}");
                late += 1;
            }
            (Change::Remove, 204) => {
                assert!(only.is_some_and(|(_, at)| *at < race.answered), "{race:?}");
                late += 1;
            }
            _ => panic!("{race:?}"),
        }
    }
    eprintln!("{won} won, {refused} refused, {late} came after it was out");
    assert!(won > 50 && refused > 20, "{won} won, {refused} refused: these are no races");
}

async fn all_done(router: &Router) {
    let deadline = Instant::now() + PATIENCE;
    let waiting = "/api/jobs?state=planned,enqueued,running,failed&limit=500";
    loop {
        let (_, jobs) = ask(router, "GET", waiting, None).await;
        let soon = |job: &&Value| !job["planned_at"].as_str().unwrap().starts_with("2099");
        let left = jobs["items"].as_array().unwrap().iter().filter(soon).count();
        if left == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{left} jobs are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_races_in_memory() {
    let clock = Arc::new(SystemClock);
    let backend = MemoryBackend::new(clock.clone()).backend();
    let tokens = Arc::new(MemoryTokens::default());
    race_a_thousand(backend, tokens, Arc::new(MemoryIdempotency::new(clock))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_races_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("postq.db")).unwrap();
    race_a_thousand(store.backend(), store.tokens(), store.idempotency()).await;
    store.close().await.unwrap();
}
