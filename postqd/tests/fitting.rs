//! Texts that are made to fit, by every platform's own count.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use postq_bluesky::Bluesky;
use postq_core::content::{Draft, Part};
use postq_core::fit::{Unfit, shorten, thread};
use postq_core::memory::MemoryMedia;
use postq_core::platform::Platform;
use postq_meta::{Facebook, Instagram};
use postq_pinterest::Pinterest;
use postq_reddit::Reddit;
use postq_x::X;

/// Words of many kinds, what counts otherwise than by characters among them.
const WORDS: [&str; 12] = [
    "cat",
    "Really?",
    "It is so.",
    "https://example.com/a-page-with-a-long-name?and=a-query-of-its-own",
    "example.org/page",
    "@ada.example.com",
    "#tag",
    "👩‍👩‍👧‍👦",
    "🇩🇪🇫🇷",
    "日本語の文です。",
    "Ärger",
    "\n\n",
];

fn platforms() -> Vec<Box<dyn Platform>> {
    vec![
        Box::new(X::new(postq_x::Config::default()).unwrap()),
        Box::new(Bluesky::new(postq_bluesky::Config::default()).unwrap()),
        Box::new(Reddit::new(postq_reddit::Config::default()).unwrap()),
        Box::new(Facebook::new(postq_meta::FacebookConfig::default()).unwrap()),
        Box::new(Instagram::new(postq_meta::InstagramConfig::default()).unwrap()),
        Box::new(
            Pinterest::new(postq_pinterest::Config::default(), Arc::new(MemoryMedia::default()))
                .unwrap(),
        ),
    ]
}

/// A text of so many words.
fn text(seed: usize, words: usize) -> String {
    let word = |n: usize| WORDS[(seed * 31 + n * n * 7 + n * (seed + 3)) % WORDS.len()];
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

fn letters(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn what_is_made_to_fit_fits_every_platform() {
    for platform in platforms() {
        let (name, measure) = (platform.name(), platform.measure().unwrap());
        let limit = measure.measure("").limit;
        for seed in 0..6 {
            // Some two and a half times too long, or more where links count less than they have characters.
            let text = text(seed, limit / 3);
            assert!(measure.measure(&text).length > limit, "{name}: {seed}");

            let short = shorten(&text, measure).unwrap().unwrap();
            let parts = thread(&text, measure, 1_000).unwrap();

            assert_eq!(letters(&parts.concat()), letters(&text), "{name}: {seed}");
            for part in parts.iter().chain([&short]) {
                let told = measure.measure(part);
                assert!(told.length <= told.limit, "{name}: {part}");
                assert_eq!(
                    part.matches("https:").count(),
                    part.matches(WORDS[3]).count(),
                    "{name}: {part}"
                );
                let parts = [Part::text(part.as_str())];
                let told = platform.validate(Draft::from(&parts[..]));
                let is_long = |message: &str| message.contains(" long");
                assert!(told.iter().all(|one| !is_long(&one.message)), "{name}: {told:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_cut_and_is_too_long_is_refused_by_name() {
    for platform in platforms() {
        let (name, measure) = (platform.name(), platform.measure().unwrap());
        let limit = measure.measure("").limit;
        let tag = format!("#{}", "ä".repeat(limit + 1));

        for told in [shorten(&tag, measure).unwrap_err(), thread(&tag, measure, 9).unwrap_err()] {
            assert!(matches!(told, Unfit::Whole(_)), "{name}: {told}");
        }
    }
}

#[test]
fn a_link_counts_as_the_platform_counts_it() {
    let all = platforms();
    let x = all.iter().find(|platform| platform.name().as_str() == "x").unwrap();
    let link = format!("https://example.com/{}", "a".repeat(400));
    let text = format!("{} {link}", "A sentence of some words. ".repeat(12));

    let short = shorten(&text, x.measure().unwrap()).unwrap().unwrap();

    assert!(short.ends_with(&link), "23 characters on X, whatever its length: {short}");
    assert!(short.starts_with("A sentence of some words. A sentence"));
}
