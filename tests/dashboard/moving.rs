use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use fantoccini::actions::{InputSource, MouseActions, PointerAction};
use serde_json::json;

use crate::api::Api;
use crate::page::{Page, keys};
use crate::support::Home;
use crate::town::now;

const TEXT: &str = "Coffee and plum cake in the mill";

/// A day of the next month, so that it is in the future whatever today is.
fn coming(day: u32) -> NaiveDate {
    let next = now().date_naive() + Months::new(1);
    next.with_day(day).expect("every month has it")
}

fn at(day: u32, time: &str) -> String {
    format!("{}T{time}", coming(day))
}

/// A post at ten on the 15th of the next month, in Berlin.
async fn begin() -> (Home, crate::support::Daemon, Api, Page) {
    let home = Home::new();
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.dry_run("Museum by the Mill");
    let schedule = json!({ "kind": "one_shot", "at": at(15, "10:00"), "tz": "Europe/Berlin" });
    api.post(
        "/posts",
        &json!({ "text": TEXT, "accounts": ["Museum by the Mill"], "schedule": schedule }),
    );
    let page = Page::open(daemon.port, "/").await;
    page.sees("Calendar").await;
    page.click("button", "Later").await;
    page.sees(TEXT.split(" and").next().expect("words")).await;
    (home, daemon, api, page)
}

/// When the post goes out.
fn moment(api: &Api) -> DateTime<Utc> {
    let schedules = api.get("/schedules");
    let next = schedules["items"][0]["next_run_at"].as_str().expect("it waits");
    next.parse().expect("a time")
}

/// This local time of Berlin in the winter or summer of that day, by the API's own account.
fn berlin(api: &Api, local: &str) -> DateTime<Utc> {
    let asked = json!({ "kind": "one_shot", "expr": local, "tz": "Europe/Berlin", "count": 1 });
    let shown = api.post("/preview", &asked);
    shown["occurrences"][0].as_str().expect("a time").parse().expect("a time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_moved_by_keyboard() {
    let (_home, _daemon, api, page) = begin().await;

    page.tab_to_what_says("Coffee").await;
    page.press("m").await;
    page.sees("Move this post").await;
    page.screen("moving-by-keyboard").await;
    // The dialog begins in the field: month, day and year, then hour, minute and half of the day.
    let day = coming(18).format("%m%d%Y").to_string();
    page.press(&format!("{day}{}0930A", keys::RIGHT)).await;
    page.press(keys::ENTER).await;
    page.sees("Moved to").await;

    let expected = berlin(&api, &at(18, "09:30"));
    assert_eq!(moment(&api), expected);
    page.until_true("it is in its new place", IS_ON_THE_18TH).await;
    page.screen("moved-by-keyboard").await;
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_dialog_gives_the_focus_back() {
    let (_home, _daemon, _api, page) = begin().await;

    page.tab_to_what_says("Coffee").await;
    page.press("m").await;
    page.sees("Move this post").await;
    page.press(keys::ESCAPE).await;

    page.sees_no("Move this post").await;
    page.until_true(
        "the focus is on the post",
        "return document.activeElement.textContent.includes('Coffee')",
    )
    .await;
    page.done().await;
}

const IS_ON_THE_18TH: &str = "return [...document.querySelectorAll('main section')]
    .some((day) => / 18 /.test(` ${day.getAttribute('aria-label')} `) && day.textContent.includes('Coffee'))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_moved_by_dragging_it_to_another_day() {
    let (_home, _daemon, api, page) = begin().await;
    let month = coming(18).format("%b");
    let from = page.shown("link", "Coffee").await;
    let onto = page.shown("item", &format!("18 {month}")).await;

    let step = Some(Duration::from_millis(100));
    let mouse = MouseActions::new("mouse".to_owned())
        .then(PointerAction::MoveToElement { element: from, duration: step, x: 0.0, y: 0.0 })
        .then(PointerAction::Down { button: 0 })
        .then(PointerAction::MoveBy { duration: step, x: 10.0, y: 10.0 })
        .then(PointerAction::MoveToElement {
            element: onto.clone(),
            duration: step,
            x: 0.0,
            y: 0.0,
        })
        .then(PointerAction::MoveToElement { element: onto, duration: step, x: 3.0, y: 3.0 })
        .then(PointerAction::Up { button: 0 });
    page.browser.client.perform_actions(mouse).await.expect("the mouse");
    page.sees("Moved to").await;

    // At the same time of the day.
    let expected = berlin(&api, &at(18, "10:00"));
    assert_eq!(moment(&api), expected);
    page.until_true("it is in its new place", IS_ON_THE_18TH).await;
    page.screen("moved-by-dragging").await;
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_else_is_dropped_on_a_day_moves_nothing() {
    let (_home, _daemon, api, page) = begin().await;
    let before = moment(&api);
    let count = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/api/schedules')).length";

    page.eval(
        "const data = new DataTransfer();
         data.setData('text/plain', 'a word from elsewhere');
         for (const day of document.querySelectorAll('main section.day'))
           day.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))",
    )
    .await;

    assert_eq!(page.eval(count).await, 0, "nothing was asked for");
    page.reload().await;
    page.sees("Calendar").await;
    assert_eq!(moment(&api), before);
    page.done().await;
}

/// From now on the page sees nothing new.
const BEHIND: &str = "const ask = window.fetch;
    window.fetch = (url, init) => init.method === 'GET' ? new Promise(() => {}) : ask(url, init)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publish_now_of_a_page_that_is_behind_publishes_once() {
    let (_home, _daemon, api, page) = begin().await;
    let posts = api.get("/posts");
    let post = posts["items"][0]["id"].as_str().expect("an id");
    page.go(&format!("/posts/{post}")).await;
    page.sees("Publish now").await;
    page.eval(BEHIND).await;

    for times in 1..=2 {
        page.click("button", "Publish now").await;
        page.until("it was asked for", async || {
            let asked = "return performance.getEntriesByType('resource')
                .filter((one) => one.name.endsWith('/execute') && one.responseEnd > 0).length";
            page.eval(asked).await == times
        })
        .await;
    }

    let jobs = api.get(&format!("/jobs?post={post}"));
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(1), "{jobs}");
    page.done().await;
}
