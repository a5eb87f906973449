//! The body of the creating call: a form, or for a gallery JSON.

use postq_core::content::MediaRef;
use postq_http::form;
use serde::Serialize;

use crate::media::Taken;
use crate::options::{Kind, Wanted};

/// A creating call, ready to be sent.
pub(crate) struct Submission {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

/// The content type of a form.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

impl Submission {
    /// A post of this kind; the files are those that the kind has.
    pub(crate) fn new(
        wanted: &Wanted<'_>,
        kind: Kind,
        text: &str,
        (files, media): (&[Taken], &[MediaRef]),
    ) -> Self {
        match kind {
            Kind::Gallery => Self {
                path: "/api/submit_gallery_post.json",
                content_type: "application/json",
                body: gallery(wanted, text, files, media),
            },
            _ => Self {
                path: "/api/submit",
                content_type: FORM,
                body: fields(wanted, kind, text, files),
            },
        }
    }
}

fn fields(wanted: &Wanted<'_>, kind: Kind, text: &str, files: &[Taken]) -> Vec<u8> {
    let word = |flag: bool| if flag { "true" } else { "false" };
    let mut fields = vec![
        ("api_type", "json"),
        ("sr", wanted.community.as_str()),
        ("kind", kind.as_str()),
        ("title", wanted.title.as_str()),
        // The guard against the same link twice. Whatever else is sent again is not refused.
        ("resubmit", word(kind != Kind::Link || wanted.resubmit)),
        ("sendreplies", word(wanted.send_replies)),
        ("nsfw", word(wanted.nsfw)),
        ("spoiler", word(wanted.spoiler)),
        ("validate_on_submit", "true"),
    ];
    // A post of its own text may be empty; elsewhere the text is an addition.
    if kind == Kind::Own || !text.trim().is_empty() {
        fields.push(("text", text));
    }
    let (picture, video) = pictures_and_videos(files);
    let url = match kind {
        Kind::Link => wanted.url,
        Kind::Image => picture.map(|file| file.url.as_str()),
        Kind::Video => video.map(|file| file.url.as_str()),
        Kind::Own | Kind::Gallery => None,
    };
    fields.extend(url.map(|url| ("url", url)));
    if kind == Kind::Video {
        let own = picture.map(|file| file.url.as_str());
        let poster = own.or_else(|| video?.poster.as_deref());
        fields.extend(poster.map(|url| ("video_poster_url", url)));
    }
    fields.extend(wanted.flair_id.map(|id| ("flair_id", id)));
    fields.extend(wanted.flair_text.map(|text| ("flair_text", text)));
    form(&fields).as_bytes().to_vec()
}

/// The first picture and the first video.
fn pictures_and_videos(files: &[Taken]) -> (Option<&Taken>, Option<&Taken>) {
    let first = |video: bool| files.iter().find(|file| file.poster.is_some() == video);
    (first(false), first(true))
}

fn gallery(wanted: &Wanted<'_>, text: &str, files: &[Taken], media: &[MediaRef]) -> Vec<u8> {
    let captions = media.iter().map(|media| media.alt.as_deref().unwrap_or_default());
    let items = files.iter().zip(captions).map(|(file, caption)| Item {
        media_id: &file.asset,
        caption,
        outbound_url: "",
    });
    let gallery = Gallery {
        api_type: "json",
        sr: &wanted.community,
        title: &wanted.title,
        text,
        nsfw: wanted.nsfw,
        spoiler: wanted.spoiler,
        sendreplies: wanted.send_replies,
        show_error_list: true,
        validate_on_submit: true,
        items: items.collect(),
        flair_id: wanted.flair_id,
        flair_text: wanted.flair_text,
    };
    serde_json::to_vec(&gallery).expect("texts and flags are JSON")
}

#[derive(Serialize)]
struct Gallery<'a> {
    api_type: &'a str,
    sr: &'a str,
    title: &'a str,
    text: &'a str,
    nsfw: bool,
    spoiler: bool,
    sendreplies: bool,
    show_error_list: bool,
    validate_on_submit: bool,
    items: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flair_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flair_text: Option<&'a str>,
}

#[derive(Serialize)]
struct Item<'a> {
    media_id: &'a str,
    caption: &'a str,
    outbound_url: &'a str,
}
