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
