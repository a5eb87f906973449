//! What a post will cost, and what calls have cost, over HTTP.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use chrono::{DateTime, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::metrics::{Followed, Reading};
use postq_core::price::{CallKind, Spent, month};
use postq_engine::prices::{Prices, Stops};
use serde_json::{Value, json};

use support::{Plan, Site};

const LIST: &str =
    "recorder:publish=0.015,recorder:publish_link=0.20,dry_run:publish=1,currency=EUR";

async fn site() -> Site {
    let prices = Prices::parse(LIST).unwrap().with_budget(20_000_000, Stops::Reading);
    Site::with(Plan { prices, runs: true, ..Plan::default() }).await
}

fn thread(accounts: &[&str]) -> Value {
    let parts = json!([{"text": "one"}, {"text": "see https://example.com"}, {"text": "three"}]);
    json!({ "parts": parts, "accounts": accounts })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_tells_what_it_will_cost() {
    let site = site().await;
    site.recorder_account().await;

    let cost = async |post: &Value| {
        let told = site.post("/api/posts/preview", post.clone()).await.is(200).body;
        assert_eq!(told["errors"], json!([]), "{told}");
        told["cost"].clone()
    };

    let once = cost(&thread(&["acme"])).await;
    let calls = json!([
        {"platform": "recorder", "kind": "publish", "calls": 2, "micros": 30_000},
        {"platform": "recorder", "kind": "publish_link", "calls": 1, "micros": 200_000},
    ]);
    let expected = json!({"currency": "EUR", "micros": 230_000, "calls": calls, "month": null});
    assert_eq!(once, expected);
    let two = cost(&thread(&["acme", "dry_run:a", "dry_run:b"])).await;
    assert_eq!(two["micros"], 6_230_000);
    let mut daily = thread(&["acme"]);
    daily["schedule"] = json!({"kind": "cron", "expr": "0 9 * * *", "tz": "UTC"});
    let month = json!({"times": 30, "micros": 6_900_000});
    assert_eq!(cost(&daily).await["month"], month);
    let mut often = thread(&["acme"]);
    often["schedule"] = json!({"kind": "interval", "every": "1m"});
    let times = cost(&often).await["month"]["times"].as_u64().unwrap();
    assert!((43_150..=43_245).contains(&times), "about 30 days of minutes: {times}");

    let taken = site.post("/api/posts", daily).await.is(201);
    assert_eq!(taken.body["cost"]["month"], month);
    let path = format!("/api/posts/{}", taken.id());
    assert_eq!(site.get(&path).await.is(200).body.get("cost"), None);
    let later = site.get(&format!("{path}/preview")).await.is(200).body;
    assert_eq!(later["cost"], taken.body["cost"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_money_without_prices() {
    let site = Site::still().await;
    let told = site.post("/api/posts/preview", thread(&["dry_run:a"])).await.is(200).body;
    assert_eq!(told["cost"], Value::Null);

    let taken = site.post("/api/posts", thread(&["dry_run:a"])).await.is(201).body;

    assert_eq!(taken.get("cost"), None);
    let spending = site.get("/api/analytics/spending").await.is(200).body;
    assert_eq!((&spending["has_prices"], &spending["items"]), (&json!(false), &json!([])));
    assert_eq!(
        (&spending["budget_micros"], &spending["left_micros"]),
        (&json!(null), &json!(null))
    );
    assert!(!site.get("/metrics").await.is(200).text.contains("postq_budget"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_tells_what_was_spent() {
    let site = site().await;
    let at = (SystemClock.now() + chrono::TimeDelta::seconds(1)).to_rfc3339();
    let schedule = json!({"kind": "one_shot", "at": at});
    let new = json!({"text": "hello", "accounts": ["dry_run:a"], "schedule": schedule});
    site.post("/api/posts", new).await.is(201);
    let out = |body: &Value| !body["items"].as_array().unwrap().is_empty();
    let out = site.until("/api/publications", out).await["items"][0].clone();
    let month = month(out["published_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
    let spent = |kind, calls, micros| Spent {
        month,
        platform: "recorder".parse().unwrap(),
        kind,
        calls,
        micros,
    };
    let reading = Reading {
        publication_id: out["id"].as_str().unwrap().parse().unwrap(),
        poll_at: Followed::UNPLANNED,
        snapshot: None,
        next: None,
        spent: vec![spent(CallKind::Read, 3, 3_000), spent(CallKind::Publish, 2, 30_000)],
    };
    let _ = site.store.backend().metrics.record(&[reading]).await.unwrap();

    let path = format!("/api/analytics/spending?month={}", month.format("%Y-%m"));
    let told = site.get(&path).await.is(200).body;

    let items = json!([
        {"platform": "recorder", "kind": "publish", "calls": 2, "micros": 30_000},
        {"platform": "recorder", "kind": "read", "calls": 3, "micros": 3_000},
    ]);
    assert_eq!((&told["items"], &told["micros"]), (&items, &json!(33_000)));
    assert_eq!(told["month"], month.format("%Y-%m").to_string());
    assert_eq!(
        (&told["budget_micros"], &told["left_micros"]),
        (&json!(20_000_000), &json!(19_967_000))
    );
    assert_eq!((&told["currency"], &told["stops"]), (&json!("EUR"), &json!("reading")));
    let another = site.get("/api/analytics/spending?month=2020-12").await.is(200).body;
    assert_eq!(
        (&another["items"], &another["renews_at"]),
        (&json!([]), &json!("2021-01-01T00:00:00Z"))
    );
    let refused = site.get("/api/analytics/spending?month=soon").await.refused(422, "invalid");
    assert_eq!(refused.body["field"], "month");
    let scraped = site.get("/metrics").await.is(200).text;
    assert!(scraped.contains("postq_budget 20\n"), "{scraped}");
    let spent = "postq_spent_this_month{platform=\"recorder\",kind=\"publish\"} 0.03\n";
    assert!(scraped.contains(spent), "{scraped}");
}
