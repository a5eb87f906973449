//! `postqd platforms`: what each platform can do.

use serde::Deserialize;

use crate::api::Api;
use crate::api::shown::Shown;
use crate::output::Output;

#[derive(Debug, Deserialize)]
struct Platforms {
    items: Vec<Shown<Platform>>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    platform: String,
    text: Option<usize>,
    parts: usize,
    options: Vec<PlatformOption>,
    media: Option<Media>,
    settle_seconds: Option<u64>,
    metrics: Vec<String>,
    daily: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct PlatformOption {
    name: String,
    required: bool,
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
    most: usize,
}

pub(super) async fn run(api: &Api, output: Output) -> anyhow::Result<()> {
    let told = api.get::<Platforms>("/api/platforms").await?.it;
    let columns =
        ["platform", "text", "parts", "media", "options (* needed)", "a day", "unknown", "counts"];
    output.list(columns, &told.items, |platform| row(platform));
    Ok(())
}

fn row(platform: &Platform) -> [String; 8] {
    let option = |option: &PlatformOption| {
        let needed = if option.required { "*" } else { "" };
        format!("{}{needed}", option.name)
    };
    let options: Vec<String> = platform.options.iter().map(option).collect();
    [
        platform.platform.clone(),
        platform.text.map_or_else(|| "any".to_owned(), |text| text.to_string()),
        if platform.parts == 1 { "no threads".to_owned() } else { platform.parts.to_string() },
        platform.media.as_ref().map_or_else(|| "none".to_owned(), media),
        options.join(", "),
        platform.daily.map_or_else(|| "any".to_owned(), |daily| daily.to_string()),
        match platform.settle_seconds {
            Some(_) => "it is asked".to_owned(),
            None => "nobody to ask".to_owned(),
        },
        platform.metrics.join(", "),
    ]
}

/// `4 images, 1 GIF, 1 video; 4 in all`
fn media(media: &Media) -> String {
    let named = [("images", &media.image), ("GIFs", &media.animation), ("videos", &media.video)];
    let some = named.iter().filter_map(|(name, class)| Some((name, class.as_ref()?)));
    let classes: Vec<String> = some.map(|(name, class)| format!("{} {name}", class.most)).collect();
    format!("{}; {} in all", classes.join(", "), media.most)
}
