//! [`Media`] for X: initialize, append piece by piece, finalize, wait until X has worked on it, describe.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use postq_core::error::{ErrorKind, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{KindLimits, MediaClass, MediaKind, MediaLimits, whole};
use postq_core::platform::{Identity, Media, PreparedMedia, UploadFile, UploadStep};
use postq_http::{Answer, Hidden, NoAnswer, Token};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{X, is_id};
use crate::error::unpublished;

/// One piece. X takes 5 MB at most; this is what an upload needs of memory, and what a cut costs.
const PIECE: u64 = 2 * 1_024 * 1_024;
/// Pieces are numbered from 0 to 999.
const MOST_PIECES: u64 = 1_000;
/// An upload that X forgot is begun anew so often.
const MOST_BEGINNINGS: u32 = 3;
/// The longest wait between two questions whether X is done, whatever it asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Questions whether X is done, a second apart at least.
const MOST_POLLS: u32 = 600;

const MB: u64 = 1_024 * 1_024;

/// How far an upload is: what is written down between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    id: String,
    at: Place,
    /// When X forgets it.
    expires_at: Option<DateTime<Utc>>,
    /// How often it was begun.
    begun: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// This piece is next.
    Append(u64),
    /// All pieces are there.
    Finalize,
    /// X works on it; it was asked so often.
    Working(u32),
    /// It can be used, but says nothing to those who cannot see it.
    Describe,
}

impl X {
    async fn begin(&self, call: &Upload<'_>, begun: u32) -> Result<UploadStep, Failure> {
        let file = call.file;
        if file.bytes.div_ceil(PIECE) > MOST_PIECES {
            let message = format!("the file has {} bytes, more than X takes", file.bytes);
            return Err(Failure::not_published(FailureClass::Content, message));
        }
        let category = match file.facts.kind.class() {
            MediaClass::Image => "tweet_image",
            MediaClass::Animation => "tweet_gif",
            MediaClass::Video => "tweet_video",
        };
        let body = json!({
            "media_type": file.facts.kind.mime(),
            "total_bytes": file.bytes,
            "media_category": category,
        });
        let answer = self.upload_call(call, "/media/upload/initialize", Some(&body)).await?;
        let told = self.told(&answer, call)?;
        going(&Progress {
            expires_at: told.expires(file.now),
            id: told.id,
            at: Place::Append(0),
            begun: begun + 1,
        })
    }

    async fn append(
        &self,
        call: &Upload<'_>,
        progress: Progress,
        piece: u64,
    ) -> Result<UploadStep, Failure> {
        let (from, file) = (piece * PIECE, call.file);
        let range = Some(from..file.bytes.min(from + PIECE));
        let content = whole(file.store, file.id, range, PIECE).await.map_err(|error| {
            let class = match error.kind() {
                ErrorKind::Invalid => FailureClass::Content,
                _ => FailureClass::Internal,
            };
            Failure::not_published(class, chain(&error))
        })?;
        let path = format!("/media/upload/{}/append", progress.id);
        let body = json!({ "segment_index": piece, "media": STANDARD.encode(content) });
        let answer = self.upload_call(call, &path, Some(&body)).await?;
        if is_forgotten(&answer) {
            return self.begin_again(call, &progress).await;
        }
        self.refused(&answer, call)?;
        let done = from + PIECE >= file.bytes;
        let at = if done { Place::Finalize } else { Place::Append(piece + 1) };
        going(&Progress { at, ..progress })
    }

    async fn finalize(&self, call: &Upload<'_>, progress: Progress) -> Result<UploadStep, Failure> {
        let path = format!("/media/upload/{}/finalize", progress.id);
        let answer = self.upload_call(call, &path, None).await?;
        if is_forgotten(&answer) {
            return self.begin_again(call, &progress).await;
        }
        let told = self.told(&answer, call)?;
        let expires_at = told.expires(call.file.now).or(progress.expires_at);
        self.worked(call, Progress { expires_at, ..progress }, &told, 0)
    }

    async fn poll(
        &self,
        call: &Upload<'_>,
        progress: Progress,
        polls: u32,
    ) -> Result<UploadStep, Failure> {
        if polls >= MOST_POLLS {
            let message = format!("x still works on the file after {polls} questions");
            return Err(Failure::not_published(FailureClass::Platform, message));
        }
        let query = [("command", "STATUS"), ("media_id", progress.id.as_str())];
        let within = self.config.send_timeout;
        let asked = self.get("/media/upload", &query, &call.token, MOST_OF_ANSWER, within).await;
        let answer = asked.map_err(|lost| call.lost(lost))?;
        if is_forgotten(&answer) {
            return self.begin_again(call, &progress).await;
        }
        let told = self.told(&answer, call)?;
        self.worked(call, progress, &told, polls + 1)
    }

    /// Whether X has worked on it.
    fn worked(
        &self,
        call: &Upload<'_>,
        progress: Progress,
        told: &Told,
        polls: u32,
    ) -> Result<UploadStep, Failure> {
        let Some(info) = &told.processing_info else { return done(call, progress) };
        match info.state.as_str() {
            "succeeded" => done(call, progress),
            "failed" => {
                let why = info.error.as_ref().and_then(ProcessingError::words);
                let why = why.unwrap_or("it does not say why");
                let message = call.hidden().hide(&format!("x could not work on the file: {why}"));
                Err(Failure::not_published(FailureClass::Content, message))
            }
            _ => {
                let wait = Duration::from_secs(info.check_after_secs.unwrap_or(1));
                let state = written(&Progress { at: Place::Working(polls), ..progress });
                Ok(UploadStep::Going { state, wait: wait.min(LONGEST_WAIT) })
            }
        }
    }

    async fn describe(&self, call: &Upload<'_>, progress: Progress) -> Result<UploadStep, Failure> {
        let text = call.file.alt.unwrap_or_default();
        let body = json!({ "id": progress.id, "metadata": { "alt_text": { "text": text } } });
        let answer = self.upload_call(call, "/media/metadata", Some(&body)).await?;
        if is_forgotten(&answer) {
            return self.begin_again(call, &progress).await;
        }
        self.refused(&answer, call)?;
        Ok(ready(progress))
    }

    async fn begin_again(
        &self,
        call: &Upload<'_>,
        progress: &Progress,
    ) -> Result<UploadStep, Failure> {
        if progress.begun >= MOST_BEGINNINGS {
            let message = format!("x forgot the upload {} times", progress.begun);
            return Err(Failure::not_published(FailureClass::Platform, message));
        }
        self.begin(call, progress.begun).await
    }

    async fn upload_call(
        &self,
        call: &Upload<'_>,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let body = body.map(|body| body.to_string().into_bytes());
        let made = self.call(path, body, &call.token, MOST_OF_ANSWER).await;
        made.map_err(|lost| call.lost(lost))
    }

    fn refused(&self, answer: &Answer, call: &Upload<'_>) -> Result<(), Failure> {
        if answer.status.is_success() {
            return Ok(());
        }
        let failure = unpublished(answer, call.hidden(), self.server_now(answer));
        let mut failure = not_published(failure);
        if answer.status.as_u16() == 403 {
            failure.message.push_str("; uploads need a token with the scope media.write");
        }
        Err(failure)
    }

    fn told(&self, answer: &Answer, call: &Upload<'_>) -> Result<Told, Failure> {
        self.refused(answer, call)?;
        let told = answer.read::<Data>().map(|body| body.data).filter(|told| is_id(&told.id));
        told.ok_or_else(|| {
            let message = "x answered an upload with no id of it";
            Failure::not_published(FailureClass::Platform, message)
        })
    }
}

/// The longest answer.
const MOST_OF_ANSWER: usize = 64 * 1_024;

/// One step's file, and whose it is.
struct Upload<'a> {
    file: UploadFile<'a>,
    token: Token,
}

impl Upload<'_> {
    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose())
    }

    fn lost(&self, lost: NoAnswer) -> Failure {
        not_published(lost.into_failure(self.hidden()))
    }
}

/// An upload publishes nothing, whatever became of it.
fn not_published(failure: Failure) -> Failure {
    Failure { outcome: postq_core::failure::Outcome::NotPublished, ..failure }
}

fn done(call: &Upload<'_>, progress: Progress) -> Result<UploadStep, Failure> {
    match call.file.alt.is_some_and(|alt| !alt.trim().is_empty()) {
        true => going(&Progress { at: Place::Describe, ..progress }),
        false => Ok(ready(progress)),
    }
}

fn ready(progress: Progress) -> UploadStep {
    UploadStep::Ready(PreparedMedia { remote_id: progress.id, expires_at: progress.expires_at })
}

fn going(progress: &Progress) -> Result<UploadStep, Failure> {
    Ok(UploadStep::Going { state: written(progress), wait: Duration::ZERO })
}

fn written(progress: &Progress) -> Value {
    serde_json::to_value(progress).expect("plain data")
}

/// Whether X says that there is no such upload, or no more.
fn is_forgotten(answer: &Answer) -> bool {
    let says =
        |word: &str| String::from_utf8_lossy(&answer.body).to_ascii_lowercase().contains(word);
    match answer.status.as_u16() {
        404 | 410 => true,
        400 => says("expired") || says("not found") || says("does not exist"),
        _ => false,
    }
}

#[derive(Deserialize)]
struct Data {
    data: Told,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    expires_after_secs: Option<u32>,
    processing_info: Option<Processing>,
}

impl Told {
    fn expires(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(now + TimeDelta::seconds(self.expires_after_secs?.into()))
    }
}

#[derive(Deserialize)]
struct Processing {
    state: String,
    check_after_secs: Option<u64>,
    error: Option<ProcessingError>,
}

#[derive(Deserialize)]
struct ProcessingError {
    name: Option<String>,
    message: Option<String>,
}

impl ProcessingError {
    fn words(&self) -> Option<&str> {
        self.message.as_deref().or(self.name.as_deref())
    }
}

/// What X takes.
pub(crate) fn limits() -> MediaLimits {
    let image = [MediaKind::Jpeg, MediaKind::Png, MediaKind::Webp];
    MediaLimits {
        image: Some(KindLimits { most: 4, ..KindLimits::new(image, 5 * MB) }),
        animation: Some(KindLimits {
            width: Some(1_280),
            height: Some(1_080),
            frames: Some(350),
            ..KindLimits::new([MediaKind::Gif], 15 * MB)
        }),
        video: Some(KindLimits {
            duration: Some(Duration::from_millis(500)..=Duration::from_secs(140)),
            video: vec!["avc1", "avc3"],
            audio: vec!["mp4a"],
            ..KindLimits::new([MediaKind::Mp4, MediaKind::Quicktime], 512 * MB)
        }),
        most: 4,
        mixed: false,
        alt: 1_000,
    }
}

#[async_trait]
impl Media for X {
    fn limits(&self) -> MediaLimits {
        limits()
    }

    async fn step<'a>(
        &self,
        who: &Identity,
        file: UploadFile<'a>,
        state: Option<&'a Value>,
    ) -> Result<UploadStep, Failure> {
        let call = Upload { file, token: Token::read(who.secret.as_ref())? };
        // What another version wrote down is begun anew.
        let progress = state.and_then(|state| Progress::deserialize(state).ok());
        let Some(progress) = progress.filter(|progress| is_id(&progress.id)) else {
            return self.begin(&call, 0).await;
        };
        match progress.at {
            Place::Append(piece) => self.append(&call, progress, piece).await,
            Place::Finalize => self.finalize(&call, progress).await,
            Place::Working(polls) => self.poll(&call, progress, polls).await,
            Place::Describe => self.describe(&call, progress).await,
        }
    }
}
