//! Changes to what was seen: of many that saw the same, one is done, and nobody's change is lost.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::num::NonZeroU32;

use postq_web::Settings;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use support::{Answer, Plan, Site};

/// As many at once.
const RACERS: usize = 8;

const ROUNDS: usize = 10;

/// With nobody held back for asking too often.
async fn site() -> Site {
    let settings = Settings { burst: NonZeroU32::MAX, ..Settings::default() };
    Site::with(Plan { settings, ..Plan::default() }).await
}

/// Sends the same request with this `If-Match` many times at once; the statuses.
async fn race(site: &Site, method: &Method, path: &str, tag: &str, body: &Value) -> Vec<u16> {
    let mut racers = JoinSet::new();
    for n in 0..RACERS {
        let token = format!("token-{n}");
        let body = body.as_object().map(|_| json!({"access_token": token}));
        let mut request = site.request(method.clone(), path).header("if-match", tag);
        if let Some(body) = body {
            request = request.json(&body);
        }
        racers.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    racers.join_all().await
}

fn count(statuses: &[u16], wanted: u16) -> usize {
    statuses.iter().filter(|status| **status == wanted).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_saw_the_same_account_one_changes_it() {
    let site = site().await;
    let path = format!("/api/accounts/{}", site.recorder_account().await);

    for _ in 0..ROUNDS {
        let tag = site.get(&path).await.is(200).header("etag").to_owned();
        let statuses = race(&site, &Method::PATCH, &path, &tag, &json!({})).await;

        assert_eq!(count(&statuses, 200), 1, "{statuses:?}");
        assert_eq!(count(&statuses, 412), RACERS - 1, "{statuses:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_removed_or_changed_and_never_both() {
    let site = site().await;
    for _ in 0..ROUNDS {
        let path = format!("/api/accounts/{}", site.recorder_account().await);
        let tag = site.get(&path).await.is(200).header("etag").to_owned();
        let remove = race(&site, &Method::DELETE, &path, &tag, &Value::Null);
        let body = json!({});
        let change = race(&site, &Method::PATCH, &path, &tag, &body);
        let (removed, changed) = tokio::join!(remove, change);

        let (removed, changed) = (count(&removed, 204), count(&changed, 200));
        assert_eq!(removed + changed, 1, "removed {removed}, changed {changed}");
        let left = site.get(&path).await;
        assert_eq!(left.status.as_u16(), if removed == 1 { 404 } else { 200 });
        if removed == 0 {
            site.delete(&path).await.is(204);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_to_different_fields_are_both_kept() {
    let site = site().await;
    let id = site.recorder_account().await;
    let path = format!("/api/accounts/{id}");
    for round in 0..ROUNDS {
        let tag = async || site.get(&path).await.is(200).header("etag").to_owned();
        let before = tag().await;
        let policy = if round % 2 == 0 { "resend" } else { "hold" };
        let send = async |body: Value| {
            Answer::of(site.request(Method::PATCH, &path).json(&body).send().await.unwrap()).await
        };

        let (one, other) = tokio::join!(
            send(json!({"on_unknown": policy})),
            send(json!({"access_token": format!("token {round}")})),
        );
        one.is(200);
        other.is(200);

        let account = site.get(&path).await.is(200).body;
        assert_eq!(account["on_unknown"], policy);
        // The token is seen in the tag alone: put the policy back, and it is still another one.
        let back = if round % 2 == 0 { "hold" } else { "resend" };
        site.patch(&path, json!({"on_unknown": back})).await.is(200);
        assert_ne!(tag().await, before, "the token was kept");
        site.patch(&path, json!({"on_unknown": policy})).await.is(200);
    }
}
