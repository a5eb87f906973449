//! Slots, and good hours: set on the account's page, and taken in compose.

use serde_json::{Value, json};

use crate::api::Api;
use crate::browser::Size;
use crate::page::Page;
use crate::support::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_of_two_accounts_go_into_their_next_free_slots() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    let library = api.dry_run("Library of Things");
    let choir = api.dry_run("Choir");

    let page = Page::open(daemon.port, "/compose").await;
    page.click("checkbox", "Library of Things").await;
    page.fill("Text", "The cargo bike is back.").await;
    page.click("button", "Next free slot").await;
    page.sees("It has no slots").await;
    page.sees("Choose another time").await;
    page.click("link", "Set some").await;

    page.sees("Slots of Library of Things").await;
    page.fill("Times", "09:00, 17:30").await;
    page.fill("Time zone", "Europe/Berlin").await;
    page.click("button", "Add").await;
    page.sees("Monday to Friday at 09:00 and 17:30 Europe/Berlin").await;
    page.sees("Free next").await;
    page.screen("slots").await;
    let path = format!("/accounts/{choir}/slots");
    page.go(&path).await;
    page.fill("Times", "12:15").await;
    page.click("button", "Add").await;
    page.sees("Monday to Friday at 12:15").await;
    let free = |account: &str| api.get(&format!("/accounts/{account}/slots"))["free"].clone();
    let (first, second) = (free(&library), free(&choir));

    page.go("/compose").await;
    page.sees("This is what you wrote here before").await;
    page.click("checkbox", "Choir").await;
    page.sees("a time of its own").await;
    for at in [&first[0], &second[0]] {
        let at = at.as_str().expect("a time");
        let shown =
            format!("return document.querySelector('fieldset time[datetime=\"{at}\"]') !== null");
        page.until_true("the time that it would get", &shown).await;
    }
    page.whole("compose-slots", Size::Desktop).await;
    page.click("button", "Schedule").await;
    page.sees("It is scheduled").await;
    page.click("link", "Calendar").await;
    page.click("button", "List").await;
    page.sees("The cargo bike is back.").await;
    page.sees("Choir").await;
    page.screen("slots-in-the-calendar").await;

    let posts = api.get("/posts");
    assert_eq!(posts["items"].as_array().map(Vec::len), Some(1), "one post: {posts}");
    let schedules = posts["items"][0]["schedules"].as_array().expect("schedules");
    let mut times: Vec<(Value, Value)> = schedules
        .iter()
        .map(|one| (one["accounts"][0].clone(), one["next_run_at"].clone()))
        .collect();
    times.sort_by_key(|(account, _)| account.to_string());
    let mut expected = vec![(json!(library), first[0].clone()), (json!(choir), second[0].clone())];
    expected.sort_by_key(|(account, _)| account.to_string());
    assert_eq!(times, expected);
    assert_eq!(free(&library)[0], first[1], "it is taken");
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_goes_into_a_slot_and_slots_are_taken_away() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    let choir = api.dry_run("Choir");
    let draft = api.post("/posts", &json!({ "text": "We sing on Sunday.", "accounts": ["Choir"] }));
    let draft = draft["id"].as_str().expect("an id");

    let page = Page::open(daemon.port, &format!("/accounts/{choir}/slots")).await;
    page.fill("Times", "7:05 and 20:00").await;
    page.click("checkbox", "Fri").await;
    page.click("button", "Add").await;
    page.sees("Mon, Tue, Wed, Thu at 07:05 and 20:00").await;
    page.go(&format!("/compose?post={draft}")).await;
    page.click("button", "Next free slot").await;
    let first = api.get(&format!("/accounts/{choir}/slots"))["free"][0].clone();
    page.click("button", "Schedule").await;
    page.sees("It goes out").await;
    page.until("the post's own page", async || page.path().await.starts_with("/posts/")).await;

    let post = api.get(&format!("/posts/{draft}"));
    let schedules = post["schedules"].as_array().expect("schedules");
    assert_eq!(schedules.len(), 1, "what kept the draft's account is gone: {post}");
    assert_eq!(schedules[0]["next_run_at"], first, "{post}");
    page.go(&format!("/accounts/{choir}/slots")).await;
    page.click("button", "Remove mon,tue,wed,thu").await;
    page.sees("It has no slots yet").await;
    assert_eq!(api.get(&format!("/accounts/{choir}/slots"))["rules"], json!([]));
    page.done().await;
}
