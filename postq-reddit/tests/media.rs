//! Uploads to Reddit: a lease, the file, and for a video its poster.

mod support;

use std::time::Duration;

use fake_reddit::{Canned, MediaFault, Target};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::media::{Attached, MediaFacts, MediaKind};
use postq_core::platform::Media;

use support::{Bench, Uploading, bench, now};

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i % 251).expect("below 251")).collect()
}

fn leases(bench: &Bench) -> usize {
    let seen = bench.server.seen().into_iter();
    seen.filter(|seen| seen.target.starts_with("/api/media/asset.json")).count()
}

#[tokio::test]
async fn a_picture_is_leased_and_sent_whole() {
    let bench = bench().await;
    // More than a piece, so that it is read several times.
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(200_000)).await;

    let prepared = uploading.finish().await.expect("uploaded");

    assert_eq!(uploading.steps, 2);
    let uploads = bench.server.uploads();
    assert_eq!((uploads.len(), uploads[0].content.as_deref()), (1, Some(&content(200_000)[..])));
    let names = ["acl", "key", "X-Amz-Signature", "success_action_status", "content-type"];
    let sent: Vec<&str> = uploads[0].fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(sent, names, "in the order of the lease");
    let seen = bench.server.seen();
    assert_eq!(seen[0].target, "/api/media/asset.json?raw_json=1");
    assert_eq!(seen[0].body, "api_type=json&filepath=postq.png&mimetype=image%2Fpng");
    assert!(seen[1].header("authorization").is_empty(), "no token goes to the store");
    assert_eq!(seen[1].header("content-length").len(), 1);
    assert!(seen[1].header("transfer-encoding").is_empty());
    let told = format!(r#"{{"asset":"{}","url":"{}"}}"#, uploads[0].asset, uploads[0].url);
    assert_eq!(prepared.remote_id, told);
    let left = prepared.expires_at.expect("a lease ends") - now();
    assert!((119..=120).contains(&left.num_minutes()), "{left}");
}

#[tokio::test]
async fn a_large_file_has_more_time_than_a_small_one() {
    let bench =
        support::bench_with(|config| config.send_timeout = Duration::from_millis(300)).await;
    let longest = |bytes| bench.reddit.step_timeout(bytes).expect("a time of its own");
    assert_eq!(longest(10), Duration::from_millis(300));
    assert_eq!(longest(1_024 * 1_024 * 1_024), Duration::from_millis(4_194_300));
    for (bytes, is_sent) in [(10, false), (300_000, true)] {
        let mut uploading = Uploading::of(&bench, MediaKind::Png, content(bytes)).await;
        uploading.step().await.expect("a lease");
        bench.server.media_faults([MediaFault::SlowStore]);

        let sent = uploading.step().await;

        assert_eq!(sent.is_ok(), is_sent, "{bytes}: {sent:?}");
    }
}

#[tokio::test]
async fn a_video_is_sent_with_a_poster() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Quicktime, content(1_000)).await;

    let prepared = uploading.finish().await.expect("uploaded");

    assert_eq!(uploading.steps, 4);
    let uploads = bench.server.uploads();
    let told: Vec<(&str, &str)> =
        uploads.iter().map(|file| (file.mimetype.as_str(), file.filepath.as_str())).collect();
    assert_eq!(told, [("video/quicktime", "postq.mov"), ("image/png", "postq.png")]);
    assert_eq!(uploads[0].content.as_deref(), Some(&content(1_000)[..]));
    let poster = uploads[1].content.as_deref().expect("sent");
    assert_eq!(MediaKind::of_content(poster), Some(MediaKind::Png));
    let expected = serde_json::json!({
        "asset": uploads[0].asset, "url": uploads[0].url, "poster": uploads[1].url,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&prepared.remote_id).unwrap(), expected);
}

#[tokio::test]
async fn nothing_of_a_lease_is_written_down() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Mp4, content(10)).await;
    for _ in 0..3 {
        uploading.step().await.expect("a step");
        let state = uploading.state.as_ref().expect("a state").to_string();
        assert!(!state.contains("signed") && !state.contains("tok-"), "{state}");
    }
}

#[tokio::test]
async fn whatever_goes_wrong_on_the_way_the_file_arrives() {
    use MediaFault::{CutFile, LeaseEnded, NoLease, StoreUnavailable};
    for (kind, faults, leased) in [
        (MediaKind::Png, vec![NoLease], 2),
        (MediaKind::Png, vec![CutFile, CutFile], 1),
        (MediaKind::Png, vec![StoreUnavailable], 1),
        (MediaKind::Png, vec![LeaseEnded], 2),
        (MediaKind::Mp4, vec![CutFile, LeaseEnded, NoLease], 4),
    ] {
        let bench = bench().await;
        bench.server.media_faults(faults.clone());
        let mut uploading = Uploading::of(&bench, kind, content(100)).await;

        uploading.finish().await.expect("uploaded");

        assert_eq!(leases(&bench), leased, "{faults:?}");
        let whole = |bytes: &Vec<u8>| *bytes == content(100);
        let uploads = bench.server.uploads();
        let sent = uploads.iter().filter_map(|file| file.content.as_ref());
        assert_eq!(sent.filter(|bytes| whole(bytes)).count(), 1, "{faults:?}");
    }
}

#[tokio::test]
async fn a_failure_on_the_way_published_nothing_and_shows_no_lease() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;
    bench.server.media_faults([MediaFault::NoLease, MediaFault::CutFile]);

    let no_lease = uploading.step().await.expect_err("no lease");
    uploading.step().await.expect("a lease");
    let cut = uploading.step().await.expect_err("cut");

    assert_eq!(no_lease.class, FailureClass::Platform);
    assert_eq!(cut.class, FailureClass::Network);
    for failure in [no_lease, cut] {
        assert_eq!(failure.outcome, Outcome::NotPublished);
        let told = failure.to_string();
        assert!(!told.contains("127.0.0.1") && !told.contains("signed"), "{told}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_is_never_taken() {
    let bench = bench().await;
    bench.server.media_faults([MediaFault::TooLarge]);
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(9)).await;

    let failure = uploading.finish().await.expect_err("too large");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Content, Outcome::NotPublished));
    assert_eq!(failure.message, "the file has 9 bytes, and reddit takes 8 at most");
}

#[tokio::test]
async fn a_lease_that_is_gone_is_asked_for_again_and_only_so_often() {
    let bench = bench().await;
    let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;
    uploading.step().await.expect("a lease");

    // Another process goes on, or this one after a restart.
    let other = support::bench().await;
    let mut elsewhere = Uploading::of(&other, MediaKind::Png, content(10)).await;
    elsewhere.state = uploading.state.clone();
    elsewhere.finish().await.expect("uploaded");
    assert_eq!(elsewhere.steps, 2);

    bench.server.media_faults([MediaFault::LeaseEnded; 10]);
    let failure = loop {
        match uploading.step().await {
            Ok(done) => assert!(done.is_none()),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.class, FailureClass::Platform);
    assert!(failure.message.contains("begun 5 times"), "{failure}");
    assert_eq!(leases(&bench), 5);
    // Each step was one call, but for the last one, which made none.
    assert_eq!(bench.server.seen().len(), uploading.steps - 1);
}

#[tokio::test]
async fn what_another_version_wrote_down_is_begun_anew() {
    let bench = bench().await;
    for state in [serde_json::json!({ "at": "Append" }), serde_json::json!(null)] {
        let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;
        uploading.state = Some(state);
        uploading.finish().await.expect("uploaded");
    }
}

#[tokio::test]
async fn a_lease_that_makes_no_sense_is_a_failure() {
    let bench = bench().await;
    for (status, body, class) in [
        (200, "{}", FailureClass::Platform),
        (200, r#"{"json":{"errors":[["INVALID_OPTION","no","mimetype"]]}}"#, FailureClass::Content),
        (
            200,
            r#"{"args":{"action":"http://x.example.com","fields":[]},"asset":{"asset_id":"a"}}"#,
            FailureClass::Platform,
        ),
        (
            200,
            r#"{"args":{"action":"//x.example.com","fields":[{"name":"key","value":"k"}]},"asset":{"asset_id":"../a"}}"#,
            FailureClass::Platform,
        ),
        (401, "", FailureClass::Auth),
        (429, "", FailureClass::RateLimit),
    ] {
        bench.server.answer(Target::Lease, Canned::new(status, body));
        let mut uploading = Uploading::of(&bench, MediaKind::Png, content(10)).await;
        let failure = uploading.step().await.expect_err(body);
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{body}");
    }
}

#[tokio::test]
async fn limits_are_told_as_data() {
    let limits = bench().await.reddit.limits();
    let facts = |kind| MediaFacts::picture(kind, 9_000, 9_000);
    let problems = |kind, bytes, alt: Option<&str>| {
        let facts = facts(kind);
        limits.problems(&[Attached { name: "a", bytes, facts: &facts, alt }])
    };

    for kind in [MediaKind::Jpeg, MediaKind::Png, MediaKind::Gif, MediaKind::Mp4] {
        assert_eq!(problems(kind, 20 * 1_024 * 1_024, None), [""; 0], "{kind}");
    }
    assert_eq!(problems(MediaKind::Png, 20 * 1_024 * 1_024 + 1, None).len(), 1);
    assert_eq!(problems(MediaKind::Webp, 1, None).len(), 1);
    assert_eq!(problems(MediaKind::Png, 1, Some(&"é".repeat(180))), [""; 0]);
    assert_eq!(problems(MediaKind::Png, 1, Some(&"é".repeat(181))).len(), 1);
}
