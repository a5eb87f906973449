use chrono::{Datelike, TimeDelta, Utc};
use fake_x::FakeX;
use serde_json::json;

use crate::api::Api;
use crate::browser::Size;
use crate::page::{Page, keys};
use crate::support::{Daemon, Home};

const LONG: &str = "From Monday on the bakery opens at half past six, because so many of you asked for warm rolls before \
    the first train. We bake the rye loaf twice a day now: at five in the morning and at two in the afternoon. On \
    Saturdays there is plum cake as long as the plums last, and the coffee is on us until the end of the month.";
const SHORT: &str = "From Monday on we open at half past six: warm rolls before the first train.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_too_long_for_one_platform_is_mended_with_a_text_of_its_own() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Bakery Sommer", "1");
    api.dry_run("Newsletter");

    let page = Page::open(daemon.port, "/compose").await;
    page.click("checkbox", "Bakery Sommer").await;
    page.click("checkbox", "Newsletter").await;
    page.click("button", "Again and again").await;
    page.fill("At", "06:45").await;
    page.fill("Time zone", "Europe/Berlin").await;
    page.fill("Text", LONG).await;
    page.sees("/ 280").await;
    page.sees("as X counts, at most 280").await;
    let submit = page.shown("button", "Schedule").await;
    assert!(!submit.is_enabled().await.expect("a button"), "it would be refused");
    page.whole("compose-too-long", Size::Desktop).await;

    page.click("button", "X").await;
    page.sees("type to give X a text of its own").await;
    page.fill("Text", SHORT).await;
    page.until("both are content", async || {
        let text = page.text().await;
        text.matches("Would be taken").count() == 2
    })
    .await;
    // In words, and the next times, in the viewer's zone.
    page.sees("6:45").await;
    let first = next_weekday().format("%-d %b").to_string();
    page.sees(&first).await;
    page.whole("compose-mended", Size::Desktop).await;
    page.click("button", "Schedule").await;

    page.sees("It is scheduled").await;
    page.click("link", "Calendar").await;
    // It may begin next week only, or next month.
    page.click("button", "List").await;
    page.sees("6:45").await;
    page.sees("From Monday on").await;
    page.screen("compose-in-the-calendar").await;
    let schedules = api.get("/schedules");
    let schedule = &schedules["items"][0];
    assert_eq!(schedule["schedule"]["expr"], "45 6 * * 1,2,3,4,5", "{schedules}");
    assert_eq!(schedule["accounts"].as_array().map(Vec::len), Some(2), "{schedule}");
    let post = api.get(&format!("/posts/{}", schedule["post_id"].as_str().expect("an id")));
    assert_eq!(post["parts"][0]["text"], LONG);
    assert_eq!(post["variants"]["x"][0]["text"], SHORT);
    page.done().await;
}

/// The first day from tomorrow on that is from Monday to Friday.
fn next_weekday() -> chrono::NaiveDate {
    #[allow(clippy::disallowed_methods, reason = "the browser runs by the host's clock")]
    let today = Utc::now().date_naive();
    let days = (1..5).map(|days| today + TimeDelta::days(days));
    days.into_iter().find(|day| day.weekday().num_days_from_monday() < 5).expect("one in four")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_and_a_time_that_does_not_come_are_said() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Library of Things");
    api.dry_run("Repair cafe");

    let page = Page::open(daemon.port, "/compose").await;
    page.sees("Choose an account").await;
    page.click("checkbox", "Repair cafe").await;
    page.sees("Write a text").await;
    page.fill("Text", "Bring your toaster.").await;
    page.sees_no("Write a text").await;

    // The clocks of Berlin go from two to three in this night.
    page.click("button", "At a time").await;
    page.eval(
        "const at = document.getElementById('at');
        at.value = '2035-03-25T02:30';
        at.dispatchEvent(new Event('input', { bubbles: true }))",
    )
    .await;
    page.sees("does not come that day").await;
    page.screen("compose-clock-change").await;
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_is_written_part_by_part() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Library of Things");

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", "What can be borrowed since this week: a cargo bike.").await;
    page.click("button", "Add to the thread").await;
    page.fill("Part 2 of 2", "And a cider press, for the apples of the allotments.").await;
    page.click("button", "Add to the thread").await;
    page.fill("Part 3 of 3", "One too many").await;
    page.click("button", "Remove part 3").await;
    page.sees("2/2").await;
    page.sees("Would be taken").await;
    page.screen("compose-thread").await;
    page.click("button", "Draft").await;
    page.click("button", "Keep the draft").await;

    page.sees("The draft is kept").await;
    let posts = api.get("/posts");
    let parts = &posts["items"][0]["parts"];
    assert_eq!(parts.as_array().map(Vec::len), Some(2), "{posts}");
    assert_eq!(parts[1]["text"], "And a cider press, for the apples of the allotments.");
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_written_outlives_the_page() {
    let home = Home::new();
    let daemon = home.serve();
    Api::of(&daemon).await.dry_run("Library of Things");
    let text = "The cargo bike is back from its repair.";

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", text).await;
    page.sees("Would be taken").await;
    page.go("/").await;
    page.sees("Write a post").await;
    page.go("/compose").await;

    page.sees("This is what you wrote here before").await;
    let written = "return document.querySelector('textarea').value";
    assert_eq!(page.eval(written).await, text);
    page.click("button", "Start over").await;
    page.until("an empty text", async || page.eval(written).await == "").await;
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_written_and_published_with_the_keyboard_alone() {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Choir");
    api.dry_run("Parish");

    let page = Page::open(daemon.port, "/").await;
    page.sees("Write a post").await;
    page.tab_to("Compose").await;
    page.press(keys::ENTER).await;
    page.until("the page to compose on", async || page.path().await == "/compose").await;
    page.sees("Parish").await;
    page.tab_to("Choir").await;
    page.press(keys::SPACE).await;
    page.tab_to("Text").await;
    page.press("We sing on the first of Advent, at five.").await;
    page.sees("Would be taken").await;
    page.tab_to("Publish now").await;
    page.screen("keyboard").await;
    page.press(keys::ENTER).await;
    page.until("the job's own page", async || page.path().await.starts_with("/jobs/")).await;
    page.sees("Ended").await;

    let published = api.get("/publications");
    assert_eq!(published["items"].as_array().map(Vec::len), Some(1), "{published}");
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_in_a_post_is_shown_as_text_everywhere() {
    const MARKUP: &str =
        "<img src=x onerror=\"document.title='taken over'\"><b>bold</b> <script>alert(1)</script>";
    let x = FakeX::start().await.expect("a free port");
    x.set_faults(fake_x::Faults::script([fake_x::Fault::NoCredits]));
    let home = Home::with_x(&x.base_url()).env("POSTQ_MAX_ATTEMPTS", "1");
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run(&format!("Account {MARKUP}")[..60]);
    api.x("<i>X</i>", "1");
    let out = json!({ "text": MARKUP, "accounts": ["<i>X</i>"], "schedule": { "kind": "now" } });
    api.post("/posts", &out);
    let later = json!({ "text": MARKUP, "accounts": ["<i>X</i>"], "schedule": { "kind": "interval", "every": "1d" } });
    api.post("/posts", &later);

    let page = Page::open(daemon.port, "/").await;
    for path in ["/", "/queue", "/dead-letters", "/accounts", "/nodes", "/settings"] {
        page.go(path).await;
        page.until_true("it is loaded", crate::page::IS_LOADED).await;
        let injected = page
            .eval(
                "return document.querySelectorAll('main img, main b, main i, main script').length",
            )
            .await;
        assert_eq!(injected, 0, "{path}");
    }
    page.go("/").await;
    page.sees("<img src=x onerror=").await;
    page.go("/accounts").await;
    page.sees("<i>X</i>").await;
    page.go("/compose").await;
    page.click("checkbox", "<i>X</i>").await;
    page.fill("Text", MARKUP).await;
    page.sees("Would be taken").await;
    assert_eq!(
        page.eval("return document.querySelectorAll('main img, main b, main script').length").await,
        0
    );
    page.screen("markup").await;
    page.done().await;
}

/// The first answer to a new post is lost on its way, and a proxy says so.
const LOSE_AN_ANSWER: &str = "const ask = window.fetch;
    window.fetch = async (url, init) => {
      const answer = await ask(url, init);
      if (init.method !== 'POST' || !url.endsWith('/api/posts')) return answer;
      window.fetch = ask;
      return new Response('<h1>Gateway timeout</h1>', { status: 504 });
    }";

/// A page on which a post is written, and `Publish now` was clicked after this script.
async fn published_after(script: &str) -> (Home, Daemon, Api, Page) {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Newsletter");
    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", SHORT).await;
    page.eval(script).await;
    page.click("button", "Publish now").await;
    (home, daemon, api, page)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_whose_answer_was_lost_is_handed_in_once() {
    let (_home, _daemon, api, page) = published_after(LOSE_AN_ANSWER).await;

    page.sees("504").await;
    page.click("button", "Publish now").await;
    page.sees("Its story").await;

    let posts = api.get("/posts");
    assert_eq!(posts["items"].as_array().map(Vec::len), Some(1), "{posts}");
    page.done().await;
}

/// Nothing is planned yet when it is looked for, the first two times.
const PLAN_LATER: &str = "const ask = window.fetch;
    let looks = 0;
    window.fetch = async (url, init) => {
      if (!url.includes('/api/jobs?post=') || looks === 2) return ask(url, init);
      looks += 1;
      return new Response('{\"items\": []}', { status: 200 });
    }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_planned_late_is_led_to_as_well() {
    let (_home, _daemon, _api, page) = published_after(PLAN_LATER).await;

    page.until("the job's own page", async || page.path().await.starts_with("/jobs/")).await;
    page.sees("Ended").await;
    page.done().await;
}
