//! `postqd platforms`: what each platform can do, and what one of them wants to know of a post.

use std::fmt::Write;

use postq_core::platform::PlatformName;
use serde::Deserialize;

use crate::api::Api;
use crate::api::shown::Shown;
use crate::output::{Output, Usage, count};

#[derive(Debug, Deserialize)]
struct Platforms {
    items: Vec<Shown<Platform>>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    platform: String,
    text: Option<usize>,
    parts: Option<usize>,
    options: Vec<PlatformOption>,
    media: Option<Media>,
    settle_seconds: Option<u64>,
    metrics: Vec<String>,
    daily: Option<u32>,
    connects: bool,
    renews: bool,
    preflight: bool,
}

#[derive(Debug, Deserialize)]
struct PlatformOption {
    name: String,
    kind: String,
    required: bool,
    about: String,
    least: Option<i64>,
    most: Option<i64>,
    choices: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Media {
    most: usize,
    image: Option<Class>,
    animation: Option<Class>,
    video: Option<Class>,
}

#[derive(Debug, Deserialize)]
struct Class {
    kinds: Vec<String>,
    most: usize,
}

/// Shows all of them in a table, or all of one.
pub(super) async fn run(
    api: &Api,
    output: Output,
    name: Option<&PlatformName>,
) -> anyhow::Result<()> {
    let told = api.get::<Platforms>("/api/platforms").await?.it;
    let Some(name) = name else {
        let columns = ["platform", "text", "thread", "media", "needs", "a day"];
        output.list(columns, &told.items, |platform| row(platform));
        output.note("postqd platforms NAME shows all of one");
        return Ok(());
    };
    let Some(one) = told.items.iter().find(|one| one.platform == name.as_str()) else {
        let known: Vec<&str> = told.items.iter().map(|one| one.platform.as_str()).collect();
        return Err(Usage(format!("no platform \"{name}\"; there is {}", known.join(", "))).into());
    };
    output.tell(text(one), one);
    Ok(())
}

fn row(platform: &Platform) -> [String; 6] {
    let needed = platform.options.iter().filter(|option| option.required);
    let needed: Vec<&str> = needed.map(|option| option.name.as_str()).collect();
    [
        platform.platform.clone(),
        platform.text.map_or_else(|| "any".to_owned(), |text| text.to_string()),
        match platform.parts {
            Some(1) => "no".to_owned(),
            Some(parts) => parts.to_string(),
            None => "any".to_owned(),
        },
        platform.media.as_ref().map_or_else(|| "no".to_owned(), media),
        needed.join(", "),
        platform.daily.map_or_else(|| "any".to_owned(), |daily| daily.to_string()),
    ]
}

/// `4 images or 1 GIF or 1 video`
fn media(media: &Media) -> String {
    let some = classes(media).map(|(name, class)| count(class.most.min(media.most), name));
    some.collect::<Vec<_>>().join(" or ")
}

fn classes(media: &Media) -> impl Iterator<Item = (&'static str, &Class)> {
    let named = [("image", &media.image), ("GIF", &media.animation), ("video", &media.video)];
    named.into_iter().filter_map(|(name, class)| Some((name, class.as_ref()?)))
}

/// All of one platform, in lines.
fn text(of: &Platform) -> String {
    let mut told = format!("{}\n", of.platform);
    let mut pair = |name: &str, value: String| {
        writeln!(told, "  {name:<10} {value}").expect("a text takes all");
    };
    pair(
        "text",
        of.text.map_or_else(
            || "of any length".to_owned(),
            |most| format!("up to {most} characters, as it counts"),
        ),
    );
    pair(
        "thread",
        match of.parts {
            Some(1) => "none: a post has one part".to_owned(),
            Some(most) => format!("up to {most} parts"),
            None => "of any length".to_owned(),
        },
    );
    match &of.media {
        None => pair("media", "none".to_owned()),
        Some(media) => {
            for (name, class) in classes(media) {
                pair("media", format!("{} ({})", count(class.most, name), class.kinds.join(", ")));
            }
            pair("", format!("{} in all", media.most));
        }
    }
    if let Some(daily) = of.daily {
        pair("a day", format!("{} of one account in any 24 hours", count(daily as usize, "post")));
    }
    pair("account", account(of));
    if of.preflight {
        pair("rules", "asked for before a post is planned, and again before it is sent".to_owned());
    }
    pair(
        "no answer",
        match of.settle_seconds {
            Some(seconds) => {
                format!("it is asked whether the post is out; a no is believed after {seconds} s")
            }
            None => "nobody can be asked; the account's --on-unknown decides".to_owned(),
        },
    );
    if !of.metrics.is_empty() {
        pair("counts", of.metrics.join(", "));
    }
    let width = of.options.iter().map(|option| option.name.len()).max().unwrap_or_default();
    for option in &of.options {
        let needed = if option.required { "needed: " } else { "" };
        let told_as = format!("{}.{:<width$}", of.platform, option.name);
        pair("option", format!("{told_as}  {needed}{} ({})", option.about, values(option)));
    }
    told.truncate(told.trim_end().len());
    told
}

fn account(of: &Platform) -> String {
    match (of.connects, of.renews) {
        (true, true) => "connected at the platform or added with a token; tokens are renewed",
        (true, false) => "connected at the platform or added with a token",
        (false, true) => "added with a token or an app password; tokens are renewed",
        (false, false) => "added with a token, if it needs one",
    }
    .to_owned()
}

/// What an option may be.
fn values(option: &PlatformOption) -> String {
    let PlatformOption { kind, least, most, choices, .. } = option;
    match (kind.as_str(), least, most) {
        ("flag", ..) => "true or false".to_owned(),
        ("choice", ..) => choices.join(", "),
        ("number", Some(least), Some(most)) => format!("{least} to {most}"),
        ("text", _, Some(most)) => format!("up to {most} characters"),
        ("list", _, Some(most)) => format!("a list of up to {most}"),
        _ => kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn town() -> Platform {
        let option = |name: &str, kind: &str, most: Option<i64>| {
            let choices = if kind == "choice" { vec!["self", "link"] } else { vec![] };
            json!({ "name": name, "kind": kind, "required": name == "board", "about": "what it is",
                    "least": most.map(|_| 1), "most": most, "choices": choices })
        };
        serde_json::from_value(json!({
            "platform": "town", "text": 300, "parts": 1, "settle_seconds": 10, "metrics": ["likes"],
            "daily": 1, "connects": true, "renews": true, "preflight": true,
            "media": { "most": 4, "image": { "kinds": ["JPEG", "PNG"], "most": 20 }, "video": { "kinds": ["MP4"], "most": 1 } },
            "options": [option("board", "text", Some(32)), option("kind", "choice", None), option("nsfw", "flag", None),
                        option("days", "number", Some(7)), option("tags", "list", Some(5))],
        }))
        .unwrap()
    }

    #[test]
    fn a_row_says_what_fits_and_what_is_needed() {
        assert_eq!(row(&town()), ["town", "300", "no", "4 images or 1 video", "board", "1"]);
    }

    #[test]
    fn all_of_one_is_told() {
        let told = text(&town());

        for line in [
            "  media      20 images (JPEG, PNG)",
            "             4 in all",
            "  a day      1 post of one account in any 24 hours",
            "  option     town.board  needed: what it is (up to 32 characters)",
            "  option     town.kind   what it is (self, link)",
            "  option     town.nsfw   what it is (true or false)",
            "  option     town.days   what it is (1 to 7)",
            "  option     town.tags   what it is (a list of up to 5)",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
        }
    }
}
