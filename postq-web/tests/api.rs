//! What the API does, end to end: from a post that is handed in to its publication.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use postq_core::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use support::{Answer, Site};

const SOON: &str = "2099-01-01T09:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_taken_in_published_and_shown() {
    let site = Site::running().await;
    site.recorder_account().await;

    let new = json!({"text": "hello", "accounts": ["acme"], "schedule": {"kind": "now"}});
    let made = site.post("/api/posts", new).await.is(201);
    let id = made.id();
    assert_eq!(made.header("location"), format!("/api/posts/{id}"));
    assert_eq!(made.header("etag"), "\"1\"");
    let path = format!("/api/posts/{id}");
    let post = site.until(&path, |post| post["state"] == "published").await;
    assert_eq!(post["parts"], json!([{"text": "hello"}]));

    let jobs = site.get(&format!("/api/jobs?post={id}")).await.is(200);
    let job = jobs.body["items"][0]["id"].as_str().unwrap();
    let story = site.get(&format!("/api/jobs/{job}")).await.is(200).body;
    assert_eq!(story["job"]["state"], "succeeded");
    assert_eq!(story["evidence"][0]["state"], "published");
    let to: Vec<&str> =
        story["events"].as_array().unwrap().iter().map(|e| e["to"].as_str().unwrap()).collect();
    assert_eq!(to, ["planned", "enqueued", "running", "succeeded"]);
    let events = site.get(&format!("/api/jobs/{job}/events")).await.is(200).body;
    assert_eq!(events["items"], story["events"]);
    let status = site.get(&format!("/api/jobs/{job}/status")).await.is(200).body;
    assert_eq!((&status["ended"], &status["state"]), (&json!(true), &json!("succeeded")));
    let publications = site.get("/api/publications").await.is(200).body;
    assert_eq!(publications["items"][0]["post_id"], json!(id));
    assert_eq!(publications["items"][0]["parts"][0]["dry_run"], json!(false));
    let retry = site.post(&format!("/api/jobs/{job}/retry"), json!({})).await;
    retry.refused(409, "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_keeps_its_accounts_and_goes_out_when_it_is_executed() {
    let site = Site::running().await;

    let draft = json!({"text": "later", "accounts": ["dry_run:a", "dry_run:b"]});
    let made = site.post("/api/posts", draft).await.is(201);
    assert_eq!(made.body["state"], "draft");
    let path = format!("/api/posts/{}", made.id());
    let executed = site.post(&format!("{path}/execute"), json!({})).await.is(202);

    assert_eq!(executed.body["jobs"].as_array().unwrap().len(), 2);
    site.until(&path, |post| post["state"] == "published").await;
    let bare = site.post("/api/posts", json!({"text": "nobody's"})).await.is(201);
    let nowhere = site.request(Method::POST, &format!("/api/posts/{}/execute", bare.id()));
    let nowhere = Answer::of(nowhere.send().await.unwrap()).await;
    assert_eq!(nowhere.refused(422, "invalid").body["field"], "accounts");
}

#[tokio::test(flavor = "multi_thread")]
async fn executing_takes_the_place_of_a_later_time_and_not_of_a_repetition() {
    let site = Site::running().await;
    let new =
        |schedule: Value| json!({"text": "x", "accounts": ["dry_run:a"], "schedule": schedule});
    let once = site.post("/api/posts", new(json!({"kind": "one_shot", "at": SOON}))).await.is(201);
    let again = json!({"kind": "interval", "every": "1d", "anchor": SOON});
    let again = site.post("/api/posts", new(again)).await.is(201);

    for (post, instead) in [(&once, 1), (&again, 0)] {
        let path = format!("/api/posts/{}", post.id());
        let executed = site.post(&format!("{path}/execute"), json!({})).await.is(202).body;
        assert_eq!(executed["instead_of"].as_array().unwrap().len(), instead);
        let job = executed["jobs"][0].as_str().unwrap();
        site.until(&format!("/api/jobs/{job}/status"), |job| job["state"] == "succeeded").await;
        let schedules = site.get(&path).await.is(200).body["schedules"].clone();
        assert_eq!(schedules[0]["enabled"], json!(instead == 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_told_at_once() {
    let site = Site::still().await;
    site.recorder_account().await;

    let bad = json!({
        "text": "x".repeat(101),
        "accounts": ["acme", "nobody"],
        "schedule": {"kind": "one_shot", "at": "2001-01-01T00:00:00Z"},
    });
    let refused = site.post("/api/posts", bad).await.refused(422, "invalid");

    let fields: Vec<&str> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["accounts", "text", "fit", "at"]);
    assert!(!refused.text.contains("xxxxx"), "the text is not told: {}", refused.text);
    let cases = [
        (json!({"text": "a", "txet": "b"}), "txet"),
        (json!({"text": "a", "parts": []}), "text"),
        (json!({}), "text"),
        (json!({"text": "a", "schedule": {"kind": "interval", "every": "soon"}}), "schedule.every"),
        (json!({"text": "a", "schedule": {"kind": "one_shot", "at": "noon"}}), "schedule.at"),
    ];
    for (body, field) in cases {
        let refused = site.post("/api/posts", body).await.refused(422, "invalid");
        assert_eq!(refused.body["field"], field, "{}", refused.text);
    }
    let form = site.request(Method::POST, "/api/posts").body("text=a");
    Answer::of(form.send().await.unwrap()).await.refused(415, "unsupported_media_type");
    let unknown = site.get("/api/posts?limit=5&page=2").await.refused(422, "invalid");
    assert_eq!(unknown.body["field"], "page");
    site.get("/api/posts/7").await.refused(400, "malformed");
    site.get("/api/nothing").await.refused(404, "no_such_path");
    site.delete("/api/posts").await.refused(405, "method_not_allowed");
    assert_eq!(site.get("/api/posts").await.is(200).body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_what_would_happen_and_writes_nothing() {
    let site = Site::still().await;
    site.recorder_account().await;

    let new = json!({
        "text": "x".repeat(101),
        "variants": {"dry_run": [{"text": "short"}]},
        "accounts": ["acme", "dry_run:a"],
        "schedule": {"kind": "interval", "every": "1d", "anchor": SOON, "count": 3},
    });
    let shown = site.post("/api/posts/preview", new).await.is(200).body;

    let platforms = shown["platforms"].as_array().unwrap();
    let of = |name: &str| platforms.iter().find(|p| p["platform"] == name).unwrap();
    assert_eq!(of("recorder")["violations"][0]["message"], "text is 101 long, at most 100");
    assert_eq!(of("dry_run")["violations"], json!([]));
    assert_eq!(of("dry_run")["parts"][0]["text"], "short");
    assert_eq!(of("recorder")["lengths"], json!([{"length": 101, "limit": 100}]));
    assert_eq!(of("dry_run")["lengths"], json!([null]), "it counts nothing");
    let times = ["2099-01-01T09:00:00Z", "2099-01-02T09:00:00Z", "2099-01-03T09:00:00Z"];
    assert_eq!(shown["occurrences"], json!(times));
    let errors = shown["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors.iter().map(|one| one["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["text", "fit"], "what is wrong, and what can be done about it");
    assert_eq!(site.get("/api/posts").await.body["items"], json!([]));
    let accounts = site.get("/api/accounts").await.body;
    assert_eq!(accounts["items"].as_array().unwrap().len(), 1, "no dry-run account was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_what_was_seen_last() {
    let site = Site::still().await;
    let new = json!({
        "text": "one",
        "accounts": ["dry_run:a"],
        "schedule": {"kind": "one_shot", "at": SOON},
    });
    let post = site.post("/api/posts", new).await.is(201);
    let path = format!("/api/posts/{}", post.id());
    let change = async |path: &str, tag: &str, body: Value| {
        let request = site.request(Method::PATCH, path).header("if-match", tag).json(&body);
        Answer::of(request.send().await.unwrap()).await
    };

    let changed = change(&path, "\"1\"", json!({"text": "two"})).await.is(200);
    assert_eq!((changed.header("etag"), &changed.body["revision"]), ("\"2\"", &json!(2)));
    change(&path, "\"1\"", json!({"text": "lost"})).await.refused(412, "changed");
    change(&path, "two", json!({"text": "lost"})).await.refused(400, "bad_if_match");
    change(&path, "*", json!({"text": "three"})).await.is(200);
    site.patch(&path, json!({})).await.refused(422, "invalid");

    let schedule = post.body["schedules"][0]["id"].as_str().unwrap();
    let path = format!("/api/schedules/{schedule}");
    let tag = site.get(&path).await.is(200).header("etag").to_owned();
    let moved = json!({
        "schedule": {"kind": "one_shot", "at": "2099-02-01T09:00", "tz": "Europe/Berlin"},
        "priority": 7,
    });
    let moved = change(&path, &tag, moved).await.is(200);
    assert_eq!(moved.body["next_run_at"], "2099-02-01T08:00:00Z");
    assert_eq!((&moved.body["priority"], &moved.body["tz"]), (&json!(7), &json!("Europe/Berlin")));
    change(&path, &tag, json!({"priority": 9})).await.refused(412, "changed");
    let stale = site.request(Method::DELETE, &path).header("if-match", tag).send().await.unwrap();
    assert_eq!(stale.status(), 412);
    site.delete(&path).await.is(204);
    site.get(&path).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_added_switched_and_foretold() {
    let site = Site::still().await;
    let post = site.post("/api/posts", json!({"text": "again"})).await.is(201);

    let new = json!({
        "post_id": post.id(),
        "accounts": ["dry_run:a"],
        "schedule": {"kind": "interval", "every": "90m", "anchor": SOON},
        "misfire": {"policy": "fire_all", "most": 3},
    });
    let made = site.post("/api/schedules", new).await.is(201);
    let path = format!("/api/schedules/{}", made.id());
    assert_eq!(made.body["misfire"], json!({"policy": "fire_all", "most": 3}));
    assert_eq!(made.body["schedule"]["every"], "1h30m");
    let next = site.get(&format!("{path}/occurrences?limit=2")).await.is(200).body;
    assert_eq!(next["items"], json!(["2099-01-01T09:00:00Z", "2099-01-01T10:30:00Z"]));
    site.get(&format!("{path}/occurrences?limit=201")).await.refused(422, "invalid");

    let off = site.post(&format!("{path}/disable"), json!({})).await.is(200).body;
    assert_eq!(off["enabled"], false);
    assert_eq!(site.get(&format!("{path}/occurrences")).await.body["items"], json!([]));
    let on = site.post(&format!("{path}/enable"), json!({})).await.is(200).body;
    assert_eq!((&on["enabled"], &on["next_run_at"]), (&json!(true), &json!(SOON)));
    let preview = site.get(&format!("/api/posts/{}/preview", post.id())).await.is(200).body;
    assert_eq!(preview["occurrences"][0], SOON);
    let cancelled = site.post(&format!("/api/posts/{}/cancel", post.id()), json!({})).await.is(200);
    assert_eq!(cancelled.body["schedules"], 1);
    assert_eq!(site.get("/api/schedules").await.body["items"].as_array().unwrap().len(), 1);
    site.delete(&format!("/api/posts/{}", post.id())).await.is(204);
    assert_eq!(site.get("/api/schedules").await.body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_grouped_replayed_and_resolved() {
    let site = Site::running().await;
    site.recorder_account().await;
    for text in ["refuse one", "refuse two", "refuse three"] {
        let new = json!({"text": text, "accounts": ["acme"], "schedule": {"kind": "now"}});
        site.post("/api/posts", new).await.is(201);
    }

    let all = |body: &Value| body["items"].as_array().unwrap().len() == 3;
    let letters = site.until("/api/dead-letters", all).await;
    let id = |n: usize| letters["items"][n]["id"].as_str().unwrap().to_owned();
    let causes = site.get("/api/dead-letters/causes").await.is(200).body;
    assert_eq!(causes["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&causes["items"][0]["count"], &causes["items"][0]["dead_reason"]),
        (&json!(3), &json!("content"))
    );

    let replay = format!("/api/dead-letters/{}/replay", id(0));
    let first = site.post(&replay, json!({})).await.is(200).body;
    let again = site.post(&replay, json!({})).await.is(200).body;
    assert_eq!(first["job"], again["job"], "a letter is replayed once");
    let resolve = format!("/api/dead-letters/{}/resolve", id(1));
    let discard = json!({"resolution": "discarded"});
    let resolved = site.post(&resolve, discard.clone()).await.is(200).body;
    assert_eq!(resolved["resolution"], "discarded");
    site.post(&resolve, discard).await.is(200);
    let published = json!({"resolution": "marked_published"});
    site.post(&resolve, published).await.refused(409, "already_resolved");
    site.post(&resolve, json!({"resolution": "gone"})).await.refused(422, "invalid");
    site.post(&format!("/api/dead-letters/{}/replay", id(1)), json!({}))
        .await
        .refused(409, "already_resolved");

    let job = first["job"].as_str().unwrap();
    site.until(&format!("/api/jobs/{job}/status"), |job| job["state"] == "dead_letter").await;
    let bulk = json!({"dead_reason": "content", "account": "acme"});
    let bulk = site.post("/api/dead-letters/replay", bulk).await.is(200).body;
    assert_eq!(bulk["replayed"].as_array().unwrap().len(), 2, "{bulk}");
    assert_eq!((&bulk["left_out"], &bulk["more"]), (&json!(0), &json!(false)));
    let unknown = json!({"dead_reason": "boredom"});
    let refused = site.post("/api/dead-letters/replay", unknown).await.refused(422, "invalid");
    assert!(refused.text.contains(r#"\"boredom\" is no reason"#), "{}", refused.text);
    let everything = site.get("/api/dead-letters?all=true").await.is(200).body;
    assert!(everything["items"].as_array().unwrap().len() >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_connected_paused_and_removed() {
    let site = Site::still().await;
    let id = site.recorder_account().await;
    let path = format!("/api/accounts/{id}");

    let shown = site.get(&path).await.is(200);
    assert_eq!(shown.body["has_credentials"], true);
    assert!(!shown.text.contains("t0ken"), "{}", shown.text);
    let again = json!({"platform": "recorder", "name": "acme", "access_token": "s3cret"});
    let taken = site.post("/api/accounts", again).await.refused(409, "conflict");
    assert!(!taken.text.contains("s3cret"));
    let cases = [
        (json!({"platform": "recorder", "name": "b"}), "access_token"),
        (json!({"platform": "recorder", "name": "b", "access_token": 12345}), "secret"),
        (json!({"platform": "recoder", "name": "b"}), "did you mean"),
        (json!({"platform": "dry_run", "name": " b"}), "characters"),
    ];
    for (body, expected) in cases {
        let refused = site.post("/api/accounts", body).await.refused(422, "invalid");
        assert!(
            refused.text.contains(expected) && !refused.text.contains("12345"),
            "{}",
            refused.text
        );
    }

    let note = json!({"note": "holiday", "until": "2099-01-01T00:00:00Z"});
    let paused = site.post(&format!("{path}/pause"), note).await.is(200).body;
    assert_eq!(
        (&paused["blocks"][0]["reason"], &paused["blocks"][0]["note"]),
        (&json!("paused"), &json!("holiday"))
    );
    let resumed = site.post(&format!("{path}/resume"), json!({})).await.is(200).body;
    assert_eq!(resumed["blocks"], json!([]));
    let seen = shown.header("etag").to_owned();
    let changed = site.patch(&path, json!({"on_unknown": "resend"})).await.is(200);
    assert_eq!(changed.body["on_unknown"], "resend");
    let stale = site.request(Method::DELETE, &path).header("if-match", seen).send().await.unwrap();
    assert_eq!(stale.status(), 412);

    // With another token, what was known of the end of the old one is not known any more.
    let ends = json!("2030-01-01T00:00:00Z");
    for (change, expected) in [
        (json!({"token_expires_at": ends}), &ends),
        (json!({"on_unknown": "hold"}), &ends),
        (json!({"access_token": "n3w"}), &Value::Null),
        (json!({"access_token": "n3w", "token_expires_at": ends}), &ends),
    ] {
        assert_eq!(&site.patch(&path, change).await.is(200).body["token_expires_at"], expected);
    }

    let later =
        json!({"text": "x", "accounts": ["acme"], "schedule": {"kind": "one_shot", "at": SOON}});
    let post = site.post("/api/posts", later).await.is(201);
    site.delete(&path).await.refused(409, "in_use");
    site.delete(&format!("/api/posts/{}", post.id())).await.is(204);
    site.delete(&path).await.is(204);
    site.get(&path).await.refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installation_tells_how_it_is() {
    let site = Site::running().await;
    let new = json!({"text": "x", "accounts": ["dry_run:a"], "schedule": {"kind": "now"}});
    let post = site.post("/api/posts", new).await.is(201).id();
    site.until(&format!("/api/posts/{post}"), |post| post["state"] == "published").await;

    let ready = site.until("/readyz", |ready| ready["status"] == "ready").await;
    assert_eq!(ready["reasons"], json!([]));
    assert_eq!(site.get("/healthz").await.is(200).body["status"], "alive");
    let stats = site.get("/api/posts/scheduler/stats").await.is(200).body;
    let publish = &stats["topics"][0];
    assert_eq!((&publish["topic"], &publish["completed"]), (&json!("publish"), &json!(1)));
    assert_eq!(
        (&publish["waiting"], &publish["delayed"], &publish["failed"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let nodes = site.get("/api/nodes").await.is(200).body;
    let loops = nodes["items"][0]["loops"].as_array().unwrap();
    assert!(loops.iter().any(|l| l["name"] == "planner" && l["fresh"] == true), "{nodes}");
    let queue = site.get("/api/queue/health").await.is(200).body;
    assert_eq!((&queue["health"]["status"], &queue["queue"]), (&json!("ready"), &Value::Null));
    assert_eq!(
        site.get("/api/about").await.is(200).body["platforms"],
        json!(["dry_run", "recorder"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_without_its_engine_or_its_store() {
    let site = Site::still().await;
    let waiting = site.get("/readyz").await.is(503).body;
    assert_eq!(waiting["reasons"], json!(["the engine has not started"]));
    site.get("/healthz").await.is(200);

    let site = Site::running().await;
    site.until("/readyz", |ready| ready["status"] == "ready").await;
    let token = site.token(Scope::Read).await;
    site.store.close().await.unwrap();
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while site.get("/readyz").await.status != 503 {
        assert!(std::time::Instant::now() < deadline, "it is not ready without its store");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let gone = site.request(Method::GET, "/api/posts").bearer_auth(token).send().await.unwrap();
    let gone = Answer::of(gone).await.refused(503, "unavailable");
    assert_eq!(gone.header("retry-after"), "1");
    assert!(!gone.text.contains("postq.db"), "{}", gone.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_follows_cron_and_recurrences() {
    let site = Site::still().await;
    let new =
        |schedule: Value| json!({"text": "x", "accounts": ["dry_run:a"], "schedule": schedule});
    let cron = json!({"kind": "cron", "expr": "0 9 * * 1-5", "tz": "Europe/Berlin", "from": "2050-01-02T00:00"});
    let rrule = json!({"kind": "rrule", "expr": "DTSTART;TZID=Europe/Berlin:20500103T090000\nRRULE:FREQ=WEEKLY;COUNT=2"});

    for (schedule, kind, times) in [
        (cron, "cron", ["2050-01-03T08:00:00Z", "2050-01-04T08:00:00Z"]),
        (rrule, "rrule", ["2050-01-03T08:00:00Z", "2050-01-10T08:00:00Z"]),
    ] {
        let preview = site.post("/api/posts/preview", new(schedule.clone())).await.is(200).body;
        assert_eq!(preview["errors"], json!([]));
        assert_eq!(preview["occurrences"].as_array().unwrap()[..2], times);
        let made = site.post("/api/posts", new(schedule)).await.is(201).body;
        assert_eq!(made["schedules"][0]["schedule"]["kind"], kind);
        let path = format!("/api/schedules/{}", made["schedules"][0]["id"].as_str().unwrap());
        let next = site.get(&format!("{path}/occurrences?limit=2")).await.is(200).body;
        assert_eq!(next["items"], json!(times));
    }
    let bad = new(json!({"kind": "cron", "expr": "61 * * * *", "tz": "UTC"}));
    let refused = site.post("/api/posts", bad).await.refused(422, "invalid");
    assert_eq!(refused.body["field"], "cron", "{}", refused.text);
    site.recorder_account().await;
    let often = json!({
        "text": "x", "accounts": ["acme"],
        "schedule": {"kind": "interval", "every": "10s", "anchor": SOON},
    });
    site.post("/api/posts", often.clone()).await.refused(422, "invalid");
    let preview = site.post("/api/posts/preview", often).await.is(200).body;
    assert_eq!(preview["errors"][0]["field"], "every");
    assert_eq!(preview["occurrences"].as_array().unwrap().len(), 10, "shown all the same");
}
