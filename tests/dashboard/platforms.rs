use fake_reddit::FakeReddit;
use fake_x::FakeX;
use serde_json::{Value, json};

use crate::api::Api;
use crate::browser::Size;
use crate::looks::{Findings, look};
use crate::page::Page;
use crate::picture::picture;
use crate::support::Home;
use crate::town::day;

const LONG: &str = "From Monday on the bakery opens at half past six, because so many of you asked for warm rolls before \
    the first train. We bake the rye loaf twice a day now: at five in the morning and at two in the afternoon. On \
    Saturdays there is plum cake as long as the plums last, and the coffee is on us until the end of the month.";

fn with_reddit(reddit: &FakeReddit) -> Home {
    let url = reddit.base_url();
    Home::new()
        .env("REDDIT_API_BASE_URL", &url)
        .env("REDDIT_AUTH_URL", &url)
        .env("REDDIT_SETTLE_TIME", "3s")
        .env("REDDIT_RATE_LIMIT", "off")
}

/// An account on a platform, by a token; answers its id.
fn account(api: &Api, platform: &str, name: &str, token: &str) -> String {
    let new = json!({ "platform": platform, "name": name, "access_token": token });
    api.post("/accounts", &new)["id"].as_str().expect("an id").to_owned()
}

/// The only post that there is.
fn only_post(api: &Api) -> Value {
    let posts = api.get("/posts");
    let [post] = posts["items"].as_array().expect("posts").as_slice() else { panic!("{posts:#}") };
    post.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_platform_needs_is_asked_for_and_told_at_its_field() {
    let reddit = FakeReddit::start().await.expect("a free port");
    let rule = |name: &str| json!({ "short_name": name, "description": "<b>Please</b>." });
    reddit.set_rules("gardening", json!([rule("Be kind"), rule("No adverts")]));
    let home = with_reddit(&reddit);
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    account(&api, "reddit", "Allotment society", "tok-me");

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", "How we keep the slugs off the lettuce.").await;
    page.sees("Subreddit (needed)").await;
    page.sees("Mend what Reddit would not take").await;
    let wrong = |field: &str| {
        format!("return document.getElementById('option-reddit-{field}-wrong')?.textContent")
    };
    page.until("both are told", async || {
        page.eval(&wrong("subreddit")).await == "It is needed"
            && page.eval(&wrong("title")).await == "It is needed"
    })
    .await;
    let submit = page.shown("button", "Publish now").await;
    assert!(!submit.is_enabled().await.expect("a button"), "it would be refused");
    let mut found = Findings::new();
    for size in [Size::Desktop, Size::Phone] {
        look(&page, size, "compose-options", &mut found).await;
    }
    assert!(found.is_empty(), "{} findings: {found:#?}", found.len());
    page.browser.resize(Size::Desktop).await;

    page.fill("Subreddit", "gardening").await;
    page.fill("Title", "42").await;
    page.click("button", "More that it takes").await;
    page.fill("Nsfw", "No").await;
    page.fill("Kind", "link").await;
    page.until("a link is asked for", async || {
        let told = page.eval(&wrong("url")).await;
        told.as_str().is_some_and(|told| told.starts_with("A post of the kind link without"))
    })
    .await;
    page.fill("Kind", "self").await;
    page.sees("Would be taken").await;
    page.eval("document.querySelector('aside summary').click()").await;
    page.sees("To read before posting (2)").await;
    page.sees("No adverts: <b>Please</b>.").await;
    page.click("button", "At a time").await;
    page.whole("compose-options-filled", Size::Desktop).await;
    page.click("button", "Schedule").await;

    page.sees("It is scheduled").await;
    page.sees("For Reddit").await;
    page.sees("gardening").await;
    page.screen("post-options").await;
    let expected =
        json!({ "subreddit": "gardening", "title": "42", "nsfw": false, "kind": "self" });
    assert_eq!(only_post(&api)["options"]["reddit"], expected);

    page.click("link", "Edit").await;
    page.fill("Title", "How we keep the slugs off").await;
    page.sees("Would be taken").await;
    page.click("button", "Schedule").await;
    page.sees("How we keep the slugs off").await;
    page.click("button", "Publish now").await;
    page.until("it is out", async || reddit.accepted().len() == 1).await;
    assert_eq!(only_post(&api)["options"]["reddit"]["title"], "How we keep the slugs off");
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_a_platform_that_is_given_up_again_are_not_sent() {
    let reddit = FakeReddit::start().await.expect("a free port");
    let home = with_reddit(&reddit);
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    account(&api, "reddit", "Allotment society", "tok-me");
    api.dry_run("Newsletter");

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", "The apples are ripe.").await;
    page.click("checkbox", "Allotment society").await;
    page.fill("Subreddit", "gardening").await;
    page.fill("Title", "Apples").await;
    page.sees("Would be taken").await;
    page.click("checkbox", "Newsletter").await;
    page.click("checkbox", "Allotment society").await;
    page.sees_no("For Reddit").await;
    page.sees("Would be taken").await;
    // What was written is still there if it comes back.
    page.click("checkbox", "Allotment society").await;
    page.until_true(
        "it is still there",
        "return document.getElementById('option-reddit-subreddit')?.value === 'gardening'",
    )
    .await;
    page.click("checkbox", "Allotment society").await;
    page.sees_no("For Reddit").await;
    page.click("button", "Draft").await;
    page.click("button", "Keep the draft").await;

    page.sees("The draft is kept").await;
    assert_eq!(only_post(&api)["options"], json!({}));
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_too_long_is_made_to_fit_as_the_preview_shows() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Bakery Sommer", "1");
    api.dry_run("Newsletter");

    let page = Page::open(daemon.port, "/compose").await;
    page.click("checkbox", "Bakery Sommer").await;
    page.click("checkbox", "Newsletter").await;
    assert!(!page.reads("A text that is too long for a platform").await, "nothing is too long yet");
    page.fill("Text", LONG).await;
    page.sees("A text that is too long for a platform").await;
    page.click("button", "Shorten it").await;
    page.sees("Shortened by 111 characters").await;
    page.sees("two in the afternoon.").await;
    page.click("button", "Split it to a thread").await;
    page.sees("Split to a thread of 2 parts").await;
    page.sees("2/2").await;
    let mut found = Findings::new();
    for size in [Size::Desktop, Size::Phone] {
        look(&page, size, "compose-fit", &mut found).await;
    }
    assert!(found.is_empty(), "{} findings: {found:#?}", found.len());
    page.browser.resize(Size::Desktop).await;
    page.click("button", "At a time").await;
    page.click("button", "Schedule").await;

    page.sees("It is scheduled").await;
    page.sees("On X").await;
    let post = only_post(&api);
    assert_eq!(post["variants"]["x"].as_array().map(Vec::len), Some(2), "{post:#}");
    assert_eq!(post["parts"][0]["text"], LONG);

    // With another text it is made to fit again, as it was.
    page.click("link", "Edit").await;
    page.sees("Split to a thread of 2 parts").await;
    page.fill("Text", &format!("News! {LONG}")).await;
    page.sees("1/2 News!").await;
    page.click("button", "Schedule").await;
    page.sees("News!").await;
    page.until("it is written", async || only_post(&api)["revision"] == 2).await;
    let post = only_post(&api);
    assert!(post["variants"]["x"][0]["text"].as_str().expect("a text").starts_with("News!"));
    assert_eq!(post["fitted"], json!({ "x": "thread" }));

    // A link that is longer than all there is room for is nothing that can be cut.
    page.click("link", "Edit").await;
    page.fill("Text", &format!("#{}", "a".repeat(300))).await;
    page.sees("is too long by itself, and is not cut in half").await;
    page.screen("compose-fit-not").await;
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_platform_tells_what_it_can_do() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    let told = api.get("/platforms");
    let told = told["items"].as_array().expect("platforms");

    let page = Page::open(daemon.port, "/").await;
    page.click("link", "Platforms").await;
    page.sees("What each can do").await;
    // The list comes after the heading.
    page.sees("of any length").await;

    for platform in told {
        let name = platform["platform"].as_str().expect("a name");
        let section = format!("return document.getElementById('platform-{name}')?.innerText ?? ''");
        let section = page.eval(&section).await.as_str().expect("a text").to_owned();
        for option in platform["options"].as_array().expect("options") {
            let option = option["name"].as_str().expect("a name");
            assert!(section.contains(&format!("{name}.{option}")), "{option} in {section}");
        }
        let limit = platform["text"].as_u64().map(|text| format!("up to {text} characters"));
        let limit = limit.unwrap_or_else(|| "of any length".to_owned());
        assert!(section.contains(&limit), "{limit} in {section}");
    }
    let mut found = Findings::new();
    for size in [Size::Desktop, Size::Phone] {
        look(&page, size, "platforms", &mut found).await;
    }
    assert!(found.is_empty(), "{} findings: {found:#?}", found.len());
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_is_full_is_told_before_it_is_scheduled() {
    let home = Home::new().env("DRY_RUN", "true").env("INSTAGRAM_DAILY", "2");
    let photo = home.path().join("photo.png");
    std::fs::write(&photo, picture([180, 120, 40])).expect("a file");
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    account(&api, "instagram", "Museum by the Mill", "tok-1");
    let file = photo.to_str().expect("UTF-8");
    let at = |hour| day(3, hour).to_rfc3339();
    for hour in [9, 12] {
        home.ok([
            "post",
            "The mill",
            "--account",
            "Museum by the Mill",
            "--media",
            file,
            "--at",
            &at(hour),
        ]);
    }

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", "The mill again").await;
    page.add_files("Add pictures or videos", &[&photo]).await;
    page.sees("Would be taken").await;
    page.click("button", "At a time").await;
    let set = |days, hour| {
        let at = day(days, hour).format("%Y-%m-%dT%H:%M");
        format!(
            "const at = document.getElementById('at');
            at.value = '{at}';
            at.dispatchEvent(new Event('input', {{ bubbles: true }}))"
        )
    };
    page.eval(&set(3, 14)).await;
    page.sees("breaks instagram's daily limit").await;
    page.sees(&day(3, 14).format("%A").to_string()).await;
    page.sees("would have 3 posts in the 24 hours up to").await;
    let submit = page.shown("button", "Schedule").await;
    assert!(!submit.is_enabled().await.expect("a button"), "it would be refused");
    page.screen("compose-full-day").await;
    page.eval(&set(5, 14)).await;
    page.sees_no("daily limit").await;
    page.click("button", "Schedule").await;
    page.sees("It is scheduled").await;
    page.done().await;
}
