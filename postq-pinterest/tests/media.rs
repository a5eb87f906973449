//! Videos on their way to Pinterest, whatever goes wrong between two steps; pictures, which are not sent ahead.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_pinterest::{Canned, Faults, MediaFault, Target};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::media::{Attached, MediaFacts, MediaKind};
use postq_core::platform::Media;
use postq_pinterest::{Config, Pinterest};
use support::{bench, bench_with, content, now, who};

/// More than is held in memory at once, and no multiple of it.
const LARGE: usize = 1_000_003;

#[tokio::test]
async fn a_video_is_registered_sent_and_waited_for() {
    let bench = bench().await;
    let video = content(MediaKind::Mp4, LARGE);
    let mut preparing = bench.preparing(MediaKind::Mp4, video.clone()).await;

    let prepared = preparing.finish().await.expect("prepared");

    let uploads = bench.server.uploads();
    assert_eq!((uploads.len(), &uploads[0].id), (1, &prepared.remote_id));
    assert!(uploads[0].content.as_ref() == Some(&video), "the file as it is");
    assert_eq!(uploads[0].content_type, "video/mp4");
    assert_eq!(
        uploads[0].fields,
        [
            "x-amz-date",
            "x-amz-signature",
            "x-amz-security-token",
            "x-amz-algorithm",
            "key",
            "policy",
            "x-amz-credential",
            "Content-Type",
            "file"
        ]
    );
    let seen = bench.server.seen();
    let targets: Vec<(&str, &str)> =
        seen.iter().map(|it| (it.method.as_str(), it.target.as_str())).collect();
    let poll = ("GET", format!("/v5/media/{}", prepared.remote_id));
    let poll = (poll.0, poll.1.as_str());
    assert_eq!(targets, [("POST", "/v5/media"), ("POST", "/storage"), poll, poll, poll]);
    assert_eq!(seen[0].body, r#"{"media_type":"video"}"#);
    assert!(seen[1].headers.iter().all(|(name, _)| name != "authorization"), "no token");
    let left = prepared.expires_at.expect("it is not counted on for ever") - now();
    assert!((23..=24).contains(&left.num_hours()), "{left}");
    assert_eq!(preparing.waits, [0, 2, 2, 4].map(Duration::from_secs));
}

#[tokio::test]
async fn what_is_signed_is_written_down_nowhere() {
    let bench = bench().await;
    let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;

    preparing.step().await.expect("registered");

    let state = preparing.state.as_ref().expect("a state").to_string();
    assert!(!state.contains("signed") && !state.contains("http"), "{state}");
    assert!(!format!("{:?}", bench.pinterest).contains("signed"));
}

#[tokio::test]
async fn another_process_begins_anew() {
    let bench = bench().await;
    let config = Config {
        base_url: bench.server.base_url(),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    let other = Pinterest::new(config, Arc::new(bench.files.clone())).expect("an adapter");
    let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;
    preparing.step().await.expect("registered by the first");

    let prepared = loop {
        if let Some(prepared) = preparing.step_with(&other).await.expect("a step") {
            break prepared;
        }
    };

    let uploads = bench.server.uploads();
    assert_eq!((uploads.len(), uploads[0].content.is_none()), (2, true));
    assert_eq!(uploads[1].id, prepared.remote_id);
}

#[tokio::test]
async fn what_is_cut_is_sent_again() {
    let bench = bench().await;
    bench.server.set_faults(Faults::media([MediaFault::Unavailable, MediaFault::CutSending]));
    let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, LARGE)).await;

    let failure = preparing.step().await.expect_err("503");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::NotPublished));
    preparing.step().await.expect("registered");
    let failure = preparing.step().await.expect_err("cut");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
    let told = "the video of 1000003 bytes was not sent (7 s at most): the connection";
    assert!(failure.message.starts_with(told), "{failure}");

    preparing.finish().await.expect("prepared");
    assert_eq!((bench.calls("POST", "/v5/media"), bench.calls("POST", "/storage")), (2, 2));
}

#[tokio::test]
async fn what_was_forgotten_is_begun_anew_a_few_times() {
    let bench = bench().await;
    for fault in [MediaFault::Expired, MediaFault::Forget] {
        bench.server.set_faults(Faults::media([fault]));
        let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;
        preparing.finish().await.expect("prepared in the end");
    }

    bench.server.set_faults(Faults::media([MediaFault::Expired; 9]));
    let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;
    let mut steps = Vec::new();
    while steps.len() < 20 && !steps.iter().any(Result::is_err) {
        let before = bench.server.seen().len();
        steps.push(preparing.step().await);
        assert!(bench.server.seen().len() <= before + 1, "one call in a step");
    }
    let failure = steps.pop().expect("a step").expect_err("it was begun too often");
    assert_eq!(failure.class, FailureClass::Platform);
    assert_eq!(failure.message, "the upload was forgotten 5 times");
}

#[tokio::test]
async fn what_will_never_be_taken_is_content() {
    let bench = bench().await;
    for (fault, words) in [
        (MediaFault::TooLarge, "the storage refused the video (400): EntityTooLarge"),
        (MediaFault::ProcessingFails, "pinterest could not work on the video"),
    ] {
        bench.server.set_faults(Faults::media([fault]));
        let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;
        let failure = preparing.finish().await.expect_err("refused");
        assert_eq!(failure.class, FailureClass::Content);
        assert!(failure.message.starts_with(words), "{failure}");
        assert!(!failure.message.contains("signed"), "{failure}");
    }
}

#[tokio::test]
async fn an_address_that_others_could_read_is_not_sent_to() {
    let bench = bench().await;
    for registered in [
        r#"{"media_id":"1","media_type":"video","upload_url":"http://10.0.0.1/","upload_parameters":{}}"#,
        r#"{"media_id":"1","media_type":"video","upload_url":"file:///a","upload_parameters":{}}"#,
        r#"{"media_id":"1","media_type":"video"}"#,
        r#"{"media_id":"../pins","upload_url":"http://127.0.0.1:1/","upload_parameters":{}}"#,
        "{}",
    ] {
        bench.server.answer(Target::Register, Canned::new(201, registered));
        let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;
        let failure = preparing.step().await.expect_err(registered);
        assert_eq!(failure.class, FailureClass::Platform, "{registered}");
        assert_eq!(failure.message, "pinterest named no address to send the video to");
    }
    assert_eq!(bench.calls("POST", "/storage"), 0);
}

#[tokio::test]
async fn an_answer_without_a_word_is_trouble_and_a_new_word_is_waited_for() {
    let bench = bench().await;
    let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;
    preparing.step().await.expect("registered");
    preparing.step().await.expect("sent");

    bench.server.answer(Target::Poll, Canned::new(200, "{}"));
    let failure = preparing.step().await.expect_err("nothing told");
    assert_eq!(failure.class, FailureClass::Platform, "{failure}");
    bench.server.answer(Target::Poll, Canned::new(200, r#"{"status":"dreaming"}"#));
    assert_eq!(preparing.step().await.expect("a step"), None);

    preparing.finish().await.expect("prepared");
}

#[tokio::test]
async fn a_token_that_may_not_upload_says_so_and_is_not_shown() {
    let mut bench = bench().await;
    bench.who = who("not-a-token");
    let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;

    let failure = preparing.step().await.expect_err("refused");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::NotPublished));
    assert!(!failure.message.contains("not-a-token"), "{failure}");
}

#[tokio::test]
async fn what_another_version_wrote_down_is_begun_anew() {
    let bench = bench().await;
    for state in [r#"{"at":"elsewhere","id":"1"}"#, r#"{"id":"../pins","at":"send","begun":1}"#] {
        let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, 100)).await;
        preparing.state = Some(serde_json::from_str(state).expect("JSON"));

        preparing.finish().await.expect("prepared");
    }
    assert_eq!(bench.server.uploads().len(), 2);
}

#[tokio::test]
async fn the_sending_of_a_video_ends_in_time() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(300)).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let registered = serde_json::json!({
        "media_id": "1",
        "upload_url": format!("http://{}/", silent.local_addr().expect("an address")),
        "upload_parameters": {},
    });
    bench.server.answer(Target::Register, Canned::new(201, registered.to_string()));
    let mut preparing = bench.preparing(MediaKind::Mp4, content(MediaKind::Mp4, LARGE)).await;
    preparing.step().await.expect("registered");
    let (start, most) = (Instant::now(), Duration::from_millis(3_300));
    assert_eq!(bench.pinterest.step_timeout(LARGE as u64), Some(most), "a second for 256 kB");

    let failure = preparing.step().await.expect_err("nobody answers");

    assert!(
        start.elapsed() > Duration::from_secs(3),
        "it has more time than a call without a file"
    );
    assert!(start.elapsed() <= most, "{:?}", start.elapsed());
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
    let told =
        "the video of 1000003 bytes was not sent (3 s at most): pinterest did not answer in time";
    assert!(failure.message.starts_with(told), "{failure}");
}

#[tokio::test]
async fn a_picture_is_prepared_without_a_call() {
    let bench = bench().await;
    let mut preparing = bench.preparing(MediaKind::Png, content(MediaKind::Png, 100)).await;

    let prepared = preparing.finish().await.expect("prepared");

    assert_eq!(prepared.remote_id, format!("image/png:{}:640x480", preparing.id));
    assert!(bench.server.seen().is_empty());
    let mut webp = bench.preparing(MediaKind::Webp, vec![0; 10]).await;
    assert_eq!(webp.finish().await.expect_err("no webp").class, FailureClass::Content);
}

#[tokio::test]
async fn the_limits_are_pinterest_s() {
    let bench = bench().await;
    let limits = bench.pinterest.limits();
    let check = |files: &[(MediaFacts, u64)]| {
        let files: Vec<Attached<'_>> = files
            .iter()
            .map(|(facts, bytes)| Attached { name: "f", bytes: *bytes, facts, alt: None })
            .collect();
        limits.problems(&files)
    };
    let picture = MediaFacts::picture(MediaKind::Jpeg, 1_000, 1_500);
    let video = |seconds| MediaFacts {
        duration: Some(Duration::from_secs(seconds)),
        video: Some("avc1".into()),
        ..MediaFacts::picture(MediaKind::Mp4, 1_000, 1_500)
    };

    assert_eq!(check(&[(picture.clone(), 7_500_000)]), [""; 0]);
    assert_eq!(check(&vec![(picture.clone(), 1); 5]), [""; 0]);
    assert_eq!(check(&[(video(4), 2_000_000_000), (picture.clone(), 1)]), [""; 0], "its cover");
    assert_eq!(check(&vec![(picture.clone(), 1); 6]), ["6 media files, at most 5"]);
    assert_eq!(check(&[(picture, 7_500_001)]), ["\"f\" has 7500001 bytes, at most 7500000"]);
    assert_eq!(check(&[(video(3), 1)]), ["\"f\" plays 3.0 s, expected 4 to 900 s"]);
    assert_eq!(check(&[(video(5), 1), (video(5), 1)]), ["2 files of kind video, at most 1"]);
    let gif = MediaFacts::picture(MediaKind::Gif, 1, 1);
    assert_eq!(check(&[(gif, 1)]), ["\"f\" is of type gif, expected jpeg, png, mp4, quicktime"]);
}
