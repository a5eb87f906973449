//! Connecting accounts: a person agrees at the platform, and comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postq_core::backend::Backend;
use postq_core::conformance::connect::authority::Authority;
use postq_core::connect::{Connect, Refresh};
use postq_core::content::Draft;
use postq_core::error::StoreError;
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::TenantId;
use postq_core::platform::{
    Identity, Outgoing, Pace, Platform, PlatformName, Published, Violation,
};
use postq_core::store::{Block, BlockReason, BlockStore, Controlled, JobFilter, Page};
use postq_core::token::Scope;
use postq_core::vault::ChaChaVault;
use postq_engine::Engine;
use postq_web::Web;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use support::Site;

#[derive(Debug)]
struct Town(PlatformName, Authority);

#[async_trait]
impl Platform for Town {
    fn name(&self) -> &PlatformName {
        &self.0
    }

    fn pace(&self) -> Pace {
        Pace::default()
    }

    fn validate(&self, _: Draft<'_>) -> Vec<Violation> {
        Vec::new()
    }

    async fn publish<'a>(&self, _: &Identity, _: Outgoing<'a>) -> Result<Published, Failure> {
        Err(Failure::not_published(FailureClass::Internal, "nobody publishes here"))
    }

    fn connect(&self) -> Option<&dyn Connect> {
        Some(&self.1)
    }

    fn refresh(&self) -> Option<&dyn Refresh> {
        Some(&self.1)
    }
}

/// A site, and the authority behind its platform.
struct Connecting {
    site: Site,
    authority: Authority,
}

impl std::ops::Deref for Connecting {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

async fn site() -> Connecting {
    site_with(|backend| backend).await
}

async fn site_with(change: impl FnOnce(Backend) -> Backend) -> Connecting {
    let mut site = Site::still().await;
    let authority = Authority::default();
    authority.set_pace(Some(Duration::from_secs(7_200)), Duration::ZERO);
    let engine = Engine::builder(change(site.store.backend()))
        .platform(Arc::new(Town("town".parse().unwrap(), authority.clone())))
        .vault(Arc::new(ChaChaVault::new(&[7; 32])))
        .build()
        .unwrap();
    let web = Web::new(engine, site.store.tokens(), site.store.idempotency());
    let web = Web { connecting: Some(site.store.connecting()), ..web };
    site.answer_with(web).await;
    // Who comes back is not led on.
    site.client = Client::builder().redirect(Policy::none()).build().unwrap();
    Connecting { site, authority }
}

/// The address that a person comes back to, who agreed.
fn agreed(begun: &Value) -> String {
    let query = begun["address"].as_str().unwrap().split_once("state=").unwrap().1;
    // Where the platform sends people back to is no path of ours.
    format!("/back?state={query}")
}

async fn come_back(site: &Site, path: &str, cookie: Option<&str>) -> Response {
    let mut request = site.request(reqwest::Method::GET, path);
    request = request.header("sec-fetch-site", "cross-site").header("accept", "application/json");
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn an_account_is_connected_in_a_browser_and_shown() {
    let site = site().await;
    let page = format!("http://{}", site.address);
    let begin = site.request(reqwest::Method::POST, "/api/accounts/connect/town");
    let begin = begin.header("origin", &page).header("sec-fetch-site", "same-origin");
    let begun = begin.json(&json!({"name": "main"})).send().await.unwrap();
    assert_eq!(begun.status(), 200);
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    assert!(cookie.contains("; Path=/back"), "where the platform sends people back to: {cookie}");
    let begun: Value = begun.json().await.unwrap();
    assert_eq!(begun["scopes"], json!([{"scope": "write", "why": "to publish"}]));
    let back = agreed(&begun);

    let elsewhere = come_back(&site, &back, None).await;
    assert_eq!(elsewhere.status(), 422, "another browser takes nothing over");
    // That took it: a state is good for one try.
    let own = cookie.split(';').next();
    assert_eq!(come_back(&site, &back, own).await.status(), 422);

    let begin = site.request(reqwest::Method::POST, "/api/accounts/connect/town");
    let begin = begin.header("origin", &page).header("sec-fetch-site", "same-origin");
    let begun = begin.json(&json!({"name": "main"})).send().await.unwrap();
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().to_owned();
    let begun: Value = begun.json().await.unwrap();
    let connected = come_back(&site, &agreed(&begun), cookie.split(';').next()).await;

    assert_eq!(connected.status(), 303);
    let id = begun["account_id"].as_str().unwrap();
    let place = format!("/accounts/{id}?connected=new&waiting=0");
    assert_eq!(connected.headers()["location"], place);
    let gone = connected.headers()["set-cookie"].to_str().unwrap();
    assert!(gone.contains("=; ") && gone.contains("Path=/back"), "{gone}");
    let account = site.get(&format!("/api/accounts/{id}")).await.is(200).body;
    assert_eq!((&account["name"], &account["remote_id"]), (&json!("main"), &json!("somebody")));
    assert!(account["token_expires_at"].is_string() && account["has_credentials"] == true);
}

#[tokio::test]
async fn an_account_is_connected_again_without_a_browser_of_ours() {
    let site = site().await;
    let begin = async |body: Value| site.post("/api/accounts/connect/town", body).await;
    let finish = async |begun: &Value| {
        let back = agreed(begun);
        let (state, code) = back.split_once("state=").unwrap().1.split_once("&code=").unwrap();
        let body = json!({"state": state, "code": code});
        site.post("/api/accounts/callback/town", body).await
    };
    let begun = begin(json!({"name": "main"})).await.is(200).body;
    let account = finish(&begun).await.is(200).body;
    assert_eq!(finish(&begun).await.is(422).body["code"], "not_connected");

    let again = begin(json!({"account": "main"})).await.is(200).body;
    assert_eq!(again["account_id"], account["id"]);
    finish(&again).await.is(200);

    assert_eq!(begin(json!({"name": "main"})).await.is(409).body["field"], "name");
    begin(json!({})).await.is(422);
    begin(json!({"name": "a", "account": "main"})).await.is(422);
    begin(json!({"account": "nobody"})).await.is(422);
    site.post("/api/accounts/connect/nowhere", json!({"name": "a"})).await.is(422);
}

#[tokio::test]
async fn of_several_identities_the_one_that_is_named_is_connected_and_connected_again() {
    let site = site().await;
    site.authority.have_several();
    let connect = async |body: Value| {
        let begun = site.post("/api/accounts/connect/town", body).await.is(200).body;
        let back = agreed(&begun);
        let (state, code) = back.split_once("state=").unwrap().1.split_once("&code=").unwrap();
        let body = json!({"state": state, "code": code});
        site.post("/api/accounts/callback/town", body).await.is(200).body
    };

    let one = connect(json!({"name": "cats", "identity": "Cats"})).await;
    connect(json!({"name": "dogs", "identity": "Dogs"})).await;
    let again = connect(json!({"account": "cats"})).await;

    assert_eq!((&one["remote_id"], &again["remote_id"]), (&json!("Cats"), &json!("Cats")));
    let long = json!({"name": "birds", "identity": "b".repeat(201)});
    let refused = site.post("/api/accounts/connect/town", long).await.is(422).body;
    assert_eq!(refused["field"], "identity");
}

#[tokio::test]
async fn who_comes_back_with_nothing_good_is_told() {
    let site = site().await;
    for query in ["", "?state=a", "?code=a", "?state=a&code=b", "?error=access_denied&state=a"] {
        let path = format!("/api/accounts/callback/town{query}");
        let answer = come_back(&site, &path, None).await;
        assert_eq!(answer.status(), 422, "{query}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], "not_connected");
    }
    let long = format!("/api/accounts/callback/town?code=b&state={}", "a".repeat(5_000));
    assert_eq!(come_back(&site, &long, None).await.status(), 422);
}

#[tokio::test]
async fn only_an_admin_begins_and_finishes_elsewhere() {
    let site = site().await;
    let token = site.token(Scope::Write).await;
    for path in ["/api/accounts/connect/town", "/api/accounts/callback/town"] {
        let request = site.request(reqwest::Method::POST, path).bearer_auth(&token);
        let answer = request.json(&json!({"name": "a"})).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn a_repeated_beginning_does_not_tell_the_state_again() {
    let site = site().await;
    let begin = async || {
        let request = site.request(reqwest::Method::POST, "/api/accounts/connect/town");
        let request = request.header("idempotency-key", "one").json(&json!({"name": "a"}));
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };

    assert!(begin().await["address"].is_string());
    assert!(begin().await["address"].is_null());
}

/// Comes back in a browser: the status, the policy and the page.
async fn looks(site: &Site, path: &str) -> (u16, String, String) {
    let request = site.request(reqwest::Method::GET, path);
    let answer = request.header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), policy, answer.text().await.unwrap())
}

#[tokio::test]
async fn a_person_is_told_on_a_page_what_came_of_it() {
    let site = site().await;
    let begun =
        site.post("/api/accounts/connect/town", json!({"name": "a <b>"})).await.is(200).body;
    let back = agreed(&begun);

    let (status, policy, page) = looks(&site, &back).await;

    assert_eq!(status, 200, "{page}");
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    assert!(page.contains("“a &lt;b&gt;” on town is connected."), "{page}");
    let id = begun["account_id"].as_str().unwrap();
    assert!(page.contains(&format!("href=\"/accounts/{id}\"")), "{page}");
    let style = page.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    site.get(style).await.is(200);
    // Nobody looks over a shoulder at what was spent.
    for secret in back.split_once("state=").unwrap().1.split("&code=") {
        assert!(!page.contains(secret), "{page}");
    }

    let secret = "s3cret".repeat(12);
    for (query, status, told) in [
        (format!("?state={secret}&code={secret}"), 422, "begun more than 10 minutes ago"),
        ("?error=access_denied&state=a".to_owned(), 422, "Nobody agreed at town"),
        ("?error=%3Cscript%3E&state=a".to_owned(), 422, "says &lt;script&gt;"),
        ("?state=a".to_owned(), 422, "no code"),
    ] {
        let standard = format!("/api/accounts/callback/town{query}");
        let (answered, _, page) = looks(&site, &standard).await;
        assert_eq!(answered, status, "{page}");
        assert!(page.contains("<h1>Not connected</h1>") && page.contains(told), "{page}");
        assert!(page.contains("href=\"/accounts\"") && !page.contains("s3cret"), "{page}");
    }
}

/// A post of the account "main" that waits.
async fn waits(site: &Site, text: &str) {
    let post = json!({"text": text, "accounts": ["main"]});
    let post = site.post("/api/posts", post).await.is(201).body;
    let id = post["id"].as_str().unwrap();
    site.post(&format!("/api/posts/{id}/execute"), json!({})).await.is(202);
}

#[tokio::test]
async fn posts_that_waited_are_told_of_when_an_account_is_connected_again() {
    let site = site().await;
    let begun = site.post("/api/accounts/connect/town", json!({"name": "main"})).await.is(200).body;
    looks(&site, &agreed(&begun)).await;
    for text in ["one", "two"] {
        waits(&site, text).await;
    }

    let again = json!({"account": "main"});
    let begun = site.post("/api/accounts/connect/town", again).await.is(200).body;
    let (status, _, page) = looks(&site, &agreed(&begun)).await;

    assert_eq!(status, 200, "{page}");
    assert!(page.contains("“main” on town is connected again."), "{page}");
    assert!(page.contains("2 posts that waited go on."), "{page}");
}

/// Blocks whose jobs are gone as soon as they may go.
#[derive(Debug)]
struct GoesAtOnce {
    backend: Backend,
}

#[async_trait]
impl BlockStore for GoesAtOnce {
    async fn block(&self, block: &Block) -> Result<(), StoreError> {
        self.backend.blocks.block(block).await
    }

    async fn lift(&self, scope: &str, reason: BlockReason) -> Result<(), StoreError> {
        self.backend.blocks.lift(scope, reason).await?;
        let all = JobFilter::default();
        for job in self.backend.jobs.list(TenantId::DEFAULT, &all, Page::first(100)).await? {
            let gone = self.backend.control.cancel(job.id(), "gone").await?;
            assert_eq!(gone, Controlled::Applied);
        }
        Ok(())
    }

    async fn blocks(&self) -> Result<Vec<Block>, StoreError> {
        self.backend.blocks.blocks().await
    }
}

#[tokio::test]
async fn posts_that_waited_are_counted_before_they_may_go() {
    let site = site_with(|backend| {
        let blocks = Arc::new(GoesAtOnce { backend: backend.clone() });
        Backend { blocks, ..backend }
    })
    .await;
    let begun = site.post("/api/accounts/connect/town", json!({"name": "main"})).await.is(200).body;
    looks(&site, &agreed(&begun)).await;
    waits(&site, "one").await;
    let block = Block {
        scope: format!("town/{}", begun["account_id"].as_str().unwrap()),
        reason: BlockReason::NeedsAttention,
        until: None,
        note: "its token was refused".to_owned(),
    };
    site.store.backend().blocks.block(&block).await.unwrap();

    let again = json!({"account": "main"});
    let begun = site.post("/api/accounts/connect/town", again).await.is(200).body;
    let (_, _, page) = looks(&site, &agreed(&begun)).await;

    assert!(page.contains("One post that waited goes on."), "{page}");
    let jobs = site.get("/api/jobs").await.is(200).body;
    assert_eq!(jobs["items"][0]["state"], "cancelled", "it was gone at once: {jobs}");
}

#[tokio::test]
async fn it_is_told_which_platforms_connect_and_a_removed_account_is_taken_back() {
    let site = site().await;
    assert_eq!(site.get("/api/about").await.is(200).body["connects"], json!(["town"]));
    let begun = site.post("/api/accounts/connect/town", json!({"name": "main"})).await.is(200).body;
    looks(&site, &agreed(&begun)).await;
    let path = format!("/api/accounts/{}", begun["account_id"].as_str().unwrap());
    let before = site.authority.calls();

    let removed = site.request(reqwest::Method::DELETE, &path).send().await.unwrap();

    assert_eq!(removed.status(), 204);
    assert_eq!(site.authority.calls() - before, 2, "each token once");
    site.get(&path).await.is(404);
}
