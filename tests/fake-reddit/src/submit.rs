//! Submitting: what is asked for, why it may be refused, and what is answered.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use fake_http::Answer;
use serde_json::{Value, json};

use crate::answers::{answer, errors, plain};
use crate::ledger::Accepted;
use crate::server::World;

/// The fields of `/api/submit` that Reddit documents, and that this server takes.
const FIELDS: [&str; 14] = [
    "api_type",
    "sr",
    "kind",
    "title",
    "text",
    "url",
    "resubmit",
    "sendreplies",
    "nsfw",
    "spoiler",
    "flair_id",
    "flair_text",
    "validate_on_submit",
    "video_poster_url",
];
/// The same of `/api/submit_gallery_post.json`.
const GALLERY_FIELDS: [&str; 12] = [
    "api_type",
    "sr",
    "title",
    "text",
    "nsfw",
    "spoiler",
    "sendreplies",
    "show_error_list",
    "validate_on_submit",
    "items",
    "flair_id",
    "flair_text",
];

/// A post that is asked for.
pub(crate) struct Asked {
    post: Accepted,
    resubmit: bool,
    poster: Option<String>,
}

impl Asked {
    /// A form of `/api/submit`.
    pub(crate) fn form(
        user: &str,
        form: &BTreeMap<String, String>,
        now: DateTime<Utc>,
    ) -> Result<Self, Box<Answer>> {
        let one = |name: &str| form.get(name).cloned();
        let flag = |name: &str| match form.get(name).map(String::as_str) {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err(Box::new(plain(400, "Bad Request"))),
        };
        let known = form.keys().all(|name| FIELDS.contains(&name.as_str()));
        if !known || one("api_type").as_deref() != Some("json") || !flag("validate_on_submit")? {
            return Err(Box::new(plain(400, "Bad Request")));
        }
        let kind = one("kind").unwrap_or_default();
        let url = one("url");
        let media = if kind == "image" || kind == "video" {
            url.clone().into_iter()
        } else {
            None.into_iter()
        };
        Ok(Self {
            resubmit: flag("resubmit")?,
            poster: one("video_poster_url"),
            post: Accepted {
                id: String::new(),
                user: user.to_owned(),
                subreddit: one("sr").unwrap_or_default(),
                title: one("title").unwrap_or_default(),
                text: one("text").unwrap_or_default(),
                media: media.collect(),
                kind,
                url,
                captions: Vec::new(),
                flair: (one("flair_id"), one("flair_text")),
                nsfw: flag("nsfw")?,
                spoiler: flag("spoiler")?,
                send_replies: flag("sendreplies")?,
                accepted_at: now,
            },
        })
    }

    /// The JSON of `/api/submit_gallery_post.json`.
    pub(crate) fn gallery(
        user: &str,
        body: &Value,
        now: DateTime<Utc>,
    ) -> Result<Self, Box<Answer>> {
        let wrong = || Box::new(plain(400, "Bad Request"));
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let flag = |name: &str| body.get(name).and_then(Value::as_bool).ok_or_else(wrong);
        let fields = body.as_object().ok_or_else(wrong)?;
        let known = fields.keys().all(|name| GALLERY_FIELDS.contains(&name.as_str()));
        let items = body.get("items").and_then(Value::as_array).ok_or_else(wrong)?;
        let of = |item: &Value, name: &str| {
            item.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(wrong)
        };
        let media = items.iter().map(|item| of(item, "media_id")).collect::<Result<Vec<_>, _>>()?;
        let captions =
            items.iter().map(|item| of(item, "caption")).collect::<Result<Vec<_>, _>>()?;
        let outbound =
            items.iter().map(|item| of(item, "outbound_url")).collect::<Result<Vec<_>, _>>()?;
        let whole = known
            && outbound.iter().all(String::is_empty)
            && text("api_type").as_deref() == Some("json")
            && flag("show_error_list")?
            && flag("validate_on_submit")?;
        if !whole {
            return Err(wrong());
        }
        Ok(Self {
            resubmit: true,
            poster: None,
            post: Accepted {
                id: String::new(),
                user: user.to_owned(),
                subreddit: text("sr").unwrap_or_default(),
                title: text("title").unwrap_or_default(),
                text: text("text").unwrap_or_default(),
                kind: "gallery".to_owned(),
                url: None,
                media,
                captions,
                flair: (text("flair_id"), text("flair_text")),
                nsfw: flag("nsfw")?,
                spoiler: flag("spoiler")?,
                send_replies: flag("sendreplies")?,
                accepted_at: now,
            },
        })
    }

    /// Why Reddit would refuse it, inside a 200.
    pub(crate) fn refusal(&self, world: &World) -> Option<Answer> {
        let post = &self.post;
        let usable = |name: &String| world.uploads.usable(&post.user, name).is_some();
        let taken = |other: &Accepted| {
            other.subreddit.eq_ignore_ascii_case(&post.subreddit) && other.url == post.url
        };
        let is_media = matches!(post.kind.as_str(), "image" | "video");
        let is = |kind: &str| post.kind == kind;
        let wrong: (&str, &str, &str) = if post.subreddit.is_empty() {
            ("SUBREDDIT_REQUIRED", "you must specify a subreddit", "sr")
        } else if post.title.trim().is_empty() {
            ("NO_TEXT", "we need something here", "title")
        } else if post.title.chars().count() > 300 {
            ("TOO_LONG", "this is too long (max: 300)", "title")
        } else if post.text.chars().count() > 40_000 {
            ("TOO_LONG", "this is too long (max: 40000)", "text")
        } else if !["self", "link", "image", "video", "gallery"].contains(&post.kind.as_str()) {
            ("INVALID_OPTION", "that option is not valid", "kind")
        } else if (is("link") || is_media) && post.url.is_none() {
            ("NO_URL", "a url is required", "url")
        } else if (is("self") && post.url.is_some()) || (is_media && !post.media.iter().all(usable))
        {
            ("BAD_URL", "you should check that url", "url")
        } else if is("video") != self.poster.as_ref().is_some_and(usable) {
            ("BAD_URL", "you should check that url", "video_poster_url")
        } else if is("gallery")
            && (!(2..=20).contains(&post.media.len()) || !post.media.iter().all(usable))
        {
            ("INVALID_OPTION", "that option is not valid", "items")
        } else if is("link") && !self.resubmit && world.book.accepted().iter().any(taken) {
            ("ALREADY_SUB", "that link has already been submitted", "url")
        } else {
            return None;
        };
        Some(errors(wrong.0, wrong.1, wrong.2))
    }

    /// Accepts it and tells what Reddit answers.
    pub(crate) fn accept(self, world: &mut World, now: DateTime<Utc>) -> Answer {
        let worked_on = matches!(self.post.kind.as_str(), "image" | "video");
        let accepted_at = if worked_on { now + world.work } else { now };
        let post = world.book.accept(Accepted { accepted_at, ..self.post });
        let url =
            format!("https://www.reddit.com/r/{}/comments/{}/a_title/", post.subreddit, post.id);
        let name = format!("t3_{}", post.id);
        let data = match post.kind.as_str() {
            "image" | "video" => json!({
                "user_submitted_page": format!("https://www.reddit.com/user/{}/submitted/", post.user),
                "websocket_url": world.has_websockets.then_some("wss://ws.example.com/key?m=sig"),
            }),
            // Here the id is the full name.
            "gallery" => json!({ "url": url, "id": name }),
            _ => json!({ "url": url, "drafts_count": 0, "id": post.id, "name": name }),
        };
        answer(200, &json!({ "json": { "errors": [], "data": data } }))
    }
}
