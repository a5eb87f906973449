use crate::api::Api;
use crate::browser::Size;
use crate::page::Page;
use crate::support::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_written_and_published_on_a_phone() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Volunteer fire brigade with a name that is longer than most names are");

    let page = Page::open(daemon.port, "/").await;
    page.browser.resize(Size::Phone).await;
    page.reload().await;
    page.sees("Calendar").await;
    for place in [
        "Posts",
        "Queue",
        "Analytics",
        "Dead letters",
        "Accounts",
        "Platforms",
        "Nodes",
        "Settings",
        "Compose",
    ] {
        page.click("link", place).await;
        page.until_true(
            &format!("the page {place}"),
            &format!("return document.querySelector('main h1')?.textContent === '{place}'"),
        )
        .await;
        page.until_true("it is loaded", crate::page::IS_LOADED).await;
        page.fits(Size::Phone).await;
    }
    let link = "A long word does not widen the page either: https://fire-brigade.example/"
        .to_owned()
        + &"practice-".repeat(12);
    page.fill("Text", &link).await;
    page.sees("Would be taken").await;
    page.fits(Size::Phone).await;
    page.whole("phone-compose", Size::Phone).await;
    page.click("button", "Publish now").await;
    page.until("the job's own page", async || page.path().await.starts_with("/jobs/")).await;
    page.sees("Ended").await;
    page.fits(Size::Phone).await;
    page.screen("phone-out").await;
    page.click("link", "Calendar").await;
    page.sees("A long word").await;
    page.fits(Size::Phone).await;

    let published = api.get("/publications");
    assert_eq!(published["items"].as_array().map(Vec::len), Some(1), "{published}");
    page.done().await;
}
