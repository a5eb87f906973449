//! Lists: a user's own posts, and posts by their names.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fake_http::Answer;
use serde_json::{Value, json};

use crate::answers::{answer, plain};
use crate::ledger::{Accepted, Standing};
use crate::server::World;

/// Answers `GET /user/{name}/submitted`.
pub(crate) fn submitted(
    user: &str,
    query: &BTreeMap<String, String>,
    world: &World,
    now: DateTime<Utc>,
) -> Answer {
    let known = ["sort", "limit", "after", "raw_json"];
    let limit = query.get("limit").map_or(Ok(25), |limit| limit.parse::<usize>());
    let (Ok(limit), true) = (limit, query.keys().all(|name| known.contains(&name.as_str()))) else {
        return plain(400, "Bad Request");
    };
    let after = query.get("after").and_then(|name| name.strip_prefix("t3_"));
    let own = world.book.accepted().iter().rev().filter(|post| {
        post.user.eq_ignore_ascii_case(user) && post.accepted_at + world.hide <= now
    });
    let mut own = own.skip_while(|post| after.is_some_and(|id| post.id != id));
    if after.is_some() {
        own.next();
    }
    let raw = query.contains_key("raw_json");
    let mut posts = own.peekable();
    let mut page = Vec::new();
    while page.len() < limit.min(100) {
        let Some(post) = posts.next() else { break };
        page.push((post.id.clone(), shown(post, world, raw)));
    }
    let more = posts.peek().and(page.last()).map(|(id, _)| format!("t3_{id}"));
    list(page.into_iter().map(|(_, post)| post).collect(), more)
}

/// Answers `GET /api/info`.
pub(crate) fn info(query: &BTreeMap<String, String>, world: &World) -> Answer {
    let names: Vec<&str> = query.get("id").map(|ids| ids.split(',').collect()).unwrap_or_default();
    if names.len() > 100 || query.keys().any(|name| name != "id" && name != "raw_json") {
        return plain(400, "Bad Request");
    }
    let raw = query.contains_key("raw_json");
    let found = names.into_iter().filter_map(|name| {
        let id = name.strip_prefix("t3_")?;
        let post = world.book.accepted().iter().find(|post| post.id == id)?;
        (world.book.standing(id) != Standing::Missing).then(|| shown(post, world, raw))
    });
    list(found.collect(), None)
}

fn list(posts: Vec<Value>, after: Option<String>) -> Answer {
    let children: Vec<Value> =
        posts.into_iter().map(|post| json!({ "kind": "t3", "data": post })).collect();
    let data = json!({
        "after": after, "before": null, "dist": children.len(), "modhash": null,
        "geo_filter": "", "children": children,
    });
    answer(200, &json!({ "kind": "Listing", "data": data }))
}

/// What is shown of the files of a post: where they are now, or what a gallery names them by.
fn tell_files(shown: &mut Value, post: &Accepted, world: &World) {
    let asset = |name: &String| world.uploads.usable(&post.user, name).map(|file| &file.asset);
    let assets: Vec<&String> = post.media.iter().filter_map(asset).collect();
    let url = match (post.kind.as_str(), assets.as_slice()) {
        ("image", [asset]) => format!("https://i.redd.it/{asset}.png"),
        ("video", [asset]) => format!("https://v.redd.it/{asset}"),
        ("gallery", _) => format!("https://www.reddit.com/gallery/{}", post.id),
        _ => return,
    };
    shown["url"] = json!(url);
    shown["url_overridden_by_dest"] = json!(url);
    shown["is_video"] = json!(post.kind == "video");
    if post.kind == "gallery" {
        let items: Vec<Value> = assets.iter().map(|asset| json!({ "media_id": asset })).collect();
        shown["is_gallery"] = json!(true);
        shown["gallery_data"] = json!({ "items": items });
    }
}

fn shown(post: &Accepted, world: &World, raw: bool) -> Value {
    let text = |text: &str| match raw {
        true => text.to_owned(),
        false => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
    };
    let title: String = post.title.split_whitespace().collect::<Vec<_>>().join(" ");
    let path = format!("/r/{}/comments/{}/some_title/", post.subreddit, post.id);
    let url = post.url.clone().unwrap_or_else(|| format!("https://www.reddit.com{path}"));
    let mut shown = json!({
        "id": post.id, "name": format!("t3_{}", post.id), "title": text(&title),
        "selftext": text(post.text.trim_end()), "url": text(&url), "subreddit": post.subreddit,
        "permalink": path, "author": post.user, "is_self": post.kind == "self",
        "over_18": post.nsfw, "spoiler": post.spoiler, "link_flair_text": post.flair.1,
        "created_utc": post.accepted_at.timestamp() as f64, "removed_by_category": null,
        "upvote_ratio": 1.0, "total_awards_received": 0, "num_crossposts": 0, "view_count": null,
    });
    if post.kind != "self" {
        shown["url_overridden_by_dest"] = json!(text(&url));
    }
    if world.tells_files {
        tell_files(&mut shown, post, world);
    }
    match world.book.standing(&post.id) {
        Standing::Shown { score, comments, locked } => {
            shown["score"] = json!(score);
            shown["ups"] = json!(score);
            shown["num_comments"] = json!(comments);
            shown["locked"] = json!(locked);
        }
        Standing::Removed(by) => {
            shown["removed_by_category"] = json!(by);
            if post.kind == "self" {
                shown["selftext"] = json!(if by == "deleted" { "[deleted]" } else { "[removed]" });
            }
        }
        Standing::Missing => {}
    }
    shown
}
