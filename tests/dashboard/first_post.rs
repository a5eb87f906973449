use crate::api::Api;
use crate::page::Page;
use crate::support::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_installation_leads_to_a_published_post() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;

    let page = Page::open(daemon.port, "/").await;
    page.sees("Your first post, in three steps").await;
    page.screen("first-start").await;
    page.click("link", "Connect an account").await;
    page.sees("No account yet").await;
    page.click("button", "Connect an account").await;
    page.fill("Platform", "Dry run").await;
    page.fill("Name", "Museum by the Mill").await;
    page.screen("first-account").await;
    page.click("button", "Connect").await;
    page.sees_no("No account yet").await;
    page.sees("Museum by the Mill").await;

    page.click("link", "Compose").await;
    page.fill("Text", "The mill turns again on Sunday, from two o'clock.").await;
    page.sees("Would be taken").await;
    page.screen("first-post").await;
    page.eval("window.stays = true").await;
    page.click("button", "Publish now").await;
    page.until("the job's own page", async || page.path().await.starts_with("/jobs/")).await;
    page.until_true("its badge says that it is out", IS_OUT).await;
    assert_eq!(page.eval("return window.stays").await, true, "without a reload");
    page.screen("first-post-is-out").await;

    let published = api.get("/publications");
    assert_eq!(published["items"].as_array().map(Vec::len), Some(1), "{published}");
    page.click("link", "Calendar").await;
    page.sees("The mill turns again").await;
    page.screen("first-post-in-the-calendar").await;
    page.done().await;
}

/// What stands beside the title, not in the story below.
const IS_OUT: &str = "const title = document.querySelector('main h1');
    if (!title) return false;
    return /(^|\\s)Out(\\s|$)/.test(title.parentElement.innerText)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_page_weighs_less_than_150_kilobytes() {
    const MOST: u64 = 150_000;
    let home = Home::new();
    let daemon = home.serve();
    Api::of(&daemon).await;

    let page = Page::open(daemon.port, "/").await;
    page.sees("Your first post").await;

    let requests = page.browser.requests().await;
    assert!(requests.len() > 10, "it counts: {requests:#?}");
    let all: u64 = requests.iter().map(|request| request.bytes).sum();
    eprintln!("the first page: {all} bytes in {} requests", requests.len());
    assert!(all < MOST, "{all} bytes: {requests:#?}");
    page.done().await;
}
