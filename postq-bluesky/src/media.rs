//! [`Media`] for Bluesky: a picture is one upload to the account's own server, a video one to whoever works on
//! videos, who is asked until it is done.
//!
//! The same bytes are the same blob: uploading again is harmless. What is uploaded and named by no record is
//! forgotten after some hours.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

use async_trait::async_trait;
use postq_core::error::{ErrorKind, MediaError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{KindLimits, MediaClass, MediaKind, MediaLimits, whole};
use postq_core::platform::{Identity, Media, PreparedMedia, UploadFile, UploadStep};
use postq_http::{Answer, Hidden, time_to_send};
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Bluesky, Deadline, MOST_OF_ONE, not_published};
use crate::config::Config;
use crate::error::unpublished;
use crate::session::Session;

const MB: u64 = 1_000_000;
/// The largest video that every version of the protocol's lexicon takes, and what servers take as one upload.
const MOST_OF_VIDEO: u64 = 100 * MB;
const MOST_OF_BLOB: u64 = 50 * MB;
/// The longest video.
const LONGEST: Duration = Duration::from_secs(180);
/// The longest description of a picture that Bluesky's own app takes.
const MOST_OF_ALT: usize = 2_000;
/// What no record names is kept for some hours. So long we count on it: what is uploaded an hour before its post is
/// due must be good then. Where it is forgotten sooner the server says so, and it is uploaded again.
const KEPT: TimeDelta = TimeDelta::hours(2);

/// A file that a server has taken: what a record names it by, and how large it is shown.
///
/// Written as JSON, it is the remote id of prepared media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// The server's own words, to be repeated as they are.
    pub(crate) blob: Value,
    pub(crate) width: u32,
    pub(crate) height: u32,
    #[serde(default)]
    pub(crate) is_video: bool,
}

impl Taken {
    pub(crate) fn read(remote_id: &str) -> Option<Self> {
        serde_json::from_str(remote_id).ok().filter(|taken: &Self| is_blob(&taken.blob))
    }

    fn write(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// Whether this is what a record can name a file by.
pub(crate) fn is_blob(blob: &Value) -> bool {
    let cid = blob["ref"]["$link"].as_str().unwrap_or_default();
    blob["$type"] == "blob"
        && (1..=128).contains(&cid.len())
        && cid.bytes().all(|c| c.is_ascii_alphanumeric())
        && blob["mimeType"].is_string()
        && blob["size"].is_u64()
}

#[async_trait]
impl Media for Bluesky {
    fn limits(&self) -> MediaLimits {
        limits(&self.config)
    }

    /// A video goes in one call, whatever its size.
    fn step_timeout(&self, bytes: u64) -> Option<Duration> {
        Some(time_to_send(bytes, self.config.send_timeout))
    }

    /// The first step of a video writes down that it is begun. The next makes two calls, of which one uploads: the
    /// right to do so is asked for just before, since it is a secret that is not to be written down.
    async fn step<'a>(
        &self,
        who: &Identity,
        file: UploadFile<'a>,
        state: Option<&'a Value>,
    ) -> Result<UploadStep, Failure> {
        let session = Session::read(who.secret.as_ref(), &self.places)?;
        let step = Step { bluesky: self, session: &session, file };
        match file.facts.kind.class() {
            MediaClass::Video => step.video(who, state).await,
            _ => step.blob().await,
        }
    }
}

/// What is taken.
pub(crate) fn limits(config: &Config) -> MediaLimits {
    let image = [MediaKind::Jpeg, MediaKind::Png, MediaKind::Webp];
    let most = if config.video_url.is_some() { MOST_OF_VIDEO } else { MOST_OF_BLOB };
    MediaLimits {
        image: Some(KindLimits { most: 4, ..KindLimits::new(image, config.max_image_bytes) }),
        animation: None,
        video: Some(KindLimits {
            duration: Some(Duration::from_millis(1)..=LONGEST),
            ..KindLimits::new([MediaKind::Mp4], most)
        }),
        most: 4,
        mixed: false,
        alt: MOST_OF_ALT,
    }
}

/// One step of an upload.
pub(crate) struct Step<'a> {
    pub(crate) bluesky: &'a Bluesky,
    pub(crate) session: &'a Session,
    pub(crate) file: UploadFile<'a>,
}

#[derive(Deserialize)]
struct Uploaded {
    blob: Value,
}

impl Step<'_> {
    /// Uploads the file as a blob of the account's own server.
    pub(crate) async fn blob(&self) -> Result<UploadStep, Failure> {
        let mime = self.file.facts.kind.mime();
        let request =
            self.session.sign(self.bluesky.post(&self.session.pds, "com.atproto.repo.uploadBlob"));
        let request = match self.file.facts.kind.class() {
            MediaClass::Video => request.body(self.stream().await?),
            _ => {
                let (store, id, bytes) = (self.file.store, self.file.id, self.file.bytes);
                request.body(whole(store, id, None, bytes).await.map_err(|e| unreadable(&e))?)
            }
        };
        let answer = self
            .while_sent()
            .ask(request.header(CONTENT_TYPE, mime), MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(self.hidden())))?;
        match answer.success::<Uploaded>().filter(|uploaded| is_blob(&uploaded.blob)) {
            Some(Uploaded { blob }) => Ok(self.ready(blob)),
            None => Err(self.refused(&answer)),
        }
    }

    /// When the call that sends the file must have ended.
    pub(crate) fn while_sent(&self) -> Deadline {
        Deadline::after(time_to_send(self.file.bytes, self.bluesky.config.send_timeout))
    }

    pub(crate) fn ready(&self, blob: Value) -> UploadStep {
        let facts = self.file.facts;
        let taken = Taken {
            blob,
            width: facts.width,
            height: facts.height,
            is_video: facts.kind.class() == MediaClass::Video,
        };
        let expires_at = Some(kept_until(self.file.now));
        UploadStep::Ready(PreparedMedia { remote_id: taken.write(), expires_at })
    }

    /// An upload publishes nothing, whatever became of it.
    pub(crate) fn refused(&self, answer: &Answer) -> Failure {
        not_published(unpublished(answer, self.hidden(), self.bluesky.server_now(answer)))
    }

    pub(crate) fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.session.expose())
    }
}

fn kept_until(now: DateTime<Utc>) -> DateTime<Utc> {
    now + KEPT
}

pub(crate) fn unreadable(error: &MediaError) -> Failure {
    let class = match error.kind() {
        ErrorKind::Invalid => FailureClass::Content,
        _ => FailureClass::Internal,
    };
    Failure::not_published(class, chain(error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_taken_is_read_as_it_is_written() {
        let blob = json!({ "$type": "blob", "ref": { "$link": "bafkreia" }, "mimeType": "image/png", "size": 9 });
        let taken = Taken { blob, width: 640, height: 480, is_video: false };

        assert_eq!(Taken::read(&taken.write()), Some(taken.clone()));
        for (name, value) in [
            ("$type", json!("other")),
            ("ref", json!({ "$link": "" })),
            ("ref", json!({ "$link": "a b" })),
            ("mimeType", json!(1)),
            ("size", json!(-1)),
        ] {
            let mut bad = taken.clone();
            bad.blob[name] = value;
            assert_eq!(Taken::read(&bad.write()), None, "{name}");
        }
        assert_eq!(Taken::read("bafkreia"), None);
    }
}
