//! Pages: posts of the feed, photos that nobody sees yet, videos in phases, and what is published.

use chrono::{DateTime, TimeDelta, Utc};
use fake_http::Answer;
use serde_json::{Value, json};

use crate::answers::{Refusal, answer, invalid, refuse};
use crate::body::Fields;
use crate::ledger::Accepted;
use crate::nodes::{page_of, time};
use crate::world::{Photo, VideoSession, World};

const MOST_MESSAGE: usize = 63_206;
const MOST_PHOTO: usize = 10 * 1_024 * 1_024;

/// Checks `POST /{page}/feed`.
pub(crate) fn feed(
    world: &mut World,
    page: &str,
    fields: &Fields,
    now: DateTime<Utc>,
) -> Result<Accepted, Refusal> {
    if let Some(name) = fields.unlisted(&["message", "link", "attached_media", "published"]) {
        return Err(invalid(name));
    }
    let photos: Vec<String> = match fields.value("attached_media") {
        None => Vec::new(),
        Some(attached) => {
            let ids = attached.as_array().ok_or_else(|| invalid("attached_media"))?;
            let ids = ids.iter().map(|one| one["media_fbid"].as_str().map(str::to_owned));
            ids.collect::<Option<_>>().ok_or_else(|| invalid("media_fbid"))?
        }
    };
    let text = fields.text("message").unwrap_or_default().to_owned();
    let link = fields.text("link").map(str::to_owned);
    if text.chars().count() > MOST_MESSAGE || text.is_empty() && link.is_none() && photos.is_empty()
    {
        return Err(invalid("message"));
    }
    let own = |id: &String| world.photos.get(id).is_some_and(|photo| photo.page == page);
    if !photos.iter().all(own) {
        return Err(invalid("media_fbid"));
    }
    let id = format!("{page}_{}", world.next_id());
    Ok(Accepted {
        listed_as: id.clone(),
        id,
        account: page.to_owned(),
        kind: "feed",
        text,
        link,
        of: photos,
        at: now,
    })
}

/// Attaches the photos of a post.
pub(crate) fn attach(world: &mut World, post: &Accepted) -> Result<(), Refusal> {
    let used = |id: &String| world.photos.get(id).is_none_or(|photo| photo.used);
    if post.of.iter().any(used) {
        return Err(Box::new(refuse(100, 1_366_051, "These photos were already posted.")));
    }
    for id in &post.of {
        if let Some(photo) = world.photos.get_mut(id) {
            photo.used = true;
        }
    }
    Ok(())
}

/// Answers `POST /{page}/photos`.
pub(crate) fn photo(world: &mut World, page: &str, fields: &Fields) -> Answer {
    if let Some(name) = fields.unlisted(&["source", "published", "alt_text_custom", "caption"]) {
        return *invalid(name);
    }
    let Some((_, content)) = fields.file.clone().filter(|(name, _)| name == "source") else {
        return refuse(324, 0, "(#324) Requires upload file");
    };
    if content.len() > MOST_PHOTO {
        return refuse(1, 1_366_046, "Your photos couldn't be uploaded.");
    }
    if fields.flag("published") != Some(false) {
        return *invalid("this server takes photos for posts alone");
    }
    let alt = fields.text("alt_text_custom").map(str::to_owned);
    let id = world.next_id();
    world.photos.insert(id.clone(), Photo { page: page.to_owned(), alt, content, used: false });
    answer(200, &json!({ "id": id }))
}

/// Answers the phases `start` and `transfer` of `POST /{page}/videos`.
pub(crate) fn upload(world: &mut World, page: &str, fields: &Fields) -> Answer {
    match fields.text("upload_phase") {
        Some("start") => start(world, page, fields),
        Some("transfer") => transfer(world, page, fields),
        _ => *invalid("upload_phase"),
    }
}

fn start(world: &mut World, page: &str, fields: &Fields) -> Answer {
    if let Some(name) = fields.unlisted(&["upload_phase", "file_size"]) {
        return *invalid(name);
    }
    let Some(size) = fields.number("file_size").filter(|size| *size > 0) else {
        return *invalid("file_size");
    };
    let (id, video) = (world.next_id(), world.next_id());
    let session = VideoSession {
        page: page.to_owned(),
        video: video.clone(),
        size,
        content: Vec::new(),
        finished: false,
    };
    let mut told = next(&session, world.chunk);
    told["upload_session_id"] = json!(id);
    told["video_id"] = json!(video);
    world.sessions.insert(id, session);
    answer(200, &told)
}

fn transfer(world: &mut World, page: &str, fields: &Fields) -> Answer {
    let listed = ["upload_phase", "upload_session_id", "start_offset", "video_file_chunk"];
    if let Some(name) = fields.unlisted(&listed) {
        return *invalid(name);
    }
    let chunk = world.chunk;
    let Some(session) = own_session(world, page, fields) else { return no_session() };
    let Some((_, content)) = fields.file.clone().filter(|(name, _)| name == "video_file_chunk")
    else {
        return *invalid("video_file_chunk");
    };
    let from = session.content.len() as u64;
    if content.len() as u64 > chunk.min(session.size - from) {
        return *invalid("video_file_chunk is larger than asked for");
    }
    // What came twice is told where it stands.
    if fields.number("start_offset") == Some(from) {
        session.content.extend(content);
    }
    answer(200, &next(session, chunk))
}

/// Checks the phase `finish` of `POST /{page}/videos`.
pub(crate) fn finish(
    world: &mut World,
    page: &str,
    fields: &Fields,
    now: DateTime<Utc>,
) -> Result<Accepted, Refusal> {
    let listed = ["upload_phase", "upload_session_id", "title", "description"];
    if let Some(name) = fields.unlisted(&listed) {
        return Err(invalid(name));
    }
    let listed_as = format!("{page}_{}", world.next_id());
    let session = own_session(world, page, fields).ok_or_else(|| Box::new(no_session()))?;
    if session.content.len() as u64 != session.size {
        return Err(Box::new(refuse(6_000, 1_363_030, "The video file is not complete.")));
    }
    Ok(Accepted {
        id: session.video.clone(),
        listed_as,
        account: page.to_owned(),
        kind: "video",
        text: fields.text("description").unwrap_or_default().to_owned(),
        link: None,
        of: fields.text("upload_session_id").map(str::to_owned).into_iter().collect(),
        at: now,
    })
}

/// Publishes a video: a session is good for one.
pub(crate) fn finished(world: &mut World, post: &Accepted) -> Result<(), Refusal> {
    let session = post.of.first().and_then(|id| world.sessions.get_mut(id));
    match session.filter(|session| !session.finished) {
        Some(session) => {
            session.finished = true;
            Ok(())
        }
        None => Err(Box::new(no_session())),
    }
}

fn own_session<'a>(
    world: &'a mut World,
    page: &str,
    fields: &Fields,
) -> Option<&'a mut VideoSession> {
    let session = world.sessions.get_mut(fields.text("upload_session_id")?)?;
    Some(session).filter(|session| session.page == page && !session.finished)
}

fn no_session() -> Answer {
    refuse(100, 33, "The upload session does not exist")
}

/// As texts: so Facebook writes offsets.
fn next(session: &VideoSession, chunk: u64) -> Value {
    let from = session.content.len() as u64;
    let until = session.size.min(from + chunk);
    json!({ "start_offset": from.to_string(), "end_offset": until.to_string() })
}

/// What a look asks for of each post.
const LISTED: &str = "id,message,created_time,attachments{media_type,target,url,unshimmed_url,subattachments{target}}";

/// Answers `GET /{page}/published_posts`.
pub(crate) fn list(world: &World, page: &str, fields: &Fields, now: DateTime<Utc>) -> Answer {
    if let Some(name) = fields.unlisted(&["fields", "limit", "after", "since"]) {
        return *invalid(name);
    }
    if fields.text("fields") != Some(LISTED) {
        return refuse(100, 0, "(#100) Tried accessing nonexisting field");
    }
    let since = fields.number("since").unwrap_or_default();
    let since = TimeDelta::seconds(i64::try_from(since).unwrap_or_default());
    let since = DateTime::UNIX_EPOCH + since;
    let visible = |post: &&Accepted| post.at + world.faults.hide <= now && post.at >= since;
    let posts = world.out_of(page).filter(visible);
    let shown: Vec<Value> = posts.map(|post| shown_post(post, world.tells_ids)).collect();
    page_of(&shown, fields)
}

fn shown_post(post: &Accepted, tells_ids: bool) -> Value {
    let mut shown = json!({
        "id": post.listed_as,
        "created_time": time(post.at),
    });
    if !post.text.is_empty() {
        shown["message"] = json!(post.text);
    }
    if let Some(mut attached) = attached(post) {
        if !tells_ids {
            for name in ["target", "subattachments", "url", "unshimmed_url"] {
                attached.as_object_mut().map(|attached| attached.remove(name));
            }
        }
        shown["attachments"] = json!({ "data": [attached] });
    }
    shown
}

/// What is attached to a post, as lists show it.
fn attached(post: &Accepted) -> Option<Value> {
    let target = |id: &String| json!({ "id": id, "url": format!("https://www.facebook.com/{id}") });
    let card = |link: &str| {
        // A card of somebody else's video.
        let kind = if link.contains("youtube") { "video" } else { "link" };
        let shim = format!("https://l.facebook.com/l.php?u={}", link.replace(':', "%3A"));
        json!({ "media_type": kind, "url": shim, "unshimmed_url": link, "target": { "url": shim } })
    };
    let photo = |id: &String| json!({ "media_type": "photo", "target": target(id) });
    match (post.kind, &post.link, post.of.as_slice()) {
        ("video", _, _) => Some(
            json!({ "media_type": "video", "target": target(&post.id), "url": target(&post.id)["url"] }),
        ),
        (_, Some(link), _) => Some(card(link)),
        (_, None, []) => post.text.split_whitespace().find(|word| word.contains("://")).map(card),
        (_, None, [one]) => Some(photo(one)),
        (_, None, several) => {
            let inner: Vec<Value> = several.iter().map(photo).collect();
            Some(
                json!({ "media_type": "album", "target": { "id": "1" }, "subattachments": { "data": inner } }),
            )
        }
    }
}

/// How a video stands, by its id; none if there is no such.
pub(crate) fn status(world: &World, video: &str) -> Option<Value> {
    let session = world.sessions.values().find(|session| session.video == video)?;
    let (video_status, phase, publish_status) = match session.finished {
        true => ("ready", "complete", "published"),
        false => ("uploading", "not_started", "draft"),
    };
    Some(json!({
        "video_status": video_status,
        "uploading_phase": { "status": if session.finished { "complete" } else { "in_progress" } },
        "processing_phase": { "status": phase },
        "publishing_phase": { "status": phase, "publish_status": publish_status },
    }))
}
