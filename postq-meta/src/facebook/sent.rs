//! What was sent, and whether a post that is shown is it.

use postq_core::intent::Intent;
use postq_core::witness::Likeness;
use reqwest::Url;

use super::listing::{Attached, Post};
use super::media::Uploaded;
use crate::text::{Sameness, compare};

/// A post of the feed as it was sent.
pub(super) struct Sent<'a> {
    text: &'a str,
    link: Option<Url>,
    /// The ids of its photos.
    photos: Vec<String>,
}

impl<'a> Sent<'a> {
    pub(super) fn of(intent: &'a Intent, uploaded: &[Uploaded]) -> Self {
        let photos = uploaded.iter().map(|one| match one {
            Uploaded::Photo { id } | Uploaded::Video { id, .. } => id.clone(),
        });
        let link = intent.options.text("link").and_then(|link| Url::parse(link).ok());
        Self { text: &intent.text, link, photos: photos.collect() }
    }

    pub(super) fn likeness(&self, post: &Post) -> Likeness {
        let shown = post.targets();
        if self.photos.iter().any(|id| shown.contains(id)) {
            return Likeness::Exact;
        }
        let has_no_text = self.text.trim().is_empty() && post.text().trim().is_empty();
        match compare(self.text, post.text()) {
            Sameness::Different => Likeness::Other,
            Sameness::Same if self.fits(post, &shown) => Likeness::Same,
            // What is attached tells, where neither has a text.
            Sameness::Near if has_no_text && self.shows_the_link(post) => Likeness::Same,
            Sameness::Same | Sameness::Near => Likeness::Near,
        }
    }

    /// Whether what is attached can be what was sent. What is not told can.
    fn fits(&self, post: &Post, shown: &[String]) -> bool {
        match post.attached() {
            Attached::Nothing | Attached::Other => true,
            // The photos that it shows are others.
            Attached::Photos if !self.photos.is_empty() => shown.is_empty(),
            // A card of what a link leads to.
            Attached::Photos | Attached::Video => {
                self.photos.is_empty() && self.leads_elsewhere() && post.links().next().is_some()
            }
        }
    }

    fn shows_the_link(&self, post: &Post) -> bool {
        self.link.as_ref().is_some_and(|link| post.links().any(|shown| shown == *link))
    }

    fn leads_elsewhere(&self) -> bool {
        self.link.is_some() || self.text.contains("://")
    }
}
