//! Instagram: containers, publishing one, and what is published.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fake_http::Answer;
use serde_json::{Value, json};

use crate::answers::{Refusal, answer, invalid, refuse};
use crate::body::Fields;
use crate::ledger::Accepted;
use crate::nodes::{page_of, time};
use crate::world::{Container, World};

const MOST_CAPTION: usize = 2_200;

const LISTED: &[&str] = &[
    "image_url",
    "video_url",
    "media_type",
    "caption",
    "alt_text",
    "user_tags",
    "location_id",
    "collaborators",
    "share_to_feed",
    "cover_url",
    "thumb_offset",
    "is_carousel_item",
    "children",
];

/// Answers `POST /{account}/media`.
pub(crate) fn container(world: &mut World, account: &str, fields: &Fields) -> Answer {
    if let Some(name) = fields.unlisted(LISTED) {
        return *invalid(name);
    }
    if let Err(refusal) = fits(world, account, fields) {
        return *refusal;
    }
    let is_video = fields.text("video_url").is_some();
    let kept = LISTED.iter().filter_map(|name| {
        let value = fields.value(name)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(((*name).to_owned(), text))
    });
    let container = Container {
        account: account.to_owned(),
        fields: kept.collect::<BTreeMap<_, _>>(),
        working: if is_video { world.polls } else { 0 },
        status_code: "FINISHED",
        status: "Finished: Media has been uploaded and it is ready to be published.".to_owned(),
    };
    let id = world.next_id();
    world.containers.insert(id.clone(), container);
    answer(200, &json!({ "id": id }))
}

fn fits(world: &World, account: &str, fields: &Fields) -> Result<(), Refusal> {
    let refused = |subcode, message: &str| Err(Box::new(refuse(100, subcode, message)));
    if fields.text("caption").is_some_and(|text| text.chars().count() > MOST_CAPTION) {
        return refused(2_207_010, "The caption was too long.");
    }
    let (image, video) = (fields.text("image_url"), fields.text("video_url"));
    for url in [image, video].into_iter().flatten() {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return refused(2_207_052, "The media could not be fetched from this URI.");
        }
    }
    let is_item = fields.flag("is_carousel_item") == Some(true);
    match fields.text("media_type") {
        Some("CAROUSEL") => {
            let children: Vec<&str> =
                fields.text("children").unwrap_or_default().split(',').collect();
            let good = |id: &&str| {
                world.containers.get(*id).is_some_and(|child| {
                    child.account == account
                        && child.working == 0
                        && child.fields.contains_key("is_carousel_item")
                })
            };
            if !(2..=10).contains(&children.len()) || !children.iter().all(good) {
                return refused(2_207_028, "Your post won't work as a carousel.");
            }
            Ok(())
        }
        Some("REELS") if video.is_some() && !is_item => Ok(()),
        Some("STORIES") if image.is_some() != video.is_some() && !is_item => Ok(()),
        Some("VIDEO") if video.is_some() && is_item => Ok(()),
        None if image.is_some() && video.is_none() => Ok(()),
        _ => refused(2_207_023, "The media type is unknown."),
    }
}

/// Checks `POST /{account}/media_publish`.
pub(crate) fn publish(
    world: &mut World,
    account: &str,
    fields: &Fields,
    now: DateTime<Utc>,
) -> Result<Accepted, Refusal> {
    if let Some(name) = fields.unlisted(&["creation_id"]) {
        return Err(invalid(name));
    }
    let id = fields.text("creation_id").unwrap_or_default().to_owned();
    can_be_published(world, account, &id)?;
    let of = world.containers.get(&id).map(|container| container.fields.clone());
    let of = of.unwrap_or_default();
    let is_story = of.get("media_type").is_some_and(|kind| kind == "STORIES");
    let media = world.next_id();
    Ok(Accepted {
        listed_as: media.clone(),
        id: media,
        account: account.to_owned(),
        kind: if is_story { "story" } else { "media" },
        text: of.get("caption").cloned().unwrap_or_default(),
        link: None,
        of: vec![id],
        at: now,
    })
}

fn can_be_published(world: &World, account: &str, id: &str) -> Result<(), Refusal> {
    let refused = |code, subcode, message: &str| Err(Box::new(refuse(code, subcode, message)));
    let Some(container) = world.containers.get(id).filter(|it| it.account == account) else {
        return refused(24, 2_207_006, "The media with this id cannot be found.");
    };
    let used = world.out_of(account).count();
    match (container.working, container.status_code) {
        (1.., _) | (_, "IN_PROGRESS") => {
            refused(9_007, 2_207_027, "The media is not ready for publishing, please wait.")
        }
        (_, "EXPIRED") => refused(100, 2_207_020, "The media has expired."),
        (_, "FINISHED") if used >= world.quota as usize => {
            refused(9, 2_207_042, "You reached the maximum number of posts.")
        }
        (_, "FINISHED") => Ok(()),
        _ => refused(24, 2_207_006, "The media cannot be published."),
    }
}

/// Publishes a container, once.
pub(crate) fn published(world: &mut World, post: &Accepted) -> Result<(), Refusal> {
    let id = post.of.first().cloned().unwrap_or_default();
    can_be_published(world, &post.account, &id)?;
    if let Some(container) = world.containers.get_mut(&id) {
        container.status_code = "PUBLISHED";
        container.status = "Published: Media has been published.".to_owned();
    }
    Ok(())
}

/// Answers `GET /{account}/content_publishing_limit`.
pub(crate) fn quota(world: &World, account: &str, fields: &Fields) -> Answer {
    if fields.text("fields") != Some("quota_usage,config") {
        return *invalid("fields");
    }
    let used = world.out_of(account).count();
    answer(
        200,
        &json!({ "data": [{
            "quota_usage": used,
            "config": { "quota_total": world.quota, "quota_duration": 86_400 },
        }] }),
    )
}

/// Answers `GET /{account}/media` and `GET /{account}/stories`.
pub(crate) fn list(
    world: &World,
    account: &str,
    edge: &str,
    fields: &Fields,
    now: DateTime<Utc>,
) -> Answer {
    if let Some(name) = fields.unlisted(&["fields", "limit", "after"]) {
        return *invalid(name);
    }
    let kind = if edge == "stories" { "story" } else { "media" };
    let visible = |post: &&Accepted| post.at + world.faults.hide <= now && post.kind == kind;
    let shown: Vec<Value> = world.out_of(account).filter(visible).map(shown).collect();
    page_of(&shown, fields)
}

/// A post as lists show it.
pub(crate) fn shown(post: &Accepted) -> Value {
    let mut shown = json!({
        "id": post.id,
        "media_type": "IMAGE",
        "media_product_type": if post.kind == "story" { "STORY" } else { "FEED" },
        "timestamp": time(post.at),
        "permalink": format!("https://www.instagram.com/p/{}/", post.id),
    });
    if !post.text.is_empty() {
        shown["caption"] = json!(post.text);
    }
    shown
}
