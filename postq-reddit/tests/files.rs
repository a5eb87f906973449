//! Looking for a post with files again: its kind is known, and its files tell it from any other.

mod support;

use std::slice::from_ref;
use std::time::Duration;

use fake_reddit::{Canned, Fault, Target};
use postq_core::intent::Intent;
use postq_core::media::MediaKind;
use postq_core::platform::{Look, PreparedMedia};
use serde_json::{Value, json};

use support::{Bench, bench, cannot_tell, files, found, intent_of, now, titled};

/// Uploads a file of each kind.
async fn uploaded(bench: &Bench, kinds: &[MediaKind]) -> Vec<PreparedMedia> {
    let mut prepared = Vec::new();
    for (n, kind) in kinds.iter().enumerate() {
        prepared.push(bench.uploaded(*kind, &[u8::try_from(n).expect("few")]).await);
    }
    prepared
}

fn ours(prepared: &[PreparedMedia]) -> Intent {
    intent_of("", titled("a title", ""), prepared)
}

/// A post with this title now; more of it is the argument's.
async fn look_at(bench: &Bench, intent: &Intent, more: Value) -> Look {
    let mut post = json!({
        "id": "4bbe4b", "title": "a title", "selftext": "", "subreddit": "test", "is_self": false,
        "created_utc": now().timestamp(),
    });
    for (name, value) in more.as_object().expect("an object") {
        post[name] = value.clone();
    }
    let data = json!({ "children": [{ "kind": "t3", "data": post }], "after": null });
    let body = json!({ "kind": "Listing", "data": data }).to_string();
    bench.server.answer(Target::List, Canned::new(200, body));
    bench.look(intent).await.expect("a look")
}

const PICTURE: &[MediaKind] = &[MediaKind::Png];
const GALLERY: &[MediaKind] = &[MediaKind::Jpeg, MediaKind::Gif];
const VIDEO: &[MediaKind] = &[MediaKind::Mp4];

#[tokio::test]
async fn a_post_with_files_is_found_when_reddit_has_made_it() {
    for kinds in [PICTURE, &[MediaKind::Gif], VIDEO, &[MediaKind::Png, MediaKind::Mp4], GALLERY] {
        for tells_files in [true, false] {
            let bench = bench().await;
            if !tells_files {
                bench.server.without_files();
            }
            bench.server.work_for(Duration::from_millis(300));
            let prepared = uploaded(&bench, kinds).await;
            let intent = ours(&prepared);
            bench.lose(&intent, &prepared).await;

            let receipt = tokio::time::timeout(Duration::from_secs(5), async {
                loop {
                    if let Look::Found(receipt) = bench.look(&intent).await.expect("a look") {
                        return receipt;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });

            let receipt = receipt.await.expect("it is made");
            assert_eq!(receipt.remote_id, bench.server.accepted()[0].id, "{kinds:?}");
            assert_eq!(bench.server.accepted().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_video_that_is_not_found_is_never_absent() {
    let bench = bench().await;
    for kinds in [VIDEO, &[MediaKind::Png, MediaKind::Mp4]] {
        let prepared = uploaded(&bench, kinds).await;
        // Long after the settle time, whatever became of the call.
        let early = now() - Duration::from_secs(7_200);
        let intent = Intent { made_at: early, ..ours(&prepared) };
        bench.server.faults([Fault::CutBefore]);
        let media = files(&vec![None; kinds.len()]);
        bench.send_with(&intent, &media, &prepared).await.expect_err("cut");

        let look = bench.look(&intent).await.expect("a look");

        assert!(cannot_tell(&look).contains("may still be working on it"), "{look:?}");
    }
    for unreadable in ["", "7", "{}"] {
        let intent = Intent { media: vec![unreadable.to_owned()], ..ours(&[]) };
        cannot_tell(&bench.look(&intent).await.expect("it may be a video"));
    }
    for kinds in [PICTURE, &[MediaKind::Gif], GALLERY, &[]] {
        let intent = ours(&uploaded(&bench, kinds).await);
        assert_eq!(bench.look(&intent).await, Ok(Look::Absent), "{kinds:?}");
    }
}

#[tokio::test]
async fn a_post_of_another_kind_is_not_taken_for_it() {
    let bench = bench().await;
    let own = json!({ "is_self": true });
    let picture = json!({ "url": "https://i.redd.it/other.png" });
    let gallery = json!({ "is_gallery": true });
    let video = json!({ "is_video": true });
    let played = json!({ "url": "https://v.redd.it/other" });
    let untold = json!({ "url": "https://www.reddit.com/r/test/comments/4bbe4b/" });
    for (kinds, same, others) in [
        (PICTURE, [&picture, &untold], [&own, &gallery, &video, &played]),
        (GALLERY, [&gallery, &untold], [&own, &picture, &video, &played]),
        (VIDEO, [&video, &played], [&own, &picture, &gallery, &gallery]),
        (&[], [&own, &own], [&picture, &gallery, &video, &untold]),
    ] {
        let intent = ours(&uploaded(&bench, kinds).await);
        for shown in same {
            let look = look_at(&bench, &intent, shown.clone()).await;
            assert_eq!(found(&look), "4bbe4b", "{kinds:?} {shown}");
        }
        for shown in others {
            let look = look_at(&bench, &intent, shown.clone()).await;
            assert!(cannot_tell(&look).contains("much like it"), "{kinds:?} {shown}");
        }
    }
}

#[tokio::test]
async fn of_two_posts_with_one_title_the_files_tell_which_is_it() {
    for kinds in [PICTURE, GALLERY, VIDEO] {
        let bench = bench().await;
        let (theirs, prepared) = (uploaded(&bench, kinds).await, uploaded(&bench, kinds).await);
        let by_hand = ours(&theirs);
        bench.lose(&by_hand, &theirs).await;
        let intent = ours(&prepared);
        bench.lose(&intent, &prepared).await;

        let look = bench.look(&intent).await.expect("a look");

        let accepted = bench.server.accepted();
        assert_eq!(found(&look), accepted[1].id, "{kinds:?}: not the older one");
        assert_eq!(found(&bench.look(&by_hand).await.expect("a look")), accepted[0].id);
    }
}

#[tokio::test]
async fn a_gallery_of_other_files_is_not_taken_for_it() {
    let bench = bench().await;
    let prepared = uploaded(&bench, GALLERY).await;
    let other =
        json!({ "is_gallery": true, "gallery_data": { "items": [{ "media_id": "other" }] } });

    cannot_tell(&look_at(&bench, &ours(&prepared), other).await);

    for odd in [json!(null), json!(7), json!({ "items": null }), json!({ "items": [7, {}] })] {
        let shown = json!({ "is_gallery": true, "gallery_data": odd });
        assert_eq!(found(&look_at(&bench, &ours(&prepared), shown).await), "4bbe4b", "{odd}");
    }
}

#[tokio::test]
async fn what_shows_its_files_is_it_whatever_became_of_the_rest() {
    let bench = bench().await;
    let prepared = bench.uploaded(MediaKind::Mp4, b"a film").await;
    let asset = bench.server.uploads()[0].asset.clone();
    let intent = ours(from_ref(&prepared));
    for more in [
        json!({ "title": "[ Removed by Reddit ]" }),
        json!({ "selftext": "edited" }),
        json!({ "created_utc": now().timestamp() + 3_000 }),
        json!({ "created_utc": null }),
        json!({ "subreddit": null }),
    ] {
        let mut shown = json!({ "url": format!("https://v.redd.it/{asset}") });
        for (name, value) in more.as_object().expect("an object") {
            shown[name] = value.clone();
        }
        assert_eq!(found(&look_at(&bench, &intent, shown).await), "4bbe4b", "{more}");
    }
    // Another asset that begins as this one does.
    let shown = json!({ "url": format!("https://v.redd.it/{asset}0"), "title": "another" });
    cannot_tell(&look_at(&bench, &intent, shown).await);
}
