//! What a Pin shows: one picture, several, a video; sent, or fetched from a bucket.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fake_pinterest::BOARDS;
use postq_core::failure::{FailureClass, Outcome};
use postq_core::media::MediaKind;
use postq_pinterest::{Config, Pinterest};
use serde_json::{Value, json};

use support::bucket::Bucket;
use support::{Bench, SLACK, bench, bench_with, content, intent, intent_with};

const JPEG: (MediaKind, Option<&str>) = (MediaKind::Jpeg, None);
const PNG: (MediaKind, Option<&str>) = (MediaKind::Png, None);
const VIDEO: (MediaKind, Option<&str>) = (MediaKind::Mp4, None);

/// The body of the last request to create.
fn sent(bench: &Bench) -> Value {
    let seen = bench.server.seen();
    let create = seen.iter().rfind(|seen| seen.target == "/v5/pins").expect("a request");
    serde_json::from_str(&create.body).expect("JSON")
}

fn encoded(kind: MediaKind, bytes: usize) -> String {
    STANDARD.encode(content(kind, bytes))
}

#[tokio::test]
async fn several_pictures_are_one_pin() {
    let bench = bench().await;
    let files = [(MediaKind::Jpeg, Some("one")), PNG, (MediaKind::Jpeg, Some("three"))];

    bench.send_files(&intent("three"), &files).await.expect("published");

    let sent = sent(&bench);
    let item = |kind: MediaKind, bytes| json!({ "content_type": kind.mime(), "data": encoded(kind, bytes) });
    let items = [item(MediaKind::Jpeg, 100), item(MediaKind::Png, 101), item(MediaKind::Jpeg, 102)];
    let source = json!({ "source_type": "multiple_image_base64", "items": items });
    assert_eq!(sent["media_source"], source);
    assert_eq!(sent["alt_text"], "one / three");
    bench.send_files(&intent("five"), &[JPEG; 5]).await.expect("published");
    let failure = bench.send_files(&intent("six"), &[JPEG; 6]).await.expect_err("too many");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Content, Outcome::NotPublished));
    assert_eq!(failure.message, "6 pictures, at most 5");
}

#[tokio::test]
async fn a_video_has_a_cover() {
    let bench = bench().await;
    let board = ("board", BOARDS[0].0);
    let source = async |options: &[(&str, &str)], files: &[(MediaKind, Option<&str>)]| {
        bench.send_files(&intent_with("a video", options), files).await.expect("published");
        let mut source = sent(&bench)["media_source"].take();
        let id = source.as_object_mut().expect("an object").remove("media_id").expect("an id");
        assert!(bench.server.uploads().iter().any(|upload| id == upload.id.as_str()));
        source
    };

    let first = json!({ "source_type": "video_id", "cover_image_key_frame_time": 0 });
    assert_eq!(source(&[board], &[VIDEO]).await, first);
    let fifth = json!({ "source_type": "video_id", "cover_image_key_frame_time": 5 });
    assert_eq!(source(&[board, ("cover_at", "5")], &[VIDEO]).await, fifth);
    let picture = json!({
        "source_type": "video_id",
        "cover_image_content_type": "image/png",
        "cover_image_data": encoded(MediaKind::Png, 101),
    });
    assert_eq!(source(&[board, ("cover_at", "5")], &[VIDEO, PNG]).await, picture);
    let jpeg_first = source(&[board], &[JPEG, VIDEO]).await;
    assert_eq!(jpeg_first["cover_image_content_type"], "image/jpeg");

    let many = bench.send_files(&intent("many"), &[VIDEO, PNG, PNG]).await.expect_err("too many");
    assert_eq!((many.class, many.outcome), (FailureClass::Content, Outcome::NotPublished));
}

#[tokio::test]
async fn pictures_in_a_bucket_are_fetched_if_that_is_wanted() {
    let mut bench = bench().await;
    for (fetch_pictures, kind) in [(false, "image_base64"), (true, "image_url")] {
        let config = Config {
            base_url: bench.server.base_url(),
            settle_time: Duration::from_secs(1),
            fetch_pictures,
            ..Config::default()
        };
        let bucket = Arc::new(Bucket::over(&bench.files));
        bench.pinterest = Pinterest::new(config, bucket).expect("an adapter");
        bench.send_files(&intent("one"), &[JPEG]).await.expect("published");
        assert_eq!(sent(&bench)["media_source"]["source_type"], kind);
    }
    let url = sent(&bench)["media_source"]["url"].as_str().map(str::to_owned).expect("an address");
    assert!(url.starts_with("https://bucket.example.com/") && url.ends_with(".jpeg"), "{url}");
    bench.send_files(&intent("two"), &[JPEG, PNG]).await.expect("published");
    let source = &sent(&bench)["media_source"];
    assert_eq!(source["source_type"], "multiple_image_urls");
    assert_eq!(source["items"].as_array().map(Vec::len), Some(2));
    bench.send_files(&intent("video"), &[VIDEO, PNG]).await.expect("published");
    let source = &sent(&bench)["media_source"];
    assert!(source["cover_image_url"].as_str().is_some_and(|url| url.ends_with(".png")));

    let folder = bench_with(|config| config.fetch_pictures = true).await;
    folder.send_files(&intent("one"), &[JPEG]).await.expect("published");
    assert_eq!(sent(&folder)["media_source"]["source_type"], "image_base64", "all the same");
}

#[tokio::test]
async fn pictures_of_which_one_cannot_be_fetched_are_all_sent() {
    let mut bench = bench().await;
    let config = Config {
        base_url: bench.server.base_url(),
        settle_time: Duration::from_secs(1),
        fetch_pictures: true,
        ..Config::default()
    };
    let half = Bucket { only: Some(MediaKind::Jpeg), ..Bucket::over(&bench.files) };
    bench.pinterest = Pinterest::new(config, Arc::new(half)).expect("an adapter");

    bench.send_files(&intent("two"), &[JPEG, PNG]).await.expect("published");

    assert_eq!(sent(&bench)["media_source"]["source_type"], "multiple_image_base64");
    assert_eq!(bench.server.pins()[0].pictures.len(), 2);
}

#[tokio::test]
async fn a_store_that_is_stuck_publishes_nothing_in_time() {
    let mut bench = bench().await;
    let config = Config {
        base_url: bench.server.base_url(),
        settle_time: Duration::from_secs(1),
        send_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let stuck = Arc::new(Bucket { stuck: true, ..Bucket::over(&bench.files) });
    bench.pinterest = Pinterest::new(config, stuck).expect("an adapter");
    let start = Instant::now();

    let failure = bench.publish("text").await.expect_err("no picture");

    assert!(start.elapsed() <= Duration::from_millis(300) + SLACK, "{:?}", start.elapsed());
    assert_eq!((failure.class, failure.outcome), (FailureClass::Internal, Outcome::NotPublished));
    assert_eq!(bench.server.creates(), 0);
}
