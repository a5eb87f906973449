use fake_x::{Canned, FakeX, Target};

use crate::api::Api;
use crate::page::Page;
use crate::support::Home;
use crate::town::held;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_post_is_marked_as_published() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Bakery Sommer", "1");
    let job = held(&api, &x, "Bakery Sommer", "Bread of yesterday, half the price.").await;

    let page = Page::open(daemon.port, "/").await;
    page.click("link", "Dead letters").await;
    page.sees("It may be out, and the platform cannot tell").await;
    page.click("checkbox", "Choose Bread of yesterday").await;
    page.screen("held").await;
    page.click("button", "Mark as published").await;
    page.sees("Nothing gave up").await;

    let story = api.get(&format!("/jobs/{job}"));
    assert_eq!(story["job"]["resolution"], "marked_published", "{story:#}");
    page.go(&format!("/jobs/{job}")).await;
    page.sees("Bread of yesterday").await;
    page.screen("held-and-resolved").await;
    assert!(x.ledger().accepted.is_empty(), "nothing is sent");
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_one_cause_are_replayed_together() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Museum by the Mill", "2");
    let refused = r#"{"title":"Forbidden","status":403,"detail":"You are not permitted to use a link of this site."}"#;
    for month in ["January", "February", "March", "April"] {
        x.answer(Target::Create, Canned::new(403, refused));
        let post = api.publish("Museum by the Mill", &format!("All dates of {month} at a glance."));
        api.until_job(&post, "dead_letter").await;
    }

    let page = Page::open(daemon.port, "/dead-letters").await;
    page.sees("You are not permitted to use a link").await;
    page.click("checkbox", "Choose all 4").await;
    page.click("checkbox", "Choose All dates of March").await;
    page.screen("replay").await;
    page.click("button", "Replay 3").await;
    page.sees("3 on the way again").await;
    page.until("three are out", async || x.ledger().accepted.len() == 3).await;
    page.sees_no("All dates of January").await;
    page.sees("All dates of March").await;
    page.screen("replayed").await;

    let mut out: Vec<_> = x.ledger().accepted.iter().map(|post| post.text.clone()).collect();
    out.sort();
    let expected =
        ["April", "February", "January"].map(|month| format!("All dates of {month} at a glance."));
    assert_eq!(out, expected);
    page.done().await;
}
