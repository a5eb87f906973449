//! Media files, as they are shown.

use chrono::{DateTime, Utc};
use postq_core::media::MediaFile;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A picture or video that was added.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Media)]
pub(crate) struct MediaView {
    /// The SHA-256 of its content.
    id: String,
    /// What a post names it by.
    #[schema(example = "media:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    source: String,
    /// Its place in lists: those added later come later.
    entry: Uuid,
    /// What it is, told by its content.
    #[schema(example = "jpeg")]
    kind: &'static str,
    /// Its media type.
    #[schema(example = "image/jpeg")]
    mime: &'static str,
    /// How large it is.
    bytes: u64,
    /// How wide it is shown, in pixels.
    width: u32,
    /// How high it is shown, in pixels.
    height: u32,
    /// How long it plays, in seconds; null for a picture, and where it is not known.
    duration: Option<f64>,
    /// Of how many pictures an animation is made.
    frames: Option<u32>,
    /// Whether it tells where it was taken, or may: what goes to a platform does not, unless it is set so.
    located: bool,
    /// What it was called when it was added.
    name: Option<String>,
    /// What it shows, for those who cannot see it.
    alt: Option<String>,
    /// When it was added.
    created_at: DateTime<Utc>,
}

impl From<MediaFile> for MediaView {
    fn from(file: MediaFile) -> Self {
        Self {
            id: file.id.to_string(),
            source: file.id.as_source(),
            entry: file.entry,
            kind: file.facts.kind.as_str(),
            mime: file.facts.kind.mime(),
            bytes: file.bytes,
            width: file.facts.width,
            height: file.facts.height,
            duration: file.facts.duration.map(|length| length.as_secs_f64()),
            frames: file.facts.frames,
            located: file.facts.located,
            name: file.name,
            alt: file.alt,
            created_at: file.created_at,
        }
    }
}

/// A file to be added, as a form.
#[derive(ToSchema)]
#[schema(as = NewMedia)]
#[allow(dead_code, reason = "only what the document shows; the form is read as it comes")]
pub(crate) struct NewMedia {
    /// What it shows, for those who cannot see it. Comes before the file.
    alt: Option<String>,
    /// The file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}
