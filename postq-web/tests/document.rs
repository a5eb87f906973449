//! The document is OpenAPI 3.1, and says what the router does.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;

use support::Site;

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_whole() {
    let site = Site::still().await;
    let answer = site.get("/api/openapi.json").await.is(200);
    let document = answer.body.clone();

    assert_eq!(answer.header("content-type"), "application/json");
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(!document["info"]["version"].as_str().unwrap().is_empty());
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    assert!(all.len() > 30, "{} references", all.len());
    for reference in all {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{what}: {id} is there twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
            assert!(operation["security"].is_array(), "{what} names its scope");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what}");
            assert!(responses.contains_key("default"), "{what}");
            let tag = &operation["tags"][0];
            let tags = document["tags"].as_array().unwrap();
            assert!(tags.iter().any(|known| known["name"] == *tag), "{what}: {tag}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let has =
                |name: &str| parameters.iter().any(|p| p["name"] == name && p["in"] == "path");
            assert_eq!(path.contains("{id}"), has("id"), "{what}");
            let keyed = |p: &Value| p["$ref"] == "#/components/parameters/IdempotencyKey";
            // A file is read as it comes: the same one again is the same file.
            let is_kept = method == "post" && path != "/api/media";
            assert_eq!(is_kept, parameters.iter().any(keyed), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_every_operation_and_loads_nothing() {
    let site = Site::still().await;
    let document = site.get("/api/openapi.json").await.is(200).body;
    let page = site.get("/api/docs").await.is(200);

    for path in document["paths"].as_object().unwrap().keys() {
        assert!(page.text.contains(&format!("</b> {path}</code>")), "{path}");
    }
    let mut all = BTreeSet::new();
    references(&document, &mut all);
    for reference in all {
        let name = reference.rsplit('/').next().unwrap();
        assert!(
            page.text.contains(&format!("<a href=\"#{name}\">{name}</a>")),
            "{name} leads there"
        );
        assert!(page.text.contains(&format!(" id=\"{name}\">")), "{name} is shown");
    }
    for told in
        ["Authorization: Bearer TOKEN", "postqd token create", "Idempotency-Key", "If-Match"]
    {
        assert!(page.text.contains(told), "{told}");
    }
    for foreign in ["<script", "src=", "@import", "url(", "https://", "http://"] {
        assert!(!page.text.contains(foreign), "{foreign}");
    }
    let policy = page.header("content-security-policy");
    assert!(policy.contains("style-src 'sha256-"), "{policy}");
}
