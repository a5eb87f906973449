//! Connecting accounts at an X-shaped server: there and back.

use fake_x::{CLIENT_ID, Canned, FakeX, Target};

use crate::api::Api;
use crate::page::Page;
use crate::support::{Daemon, Home, free_port};

/// A daemon whose app is known at this server, and its home.
fn serve(x: &FakeX) -> (Home, Daemon) {
    let port = free_port();
    let home = Home::with_x(&x.base_url())
        .env("X_CLIENT_ID", CLIENT_ID)
        .env("X_AUTHORIZE_URL", &x.authorize_url())
        .env("X_REDIRECT_URI", &format!("http://127.0.0.1:{port}/api/accounts/callback/x"));
    let daemon = home.serve_at(port);
    (home, daemon)
}

async fn open(x: &FakeX, daemon: &Daemon, path: &str) -> Page {
    Page::open(daemon.port, path).await.going_to(x.authorize_url())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_connected_at_its_platform_and_publishes() {
    let x = FakeX::start().await.expect("a free port");
    let (home, daemon) = serve(&x);
    Api::of(&daemon).await;
    let page = open(&x, &daemon, "/accounts").await;

    page.click("button", "Connect an account").await;
    page.fill("Name", "Museum by the Mill").await;
    page.screen("connect").await;
    page.click("button", "Continue").await;
    page.sees("to upload pictures and videos").await;
    page.sees("offline.access").await;
    page.screen("connect-asks").await;
    page.click("link", "Go to X").await;

    page.sees("Connected as @42.").await;
    page.screen("connected").await;
    assert_eq!(page.eval("return location.search").await, "", "what was told is not told again");
    let asked = x.seen().into_iter().find(|seen| seen.target.starts_with("/i/oauth2/authorize"));
    let asked = asked.expect("a person was there").target;
    let state = asked.split("state=").nth(1).and_then(|rest| rest.split('&').next());
    let state = state.expect("a state").to_owned();
    assert!(!page.text().await.contains(&state) && !home.log().contains(&state), "{state} is told");
    assert!(!home.log().contains("code-"), "a code is in the log");

    page.click("link", "Compose").await;
    page.fill("Text", "The mill turns again on Sunday, from two o'clock.").await;
    page.sees("Would be taken").await;
    page.click("button", "Publish now").await;
    page.until("the post is out", async || x.ledger().accepted.len() == 1).await;
    let sent = x.seen().into_iter().find(|seen| seen.target == "/2/tweets").expect("a post");
    let token = sent.headers.iter().find(|(name, _)| name == "authorization").expect("a token");
    assert!(token.1.starts_with("Bearer tok-42."), "with the token that was given: {}", token.1);
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_needs_a_person_is_connected_again_and_what_waited_goes_on() {
    let x = FakeX::start().await.expect("a free port");
    let (_home, daemon) = serve(&x);
    let api = Api::of(&daemon).await;
    api.x("Town library", "42");
    x.answer(Target::Create, Canned::new(401, r#"{"title":"Unauthorized","status":401}"#));
    let post = api.publish("Town library", "Story time on Thursday: the bear who could not sleep.");
    api.until_blocked("Town library").await;
    let page = open(&x, &daemon, "/accounts").await.expecting(&["409", "422"]);
    page.sees("Needs you").await;

    // The person is signed in there as somebody else.
    x.set_app("43", None);
    page.click("button", "Connect again").await;
    page.sees("It keeps its posts").await;
    page.screen("connect-again").await;
    page.click("link", "Go to X").await;
    page.sees("Not connected").await;
    page.sees("\"Town library\" is id 42 there, and it was @43 (id 43) who agreed").await;
    page.screen("connected-somebody-else").await;
    page.click("link", "To the accounts").await;
    page.sees("Needs you").await;
    assert!(x.ledger().accepted.is_empty(), "nothing goes out as somebody else");

    // Then they say no, and then yes.
    x.set_app("42", None);
    x.decline_once();
    page.click("button", "Connect again").await;
    page.click("link", "Go to X").await;
    page.sees("Nobody agreed at x").await;
    page.screen("not-connected").await;
    page.click("link", "To the accounts").await;
    page.click("button", "Connect again").await;
    page.click("link", "Go to X").await;

    page.sees("Connected again as @42. One post that waited goes on.").await;
    page.screen("connected-again").await;
    api.until_job(&post, "succeeded").await;
    page.sees("Works").await;
    assert_eq!(x.ledger().accepted.len(), 1);
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_removed_after_asking_and_taken_back_at_its_platform() {
    let x = FakeX::start().await.expect("a free port");
    let (_home, daemon) = serve(&x);
    let api = Api::of(&daemon).await;
    let page = open(&x, &daemon, "/accounts").await.expecting(&["409"]);
    page.click("button", "Connect an account").await;
    page.fill("Name", "Bakery Sommer").await;
    page.click("button", "Continue").await;
    page.click("link", "Go to X").await;
    page.sees("Connected as @42.").await;
    let post = api.publish("Bakery Sommer", "The first stollen are cooling.");
    api.until_job(&post, "succeeded").await;

    page.click("button", "Remove").await;
    page.sees("What it published stays, and so does its history").await;
    page.screen("remove-account").await;
    page.click("button", "Keep it").await;
    page.sees("Bakery Sommer").await;
    page.click("button", "Remove").await;
    page.click_near("button", "Remove", "Keep it").await;

    page.sees("No account yet").await;
    assert!(x.seen().iter().any(|seen| seen.target == "/2/oauth2/revoke"), "taken back");
    let published = api.get("/publications");
    assert_eq!(published["items"].as_array().map(Vec::len), Some(1), "{published}");
    page.done().await;
}
