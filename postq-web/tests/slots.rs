//! Slots, over HTTP.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use support::Site;

async fn put(site: &Site, path: &str, body: Value) -> support::Answer {
    let request = site.request(Method::PUT, path).json(&body);
    support::Answer::of(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_go_into_free_slots() {
    let site = Site::still().await;
    let account = site.recorder_account().await;
    let path = format!("/api/accounts/{account}/slots");
    let before = site.get(&path).await.is(200).body;
    assert_eq!(before, json!({"rules": [], "free": []}));
    let words = json!({"slots": ["weekdays 09:00 and 17:30 Europe/Berlin"]});
    let set = put(&site, &path, words).await.is(200).body;
    assert_eq!(set["rules"][1], json!({"expr": "30 17 * * 1-5", "tz": "Europe/Berlin"}));
    let free = set["free"].as_array().unwrap().clone();
    assert_eq!(free.len(), 10);

    let mut times = BTreeSet::new();
    for text in ["one", "two", "three"] {
        let new = json!({"text": text, "accounts": ["acme"], "schedule": {"kind": "next_slot"}});
        let post = site.post("/api/posts", new).await.is(201).body;
        let schedule = &post["schedules"][0];
        assert_eq!(schedule["tz"], "Europe/Berlin");
        times.insert(schedule["next_run_at"].as_str().unwrap().to_owned());
    }

    let expected = free[..3].iter().map(|at| at.as_str().unwrap().to_owned());
    assert_eq!(times, expected.collect());
    assert_eq!(site.get(&path).await.is(200).body["free"][0], free[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_proposes_a_slot_and_takes_none() {
    let site = Site::still().await;
    let account = site.recorder_account().await;
    let path = format!("/api/accounts/{account}/slots");
    let preview = async |accounts: &[&str], schedule: Value| {
        let new = json!({"text": "hello", "accounts": accounts, "schedule": schedule});
        site.post("/api/posts/preview", new).await.is(200).body
    };
    let next = json!({"kind": "next_slot"});
    let none = preview(&["acme"], next.clone()).await;
    assert_eq!((&none["errors"][0]["field"], &none["occurrences"]), (&json!("at"), &json!([])));
    let set = put(&site, &path, json!({"slots": ["daily 9:00 UTC"]})).await.is(200).body;

    for _ in 0..2 {
        let told = preview(&["acme"], next.clone()).await;
        let expected = (&json!([]), &json!([set["free"][0]]));
        assert_eq!((&told["errors"], &told["occurrences"]), expected);
    }

    let two = preview(&["acme", "dry_run:b"], next).await;
    assert_eq!(two["errors"][0]["field"], "accounts");
    let best = preview(&["acme"], json!({"kind": "best", "tz": "UTC"})).await;
    let why = best["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(why.contains("not enough data"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_slot_is_refused() {
    let site = Site::still().await;
    let account = site.recorder_account().await;
    let path = format!("/api/accounts/{account}/slots");
    for bad in ["sometimes", "daily 09:00 Mars", "daily 26:00 UTC"] {
        let refused = put(&site, &path, json!({"slots": [bad]})).await.refused(422, "invalid");
        assert_eq!(refused.body["field"], "slots", "{bad}");
    }
    let nowhere = "/api/accounts/01890000-0000-7000-8000-000000000000/slots";
    site.get(nowhere).await.refused(404, "not_found");
    put(&site, nowhere, json!({"slots": []})).await.refused(404, "not_found");
    let ask = async |schedule: Value| {
        let new = json!({"text": "hello", "accounts": ["acme"], "schedule": schedule});
        let refused = site.post("/api/posts", new).await.refused(422, "invalid");
        refused.body["detail"].as_str().unwrap().to_owned()
    };
    assert!(ask(json!({"kind": "next_slot"})).await.contains("has no slots"));
    assert!(ask(json!({"kind": "best", "tz": "UTC"})).await.contains("not enough data"));
}
