//! Looking for a post again.

mod support;

use std::slice::from_ref;
use std::time::Duration;

use fake_reddit::{Canned, Fault, Standing, Target};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::intent::Intent;
use postq_core::platform::{Look, Reconcile};
use serde_json::{Value, json};

use support::{Bench, bench, bench_with, cannot_tell, found, intent, now, options, titled};

const LINK: &str = r#","url":"https://example.com/a?b=1&c=2""#;

/// A post of ours in a list, created now, as Reddit shows it; the argument changes it.
fn shown(change: Value) -> Value {
    let mut post = json!({
        "id": "4bbe4b", "name": "t3_4bbe4b", "title": "a title", "selftext": "a text",
        "subreddit": "test", "permalink": "/r/test/comments/4bbe4b/a_title/", "is_self": true,
        "url": "https://www.reddit.com/r/test/comments/4bbe4b/a_title/", "author": "me",
        "created_utc": now().timestamp() as f64, "removed_by_category": null,
    });
    for (name, value) in change.as_object().expect("an object") {
        post[name] = value.clone();
    }
    post
}

fn list(posts: &[Value], after: Option<&str>) -> Canned {
    let children: Vec<Value> =
        posts.iter().map(|post| json!({ "kind": "t3", "data": post })).collect();
    let data = json!({ "children": children, "after": after, "before": null });
    Canned::new(200, json!({ "kind": "Listing", "data": data }).to_string())
}

async fn look_at(bench: &Bench, intent: &Intent, posts: &[Value]) -> Look {
    bench.server.answer(Target::List, list(posts, None));
    bench.look(intent).await.expect("a look")
}

fn ours() -> Intent {
    intent("a text", titled("a title", ""))
}

#[tokio::test]
async fn what_was_cut_after_accepting_is_found() {
    let bench = bench().await;
    for (text, options) in [
        ("plain", titled("one", "")),
        ("a < b & c > d\r\n\r\nmore  \n", titled("two <&>", "")),
        ("", titled("three: 日本 🇯🇵", "")),
        ("", titled("four", LINK)),
        ("👩‍👩‍👧 e\u{301}", titled("  five  with\nspaces ", "")),
        ("", options(r#"{"subreddit":"/r/TEST/","title":"six"}"#)),
        ("", options(r#"{"subreddit":"u/me","title":"seven"}"#)),
    ] {
        let intent = intent(text, options);
        bench.server.faults([Fault::CutAfter]);
        bench.send(&intent).await.expect_err("cut");

        let look = bench.look(&intent).await.expect("a look");

        let accepted = bench.server.accepted();
        let last = accepted.last().expect("accepted");
        assert_eq!(found(&look), last.id, "{}", last.title);
        let Look::Found(receipt) = look else { unreachable!() };
        assert!((receipt.published_at - last.accepted_at).num_milliseconds().abs() <= 1_000);
        assert!(receipt.url.expect("an address").starts_with("https://www.reddit.com/r/"));
    }
    assert_eq!(bench.server.creates(), 7, "looking sends nothing");
}

#[tokio::test]
async fn every_ambiguous_outcome_ends_with_one_live_post() {
    for fault in [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::UnavailableBefore,
        Fault::UnavailableAfter,
        Fault::NoData,
        Fault::PageAfter,
        Fault::Late,
    ] {
        let bench = bench().await;
        let intent = ours();
        bench.server.faults([fault]);
        bench.send(&intent).await.expect_err("no receipt");
        tokio::time::sleep(Duration::from_millis(500)).await;

        match bench.look(&intent).await.expect("a look") {
            Look::Found(receipt) => {
                assert_eq!(receipt.remote_id, bench.server.accepted()[0].id, "{fault:?}");
            }
            Look::Absent => drop(bench.send(&intent).await.expect("sent again")),
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(bench.server.accepted().len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn what_never_came_in_is_absent() {
    let bench = bench().await;
    bench.publish("something else", titled("another title", "")).await.expect("published");
    let intent = ours();
    bench.server.faults([Fault::CutBefore]);
    bench.send(&intent).await.expect_err("cut");

    assert_eq!(bench.look(&intent).await, Ok(Look::Absent));
}

#[tokio::test]
async fn a_post_in_a_cached_list_is_found_when_it_shows() {
    let bench = bench().await;
    bench.server.hide_for(Duration::from_millis(300));
    bench.server.faults([Fault::CutAfter]);
    let intent = ours();
    bench.send(&intent).await.expect_err("cut");

    assert_eq!(bench.look(&intent).await, Ok(Look::Absent));
    tokio::time::sleep(Duration::from_millis(400)).await;
    let look = bench.look(&intent).await.expect("a look");
    assert_eq!(found(&look), bench.server.accepted()[0].id);
}

#[tokio::test]
async fn a_claimed_post_is_not_the_one_and_of_two_the_older_is() {
    let bench = bench().await;
    let theirs = bench.send(&ours()).await.expect("published").receipt.remote_id;
    let intent = ours();
    assert_eq!(bench.look_besides(&intent, &[&theirs]).await, Ok(Look::Absent));

    let second = bench.send(&intent).await.expect("published").receipt.remote_id;
    bench.send(&intent).await.expect("published");
    assert_eq!(found(&bench.look(&intent).await.expect("a look")), theirs);
    let look = bench.look_besides(&intent, &[&theirs]).await.expect("a look");
    assert_eq!(found(&look), second);
}

#[tokio::test]
async fn what_a_moderator_or_a_bot_removed_was_published() {
    for by in ["moderator", "automod_filtered", "reddit", "deleted", "something_new"] {
        let bench = bench().await;
        for intent in [ours(), intent("", titled("a link", LINK))] {
            bench.server.faults([Fault::CutAfter]);
            bench.send(&intent).await.expect_err("cut");
            let id = bench.server.accepted().pop().expect("accepted").id;
            bench.server.set_standing(&id, Standing::Removed(by.to_owned()));

            let look = bench.look(&intent).await.expect("a look");

            assert_eq!(found(&look), id, "{by}");
        }
    }
}

#[tokio::test]
async fn only_a_post_that_could_be_ours_is_weighed() {
    let bench = bench().await;
    let at = |seconds: i64| json!({ "created_utc": now().timestamp() + seconds });
    for other in [
        json!({ "subreddit": "elsewhere" }),
        json!({ "title": "another title" }),
        json!({ "crosspost_parent": "t3_1" }),
        at(-13),
        at(4_000),
    ] {
        let look = look_at(&bench, &ours(), &[shown(other.clone())]).await;
        assert_eq!(look, Look::Absent, "{other}");
    }
    assert_eq!(found(&look_at(&bench, &ours(), &[shown(json!({}))]).await), "4bbe4b");
    assert_eq!(
        found(&look_at(&bench, &ours(), &[shown(json!({ "id": "t3_4bbe4b" }))]).await),
        "4bbe4b"
    );
    assert_eq!(found(&look_at(&bench, &ours(), &[shown(at(-3))]).await), "4bbe4b");
}

#[tokio::test]
async fn what_reddit_does_to_every_text_makes_no_difference() {
    let bench = bench().await;
    let intent = intent("x < y & z  \r\nmore\n", titled("a  <title> & more", ""));
    for (title, text) in [
        ("a <title> & more", "x < y & z\nmore"),
        ("a &lt;title&gt; &amp; more", "x &lt; y &amp; z\nmore"),
        ("a <title> & more", "[removed]"),
        ("a <title> & more", "[deleted]"),
    ] {
        let post = shown(json!({ "title": title, "selftext": text }));
        assert_eq!(found(&look_at(&bench, &intent, &[post]).await), "4bbe4b", "{title} {text}");
    }
}

#[tokio::test]
async fn a_near_match_cannot_be_told() {
    let bench = bench().await;
    for near in [
        json!({ "title": "A title!" }),
        json!({ "selftext": "a text, edited" }),
        json!({ "selftext": "" }),
        // Perhaps a video that Reddit worked on for long.
        json!({ "created_utc": now().timestamp() + 60 }),
        json!({ "subreddit": null }),
        json!({ "created_utc": null }),
        // Blotted out, or not told: it may be any post.
        json!({ "title": null }),
        json!({ "title": "[ Removed by Reddit ]", "selftext": "[removed]" }),
        // Nobody sees the difference.
        json!({ "title": "a\u{200b} title\u{feff}" }),
    ] {
        let look = look_at(&bench, &ours(), &[shown(near.clone())]).await;
        let why = cannot_tell(&look);
        assert!(why.contains("4bbe4b") && !why.contains("text"), "{near}: {why}");
    }
    let link = intent("", titled("a title", LINK));
    for (target, same) in [
        ("https://example.com/a?b=1&c=2", true),
        ("https://example.com/a?b=1&amp;c=2", true),
        ("https://EXAMPLE.com/a?b=1&c=2", true),
        ("https://example.com/b", false),
    ] {
        for name in ["url", "url_overridden_by_dest"] {
            let post = shown(json!({ "is_self": false, "selftext": "", name: target }));
            let look = look_at(&bench, &link, &[post]).await;
            assert_eq!(matches!(look, Look::Found(_)), same, "{name} {target}: {look:?}");
            assert_ne!(look, Look::Absent);
        }
    }
    let bare = intent("", titled("a title", r#","url":"https://example.com""#));
    let post = shown(json!({ "is_self": false, "url": "https://example.com/", "selftext": "" }));
    assert_eq!(found(&look_at(&bench, &bare, &[post]).await), "4bbe4b");
}

#[tokio::test]
async fn a_post_that_is_found_outweighs_what_cannot_be_read() {
    let bench = bench().await;
    let odd = json!({ "id": 7 });

    let look = look_at(&bench, &ours(), &[odd.clone(), shown(json!({}))]).await;
    assert_eq!(found(&look), "4bbe4b");
    let look = look_at(&bench, &ours(), &[odd]).await;
    assert!(cannot_tell(&look).contains("no post"), "{look:?}");
}

#[tokio::test]
async fn a_list_is_read_back_to_the_intent_and_no_further() {
    let bench = bench().await;
    let old = shown(json!({ "id": "1", "created_utc": now().timestamp() - 60 }));
    let young = shown(json!({ "id": "2", "title": "another" }));

    bench.server.answer(Target::List, list(from_ref(&young), Some("t3_2")));
    bench.server.answer(Target::List, list(&[shown(json!({})), old.clone()], Some("t3_1")));
    assert_eq!(found(&bench.look(&ours()).await.expect("a look")), "4bbe4b");
    let asked: Vec<String> = bench.server.seen().into_iter().map(|seen| seen.target).collect();
    let first = "/user/me/submitted?sort=new&limit=25&raw_json=1";
    let second = "/user/me/submitted?sort=new&limit=25&after=t3_2&raw_json=1";
    assert_eq!(asked, [first, second]);

    for _ in 0..8 {
        bench.server.answer(Target::List, list(from_ref(&young), Some("t3_2")));
    }
    let look = bench.look(&ours()).await.expect("a look");
    assert!(cannot_tell(&look).contains("does not reach back"), "{look:?}");
    assert_eq!(bench.server.seen().len(), 10, "eight pages at most");

    bench.server.answer(Target::List, Canned::new(200, "x".repeat(7 * 1_024 * 1_024)));
    let look = bench.look(&ours()).await.expect("a look");
    assert!(cannot_tell(&look).contains("larger than 6 MiB"), "{look:?}");
}

#[tokio::test]
async fn many_posts_are_read_page_by_page() {
    let bench = bench().await;
    let intent = ours();
    let id = bench.send(&intent).await.expect("published").receipt.remote_id;
    for n in 0..60 {
        bench.publish("", titled(&format!("another {n}"), "")).await.expect("published");
    }

    assert_eq!(found(&bench.look(&intent).await.expect("a look")), id);
}

#[tokio::test]
async fn the_window_moves_with_reddit_s_clock() {
    let bench = bench().await;
    for ahead in [-600, 600] {
        bench.server.set_clock_ahead(ahead);
        let intent = intent("", titled(&format!("a title {ahead}"), ""));
        bench.server.faults([Fault::CutAfter]);
        bench.send(&intent).await.expect_err("cut");

        let look = bench.look(&intent).await.expect("a look");

        assert_eq!(found(&look), bench.server.accepted().pop().expect("accepted").id, "{ahead}");
    }
    bench.server.set_clock_ahead(1_000);
    let look = bench.look(&ours()).await.expect("a look");
    assert!(cannot_tell(&look).contains("s ahead of this host's"), "{look:?}");
}

#[tokio::test]
async fn where_two_clocks_do_not_agree_a_post_of_one_of_them_cannot_be_told() {
    let bench = bench().await;
    let date = |seconds: i64| {
        let at = std::time::SystemTime::from(now() + chrono::TimeDelta::seconds(seconds));
        httpdate::fmt_http_date(at)
    };
    let post = |seconds: i64| shown(json!({ "created_utc": now().timestamp() + seconds }));
    for (ahead, at, is_told) in
        [(600, 600, true), (600, 0, false), (-600, -600, true), (-600, 0, false)]
    {
        bench.server.answer(Target::List, list(&[post(at)], None).with("date", &date(ahead)));
        let look = bench.look(&ours()).await.expect("a look");
        assert_eq!(matches!(look, Look::Found(_)), is_told, "{ahead} {at}: {look:?}");
        assert_ne!(look, Look::Absent, "{ahead} {at}");
    }
    // Longer ago by both.
    for (ahead, at) in [(600, -15), (-600, -615)] {
        bench.server.answer(Target::List, list(&[post(at)], None).with("date", &date(ahead)));
        assert_eq!(bench.look(&ours()).await, Ok(Look::Absent), "{ahead} {at}");
    }
    // No clock is told: this host's may be as wrong as is bearable.
    for (at, is_absent) in [(0, false), (-600, false), (-1_000, true)] {
        bench.server.answer(Target::List, list(&[post(at)], None).with("date", "today"));
        let look = bench.look(&ours()).await.expect("a look");
        assert_eq!(look == Look::Absent, is_absent, "{at}: {look:?}");
    }
}

#[tokio::test]
async fn a_failed_look_is_no_answer() {
    let bench = bench().await;
    use FailureClass::{Auth, Platform, RateLimit};
    for (status, body, class) in [
        (200, "", Platform),
        (200, "{}", Platform),
        (200, "<html>", Platform),
        (200, r#"{"kind":"t2","data":{"children":[]}}"#, Platform),
        (302, "", Platform),
        (401, "", Auth),
        (403, r#"{"message":"Forbidden","error":403}"#, Platform),
        (404, r#"{"message":"Not Found","error":404}"#, Platform),
        (429, "", RateLimit),
        (503, "<html>", Platform),
    ] {
        // A list that is larger than we read is empty as well, and told apart.
        if (status, body) == (200, "") {
            continue;
        }
        bench.server.answer(Target::List, Canned::new(status, body));
        let failure = bench.look(&ours()).await.expect_err("no list");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::Unknown), "{status} {body}");
        assert!(failure.limits.is_empty());
        assert_eq!(failure.wait.is_some(), status == 429);
    }
    bench.server.answer(Target::List, list(&[], None));
    let failure =
        bench.look_besides(&ours(), &["4bbe4a"]).await.expect_err("there is one at least");
    assert_eq!((failure.class, failure.outcome), (Platform, Outcome::Unknown));
    bench.server.answer(Target::List, Canned::new(200, ""));
    cannot_tell(&bench.look(&ours()).await.expect("a look"));
}

#[tokio::test]
async fn an_account_without_a_name_is_asked_for_it() {
    let mut bench = bench().await;
    bench.who.remote_id = None;
    let intent = ours();
    let id = bench.send(&intent).await.expect("published").receipt.remote_id;

    assert_eq!(found(&bench.look(&intent).await.expect("a look")), id);
    assert!(bench.server.seen().iter().any(|seen| seen.target == "/api/v1/me?raw_json=1"));

    bench.server.answer(Target::Me, Canned::new(200, r#"{"id":"x","name":"../../api"}"#));
    let failure = bench.look(&intent).await.expect_err("no name");
    assert_eq!(failure.outcome, Outcome::Unknown);
    bench.who.remote_id = Some("a/b".to_owned());
    let failure = bench.look(&intent).await.expect_err("no name");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::Unknown));
}

#[tokio::test]
async fn absence_waits_for_what_is_set() {
    let bench = bench_with(|config| config.settle_time = Duration::from_secs(7)).await;

    assert_eq!(bench.reddit.settle_time(), Duration::from_secs(7));
    let default = postq_reddit::Config::default().settle_time;
    assert_eq!(default, Duration::from_secs(900));
}
