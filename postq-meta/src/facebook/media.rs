//! [`Media`] for Facebook: photos that nobody sees yet, and videos chunk by chunk.
//!
//! A photo is one call, `published=false`; the post of the feed attaches it. A video is a session: `start`
//! gives its id and says which bytes come next, `transfer` sends them; `finish`, which publishes, is left to
//! [`publish`](super::publish).

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::TimeDelta;
use postq_core::error::{ErrorKind, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{KindLimits, MediaClass, MediaKind, MediaLimits, whole};
use postq_core::platform::{Identity, Media, PreparedMedia, UploadFile, UploadStep};
use postq_http::{Answer, FileForm, FilePart, Hidden};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Facebook;
use crate::client::{Created, Id, Token, is_id};
use crate::error::{Problem, not_published, unpublished};

const MIB: u64 = 1_024 * 1_024;
/// The largest photo: Facebook advises to stay below 4 MB.
const PHOTO: u64 = 4 * MIB;
/// The largest video.
const VIDEO: u64 = 1_024 * MIB;
/// Photos of one post: a bound of ours, Facebook names none.
const MOST_PHOTOS: usize = 10;
/// The longest description.
const MOST_ALT: usize = 1_000;
/// One chunk of a video, if Facebook does not ask for less: what an upload needs of memory, and what a cut
/// costs.
const CHUNK: u64 = 4 * MIB;
/// A video that Facebook forgot is begun anew so often.
const MOST_BEGINNINGS: u32 = 3;
/// Facebook drops what is not published within about a day.
const KEPT: TimeDelta = TimeDelta::hours(20);

/// What was uploaded, as a post is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    Photo { id: String },
    Video { session: String, id: String },
}

impl fmt::Display for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Photo { id } => write!(f, "photo:{id}"),
            Self::Video { session, id } => write!(f, "video:{session}:{id}"),
        }
    }
}

/// It was not written by this adapter.
#[derive(Debug)]
pub(super) struct Foreign;

impl FromStr for Uploaded {
    type Err = Foreign;

    fn from_str(text: &str) -> Result<Self, Foreign> {
        let words: Vec<&str> = text.split(':').collect();
        match words.as_slice() {
            ["photo", id] if is_id(id) => Ok(Self::Photo { id: (*id).to_owned() }),
            ["video", session, id] if is_id(session) && is_id(id) => {
                Ok(Self::Video { session: (*session).to_owned(), id: (*id).to_owned() })
            }
            _ => Err(Foreign),
        }
    }
}

impl Uploaded {
    /// What was uploaded of an intent, in its order; none if this adapter did not write it down.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Vec<Self>> {
        names.into_iter().map(|name| name.parse().ok()).collect()
    }
}

/// How far a video is: what is written down between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    session: String,
    video: String,
    /// The bytes that Facebook asks for next; none are left where both are the same.
    from: u64,
    until: u64,
    /// How often it was begun.
    begun: u32,
    begun_at: chrono::DateTime<chrono::Utc>,
}

#[async_trait]
impl Media for Facebook {
    fn limits(&self) -> MediaLimits {
        limits()
    }

    async fn step<'a>(
        &self,
        who: &Identity,
        file: UploadFile<'a>,
        state: Option<&'a Value>,
    ) -> Result<UploadStep, Failure> {
        let until = self.graph.deadline();
        let token = self.graph.token(who)?;
        let page = self.page(who, &token, until).await.map_err(not_published)?;
        let call = Upload { facebook: self, file, token, page, until };
        if file.facts.kind.class() != MediaClass::Video {
            return call.photo().await;
        }
        // What another version wrote down is begun anew.
        let known = state.and_then(|state| Progress::deserialize(state).ok());
        match known.filter(|known| is_id(&known.session) && is_id(&known.video)) {
            None => call.begin(0).await,
            Some(known) => call.send(known).await,
        }
    }
}

/// What a piece of a video is called.
const CHUNK_PART: FilePart<'_> =
    FilePart { name: "video_file_chunk", filename: "chunk", mime: "application/octet-stream" };

/// One step's file, and where it goes.
struct Upload<'a> {
    facebook: &'a Facebook,
    file: UploadFile<'a>,
    token: Token,
    page: String,
    until: std::time::Instant,
}

impl Upload<'_> {
    async fn photo(&self) -> Result<UploadStep, Failure> {
        let content = self.content(0, self.file.bytes, PHOTO).await?;
        let mut fields = vec![("published", "false")];
        if let Some(alt) = self.file.alt.filter(|alt| !alt.trim().is_empty()) {
            fields.push(("alt_text_custom", alt));
        }
        let kind = self.file.facts.kind;
        let part = FilePart { name: "source", filename: "photo", mime: kind.mime() };
        let form = FileForm::whole(&fields, part, &content);
        let url = format!("{}/{}/photos", self.facebook.graph.base.url, self.page);
        let answer = self.call(url, (form.content_type, form.body)).await?;
        match Created::of(&answer) {
            Some(id) => Ok(self.ready(&Uploaded::Photo { id }, self.file.now)),
            None => Err(self.refused(&answer)),
        }
    }

    async fn begin(&self, begun: u32) -> Result<UploadStep, Failure> {
        let body = json!({ "upload_phase": "start", "file_size": self.file.bytes });
        let form = ("application/json".to_owned(), body.to_string().into_bytes());
        let answer = self.call(self.videos(), form).await?;
        let started: Option<Started> = answer.read().filter(|_| answer.status.is_success());
        let Some(started) = started else { return Err(self.refused(&answer)) };
        let ids = started.upload_session_id.checked().zip(started.video_id.checked());
        let (Some((session, video)), Some((from, until))) = (ids, started.next.bytes()) else {
            return Err(nonsense());
        };
        let begun_at = self.file.now;
        self.going(Progress { session, video, from, until, begun: begun + 1, begun_at })
    }

    async fn send(&self, known: Progress) -> Result<UploadStep, Failure> {
        if known.from >= known.until {
            let video = Uploaded::Video { session: known.session, id: known.video };
            return Ok(self.ready(&video, known.begun_at));
        }
        let until = known.until.min(known.from + CHUNK).min(self.file.bytes);
        let content = self.content(known.from, until, CHUNK).await?;
        let from = known.from.to_string();
        let fields = [
            ("upload_phase", "transfer"),
            ("upload_session_id", known.session.as_str()),
            ("start_offset", from.as_str()),
        ];
        let form = FileForm::whole(&fields, CHUNK_PART, &content);
        let answer = self.call(self.videos(), (form.content_type, form.body)).await?;
        let next: Option<Next> = answer.read().filter(|_| answer.status.is_success());
        let Some(next) = next else {
            let is_forgotten = Problem::read(&answer).is_some_and(|problem| problem.is_missing());
            return match is_forgotten {
                true => self.begin_again(&known).await,
                false => Err(self.refused(&answer)),
            };
        };
        let (from, until) = next.bytes().ok_or_else(nonsense)?;
        self.going(Progress { from, until, ..known })
    }

    async fn begin_again(&self, known: &Progress) -> Result<UploadStep, Failure> {
        if known.begun >= MOST_BEGINNINGS {
            let message = format!("facebook forgot the upload {} times", known.begun);
            return Err(Failure::not_published(FailureClass::Platform, message));
        }
        self.begin(known.begun).await
    }

    fn going(&self, progress: Progress) -> Result<UploadStep, Failure> {
        if progress.until > self.file.bytes || progress.from > progress.until {
            return Err(nonsense());
        }
        let state = serde_json::to_value(&progress).expect("plain data");
        Ok(UploadStep::Going { state, wait: std::time::Duration::ZERO })
    }

    fn ready(&self, uploaded: &Uploaded, since: chrono::DateTime<chrono::Utc>) -> UploadStep {
        UploadStep::Ready(PreparedMedia {
            remote_id: uploaded.to_string(),
            expires_at: Some(since + KEPT),
        })
    }

    fn videos(&self) -> String {
        format!("{}/{}/videos", self.facebook.video_base, self.page)
    }

    async fn content(&self, from: u64, until: u64, at_most: u64) -> Result<Vec<u8>, Failure> {
        let read = whole(self.file.store, self.file.id, Some(from..until), at_most).await;
        read.map_err(|error| {
            let class = match error.kind() {
                ErrorKind::Invalid => FailureClass::Content,
                _ => FailureClass::Internal,
            };
            Failure::not_published(class, chain(&error))
        })
    }

    async fn call(&self, url: String, form: (String, Vec<u8>)) -> Result<Answer, Failure> {
        let graph = &self.facebook.graph;
        let sent = graph.upload(url, form, &self.token, self.until).await;
        sent.map_err(|lost| not_published(lost.into_failure(self.hidden())))
    }

    fn refused(&self, answer: &Answer) -> Failure {
        not_published(unpublished(answer, (self.facebook.graph.name, self.hidden())))
    }

    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose()).with_texts([self.file.alt.unwrap_or_default()])
    }
}

fn nonsense() -> Failure {
    let message = "facebook answered an upload with ids or offsets that make no sense";
    Failure::not_published(FailureClass::Platform, message)
}

#[derive(Deserialize)]
struct Started {
    upload_session_id: Id,
    video_id: Id,
    #[serde(flatten)]
    next: Next,
}

/// Which bytes come next. Facebook writes the numbers as texts.
#[derive(Deserialize)]
struct Next {
    start_offset: Value,
    end_offset: Value,
}

impl Next {
    fn bytes(&self) -> Option<(u64, u64)> {
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        Some((number(&self.start_offset)?, number(&self.end_offset)?))
    }
}

/// What Facebook takes.
pub(super) fn limits() -> MediaLimits {
    let image = [MediaKind::Jpeg, MediaKind::Png];
    MediaLimits {
        image: Some(KindLimits { most: MOST_PHOTOS, ..KindLimits::new(image, PHOTO) }),
        animation: Some(KindLimits::new([MediaKind::Gif], PHOTO)),
        video: Some(KindLimits::new([MediaKind::Mp4, MediaKind::Quicktime], VIDEO)),
        most: MOST_PHOTOS,
        mixed: false,
        alt: MOST_ALT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_uploaded_is_read_as_it_is_written() {
        for uploaded in [
            Uploaded::Photo { id: "1".into() },
            Uploaded::Video { session: "7".into(), id: "8".into() },
        ] {
            assert_eq!(uploaded.to_string().parse::<Uploaded>().expect("ours"), uploaded);
        }
        for foreign in ["", "1", "photo:", "photo:../1", "video:1", "video:1:2:3", "audio:1"] {
            assert!(foreign.parse::<Uploaded>().is_err(), "{foreign}");
        }
    }
}
