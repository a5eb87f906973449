//! What a Pin may say, and how fast Pins may be published.

mod support;

use std::sync::Arc;

use postq_core::content::{Draft, MediaRef, Part};
use postq_core::failure::FailureClass;
use postq_core::memory::MemoryMedia;
use postq_core::platform::{Length, Platform, violations};
use postq_pinterest::{Access, Config, Pinterest};

use support::{bench, bench_with, media, options};

#[tokio::test]
async fn the_pace_follows_the_access() {
    let pace = async |access, rate_limit| {
        bench_with(|config| (config.access, config.rate_limit) = (access, rate_limit))
            .await
            .pinterest
            .pace()
    };

    let standard = pace(Access::Standard, true).await;
    assert!(standard.app.is_none() && standard.daily.is_none());
    assert_eq!(standard.account.map(|rate| rate.burst.get()), Some(50));
    let trial = pace(Access::Trial, true).await;
    assert_eq!(trial.app.map(|rate| rate.burst.get()), Some(200));
    assert!(trial.account.is_none());
    let none = pace(Access::Trial, false).await;
    assert!(none.app.is_none() && none.account.is_none());
}

#[tokio::test]
async fn texts_are_counted_in_characters() {
    let bench = bench().await;
    let measure = |text: &str| bench.pinterest.measure().expect("it counts").measure(text);

    assert_eq!(measure("日本"), Length { length: 2, limit: 800 });
    assert_eq!(measure("e\u{301}").length, 2, "a combining character is one");
    assert_eq!(measure("👩‍🍳").length, 3, "so is each part of a joined picture");
    for text in ["é".repeat(800), "👍".repeat(800), "e\u{301}".repeat(400)] {
        bench.publish(&text).await.expect("the longest is taken");
    }
    let failure = bench.publish(&"👍".repeat(801)).await.expect_err("too long");
    assert_eq!(failure.class, FailureClass::Content);
}

fn told(draft: Draft<'_>) -> Vec<String> {
    let config = Config::default();
    let pinterest = Pinterest::new(config, Arc::new(MemoryMedia::default())).expect("an adapter");
    let found = violations(&pinterest, draft);
    assert!(found.iter().all(|violation| violation.part == 0));
    found.into_iter().map(|violation| violation.message).collect()
}

fn part(text: &str, media: Vec<MediaRef>) -> Part {
    Part { text: text.into(), media }
}

#[tokio::test]
async fn violations_are_named() {
    let board = options(&[("board", "Cats")]);
    let of = |parts: &[Part]| told(Draft { parts, options: &board });
    let picture = media("a.png", Some("x"));

    assert_eq!(of(&[part("", vec![picture.clone()])]), [""; 0], "a text is not needed");
    assert_eq!(of(&[]), ["a Pin needs a picture or a video"]);
    assert_eq!(
        of(&[part(&"x".repeat(801), vec![])]),
        ["a Pin needs a picture or a video", "the text is 801 characters long, at most 800"]
    );
    assert_eq!(of(&[part("", vec![picture.clone(); 6])]), ["6 media files, at most 5"]);
    let thread = [part("one", vec![picture.clone()]), part("two", vec![picture])];
    assert_eq!(of(&thread), ["2 parts, and a Pin has one: no threads"]);
    let long = media("a.png", Some(&"x".repeat(249)));
    assert_eq!(
        of(&[part("", vec![long.clone(), long.clone()])]),
        ["the descriptions of the pictures are 501 characters long together, at most 500"]
    );
    let short = media("b.png", Some(&"x".repeat(248)));
    assert_eq!(of(&[part("", vec![long, short])]), [""; 0]);
}

#[tokio::test]
async fn options_are_checked() {
    let parts = [part("text", vec![media("a.png", None)])];
    let of = |pairs: &[(&str, &str)]| {
        let options = options(pairs);
        told(Draft { parts: &parts, options: &options })
    };
    let board = ("board", "Cats");

    assert!(of(&[])[0].starts_with("the option \"board\" is missing: the board that the Pin"));
    let good = [
        board,
        ("section", "Salads"),
        ("title", "A title"),
        ("link", "https://example.com/"),
        ("dominant_color", "#6e7874"),
        ("cover_at", "900"),
    ];
    assert_eq!(of(&good), [""; 0]);
    for (name, value, problem) in [
        ("link", "example.com", "\"example.com\", expected an address that begins with https://"),
        ("link", "javascript:x", "\"javascript:x\", expected an address"),
        ("dominant_color", "red", "\"red\", expected a colour like #6E7874"),
        ("dominant_color", "#12345g", "\"#12345g\", expected a colour"),
        ("cover_at", "901", "\"901\", expected 0 to 900"),
    ] {
        let found = of(&[board, (name, value)]);
        let expected = format!("the option \"{name}\" is {problem}");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&expected), "{} {expected}", found[0]);
    }
    let long = "x".repeat(101);
    let found = of(&[board, ("title", &long)]);
    assert_eq!(found, ["the option \"title\" is 101 characters long, at most 100"]);
}
