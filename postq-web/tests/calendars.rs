//! Calendars that are imported, rules that are previewed, and exceptions to schedules.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use reqwest::Method;
use serde_json::{Value, json};

use support::{Answer, Plan, Site};

const CALENDAR: &str = "key,at,accounts,text\na,2100-01-01T09:00Z,dry_run:a,one\n";

fn calendar(text: &str) -> Value {
    json!({"name": "c.csv", "text": text})
}

async fn posts(site: &Site) -> usize {
    let all = site.get("/api/posts?limit=500").await.is(200).body;
    all["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_told_of_and_loaded() {
    let site = Site::still().await;
    let import = async |body: Value| site.post("/api/import", body).await.is(200).body;

    let told = import(json!({"files": [calendar(CALENDAR)]})).await;
    assert_eq!(told["applied"], false);
    let row = &told["rows"][0];
    assert_eq!(row["place"], json!({"file": "c.csv", "line": 2}), "{told}");
    assert_eq!((&row["action"], &row["key"]), (&json!("load"), &json!("a")));
    assert_eq!(row["first"], "2100-01-01T09:00:00Z");
    assert_eq!(row["message"], "new, first at 2100-01-01 09:00:00 UTC");
    assert_eq!(posts(&site).await, 0, "nothing is written");

    let loaded = import(json!({"files": [calendar(CALENDAR)], "apply": true})).await;
    assert_eq!(loaded["applied"], true);
    let post = loaded["rows"][0]["post"].as_str().unwrap();
    let found = site.get("/api/posts?key=a").await.is(200).body;
    assert_eq!(found["items"][0]["id"], post);
    assert_eq!(found["items"][0]["schedules"][0]["id"], loaded["rows"][0]["schedules"][0]);
    assert_eq!(site.get("/api/posts?key=b").await.is(200).body["items"], json!([]));

    let known = import(json!({"files": [calendar(CALENDAR)], "apply": true})).await;
    assert_eq!(known["rows"][0]["action"], "keep");
    assert_eq!(known["rows"][0]["state"], "scheduled");
    let changed = calendar(&CALENDAR.replace("one", "uno"));
    let changed = import(json!({"files": [changed], "apply": true})).await;
    assert_eq!(changed["rows"][0]["what"], json!(["text"]));
    assert_eq!(site.get("/api/posts?key=a").await.body["items"][0]["parts"][0]["text"], "uno");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_bad_row_nothing_is_loaded_but_on_purpose() {
    let site = Site::still().await;
    let bad = format!("{CALENDAR}b,never,dry_run:a,x\n");
    let base64 = json!({"name": "latin.csv", "base64": "a2V5LGF0LGFjY291bnRzLHRleHQK6Q=="});
    let body = json!({"files": [calendar(&bad), base64], "apply": true});

    let refused = site.post("/api/import", body).await.is(200).body;
    assert_eq!(refused["applied"], false);
    let problem = &refused["problems"][0];
    assert_eq!(problem["place"], json!({"file": "c.csv", "line": 3, "column": 3}));
    assert_eq!((&problem["field"], &problem["extent"]), (&json!("at"), &json!("row")));
    assert!(problem["message"].as_str().unwrap().contains("is no time"));
    let problem = &refused["problems"][1];
    assert_eq!(problem["place"], json!({"file": "latin.csv", "line": 2}));
    assert_eq!(problem["extent"], "file");
    assert_eq!(posts(&site).await, 0);

    let body = json!({"files": [calendar(&bad)], "apply": true, "skip_bad": true});
    let skipped = site.post("/api/import", body).await.is(200).body;
    assert_eq!(skipped["applied"], true);
    assert_eq!(skipped["problems"].as_array().unwrap().len(), 1);
    assert_eq!(posts(&site).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_cannot_be_is_refused() {
    let settings = postq_web::Settings { most_import: 10_000, ..postq_web::Settings::default() };
    let site = Site::with(Plan { settings, runs: false, ..Plan::default() }).await;
    let import = async |body: Value| site.post("/api/import", body).await;

    for (body, field) in [
        (json!({"files": []}), "files"),
        (json!({"files": [{"name": "c.csv"}]}), "files"),
        (json!({"files": [{"name": "c.csv", "text": "", "base64": ""}]}), "files"),
        (json!({"files": [{"name": "c.csv", "base64": "&"}]}), "files"),
        (json!({"files": [{"name": "c\n.csv", "text": ""}]}), "files"),
        (json!({"files": [calendar(CALENDAR)], "aply": true}), "aply"),
        (json!({}), "files"),
    ] {
        let refused = import(body.clone()).await.refused(422, "invalid");
        assert_eq!(refused.body["field"], field, "{body}");
    }
    let large = calendar(&"x".repeat(10_000));
    let large = json!({"files": [large]});
    import(large.clone()).await.refused(413, "too_large");
    let keyed = site.request(Method::POST, "/api/import").header("idempotency-key", "k");
    Answer::of(keyed.json(&large).send().await.unwrap()).await.refused(413, "too_large");
    let text = site.request(Method::POST, "/api/import").body("key,at\n");
    Answer::of(text.send().await.unwrap()).await.refused(415, "unsupported_media_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_import_under_a_key_is_done_once_and_answered_in_short() {
    let site = Site::still().await;
    // Without keys: done again they would be other posts. Larger than any other body.
    let text = "x".repeat(300);
    let rows: String =
        (0..3_000).map(|n| format!("2100-01-01T09:00Z,dry_run:a,{n} {text}\n")).collect();
    let body = json!({"files": [calendar(&format!("at,accounts,text\n{rows}"))], "apply": true});
    let send = async || {
        let request = site.request(Method::POST, "/api/import").header("idempotency-key", "k");
        Answer::of(request.json(&body).send().await.unwrap()).await.is(200)
    };

    let first = send().await.body;
    let again = send().await;

    assert_eq!(first["rows"].as_array().unwrap().len(), 3_000);
    assert_eq!((&first["applied"], &first["left_out"]), (&json!(true), &json!(0)));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.body["applied"], true);
    let kept = again.body["rows"].as_array().unwrap();
    assert_eq!(kept[..], first["rows"].as_array().unwrap()[..1_000]);
    assert!(again.body["left_out"].as_u64().unwrap() >= 2_000, "{}", again.body["left_out"]);
    let (mut all, mut next) = (0, String::new());
    while let page = site.get(&format!("/api/posts?limit=500{next}")).await.is(200).body
        && let Some(cursor) = page["next"].as_str()
    {
        all += page["items"].as_array().unwrap().len();
        next = format!("&cursor={cursor}");
    }
    assert_eq!(all, 2_500, "and one page more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_previewed() {
    let site = Site::still().await;
    let preview = async |body: Value| site.post("/api/preview", body).await;
    let rule = json!({
        "kind": "cron", "expr": "30 2 * * *", "tz": "America/New_York",
        "after": "2026-03-07T12:00:00Z", "count": 2,
    });

    let shown = preview(rule).await.is(200).body;

    assert_eq!(shown["occurrences"], json!(["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]));
    assert!(shown["explanation"].as_str().unwrap().starts_with("at 02:30"), "{shown}");
    assert_eq!(shown["tz"], "America/New_York");
    for (body, field) in [
        (json!({"kind": "moon", "expr": "full"}), "kind"),
        (json!({"kind": "cron", "expr": "61 * * * *", "tz": "UTC"}), "expr"),
        (json!({"kind": "interval", "expr": "90m", "after": "later"}), "after"),
        (json!({"kind": "interval", "expr": "90m", "count": 10_001}), "count"),
        (json!({"kind": "interval", "expr": "90m", "cuont": 1}), "cuont"),
    ] {
        let refused = preview(body.clone()).await.refused(422, "invalid");
        assert_eq!(refused.body["field"], field, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occurrence_is_left_out_and_another_one_edited() {
    let site = Site::still().await;
    let parts = json!([{"text": "yearly", "media": []}]);
    let new = json!({
        "parts": parts, "accounts": ["dry_run:a"],
        "schedule": {"kind": "cron", "expr": "0 9 1 1 *", "tz": "Europe/Berlin"},
    });
    let post = site.post("/api/posts", new).await.is(201).body;
    let path = format!("/api/schedules/{}", post["schedules"][0]["id"].as_str().unwrap());
    let ask = async |what: &str, body: Value| site.post(&format!("{path}/{what}"), body).await;

    let skipped = ask("skip", json!({"at": "2098-01-01T09:00"})).await.is(200).body;
    assert_eq!(skipped, json!({"at": "2098-01-01T08:00:00Z"}), "in the schedule's zone");
    ask("skip", json!({"at": "2098-01-01T08:00:00Z"})).await.is(200);
    ask("skip", json!({"at": "2098-01-01T10:00"})).await.refused(422, "invalid");
    let bad = ask("skip", json!({"at": "soon"})).await.refused(422, "invalid");
    assert_eq!(bad.body["field"], "at");

    let change = json!({"at": "2099-01-01T09:00", "text": "new", "to": "2099-01-01T12:00"});
    let edited = ask("edit-occurrence", change.clone()).await.is(200).body;
    assert_eq!(edited["first"], "2099-01-01T11:00:00Z");
    assert_eq!(ask("edit-occurrence", change).await.is(200).body, edited, "again, the same");
    let stand_in = format!("/api/posts/{}", edited["post"].as_str().unwrap());
    assert_eq!(site.get(&stand_in).await.is(200).body["parts"], json!([{"text": "new"}]));
    let nothing = json!({"at": "2099-01-01T09:00"});
    ask("edit-occurrence", nothing).await.refused(422, "invalid");

    let paused = ask("pause", json!({"until": "2097-06-01T00:00"})).await.is(200).body;
    assert_eq!(paused["next_run_at"], "2098-01-01T08:00:00Z");
    let shown = site.get(&format!("{path}/occurrences?limit=1")).await.is(200).body;
    assert_eq!(shown["skipped"], json!(["2098-01-01T08:00:00Z", "2099-01-01T08:00:00Z"]));
    assert_eq!(shown["items"], json!(["2100-01-01T08:00:00Z"]));
    ask("pause", json!({"until": "2001-01-01T00:00"})).await.refused(422, "invalid");
    let gone = "/api/schedules/0191e0f0-0000-7000-8000-000000000000/skip";
    site.post(gone, json!({"at": "2098-01-01T09:00Z"})).await.refused(404, "not_found");
}
