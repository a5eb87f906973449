//! Containers: what a part is built as, and what Instagram says of them.
//!
//! | kind | what is sent to `/{account}/media` |
//! |---|---|
//! | image | `image_url`, `caption`, `alt_text` |
//! | reel | `media_type=REELS`, `video_url`, `caption` |
//! | story | `media_type=STORIES`, `image_url` or `video_url` |
//! | carousel | of each file `is_carousel_item`, `image_url` or `media_type=VIDEO` and `video_url`; then `media_type=CAROUSEL`, `children`, `caption` |

use std::time::Instant;

use postq_core::failure::{Failure, FailureClass};
use postq_core::options::{OptionField, OptionKind, OptionValue, PostOptions};
use postq_core::platform::Outgoing;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Instagram;
use super::media::{CAROUSEL, Handed, Shape};
use crate::client::{MOST_OF_ONE, Token};

pub(super) const OPTIONS: &[OptionField] = &[
    OptionField::new(
        "kind",
        OptionKind::Choice { of: &["image", "carousel", "reel", "story"] },
        "what it is published as; told from the files by default",
    ),
    OptionField::new("share_to_feed", OptionKind::Flag, "whether a reel is shown in the feed too"),
    OptionField::new(
        "cover_url",
        OptionKind::Text { most: 2_000 },
        "the address of a reel's cover",
    ),
    OptionField::new(
        "thumb_offset",
        OptionKind::Number { least: 0, most: 900_000 },
        "the moment of a reel that is its cover, in milliseconds",
    ),
    OptionField::new(
        "location_id",
        OptionKind::Text { most: 100 },
        "the id of the Page of a place",
    ),
    OptionField::new(
        "collaborators",
        OptionKind::List { most: 3 },
        "names of accounts that are invited",
    ),
];

/// The longest video of a story, and the largest.
const STORY_PLAYS: f64 = 60.0;
const STORY_BYTES: u64 = 100 * 1_024 * 1_024;
/// The narrowest image of the feed, and how high and how wide one may be.
const NARROWEST: u32 = 320;
const RATIOS: (f64, f64) = (4.0 / 5.0, 1.91);
/// Pictures are whole pixels: a ratio may be off by so much.
const TOLERANCE: f64 = 0.01;

/// What a post is published as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    Carousel,
    Reel,
    Story,
}

impl Kind {
    /// What the options ask for; none if they leave it open.
    pub(super) fn asked(options: &PostOptions) -> Option<Self> {
        match options.text("kind")? {
            "image" => Some(Self::Image),
            "carousel" => Some(Self::Carousel),
            "reel" => Some(Self::Reel),
            "story" => Some(Self::Story),
            _ => None,
        }
    }

    /// What so many files are, where it is not said and does not depend on what they are.
    pub(super) fn of_count(files: usize) -> Option<Self> {
        (files > 1).then_some(Self::Carousel)
    }

    pub(super) fn of(options: &PostOptions, files: &[Shape]) -> Self {
        let told = Self::asked(options).or_else(|| Self::of_count(files.len()));
        told.unwrap_or(if files.iter().any(|file| file.video) { Self::Reel } else { Self::Image })
    }
}

/// A part as it is built: the containers of its files, if it has such, and its own.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) children: Vec<Value>,
    /// A carousel's lacks its `children`, which are known later.
    pub(super) whole: Value,
}

impl Plan {
    /// The containers of a part. A failure of class `content` names what Instagram would not take.
    pub(super) fn of(part: &Outgoing<'_>) -> Result<Self, Failure> {
        let files: Option<Vec<Handed>> = part.prepared.iter().map(Handed::read).collect();
        let files = files.filter(|files| files.len() == part.media.len()).ok_or_else(|| {
            let message = "the media of this part was not prepared first";
            Failure::not_published(FailureClass::Internal, message)
        })?;
        let shapes: Vec<Shape> = files.iter().map(|file| file.shape.clone()).collect();
        let kind = Kind::of(part.options, &shapes);
        if let Some(problem) = problem(kind, &shapes) {
            return Err(Failure::not_published(FailureClass::Content, problem));
        }
        let alt = |index: usize| part.media[index].alt.as_deref();
        Ok(match kind {
            Kind::Image => Self::alone(with_caption(image(&files[0], alt(0)), part)),
            Kind::Reel => Self::alone(with_caption(reel(&files[0], part.options), part)),
            Kind::Story => Self::alone(story(&files[0])),
            Kind::Carousel => Self {
                children: files.iter().enumerate().map(|(i, file)| item(file, alt(i))).collect(),
                whole: with_caption(json!({ "media_type": "CAROUSEL" }), part),
            },
        })
    }

    fn alone(whole: Value) -> Self {
        Self { children: Vec::new(), whole }
    }
}

fn image(file: &Handed, alt: Option<&str>) -> Value {
    let mut body = json!({ "image_url": file.url });
    if let Some(alt) = alt.filter(|alt| !alt.trim().is_empty()) {
        body["alt_text"] = json!(alt);
    }
    body
}

fn item(file: &Handed, alt: Option<&str>) -> Value {
    let mut body = match file.shape.video {
        true => json!({ "media_type": "VIDEO", "video_url": file.url }),
        false => image(file, alt),
    };
    body["is_carousel_item"] = json!(true);
    body
}

fn reel(file: &Handed, options: &PostOptions) -> Value {
    let mut body = json!({ "media_type": "REELS", "video_url": file.url });
    // What is not said is left to Instagram.
    if let Some((_, OptionValue::Flag(flag))) = options.iter().find(|(n, _)| *n == "share_to_feed")
    {
        body["share_to_feed"] = json!(flag);
    }
    if let Some(cover) = options.text("cover_url") {
        body["cover_url"] = json!(cover);
    }
    if let Some(offset) = options.number("thumb_offset") {
        body["thumb_offset"] = json!(offset);
    }
    body
}

fn story(file: &Handed) -> Value {
    let name = if file.shape.video { "video_url" } else { "image_url" };
    let mut body = json!({ "media_type": "STORIES" });
    body[name] = json!(file.url);
    body
}

fn with_caption(mut body: Value, part: &Outgoing<'_>) -> Value {
    if !part.text.trim().is_empty() {
        body["caption"] = json!(part.text);
    }
    if let Some(place) = part.options.text("location_id") {
        body["location_id"] = json!(place);
    }
    let people = part.options.list("collaborators");
    if !people.is_empty() {
        body["collaborators"] = json!(people);
    }
    body
}

/// What this kind of post does not take of these files.
pub(super) fn problem(kind: Kind, files: &[Shape]) -> Option<String> {
    let count = files.len();
    match (kind, files) {
        (Kind::Carousel, _) if !(CAROUSEL.0..=CAROUSEL.1).contains(&count) => {
            let (least, most) = CAROUSEL;
            Some(format!("a carousel has {count} files, expected {least} to {most}"))
        }
        (Kind::Carousel, files) => files.iter().filter(|file| !file.video).find_map(shape_problem),
        (Kind::Image, [file]) if !file.video => shape_problem(file),
        (Kind::Image, [_]) => Some("an image is asked for, and the file is a video".to_owned()),
        (Kind::Reel, [file]) if file.video => None,
        (Kind::Reel, [_]) => Some("a reel is asked for, and the file is a picture".to_owned()),
        (Kind::Story, [file]) => story_problem(file),
        _ => Some(format!("there are {count} files, expected 1")),
    }
}

fn story_problem(file: &Shape) -> Option<String> {
    if !file.video {
        return None;
    }
    if let Some(seconds) = file.seconds.filter(|seconds| *seconds > STORY_PLAYS) {
        return Some(format!("a story's video plays {seconds:.1} s, at most {STORY_PLAYS} s"));
    }
    let bytes = file.bytes;
    (bytes > STORY_BYTES)
        .then(|| format!("a story's video has {bytes} bytes, at most {STORY_BYTES}"))
}

fn shape_problem(file: &Shape) -> Option<String> {
    let Shape { width, height, .. } = file;
    if *width < NARROWEST {
        return Some(format!("an image is {width} pixels wide, at least {NARROWEST}"));
    }
    let ratio = f64::from(*width) / f64::from((*height).max(1));
    let is_good = ratio >= RATIOS.0 - TOLERANCE && ratio <= RATIOS.1 + TOLERANCE;
    (!is_good).then(|| {
        format!("an image is {width} by {height} pixels, expected a shape from 4:5 to 1.91:1")
    })
}

/// How a container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Instagram still works on it.
    InProgress,
    /// It can be published.
    Finished,
    /// It was published.
    Published,
    /// It was not published within a day.
    Expired,
    /// Instagram could not work on it, or not publish it. Why.
    Error(String),
}

impl Instagram {
    /// Asks how a container stands.
    pub(super) async fn status(
        &self,
        container: &str,
        token: &Token,
        until: Instant,
    ) -> Result<Status, Failure> {
        let path = format!("/{container}");
        let query = [("fields", "status_code,status")];
        let told: Told = self.graph.read(&path, &query, token, (MOST_OF_ONE, until)).await?;
        match told.status_code.as_str() {
            "IN_PROGRESS" => Ok(Status::InProgress),
            "FINISHED" => Ok(Status::Finished),
            "PUBLISHED" => Ok(Status::Published),
            "EXPIRED" => Ok(Status::Expired),
            "ERROR" => Ok(Status::Error(told.status)),
            _ => {
                let message = "instagram tells a status of the container that is not known";
                Err(Failure::unknown(FailureClass::Platform, message))
            }
        }
    }
}

#[derive(Deserialize)]
struct Told {
    status_code: String,
    #[serde(default)]
    status: String,
}
