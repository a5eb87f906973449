//! What people are told of platforms, and what becomes of posts that need more than a text: their options,
//! texts that are too long, rules of the platform's own, days that are full.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use postq_core::content::Draft;
use postq_core::failure::Failure;
use postq_core::options::{OptionField, OptionKind};
use postq_core::platform::{
    Identity, Length, Measure, Outgoing, Pace, Platform, PlatformName, Preflight, Published,
    Violation,
};
use serde_json::{Value, json};

use support::{Answer, Plan, Site};

const OPTIONS: [OptionField; 5] = [
    OptionField::new("board", OptionKind::Text { most: 10 }, "where it hangs").required(),
    OptionField::new("large", OptionKind::Flag, "over two columns"),
    OptionField::new("days", OptionKind::Number { least: 1, most: 30 }, "how long it hangs"),
    OptionField::new("look", OptionKind::Choice { of: &["plain", "loud"] }, "its paper"),
    OptionField::new("words", OptionKind::List { most: 2 }, "what it is found by"),
];

/// A notice board: it takes threads of three parts of 40 characters, two posts of an account in a day, and
/// nothing about cats while they are not allowed.
#[derive(Debug)]
struct Board {
    name: PlatformName,
    without_cats: AtomicBool,
}

#[async_trait]
impl Platform for Board {
    fn name(&self) -> &PlatformName {
        &self.name
    }

    fn pace(&self) -> Pace {
        Pace { daily: NonZeroU32::new(2), ..Pace::default() }
    }

    fn validate(&self, draft: Draft<'_>) -> Vec<Violation> {
        let long = draft.parts.iter().filter(|part| part.text.chars().count() > 40);
        long.map(|_| Violation { part: 0, message: "text is too long, at most 40".into() })
            .collect()
    }

    fn options(&self) -> &'static [OptionField] {
        &OPTIONS
    }

    fn most_parts(&self) -> usize {
        3
    }

    fn measure(&self) -> Option<&dyn Measure> {
        Some(self)
    }

    fn preflight(&self) -> Option<&dyn Preflight> {
        Some(self)
    }

    async fn publish<'a>(&self, _: &Identity, _: Outgoing<'a>) -> Result<Published, Failure> {
        panic!("nothing is due here")
    }
}

impl Measure for Board {
    fn measure(&self, text: &str) -> Length {
        Length { length: text.chars().count(), limit: 40 }
    }
}

#[async_trait]
impl Preflight for Board {
    async fn check<'a>(&self, _: &Identity, draft: Draft<'a>) -> Result<Vec<Violation>, Failure> {
        let is_cat = draft.options.text("board") == Some("cats");
        let refused = is_cat && self.without_cats.load(Ordering::Relaxed);
        let message = "the board \"cats\" takes nothing new; choose another".to_owned();
        Ok(if refused { vec![Violation { part: 0, message }] } else { Vec::new() })
    }

    async fn advice<'a>(&self, _: &Identity, draft: Draft<'a>) -> Result<Vec<String>, Failure> {
        let board = draft.options.text("board").unwrap_or_default();
        Ok(vec![format!("On {board}: <b>no</b> shouting"), "Be kind".to_owned()])
    }
}

/// A site with the accounts `hall` on the notice board and `acme` on a platform that wants nothing else.
async fn site() -> (Site, Arc<Board>) {
    let board =
        Arc::new(Board { name: "board".parse().unwrap(), without_cats: AtomicBool::new(false) });
    let platforms: Vec<Arc<dyn Platform>> = vec![Arc::clone(&board) as Arc<dyn Platform>];
    let site = Site::with(Plan { platforms, ..Plan::default() }).await;
    site.recorder_account().await;
    let hall = json!({"platform": "board", "name": "hall", "access_token": "t0ken-of-hall"});
    site.post("/api/accounts", hall).await.is(201);
    (site, board)
}

/// A post to the hall at a time that is far away.
fn notice(options: &Value) -> Value {
    json!({
        "text": "The stove is repaired.", "accounts": ["hall"], "options": options,
        "schedule": {"kind": "one_shot", "at": "2100-01-07T09:00:00Z"},
    })
}

#[track_caller]
fn told(answer: &Answer) -> Vec<(String, String)> {
    let errors = answer.body["errors"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    errors.iter().map(|one| (text(one, "field"), text(one, "message"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_tells_what_it_can_do() {
    let (site, _) = site().await;

    let all = site.get("/api/platforms").await.is(200).body;

    let names: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["platform"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["board", "dry_run", "recorder"]);
    let board = &all["items"][0];
    assert_eq!(
        (&board["text"], &board["parts"], &board["daily"]),
        (&json!(40), &json!(3), &json!(2))
    );
    assert_eq!((&board["preflight"], &board["media"]), (&json!(true), &json!(null)));
    let option = |at: usize| {
        let one = &board["options"][at];
        (one["kind"].as_str().unwrap(), one["least"].as_i64(), one["most"].as_i64())
    };
    assert_eq!(board["options"][0]["name"], "board");
    assert_eq!(board["options"][0]["required"], true);
    assert_eq!(board["options"][0]["about"], "where it hangs");
    assert_eq!(option(0), ("text", None, Some(10)));
    assert_eq!(option(1), ("flag", None, None));
    assert_eq!(option(2), ("number", Some(1), Some(30)));
    assert_eq!(option(3), ("choice", None, None));
    assert_eq!(board["options"][3]["choices"], json!(["plain", "loud"]));
    assert_eq!(option(4), ("list", None, Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_taken_in_shown_and_changed() {
    let (site, _) = site().await;
    let options = json!({"board": {"board": "stoves", "large": true, "days": 7, "look": "loud", "words": ["a", "b"]}});

    let made = site.post("/api/posts", notice(&options)).await.is(201);

    let path = format!("/api/posts/{}", made.id());
    assert_eq!(made.body["options"], options);
    assert_eq!(site.get(&path).await.is(200).body["options"], options);
    let less = json!({"board": {"board": "ovens"}});
    let changed = site.patch(&path, json!({"options": less})).await.is(200);
    assert_eq!(changed.body["options"], less);
    assert_eq!(changed.body["revision"], 2);
    // Another text leaves them as they are; none at all leaves out what is needed.
    let changed = site.patch(&path, json!({"text": "The stove is here."})).await.is(200);
    assert_eq!(changed.body["options"], less);
    let refused = site.patch(&path, json!({"options": {}})).await.refused(422, "invalid");
    assert_eq!(refused.body["field"], "options.board.board");
    let expected = "is missing: where it hangs".to_owned();
    assert_eq!(told(&refused), [("options.board.board".to_owned(), expected)]);
    assert_eq!(site.get(&path).await.body["options"], less);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_options_names_the_field_and_what_would_be_right() {
    let (site, _) = site().await;

    for (options, field, message) in [
        (json!({}), "options.board.board", "is missing: where it hangs"),
        (json!({"board": {"board": ""}}), "options.board.board", "is missing: where it hangs"),
        (
            json!({"board": {"board": "a", "lage": true}}),
            "options.board.lage",
            "is not known; expected board, large, days, look, words",
        ),
        (
            json!({"board": {"board": "a", "large": "yes"}}),
            "options.board.large",
            "is \"yes\", expected true or false",
        ),
        (
            json!({"board": {"board": "a", "days": 31}}),
            "options.board.days",
            "is \"31\", expected 1 to 30",
        ),
        (
            json!({"board": {"board": "a", "look": "red"}}),
            "options.board.look",
            "is \"red\", expected plain, loud",
        ),
        (
            json!({"board": {"board": "a", "words": ["a", "b", "c"]}}),
            "options.board.words",
            "has 3 entries, at most 2",
        ),
        (json!({"board": {"board": 5}}), "options.board.board", "is \"5\", expected a text"),
        (
            json!({"board": {"board": "a"}, "bord": {"a": 1}}),
            "options.bord",
            "unknown platform \"bord\"; did you mean \"board\"?; there is board, dry_run, recorder",
        ),
        (
            json!({"board": {"board": "a"}, "recorder": {"a": 1}}),
            "options.recorder",
            "none of the accounts is on recorder; add one, or leave the options out",
        ),
    ] {
        let refused = site.post("/api/posts", notice(&options)).await.refused(422, "invalid");
        let all = told(&refused);
        assert!(all.contains(&(field.to_owned(), message.to_owned())), "{options}: {all:?}");
        let preview = site.post("/api/posts/preview", notice(&options)).await.is(200);
        assert_eq!(told(&preview), all, "{options}");
    }
    for options in [json!({"board": {"board": {"a": 1}}}), json!({"board": {"board": 1.5}})] {
        let refused = site.post("/api/posts", notice(&options)).await.refused(422, "invalid");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("true or false, a whole number, a text or a list"), "{detail}");
    }
    assert_eq!(site.get("/api/posts").await.body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_may_have_options_before_it_has_an_account() {
    let (site, _) = site().await;
    let draft = |options: Value| json!({"text": "Soon.", "options": options});

    let made = site.post("/api/posts", draft(json!({"board": {"board": "stoves"}}))).await.is(201);
    let bad = draft(json!({"board": {"bord": "stoves"}}));
    let refused = site.post("/api/posts", bad).await.refused(422, "invalid");

    assert_eq!(made.body["options"]["board"]["board"], "stoves");
    assert_eq!(refused.body["field"], "options.board.bord");
    // Each account gets a schedule of its own, whatever the others want to know.
    for account in ["hall", "acme"] {
        let at = json!({"kind": "one_shot", "at": "2100-01-07T09:00:00Z"});
        let schedule = json!({"post_id": made.id(), "accounts": [account], "schedule": at});
        site.post("/api/schedules", schedule).await.is(201);
    }
}

const LONG: &str =
    "The stove is repaired. It burns wood again, and no coal. Come and sit beside it.";

fn long(fit: &Value) -> Value {
    let mut new = notice(&json!({"board": {"board": "stoves"}}));
    new["text"] = LONG.into();
    new["fit"] = fit.clone();
    new
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_made_to_fit_as_it_was_previewed() {
    let (site, _) = site().await;
    let refused = site.post("/api/posts", long(&Value::Null)).await.refused(422, "invalid");
    let fields: Vec<String> = told(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["text", "fit"], "{}", refused.text);

    for (fit, texts, notice) in [
        ("shorten", vec!["The stove is repaired."], "shortened by 58 characters"),
        (
            "thread",
            vec![
                "The stove is repaired.",
                "It burns wood again, and no coal.",
                "Come and sit beside it.",
            ],
            "split to a thread of 3 parts",
        ),
    ] {
        let preview = site.post("/api/posts/preview", long(&fit.into())).await.is(200).body;
        assert_eq!(preview["errors"], json!([]), "{preview}");
        assert_eq!(preview["platforms"][0]["notice"], notice);

        let made = site.post("/api/posts", long(&fit.into())).await.is(201);

        assert_eq!(made.body["variants"]["board"], preview["platforms"][0]["parts"]);
        let parts = made.body["variants"]["board"].as_array().unwrap();
        assert_eq!(
            parts.iter().map(|part| part["text"].as_str().unwrap()).collect::<Vec<_>>(),
            texts
        );
        assert_eq!(made.body["parts"][0]["text"], LONG);
        assert_eq!(made.body["fitted"], json!({"board": fit}));
        site.delete(&format!("/api/posts/{}", made.id())).await.is(204);
    }
    let refused = site.post("/api/posts", long(&"tight".into())).await.refused(422, "invalid");
    assert!(refused.body["detail"].as_str().unwrap().contains("expected `shorten` or `thread`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_to_fit_is_made_again_of_another_text() {
    let (site, _) = site().await;
    let made = site.post("/api/posts", long(&"shorten".into())).await.is(201);
    let path = format!("/api/posts/{}", made.id());
    let texts = |answer: &Answer| -> Vec<String> {
        let parts = answer.body["variants"]["board"].as_array();
        let parts = parts.into_iter().flatten();
        parts.map(|part| part["text"].as_str().unwrap().to_owned()).collect()
    };
    let other = LONG.replace("stove", "oven");

    let changed = site.patch(&path, json!({"text": other})).await.is(200);
    assert_eq!(texts(&changed), ["The oven is repaired."]);
    let changed = site.patch(&path, json!({"fit": "thread"})).await.is(200);
    assert_eq!((texts(&changed).len(), &changed.body["fitted"]["board"]), (3, &json!("thread")));
    // A text of its own is one, and stays.
    let own = json!({"variants": {"board": [{"text": "My own."}]}});
    let changed = site.patch(&path, own).await.is(200);
    assert_eq!(
        (texts(&changed), &changed.body["fitted"]),
        (vec!["My own.".to_owned()], &json!({}))
    );
    let changed = site.patch(&path, json!({"text": LONG, "fit": "shorten"})).await.is(200);
    assert_eq!(texts(&changed), ["My own."]);
    let changed = site.patch(&path, json!({"variants": {}, "fit": "shorten"})).await.is(200);
    assert_eq!(texts(&changed), ["The stove is repaired."]);
    let link = format!("https://example.com/{}", "a".repeat(40));
    let refused = site.patch(&path, json!({"text": link})).await.refused(422, "invalid");
    assert_eq!(refused.body["field"], "fit");
    assert!(refused.body["detail"].as_str().unwrap().contains("is too long by itself"));
    site.patch(&path, json!({"text": LONG, "variants": {}})).await.refused(422, "invalid");
    let changed = site.patch(&path, json!({"text": "Short."})).await.is(200);
    assert_eq!(changed.body["variants"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platforms_own_rules_are_asked_for_whenever_a_post_changes() {
    let (site, board) = site().await;
    let cats = json!({"board": {"board": "cats"}});
    let stoves = json!({"board": {"board": "stoves"}});
    let told_so = "board: the board \"cats\" takes nothing new; choose another";
    board.without_cats.store(true, Ordering::Relaxed);

    let refused = site.post("/api/posts", notice(&cats)).await.refused(422, "invalid");
    assert_eq!(refused.body["detail"], told_so);
    let preview = site.post("/api/posts/preview", notice(&cats)).await.is(200);
    assert_eq!(told(&preview), [("text".to_owned(), told_so.to_owned())]);
    let made = site.post("/api/posts", notice(&stoves)).await.is(201);
    let path = format!("/api/posts/{}", made.id());
    let refused = site.patch(&path, json!({"options": cats})).await.refused(422, "invalid");
    assert_eq!(refused.body["detail"], told_so);
    // A post of another account that gets this one.
    let mut elsewhere = notice(&cats);
    elsewhere["accounts"] = json!([]);
    elsewhere.as_object_mut().unwrap().remove("schedule");
    let draft = site.post("/api/posts", elsewhere).await.is(201);
    let at = json!({"kind": "one_shot", "at": "2100-01-08T09:00:00Z"});
    let acme = json!({"post_id": draft.id(), "accounts": ["acme"], "schedule": at});
    let schedule = site.post("/api/schedules", acme).await.is(201);
    let path = format!("/api/schedules/{}", schedule.id());
    let refused = site.patch(&path, json!({"accounts": ["acme", "hall"]})).await;
    assert_eq!(refused.refused(422, "invalid").body["detail"], told_so);
    board.without_cats.store(false, Ordering::Relaxed);
    site.patch(&path, json!({"accounts": ["acme", "hall"]})).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_has_what_is_to_be_read_before() {
    let (site, _) = site().await;
    let mut new = notice(&json!({"board": {"board": "stoves"}}));
    new["accounts"] = json!(["hall", "acme"]);
    let advice = |preview: &Answer| -> Value {
        let platforms = preview.body["platforms"].as_array().unwrap().iter();
        let name = |one: &Value| one["platform"].as_str().unwrap().to_owned();
        platforms.map(|one| (name(one), one["advice"].clone())).collect()
    };
    let expected = json!({"board": ["On stoves: <b>no</b> shouting", "Be kind"], "recorder": []});

    let preview = site.post("/api/posts/preview", new.clone()).await.is(200);
    assert_eq!((told(&preview), advice(&preview)), (vec![], expected.clone()));

    let made = site.post("/api/posts", new).await.is(201);
    let preview = site.get(&format!("/api/posts/{}/preview", made.id())).await.is(200);
    assert_eq!(advice(&preview), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_full_is_told_before_anything_is_planned() {
    let (site, _) = site().await;
    let now = site.get("/api/limits").await.is(200).body["at"].as_str().unwrap().to_owned();
    let day = chrono::DateTime::parse_from_rfc3339(&now).unwrap() + chrono::TimeDelta::days(2);
    let at = |hours: i64| {
        let mut new = notice(&json!({"board": {"board": "stoves"}}));
        let at = (day + chrono::TimeDelta::hours(hours)).to_rfc3339();
        new["schedule"] = json!({"kind": "one_shot", "at": at, "tz": "Europe/Berlin"});
        new
    };
    let full = |answer: &Answer| {
        let all = told(answer);
        let [(field, message)] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(field, "at");
        for words in [
            "breaks board's daily limit",
            "would have 3 posts",
            "and board takes 2; choose another day",
        ] {
            assert!(message.contains(words), "{message}");
        }
        assert!(message.contains("Europe/Berlin"), "{message}");
    };
    let first = site.post("/api/posts", at(0)).await.is(201);
    site.post("/api/posts", at(2)).await.is(201);

    full(&site.post("/api/posts", at(1)).await.refused(422, "invalid"));
    full(&site.post("/api/posts/preview", at(1)).await.is(200));
    // The post itself makes way for where it goes.
    let own = format!("/api/posts/{}/preview", first.id());
    assert_eq!(told(&site.post(&own, at(1)).await.is(200)), []);
    let late = site.post("/api/posts", at(72)).await.is(201);
    let schedule = |post: &Answer| {
        format!("/api/schedules/{}", post.body["schedules"][0]["id"].as_str().unwrap())
    };
    let moved = json!({"schedule": at(1)["schedule"]});
    full(&site.patch(&schedule(&late), moved.clone()).await.refused(422, "invalid"));
    site.patch(&schedule(&first), moved).await.is(200);
    let row = (day + chrono::TimeDelta::hours(3)).to_rfc3339();
    let text = format!("at,accounts,text,board.board,tz\n{row},hall,hi,stoves,Europe/Berlin\n");
    let files = json!({"files": [{"name": "c.csv", "text": text}]});
    let plan = site.post("/api/import", files).await.is(200).body;
    let problem = &plan["problems"][0];
    assert_eq!((&problem["field"], &problem["place"]["line"]), (&json!("at"), &json!(2)), "{plan}");
    assert!(problem["message"].as_str().unwrap().contains("breaks board's daily limit"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_calendar_has_its_place() {
    let (site, _) = site().await;
    let import = async |name: &str, text: &str| {
        let files = json!({"files": [{"name": name, "text": text}]});
        site.post("/api/import", files).await.is(200).body
    };

    let csv = "at,accounts,text,board.board,board.days\n2100-01-07T09:00Z,hall,hi,stoves,many\n";
    let plan = import("c.csv", csv).await;
    let problem = &plan["problems"][0];
    assert_eq!(problem["field"], "options.board.days", "{plan}");
    assert_eq!(problem["place"], json!({"file": "c.csv", "line": 2, "column": 34}));
    assert_eq!(problem["message"], "is \"many\", expected a whole number");
    let json = r#"[{"at": "2100-01-07T09:00Z", "accounts": "hall", "text": "hi"}]"#;
    let plan = import("c.json", json).await;
    assert_eq!(plan["problems"][0]["field"], "options.board.board", "{plan}");
    assert_eq!(plan["problems"][0]["message"], "is missing: where it hangs");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_tells_of_options_fitting_and_platforms() {
    let (site, _) = site().await;

    let document = site.get("/api/openapi.json").await.is(200).body;

    assert!(document["paths"]["/api/platforms"]["get"].is_object());
    assert!(document["paths"]["/api/posts/{id}/preview"]["post"].is_object());
    let schemas = &document["components"]["schemas"];
    for (schema, field) in [
        ("NewPost", "options"),
        ("NewPost", "fit"),
        ("PostChange", "options"),
        ("PostChange", "fit"),
        ("Post", "options"),
        ("Post", "fitted"),
        ("Platform", "notice"),
        ("Platform", "advice"),
        ("PlatformAbilities", "options"),
        ("PlatformAbilities", "daily"),
    ] {
        assert!(schemas[schema]["properties"][field].is_object(), "{schema}.{field}");
    }
}
