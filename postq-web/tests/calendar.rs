//! What lies in a span of time, and what of it can be moved.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use postq_core::clock::{Clock, SystemClock};
use postq_core::store::Retention;
use reqwest::StatusCode;
use serde_json::{Value, json};

use support::Site;

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// A whole second, so many seconds from now.
fn ahead(seconds: i64) -> DateTime<Utc> {
    SystemClock.now().trunc_subsecs(0) + TimeDelta::seconds(seconds)
}

async fn calendar(site: &Site, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Value> {
    let path = format!("/api/calendar?from={}&until={}", text(from), text(until));
    let body = site.get(&path).await.is(200).body;
    assert_eq!(body["is_cut"], false);
    body["items"].as_array().unwrap().clone()
}

fn told(items: &[Value], fields: &[&str]) -> Vec<Value> {
    let of = |item: &Value| fields.iter().map(|field| item[*field].clone()).collect();
    items.iter().map(of).collect()
}

async fn scheduled(
    site: &Site,
    words: &str,
    accounts: &[&str],
    schedule: Value,
) -> (String, String) {
    let new = json!({"text": words, "accounts": accounts, "schedule": schedule});
    let post = site.post("/api/posts", new).await.is(201);
    (post.id(), post.body["schedules"][0]["id"].as_str().unwrap().to_owned())
}

fn once(at: DateTime<Utc>) -> Value {
    json!({"kind": "one_shot", "at": text(at), "tz": "Europe/Berlin"})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_come_is_told_without_a_job() {
    let site = Site::still().await;
    let (at, day) = (ahead(86_400), TimeDelta::days(1));
    let (post, schedule) = scheduled(&site, "once", &["dry_run:a", "dry_run:b"], once(at)).await;
    let every =
        json!({"kind": "interval", "every": "1d", "anchor": text(at + TimeDelta::hours(1))});
    let (_, daily) = scheduled(&site, "daily", &["dry_run:a"], every).await;

    let items = calendar(&site, at, at + day * 3).await;

    let hour = TimeDelta::hours(1);
    let times = [at, at + hour, at + hour + day, at + hour + day * 2].map(text);
    let shown = told(&items, &["at", "text"]);
    let texts = ["once", "daily", "daily", "daily"];
    let expected: Vec<_> = times.iter().zip(texts).map(|(at, text)| json!([at, text])).collect();
    assert_eq!(shown, expected);
    let one = &items[0];
    assert_eq!((&one["post_id"], &one["schedule_id"]), (&json!(post), &json!(schedule)));
    assert_eq!(
        told(&items[..1], &["state", "job_id", "tz", "movable", "occurrence"]),
        [json!(["planned", null, "Europe/Berlin", true, null])]
    );
    assert_eq!(one["accounts"].as_array().unwrap().len(), 2);
    assert_eq!(items[2]["schedule_id"], json!(daily));
    assert_eq!(
        told(&items[2..3], &["state", "tz", "movable", "occurrence"]),
        [json!(["planned", null, true, times[2]])]
    );
    // A schedule that began long before the span; and nothing outside of it.
    let later = at + day * 50;
    let items = calendar(&site, later, later + day).await;
    assert_eq!(told(&items, &["at"]), [json!([text(later + hour)])]);
    assert!(calendar(&site, at - day, at).await.is_empty(), "before until");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_edited_moved_or_switched_off_is_told_as_it_is() {
    let site = Site::still().await;
    let (at, day) = (ahead(86_400), TimeDelta::days(1));
    let every = json!({"kind": "interval", "every": "1d", "anchor": text(at), "count": 4});
    let (_, daily) = scheduled(&site, "daily", &["dry_run:a"], every).await;
    let (_, other) =
        scheduled(&site, "moved", &["dry_run:a"], once(at + TimeDelta::hours(2))).await;
    let (_, off) = scheduled(&site, "off", &["dry_run:a"], once(at)).await;
    let daily = format!("/api/schedules/{daily}");

    site.post(&format!("{daily}/skip"), json!({"at": text(at)})).await.is(200);
    let items = calendar(&site, at, at + day * 4).await;
    let second = &items.iter().find(|item| item["at"] == text(at + day)).unwrap()["occurrence"];
    let to = at + day + TimeDelta::hours(3);
    let edit = json!({"at": second, "to": text(to)});
    site.post(&format!("{daily}/edit-occurrence"), edit).await.is(200);
    let moved =
        json!({"schedule": {"kind": "one_shot", "at": text(at + day * 3 + TimeDelta::hours(1))}});
    site.patch(&format!("/api/schedules/{other}"), moved).await.is(200);
    site.post(&format!("/api/schedules/{off}/disable"), json!({})).await.is(200);

    let items = calendar(&site, at, at + day * 4).await;
    let expected = [
        json!([text(at), "daily", "cancelled", false]),
        json!([text(at + day), "daily", "cancelled", false]),
        json!([text(to), "daily", "planned", true]),
        json!([text(at + day * 2), "daily", "planned", true]),
        json!([text(at + day * 3), "daily", "planned", true]),
        json!([text(at + day * 3 + TimeDelta::hours(1)), "moved", "planned", true]),
    ];
    assert_eq!(told(&items, &["at", "text", "state", "movable"]), expected);

    site.post(&format!("{daily}/pause"), json!({"until": text(at + day * 3)})).await.is(200);
    let items = calendar(&site, at + day * 2, at + day * 3).await;
    assert!(items.is_empty(), "{items:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_is_movable_until_it_begins() {
    let site = Site::running().await;
    site.recorder_account().await;
    let at = ahead(20);
    let (_, schedule) = scheduled(&site, "soon", &["acme"], once(at)).await;
    let span = format!(
        "/api/calendar?from={}&until={}",
        text(at - TimeDelta::hours(1)),
        text(ahead(86_400))
    );
    let one = |body: &Value| body["items"][0].clone();

    let item = one(&site.until(&span, |body| !body["items"][0]["job_id"].is_null()).await);
    assert_eq!(item["movable"], true, "{item}");
    assert_eq!(item["schedule_id"], json!(schedule));
    let to = |at| json!({"schedule": once(at)});
    let path = format!("/api/schedules/{schedule}");
    let sooner = ahead(1);
    assert_eq!(site.patch(&path, to(sooner)).await.status, StatusCode::OK);

    let item = one(&site.until(&span, |body| body["items"][0]["state"] == "succeeded").await);
    assert_eq!((&item["at"], &item["movable"]), (&json!(text(sooner)), &json!(false)), "{item}");
    site.patch(&path, to(at + TimeDelta::hours(1))).await.refused(409, "already_publishing");
    let items = calendar(&site, at - TimeDelta::hours(1), at + TimeDelta::hours(1)).await;
    assert_eq!(items.len(), 1, "where it was taken back from there is nothing: {items:?}");
    // What was published stays, whatever became of its job and post.
    let job = item["job_id"].clone();
    site.engine.backend().upkeep.clean(&Retention::NOTHING, 1_000).await.unwrap();
    let items = calendar(&site, at - TimeDelta::hours(1), at + TimeDelta::hours(1)).await;
    assert_eq!(
        told(&items, &["state", "text", "job_id", "schedule_id", "movable"]),
        [json!(["succeeded", "soon", job, null, false])]
    );
    let post = item["post_id"].as_str().unwrap();
    site.delete(&format!("/api/posts/{post}")).await.is(204);
    let items = calendar(&site, at - TimeDelta::hours(1), at + TimeDelta::hours(1)).await;
    assert_eq!(told(&items, &["state", "text"]), [json!(["succeeded", ""])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_told_by_what_became_of_them() {
    let site = Site::running().await;
    site.recorder_account().await;
    let mut letters = Vec::new();
    for words in ["refuse a", "refuse b", "refuse c"] {
        let (post, _) = scheduled(&site, words, &["acme"], json!({"kind": "now"})).await;
        let path = "/api/dead-letters?all=true&limit=500";
        let of_post = |item: &Value| item["post_id"] == json!(post);
        let found = |body: &Value| body["items"].as_array().unwrap().iter().any(of_post);
        let body = site.until(path, found).await;
        let letter = body["items"].as_array().unwrap().iter().find(|item| of_post(item)).unwrap();
        letters.push(letter["id"].as_str().unwrap().to_owned());
    }
    let resolve = async |letter: &str, fate: &str| {
        let path = format!("/api/dead-letters/{letter}/resolve");
        site.post(&path, json!({"resolution": fate})).await.is(200);
    };
    resolve(&letters[0], "discarded").await;
    resolve(&letters[1], "marked_published").await;

    let items = calendar(&site, ahead(-3_600), ahead(3_600)).await;

    let expected = [
        json!(["refuse a", "cancelled", false]),
        json!(["refuse b", "succeeded", false]),
        json!(["refuse c", "dead_letter", false]),
    ];
    assert_eq!(told(&items, &["text", "state", "movable"]), expected);
    let replay = format!("/api/dead-letters/{}/replay", letters[2]);
    let replay = site.post(&replay, json!({})).await.is(200).body["job"].clone();
    let items = calendar(&site, ahead(-3_600), ahead(3_600)).await;
    assert_eq!(items.len(), 3, "the replay is in the letter's place");
    assert_eq!(items[2]["job_id"], replay);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_cut_between_characters() {
    let site = Site::still().await;
    let at = ahead(3_600);
    scheduled(&site, &"ż🦉".repeat(500), &["dry_run:a"], once(at)).await;

    let items = calendar(&site, at, at + TimeDelta::seconds(1)).await;

    assert_eq!(items[0]["text"], format!("{}…", "ż🦉".repeat(70)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_calendar_is_cut_and_shows_the_earliest() {
    let site = Site::still().await;
    let at = ahead(3_600);
    let every = json!({"kind": "interval", "every": "1h", "anchor": text(at)});
    for n in 0..2 {
        scheduled(&site, &format!("hourly {n}"), &["dry_run:a"], every.clone()).await;
    }
    let ask = async |hours: i64| {
        let until = at + TimeDelta::hours(hours);
        let path = format!("/api/calendar?from={}&until={}", text(at), text(until));
        site.get(&path).await.is(200).body
    };

    let (all, cut) = (ask(1_000).await, ask(1_001).await);

    for body in [&all, &cut] {
        let items = body["items"].as_array().unwrap();
        assert_eq!(items.len(), 2_000);
        assert_eq!(items[1_999]["at"], text(at + TimeDelta::hours(999)));
    }
    assert_eq!((&all["is_cut"], &cut["is_cut"]), (&json!(false), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_has_bounds() {
    let site = Site::still().await;
    let bad = [
        "",
        "?from=2026-01-01T00:00:00Z",
        "?from=2026-01-01T00:00:00Z&until=tomorrow",
        "?from=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z",
        "?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "?from=2026-01-01T00:00:00Z&until=2026-04-11T00:00:01Z",
        "?from=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z&limit=3",
    ];
    for query in bad {
        site.get(&format!("/api/calendar{query}")).await.refused(422, "invalid");
    }
    let longest = "/api/calendar?from=2026-01-01T00:00:00Z&until=2026-04-11T00:00:00Z";
    assert_eq!(site.get(longest).await.is(200).body, json!({"items": [], "is_cut": false}));
}
