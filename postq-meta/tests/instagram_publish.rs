//! Instagram: containers field by field, publishing one, and what becomes of every kind of answer.

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use fake_meta::{Canned, Refuses};
use postq_core::content::{Draft, MediaRef, Part};
use postq_core::failure::{FailureClass, LimitScope, Outcome};
use postq_core::intent::Intent;
use postq_core::media::{MediaFacts, MediaKind};
use postq_core::options::{OptionValue, PostOptions};
use postq_core::platform::{
    Media, Platform, PreparedMedia, Stage, Transfer, UploadStep, violations,
};
use postq_meta::Instagram;
use serde_json::{Value, json};

use support::{Bench, File, insta, insta_with, intent, media, now, option, outgoing, who};

const JPG: &str = "https://post.example.com/media/files/a.jpg?until=1&signature=2";
const MP4: &str = "https://post.example.com/media/files/b.mp4?until=1&signature=2";

async fn jpg(bench: &Bench<Instagram>) -> PreparedMedia {
    bench.upload(&File::at(MediaKind::Jpeg, JPG)).await.expect("it makes no call")
}

async fn mp4(bench: &Bench<Instagram>) -> PreparedMedia {
    bench.upload(&File::at(MediaKind::Mp4, MP4)).await.expect("it makes no call")
}

fn made(bench: &Bench<Instagram>) -> Vec<Value> {
    let seen = bench.server.seen_of("POST media");
    seen.iter().map(|seen| serde_json::from_str(&seen.body).expect("JSON")).collect()
}

fn options(json: &Value) -> PostOptions {
    serde_json::from_value(json.clone()).expect("options")
}

#[tokio::test]
async fn an_image_is_built_and_published_as_instagram_wants_it() {
    let bench = insta().await;
    let mut sent = intent("Hello & <world> \u{1f468}\u{200d}\u{1f469}");
    let picture = MediaRef { source: "a.jpg".into(), alt: Some("a cat".into()) };

    let built = bench.build(&sent, &[picture], &[jpg(&bench).await]).await.expect("built").0;
    sent.container = Some(built.remote_id.clone());
    let published = bench.send(&sent).await.expect("published");

    let image = json!({ "image_url": JPG, "caption": sent.text, "alt_text": "a cat" });
    assert_eq!(made(&bench), [image]);
    let paths: Vec<String> = bench
        .server
        .seen()
        .into_iter()
        .map(|s| format!("{} {}?{}", s.method, s.path(), s.query()))
        .collect();
    let id = &bench.server.ledger().accepted[0].id;
    assert_eq!(
        paths,
        [
            "POST /v25.0/42/media?".to_owned(),
            format!("GET /v25.0/{}?fields=status_code%2Cstatus", built.remote_id),
            "GET /v25.0/42/content_publishing_limit?fields=quota_usage%2Cconfig".to_owned(),
            "POST /v25.0/42/media_publish?".to_owned(),
            format!("GET /v25.0/{id}?fields=permalink%2Ctimestamp"),
        ]
    );
    let call = bench.server.seen_of("POST media_publish").remove(0);
    assert_eq!(call.body, format!(r#"{{"creation_id":"{}"}}"#, built.remote_id));
    assert!(
        bench.server.seen().iter().all(|seen| seen.header("authorization") == ["Bearer tok-42"])
    );
    assert_eq!(&published.receipt.remote_id, id);
    assert_eq!(published.receipt.url, Some(format!("https://www.instagram.com/p/{id}/")));
    assert_eq!((built.expires_at.expect("a day") - now()).num_hours(), 22);
    assert_eq!(published.limits.len(), 1);
    assert_eq!(
        (published.limits[0].scope, published.limits[0].remaining),
        (LimitScope::Account, 49)
    );
}

#[tokio::test]
async fn a_reel_is_waited_for() {
    let bench = insta().await;
    bench.server.change(|world| world.polls = 5);
    let all = json!({ "share_to_feed": false, "cover_url": "https://a.b/c.jpg", "thumb_offset": 1500,
        "location_id": "7", "collaborators": ["ann", "bob"] });
    let sent = Intent { options: options(&all), ..intent("a reel") };

    let (_, waits) =
        bench.build(&sent, &media(&["b.mp4"]), &[mp4(&bench).await]).await.expect("built");

    let mut reel = json!({ "media_type": "REELS", "video_url": MP4, "caption": "a reel" });
    reel.as_object_mut().unwrap().extend(all.as_object().unwrap().clone());
    assert_eq!(made(&bench), [reel]);
    assert_eq!(waits.iter().map(Duration::as_secs).collect::<Vec<_>>(), [0, 1, 2, 4, 8, 15]);
    assert!(bench.server.ledger().accepted.is_empty(), "nobody sees it yet");
}

#[tokio::test]
async fn a_story_is_a_picture_or_a_video_without_a_text() {
    let bench = insta().await;
    let sent = Intent { options: option("kind", "story"), ..intent("") };
    for prepared in [jpg(&bench).await, mp4(&bench).await] {
        bench.build(&sent, &media(&["a"]), &[prepared]).await.expect("built");
    }
    let stories = [
        json!({ "media_type": "STORIES", "image_url": JPG }),
        json!({ "media_type": "STORIES", "video_url": MP4 }),
    ];
    assert_eq!(made(&bench), stories);
}

#[tokio::test]
async fn a_carousel_has_its_children_first_and_each_is_ready() {
    let bench = insta().await;
    bench.server.change(|world| world.polls = 2);
    let mut files = media(&["a.jpg", "b.mp4", "a.jpg"]);
    files[0].alt = Some("a cat".to_owned());
    let prepared = [jpg(&bench).await, mp4(&bench).await, jpg(&bench).await];

    let built = bench.build(&intent("all of it"), &files, &prepared).await.expect("built").0;

    let containers = bench.server.change(|world| world.containers.clone());
    let ids: Vec<&str> = containers.keys().map(String::as_str).collect();
    assert_eq!(
        made(&bench),
        [
            json!({ "image_url": JPG, "alt_text": "a cat", "is_carousel_item": true }),
            json!({ "media_type": "VIDEO", "video_url": MP4, "is_carousel_item": true }),
            json!({ "image_url": JPG, "is_carousel_item": true }),
            json!({ "media_type": "CAROUSEL", "children": ids[..3].join(","), "caption": "all of it" }),
        ]
    );
    assert_eq!(built.remote_id, ids[3]);
}

#[tokio::test]
async fn a_step_that_is_made_again_goes_on() {
    let bench = insta().await;
    let (sent, files, prepared) = (intent("text"), media(&["b.mp4"]), [mp4(&bench).await]);
    let mut state: Option<Value> = None;
    let mut steps = 0;
    let built = loop {
        steps += 1;
        assert!(steps < 20, "it does not end");
        let part = outgoing(&sent, &files, &prepared);
        // A crash before the state was written down: the same step twice.
        drop(bench.platform.step_of(&bench.who, part, state.as_ref()).await);
        match bench.platform.step_of(&bench.who, part, state.as_ref()).await.expect("a step") {
            UploadStep::Ready(built) => break built,
            UploadStep::Going { state: next, .. } => state = Some(next),
        }
    };

    assert!(bench.server.change(|world| world.containers.contains_key(&built.remote_id)));
    for foreign in
        [json!(7), json!({ "waiting": ["../me", 0], "children": [], "since": now(), "begun": 1 })]
    {
        let part = outgoing(&sent, &files, &prepared);
        let before = made(&bench).len();
        bench.platform.step_of(&bench.who, part, Some(&foreign)).await.expect("it is begun anew");
        assert_eq!(made(&bench).len(), before + 1, "{foreign}");
    }
}

/// A step now: two traits have a method of this name.
trait StepOf {
    async fn step_of(
        &self,
        who: &postq_core::platform::Identity,
        part: postq_core::platform::Outgoing<'_>,
        state: Option<&Value>,
    ) -> Result<UploadStep, postq_core::failure::Failure>;
}

impl StepOf for Instagram {
    async fn step_of(
        &self,
        who: &postq_core::platform::Identity,
        part: postq_core::platform::Outgoing<'_>,
        state: Option<&Value>,
    ) -> Result<UploadStep, postq_core::failure::Failure> {
        Stage::step(self, who, part, state, now()).await
    }
}

#[tokio::test]
async fn what_instagram_could_not_work_on_is_begun_anew_or_refused() {
    for (status, class, times) in [
        ("Error: Media upload has failed with error code 2207026", FailureClass::Content, 1),
        ("Error: 2207052", FailureClass::Platform, 3),
        ("Error: 2207001", FailureClass::Platform, 3),
        ("Error", FailureClass::Platform, 3),
    ] {
        let bench = insta().await;
        let told = json!({ "status_code": "ERROR", "status": status, "id": "1" }).to_string();
        for n in 1..=3 {
            let id = format!("1790000000000000{n}");
            bench.server.answer(&format!("GET {id}"), Canned::new(200, told.clone()));
            bench.server.answer("POST media", Canned::new(200, format!(r#"{{"id":"{id}"}}"#)));
        }

        let failure = bench
            .build(&intent("text"), &media(&["a"]), &[jpg(&bench).await])
            .await
            .expect_err(status);

        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{status}");
        assert_eq!(made(&bench).len(), times, "{status}");
    }
}

#[tokio::test]
async fn a_container_that_ends_or_never_does_is_no_endless_one() {
    let bench = insta().await;
    bench.server.change(|world| world.polls = u32::MAX);
    let (files, prepared) = (media(&["b.mp4"]), [mp4(&bench).await]);
    let failure = bench.build(&intent("text"), &files, &prepared).await.expect_err("never ready");
    assert!(failure.message.contains("after 60 questions"), "{failure}");

    let bench = insta().await;
    for n in 1..=3 {
        let id = format!("1790000000000000{n}");
        bench.server.answer("POST media", Canned::new(200, format!(r#"{{"id":"{id}"}}"#)));
        bench.server.answer(&format!("GET {id}"), Canned::new(200, r#"{"status_code":"EXPIRED"}"#));
    }
    let failure = bench.build(&intent("text"), &files, &prepared).await.expect_err("it expires");
    assert!(failure.message.contains("3 times: it has expired"), "{failure}");
    bench.server.answer("POST media", Canned::new(200, r#"{"id":"5"}"#));
    bench.server.answer("GET 5", Canned::new(200, r#"{"status_code":"PUBLISHED"}"#));
    let failure = bench.build(&intent("text"), &files, &prepared).await.expect_err("not ours");
    assert_eq!(failure.class, FailureClass::Internal);
}

#[tokio::test]
async fn building_publishes_nothing_whatever_happens() {
    let bench = insta().await;
    let (sent, files, prepared) = (intent("a text of its own"), media(&["a"]), [jpg(&bench).await]);
    for (answer, class) in [
        (Canned::new(503, "<html>"), FailureClass::Platform),
        (Canned::new(200, "{}"), FailureClass::Platform),
        (
            Canned::refusal(9_004, 2_207_052, &format!("a text of its own tok-42 {JPG}")),
            FailureClass::Platform,
        ),
        (Canned::refusal(36_000, 2_207_004, "too large"), FailureClass::Content),
        (Canned::refusal(190, 463, "ended"), FailureClass::Auth),
        (Canned::refusal(4, 2_207_051, "spam"), FailureClass::RateLimit),
    ] {
        bench.server.answer("POST media", answer);
        let failure = bench.build(&sent, &files, &prepared).await.expect_err("a failure");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{failure}");
        assert!(!failure.message.contains("of its own") && !failure.message.contains("tok-42"));
        assert!(!failure.message.contains("signature="), "{failure}");
    }
}

#[tokio::test]
async fn what_one_kind_does_not_take_is_told_when_it_is_built() {
    let bench = insta().await;
    let shaped = |kind, width, height| File {
        facts: MediaFacts::picture(kind, width, height),
        ..File::at(kind, JPG)
    };
    let film = |seconds| File {
        facts: MediaFacts {
            duration: Some(Duration::from_secs(seconds)),
            ..MediaFacts::picture(MediaKind::Mp4, 1_080, 1_920)
        },
        ..File::at(MediaKind::Mp4, MP4)
    };
    for (kind, file, needle) in [
        (
            "image",
            shaped(MediaKind::Jpeg, 1_080, 1_920),
            Some("expected a shape from 4:5 to 1.91:1"),
        ),
        ("image", shaped(MediaKind::Jpeg, 319, 319), Some("319 pixels wide, at least 320")),
        ("image", film(10), Some("the file is a video")),
        ("reel", shaped(MediaKind::Jpeg, 1_080, 1_080), Some("the file is a picture")),
        ("story", film(61), Some("plays 61.0 s, at most 60 s")),
        ("carousel", film(10), Some("a carousel has 1 files, expected 2 to 10")),
        ("image", shaped(MediaKind::Jpeg, 1_080, 1_350), None),
        ("image", shaped(MediaKind::Jpeg, 1_440, 754), None),
        ("story", shaped(MediaKind::Jpeg, 1_080, 1_920), None),
        ("story", film(60), None),
        ("reel", film(61), None),
    ] {
        let prepared = [bench.upload(&file).await.expect("it makes no call")];
        let sent = Intent { options: option("kind", kind), ..intent("") };
        match (bench.build(&sent, &media(&["a"]), &prepared).await, needle) {
            (Ok(_), None) => {}
            (Err(failure), Some(needle)) => {
                assert_eq!(failure.class, FailureClass::Content);
                assert!(failure.message.contains(needle), "{failure}");
            }
            (built, _) => panic!("{kind}: {built:?}"),
        }
    }
}

#[tokio::test]
async fn what_instagram_would_refuse_is_named_before() {
    let bench = insta().await;
    let check = |text: &str, files: usize, options: &PostOptions| {
        let parts = [Part { text: text.to_owned(), media: media(&vec!["a.jpg"; files]) }];
        let found = violations(&bench.platform, Draft { parts: &parts, options });
        found.into_iter().map(|violation| violation.message).collect::<Vec<_>>()
    };
    let none = PostOptions::default();
    let longest = "e\u{301}".repeat(1_100);
    let tags = |sign: &str, count: usize| format!("{sign}tag ").repeat(count);

    for (text, files) in [(longest.as_str(), 1), ("", 10), (&tags("#", 30), 2), (&tags("@", 20), 2)]
    {
        assert_eq!(check(text, files, &none), [""; 0], "{text}");
    }
    for (text, files, options, needle) in [
        ("text", 0, none.clone(), "no media: Instagram takes no text alone"),
        (&format!("{longest}\u{1f600}"), 1, none.clone(), "2201 characters long, at most 2200"),
        ("", 11, none.clone(), "11 media files, at most 10"),
        (&tags("#", 31), 1, none.clone(), "31 hashtags, at most 30"),
        (&tags("@", 21), 1, none.clone(), "21 mentions, at most 20"),
        ("", 1, option("kind", "carousel"), "a carousel has 1 file"),
        ("", 2, option("kind", "reel"), "2 files, expected 1"),
        ("hi", 1, option("kind", "story"), "a story shows no text"),
        (
            "",
            1,
            options(&json!({ "kind": "story", "location_id": "7" })),
            "\"location_id\" is not for stories",
        ),
        (
            "",
            1,
            options(&json!({ "kind": "story", "collaborators": ["ann"] })),
            "\"collaborators\" is not for stories",
        ),
        ("", 1, option("kind", "poll"), "expected image, carousel, reel, story"),
        ("", 2, option("cover_url", "https://a.b/c"), "\"cover_url\" is for reels"),
        ("", 1, options(&json!({ "thumb_offset": -1 })), "expected 0 to 900000"),
    ] {
        let found = check(text, files, &options);
        assert!(found.len() == 1 && found[0].contains(needle), "{needle}: {found:?}");
    }
    assert_eq!(bench.platform.transfer(), Transfer::Fetched);
    let without = bench.upload(&File::new(MediaKind::Jpeg, b"a")).await.expect_err("no address");
    assert_eq!(without.class, FailureClass::Internal);
}

#[tokio::test]
async fn the_daily_limit_is_asked_for_and_kept() {
    let bench = insta_with(|config| config.daily = NonZeroU32::new(25)).await;
    assert_eq!(bench.platform.pace().daily, NonZeroU32::new(25));
    bench.server.change(|world| world.quota = 1);
    let one = bench.built("one", PostOptions::default()).await;
    let limits = bench.send(&one).await.expect("published").limits;
    assert_eq!(limits[0].remaining, 0);

    let two = bench.built("two", PostOptions::default()).await;
    let failure = bench.send(&two).await.expect_err("none is left");

    assert_eq!((failure.class, failure.outcome), (FailureClass::RateLimit, Outcome::NotPublished));
    let wait = failure.wait.expect("a wait");
    assert_eq!((wait.scope, wait.for_), (LimitScope::Account, Duration::from_secs(3_600)));
    assert_eq!(bench.server.ledger().creates, 1, "it was not even tried");
    for untold in [
        Canned::new(503, ""),
        Canned::new(200, r#"{"data":[]}"#),
        Canned::new(200, r#"{"data":[{"quota_usage":3}]}"#),
    ] {
        bench.server.answer("GET content_publishing_limit", untold);
        let failure = bench.send(&two).await.expect_err("Instagram itself refuses");
        assert_eq!(failure.class, FailureClass::RateLimit);
        assert!(failure.message.contains("2207042"), "{failure}");
    }
}

#[tokio::test]
async fn refusals_and_silence_are_told_apart() {
    let bench = insta().await;
    for (answer, class, outcome) in [
        (Canned::new(200, "{}"), FailureClass::Platform, Outcome::Unknown),
        (Canned::new(502, "<html>"), FailureClass::Platform, Outcome::Unknown),
        (Canned::refusal(2, 0, "later"), FailureClass::Platform, Outcome::Unknown),
        (Canned::refusal(-1, 2_207_001, "trouble"), FailureClass::Platform, Outcome::Unknown),
        (
            Canned::refusal(9_007, 2_207_027, "not ready"),
            FailureClass::RateLimit,
            Outcome::NotPublished,
        ),
        (Canned::refusal(100, 2_207_020, "expired"), FailureClass::Platform, Outcome::NotPublished),
        (Canned::refusal(24, 2_207_006, "not found"), FailureClass::Content, Outcome::NotPublished),
        (
            Canned::refusal(25, 2_207_050, "restricted"),
            FailureClass::RateLimit,
            Outcome::NotPublished,
        ),
        (Canned::refusal(190, 460, "a text tok-42"), FailureClass::Auth, Outcome::NotPublished),
    ] {
        let failure = bench.refused(answer).await;
        assert_eq!((failure.class, failure.outcome), (class, outcome), "{failure}");
        assert!(!failure.message.contains("tok-42"), "{failure}");
    }
    let nothing = bench.send(&intent("text")).await.expect_err("nothing was built");
    assert_eq!((nothing.class, nothing.outcome), (FailureClass::Internal, Outcome::NotPublished));
}

#[tokio::test]
async fn a_receipt_does_not_wait_for_its_address() {
    let bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    bench.server.answer("POST media_publish", Canned::new(200, r#"{"id":"77"}"#));

    let receipt = bench.send(&sent).await.expect("published").receipt;

    assert_eq!((receipt.remote_id.as_str(), receipt.url), ("77", None));
}

#[tokio::test]
async fn an_account_without_a_known_id_is_asked_for_it() {
    let mut bench = insta().await;
    bench.who.remote_id = None;
    let sent = bench.built("text", PostOptions::default()).await;

    bench.send(&sent).await.expect("published");

    assert_eq!(bench.server.seen_of("GET me")[0].query(), "fields=user_id%2Cusername");
    bench.who = who("nobody");
    assert_eq!(bench.send(&sent).await.expect_err("no token").class, FailureClass::Auth);
}

#[tokio::test]
async fn a_flag_that_is_not_said_is_left_to_instagram() {
    let bench = insta().await;
    let flag = |flag| [("share_to_feed".to_owned(), OptionValue::Flag(flag))].into_iter().collect();
    for (options, sent) in
        [(PostOptions::default(), None), (flag(true), Some(true)), (flag(false), Some(false))]
    {
        let sent_as = Intent { options, ..intent("") };
        bench.build(&sent_as, &media(&["b"]), &[mp4(&bench).await]).await.expect("built");
        let last = made(&bench).pop().expect("a container");
        assert_eq!(last.get("share_to_feed").and_then(Value::as_bool), sent);
        assert!(last.get("caption").is_none(), "no text, no caption");
    }
}
