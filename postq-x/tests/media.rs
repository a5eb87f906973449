//! Uploads to X, piece by piece, whatever goes wrong between two pieces.

mod support;

use std::io::Cursor;
use std::time::Duration;

use fake_x::{Dialect, Faults, MediaFault};
use postq_core::content::MediaRef;
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::media::{MediaFacts, MediaId, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::options::NO_OPTIONS;
use postq_core::platform::{Media, Outgoing, Platform, PreparedMedia, UploadFile, UploadStep};
use serde_json::Value;
use support::{Bench, bench, intent, now};

/// Two pieces and a little.
const LARGE: usize = 4 * 1_024 * 1_024 + 1_000;

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i % 251).expect("below 251")).collect()
}

/// A file that is being uploaded, and how far it is.
struct Uploading<'a> {
    bench: &'a Bench,
    store: MemoryMedia,
    id: MediaId,
    bytes: u64,
    facts: MediaFacts,
    alt: Option<&'a str>,
    state: Option<Value>,
    steps: usize,
}

impl<'a> Uploading<'a> {
    async fn of(bench: &'a Bench, kind: MediaKind, content: Vec<u8>) -> Self {
        let store = MemoryMedia::default();
        let stored = store.put(Box::new(Cursor::new(content)), u64::MAX).await.expect("put");
        let facts = MediaFacts::picture(kind, 640, 480);
        let (id, bytes) = (stored.id, stored.bytes);
        Self { bench, store, id, bytes, facts, alt: None, state: None, steps: 0 }
    }

    async fn step(&mut self) -> Result<Option<PreparedMedia>, Failure> {
        let file = UploadFile {
            store: &self.store,
            id: self.id,
            bytes: self.bytes,
            facts: &self.facts,
            alt: self.alt,
            url: None,
            now: now(),
        };
        self.steps += 1;
        assert!(self.steps < 100, "it does not end");
        match self.bench.x.step(&self.bench.who, file, self.state.as_ref()).await? {
            UploadStep::Ready(prepared) => Ok(Some(prepared)),
            UploadStep::Going { state, .. } => {
                self.state = Some(state);
                Ok(None)
            }
        }
    }

    /// Goes on after every failure that is not for good.
    async fn finish(&mut self) -> Result<PreparedMedia, Failure> {
        loop {
            match self.step().await {
                Ok(Some(prepared)) => return Ok(prepared),
                Err(failure) if failure.class == FailureClass::Content => return Err(failure),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

fn with(media: impl IntoIterator<Item = MediaFault>) -> Faults {
    Faults { media: media.into_iter().collect(), ..Faults::default() }
}

fn appends(bench: &Bench) -> usize {
    bench.server.seen().iter().filter(|seen| seen.target.ends_with("/append")).count()
}

#[tokio::test]
async fn a_picture_is_uploaded_described_and_published() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(1_000)).await;
    uploading.alt = Some("a cat \u{1f431} on a mat");

    let prepared = uploading.finish().await.expect("uploaded");

    let uploads = bench.server.uploads();
    assert_eq!((uploads.len(), uploads[0].content()), (1, content(1_000)));
    assert_eq!(
        (uploads[0].media_type.as_str(), uploads[0].category.as_str()),
        ("image/png", "tweet_image")
    );
    assert_eq!(uploads[0].alt.as_deref(), Some("a cat \u{1f431} on a mat"));
    let left = prepared.expires_at.expect("X tells it") - now();
    assert!((23..=24).contains(&left.num_hours()), "{left}");
    let media = [MediaRef { source: "cat.png".into(), alt: None }];
    for text in ["look", ""] {
        let intent = intent(text);
        let part = Outgoing {
            part: 0,
            of: 1,
            text,
            options: &NO_OPTIONS,
            media: &media,
            prepared: std::slice::from_ref(&prepared),
            container: None,
            reply_to: None,
            thread: None,
            key: &intent.key,
        };
        bench.x.publish(&bench.who, part).await.expect("published");
    }
    let out = bench.server.ledger().accepted;
    assert!(out.iter().all(|post| post.media == [prepared.remote_id.clone()]));
    assert_eq!((out[0].text.as_str(), out[1].text.as_str()), ("look", ""));
}

#[tokio::test]
async fn a_video_goes_in_pieces_and_is_waited_for() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(LARGE)).await;

    let prepared = uploading.finish().await.expect("uploaded");

    let upload = &bench.server.uploads()[0];
    assert_eq!(upload.id, prepared.remote_id);
    assert_eq!((upload.pieces.len(), upload.category.as_str()), (3, "tweet_video"));
    assert!(upload.content() == content(LARGE));
    let polls = bench.server.seen().iter().filter(|s| s.target.contains("command=STATUS")).count();
    assert_eq!(polls, 2);
}

#[tokio::test]
async fn what_is_cut_goes_on_with_the_piece_it_was_at() {
    let bench = bench().await;
    bench.server.set_faults(with([
        MediaFault::CutBefore, // the first call, twice
        MediaFault::CutBefore,
        MediaFault::CutAfter,
        MediaFault::Unavailable,
    ]));
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(LARGE)).await;

    let failure = uploading.step().await.expect_err("the first call is cut");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
    uploading.finish().await.expect("uploaded");

    assert!(bench.server.uploads()[0].content() == content(LARGE));
    assert_eq!(appends(&bench), 3 + 2, "each fault costs its own piece and no other");
}

#[tokio::test]
async fn what_x_forgot_is_begun_anew_a_few_times() {
    let bench = bench().await;
    bench.server.set_faults(with([MediaFault::Forget]));
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(LARGE)).await;
    uploading.finish().await.expect("uploaded in the end");
    assert!(bench.server.uploads()[0].content() == content(LARGE));

    bench.server.set_faults(with([MediaFault::Forget; 3]));
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;
    let failure = loop {
        if let Err(failure) = uploading.step().await {
            break failure;
        }
    };
    assert!(failure.message.contains("forgot the upload 3 times"), "{failure}");
}

#[tokio::test]
async fn what_x_cannot_work_on_is_refused_for_good() {
    let bench = bench().await;
    bench.server.set_faults(with([MediaFault::ProcessingFails]));
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;

    let failure = uploading.finish().await.expect_err("refused");

    assert_eq!(failure.class, FailureClass::Content);
    assert!(failure.message.contains("file is unsupported"), "{failure}");

    // By the newer names X does not say why.
    let newer = Faults { dialect: Dialect::Post, ..with([MediaFault::ProcessingFails]) };
    bench.server.set_faults(newer);
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;
    let failure = uploading.finish().await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Content);
    assert!(failure.message.contains("it does not say why"), "{failure}");
}

#[tokio::test]
async fn an_upload_that_has_ended_is_not_published() {
    let bench = bench().await;
    let life = Duration::from_millis(1);
    bench.server.set_faults(Faults { media_life: life, ..Faults::default() });
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;
    let prepared = uploading.finish().await.expect("uploaded");
    let media = [MediaRef { source: "cat.png".into(), alt: None }];
    let intent = intent("late");
    let part = Outgoing {
        part: 0,
        of: 1,
        text: "late",
        options: &NO_OPTIONS,
        media: &media,
        prepared: &[prepared],
        container: None,
        reply_to: None,
        thread: None,
        key: &intent.key,
    };
    tokio::time::sleep(Duration::from_millis(20)).await;

    let failure = bench.x.publish(&bench.who, part).await.expect_err("X does not know it any more");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Content, Outcome::NotPublished));
    assert!(bench.server.ledger().accepted.is_empty());
}

#[tokio::test]
async fn a_token_that_may_not_upload_says_so_and_is_not_shown() {
    let mut bench = bench().await;
    bench.who = support::who("not-a-token");
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;

    let failure = uploading.step().await.expect_err("refused");

    assert_eq!(failure.class, FailureClass::Auth);
    assert!(!failure.message.contains("not-a-token"), "{failure}");
}

#[tokio::test]
async fn what_another_version_wrote_down_is_begun_anew() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;
    uploading.state = Some(serde_json::json!({ "at": "elsewhere", "id": "../../tweets" }));

    uploading.finish().await.expect("uploaded");

    assert_eq!(bench.server.uploads().len(), 1);
}
