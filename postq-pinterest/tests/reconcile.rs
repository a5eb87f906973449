//! Finding a Pin again whose answer was lost.

mod support;

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use fake_pinterest::{BOARDS, Canned, Fault, Faults, Order, SECTION, Target};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::intent::Intent;
use postq_core::platform::{Look, Reconcile};
use serde_json::{Value, json};

use support::{Bench, bench, bench_with, cannot_tell, found, intent, intent_with, now, options};

/// A Pin as a list shows it, so many seconds old.
fn shown(id: u32, text: &str, age: i64) -> Value {
    let at = (now() - TimeDelta::seconds(age)).to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({ "id": id.to_string(), "description": text, "created_at": at, "title": null,
            "link": null, "is_owner": true, "parent_pin_id": null })
}

fn list(pins: &[Value], bookmark: Option<&str>) -> Canned {
    Canned::new(200, json!({ "items": pins, "bookmark": bookmark }).to_string())
}

/// What a look makes of these pages.
async fn look_at(bench: &Bench, intent: &Intent, pages: &[&[Value]]) -> Look {
    for (number, page) in pages.iter().enumerate() {
        let more = (number + 1 < pages.len()).then_some("more");
        bench.server.answer(Target::List, list(page, more));
    }
    bench.look(intent).await.expect("a look")
}

/// The same with a list that goes on after these pages.
async fn look_on(bench: &Bench, intent: &Intent, pages: &[&[Value]]) -> Look {
    for page in pages {
        bench.server.answer(Target::List, list(page, Some("more")));
    }
    bench.look(intent).await.expect("a look")
}

#[tokio::test]
async fn what_is_out_is_found_whatever_happened_to_the_answer() {
    for fault in [Fault::CutAfter, Fault::UnavailableAfter, Fault::NoId] {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let bench = bench().await;
            let script = [fault].into_iter().collect();
            bench.server.set_faults(Faults { script, order, zone: true, ..Faults::default() });
            let intent = intent_with(
                "Soup & <b>",
                &[
                    ("board", "Summer recipes"),
                    ("title", "A \"title\""),
                    ("link", "https://Example.com/soup/?a=1&b=2"),
                ],
            );
            bench.send(&intent).await.expect_err("no receipt");

            let look = bench.look(&intent).await.expect("a look");

            let pins = bench.server.pins();
            assert_eq!((pins.len(), found(&look)), (1, pins[0].id.as_str()), "{fault:?}");
            let Look::Found(receipt) = look else { unreachable!("it was found") };
            let url = format!("https://www.pinterest.com/pin/{}/", pins[0].id);
            assert_eq!(receipt.url, Some(url));
            let late = (receipt.published_at - pins[0].accepted_at).num_milliseconds();
            assert!((-1_000..=0).contains(&late), "{late} ms");
        }
    }
}

#[tokio::test]
async fn what_was_cut_before_is_absent_and_what_is_late_is_found_later() {
    let bench = bench().await;
    bench.server.set_faults(Faults::script([Fault::CutBefore]));
    let lost = intent("lost");
    bench.send(&lost).await.expect_err("cut");
    assert_eq!(bench.look(&lost).await.expect("a look"), Look::Absent);

    bench.server.set_faults(Faults::script([Fault::Late]));
    let late = intent("late");
    bench.send(&late).await.expect_err("cut");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        match bench.look(&late).await.expect("a look") {
            Look::Found(_) => break,
            Look::Absent => assert!(std::time::Instant::now() < deadline, "never found"),
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.server.pins().len(), 1);
}

#[tokio::test]
async fn what_pinterest_changes_in_texts_does_not_matter() {
    let bench = bench().await;
    for (escape, zone) in [(true, false), (false, true)] {
        bench.server.set_faults(Faults { escape, zone, ..Faults::default() });
        let intent = intent_with(
            &format!("Tea & <b>cake</b> {escape} caf\u{e9} 👩‍🍳 "),
            &[("board", BOARDS[0].0), ("title", "a < b & c")],
        );
        let id = bench.send(&intent).await.expect("published").receipt.remote_id;

        assert_eq!(found(&bench.look(&intent).await.expect("a look")), id);
    }
}

#[tokio::test]
async fn a_section_is_looked_through_by_itself() {
    let bench = bench().await;
    let pairs = [("board", BOARDS[0].0), ("section", SECTION.1)];
    let intent = intent_with("in a section", &pairs);
    let id = bench.send(&intent).await.expect("published").receipt.remote_id;

    assert_eq!(found(&bench.look(&intent).await.expect("a look")), id);

    let path = format!("/v5/boards/{}/sections/{}/pins?page_size=100", BOARDS[0].0, SECTION.0);
    assert_eq!(bench.calls("GET", &path), 1);
    let elsewhere = Intent { options: options(&[("board", BOARDS[1].0)]), ..intent };
    assert_eq!(bench.look(&elsewhere).await.expect("a look"), Look::Absent);
}

#[tokio::test]
async fn what_is_surely_not_ours_is_absent() {
    let bench = bench().await;
    let ours = intent_with(
        "the text",
        &[("board", BOARDS[0].0), ("title", "the title"), ("link", "https://example.com/a")],
    );
    let pin = |id| {
        let mut pin = shown(id, "the text", 0);
        pin["title"] = json!("the title");
        pin["link"] = json!("https://example.com/a");
        pin
    };
    let with = |name: &str, value: Value| {
        let mut pin = pin(7);
        pin[name] = value;
        pin
    };
    assert_eq!(found(&look_at(&bench, &ours, &[&[pin(7)]]).await), "7");
    for other in [
        with("description", json!("another text")),
        with("title", json!("another title")),
        with("title", json!(null)),
        with("link", json!("https://example.com/b")),
        with("board_id", json!(BOARDS[1].0)),
        with("is_owner", json!(false)),
        with("created_at", json!("2020-01-31T12:00:00")),
        with("created_at", json!((now() + TimeDelta::minutes(5)).to_rfc3339())),
    ] {
        let look = look_at(&bench, &ours, &[std::slice::from_ref(&other)]).await;
        assert_eq!(look, Look::Absent, "{other}");
    }
    let bare = intent("");
    let other = look_at(&bench, &bare, &[&[shown(7, "another text", 0)]]).await;
    assert_eq!(other, Look::Absent, "nothing of it is the same");
    bench.server.answer(Target::List, list(&[pin(7)], None));
    assert_eq!(bench.look_besides(&ours, &["7"]).await.expect("a look"), Look::Absent, "claimed");
}

#[tokio::test]
async fn what_may_be_ours_is_for_a_person() {
    let bench = bench().await;
    let ours = intent_with("The text!", &[("board", BOARDS[0].0), ("link", "https://e.com/a")]);
    let pin = |name: &str, value: Value| {
        let mut pin = shown(7, "The text!", 0);
        pin["link"] = json!("https://e.com/a");
        pin[name] = value;
        pin
    };
    for near in [
        pin("description", json!("the text")),
        pin("link", json!(null)),
        pin("link", json!("https://e.com/a?utm_source=pinterest")),
        pin("parent_pin_id", json!("5")),
    ] {
        let look = look_at(&bench, &ours, &[std::slice::from_ref(&near)]).await;
        assert_eq!(
            cannot_tell(&look),
            "post 7 is much like it and belongs to no other publication",
            "{near}"
        );
    }
    let rich = pin("title", json!("What the link's page is called"));
    let look = look_at(&bench, &ours, &[&[rich]]).await;
    assert!(cannot_tell(&look).starts_with("post 7 is much like it"), "a title that was not sent");
    let timeless = pin("created_at", json!(null));
    let look = look_at(&bench, &ours, &[&[timeless]]).await;
    assert!(cannot_tell(&look).starts_with("post 7 is much like it"), "it may be an older one");
    let odd = look_at(&bench, &ours, &[&[json!({ "id": "x" })]]).await;
    assert!(cannot_tell(&odd).contains("make no sense"));
}

/// Somebody pinned by hand what has the same words, or none: it is not taken for the post.
#[tokio::test]
async fn what_shows_something_else_is_for_a_person() {
    let bench = bench().await;
    let hash = "0".repeat(64);
    let picture = format!("image/jpeg:{hash}:1000x1500");
    let of = |text: &str, media: &[&str]| Intent {
        media: media.iter().map(|id| (*id).to_owned()).collect(),
        ..intent(text)
    };
    let pin = |text: &str, media: Value| {
        let mut pin = shown(7, text, 0);
        pin["media"] = media;
        pin
    };
    let sized = |width: u32, height: u32| {
        let whole =
            json!({ "width": width, "height": height, "url": "https://i.pinimg.com/a.jpg" });
        json!({ "media_type": "image", "images": { "600x": whole } })
    };
    let kind = |kind: &str| json!({ "media_type": kind });
    let two = [picture.as_str(), picture.as_str()];
    for (ours, theirs) in [
        (of("words", &[&picture]), pin("words", sized(600, 900))),
        (of("words", &[&picture]), pin("words", kind("image"))),
        (of("words", &[&picture]), pin("words", Value::Null)),
        (of("words", &[]), pin("words", kind("video"))),
        (of("words", &["5001"]), pin("words", kind("video"))),
        (of("words", &two), pin("words", kind("multiple_images"))),
        (of("", &[&picture]), pin("", sized(600, 900))),
    ] {
        let look = look_at(&bench, &ours, &[std::slice::from_ref(&theirs)]).await;
        assert_eq!(found(&look), "7", "{theirs}");
    }
    for (ours, theirs) in [
        (of("words", &[&picture]), pin("words", kind("video"))),
        (of("words", &["5001"]), pin("words", kind("image"))),
        (of("words", &two), pin("words", json!({ "media_type": "multiple_images", "items": [1] }))),
        (of("", &[&picture]), pin("", sized(600, 600))),
        (of("", &[&picture]), pin("", kind("image"))),
        (of("", &["5001"]), pin("", kind("video"))),
        (of("", &[]), pin("", sized(600, 900))),
    ] {
        let look = look_at(&bench, &ours, &[std::slice::from_ref(&theirs)]).await;
        assert!(cannot_tell(&look).starts_with("post 7 is much like it"), "{theirs}");
    }
}

#[tokio::test]
async fn of_several_that_are_the_same_the_oldest_is_the_one() {
    let bench = bench().await;
    let ours = Intent { made_at: now() - TimeDelta::seconds(5), ..intent("the same") };
    let pins = [shown(9, "the same", 0), shown(8, "the same", 3), shown(10, "the same", 1)];

    assert_eq!(found(&look_at(&bench, &ours, &[&pins]).await), "8");
    assert_eq!(found(&look_at(&bench, &ours, &[&pins[..1], &pins[1..]]).await), "8");
}

#[tokio::test]
async fn two_pages_are_read_before_an_order_is_believed() {
    let bench = bench().await;
    let ours = intent("ours");
    let old = [shown(3, "old", 900), shown(2, "older", 1_000)];
    let older = [shown(1, "oldest", 2_000)];

    assert_eq!(look_on(&bench, &ours, &[&old, &older]).await, Look::Absent);
    assert_eq!(bench.calls("GET", "/v5/boards/"), 2);
    let second = format!("/v5/boards/{}/pins?page_size=100&bookmark=more", BOARDS[0].0);
    assert_eq!(bench.calls("GET", &second), 1);

    // On the second page although the first is old.
    let late = [shown(4, "ours", 0)];
    assert_eq!(found(&look_at(&bench, &ours, &[&old, &late]).await), "4");
}

#[tokio::test]
async fn a_board_in_no_order_is_read_to_its_end_or_cannot_be_told() {
    let bench = bench().await;
    let ours = intent("ours");
    let rising = [shown(1, "a", 3_000), shown(2, "b", 2_000)];
    let pages = [rising.as_slice(); 4];
    assert_eq!(look_at(&bench, &ours, &pages).await, Look::Absent, "read to its end");
    assert_eq!(bench.calls("GET", "/v5/boards/"), 4);

    let look = look_on(&bench, &ours, &[rising.as_slice(); 10]).await;
    assert!(cannot_tell(&look).contains("does not reach back"), "{look:?}");
    assert_eq!(bench.calls("GET", "/v5/boards/"), 4 + 10, "bounded");

    let ours_first = [shown(5, "ours", 0), shown(1, "a", 3_000)];
    let mut pages = vec![ours_first.as_slice()];
    pages.extend([rising.as_slice(); 9]);
    assert_eq!(found(&look_on(&bench, &ours, &pages).await), "5", "found is found");
}

#[tokio::test]
async fn a_long_board_is_read_in_pages_of_a_hundred() {
    let bench = bench().await;
    let lost = intent("the lost one");
    bench.send(&lost).await.expect("published");
    let id = bench.server.pins()[0].id.clone();
    for n in 0..120 {
        bench.publish(&format!("another {n}")).await.expect("published");
    }

    assert_eq!(found(&bench.look(&lost).await.expect("a look")), id);
    assert_eq!(bench.calls("GET", "/v5/boards/"), 2);
}

#[tokio::test]
async fn the_window_follows_pinterest_s_clock() {
    let bench = bench().await;
    let ours = intent("ours");
    let at = |minutes| now() + TimeDelta::minutes(minutes);
    let page = |minutes: i64, ahead: i64| {
        let mut pin = shown(7, "ours", 0);
        pin["created_at"] = json!(at(minutes).to_rfc3339());
        let date = at(ahead).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        list(&[pin], None).with("date", &date)
    };
    bench.server.answer(Target::List, page(5, 5));
    assert_eq!(found(&bench.look(&ours).await.expect("a look")), "7");
    bench.server.answer(Target::List, page(5, 0));
    assert_eq!(bench.look(&ours).await.expect("a look"), Look::Absent);
    bench.server.answer(Target::List, page(0, 20));
    let look = bench.look(&ours).await.expect("a look");
    assert!(cannot_tell(&look).contains("s ahead of this host's"), "{look:?}");
}

#[tokio::test]
async fn a_board_that_is_gone_cannot_be_told() {
    let bench = bench().await;
    let gone = intent_with("text", &[("board", "99999")]);
    let look = bench.look(&gone).await.expect("a look");
    assert_eq!(cannot_tell(&look), "pinterest does not show the board any more");

    let renamed = intent_with("text", &[("board", "Cats")]);
    let look = bench.look(&renamed).await.expect("a look");
    assert!(cannot_tell(&look).starts_with("there is no board \"Cats\""), "{look:?}");
}

#[tokio::test]
async fn a_list_that_is_too_large_cannot_be_told() {
    let bench = bench().await;
    let huge = format!(r#"{{"items":[],"x":"{}"}}"#, "x".repeat(5_000_000));
    bench.server.answer(Target::List, Canned::new(200, huge));

    let look = bench.look(&intent("text")).await.expect("a look");

    assert!(cannot_tell(&look).contains("larger than 4 MiB"), "{look:?}");
}

#[tokio::test]
async fn a_failed_look_says_nothing_of_the_call() {
    let bench = bench().await;
    for (answer, class) in [
        (Canned::new(401, ""), FailureClass::Auth),
        (Canned::new(403, ""), FailureClass::Platform),
        (Canned::new(429, "").with("x-ratelimit-reset", "9"), FailureClass::RateLimit),
        (Canned::new(500, ""), FailureClass::Platform),
        (Canned::new(200, "{}"), FailureClass::Platform),
        (Canned::new(200, "<html>"), FailureClass::Platform),
    ] {
        bench.server.answer(Target::List, answer.clone());
        let failure = bench.look(&intent("text")).await.expect_err("no look");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::Unknown), "{answer:?}");
        assert!(failure.limits.is_empty());
        let wait = failure.wait.map(|wait| wait.for_.as_secs());
        assert_eq!(wait, (class == FailureClass::RateLimit).then_some(9));
    }
    let lost = bench_with(|config| config.base_url = "http://127.0.0.1:1/v5".into()).await;
    let failure = lost.look(&intent("text")).await.expect_err("nobody");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::Unknown));
}

#[tokio::test]
async fn absence_is_believed_after_the_settle_time() {
    let bench = bench_with(|config| config.settle_time = Duration::from_secs(300)).await;

    assert_eq!(bench.pinterest.settle_time(), Duration::from_secs(300));
    bench.server.set_faults(Faults { hide: Duration::from_secs(60), ..Faults::default() });
    let hidden = intent("hidden");
    bench.send(&hidden).await.expect("published");
    assert_eq!(bench.look(&hidden).await.expect("a look"), Look::Absent, "not shown yet");
    bench.server.set_faults(Faults::default());
    assert!(matches!(bench.look(&hidden).await.expect("a look"), Look::Found(_)));
}
