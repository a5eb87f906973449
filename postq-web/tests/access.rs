//! Who may use which route: every route of the document, so that a new one cannot be forgotten.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use postq_core::clock::{Clock, SystemClock};
use postq_core::id::TenantId;
use postq_core::token::Scope;
use postq_web::Settings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use support::{Answer, Plan, Site};

/// Every operation of the document: method, path with ids filled in, scope.
fn operations(document: &Value) -> Vec<(Method, String, Option<Scope>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["token"][0].as_str();
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{id}", "0191e0f0-0000-7000-8000-000000000000");
            found.push((method, path, scope.map(|scope| scope.parse().unwrap())));
        }
    }
    assert!(found.len() > 40, "{} operations", found.len());
    found
}

fn unlimited() -> Plan {
    let many = NonZeroU32::new(100_000).unwrap();
    let settings = Settings { requests_per_second: many, burst: many, ..Settings::default() };
    Plan { settings, runs: false, ..Plan::default() }
}

/// What needs no token, and why.
const OPEN: [&str; 11] = [
    // Probes have none, and learn nothing but whether it works.
    "GET /healthz",
    "GET /readyz",
    // What the API is like is no secret, and people read it before they have one.
    "GET /api/openapi.json",
    "GET /api/docs",
    // Whoever signs in has no session yet.
    "GET /api/session",
    "POST /api/session",
    "DELETE /api/session",
    // A platform sends people back here: the state is the proof (see `connect.rs`).
    "GET /api/accounts/callback/{platform}",
    // A platform has no token of ours: its signature is the proof (see `incoming.rs`).
    "GET /api/incoming/{platform}",
    "POST /api/incoming/{platform}",
    // A platform that fetches a file has no token either: the link is signed and ends (see `media.rs`).
    "GET /media/files/{name}",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_needs_a_good_token_that_is_wide_enough() {
    let site = Site::with(unlimited()).await;
    let document = site.get("/api/openapi.json").await.is(200).body;
    let tokens = [
        (Scope::Read, site.token(Scope::Read).await),
        (Scope::Write, site.token(Scope::Write).await),
        (Scope::Admin, site.token(Scope::Admin).await),
    ];
    let admin = &tokens[2].1;
    let wrong = format!("{}{}", &admin[..admin.len() - 4], "AAAA");
    let other_id = admin.replace(&admin[6..10], "ffff");

    let (mut guarded, mut open) = (0, Vec::new());
    for (method, path, scope) in operations(&document) {
        let ask = async |authorization: Option<String>| {
            let mut request = site.request(method.clone(), &path);
            if path == "/metrics" {
                // From this host itself it needs none: see `metrics.rs`.
                request = request.header("x-forwarded-for", "192.0.2.1");
            }
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            request.send().await.unwrap()
        };
        let Some(scope) = scope else {
            assert!(ask(None).await.status() != 401, "{method} {path} is open");
            open.push(format!("{method} {path}"));
            continue;
        };
        guarded += 1;
        let bad = [
            None,
            Some(format!("Bearer {wrong}")),
            Some(format!("Bearer {other_id}")),
            Some("Bearer postq_".to_owned()),
            Some(format!("Basic {admin}")),
            Some(admin.clone()),
        ];
        for value in bad {
            let answer = Answer::of(ask(value.clone()).await).await;
            let answer = answer.refused(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"postq\"");
            assert!(!answer.text.contains(admin.as_str()));
        }
        for (has, token) in &tokens {
            let response = ask(Some(format!("Bearer {token}"))).await;
            let status = response.status();
            if *has < scope {
                Answer::of(response).await.refused(403, "forbidden");
                continue;
            }
            assert!(status != 401 && status != 403, "{method} {path} with {has}: {status}");
            assert!(status != 405 && status.as_u16() < 500, "{method} {path}: {status}");
            if status == 404 {
                let answer = Answer::of(response).await;
                assert_eq!(answer.body["code"], "not_found", "{method} {path} is a route");
            }
        }
    }
    assert!(guarded > 35, "{guarded} guarded operations");
    open.sort_unstable();
    assert_eq!(open, BTreeSet::from(OPEN).into_iter().collect::<Vec<_>>(), "and no others");
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_open_until_there_is_a_token_and_never_again() {
    let site = Site::still().await;

    site.get("/api/about").await.is(200);
    for name in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let proxied = site.request(Method::GET, "/api/about").header(name, "1.2.3.4");
        assert_eq!(
            proxied.send().await.unwrap().status(),
            401,
            "{name}: it may come from anywhere"
        );
    }
    let made = site.post("/api/tokens", json!({"name": "first", "scope": "admin"})).await.is(201);
    let token = made.body["token"].as_str().unwrap();
    site.get("/api/about").await.refused(401, "unauthorized");
    let bearer = |path| site.request(Method::DELETE, path).bearer_auth(token);
    let revoked = bearer(&format!("/api/tokens/{}", made.id())).send().await.unwrap();

    assert_eq!(revoked.status(), 204);
    let again = site.request(Method::GET, "/api/about").bearer_auth(token).send().await.unwrap();
    assert_eq!(again.status(), 401, "revoked at once");
    site.get("/api/about").await.refused(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_its_use_is_recorded() {
    let site = Site::still().await;

    let made = site.post("/api/tokens", json!({"name": "ci", "scope": "admin"})).await.is(201);
    let token = made.body["token"].as_str().unwrap().to_owned();
    let list = async || {
        let request = site.request(Method::GET, "/api/tokens").bearer_auth(&token);
        Answer::of(request.send().await.unwrap()).await.is(200)
    };
    list().await;
    let listed = list().await;

    let shown = &listed.body["items"][0];
    assert_eq!((&shown["name"], &shown["scope"]), (&json!("ci"), &json!("admin")));
    assert!(!shown["used_at"].is_null() && shown["revoked_at"].is_null(), "{shown}");
    assert!(!listed.text.contains(&token[40..]), "its secret is not shown again");
    let stored = format!("{:?}", site.web.tokens.list(TenantId::DEFAULT).await.unwrap());
    assert!(!stored.contains(&token[40..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_its_own_limit() {
    let number = |n| NonZeroU32::new(n).unwrap();
    let settings =
        Settings { requests_per_second: number(1), burst: number(3), ..Settings::default() };
    let site = Site::with(Plan { settings, runs: false, ..Plan::default() }).await;
    let (one, other) = (site.token(Scope::Read).await, site.token(Scope::Read).await);
    let ask = async |token: &str| {
        let request = site.request(Method::GET, "/api/about").bearer_auth(token);
        Answer::of(request.send().await.unwrap()).await
    };

    for _ in 0..3 {
        ask(&one).await.is(200);
    }
    let limited = ask(&one).await.refused(429, "too_many_requests");

    assert_eq!(limited.header("retry-after"), "1");
    ask(&other).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_and_origins_are_refused() {
    let settings = Settings {
        hosts: vec!["post.example.com".to_owned()],
        origins: vec!["https://app.example.com".to_owned()],
        ..Settings::default()
    };
    let site = Site::with(Plan { settings, runs: false, ..Plan::default() }).await;
    let ask = async |name: &str, value: &str| {
        let request = site.request(Method::GET, "/api/about").header(name, value);
        Answer::of(request.send().await.unwrap()).await
    };

    for host in ["post.example.com", "localhost:8484", "127.0.0.1", "[::1]:99"] {
        ask("host", host).await.is(200);
    }
    for host in ["evil.example", "localhost.evil.example:8484", "post.example.com.evil"] {
        ask("host", host).await.refused(403, "host_not_allowed");
    }
    ask("origin", "https://evil.example").await.refused(403, "origin_not_allowed");
    ask("origin", "null").await.refused(403, "origin_not_allowed");
    let own = format!("http://{}", site.address);
    ask("origin", &own).await.is(200);
    let allowed = ask("origin", "https://app.example.com").await.is(200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(allowed.header("vary"), "origin");

    let preflight = site
        .request(Method::OPTIONS, "/api/posts")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST");
    let preflight = Answer::of(preflight.send().await.unwrap()).await.is(204);
    assert!(preflight.header("access-control-allow-headers").contains("idempotency-key"));
    let simple = site
        .request(Method::POST, "/api/posts/0191e0f0-0000-7000-8000-000000000000/cancel")
        .header("origin", "https://evil.example");
    assert_eq!(simple.send().await.unwrap().status(), StatusCode::FORBIDDEN, "no preflight needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_security_headers() {
    let site = Site::still().await;
    for path in ["/api/about", "/api/nothing", "/healthz", "/api/docs", "/api/posts?limit=0"] {
        let answer = site.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_there_must_be_a_good_token() {
    let site = Site::still().await;
    let (near, far) = ("127.0.0.1:1".parse().unwrap(), "0.0.0.0:1".parse().unwrap());

    assert!(site.web.ensure_guarded(near).await.is_ok());
    let error = site.web.ensure_guarded(far).await.unwrap_err().to_string();
    assert!(error.contains("postqd token create"), "{error}");
    site.token(Scope::Read).await;
    assert!(site.web.ensure_guarded(far).await.is_ok());
    for token in site.web.tokens.list(TenantId::DEFAULT).await.unwrap() {
        site.web.tokens.revoke(token.id, SystemClock.now()).await.map(drop).unwrap();
    }
    assert!(site.web.ensure_guarded(far).await.is_err());
}
