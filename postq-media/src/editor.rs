//! [`MediaEditor`]: what a file is, and what is made of it.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use postq_core::error::{ErrorKind, MediaError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::media::{
    Fit, MediaClass, MediaEditor, MediaFacts, MediaId, MediaKind, MediaLimits, MediaReader,
    MediaStore, whole,
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Semaphore;

use crate::picture;
use crate::video::{self, Unread};

/// What can be set of an editor.
#[derive(Clone, Debug)]
pub struct EditorSettings {
    /// Whether what tells where a picture or video was taken is left in. Defaults to false.
    pub keep_place: bool,
    /// The largest picture in bytes that is read. Defaults to 64 MiB.
    pub most_of_picture: u64,
    /// Pictures that are worked on at once: each may need some 500 MB. Defaults to 1.
    pub at_once: usize,
}

impl Default for EditorSettings {
    fn default() -> Self {
        Self { keep_place: false, most_of_picture: 64 * 1_024 * 1_024, at_once: 1 }
    }
}

/// Looks into JPEG, PNG, GIF, WebP, MP4 and QuickTime; scales and converts pictures.
#[derive(Clone, Debug)]
pub struct Editor {
    settings: EditorSettings,
    turns: Arc<Semaphore>,
}

impl Editor {
    /// An editor with these settings.
    pub fn new(settings: EditorSettings) -> Self {
        let turns = Arc::new(Semaphore::new(settings.at_once.max(1)));
        Self { settings, turns }
    }

    async fn picture<T: Send + 'static>(
        &self,
        store: &dyn MediaStore,
        id: MediaId,
        work: impl FnOnce(&[u8]) -> Result<T, picture::Wrong> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = self.turns.acquire().await.map_err(internal)?;
        let content = whole(store, id, None, self.settings.most_of_picture).await.map_err(ours)?;
        let done = tokio::task::spawn_blocking(move || work(&content)).await;
        drop(turn);
        done.map_err(internal)?.map_err(refused)
    }

    /// The same video with zeros where it tells a place: its length and all other bytes stay.
    async fn strip_video(
        &self,
        store: &dyn MediaStore,
        id: MediaId,
        facts: &MediaFacts,
    ) -> Result<Fit, Failure> {
        let found = video::look(store, id, facts.kind).await.map_err(unread)?;
        if found.places.is_empty() {
            return Ok(Fit::AsItIs);
        }
        let gone = || refused("the file is gone".to_owned());
        let size = store.size(id).await.map_err(ours)?.ok_or_else(gone)?;
        let content = store.open(id, None).await.map_err(ours)?.ok_or_else(gone)?;
        let blanked = Blanked { content, at: 0, places: found.places };
        let stored = store.put(Box::new(blanked), size).await.map_err(ours)?;
        let facts = MediaFacts { located: false, ..facts.clone() };
        Ok(Fit::Made(stored.id, stored.bytes, facts))
    }
}

#[async_trait]
impl MediaEditor for Editor {
    async fn inspect(&self, store: &dyn MediaStore, id: MediaId) -> Result<MediaFacts, Failure> {
        let head = Some(0..MediaKind::HEAD as u64);
        let head = whole(store, id, head, MediaKind::HEAD as u64).await.map_err(ours)?;
        let Some(kind) = MediaKind::of_content(&head) else {
            let known: Vec<&str> = MediaKind::ALL.iter().map(|kind| kind.as_str()).collect();
            let known = known.join(", ");
            let text = head.trim_ascii_start().starts_with(b"<");
            let what = if text { "is text (SVG, HTML or XML)" } else { "is of no known type" };
            return Err(refused(format!("its content {what}; expected {known}")));
        };
        match kind.class() {
            MediaClass::Video => {
                video::look(store, id, kind).await.map(|found| found.facts).map_err(unread)
            }
            _ => self.picture(store, id, move |content| picture::look(content, kind)).await,
        }
    }

    async fn fit(
        &self,
        store: &dyn MediaStore,
        id: MediaId,
        facts: &MediaFacts,
        limits: &MediaLimits,
    ) -> Result<Fit, Failure> {
        let keep = self.settings.keep_place;
        if facts.kind.class() == MediaClass::Video {
            return match keep || !facts.located {
                true => Ok(Fit::AsItIs),
                false => self.strip_video(store, id, facts).await,
            };
        }
        let Some(limits) = limits.of(facts.kind.class()).cloned() else { return Ok(Fit::AsItIs) };
        let known = facts.clone();
        let work = move |content: &[u8]| picture::fit(content, &known, &limits, keep);
        let Some(made) = self.picture(store, id, work).await? else { return Ok(Fit::AsItIs) };
        let most = made.len() as u64;
        let stored = store.put(Box::new(io::Cursor::new(made)), most).await.map_err(ours)?;
        let facts = self.inspect(store, stored.id).await?;
        Ok(Fit::Made(stored.id, stored.bytes, facts))
    }
}

/// Reads content with zeros in some places.
struct Blanked {
    content: MediaReader,
    at: u64,
    places: Vec<Range<u64>>,
}

impl AsyncRead for Blanked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.content).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &polled {
            let read = &mut buf.filled_mut()[before..];
            let span = self.at..self.at + read.len() as u64;
            for place in &self.places {
                let (from, to) = (place.start.max(span.start), place.end.min(span.end));
                if from < to {
                    let offset = |at: u64| usize::try_from(at - span.start).unwrap_or(read.len());
                    let (from, to) = (offset(from), offset(to));
                    read[from..to].fill(0);
                }
            }
            self.at = span.end;
        }
        polled
    }
}

fn refused(why: impl Into<String>) -> Failure {
    Failure::not_published(FailureClass::Content, why)
}

fn internal(error: impl std::error::Error) -> Failure {
    Failure::not_published(FailureClass::Internal, format!("work on a picture: {error}"))
}

/// A failure of the store: what it refuses stays refused.
fn ours(error: MediaError) -> Failure {
    let class = match error.kind() {
        ErrorKind::Invalid => FailureClass::Content,
        _ => FailureClass::Internal,
    };
    Failure::not_published(class, chain(&error))
}

fn unread(error: Unread) -> Failure {
    match error {
        Unread::Store(error) => ours(error),
        Unread::Broken(why) => refused(why),
    }
}
