//! Signing in to the dashboard: the cookie, from where it counts, how often it may be tried.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::io::Read as _;

use postq_core::token::Scope;
use reqwest::{Method, RequestBuilder, Url};
use serde_json::{Value, json};
use support::{Answer, Site};

/// The cookie that signing in with a token sets: as it is set, and as it is sent back.
async fn sign_in(site: &Site, token: &str) -> (String, String) {
    let answer = site.post("/api/session", json!({"token": token})).await.is(200);
    let set = answer.header("set-cookie").to_owned();
    let pair = set.split(';').next().unwrap().to_owned();
    (set, pair)
}

/// What a request of the dashboard's own page has, as a browser sends it.
fn of_own_page(request: RequestBuilder, cookie: &str) -> RequestBuilder {
    request.header("cookie", cookie).header("sec-fetch-site", "same-origin")
}

async fn answer(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_token_opens_a_session_that_no_script_can_read() {
    let site = Site::still().await;
    let token = site.token(Scope::Write).await;
    assert_eq!(site.get("/api/session").await.body, json!({"scope": null, "name": null}));

    let (set, cookie) = sign_in(&site, &format!(" {token} ").replace(' ', "")).await;

    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    let ask = |method, path| of_own_page(site.request(method, path), &cookie);
    let me = answer(ask(Method::GET, "/api/session")).await.is(200);
    assert_eq!(me.body, json!({"scope": "write", "name": "write"}));
    answer(ask(Method::GET, "/api/posts")).await.is(200);
    answer(ask(Method::POST, "/api/posts").json(&json!({"parts": [{"text": "hello"}]})))
        .await
        .is(201);
    answer(ask(Method::GET, "/api/tokens")).await.refused(403, "forbidden");

    let out = answer(ask(Method::DELETE, "/api/session")).await.is(204);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{}", out.header("set-cookie"));
}

#[tokio::test]
async fn no_other_page_can_use_it() {
    let site = Site::still().await;
    let token = site.token(Scope::Admin).await;
    let (_, cookie) = sign_in(&site, &token).await;
    let draft = json!({"parts": [{"text": "not mine"}]});

    let post = || site.request(Method::POST, "/api/posts").header("cookie", &cookie).json(&draft);
    for site_of_page in ["cross-site", "same-site", "none"] {
        let request = post().header("sec-fetch-site", site_of_page);
        answer(request).await.refused(401, "unauthorized");
    }
    answer(post()).await.refused(401, "unauthorized");
    let other_port = post().header("origin", "http://localhost:1");
    answer(other_port).await.refused(403, "origin_not_allowed");
    let read = site.request(Method::GET, "/api/posts").header("cookie", &cookie);
    let read = answer(read.header("sec-fetch-site", "cross-site")).await;
    read.refused(401, "unauthorized");

    let own = format!("http://{}", site.address);
    answer(post().header("origin", own)).await.is(201);
    let posts = site.request(Method::GET, "/api/posts").bearer_auth(&token);
    let posts = answer(posts).await.body["items"].as_array().unwrap().len();
    assert_eq!(posts, 1, "only the request of our own page was done");
}

#[tokio::test]
async fn a_revoked_token_ends_its_sessions() {
    let site = Site::still().await;
    let admin = site.token(Scope::Admin).await;
    let token = site.token(Scope::Read).await;
    let (_, cookie) = sign_in(&site, &token).await;
    let ask = |path| answer(of_own_page(site.request(Method::GET, path), &cookie));
    ask("/api/posts").await.is(200);

    let id = site.request(Method::GET, "/api/tokens").bearer_auth(&admin);
    let tokens = answer(id).await.body["items"].as_array().unwrap().clone();
    let id = tokens.iter().find(|token| token["name"] == "read").unwrap()["id"].clone();
    let revoke = site.request(Method::DELETE, &format!("/api/tokens/{}", id.as_str().unwrap()));
    answer(revoke.bearer_auth(&admin)).await.is(204);

    ask("/api/posts").await.refused(401, "unauthorized");
    assert_eq!(ask("/api/session").await.body["scope"], Value::Null);
}

#[tokio::test]
async fn attempts_are_limited_and_hold_up_nobody_else() {
    let site = Site::still().await;
    let mine = site.token(Scope::Admin).await;
    let theirs = site.token(Scope::Admin).await;
    let (id, _) = theirs.rsplit_once('_').unwrap_or_default();
    let guess = format!("{}_{}", &theirs[..38], "A".repeat(43));
    assert!(id.len() >= 38 && guess.len() == theirs.len(), "it looks like the token: {guess}");

    for _ in 0..10 {
        let refused = site.post("/api/session", json!({"token": guess})).await;
        let refused = refused.refused(401, "unauthorized");
        assert!(refused.headers.contains_key("www-authenticate"));
        assert!(!refused.headers.contains_key("set-cookie"));
    }

    let limited = site.post("/api/session", json!({"token": theirs})).await;
    let limited = limited.refused(429, "too_many_requests");
    let seconds: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    sign_in(&site, &mine).await;
}

#[tokio::test]
async fn made_up_ids_count_as_one() {
    let site = Site::still().await;
    let mine = site.token(Scope::Admin).await;
    let guess = |n: usize| json!({"token": format!("postq_{n:032x}_{}", "A".repeat(43))});

    for n in 0..10 {
        site.post("/api/session", guess(n)).await.refused(401, "unauthorized");
    }

    site.post("/api/session", guess(11)).await.refused(429, "too_many_requests");
    sign_in(&site, &mine).await;
}

#[tokio::test]
async fn a_foreign_cookie_of_our_name_shuts_nobody_out() {
    let site = Site::still().await;
    let token = site.token(Scope::Read).await;
    let (_, cookie) = sign_in(&site, &token).await;
    let (name, _) = cookie.split_once('=').unwrap();

    for theirs in [format!("{name}=x"), format!("{name}=postq_{:032x}_{}", 7, "A".repeat(43))] {
        let ask = site.request(Method::GET, "/api/posts");
        answer(of_own_page(ask, &format!("{theirs}; {cookie}"))).await.is(200);
    }
}

#[tokio::test]
async fn without_any_token_whoever_is_on_the_machine_is_signed_in() {
    let site = Site::still().await;

    let me = site.get("/api/session").await;

    assert_eq!(me.body, json!({"scope": "admin", "name": null}));
    let old = site.request(Method::GET, "/api/session").header("cookie", "postq_session=old");
    assert_eq!(answer(old).await.body["scope"], "admin", "an old cookie shuts nobody out");
}

#[tokio::test]
async fn the_page_loads_its_own_files_and_nothing_else() {
    let site = Site::still().await;
    site.token(Scope::Read).await; // the page itself is open to everybody

    let page = site.get("/").await.is(200);

    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), "no-cache");
    let base: Url = format!("http://{}/", site.address).parse().unwrap();
    let mut weight = page.text.len();
    let files: Vec<&str> =
        page.text.split(['"']).filter(|part| part.contains("/assets/")).collect();
    assert!(files.len() > 10, "{}", page.text);
    for path in files {
        assert_eq!(base.join(path).unwrap().host(), base.host());
        let file = site.get(path).await.is(200);
        assert!(file.header("cache-control").contains("immutable"));
        assert!(
            ["text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/svg+xml"]
                .contains(&file.header("content-type"))
        );
        let asked = site.request(Method::GET, path).header("accept-encoding", "gzip, br");
        let packed = asked.send().await.unwrap();
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        let packed = packed.bytes().await.unwrap();
        weight += packed.len();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == file.text, "{path} is another file when it is packed");
    }
    assert!(weight < 150_000, "the first page weighs {weight} bytes");
    for path in ["/compose", "/queue", "/jobs/0190a1b2-0000-7000-8000-000000000000", "/settings"] {
        assert_eq!(site.get(path).await.is(200).text, page.text);
    }
    site.get("/assets/other/app.js").await.is(200);
    site.get("/assets/other/none.js").await.refused(404, "no_such_path");
    site.get("/nothing").await.refused(404, "no_such_path");
}
