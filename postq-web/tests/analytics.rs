//! What metrics say, over HTTP; from snapshots that the test puts into the store.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::cache::{Cache, Make};
use postq_core::clock::{Clock, SystemClock};
use postq_core::id::PublicationId;
use postq_core::memory::MemoryCache;
use postq_core::metrics::{Snapshot, Visibility};
use postq_core::platform::Counts;
use postq_core::token::Scope;
use postq_web::Web;
use serde_json::{Value, json};

use support::Site;

/// A cache that counts what is made.
#[derive(Debug)]
struct Counted {
    inner: MemoryCache,
    made: Arc<AtomicUsize>,
}

#[async_trait]
impl Cache for Counted {
    async fn get_or_set(&self, key: &str, ttl: Duration, make: Make) -> Option<Vec<u8>> {
        assert!((3_600..=21_600).contains(&ttl.as_secs()));
        let made = Arc::clone(&self.made);
        let counting: Make = Box::new(move || {
            made.fetch_add(1, Ordering::Relaxed);
            make()
        });
        self.inner.get_or_set(key, ttl, counting).await
    }

    async fn forget(&self, key: &str) {
        self.inner.forget(key).await;
    }
}

/// A site whose engine runs, and how often its cache has made something.
async fn site() -> (Site, Arc<AtomicUsize>) {
    let mut site = Site::running().await;
    let made = Arc::new(AtomicUsize::default());
    let inner = MemoryCache::new(Arc::new(SystemClock));
    let cache = Arc::new(Counted { inner, made: Arc::clone(&made) });
    let web = Web { cache, ..site.web.clone() };
    site.answer_with(web).await;
    (site, made)
}

/// So many posts of `dry_run:acme` that are out: their publications, oldest first.
async fn published(site: &Site, posts: usize) -> Vec<(PublicationId, DateTime<Utc>)> {
    for n in 0..posts {
        let at = (SystemClock.now() + TimeDelta::seconds(1)).to_rfc3339();
        let schedule = json!({"kind": "one_shot", "at": at});
        let text = format!("post {n}");
        let new = json!({"text": text, "accounts": ["dry_run:acme"], "schedule": schedule});
        site.post("/api/posts", new).await.is(201);
    }
    let all = |body: &Value| body["items"].as_array().unwrap().len() >= posts;
    let body = site.until("/api/publications?limit=100", all).await;
    let items = body["items"].as_array().unwrap().iter();
    let mut all: Vec<_> = items
        .map(|item| {
            let text = |field: &str| item[field].as_str().unwrap().to_owned();
            (text("id").parse().unwrap(), text("published_at").parse().unwrap())
        })
        .collect();
    all.sort_by_key(|(id, _)| *id);
    all
}

async fn count(site: &Site, (id, out): (PublicationId, DateTime<Utc>), minutes: i64, likes: u64) {
    let counts = [("like_count", likes), ("impression_count", likes * 10)];
    let counts: Counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
    let snapshot = Snapshot::shown(id, out + TimeDelta::minutes(minutes), counts);
    site.store.backend().metrics.insert(&[snapshot]).await.unwrap();
}

fn year() -> String {
    let today = SystemClock.now().date_naive();
    let (from, until) = (today - TimeDelta::days(364), today + TimeDelta::days(2));
    format!("/api/analytics/summary?account=dry_run:acme&from={from}&until={until}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_tells_how_it_grew() {
    let (site, _) = site().await;
    let one = published(&site, 1).await[0];
    let path = format!("/api/analytics/publications/{}", one.0);
    let before = site.get(&path).await.is(200).body;
    assert_eq!((&before["state"], &before["points"]), (&Value::Null, &json!([])));
    assert_eq!(before["half_life_seconds"], Value::Null);

    count(&site, one, 60, 10).await;
    count(&site, one, 120, 40).await;
    let gone = Snapshot {
        state: Visibility::Deleted,
        ..Snapshot::shown(one.0, one.1 + TimeDelta::minutes(240), Counts::new())
    };
    site.store.backend().metrics.insert(&[gone]).await.unwrap();

    let told = site.get(&path).await.is(200).body;
    let points = told["points"].as_array().unwrap();
    let rates: Vec<f64> =
        points.iter().map(|point| point["engagement_per_hour"].as_f64().unwrap()).collect();
    assert_eq!(rates, [10.0, 30.0, 0.0]);
    assert_eq!((&points[1]["reach"], &points[1]["age_seconds"]), (&json!(400), &json!(7_200)));
    assert_eq!(points[2]["state"], "deleted");
    assert_eq!((&told["state"], &told["counts"]["like_count"]), (&json!("deleted"), &json!(40)));
    assert_eq!(told["half_life_seconds"], 4_800);
    assert_eq!(site.get(&format!("/api/publications/{}/metrics", one.0)).await.is(200).body, told);
    let nowhere = format!("/api/analytics/publications/{}", PublicationId::new());
    site.get(&nowhere).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_is_summed_up_and_kept_until_something_is_counted() {
    let (site, made) = site().await;
    let out = published(&site, 3).await;
    for (n, one) in out.iter().enumerate() {
        count(&site, *one, 15, 10 * (n as u64 + 1)).await;
    }

    let told = site.get(&year()).await.is(200).body;

    assert_eq!((&told["publications"], &told["compared"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&told["made"]["like_count"], &told["gained"]["like_count"]),
        (&json!(60), &json!(60))
    );
    assert_eq!(told["account_name"], "dry_run:acme");
    let best = &told["best"][0];
    assert_eq!(best["publication_id"], json!(out[2].0));
    assert_eq!((&best["engagement"], &best["of_usual"]), (&json!(30), &json!(1.5)));
    assert_eq!((&best["reach"], &best["rate"]), (&json!(300), &json!(0.1)));
    let days = told["days"].as_array().unwrap();
    let gained: i64 = days.iter().filter_map(|day| day["gained"]["like_count"].as_i64()).sum();
    assert_eq!(gained, 60);
    assert_eq!(site.get(&year()).await.is(200).body, told);
    assert_eq!(made.load(Ordering::Relaxed), 1, "the second came from the cache");

    count(&site, out[0], 60, 25).await;

    let told = site.get(&year()).await.is(200).body;
    assert_eq!(told["made"]["like_count"], 75);
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_are_compared_at_one_age() {
    let (site, _) = site().await;
    let out = published(&site, 3).await;
    count(&site, out[0], 15, 10).await;
    count(&site, out[0], 60, 100).await;
    count(&site, out[1], 30, 20).await;
    let ids = |ids: &[usize]| {
        let ids = ids.iter().map(|n| out[*n].0.to_string());
        format!("/api/analytics/compare?publications={}", ids.collect::<Vec<_>>().join(","))
    };
    let told = async |path: String| {
        let told = site.get(&path).await.is(200).body;
        let all = told["publications"].as_array().unwrap().clone();
        let of = |one: &Value| {
            let place = out.iter().position(|(id, _)| json!(id) == one["publication_id"]).unwrap();
            (place, one["engagement"].as_u64(), one["of_usual"].as_f64())
        };
        (told["age_seconds"].clone(), all.iter().map(of).collect::<Vec<_>>())
    };

    let (age, all) = told(ids(&[0, 1, 2, 0])).await;
    assert_eq!(age, 1_800, "so long both were counted");
    assert_eq!(
        all,
        [(0, Some(40), Some(40.0 / 30.0)), (1, Some(20), Some(20.0 / 30.0)), (2, None, None)]
    );
    let (age, all) = told(format!("{}&age=1h", ids(&[1, 0]))).await;
    assert_eq!((age, all), (json!(3_600), vec![(0, Some(100), Some(1.0)), (1, None, None)]));
    assert_eq!(told(ids(&[2])).await, (Value::Null, vec![(2, None, None)]));

    let one = &site.get(&ids(&[0])).await.is(200).body["publications"][0];
    assert_eq!(
        (&one["account_name"], &one["platform"]),
        (&json!("dry_run:acme"), &json!("dry_run"))
    );
    assert_eq!((&one["counts"]["like_count"], &one["rate"]), (&json!(100), &json!(0.1)));
    let field = async |path: String| {
        site.get(&path).await.refused(422, "invalid").body["field"].as_str().unwrap().to_owned()
    };
    assert_eq!(field("/api/analytics/compare?publications=".into()).await, "publications");
    assert_eq!(field("/api/analytics/compare?publications=7".into()).await, "publications");
    let many: Vec<String> = (0..21).map(|_| PublicationId::new().to_string()).collect();
    let many = format!("/api/analytics/compare?publications={}", many.join(","));
    assert_eq!(field(many).await, "publications");
    assert_eq!(field(format!("{}&age=old", ids(&[0]))).await, "age");
    let nowhere = format!("{},{}", ids(&[0]), PublicationId::new());
    site.get(&nowhere).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_named() {
    let (site, _) = site().await;
    published(&site, 1).await;
    let field = async |path: &str| {
        let problem = site.get(path).await.refused(422, "invalid");
        problem.body["field"].as_str().unwrap().to_owned()
    };
    let summary = |query: &str| format!("/api/analytics/summary?{query}");

    assert_eq!(field(&summary("account=acm&from=2026-01-01&until=2026-02-01")).await, "account");
    assert_eq!(field(&summary("account=dry_run:acme&from=soon&until=2026-02-01")).await, "from");
    assert_eq!(
        field(&summary("account=dry_run:acme&from=2026-01-01&until=9999999-01-01")).await,
        "until"
    );
    assert_eq!(
        field(&summary("account=dry_run:acme&from=2026-01-01&until=2026-01-01")).await,
        "until"
    );
    assert_eq!(
        field(&summary("account=dry_run:acme&from=2000-01-01&until=2026-01-01")).await,
        "until"
    );
    assert_eq!(field("/api/analytics/best-times?account=dry_run:acme&tz=Mars").await, "tz");
}

#[tokio::test(flavor = "multi_thread")]
async fn good_times_are_told_only_where_there_is_enough() {
    let (site, made) = site().await;
    let out = published(&site, 2).await;
    count(&site, out[0], 15, 10).await;
    let path = "/api/analytics/best-times?account=dry_run:acme&tz=europe/berlin";

    let told = site.get(path).await.is(200).body;

    assert_eq!((&told["enough_data"], &told["needs_posts"]), (&json!(false), &json!(30)));
    assert_eq!((&told["hours"], &told["next_at"]), (&json!([]), &Value::Null));
    assert_eq!((&told["tz"], &told["certainty"]), (&json!("Europe/Berlin"), &Value::Null));
    site.get(path).await.is(200);
    assert_eq!(made.load(Ordering::Relaxed), 1);
    let token = site.token(Scope::Read).await;
    let asked = site.client.get(format!("http://{}{path}", site.address)).bearer_auth(token);
    assert_eq!(asked.send().await.unwrap().status(), 200, "reading is enough");
}
