//! [`Media`] for Instagram: nothing is sent, Instagram fetches what a container names.
//!
//! A step makes no call. It writes down where the file can be fetched, and what it is, for who builds the
//! container.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{Attached, KindLimits, MediaClass, MediaFacts, MediaKind, MediaLimits};
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Media, PreparedMedia, Transfer, UploadFile, UploadStep};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Instagram;
use super::container::{Kind, problem};

const MIB: u64 = 1_024 * 1_024;
/// The largest image, and the widest.
const IMAGE: u64 = 8 * MIB;
const WIDTH: u32 = 1_440;
/// The largest video. Meta's pages tell several numbers; this is the least of them.
const VIDEO: u64 = 300 * MIB;
const PLAYS: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(15 * 60));
/// Files of a carousel.
pub(super) const CAROUSEL: (usize, usize) = (2, 10);
/// The longest description.
const MOST_ALT: usize = 1_000;
/// An address is good for an hour; what is built of it is built before.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(50);

/// A file that can be fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Handed {
    /// Where.
    pub(super) url: String,
    /// What it is.
    #[serde(flatten)]
    pub(super) shape: Shape,
}

/// What a file is, as far as it decides what can be made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Whether it is a video.
    pub(super) video: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    /// How long it plays.
    pub(super) seconds: Option<f64>,
    pub(super) bytes: u64,
}

impl Shape {
    fn of(facts: &MediaFacts, bytes: u64) -> Self {
        Self {
            video: facts.kind.class() == MediaClass::Video,
            width: facts.width,
            height: facts.height,
            seconds: facts.duration.map(|plays| plays.as_secs_f64()),
            bytes,
        }
    }
}

impl Handed {
    /// What a step wrote down.
    pub(super) fn read(prepared: &PreparedMedia) -> Option<Self> {
        serde_json::from_str(&prepared.remote_id).ok()
    }
}

#[async_trait]
impl Media for Instagram {
    fn limits(&self) -> MediaLimits {
        limits()
    }

    fn problems<'a>(&self, options: &PostOptions, files: &[Attached<'a>]) -> Vec<String> {
        let shapes: Vec<Shape> =
            files.iter().map(|file| Shape::of(file.facts, file.bytes)).collect();
        problem(Kind::of(options, &shapes), &shapes).into_iter().collect()
    }

    fn transfer(&self) -> Transfer {
        Transfer::Fetched
    }

    async fn step<'a>(
        &self,
        _who: &Identity,
        file: UploadFile<'a>,
        _state: Option<&'a Value>,
    ) -> Result<UploadStep, Failure> {
        let Some(url) = file.url else {
            let message = "there is no address where Instagram can fetch the file";
            return Err(Failure::not_published(FailureClass::Internal, message));
        };
        let handed = Handed { url: url.to_owned(), shape: Shape::of(file.facts, file.bytes) };
        Ok(UploadStep::Ready(PreparedMedia {
            remote_id: serde_json::to_string(&handed).expect("plain data"),
            expires_at: Some(file.now + GOOD_FOR),
        }))
    }
}

/// What Instagram takes of any kind of post; what one kind takes less is in [`problem`].
pub(super) fn limits() -> MediaLimits {
    MediaLimits {
        image: Some(KindLimits {
            most: CAROUSEL.1,
            width: Some(WIDTH),
            ..KindLimits::new([MediaKind::Jpeg], IMAGE)
        }),
        animation: None,
        video: Some(KindLimits {
            most: CAROUSEL.1,
            duration: Some(PLAYS.0..=PLAYS.1),
            ..KindLimits::new([MediaKind::Mp4, MediaKind::Quicktime], VIDEO)
        }),
        most: CAROUSEL.1,
        mixed: true,
        alt: MOST_ALT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_is_read_as_it_was_written() {
        let written = r#"{"url":"https://example.com/a","video":true,"width":3,"height":4,"seconds":1.5,"bytes":9}"#;

        let read: Handed = serde_json::from_str(written).expect("read");

        assert_eq!(serde_json::to_string(&read).expect("written"), written);
    }
}
