//! [`Media`] for Pinterest.
//!
//! A video is registered, sent to the address that Pinterest names, and asked for until Pinterest has worked on
//! it. A picture has no place of its own at Pinterest: it is named here and read when its Pin is created.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use postq_core::error::{ErrorKind, MediaError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{Attached, KindLimits, MediaClass, MediaId, MediaKind, MediaLimits, whole};
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Media, PreparedMedia, UploadFile, UploadStep};
use postq_http::{Answer, FileForm, FilePart, Hidden, NoAnswer, ask, time_to_send, within};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{Caller, MOST_OF_ONE, Pinterest, Texts, is_id};
use crate::error::{not_published, unpublished};
use crate::pin::{Address, Bytes, type_of};
use crate::publish::{MOST_ALT, ONE_VIDEO};
use crate::upload::{Registered, Ticket};

/// Files of one Pin.
pub(crate) const MOST_FILES: usize = 5;
/// The largest picture: Pinterest takes 10 MB as they are sent, which is four characters for three bytes. Whether
/// it counts these or those nobody documents.
const MOST_OF_PICTURE: u64 = 7_500_000;
/// The largest video.
const MOST_OF_VIDEO: u64 = 2 * 1_000 * 1_000 * 1_000;
/// How long a video plays.
const VIDEO_PLAYS: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(15 * 60));
/// An upload is begun anew so often: each time Pinterest or this process has forgotten it.
const MOST_BEGINNINGS: u32 = 5;
/// The first wait between two questions whether Pinterest is done; the next ones grow.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Questions whether Pinterest is done: about an hour of them.
const MOST_POLLS: u32 = 180;
/// Pinterest does not say how long it keeps a video without a Pin, so it is not counted on for longer.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// How long Pinterest may take to fetch a picture.
const FETCHED_WITHIN: Duration = Duration::from_secs(3_600);
/// Tickets that are kept; the oldest go first, and their uploads are begun anew.
const MOST_TICKETS: usize = 64;

/// What Pinterest takes. Pictures beside a video are its cover.
pub(crate) fn limits() -> MediaLimits {
    let (shortest, longest) = VIDEO_PLAYS;
    MediaLimits {
        image: Some(KindLimits {
            most: MOST_FILES,
            ..KindLimits::new([MediaKind::Jpeg, MediaKind::Png], MOST_OF_PICTURE)
        }),
        animation: None,
        video: Some(KindLimits {
            duration: Some(shortest..=longest),
            video: vec!["avc1", "avc3", "hvc1", "hev1"],
            ..KindLimits::new([MediaKind::Mp4, MediaKind::Quicktime], MOST_OF_VIDEO)
        }),
        most: MOST_FILES,
        mixed: true,
        alt: MOST_ALT,
    }
}

/// What is wrong with a video and its cover.
fn of_video(files: &[Attached<'_>]) -> Option<&'static str> {
    let is_video = |file: &Attached<'_>| file.facts.kind.class() == MediaClass::Video;
    (files.len() > 2 && files.iter().any(is_video)).then_some(ONE_VIDEO)
}

/// How far the upload of a video is: what is written down between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    id: String,
    at: At,
    /// How often it was begun.
    begun: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    /// It is registered, and the file is to be sent.
    Send,
    /// Pinterest works on it, and was asked so often.
    Working(u32),
}

#[async_trait]
impl Media for Pinterest {
    fn limits(&self) -> MediaLimits {
        limits()
    }

    fn problems<'a>(&self, _options: &PostOptions, files: &[Attached<'a>]) -> Vec<String> {
        of_video(files).map(str::to_owned).into_iter().collect()
    }

    /// A video goes in one call, whatever its size.
    fn step_timeout(&self, bytes: u64) -> Option<Duration> {
        Some(time_to_send(bytes, self.config.send_timeout))
    }

    async fn step<'a>(
        &self,
        who: &Identity,
        file: UploadFile<'a>,
        state: Option<&'a Value>,
    ) -> Result<UploadStep, Failure> {
        if file.facts.kind.class() != MediaClass::Video {
            return Ok(ready(Kept::of(&file)?.to_string(), &file));
        }
        let upload = Upload { caller: self.caller(who, Texts::default())?, file };
        // What another version wrote down is begun anew.
        let progress = state.and_then(|state| Progress::deserialize(state).ok());
        match progress.filter(|progress| is_id(&progress.id)) {
            None => upload.register(0).await,
            Some(progress) => match progress.at {
                At::Send => upload.send(progress).await,
                At::Working(polls) => upload.poll(progress, polls).await,
            },
        }
    }
}

/// One step of a video's upload.
struct Upload<'a> {
    caller: Caller<'a>,
    file: UploadFile<'a>,
}

impl Upload<'_> {
    async fn register(&self, begun: u32) -> Result<UploadStep, Failure> {
        if begun >= MOST_BEGINNINGS {
            let message = format!("the upload was forgotten {begun} times");
            return Err(Failure::not_published(FailureClass::Platform, message));
        }
        let body = json!({ "media_type": "video" }).to_string().into_bytes();
        let answer = self.caller.post("/media", body).await.map_err(|lost| self.lost(lost))?;
        self.ensure_taken(&answer)?;
        let registered = answer.read::<Registered>().filter(|it| is_id(&it.media_id));
        let registered = registered.and_then(|it| Some((it.media_id.clone(), it.ticket()?)));
        let pinterest = self.caller.pinterest;
        let usable = registered.filter(|(_, ticket)| pinterest.base.allows(&ticket.url));
        let Some((id, ticket)) = usable else {
            let message = "pinterest named no address to send the video to";
            return Err(Failure::not_published(FailureClass::Platform, message));
        };
        pinterest.tickets.put(id.clone(), ticket);
        going(&Progress { id, at: At::Send, begun: begun + 1 }, Duration::ZERO)
    }

    async fn send(&self, progress: Progress) -> Result<UploadStep, Failure> {
        let pinterest = self.caller.pinterest;
        // Another process registered it, or this one before it was started anew: what is signed is written
        // down nowhere.
        let Some(ticket) = pinterest.tickets.get(&progress.id) else {
            return self.register(progress.begun).await;
        };
        let open = async {
            self.file.store.open(self.file.id, None).await.map_err(|error| unkept(&error))
        };
        let file = self.caller.bounded("read the video", open).await?.ok_or_else(|| {
            let message = format!("the file {} is gone", self.file.id);
            Failure::not_published(FailureClass::Content, message)
        })?;
        // Whatever stands behind the file is not looked at by the storage.
        let mime = self.file.facts.kind.mime();
        let part = FilePart { name: "file", filename: "video", mime };
        let form = FileForm::streamed(&ticket.fields, part, (file, self.file.bytes));
        let request = pinterest
            .post_to(&ticket.url)
            .header(CONTENT_TYPE, form.content_type)
            .header(CONTENT_LENGTH, form.body.length())
            .body(form.body);
        let time = within(time_to_send(self.file.bytes, pinterest.config.send_timeout));
        let asked = ask("pinterest", request, MOST_OF_ONE, time).await;
        let answer = asked.map_err(|lost| self.unsent(lost, time))?;
        match answer.status.as_u16() {
            200..=299 => {
                pinterest.tickets.remove(&progress.id);
                going(&Progress { at: At::Working(0), ..progress }, FIRST_WAIT)
            }
            // What was signed has ended.
            403 => self.begin_anew(progress),
            status => Err(stored(status, &answer)),
        }
    }

    async fn poll(&self, progress: Progress, polls: u32) -> Result<UploadStep, Failure> {
        if polls >= MOST_POLLS {
            let message = format!("pinterest still works on the video after {polls} questions");
            return Err(Failure::not_published(FailureClass::Platform, message));
        }
        let path = format!("/media/{}", progress.id);
        let answer =
            self.caller.get(&path, &[], MOST_OF_ONE).await.map_err(|lost| self.lost(lost))?;
        if answer.status.as_u16() == 404 {
            return self.begin_anew(progress);
        }
        self.ensure_taken(&answer)?;
        let told: Option<Told> = answer.read();
        match told.and_then(|told| told.status).as_deref() {
            Some("succeeded") => Ok(ready(progress.id, &self.file)),
            Some("failed") => {
                let message = "pinterest could not work on the video: it is damaged, or coded in a way \
                               that it does not take";
                Err(Failure::not_published(FailureClass::Content, message))
            }
            // `registered`, `processing`, or a word of tomorrow.
            Some(_) => {
                let wait = (FIRST_WAIT * (polls + 1)).min(LONGEST_WAIT);
                going(&Progress { at: At::Working(polls + 1), ..progress }, wait)
            }
            None => {
                let message = "pinterest did not say how far the video is";
                Err(Failure::not_published(FailureClass::Platform, message))
            }
        }
    }

    /// Pinterest has forgotten it: the next step registers it again.
    fn begin_anew(&self, progress: Progress) -> Result<UploadStep, Failure> {
        self.caller.pinterest.tickets.remove(&progress.id);
        going(&Progress { at: At::Send, ..progress }, Duration::ZERO)
    }

    fn ensure_taken(&self, answer: &Answer) -> Result<(), Failure> {
        if answer.status.is_success() {
            return Ok(());
        }
        let pinterest = self.caller.pinterest;
        let (now, access) = (pinterest.server_now(answer), pinterest.config.access);
        Err(not_published(unpublished(answer, self.caller.hidden(), access, now)))
    }

    fn lost(&self, lost: NoAnswer) -> Failure {
        not_published(lost.into_failure(self.caller.hidden()))
    }

    /// A video is one call, which a line may be too slow for.
    fn unsent(&self, lost: NoAnswer, time: Duration) -> Failure {
        let failure = self.lost(lost);
        let (bytes, seconds) = (self.file.bytes, time.as_secs());
        let message = format!(
            "the video of {bytes} bytes was not sent ({seconds} s at most): {}",
            failure.message
        );
        Failure { message, ..failure }
    }
}

#[derive(Deserialize)]
struct Told {
    status: Option<String>,
}

/// What the storage said; of its words one, since the others may repeat what is signed.
fn stored(status: u16, answer: &Answer) -> Failure {
    let body = String::from_utf8_lossy(&answer.body);
    let word = body.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    let word = word.filter(|word| word.bytes().all(|c| c.is_ascii_alphanumeric()));
    let told = Hidden::default().hide(word.unwrap_or("it does not say why"));
    let message = format!("the storage refused the video ({status}): {told}");
    let class = match word {
        Some("EntityTooLarge" | "EntityTooSmall") => FailureClass::Content,
        _ => FailureClass::Platform,
    };
    Failure::not_published(class, message)
}

fn unkept(error: &MediaError) -> Failure {
    let class = match error.kind() {
        ErrorKind::Invalid => FailureClass::Content,
        _ => FailureClass::Internal,
    };
    Failure::not_published(class, chain(error))
}

fn ready(remote_id: String, file: &UploadFile<'_>) -> UploadStep {
    UploadStep::Ready(PreparedMedia { remote_id, expires_at: Some(file.now + KEPT) })
}

fn going(progress: &Progress, wait: Duration) -> Result<UploadStep, Failure> {
    let state = serde_json::to_value(progress).expect("plain data");
    Ok(UploadStep::Going { state, wait })
}

/// What was signed for uploads that are on their way, by the upload's id.
#[derive(Debug, Default)]
pub(crate) struct Tickets(Mutex<VecDeque<(String, Arc<Ticket>)>>);

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Arc<Ticket>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, id: String, ticket: Ticket) {
        let mut tickets = self.lock();
        if tickets.len() >= MOST_TICKETS {
            tickets.pop_front();
        }
        tickets.push_back((id, Arc::new(ticket)));
    }

    fn get(&self, id: &str) -> Option<Arc<Ticket>> {
        let tickets = self.lock();
        tickets.iter().find(|(own, _)| own == id).map(|(_, ticket)| ticket.clone())
    }

    fn remove(&self, id: &str) {
        self.lock().retain(|(own, _)| own != id);
    }
}

/// A picture between its preparation and its Pin. Written as `image/jpeg:HASH:640x480`; without the size by earlier
/// versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    kind: MediaKind,
    content_type: &'static str,
    id: MediaId,
    size: Option<(u32, u32)>,
}

impl Kept {
    fn of(file: &UploadFile<'_>) -> Result<Self, Failure> {
        let (kind, id) = (file.facts.kind, file.id);
        let content_type = type_of(kind).ok_or_else(|| {
            let message = format!("the picture is of type {kind}, expected jpeg, png");
            Failure::not_published(FailureClass::Content, message)
        })?;
        let size = Some((file.facts.width, file.facts.height));
        Ok(Self { kind, content_type, id, size })
    }

    /// Reads what was written.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let read = || {
            let (content_type, rest) = text.split_once(':')?;
            let (id, size) = rest.split_once(':').unwrap_or((rest, ""));
            let kind = MediaKind::ALL.into_iter().find(|kind| kind.mime() == content_type)?;
            let size = size.split_once('x').and_then(|(w, h)| w.parse().ok().zip(h.parse().ok()));
            Some(Self { kind, content_type: type_of(kind)?, id: id.parse().ok()?, size })
        };
        read().ok_or_else(|| {
            let message = "what was prepared is neither a video nor a picture of Pinterest's";
            Failure::not_published(FailureClass::Internal, message).as_media_gone()
        })
    }

    /// Its width by its height.
    pub(crate) fn shape(&self) -> Option<f64> {
        let (width, height) = self.size.filter(|&(width, height)| width > 0 && height > 0)?;
        Some(f64::from(width) / f64::from(height))
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.content_type, self.id)?;
        match self.size {
            Some((width, height)) => write!(f, ":{width}x{height}"),
            None => Ok(()),
        }
    }
}

impl Pinterest {
    /// The picture itself.
    pub(crate) async fn bytes(&self, picture: &Kept) -> Result<Bytes, Failure> {
        let data = whole(&*self.files, picture.id, None, MOST_OF_PICTURE).await;
        let data = data.map_err(|error| unkept(&error))?;
        Ok(Bytes { content_type: picture.content_type, data })
    }

    /// Where Pinterest can fetch it; none where it is sent.
    pub(crate) async fn address(&self, picture: &Kept) -> Result<Option<Address>, Failure> {
        if !self.config.fetch_pictures {
            return Ok(None);
        }
        let link = self.files.link(picture.id, picture.kind, FETCHED_WITHIN).await;
        Ok(link.map_err(|error| unkept(&error))?.map(|url| Address { url }))
    }
}

#[cfg(test)]
mod tests {
    use postq_core::media::MediaFacts;

    use super::*;

    #[test]
    fn a_picture_is_read_as_it_is_written() {
        let earlier = format!("image/png:{}", "0".repeat(64));
        for written in [format!("{earlier}:640x480"), earlier] {
            assert_eq!(Kept::read(&written).expect("a picture").to_string(), written);
        }
        for bad in ["", "image/png", "image/webp:00", "video/mp4:00", "image/png:../x"] {
            assert!(Kept::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_video_has_one_cover_at_most() {
        let (video, picture) = (
            MediaFacts::picture(MediaKind::Mp4, 640, 480),
            MediaFacts::picture(MediaKind::Png, 640, 480),
        );
        let problems = |facts: &[&MediaFacts]| {
            let of = |facts| Attached { name: "a", bytes: 9, facts, alt: None };
            let files: Vec<_> = facts.iter().map(|facts| of(*facts)).collect();
            of_video(&files)
        };

        assert_eq!(problems(&[&video, &picture, &picture]), Some(ONE_VIDEO));
        for good in [&[&video][..], &[&video, &picture], &[&picture; 5]] {
            assert_eq!(problems(good), None, "{}", good.len());
        }
    }

    #[test]
    fn the_storage_s_word_is_told_and_nothing_else() {
        let answer = |body: &str| Answer {
            status: reqwest::StatusCode::BAD_REQUEST,
            headers: reqwest::header::HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        };
        let large = "<Error><Code>EntityTooLarge</Code><Policy>hunter2</Policy></Error>";
        let failure = stored(400, &answer(large));
        assert_eq!(failure.class, FailureClass::Content);
        assert_eq!(failure.message, "the storage refused the video (400): EntityTooLarge");
        for slow in ["<Error><Code>RequestTimeout</Code></Error>", "<Code>a b</Code>", ""] {
            assert_eq!(stored(400, &answer(slow)).class, FailureClass::Platform, "{slow}");
        }
    }
}
