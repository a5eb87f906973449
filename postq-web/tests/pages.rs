//! Lists are read page by page, and what is added meanwhile shifts nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use serde_json::json;

use support::Site;

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_stable_while_posts_are_added() {
    let site = Site::still().await;
    let add = async |n: usize| {
        site.post("/api/posts", json!({"text": format!("post {n}")})).await.is(201).id()
    };
    let mut before = BTreeSet::new();
    for n in 0..25 {
        before.insert(add(n).await);
    }

    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = site.get(&format!("/api/posts?limit=7{cursor}")).await.is(200).body;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
        if pages < 6 {
            add(100 + pages).await;
        }
    }

    let unique: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "none comes twice");
    assert!(before.iter().all(|id| unique.contains(id)), "none is left out");
    assert!(pages >= 4, "{pages} pages");
    assert!(seen.is_sorted(), "in the order of their ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_ends_and_refuses_what_cannot_be() {
    let site = Site::still().await;
    for n in 0..3 {
        let name = format!("account {n}");
        site.post("/api/accounts", json!({"platform": "dry_run", "name": name})).await.is(201);
    }
    let lists = ["posts", "schedules", "jobs", "dead-letters", "accounts", "publications"];
    for list in lists {
        let path = format!("/api/{list}");
        assert!(site.get(&path).await.is(200).body["next"].is_null(), "{list}");
        for bad in ["limit=0", "limit=501", "limit=x", "cursor=x", "offset=3", "limit=5&limit=6"] {
            let refused = site.get(&format!("{path}?{bad}")).await;
            refused.refused(422, "invalid");
        }
    }
    let first = site.get("/api/accounts?limit=2").await.is(200).body;
    let next = first["next"].as_str().unwrap();
    let second = site.get(&format!("/api/accounts?limit=2&cursor={next}")).await.is(200).body;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert!(second["next"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_either_way() {
    let site = Site::running().await;
    site.recorder_account().await;
    for n in 0..5 {
        let new = json!({"text": format!("refuse {n}"), "accounts": ["acme"], "schedule": {"kind": "now"}});
        site.post("/api/posts", new).await.is(201);
        let new =
            json!({"text": format!("take {n}"), "accounts": ["acme"], "schedule": {"kind": "now"}});
        site.post("/api/posts", new).await.is(201);
    }
    let full = |body: &serde_json::Value| body["items"].as_array().unwrap().len() == 5;
    site.until("/api/dead-letters", full).await;
    site.until("/api/publications", full).await;
    let walk = async |list: &str, order: &str| {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/{list}limit=2&order={order}{cursor}");
            let page = site.get(&path).await.is(200).body;
            let items = page["items"].as_array().unwrap();
            ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break ids };
            cursor = format!("&cursor={next}");
        }
    };

    let lists = [
        ("posts?", 10),
        ("jobs?topic=publish&", 10),
        ("jobs?topic=publish&account=acme&", 10),
        ("jobs?state=dead_letter,succeeded&topic=publish&", 10),
        ("dead-letters?", 5),
        ("publications?", 5),
        ("schedules?", 10),
        ("accounts?", 1),
    ];
    for (list, count) in lists {
        let (mut newest, oldest) = (walk(list, "newest").await, walk(list, "oldest").await);
        assert!(oldest.is_sorted() && oldest.len() == count, "{list} {oldest:?}");
        newest.reverse();
        assert_eq!(newest, oldest, "{list}");
    }
    site.get("/api/jobs?order=up").await.refused(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_how_its_post_begins() {
    let site = Site::still().await;
    let long = "ż".repeat(100);
    for text in ["short", &long] {
        let new = json!({"text": text, "accounts": ["dry_run:a"]});
        let post = site.post("/api/posts", new).await.is(201).id();
        site.post(&format!("/api/posts/{post}/execute"), json!({"accounts": ["dry_run:a"]}))
            .await
            .is(202);
    }

    let jobs = site.get("/api/jobs").await.is(200).body;

    let gists: Vec<_> =
        jobs["items"].as_array().unwrap().iter().map(|job| job["gist"].clone()).collect();
    assert_eq!(gists, [json!("short"), json!(format!("{}…", "ż".repeat(90)))]);
    let job = jobs["items"][0]["id"].as_str().unwrap();
    assert_eq!(site.get(&format!("/api/jobs/{job}")).await.is(200).body["job"]["gist"], "short");
    let post = jobs["items"][0]["post_id"].as_str().unwrap();
    site.delete(&format!("/api/posts/{post}")).await.is(204);
    let gone = site.get(&format!("/api/jobs/{job}")).await.is(200).body;
    assert!(gone["job"]["gist"].is_null(), "its post was taken away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_leads_to_what_it_published() {
    let site = Site::running().await;
    site.recorder_account().await;
    for text in ["take one", "take two"] {
        let new = json!({"text": text, "accounts": ["acme"], "schedule": {"kind": "now"}});
        site.post("/api/posts", new).await.is(201);
    }
    let both = |body: &serde_json::Value| body["items"].as_array().unwrap().len() == 2;
    let all = site.until("/api/publications", both).await;

    for publication in all["items"].as_array().unwrap() {
        let (id, job) = (&publication["id"], publication["job_id"].as_str().unwrap());
        let found = site.get(&format!("/api/publications?job={job}")).await.is(200).body;
        assert_eq!(found["items"], json!([publication]));
        let told = format!("/api/analytics/publications/{}", id.as_str().unwrap());
        let told = site.get(&told).await.is(200).body;
        assert_eq!(told["post_id"], publication["post_id"]);
        assert!(told["gist"].as_str().unwrap().starts_with("take "), "{told}");
    }
    let none = "/api/publications?job=01890000-0000-7000-8000-000000000000";
    assert_eq!(site.get(none).await.is(200).body["items"], json!([]));
}
