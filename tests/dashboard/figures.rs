//! What metrics say, in charts and in tables.

use chrono::{DateTime, Days, Duration, TimeZone, Utc};
use fake_x::FakeX;
use postq::calendar::zone::local_to_instant;
use postq::core::id::PublicationId;
use postq::core::job::Applied;
use postq::core::metrics::Reading;
use postq::core::price::{self, CallKind, Spent};
use serde_json::{Value, json};

use crate::api::Api;
use crate::browser::{Size, ZONE};
use crate::looks::{Findings, look};
use crate::page::{Page, keys};
use crate::past::{Count, Past};
use crate::support::Home;
use crate::town::now;

/// So many days ago at this hour of UTC.
fn days_ago(days: u64, hour: u32) -> DateTime<Utc> {
    let day = now().date_naive() - Days::new(days);
    Utc.from_utc_datetime(&day.and_hms_opt(hour, 0, 0).expect("a time"))
}

fn count(minutes: i64, impressions: u64, likes: u64) -> Count {
    (Duration::minutes(minutes), Some((impressions, likes)))
}

/// A table that belongs to a chart: its rows, as they are read.
const TABLE: &str = "const chart = [...document.querySelectorAll('figure.chart')].find((one) => one.querySelector('h3').textContent.includes(arguments[0]));
    return chart && [...chart.querySelectorAll('tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent))";

/// What stands at the marks or bars of a chart.
const DRAWN: &str = "const chart = [...document.querySelectorAll('figure.chart')].find((one) => one.querySelector('h3').textContent.includes(arguments[0]));
    return chart && [...chart.querySelectorAll('svg title')].map((one) => one.textContent)";

async fn rows(page: &Page, chart: &str) -> Vec<Vec<String>> {
    let rows = page.eval_with(TABLE, vec![json!(chart)]).await;
    serde_json::from_value(rows).unwrap_or_default()
}

async fn drawn(page: &Page, chart: &str) -> Vec<String> {
    let titles = page.eval_with(DRAWN, vec![json!(chart)]).await;
    serde_json::from_value(titles).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_and_their_tables_say_what_was_counted() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    let bakery = api.x("Bakery Sommer", "1");
    let library = api.x("Town library", "2");
    let mut past = Past::of(&home, &bakery);
    let day = 24 * 60;
    past.published(
        "Plum cake on Saturday.",
        days_ago(4, 10),
        &[count(15, 100, 4), count(60, 400, 10), count(day, 1_000, 40)],
    );
    let gone = [count(15, 50, 2), count(60, 80, 3), (Duration::days(1), None)];
    past.published("Closed on Monday.", days_ago(3, 8), &gone);
    past.told().await;
    let mut past = Past::of(&home, &library);
    past.published("42 new books.", days_ago(2, 9), &[count(30, 7, 1)]);
    past.told().await;

    let page = Page::open(daemon.port, &format!("/analytics?account={bakery}&days=7")).await;
    page.sees("Impressions gained day by day").await;
    page.sees("1,080").await;
    let table = rows(&page, "gained day by day").await;
    assert_eq!(table.len(), 7, "{table:?}");
    let impressions: Vec<&str> = table.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(
        impressions,
        ["0", "0", "400", "680", "0", "0", "0"],
        "gained on its day: {table:?}"
    );
    let publications: Vec<&str> = table.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(publications, ["0", "0", "1", "1", "0", "0", "0"]);
    let of_table: Vec<String> = table.iter().map(|row| format!("{}: {}", row[0], row[2])).collect();
    assert_eq!(drawn(&page, "gained day by day").await, of_table, "the chart says the same");
    page.fill("What is shown", "Likes").await;
    page.sees("Likes gained day by day").await;
    let of_table: Vec<String> = table.iter().map(|row| format!("{}: {}", row[0], row[3])).collect();
    assert_eq!(drawn(&page, "gained day by day").await, of_table, "of likes too");

    // One key away for everybody.
    page.tab_to("Show the numbers").await;
    page.press(keys::SPACE).await;
    page.until_true(
        "the table is there to be seen",
        "return document.querySelector('.numbers table')?.getBoundingClientRect().height > 100",
    )
    .await;
    page.press(keys::SPACE).await;
    page.until_true("the drawing again", "return document.querySelector('.numbers') === null")
        .await;

    page.click("checkbox", "Compare “Plum cake").await;
    page.click("checkbox", "Compare “Closed on").await;
    page.until("both are compared", async || {
        rows(&page, "at the same age").await.first().is_some_and(|row| row.len() == 3)
    })
    .await;
    let compared = rows(&page, "at the same age").await;
    let at = |age: &str| {
        compared.iter().find(|row| row[0] == age).map(|row| (row[1].clone(), row[2].clone()))
    };
    let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    assert_eq!((at("15 min"), at("1 h")), (pair("4", "2"), pair("10", "3")), "{compared:?}");
    assert_eq!(at("1 d"), pair("40", "3"), "{compared:?}");
    let marks = drawn(&page, "at the same age").await;
    assert!(
        marks.contains(&"A, 1 d: 40".to_owned()) && marks.contains(&"B, 1 h: 3".to_owned()),
        "{marks:?}"
    );
    let shapes = "const lines = [...document.querySelectorAll('.drawing .curve')];
        const of = (part, name) => new Set(lines.map((line) => line.querySelector(part).getAttribute(name))).size;
        return lines.length === 2 && of('.mark', 'd') === 2 && of('.way', 'stroke-dasharray') === 2";
    assert_eq!(page.eval(shapes).await, true, "lines differ in more than their colour");
    page.whole("analytics", Size::Desktop).await;

    page.click("link", "Closed on Monday.").await;
    page.sees("Deleted").await;
    page.sees("does not have it any more").await;
    let series = rows(&page, "since it came out").await;
    let states: Vec<&str> = series.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(states, ["Shown", "Shown", "Deleted"], "{series:?}");
    page.screen("publication").await;
    page.click("link", "Analytics").await;
    page.fill("Account", "Town library (X)").await;
    page.sees("42 new books.").await;
    page.sees_no("Plum cake").await;
    page.done().await;
}

/// Posts at five hours of each of so many weeks: those on Tuesdays at six in the evening do well.
fn weeks(past: &mut Past<'_>, weeks: u64) {
    let hours = [(0, 9), (1, 18), (2, 9), (3, 12), (4, 9)];
    let today = now().date_naive();
    let monday =
        today - Days::new(u64::from(chrono::Datelike::weekday(&today).num_days_from_monday()));
    for week in 1..=weeks {
        for (n, (weekday, hour)) in hours.into_iter().enumerate() {
            let wall = (monday - Days::new(7 * week) + Days::new(weekday)).and_hms_opt(hour, 20, 0);
            let at = local_to_instant(wall.expect("a time"), ZONE).expect("a zone");
            let chance = (week * 7 + n as u64 * 3) % 11;
            let likes = if hour == 18 { 90 + 5 * chance } else { 20 + 2 * chance };
            let text = format!("Post {week} {n}");
            past.published(
                &text,
                at,
                &[count(60, likes * 20, likes / 2), count(24 * 60, likes * 40, likes)],
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_hours_are_told_where_there_is_enough_data_and_else_that_there_is_not() {
    let x = FakeX::start().await.expect("a free port");
    let home = Home::with_x(&x.base_url());
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    let bakery = api.x("Bakery Sommer", "1");
    let library = api.x("Town library", "2");
    let mut past = Past::of(&home, &bakery);
    weeks(&mut past, 12);
    past.told().await;
    let mut past = Past::of(&home, &library);
    weeks(&mut past, 2);
    past.told().await;

    let page = Page::open(daemon.port, &format!("/analytics?account={library}")).await;
    page.sees("Not enough data: 10 posts are counted so far; 30 are needed").await;
    page.go(&format!("/analytics?account={bakery}&days=90")).await;
    page.sees("Tuesday, 18:00").await;
    let best = api.get(&format!("/analytics/best-times?account={bakery}&tz={ZONE}"));
    let cell = "const row = [...document.querySelectorAll('.week-hours tbody tr')].find((row) => row.querySelector('th').textContent === 'Tue');
        return row.children[19].textContent";
    let lift = best["hours"][0]["lift"].as_f64().expect("a number");
    assert_eq!(page.eval(cell).await, format!("{lift:.1}★ good"), "{best:#}");
    let mut found = Findings::new();
    for size in [Size::Desktop, Size::Phone] {
        look(&page, size, "analytics-best", &mut found).await;
    }
    assert!(found.is_empty(), "{} findings: {found:#?}", found.len());
    page.browser.resize(Size::Desktop).await;

    page.go("/compose").await;
    page.click("checkbox", "Bakery Sommer").await;
    page.click("checkbox", "Town library").await;
    page.fill("Text", "The oven is open to visitors.").await;
    page.click("button", "Best time").await;
    page.sees("nineteen times in twenty").await;
    page.sees("Not enough data: 10 posts").await;
    page.sees("only accounts that have one").await;
    page.click("checkbox", "Town library").await;
    page.click("button", "Schedule").await;
    page.sees("It goes out Tue").await;
    let posts = api.get("/posts?order=newest&limit=1");
    let next: &Value = &posts["items"][0]["schedules"][0]["next_run_at"];
    assert_eq!(*next, best["next_at"], "{posts}");
    page.done().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_platform_bills_is_told_before_and_after() {
    let x = FakeX::start().await.expect("a free port");
    let prices = "x:publish=0.015,x:read=0.005,currency=USD";
    let home = Home::with_x(&x.base_url()).env("POSTQ_PRICES", prices).env("POSTQ_BUDGET", "20");
    let daemon = home.serve();
    let api = Api::of(&daemon).await;
    api.x("Bakery Sommer", "1");
    let new = json!({ "text": "The oven is warm.", "accounts": ["Bakery Sommer"], "schedule": { "kind": "now" } });
    let micros = api.post("/posts/preview", &new)["cost"]["micros"].as_u64().expect("a cost");
    assert!(micros > 15_000, "the publishing, and the reading of its metrics: {micros}");

    let page = Page::open(daemon.port, "/compose").await;
    page.fill("Text", "The oven is warm.").await;
    let cost = format!("{:.6}", micros as f64 / 1e6);
    page.sees(&format!("Costs about ${}", cost.trim_end_matches('0'))).await;
    page.click("button", "Publish now").await;
    page.sees("Ended").await;
    page.click("link", "Analytics").await;
    page.sees("Spent this month").await;
    page.sees("$0.00 of $20.00").await;
    let publication = api.get("/publications")["items"][0]["id"].clone();
    spend(&home, publication.as_str().expect("an id"), 15_000).await;
    page.reload().await;
    page.sees("Publishing X 1 $0.015").await;
    page.sees("$0.015 of $20.00").await;
    page.whole("analytics-spending", Size::Desktop).await;
    page.done().await;
}

/// Writes down what a publication has cost, as its first count does.
async fn spend(home: &Home, publication: &str, micros: u64) {
    let metrics = home.store().backend().metrics;
    let id: PublicationId = publication.parse().expect("an id");
    let platform = "x".parse().expect("a name");
    let month = price::month(now());
    let spent = vec![Spent { month, platform, kind: CallKind::Publish, calls: 1, micros }];
    // The daemon may plan the poll in between.
    for _ in 0..50 {
        let found = metrics.find(&[id]).await.expect("it is followed");
        let Some(poll_at) = found[0].poll_at else { panic!("its polls have ended: {found:?}") };
        let reading = Reading {
            publication_id: id,
            poll_at,
            snapshot: None,
            next: None,
            spent: spent.clone(),
        };
        if metrics.record(&[reading]).await.expect("it is written") == [Applied::Applied] {
            return;
        }
    }
    panic!("the poll was always another one");
}
