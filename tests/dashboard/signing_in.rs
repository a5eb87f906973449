use fake_x::{Canned, FakeX, Target};
use serde_json::{Value, json};

use crate::api::Api;
use crate::page::Page;
use crate::support::Home;

/// So many wrong tokens are looked at before one has to wait.
const AT_ONCE: usize = 10;

async fn cookies(page: &Page) -> Vec<Value> {
    let all = page.browser.cdp("Network.getAllCookies", json!({})).await;
    all["cookies"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_is_kept_out_and_who_may_read_changes_nothing() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Town library", "3");
    x.answer(Target::Create, Canned::new(403, r#"{"title":"Forbidden","status":403}"#));
    let post = api.publish("Town library", "Story time on Thursday: the bear who could not sleep.");
    let job = api.until_job(&post, "dead_letter").await;
    let token = api.post("/tokens", &json!({ "name": "Screen in the hall", "scope": "read" }));
    let token = token["token"].as_str().expect("a token");

    let page = Page::open(daemon.port, "/accounts").await.expecting(&["401", "429"]);
    for _ in 0..AT_ONCE {
        page.sees("Sign in").await;
        page.fill("Token", "postq_guessed").await;
        page.click("button", "Sign in").await;
        page.sees("postqd token create").await;
    }
    page.sees("This is no good token").await;
    page.screen("sign-in-refused").await;
    page.until("it has to wait", async || {
        page.click("button", "Sign in").await;
        page.reads("One more is possible in").await
    })
    .await;
    page.screen("sign-in-limited").await;
    assert!(cookies(&page).await.is_empty());

    // Whoever has a token is not held up by those who guess.
    page.fill("Token", token).await;
    page.click("button", "Sign in").await;
    page.sees("Town library").await;
    let kept = cookies(&page).await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["httpOnly"], true, "{kept:?}");
    assert_eq!(kept[0]["sameSite"], "Strict", "{kept:?}");
    assert_eq!(page.eval("return document.cookie").await, "");

    for (path, shows) in [
        ("/", "Story time"),
        ("/posts", "Story time"),
        (&format!("/posts/{post}"), "Story time"),
        ("/queue", "publish"),
        (&format!("/jobs/{job}"), "Its story"),
        ("/dead-letters", "Story time"),
        ("/accounts", "Town library"),
        ("/settings", "scope admin"),
    ] {
        page.go(path).await;
        page.sees(shows).await;
        for change in [
            "Write a post",
            "Move",
            "Publish now",
            "Due now",
            "Call off",
            "Edit",
            "Replay",
            "Mark as published",
            "Discard",
            "Pause",
            "Resume",
            "Remove",
            "Connect an account",
            "New token",
            "Connect again",
            "Revoke",
            "Make a token",
        ] {
            for role in ["button", "link"] {
                assert!(
                    !page.has_exactly(role, change).await,
                    "{path}: the {role} {change:?}, for a token that may read"
                );
            }
        }
    }
    page.go("/dead-letters").await;
    page.sees("You may look").await;
    page.screen("read-only").await;

    page.click("button", "Sign out").await;
    page.sees("Sign in").await;
    assert!(cookies(&page).await.is_empty());
    page.reload().await;
    page.sees("Sign in").await;
    assert!(!page.reads("Story time").await);
    page.done().await;
}

/// A page of a browser that is asked over plain HTTP, from another machine: it has less.
const WITHOUT_HTTPS: &str = "delete Crypto.prototype.randomUUID; \
    Object.defineProperty(Navigator.prototype, 'clipboard', { value: undefined })";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_token_keeps_its_maker_in_with_and_without_https() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    let page = Page::open(daemon.port, "/nodes").await;
    page.browser
        .cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WITHOUT_HTTPS }))
        .await;
    page.go("/settings").await;
    page.sees("whoever is on this machine may do everything").await;

    page.fill("Name", "Laptop").await;
    page.click("button", "Make a token").await;

    page.sees("It is shown this once").await;
    let token = page.eval("return document.querySelector('dialog .mono').textContent").await;
    let api = api.with_token(token.as_str().expect("a token"));
    page.click("button", "Copy").await;
    page.sees("Copied").await;
    page.click("button", "I have it").await;
    page.reload().await;
    page.sees("Signed in with the token “Laptop”, of the scope admin").await;
    let tokens = api.get("/tokens");
    assert_eq!(tokens["items"].as_array().map(Vec::len), Some(1), "{tokens}");
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_looks_on_is_shut_out_with_the_token() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    let admin = api.post("/tokens", &json!({ "name": "Office", "scope": "admin" }));
    let api = api.with_token(admin["token"].as_str().expect("a token"));
    let theirs = api.post("/tokens", &json!({ "name": "Screen in the hall", "scope": "read" }));
    let page = Page::open(daemon.port, "/posts").await.expecting(&["401"]);
    page.fill("Token", theirs["token"].as_str().expect("a token")).await;
    page.click("button", "Sign in").await;
    page.sees("Nothing is written yet").await;
    page.until_true("the stream is open", STREAMS).await;

    api.delete(&format!("/tokens/{}", theirs["id"].as_str().expect("an id")));

    page.sees("Sign in").await;
    assert!(!page.reads("Nothing is written yet").await);
    page.done().await;
}

const STREAMS: &str = "return performance.getEntriesByType('resource')
    .some((one) => one.name.endsWith('/api/session')) && document.querySelector('.lost') === null";
