//! Posts of a Page, as lists show them.

use std::iter;

use chrono::{DateTime, Utc};
use reqwest::Url;
use serde::Deserialize;

use crate::client::Id;
use crate::time::read;

/// What is asked for of each. What attachments have:
/// <https://developers.facebook.com/docs/graph-api/reference/story-attachment/>.
pub(super) const FIELDS: &str = "id,message,created_time,attachments{media_type,target,url,unshimmed_url,subattachments{target}}";

/// One page of posts.
#[derive(Deserialize)]
pub(super) struct List {
    pub(super) data: Vec<Post>,
    #[serde(default)]
    paging: Paging,
}

impl List {
    pub(super) fn is_last(&self) -> bool {
        self.paging.next.is_none()
    }

    /// Where the next page begins.
    pub(super) fn after(self) -> Option<String> {
        self.paging.cursors?.after
    }
}

#[derive(Default, Deserialize)]
struct Paging {
    cursors: Option<Cursors>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Cursors {
    after: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Post {
    pub(super) id: Id,
    message: Option<String>,
    #[serde(default, deserialize_with = "read")]
    pub(super) created_time: Option<DateTime<Utc>>,
    attachments: Option<Attachments>,
}

#[derive(Deserialize)]
struct Attachments {
    #[serde(default)]
    data: Vec<Attachment>,
}

#[derive(Deserialize)]
struct Attachment {
    media_type: Option<String>,
    target: Option<Target>,
    url: Option<String>,
    unshimmed_url: Option<String>,
    subattachments: Option<Attachments>,
}

/// What an attachment leads to: a photo or a video has an id, a link has none.
#[derive(Deserialize)]
struct Target {
    id: Option<Id>,
}

/// What is attached, as far as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attached {
    Nothing,
    Photos,
    Video,
    Other,
}

impl Post {
    pub(super) fn text(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    pub(super) fn attached(&self) -> Attached {
        let kinds: Vec<&str> =
            self.attachments().filter_map(|one| one.media_type.as_deref()).collect();
        if kinds.iter().any(|kind| kind.contains("video")) {
            Attached::Video
        } else if kinds.iter().any(|kind| matches!(*kind, "photo" | "album")) {
            Attached::Photos
        } else if self.attachments().next().is_some() {
            Attached::Other
        } else {
            Attached::Nothing
        }
    }

    /// The ids of the photos and videos that it shows.
    pub(super) fn targets(&self) -> Vec<String> {
        let all = self.attachments().flat_map(|one| {
            iter::once(one).chain(one.subattachments.iter().flat_map(|inner| &inner.data))
        });
        all.filter_map(|one| one.target.as_ref()?.id.clone()?.checked()).collect()
    }

    /// The addresses that it leads to, away from Facebook.
    pub(super) fn links(&self) -> impl Iterator<Item = Url> {
        let told = |one: &Attachment| [one.unshimmed_url.clone(), one.url.clone()];
        let urls: Vec<Url> = self
            .attachments()
            .flat_map(told)
            .flatten()
            .filter_map(|url| Url::parse(&url).ok())
            .collect();
        let is_own = |host: &str| host == "facebook.com" || host.ends_with(".facebook.com");
        urls.into_iter().filter(move |url| url.host_str().is_some_and(|host| !is_own(host)))
    }

    fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.attachments.iter().flat_map(|attached| &attached.data)
    }
}
