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
    page.sees("this is no good token").await;
    page.screen("sign-in-refused").await;
    page.until("it has to wait", async || {
        page.click("button", "Sign in").await;
        page.reads("one more is possible in").await
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
