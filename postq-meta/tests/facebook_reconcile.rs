//! Facebook Pages: what a call without an answer published.

mod support;

use std::time::Duration;

use fake_meta::{Canned, Fault, Refuses};
use postq_core::failure::Outcome;
use postq_core::intent::Intent;
use postq_core::media::MediaKind;
use postq_core::platform::{Look, PreparedMedia};
use postq_meta::Facebook;

use support::{Bench, File, cannot_tell, found, intent, intent_of, now, option, page};

#[tokio::test]
async fn what_is_out_is_found_after_every_kind_of_silence() {
    for fault in [
        Fault::CutAfter,
        Fault::UnavailableAfter,
        Fault::UnknownErrorAfter,
        Fault::NoData,
        Fault::Late,
        Fault::Duplicate,
    ] {
        let bench = page().await;
        if fault == Fault::Duplicate {
            bench.publish("the same \u{1f44d}\u{1f3fd} text").await.expect("the one before");
        }
        bench.server.script([fault]);
        let intent = intent("the same \u{1f44d}\u{1f3fd} text");
        bench.send(&intent).await.expect_err("no receipt");
        tokio::time::sleep(Duration::from_millis(400)).await;

        let look = bench.look(&intent).await.expect("a look");

        let out = bench.server.ledger().accepted;
        assert_eq!(out.len(), 1, "{fault:?}: live posts");
        assert_eq!(found(&look), out[0].id, "{fault:?}");
        let claimed = bench.look_besides(&intent, &[&out[0].id]).await.expect("a look");
        assert_eq!(claimed, Look::Absent, "{fault:?}: another publication has it");
    }
}

#[tokio::test]
async fn what_is_not_out_is_absent_and_what_is_like_it_is_not_told() {
    let bench = page().await;
    let sent = intent("Our launch is on Tuesday");
    assert_eq!(bench.look(&sent).await.expect("a look"), Look::Absent);
    bench.publish("Something else").await.expect("published");
    assert_eq!(bench.look(&sent).await.expect("a look"), Look::Absent);

    bench.publish("our launch is on TUESDAY!").await.expect("published");

    let look = bench.look(&sent).await.expect("a look");
    assert!(cannot_tell(&look).contains("much like it"), "{look:?}");
    let early = Intent { made_at: now() - Duration::from_secs(60), ..intent("Something else") };
    assert_eq!(bench.look(&early).await.expect("a look"), Look::Absent, "out of the window");
}

/// Uploads a photo for each, and publishes them with a text; the answer is lost.
async fn lost_photos(bench: &Bench<Facebook>, text: &str, count: u8) -> Intent {
    let mut prepared = Vec::new();
    for n in 0..count {
        let photo = File::new(MediaKind::Jpeg, &[0xff, 0xd8, 0xff, n]);
        prepared.push(bench.upload(&photo).await.expect("uploaded"));
    }
    let sent = intent_of(text, &prepared);
    bench.server.script([Fault::CutAfter]);
    bench.send_with(&sent, &prepared).await.expect_err("cut");
    sent
}

fn last_out(bench: &Bench<Facebook>) -> String {
    bench.server.ledger().accepted.pop().expect("it is out").id
}

#[tokio::test]
async fn photos_are_found_by_their_ids_with_a_text_or_without() {
    for (text, count) in [("", 1), ("", 3), ("a text", 1), ("a text", 3)] {
        let bench = page().await;
        let by_hand = lost_photos(&bench, text, count).await;
        let theirs = last_out(&bench);
        let sent = lost_photos(&bench, text, count).await;
        let ours = last_out(&bench);

        let look = bench.look(&sent).await.expect("a look");

        assert_eq!(found(&look), ours, "{text} {count}: not the older one");
        assert_eq!(found(&bench.look(&by_hand).await.expect("a look")), theirs);
        let look = bench.look_besides(&sent, &[&ours]).await.expect("a look");
        assert!(cannot_tell(&look).contains("much like it"), "other photos: {look:?}");
        let look = bench.look_besides(&sent, &[&ours, &theirs]).await.expect("a look");
        assert_eq!(look, Look::Absent);
    }
}

#[tokio::test]
async fn photos_whose_ids_are_not_told_are_found_by_their_text_alone() {
    let bench = page().await;
    bench.server.change(|world| world.tells_ids = false);
    let sent = lost_photos(&bench, "a text", 2).await;
    assert_eq!(found(&bench.look(&sent).await.expect("a look")), last_out(&bench));

    let bench = page().await;
    bench.server.change(|world| world.tells_ids = false);
    let sent = lost_photos(&bench, "", 2).await;
    cannot_tell(&bench.look(&sent).await.expect("a look"));
}

#[tokio::test]
async fn a_text_alone_is_not_taken_for_one_with_photos() {
    let bench = page().await;
    lost_photos(&bench, "a text", 1).await;

    let look = bench.look(&intent("a text")).await.expect("a look");

    assert!(cannot_tell(&look).contains("much like it"), "{look:?}");
}

#[tokio::test]
async fn a_link_without_a_text_is_found_by_its_address() {
    let bench = page().await;
    let link = |to: &str| Intent { options: option("link", to), ..intent("") };
    let sent = link("https://example.com/a?b=c");
    bench.server.script([Fault::CutAfter]);
    bench.send(&sent).await.expect_err("cut");

    assert_eq!(found(&bench.look(&sent).await.expect("a look")), last_out(&bench));
    let other = bench.look(&link("https://example.com/other")).await.expect("a look");
    assert!(cannot_tell(&other).contains("much like it"), "{other:?}");
}

async fn uploaded_video(bench: &Bench<Facebook>) -> PreparedMedia {
    bench.upload(&File::new(MediaKind::Mp4, &[7; 10])).await.expect("uploaded")
}

#[tokio::test]
async fn a_video_is_found_by_its_own_id_with_a_text_or_without() {
    for text in ["a film", ""] {
        for fault in
            [Fault::CutAfter, Fault::UnavailableAfter, Fault::UnknownErrorAfter, Fault::NoData]
        {
            let bench = page().await;
            let prepared = [uploaded_video(&bench).await];
            let sent = intent_of(text, &prepared);
            assert_eq!(bench.look(&sent).await, Ok(Look::Absent), "its last phase never came");
            bench.server.script([fault]);
            bench.send_with(&sent, &prepared).await.expect_err("no receipt");

            let look = bench.look(&sent).await.expect("a look");

            let out = last_out(&bench);
            assert_eq!(found(&look), out, "{fault:?}");
            let look = bench.look_besides(&sent, &[&out]).await.expect("a look");
            assert_eq!(look, Look::Absent, "claimed by another");
            let asked = bench.server.seen_of(&format!("GET {out}"));
            assert_eq!(asked[0].query(), "fields=status");
            drop(bench.send_with(&sent, &prepared).await.expect_err("a session is good for one"));
            assert_eq!(bench.server.ledger().accepted.len(), 1);
        }
    }
}

#[tokio::test]
async fn each_status_of_a_video_has_its_meaning() {
    let bench = page().await;
    let prepared = uploaded_video(&bench).await;
    let sent = intent_of("a film", std::slice::from_ref(&prepared));
    let id = prepared.remote_id.rsplit(':').next().expect("an id").to_owned();
    let told = |status: &str| Canned::new(200, format!(r#"{{"status":{status},"id":"{id}"}}"#));
    let look = async |answer: Canned| {
        bench.server.answer(&format!("GET {id}"), answer);
        bench.look(&sent).await
    };

    for out in [
        r#"{"video_status":"ready"}"#,
        r#"{"video_status":"ready","publishing_phase":{}}"#,
        r#"{"video_status":"processing","publishing_phase":{"status":"complete","publish_status":"published"}}"#,
        r#"{"video_status":"ready","publishing_phase":{"status":"complete"}}"#,
    ] {
        assert_eq!(found(&look(told(out)).await.expect("a look")), id, "{out}");
    }
    assert_eq!(look(told(r#"{"video_status":"uploading"}"#)).await, Ok(Look::Absent));
    for failed in [r#"{"video_status":"error"}"#, r#"{"video_status":"expired"}"#] {
        assert!(cannot_tell(&look(told(failed)).await.expect("a look")).contains("failed"));
    }
    let missing = Canned::refusal(100, 33, "no such object");
    assert!(cannot_tell(&look(missing).await.expect("a look")).contains("not know the video"));
    for unknown in [
        told(r#"{"video_status":"processing"}"#),
        told(
            r#"{"video_status":"ready","publishing_phase":{"status":"not_started","publish_status":"draft"}}"#,
        ),
        told(r#"{"video_status":"something_new"}"#),
        told("{}"),
        told("null"),
        Canned::refusal(100, 0, "(#100) Tried accessing nonexisting field"),
        Canned::refusal(190, 0, "no"),
        Canned::new(503, "<html>"),
        Canned::new(200, "<html>"),
    ] {
        let failure = look(unknown).await.expect_err("not told");
        assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
    }
    for foreign in ["", "7", "video:../1:2"] {
        let sent = Intent { media: vec![foreign.to_owned()], ..intent("a film") };
        assert!(cannot_tell(&bench.look(&sent).await.expect("a look")).contains("by its name"));
    }
}

#[tokio::test]
async fn a_card_of_somebody_elses_video_is_no_video_of_the_page() {
    let bench = page().await;
    let by_link =
        Intent { options: option("link", "https://youtube.com/watch?v=1"), ..intent("see") };
    let by_text = intent("see https://youtube.com/watch?v=2");
    for sent in [by_link, by_text] {
        bench.server.script([Fault::CutAfter]);
        bench.send(&sent).await.expect_err("cut");

        let look = bench.look(&sent).await.expect("a look");

        let out = bench.server.ledger().accepted.pop().expect("it is out");
        assert_eq!(found(&look), out.id);
    }
}

#[tokio::test]
async fn the_post_of_a_video_is_not_taken_for_a_card() {
    for tells_ids in [true, false] {
        let bench = page().await;
        bench.server.change(|world| world.tells_ids = tells_ids);
        let text = "see https://example.com";
        let prepared = [uploaded_video(&bench).await];
        let published = bench.send_with(&intent_of(text, &prepared), &prepared).await;
        let video = published.expect("out").receipt.remote_id;
        let by_link = Intent { options: option("link", "https://example.com"), ..intent(text) };

        for sent in [by_link, intent(text)] {
            let look = bench.look_besides(&sent, &[&video]).await.expect("a look");
            match tells_ids {
                true => assert_eq!(look, Look::Absent, "another publication has it"),
                false => drop(cannot_tell(&look)),
            }
            cannot_tell(&bench.look(&sent).await.expect("a look"));
        }
    }
}

#[tokio::test]
async fn where_two_clocks_do_not_agree_a_post_of_one_of_them_cannot_be_told() {
    let bench = page().await;
    let sent = intent("text");
    let written = |seconds: i64, format: &str| {
        (now() + chrono::TimeDelta::seconds(seconds)).format(format).to_string()
    };
    for (ahead, at, is_found) in [
        (Some(600), 600, true),
        (Some(600), 0, false),
        (Some(-600), -600, true),
        (None, 0, true),
        (None, -800, false),
    ] {
        let at = written(at, "%Y-%m-%dT%H:%M:%S+0000");
        let body =
            format!(r#"{{"data":[{{"id":"42_9","message":"text","created_time":"{at}"}}]}}"#);
        let date = ahead.map_or("today".to_owned(), |by| written(by, "%a, %d %b %Y %H:%M:%S GMT"));
        bench.server.answer("GET published_posts", Canned::new(200, body).with("date", &date));

        let look = bench.look(&sent).await.expect("a look");

        assert_eq!(matches!(look, Look::Found(_)), is_found, "{ahead:?} {at}: {look:?}");
        assert_ne!(look, Look::Absent, "{ahead:?} {at}");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_read_to_its_end_tells_nothing() {
    let bench = page().await;
    let sent = intent("text");
    for body in ["{}", "[]", "", r#"{"data":7}"#] {
        bench.server.answer("GET published_posts", Canned::new(200, body));
        let look = bench.look(&sent).await;
        assert!(!matches!(look, Ok(Look::Absent | Look::Found(_))), "{body}: {look:?}");
    }
    let more = r#"{"data":[],"paging":{"next":"https://graph.facebook.com/next"}}"#;
    bench.server.answer("GET published_posts", Canned::new(200, more));
    cannot_tell(&bench.look(&sent).await.expect("a look"));
    let endless = r#"{"data":[],"paging":{"cursors":{"after":"1"},"next":"https://graph.facebook.com/next"}}"#;
    for _ in 0..8 {
        bench.server.answer("GET published_posts", Canned::new(200, endless));
    }
    cannot_tell(&bench.look(&sent).await.expect("a look"));
    let timeless = r#"{"data":[{"id":"42_9","message":"text","created_time":"once"}]}"#;
    bench.server.answer("GET published_posts", Canned::new(200, timeless));
    cannot_tell(&bench.look(&sent).await.expect("a look"));
    let nameless = r#"{"data":[{"id":"../me","message":"text"}]}"#;
    bench.server.answer("GET published_posts", Canned::new(200, nameless));
    cannot_tell(&bench.look(&sent).await.expect("a look"));
    for canned in
        [Canned::new(503, "<html>"), Canned::refusal(190, 0, "no"), Canned::refusal(4, 0, "slow")]
    {
        bench.server.answer("GET published_posts", canned);
        let failure = bench.look(&sent).await.expect_err("a failed look");
        assert_eq!(failure.outcome, Outcome::Unknown);
    }
    bench.server.answer("GET published_posts", Canned::new(200, r#"{"data":[]}"#));
    let failure = bench.look_besides(&sent, &["42_1"]).await.expect_err("there is one at least");
    assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
    let clock = r#"{"data":[]}"#;
    let skewed = Canned::new(200, clock).with("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    bench.server.answer("GET published_posts", skewed);
    assert!(cannot_tell(&bench.look(&sent).await.expect("a look")).contains("clock"));
}

#[tokio::test]
async fn a_look_reads_as_many_pages_as_it_needs() {
    let bench = page().await;
    let sent = intent("the one");
    bench.send(&sent).await.expect("published");
    for n in 0..60 {
        bench.publish(&format!("number {n}")).await.expect("published");
    }

    let look = bench.look(&sent).await.expect("a look");

    assert_eq!(found(&look), bench.server.ledger().accepted[0].id);
    let asked = bench.server.seen_of("GET published_posts");
    assert_eq!(asked.len(), 3);
    assert!(asked[1].query().contains("after=25") && asked[0].query().contains("limit=25"));
}
