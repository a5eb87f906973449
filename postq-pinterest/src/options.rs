//! What Pinterest wants to know of a post besides text and media.

use postq_core::options::{OptionField, OptionKind, PostOptions};
use reqwest::Url;

/// All that may be told. A section's name has 180 characters at most; Pinterest
/// tells no limit for a board's. A video plays 15 minutes at most.
pub(crate) const FIELDS: &[OptionField] = &[
    OptionField::new(
        "board",
        OptionKind::Text { most: 180 },
        "the board that the Pin goes to: its name, or its id (digits)",
    )
    .required(),
    OptionField::new(
        "section",
        OptionKind::Text { most: 180 },
        "the section of the board: its name, or its id (digits)",
    ),
    OptionField::new("title", OptionKind::Text { most: 100 }, "the title"),
    OptionField::new("link", OptionKind::Text { most: 2_048 }, "the address that the Pin leads to"),
    OptionField::new(
        "dominant_color",
        OptionKind::Text { most: 7 },
        "the colour that is shown until the picture is: #RRGGBB",
    ),
    OptionField::new(
        "cover_at",
        OptionKind::Number { least: 0, most: 900 },
        "the second of a video whose frame is its cover; 0 if neither it nor a cover picture is there",
    ),
];

/// What is wrong with options that are as long as they may be.
pub(crate) fn problems(options: &PostOptions) -> Vec<String> {
    let wrong = |name, expected| {
        move |value: &str| {
            let value: String = value.chars().take(40).collect();
            format!("the option \"{name}\" is \"{value}\", expected {expected}")
        }
    };
    let link = options.text("link").filter(|link| !is_web_address(link));
    let color = options.text("dominant_color").filter(|color| !is_color(color));
    let found = [
        link.map(wrong("link", "an address that begins with https:// or http://")),
        color.map(wrong("dominant_color", "a colour like #6E7874")),
    ];
    found.into_iter().flatten().collect()
}

fn is_web_address(link: &str) -> bool {
    Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

fn is_color(text: &str) -> bool {
    text.len() == 7
        && text.strip_prefix('#').is_some_and(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()))
}
