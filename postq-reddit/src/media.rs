//! [`Media`] for Reddit: a lease, the file to the store that the lease names, and for a video the same again
//! for the picture that is shown before it plays.
//!
//! ```text
//! lease -> file -> ready                                   a picture
//! lease -> file -> lease of the poster -> poster -> ready  a video
//! ```
//!
//! A lease lets anybody upload who has it, so it is a secret: it is kept in memory and never written down.
//! Who goes on elsewhere, or after a restart, begins anew.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use postq_core::error::{ErrorKind, chain};
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::media::{Attached, KindLimits, MediaClass, MediaKind, MediaLimits, MediaReader};
use postq_core::options::PostOptions;
use postq_core::platform::{Identity, Media, PreparedMedia, UploadFile, UploadStep};
use postq_http::{
    Answer, FileForm, FilePart, Hidden, NoAnswer, Token, ask, form, is_loopback, time_to_send,
    within,
};
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{MOST_OF_ONE, Reddit, is_id, token_of};
use crate::error::unpublished;
use crate::options::{GALLERY, Wanted};
use crate::submit::FORM;

/// An upload whose lease is gone is begun anew so often.
const MOST_BEGINNINGS: u32 = 5;
/// Leases that are kept; the oldest goes first.
const MOST_LEASES: usize = 256;
/// Reddit's leases end after some hours; nobody says how many.
const USABLE: TimeDelta = TimeDelta::hours(2);
/// A video without a picture of its author's is shown as this until it plays.
const POSTER: &[u8] = include_bytes!("poster.png");
/// The longest description: what a gallery's captions may have.
const MOST_CAPTION: usize = 180;

const MB: u64 = 1_024 * 1_024;

/// What Reddit takes.
pub(crate) fn limits() -> MediaLimits {
    let most = *GALLERY.end();
    let class = |kinds: &[MediaKind], bytes, most| {
        Some(KindLimits { most, ..KindLimits::new(kinds.to_vec(), bytes) })
    };
    MediaLimits {
        image: class(&[MediaKind::Jpeg, MediaKind::Png], 20 * MB, most),
        animation: class(&[MediaKind::Gif], 20 * MB, most),
        video: Some(KindLimits {
            duration: Some(Duration::ZERO..=Duration::from_secs(15 * 60)),
            ..KindLimits::new([MediaKind::Mp4, MediaKind::Quicktime], 1_024 * MB)
        }),
        most,
        // A gallery of GIFs and other pictures; a video with its poster.
        mixed: true,
        alt: MOST_CAPTION,
    }
}

/// A file that Reddit has taken in: what the engine keeps as its remote id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// What a gallery names it by.
    pub(crate) asset: String,
    /// What a picture or video post names it by.
    pub(crate) url: String,
    /// A video's: the picture that is shown before it plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) poster: Option<String>,
}

impl Taken {
    pub(crate) fn read(prepared: &PreparedMedia) -> Result<Self, Failure> {
        Self::named(&prepared.remote_id).ok_or_else(|| {
            let message = "a file's remote id was not made by this adapter";
            Failure::not_published(FailureClass::Internal, message)
        })
    }

    /// The file of a remote id, if this adapter made it.
    pub(crate) fn named(remote_id: &str) -> Option<Self> {
        serde_json::from_str(remote_id).ok()
    }

    /// Whether this is its address: the one that it was sent to, or one that Reddit makes of its asset, such as
    /// `https://i.redd.it/ASSET.png` or `https://v.redd.it/ASSET`.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        let url = Url::parse(address);
        let mut names = url.iter().filter_map(Url::path_segments).flatten();
        let is_asset = |name: &str| name.split('.').next() == Some(self.asset.as_str());
        address == self.url || names.any(is_asset)
    }

    fn ready(self, file: UploadFile<'_>) -> UploadStep {
        let remote_id = serde_json::to_string(&self).expect("plain data");
        UploadStep::Ready(PreparedMedia { remote_id, expires_at: Some(file.now + USABLE) })
    }
}

/// How far an upload is: what is written down between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// The asset that is leased, and sent next.
    asset: String,
    /// The video, if it is its poster's turn.
    video: Option<Sent>,
    /// How often it was begun.
    begun: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    asset: String,
    url: String,
    /// Its poster is leased.
    leased: bool,
}

/// Leases in force, by asset.
#[derive(Default)]
pub(crate) struct Leases(Mutex<VecDeque<(String, Lease)>>);

impl Leases {
    fn keep(&self, asset: String, lease: Lease) {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if leases.len() >= MOST_LEASES {
            leases.pop_front();
        }
        leases.push_back((asset, lease));
    }

    fn forget(&self, asset: &str) {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|(own, _)| own != asset);
    }

    fn of(&self, asset: &str) -> Option<Lease> {
        let leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leases.iter().find(|(own, _)| own == asset).map(|(_, lease)| lease.clone())
    }
}

/// Where to send a file, and with what before it.
#[derive(Clone)]
struct Lease {
    action: Url,
    fields: Vec<(String, String)>,
    /// Where the file will be.
    url: String,
}

/// One step's file, and whose it is.
struct Call<'a> {
    file: UploadFile<'a>,
    token: Token,
}

impl Call<'_> {
    fn hidden(&self) -> Hidden<'_> {
        Hidden::secret(self.token.expose())
    }

    fn is_video(&self) -> bool {
        self.file.facts.kind.class() == MediaClass::Video
    }
}

#[async_trait]
impl Media for Reddit {
    fn limits(&self) -> MediaLimits {
        limits()
    }

    fn problems<'a>(&self, options: &PostOptions, files: &[Attached<'a>]) -> Vec<String> {
        let is_video = |file: &&Attached<'_>| file.facts.kind.class() == MediaClass::Video;
        let videos = files.iter().filter(is_video).count();
        Wanted::read(options).kind_of_these(files.len(), videos).err().into_iter().collect()
    }

    /// A file goes in one call, whatever its size.
    fn step_timeout(&self, bytes: u64) -> Option<Duration> {
        Some(time_to_send(bytes, self.config.send_timeout))
    }

    async fn step<'a>(
        &self,
        who: &Identity,
        file: UploadFile<'a>,
        state: Option<&'a Value>,
    ) -> Result<UploadStep, Failure> {
        let call = Call { file, token: token_of(who.secret.as_ref())? };
        // What another version wrote down is begun anew.
        let Some(progress) = state.and_then(|state| Progress::deserialize(state).ok()) else {
            return self.begin(&call, 0).await;
        };
        if let Some(video) = progress.video.clone().filter(|video| !video.leased) {
            return self.lease_poster(&call, video, progress.begun).await;
        }
        match self.leases.of(&progress.asset) {
            Some(lease) => self.send(&call, progress, lease).await,
            None => self.begin_again(&call, &progress).await,
        }
    }
}

impl Reddit {
    async fn begin(&self, call: &Call<'_>, begun: u32) -> Result<UploadStep, Failure> {
        let kind = call.file.facts.kind;
        let asset = self.lease(call, kind).await?;
        Ok(going(&Progress { asset, video: None, begun: begun + 1 }))
    }

    async fn lease_poster(
        &self,
        call: &Call<'_>,
        video: Sent,
        begun: u32,
    ) -> Result<UploadStep, Failure> {
        let asset = self.lease(call, MediaKind::Png).await?;
        Ok(going(&Progress { asset, video: Some(Sent { leased: true, ..video }), begun }))
    }

    /// Asks where a file may be sent; answers the asset that it will be.
    async fn lease(&self, call: &Call<'_>, kind: MediaKind) -> Result<String, Failure> {
        let fields =
            [("api_type", "json"), ("filepath", file_name(kind)), ("mimetype", kind.mime())];
        let body = (FORM, form(&fields).as_bytes().to_vec());
        let asked = self.post("/api/media/asset.json", body, &call.token).await;
        let answer = asked.map_err(|lost| not_published(lost.into_failure(call.hidden())))?;
        let leased = answer.read::<Leased>().filter(|_| answer.status.is_success());
        let Some(leased) = leased.filter(|leased| is_id(&leased.asset.asset_id)) else {
            let failure = unpublished(&answer, call.hidden(), self.server_now(&answer));
            return Err(not_published(failure));
        };
        let asset = leased.asset.asset_id;
        let lease = leased.args.lease(self.bases.api.is_loopback).ok_or_else(|| {
            let message = "reddit leased a place for a file that is no safe address";
            Failure::not_published(FailureClass::Platform, message)
        })?;
        self.leases.keep(asset.clone(), lease);
        Ok(asset)
    }

    /// Sends the file, or a video's poster.
    async fn send(
        &self,
        call: &Call<'_>,
        progress: Progress,
        lease: Lease,
    ) -> Result<UploadStep, Failure> {
        let (content, kind): ((MediaReader, u64), MediaKind) = match &progress.video {
            Some(_) => ((Box::new(Cursor::new(POSTER)), POSTER.len() as u64), MediaKind::Png),
            None => ((self.open(call).await?, call.file.bytes), call.file.facts.kind),
        };
        let patience = self.step_timeout(content.1).map_or(self.patience(), within);
        let part = FilePart { name: "file", filename: file_name(kind), mime: kind.mime() };
        let form = FileForm::streamed(&lease.fields, part, content);
        let request = self
            .post_file(lease.action.as_str())
            .header(CONTENT_TYPE, form.content_type)
            .body(form.body);
        let asked = ask("reddit", request, MOST_OF_ONE, patience).await;
        let answer = asked.map_err(store_is_silent)?;
        match answer.status.as_u16() {
            200..=299 => Ok(sent(call, progress, lease.url)),
            // The lease has ended: the next step asks for another one.
            403 | 404 => {
                self.leases.forget(&progress.asset);
                Ok(going(&progress))
            }
            _ => Err(refused(&answer, call)),
        }
    }

    async fn open(&self, call: &Call<'_>) -> Result<MediaReader, Failure> {
        let UploadFile { store, id, .. } = call.file;
        let failed = |class, why| Failure::not_published(class, why);
        let opened = store.open(id, None).await.map_err(|error| {
            let class = match error.kind() {
                ErrorKind::Invalid => FailureClass::Content,
                _ => FailureClass::Internal,
            };
            failed(class, chain(&error))
        })?;
        opened.ok_or_else(|| failed(FailureClass::Content, format!("the file {id} is gone")))
    }

    async fn begin_again(
        &self,
        call: &Call<'_>,
        progress: &Progress,
    ) -> Result<UploadStep, Failure> {
        if progress.begun >= MOST_BEGINNINGS {
            let message = format!("an upload was begun {MOST_BEGINNINGS} times and never ended");
            return Err(Failure::not_published(FailureClass::Platform, message));
        }
        match &progress.video {
            // The video is there: only its poster is leased again.
            Some(video) => self.lease_poster(call, video.clone(), progress.begun + 1).await,
            None => self.begin(call, progress.begun).await,
        }
    }
}

/// What follows when a file, or a poster, is there.
fn sent(call: &Call<'_>, progress: Progress, url: String) -> UploadStep {
    match progress.video {
        Some(video) => {
            let taken = Taken { asset: video.asset, url: video.url, poster: Some(url) };
            taken.ready(call.file)
        }
        None if call.is_video() => {
            let video = Sent { asset: progress.asset.clone(), url, leased: false };
            going(&Progress { video: Some(video), ..progress })
        }
        None => Taken { asset: progress.asset, url, poster: None }.ready(call.file),
    }
}

fn going(progress: &Progress) -> UploadStep {
    let state = serde_json::to_value(progress).expect("plain data");
    UploadStep::Going { state, wait: Duration::ZERO }
}

const fn file_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Jpeg => "postq.jpg",
        MediaKind::Png => "postq.png",
        MediaKind::Gif => "postq.gif",
        MediaKind::Webp => "postq.webp",
        MediaKind::Quicktime => "postq.mov",
        _ => "postq.mp4",
    }
}

/// What the store of files says, in XML: too large is for good, the rest may pass.
fn refused(answer: &Answer, call: &Call<'_>) -> Failure {
    let status = answer.status.as_u16();
    let body = String::from_utf8_lossy(&answer.body);
    let code = between(&body, "<Code>", "</Code>").unwrap_or_default();
    let told = |words: String| call.hidden().hide(&words);
    if code == "EntityTooLarge" {
        let most = between(&body, "<MaxSizeAllowed>", "</MaxSizeAllowed>").unwrap_or("fewer");
        let message =
            format!("the file has {} bytes, and reddit takes {most} at most", call.file.bytes);
        return Failure::not_published(FailureClass::Content, told(message));
    }
    let message = told(format!("reddit's store of files refused it ({status}): {code}"));
    Failure::not_published(FailureClass::Platform, message)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

/// Nothing of what is wrong there is told: the address and the fields are the lease.
fn store_is_silent(lost: NoAnswer) -> Failure {
    let message = match lost {
        NoAnswer::NeverSent(_) => "reddit's store of files could not be reached",
        NoAnswer::Lost(_) => "reddit's store of files did not answer, or not in time",
    };
    Failure::not_published(FailureClass::Network, message)
}

/// An upload publishes nothing, whatever became of it.
fn not_published(failure: Failure) -> Failure {
    Failure { outcome: Outcome::NotPublished, ..failure }
}

#[derive(Deserialize)]
struct Leased {
    args: Args,
    asset: Asset,
}

#[derive(Deserialize)]
struct Asset {
    asset_id: String,
}

#[derive(Deserialize)]
struct Args {
    action: String,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    value: String,
}

impl Args {
    /// The lease, if its address keeps the file from being read along; plain on loopback alone.
    fn lease(self, loopback: bool) -> Option<Lease> {
        let rest = self.action.strip_prefix("//")?;
        let mut action = Url::parse(&format!("https://{rest}")).ok()?;
        let is_local = is_loopback(action.host_str()?);
        if is_local {
            loopback.then_some(())?;
            action = Url::parse(&format!("http://{rest}")).ok()?;
        }
        let key = self.fields.iter().find(|field| field.name == "key")?.value.clone();
        if key.is_empty() || key.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return None;
        }
        let url = format!("{}/{key}", action.as_str().trim_end_matches('/'));
        let fields = self.fields.into_iter().map(|field| (field.name, field.value)).collect();
        Some(Lease { action, fields, url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(action: &str, key: &str, loopback: bool) -> Option<Lease> {
        let field = Field { name: "key".into(), value: key.into() };
        Args { action: action.into(), fields: vec![field] }.lease(loopback)
    }

    #[test]
    fn a_lease_leads_to_a_safe_address() {
        let good = lease("//store.example.com", "rte_images/abc", false).expect("a lease");
        assert_eq!(good.url, "https://store.example.com/rte_images/abc");
        assert_eq!(good.action.as_str(), "https://store.example.com/");
        let local = lease("//127.0.0.1:9/bucket", "k", true).expect("a lease");
        assert_eq!(local.url, "http://127.0.0.1:9/bucket/k");

        for (action, key) in [
            ("http://store.example.com", "k"),
            ("store.example.com", "k"),
            ("//", "k"),
            ("//127.0.0.1:9", "k"),
            ("//store.example.com", ""),
            ("//store.example.com", "a b"),
        ] {
            assert!(lease(action, key, false).is_none(), "{action} {key}");
        }
    }

    #[test]
    fn leases_are_kept_up_to_a_number() {
        let leases = Leases::default();
        let one = lease("//store.example.com", "k", false).expect("a lease");
        for n in 0..=MOST_LEASES {
            leases.keep(format!("a{n}"), one.clone());
        }

        assert!(leases.of("a0").is_none(), "the oldest went");
        leases.forget("a2");
        assert!(leases.of("a2").is_none());
        assert!(leases.of("a1").is_some() && leases.of(&format!("a{MOST_LEASES}")).is_some());
    }

    #[test]
    fn the_poster_is_a_picture() {
        assert_eq!(MediaKind::of_content(POSTER), Some(MediaKind::Png));
    }
}
