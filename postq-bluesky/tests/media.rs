//! Pictures and videos: uploaded, and named by the post.

mod support;

use std::io::Cursor;
use std::time::Duration;

use fake_bluesky::{Canned, Refuses, VideoFault};
use postq_core::content::MediaRef;
use postq_core::failure::{Failure, FailureClass, Outcome};
use postq_core::intent::Intent;
use postq_core::media::{MediaFacts, MediaId, MediaKind, MediaStore};
use postq_core::memory::MemoryMedia;
use postq_core::platform::{Media, Outgoing, Platform, PreparedMedia, UploadFile, UploadStep};
use serde_json::{Value, json};

use support::{Bench, bench, bench_with, intent, now, options, outgoing};

const UPLOAD: &str = "com.atproto.repo.uploadBlob";
const VIDEO: &str = "app.bsky.video.uploadVideo";

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
    state: Option<Value>,
    steps: usize,
}

impl<'a> Uploading<'a> {
    async fn of(bench: &'a Bench, kind: MediaKind, content: Vec<u8>) -> Self {
        let store = MemoryMedia::default();
        let stored = store.put(Box::new(Cursor::new(content)), u64::MAX).await.expect("put");
        let facts = MediaFacts::picture(kind, 640, 480);
        Self { bench, store, id: stored.id, bytes: stored.bytes, facts, state: None, steps: 0 }
    }

    async fn step(&mut self) -> Result<Option<PreparedMedia>, Failure> {
        let file = UploadFile {
            store: &self.store,
            id: self.id,
            bytes: self.bytes,
            facts: &self.facts,
            alt: Some("a cat"),
            url: None,
            now: now(),
        };
        self.steps += 1;
        assert!(self.steps < 20, "it does not end");
        match Media::step(&self.bench.bluesky, &self.bench.who, file, self.state.as_ref()).await? {
            UploadStep::Ready(prepared) => Ok(Some(prepared)),
            UploadStep::Going { state, wait } => {
                let asks = !state["job"].is_null();
                assert!(!asks || wait > Duration::ZERO, "it does not ask without a pause");
                self.state = Some(state);
                Ok(None)
            }
        }
    }

    async fn finish(&mut self) -> Result<PreparedMedia, Failure> {
        loop {
            if let Some(prepared) = self.step().await? {
                return Ok(prepared);
            }
        }
    }
}

async fn picture(bench: &Bench, bytes: usize) -> PreparedMedia {
    Uploading::of(bench, MediaKind::Png, content(bytes)).await.finish().await.expect("uploaded")
}

fn shows(alt: Option<&str>) -> MediaRef {
    MediaRef { source: "cat.png".into(), alt: alt.map(str::to_owned) }
}

async fn publish(
    bench: &Bench,
    intent: &Intent,
    media: &[MediaRef],
    prepared: &[PreparedMedia],
) -> Result<Value, Failure> {
    let part = Outgoing { media, prepared, ..outgoing(intent) };
    bench.bluesky.publish(&bench.who, part).await?;
    Ok(bench.last())
}

#[tokio::test]
async fn a_picture_is_one_upload_as_it_is() {
    let bench = bench().await;
    let before = now();

    let prepared = picture(&bench, 1_000).await;

    let seen = bench.server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("POST", "/xrpc/com.atproto.repo.uploadBlob")
    );
    let kind = seen[0].headers.iter().find(|(name, _)| name == "content-type").expect("a kind");
    assert_eq!(kind.1, "image/png");
    let blobs = bench.server.ledger().blobs;
    assert_eq!((blobs.len(), blobs[0].content == content(1_000)), (1, true));
    let left = prepared.expires_at.expect("it is forgotten") - before;
    assert_eq!(left.num_minutes(), 120, "uploaded an hour ahead, it is good when the post is due");
    // The same bytes again are the same file.
    assert_eq!(picture(&bench, 1_000).await.remote_id, prepared.remote_id);
    assert_eq!(bench.server.ledger().blobs.len(), 1);
}

#[tokio::test]
async fn pictures_are_named_with_what_they_show_and_their_shape() {
    let bench = bench().await;
    let prepared = [picture(&bench, 10).await, picture(&bench, 20).await];
    let media = [shows(Some("a cat \u{1f431} on a mat")), shows(None)];

    let record = publish(&bench, &intent("look"), &media, &prepared).await.expect("published");

    let blobs = bench.server.ledger().blobs;
    let image = |place: usize, alt: &str| {
        json!({
            "image": blobs[place].blob, "alt": alt, "aspectRatio": { "width": 640, "height": 480 },
        })
    };
    let images = [image(0, "a cat \u{1f431} on a mat"), image(1, "")];
    assert_eq!(record["embed"], json!({ "$type": "app.bsky.embed.images", "images": images }));
}

#[tokio::test]
async fn a_picture_of_a_card_is_its_thumbnail() {
    let bench = bench().await;
    let prepared = [picture(&bench, 10).await];
    let card = options(r#"{"card_url":"https://a.example","card_title":"T"}"#);
    let with_card = Intent { options: card, ..intent("look") };

    let record = publish(&bench, &with_card, &[shows(None)], &prepared).await.expect("published");

    let blob = &bench.server.ledger().blobs[0].blob;
    let external =
        json!({ "uri": "https://a.example", "title": "T", "description": "", "thumb": blob });
    assert_eq!(
        record["embed"],
        json!({ "$type": "app.bsky.embed.external", "external": external })
    );
}

#[tokio::test]
async fn a_video_is_worked_on_and_waited_for() {
    for bare in [false, true] {
        let bench = bench().await;
        if bare {
            bench.server.meet_video(VideoFault::Bare);
        }
        let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(200_000)).await;

        let prepared = uploading.finish().await.expect("worked on");

        assert_eq!(uploading.steps, 5, "begun, one upload, three questions");
        let seen = bench.server.seen();
        assert!(seen[0].target.starts_with("/xrpc/com.atproto.server.getServiceAuth?aud=did%3Aweb%3A127.0.0.1&lxm=com.atproto.repo.uploadBlob&exp="));
        let did = bench.did.replace(':', "%3A");
        let target = format!("/xrpc/{VIDEO}?did={did}&name={}.mp4", uploading.id);
        assert_eq!(seen[1].target, target);
        let header = |name: &str| {
            seen[1].headers.iter().find(|(own, _)| own == name).expect("one").1.clone()
        };
        assert!(header("authorization").starts_with("Bearer right-"), "and not the account's own");
        assert_eq!(
            (header("content-type").as_str(), header("content-length").as_str()),
            ("video/mp4", "200000")
        );
        assert_eq!(seen[2].target, "/xrpc/app.bsky.video.getJobStatus?jobId=job0");
        let blobs = bench.server.ledger().blobs;
        assert!(blobs[0].content == content(200_000));
        let state = uploading.state.expect("a state").to_string();
        assert!(!state.contains("right-"), "no secret is written down: {state}");

        let record = publish(&bench, &intent("look"), &[shows(Some("a cat"))], &[prepared])
            .await
            .expect("published");
        let expected = json!({
            "$type": "app.bsky.embed.video",
            "video": blobs[0].blob,
            "alt": "a cat",
            "aspectRatio": { "width": 640, "height": 480 },
        });
        assert_eq!(record["embed"], expected);
    }
}

#[tokio::test]
async fn a_video_that_is_known_is_taken_at_once() {
    let bench = bench().await;
    bench.server.meet_video(VideoFault::Known);

    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;
    uploading.finish().await.expect("known");

    assert_eq!(uploading.steps, 2);
}

#[tokio::test]
async fn a_video_that_cannot_be_worked_on_is_refused_for_good() {
    let bench = bench().await;
    bench.server.meet_video(VideoFault::Fails);

    let failure = Uploading::of(&bench, MediaKind::Mp4, content(10))
        .await
        .finish()
        .await
        .expect_err("refused");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Content, Outcome::NotPublished));
    assert!(failure.message.contains("the video has no picture"), "{failure}");
}

#[tokio::test]
async fn without_a_service_a_video_is_uploaded_as_it_is() {
    let bench = bench_with(|config| config.video_url = None).await;

    let prepared = Uploading::of(&bench, MediaKind::Mp4, content(200_000))
        .await
        .finish()
        .await
        .expect("uploaded");

    let record =
        publish(&bench, &intent("look"), &[shows(None)], &[prepared]).await.expect("published");
    let blobs = bench.server.ledger().blobs;
    assert_eq!((blobs.len(), blobs[0].content == content(200_000)), (1, true));
    assert_eq!(record["embed"]["video"], blobs[0].blob);
    assert!(record["embed"].get("alt").is_none());
}

#[tokio::test]
async fn mixtures_are_refused_before_anything_is_sent() {
    let bench = bench().await;
    let video =
        Uploading::of(&bench, MediaKind::Mp4, content(10)).await.finish().await.expect("done");
    let image = picture(&bench, 10).await;
    let card = options(r#"{"card_url":"https://a.example"}"#);
    let with_card = Intent { options: card, ..intent("look") };
    let (one, two) = ([shows(None)], [shows(None), shows(None)]);

    for (intent, media, prepared) in [
        (intent("look"), &two[..], vec![video.clone(), image.clone()]),
        (with_card.clone(), &one[..], vec![video]),
        (with_card, &two[..], vec![image.clone(), image]),
    ] {
        let failure = publish(&bench, &intent, media, &prepared).await.expect_err("refused");
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Content, Outcome::NotPublished)
        );
    }
    assert_eq!(bench.server.ledger().writes, 0);
}

#[tokio::test]
async fn what_the_server_forgot_is_trouble_that_passes() {
    let bench = bench().await;
    let prepared = [picture(&bench, 10).await];
    bench.server.forget_blobs();

    let failure =
        publish(&bench, &intent("late"), &[shows(None)], &prepared).await.expect_err("gone");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::NotPublished));
    assert!(failure.media_gone, "so that it is uploaded again");
    assert!(bench.server.ledger().posts.is_empty());
    let again = [picture(&bench, 10).await];
    publish(&bench, &intent("late"), &[shows(None)], &again).await.expect("published");
}

#[tokio::test]
async fn what_is_no_upload_is_not_sent() {
    let bench = bench().await;
    let prepared = [PreparedMedia { remote_id: "1234".into(), expires_at: None }];

    let failure =
        publish(&bench, &intent("look"), &[shows(None)], &prepared).await.expect_err("no blob");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Internal, Outcome::NotPublished));
    assert!(failure.media_gone, "so that it is uploaded again");
    assert_eq!(bench.server.ledger().writes, 0);
}

#[tokio::test]
async fn an_upload_that_fails_publishes_nothing() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(500)).await;
    for (kind, method) in [
        (MediaKind::Png, UPLOAD),
        (MediaKind::Mp4, "com.atproto.server.getServiceAuth"),
        (MediaKind::Mp4, VIDEO),
    ] {
        for (answer, class) in [
            (Canned::error(400, "InvalidRequest", "no"), FailureClass::Content),
            (Canned::error(401, "AuthMissing", "no"), FailureClass::Auth),
            (Canned::error(413, "PayloadTooLarge", "no"), FailureClass::Content),
            (Canned::error(429, "RateLimitExceeded", "no"), FailureClass::RateLimit),
            (Canned::error(500, "InternalServerError", "no"), FailureClass::Platform),
            (Canned::new(200, "{}"), FailureClass::Platform),
            (Canned::new(200, r#"{"blob":{"$type":"blob"}}"#), FailureClass::Platform),
        ] {
            let told = format!("{method} {answer:?}");
            // The right to upload is asked for without the file: it cannot be to blame.
            let asks = method == "com.atproto.server.getServiceAuth";
            let class = match class {
                FailureClass::Content if asks => FailureClass::Platform,
                class => class,
            };
            bench.server.answer(method, answer);
            let failure =
                Uploading::of(&bench, kind, content(10)).await.finish().await.expect_err(&told);
            assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{told}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_waited_for() {
    let bench = bench().await;
    for kind in [MediaKind::Png, MediaKind::Mp4] {
        let mut uploading = Uploading::of(&bench, kind, content(10)).await;
        let _ = uploading.store.remove(uploading.id).await.expect("removed");

        let failure = uploading.finish().await.expect_err("gone");

        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Content, Outcome::NotPublished)
        );
    }
}

#[tokio::test]
async fn a_file_that_breaks_off_is_not_taken() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(100_000)).await;
    uploading.bytes += 1;

    let failure = uploading.finish().await.expect_err("a byte is missing");

    assert_eq!(failure.outcome, Outcome::NotPublished);
    assert!(bench.server.ledger().blobs.is_empty());
}

#[tokio::test]
async fn what_another_version_wrote_down_is_begun_anew() {
    let bench = bench().await;
    for state in [json!({ "at": "elsewhere" }), json!({ "job": "../other", "polls": 0 })] {
        let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;
        uploading.state = Some(state);
        uploading.finish().await.expect("worked on");
    }
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;
    uploading.state = Some(json!({ "job": "job0", "polls": 1_800 }));
    let failure = uploading.step().await.expect_err("it is enough");
    assert!(failure.message.contains("after 1800 questions"), "{failure}");
}

#[tokio::test]
async fn limits_follow_the_settings() {
    let limits = |bench: &Bench| bench.bluesky.media().expect("media").limits();
    let usual = limits(&bench().await);
    let other = limits(
        &bench_with(|config| {
            config.max_image_bytes = 2_000_000;
            config.video_url = None;
        })
        .await,
    );

    let bytes = |limits: &postq_core::media::MediaLimits| {
        [&limits.image, &limits.video].map(|of| of.as_ref().expect("taken").bytes)
    };
    assert_eq!(bytes(&usual), [1_000_000, 100_000_000]);
    assert_eq!(bytes(&other), [2_000_000, 50_000_000]);
    assert!(usual.animation.is_none() && !usual.mixed);
}

/// The first call got through, and by the next attempt its picture had to be uploaded again, as another file.
#[tokio::test]
async fn other_files_under_the_same_key_are_the_same_post() {
    let bench = bench().await;
    let (intent, media) = (intent("look"), [shows(Some("a cat"))]);
    let first = [picture(&bench, 10).await];
    let out = publish(&bench, &intent, &media, &first).await.expect("published");
    let other = [picture(&bench, 20).await];

    let part = Outgoing { media: &media, prepared: &other, ..outgoing(&intent) };
    let receipt = bench.bluesky.publish(&bench.who, part).await.expect("it is out").receipt;

    let posts = bench.server.ledger().posts;
    assert_eq!((posts.len(), &posts[0].record), (1, &out), "nothing is overwritten");
    assert_eq!(receipt.remote_id, posts[0].remote_id());
}

#[tokio::test]
async fn a_video_that_was_forgotten_is_sent_again_a_few_times() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;
    let sent = async |uploading: &mut Uploading<'_>| {
        while uploading.state.as_ref().is_none_or(|state| state["job"].is_null()) {
            assert!(uploading.step().await.expect("a step").is_none());
        }
    };
    sent(&mut uploading).await;
    bench.server.forget_videos();
    assert!(uploading.step().await.expect("begun anew").is_none());
    uploading.finish().await.expect("worked on");

    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;
    for _ in 0..4 {
        sent(&mut uploading).await;
        bench.server.forget_videos();
        assert!(uploading.step().await.expect("begun anew").is_none());
    }
    sent(&mut uploading).await;
    bench.server.forget_videos();
    let failure = uploading.step().await.expect_err("it is enough");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::NotPublished));
    assert_eq!(failure.message, "bluesky has forgotten the video 5 times");
}

#[tokio::test]
async fn a_large_file_has_more_time_than_a_call() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_secs(30)).await;
    let step = |bytes| bench.bluesky.media().expect("media").step_timeout(bytes);

    assert_eq!(step(1_000), Some(Duration::from_secs(30)));
    assert_eq!(step(100_000_000), Some(Duration::from_secs(420)));

    // The adapter itself gives up no sooner either.
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(500)).await;
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(400_000)).await;
    uploading.facts.kind = MediaKind::Mp4;
    assert!(uploading.step().await.expect("begun").is_none());
    bench
        .server
        .answer(VIDEO, Canned::new(200, r#"{"jobId":"a"}"#).after(Duration::from_millis(900)));
    assert!(uploading.step().await.expect("within a second and a half").is_none());
}
