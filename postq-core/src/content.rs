//! What is published: posts, their parts and their media.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{PostId, TenantId};
use crate::media::MediaId;
use crate::options::{NO_OPTIONS, PostOptions};
use crate::platform::PlatformName;

/// One text with its media: a post of one part, or one part of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The text, as its author wrote it.
    pub text: String,
    /// Pictures and videos, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediaRef>,
}

impl Part {
    /// A part without media.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), media: Vec::new() }
    }
}

/// A picture or video, named and not yet fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaRef {
    /// `media:` and the id of a file that was added before, or a URL. Never a path.
    pub source: String,
    /// What it shows, for those who cannot see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt: Option<String>,
}

impl MediaRef {
    /// Whether it is a path on somebody's machine: it must be added first, and named by what that gave.
    pub fn is_path(&self) -> bool {
        !self.source.starts_with(MediaId::SCHEME) && !self.source.contains("://")
    }
}

/// The content of a post: at least one part, and other parts for platforms that need their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The parts for every platform that has no variant; more than one is a thread.
    pub parts: Vec<Part>,
    /// Other parts for one platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<PlatformName, Vec<Part>>,
    /// What else a platform wants to know of the post.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<PlatformName, PostOptions>,
}

/// What one platform gets of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// The parts; more than one is a thread.
    pub parts: &'a [Part],
    /// What else it wants to know.
    pub options: &'a PostOptions,
}

impl<'a> From<&'a [Part]> for Draft<'a> {
    fn from(parts: &'a [Part]) -> Self {
        Self { parts, options: &NO_OPTIONS }
    }
}

impl Content {
    /// Content of one part without media.
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::text(text)], ..Self::default() }
    }

    /// The parts that this platform publishes.
    pub fn parts_for(&self, platform: &PlatformName) -> &[Part] {
        self.variants.get(platform).unwrap_or(&self.parts)
    }

    /// What this platform gets.
    pub fn draft_for(&self, platform: &PlatformName) -> Draft<'_> {
        let options = self.options.get(platform).unwrap_or(&NO_OPTIONS);
        Draft { parts: self.parts_for(platform), options }
    }

    /// The files, added before, that any part of any variant names.
    pub fn media_ids(&self) -> BTreeSet<MediaId> {
        let parts = self.variants.values().chain([&self.parts]).flatten();
        parts.flat_map(|part| &part.media).filter_map(|m| MediaId::in_source(&m.source)).collect()
    }

    /// Whether any part, of any variant, has media: such posts are prepared earlier.
    pub fn has_media(&self) -> bool {
        self.variants.values().chain([&self.parts]).flatten().any(|part| !part.media.is_empty())
    }
}

/// Content and its history: what people call a post before and after it is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Its id.
    pub id: PostId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The stable key of its row in a content calendar; unique within the tenant.
    pub key: Option<String>,
    /// What it says.
    pub content: Content,
    /// Rises by one with every edit; starts at 1.
    pub revision: u32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

impl Post {
    /// A new post of the default tenant, first revision, without a key.
    pub fn new(content: Content, now: DateTime<Utc>) -> Self {
        Self {
            id: PostId::new(),
            tenant_id: TenantId::DEFAULT,
            key: None,
            content,
            revision: 1,
            created_at: now,
        }
    }
}

/// Where a post stands, told from its schedules and jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PostState {
    /// Nothing was ever planned for it and nothing is out.
    Draft,
    /// Something is still to come.
    Scheduled,
    /// All that was planned is out.
    Published,
    /// Some of it is out and some is dead.
    PartlyPublished,
    /// All that was planned is dead.
    Failed,
    /// It was planned; nothing is to come and nothing is out: it was called off, or missed.
    Cancelled,
}

/// What the state of a post is told from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostTally {
    /// Schedules that have a time, whether they will fire again or not.
    pub schedules: u32,
    /// Schedules that will fire again.
    pub live_schedules: u32,
    /// Jobs that have not ended.
    pub waiting: u32,
    /// Jobs that succeeded, and dead letters that a person says are out.
    pub succeeded: u32,
    /// Dead letters that nobody has resolved or replayed.
    pub dead: u32,
}

impl PostTally {
    /// The state that these counts make.
    pub fn state(self) -> PostState {
        match self {
            Self { live_schedules: 1.., .. } | Self { waiting: 1.., .. } => PostState::Scheduled,
            Self { succeeded: 1.., dead: 1.., .. } => PostState::PartlyPublished,
            Self { succeeded: 1.., .. } => PostState::Published,
            Self { dead: 1.., .. } => PostState::Failed,
            Self { schedules: 1.., .. } => PostState::Cancelled,
            _ => PostState::Draft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_replaces_the_parts_of_its_platform_only() {
        let mut content = Content::text("for all");
        content.variants.insert("x".parse().unwrap(), vec![Part::text("for x")]);

        assert_eq!(content.parts_for(&"x".parse().unwrap())[0].text, "for x");
        assert_eq!(content.parts_for(&"mastodon".parse().unwrap())[0].text, "for all");
    }

    #[test]
    fn the_state_follows_the_tally() {
        let tally = |live_schedules, waiting, succeeded, dead| {
            PostTally { schedules: 1, live_schedules, waiting, succeeded, dead }.state()
        };

        assert_eq!(PostTally::default().state(), PostState::Draft);
        assert_eq!(tally(0, 0, 0, 0), PostState::Cancelled);
        assert_eq!(tally(1, 0, 9, 9), PostState::Scheduled);
        assert_eq!(tally(0, 1, 0, 9), PostState::Scheduled);
        assert_eq!(tally(0, 0, 2, 0), PostState::Published);
        assert_eq!(tally(0, 0, 2, 1), PostState::PartlyPublished);
        assert_eq!(tally(0, 0, 0, 1), PostState::Failed);
    }
}
