//! What Bluesky wants to know of a post besides text and media.

use postq_core::options::{OptionField, OptionKind, PostOptions};
use unicode_segmentation::UnicodeSegmentation;

use crate::facets::{MOST_OF_TAG, is_page};

const MOST_LANGS: usize = 3;
const MOST_TAGS: usize = 8;
const MOST_LABELS: usize = 10;
/// The longest label, in bytes.
const MOST_OF_LABEL: usize = 128;

/// All that may be told.
pub(crate) static FIELDS: &[OptionField] = &[
    OptionField::new(
        "langs",
        OptionKind::List { most: MOST_LANGS },
        "the languages it is written in, as tags: en, pt-BR",
    ),
    OptionField::new(
        "labels",
        OptionKind::List { most: MOST_LABELS },
        "what its readers are warned of: porn, sexual, nudity, graphic-media; or !no-unauthenticated, to \
         show it to nobody who is not signed in",
    ),
    OptionField::new(
        "tags",
        OptionKind::List { most: MOST_TAGS },
        "hashtags of the first part that are not in its text, without #",
    ),
    OptionField::new(
        "card_url",
        OptionKind::Text { most: 2_000 },
        "the page that the first part shows a card of; a picture of that part is its thumbnail",
    ),
    OptionField::new("card_title", OptionKind::Text { most: 300 }, "the card's title"),
    OptionField::new(
        "card_description",
        OptionKind::Text { most: 1_000 },
        "the card's description",
    ),
];

/// What is wrong with options that are as long and as many as they may be.
pub(crate) fn problems(options: &PostOptions) -> Vec<String> {
    let mut problems = Vec::new();
    for lang in options.list("langs").iter().filter(|lang| !is_language(lang)) {
        problems.push(format!("\"{lang}\" is no language, expected a tag like en or pt-BR"));
    }
    for label in options.list("labels") {
        let length = label.len();
        if !(1..=MOST_OF_LABEL).contains(&length) {
            problems.push(format!("a label is {length} bytes long, expected 1 to {MOST_OF_LABEL}"));
        }
    }
    problems.extend(options.list("tags").iter().filter_map(|tag| tag_problem(tag)));
    match options.text("card_url") {
        Some(url) if !is_page(url) => {
            problems.push("the option \"card_url\" is no address of a page".to_owned());
        }
        None if ["card_title", "card_description"].iter().any(|it| options.text(it).is_some()) => {
            problems.push("a card needs the option \"card_url\"".to_owned());
        }
        _ => {}
    }
    problems
}

fn tag_problem(tag: &str) -> Option<String> {
    let (graphemes, bytes) = MOST_OF_TAG;
    let length = tag.graphemes(true).count();
    if tag.trim().is_empty() || tag.starts_with('#') {
        return Some(format!("\"{tag}\" is no tag, expected a word without #"));
    }
    let is_long = length > graphemes || tag.len() > bytes;
    is_long.then(|| {
        let length = if length > graphemes { length } else { tag.len().div_ceil(10) };
        format!("a tag is {length} long as Bluesky counts, at most {graphemes}")
    })
}

/// Whether this can be a language's tag: `en`, `pt-BR`, `zh-Hans-CN`.
fn is_language(tag: &str) -> bool {
    let mut pieces = tag.split('-');
    let first = pieces.next().unwrap_or_default();
    (2..=3).contains(&first.len())
        && first.bytes().all(|c| c.is_ascii_alphabetic())
        && pieces.all(|piece| {
            (1..=8).contains(&piece.len()) && piece.bytes().all(|c| c.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(json: &str) -> Vec<String> {
        let options: PostOptions = serde_json::from_str(json).expect("options");
        assert_eq!(options.problems(FIELDS), [""; 0], "told by the core");
        problems(&options)
    }

    #[test]
    fn good_options_have_no_problem() {
        let good = r#"{"langs":["en","pt-BR","zh-Hans-CN"],"labels":["sexual","!no-unauthenticated"],
            "tags":["rust","日本語"],"card_url":"https://a.example/b","card_title":"T"}"#;
        assert_eq!(problems_of(good), [""; 0]);
        assert_eq!(problems_of("{}"), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "x".repeat(65);
        let emoji = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}".repeat(40);
        for (json, expected) in [
            (
                r#"{"langs":["english"]}"#.into(),
                "\"english\" is no language, expected a tag like en or pt-BR",
            ),
            (
                r#"{"langs":["e n"]}"#.into(),
                "\"e n\" is no language, expected a tag like en or pt-BR",
            ),
            (r#"{"labels":[""]}"#.into(), "a label is 0 bytes long, expected 1 to 128"),
            (r##"{"tags":["#rust"]}"##.into(), "\"#rust\" is no tag, expected a word without #"),
            (format!(r#"{{"tags":["{long}"]}}"#), "a tag is 65 long as Bluesky counts, at most 64"),
            (
                format!(r#"{{"tags":["{emoji}"]}}"#),
                "a tag is 72 long as Bluesky counts, at most 64",
            ),
            (
                r#"{"card_url":"a.example"}"#.into(),
                "the option \"card_url\" is no address of a page",
            ),
            (r#"{"card_title":"T"}"#.into(), "a card needs the option \"card_url\""),
        ] {
            assert_eq!(problems_of(&json), [expected], "{json}");
        }
    }
}
