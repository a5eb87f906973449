//! What is refused before anything is sent, and how long a text is.

mod support;

use std::time::{Duration, Instant};

use postq_bluesky::{Bluesky, Config};
use postq_core::content::{Draft, MediaRef, Part};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::platform::{Measure, Platform};

use support::{bench, options};

#[test]
fn texts_are_measured_in_graphemes_and_bytes() {
    let bluesky = Bluesky::new(Config::default()).expect("an adapter");
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
    for (text, length) in [
        (String::new(), 0),
        ("a".repeat(300), 300),
        ("e\u{301}".repeat(300), 300),
        ("日".repeat(300), 300),
        (family.to_owned(), 3),
        (family.repeat(120), 300),
        (family.repeat(121), 303),
        ("\u{1f1e9}\u{1f1ea}".repeat(300), 300),
        ("\r\n".repeat(10), 10),
        (format!("a{}", "\u{301}".repeat(1_500)), 301),
    ] {
        let measured = Measure::measure(&bluesky, &text);
        assert_eq!((measured.length, measured.limit), (length, 300), "{}", text.len());
        let violations = bluesky.validate((&[Part::text(text.clone())][..]).into());
        assert_eq!(
            violations.is_empty(),
            length <= 300 && !text.trim().is_empty(),
            "{violations:?}"
        );
    }
}

/// Whatever somebody sends to be looked at, it is told in time that it is too long.
#[test]
fn a_huge_text_is_measured_and_no_more() {
    let bluesky = Bluesky::new(Config::default()).expect("an adapter");
    let start = Instant::now();
    for piece in ["@a.test ", "https://a.b ", "#a ", ")", "://"] {
        let text = format!("https://a.b/{}", piece.repeat(1_000_000 / piece.len()));
        let violations = bluesky.validate((&[Part::text(text)][..]).into());
        assert_eq!(violations.len(), 1, "{piece}: {violations:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn what_is_wrong_with_a_draft_is_named() {
    let bluesky = Bluesky::new(Config::default()).expect("an adapter");
    let of = |parts: &[Part], json: &str| -> Vec<(u16, String)> {
        let options = options(json);
        let violations = bluesky.validate(Draft { parts, options: &options });
        violations.into_iter().map(|one| (one.part, one.message)).collect()
    };
    let media = |count| Part {
        text: String::new(),
        media: vec![MediaRef { source: "a.png".into(), alt: None }; count],
    };
    let says = |part, message: &str| vec![(part, message.to_owned())];

    assert_eq!(of(&[], "{}"), says(0, "there is no text"));
    assert_eq!(of(&[Part::text("a"), Part::text(" \n")], "{}"), says(1, "the text is empty"));
    assert_eq!(of(&[media(4)], "{}"), []);
    assert_eq!(of(&[media(5)], "{}"), says(0, "5 media files, at most 4"));
    let card = r#"{"card_url":"https://a.example"}"#;
    assert_eq!(of(&[Part::text("")], card), []);
    assert_eq!(of(&[media(1), media(4)], card), []);
    let two = "a card takes one picture as its thumbnail, here are 2";
    assert_eq!(of(&[media(2)], card), says(0, two));
    let mentions: String = (0..11).map(|i| format!("@a{i}.test ")).collect();
    let eleven = "the text mentions 11 accounts, at most 10";
    assert_eq!(of(&[Part::text(mentions)], "{}"), says(0, eleven));
    let many = vec![Part::text("a"); 101];
    assert_eq!(of(&many, "{}"), says(0, "the thread has 101 parts, at most 100"));
    let lang = "\"english\" is no language, expected a tag like en or pt-BR";
    assert_eq!(of(&[Part::text("a")], r#"{"langs":["english"]}"#), says(0, lang));
}

#[tokio::test]
async fn the_server_takes_what_is_just_short_enough() {
    let bench = bench().await;
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";

    for text in ["a".repeat(300), "e\u{301}".repeat(300), family.repeat(120)] {
        bench.publish(&text).await.expect("published");
    }
    for text in ["a".repeat(301), family.repeat(121)] {
        let failure = bench.publish(&text).await.expect_err("too long");
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Content, Outcome::NotPublished)
        );
    }
}
