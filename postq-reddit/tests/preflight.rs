//! Asking what a community takes, before anything is sent.

mod support;

use std::time::{Duration, Instant};

use fake_reddit::{Canned, Target};
use postq_core::content::{Draft, Part};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::options::PostOptions;
use postq_core::platform::{Platform, Preflight, Violation};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use support::{Bench, bench, bench_with, options, titled, who};

async fn check(bench: &Bench, text: &str, options: PostOptions) -> Result<Vec<String>, Failure> {
    let parts = [Part::text(text)];
    let draft = Draft { parts: &parts, options: &options };
    let violations = bench.reddit.check(&bench.who, draft).await?;
    assert!(violations.iter().all(|Violation { part, .. }| *part == 0));
    Ok(violations.into_iter().map(|violation| violation.message).collect())
}

async fn advice(bench: &Bench, options: PostOptions) -> Result<Vec<String>, Failure> {
    let parts = [Part::text("text")];
    bench.reddit.advice(&bench.who, Draft { parts: &parts, options: &options }).await
}

fn targets(bench: &Bench) -> Vec<String> {
    bench.server.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
}

#[tokio::test]
async fn a_community_is_asked_about_once_and_remembered() {
    let mut bench = bench().await;
    for title in ["one", "two"] {
        assert_eq!(check(&bench, "text", titled(title, "")).await, Ok(vec![]));
    }
    let other_case = options(r#"{"subreddit":"r/TEST","title":"t"}"#);
    assert_eq!(check(&bench, "text", other_case).await, Ok(vec![]));
    let first = ["GET /r/test/about?raw_json=1", "GET /api/v1/test/post_requirements?raw_json=1"];
    assert_eq!(targets(&bench), first);

    // Flairs are asked for when they matter; then all is asked again.
    check(&bench, "text", titled("three", r#","flair_id":"f""#)).await.expect("an answer");
    assert_eq!(targets(&bench).len(), 5);
    assert_eq!(targets(&bench)[4], "GET /r/test/api/link_flair_v2?raw_json=1");
    check(&bench, "text", titled("four", r#","flair_id":"f""#)).await.expect("an answer");
    assert_eq!(targets(&bench).len(), 5);

    // What an account may do is its own.
    bench.who = who("tok-other");
    check(&bench, "text", titled("five", "")).await.expect("an answer");
    assert_eq!(targets(&bench).len(), 7);
    assert!(bench.reddit.preflight().is_some());
}

#[tokio::test]
async fn what_the_community_refuses_is_told() {
    let bench = bench().await;
    bench.server.set_community(
        "Test",
        json!({ "submission_type": "any", "allow_images": true, "user_is_banned": false }),
        json!({ "is_flair_required": true, "title_text_max_length": 5, "guidelines_text": null }),
        json!([{ "id": "f-1", "text": "News", "text_editable": false, "mod_only": false }]),
    );

    let told = check(&bench, "text", titled("a title", "")).await.expect("an answer");
    assert_eq!(
        told,
        [
            "r/test wants a flair; set the option \"flair_id\" to \"f-1\" (News)",
            "the title is 7 characters long, at most 5",
        ]
    );
    assert_eq!(check(&bench, "text", titled("good", r#","flair_id":"f-1""#)).await, Ok(vec![]));
    let wrong = check(&bench, "text", titled("good", r#","flair_id":"f-2""#)).await;
    assert!(wrong.expect("an answer")[0].contains("has no flair \"f-2\""));
}

#[tokio::test]
async fn flairs_that_users_may_not_see_refuse_nothing() {
    let bench = bench().await;
    bench.server.set_community("test", json!({}), json!({}), Value::Null);

    assert_eq!(check(&bench, "", titled("t", r#","flair_id":"f-9""#)).await, Ok(vec![]));
}

#[tokio::test]
async fn a_community_that_is_not_there_is_told_and_not_remembered() {
    let bench = bench().await;
    let search = "https://oauth.reddit.com/subreddits/search.json?q=test";
    for (answer, told) in [
        (Canned::new(404, r#"{"message":"Not Found","error":404}"#), "there is no r/test"),
        (Canned::new(302, "").with("location", search), "there is no r/test"),
        (
            Canned::new(403, r#"{"reason":"private","message":"Forbidden","error":403}"#),
            "r/test is closed to this account: private",
        ),
        (
            Canned::new(404, r#"{"reason":"banned","message":"Not Found","error":404}"#),
            "r/test is closed to this account: banned",
        ),
    ] {
        bench.server.answer(Target::About, answer);
        assert_eq!(check(&bench, "", titled("t", "")).await, Ok(vec![told.to_owned()]));
    }
    assert_eq!(check(&bench, "", titled("t", "")).await, Ok(vec![]), "asked again");
}

#[tokio::test]
async fn what_could_not_be_asked_is_a_failure_and_not_a_violation() {
    let bench = bench().await;
    use FailureClass::{Auth, Platform, RateLimit};
    for (status, body, class) in [
        (200, "<html>", Platform),
        (200, "{}", Platform),
        (302, "", Platform),
        (401, "", Auth),
        (403, r#"{"message":"Forbidden","error":403}"#, Platform),
        (404, "<html>", Platform),
        (429, "", RateLimit),
        (503, "<html>", Platform),
    ] {
        bench.server.answer(Target::About, Canned::new(status, body));
        let failure = check(&bench, "", titled("t", "")).await.expect_err(body);
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{status}");
    }
    for (target, status) in
        [(Target::Requirements, 503), (Target::Requirements, 403), (Target::Flairs, 503)]
    {
        bench.server.answer(target, Canned::new(status, ""));
        let flair = titled("t", r#","flair_id":"f""#);
        check(&bench, "", flair).await.expect_err("not asked");
    }
    let before = bench.server.seen().len();
    check(&bench, "", titled("t", "")).await.expect("an answer");
    assert!(bench.server.seen().len() > before, "a failure is not remembered");
}

#[tokio::test]
async fn it_ends_within_its_patience() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}", silent.local_addr().expect("an address"));
    let bench = bench_with(|config| {
        config.base_url = base_url;
        config.send_timeout = Duration::from_millis(400);
    })
    .await;
    let start = Instant::now();

    let options = || titled("t", "");
    let (checked, advised) = tokio::join!(check(&bench, "", options()), advice(&bench, options()));

    for failure in [checked.expect_err("no answer"), advised.expect_err("no answer")] {
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Network, Outcome::NotPublished)
        );
    }
    assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_is_no_community_is_not_asked_for() {
    let bench = bench().await;
    for bad in ["{}", r#"{"subreddit":"a/../b"}"#] {
        assert_eq!(check(&bench, "", options(bad)).await, Ok(vec![]));
    }
    assert!(bench.server.seen().is_empty());
}

#[tokio::test]
async fn what_a_community_writes_for_people_is_told_and_remembered() {
    let mut bench = bench().await;
    bench.server.set_rules(
        "Test",
        json!([
            { "kind": "all", "short_name": "Be kind", "description": "To\n\nall.", "priority": 2 },
            { "kind": "comment", "short_name": "No shouting", "priority": 0 },
            { "kind": "link", "short_name": "On topic", "description": null, "priority": 1 },
            "odd",
        ]),
    );

    let told = advice(&bench, titled("one", "")).await;
    assert_eq!(told, Ok(vec!["On topic".to_owned(), "Be kind: To all.".to_owned()]));
    assert_eq!(targets(&bench), ["GET /r/test/about/rules?raw_json=1"]);
    let again = advice(&bench, options(r#"{"subreddit":"r/TEST","title":"t"}"#)).await;
    assert_eq!((again, targets(&bench).len()), (told, 1));

    // Whether it would be taken asks nothing of them, and is remembered by itself.
    check(&bench, "text", titled("two", "")).await.expect("an answer");
    assert_eq!(targets(&bench).len(), 3);
    assert!(!targets(&bench)[1..].concat().contains("rules"), "{:?}", targets(&bench));

    // Of a private community each account is told by itself.
    bench.who = who("tok-other");
    advice(&bench, titled("three", "")).await.expect("an answer");
    assert_eq!(targets(&bench).len(), 4);
}

#[tokio::test]
async fn a_community_without_rules_says_nothing() {
    let bench = bench().await;
    assert_eq!(advice(&bench, titled("t", "")).await, Ok(vec![]));
    advice(&bench, titled("t", "")).await.expect("an answer");
    assert_eq!(targets(&bench).len(), 1, "remembered as well");
    for bad in ["{}", r#"{"subreddit":"a/../b"}"#] {
        assert_eq!(advice(&bench, options(bad)).await, Ok(vec![]));
    }
    assert_eq!(targets(&bench).len(), 1, "nobody can be asked");
}

#[tokio::test]
async fn rules_that_could_not_be_asked_for_are_a_failure_and_not_remembered() {
    let bench = bench().await;
    for (status, body) in [
        (200, "<html>"),
        (200, "7"),
        (302, ""),
        (401, ""),
        (403, r#"{"reason":"private","message":"Forbidden","error":403}"#),
        (404, "<html>"),
        (429, ""),
        (503, "<html>"),
    ] {
        bench.server.answer(Target::Rules, Canned::new(status, body));
        let failure = advice(&bench, titled("t", "")).await.expect_err(body);
        assert_eq!(failure.outcome, Outcome::NotPublished, "{status}");
    }
    bench.server.answer(Target::Rules, Canned::new(200, r#"{"rules":null,"site_rules":7}"#));
    assert_eq!(advice(&bench, titled("t", "")).await, Ok(vec![]));
}
