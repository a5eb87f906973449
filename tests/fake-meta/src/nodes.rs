//! Single nodes: whom a token belongs to, how a container stands, what is counted.

use chrono::{DateTime, Utc};
use fake_http::Answer;
use serde_json::{Value, json};

use crate::answers::{answer, invalid, missing, refuse};
use crate::body::Fields;
use crate::world::World;
use crate::{facebook, instagram};

/// What insights a post of a Page has, and one of Instagram.
const OF_PAGES: &[&str] = &[
    "post_media_view",
    "post_total_media_view_unique",
    "post_clicks",
    "post_reactions_by_type_total",
];
const OF_INSTAGRAM: &[&str] = &[
    "views",
    "reach",
    "likes",
    "comments",
    "saved",
    "shares",
    "total_interactions",
    "ig_reels_avg_watch_time",
    "ig_reels_video_view_total_time",
];
const OF_REELS: &[&str] = &["ig_reels_avg_watch_time", "ig_reels_video_view_total_time"];

/// Answers `GET /me`.
pub(crate) fn me(user: &str, fields: &Fields) -> Answer {
    match fields.text("fields") {
        Some("id,name") => answer(200, &json!({ "id": user, "name": format!("Page {user}") })),
        Some("user_id,username") => {
            answer(200, &json!({ "user_id": user, "username": format!("user{user}"), "id": "1" }))
        }
        _ => *invalid("fields"),
    }
}

/// Answers `GET /{id}`.
pub(crate) fn node(world: &mut World, id: &str, fields: &Fields) -> Answer {
    if let Some(name) = fields.unlisted(&["fields"]) {
        return *invalid(name);
    }
    let asked = fields.text("fields").unwrap_or_default().to_owned();
    if let Some(container) = world.containers.get_mut(id) {
        if asked != "status_code,status" {
            return *invalid("fields of a container");
        }
        let (code, status) = match container.working {
            0 => (container.status_code, container.status.clone()),
            _ => ("IN_PROGRESS", "In Progress: Media is still being processed.".to_owned()),
        };
        container.working = container.working.saturating_sub(1);
        return answer(200, &json!({ "status_code": code, "status": status, "id": id }));
    }
    if asked == "status" {
        let status = facebook::status(world, id);
        return status
            .map_or_else(|| missing(id), |told| answer(200, &json!({ "status": told, "id": id })));
    }
    let Some(post) = world.out(id) else { return missing(id) };
    let counted = world.counted.get(id).cloned().unwrap_or_else(|| json!({}));
    let mut told = match (post.kind, asked.as_str()) {
        (
            "media" | "story",
            "permalink,timestamp" | "like_count,comments_count,media_product_type",
        ) => instagram::shown(post),
        (
            "feed",
            "reactions.summary(total_count).limit(0),comments.summary(true).limit(0),shares",
        )
        | ("video", "reactions.summary(total_count).limit(0),comments.summary(true).limit(0)") => {
            json!({})
        }
        _ => return refuse(100, 0, "(#100) Tried accessing nonexisting field"),
    };
    if let (Some(told), Some(counted)) = (told.as_object_mut(), counted.as_object()) {
        told.extend(counted.clone());
    }
    answer(200, &told)
}

/// Answers `GET /{id}/insights`: one name that it does not know fails all of it.
pub(crate) fn insights(world: &World, id: &str, fields: &Fields) -> Answer {
    let Some(post) = world.out(id) else { return missing(id) };
    let known = if post.kind == "feed" { OF_PAGES } else { OF_INSTAGRAM };
    let is_reel =
        world.counted.get(id).is_some_and(|counted| counted["media_product_type"] == "REELS");
    let asked = fields.text("metric").unwrap_or_default().split(',');
    let asked: Vec<&str> = asked.collect();
    let fits = |name: &&str| {
        known.contains(name)
            && (is_reel || !OF_REELS.contains(name))
            && !(post.kind == "story" && *name == "saved")
    };
    if !asked.iter().all(fits) {
        return refuse(100, 0, "(#100) The value must be a valid insights metric");
    }
    let counts = world.insights.get(id);
    let told = asked.iter().filter_map(|name| {
        let value = counts?.get(*name)?;
        Some(json!({ "name": name, "period": "lifetime", "values": [{ "value": value }] }))
    });
    answer(200, &json!({ "data": told.collect::<Vec<Value>>() }))
}

/// One page of a list.
pub(crate) fn page_of(entries: &[Value], fields: &Fields) -> Answer {
    let number = |name: &str| fields.number(name).and_then(|n| usize::try_from(n).ok());
    let (limit, skip) = (number("limit").unwrap_or(25), number("after").unwrap_or_default());
    let page: Vec<&Value> = entries.iter().skip(skip).take(limit).collect();
    let end = skip + page.len();
    let mut body = json!({ "data": page });
    if end > skip {
        body["paging"] =
            json!({ "cursors": { "before": skip.to_string(), "after": end.to_string() } });
        if end < entries.len() {
            body["paging"]["next"] = json!("https://graph.facebook.com/the/next/page");
        }
    }
    answer(200, &body)
}

/// A time as Meta writes it.
pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
}
