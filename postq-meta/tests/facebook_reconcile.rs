//! Facebook Pages: what a call without an answer published.

mod support;

use std::time::Duration;

use fake_meta::{Canned, Fault};
use postq_core::failure::Outcome;
use postq_core::intent::Intent;
use postq_core::media::MediaKind;
use postq_core::platform::Look;

use support::{File, cannot_tell, found, intent, now, option, page};

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

#[tokio::test]
async fn photos_without_a_text_are_held_if_there_are_such() {
    let bench = page().await;
    let sent = intent("");
    assert_eq!(bench.look(&sent).await.expect("a look"), Look::Absent);
    let photo = bench.upload(&File::new(MediaKind::Jpeg, b"\xff\xd8\xff")).await.expect("uploaded");
    bench.server.script([Fault::CutAfter]);
    bench.send_with(&sent, &[photo]).await.expect_err("cut");

    let look = bench.look(&sent).await.expect("a look");

    cannot_tell(&look);
}

#[tokio::test]
async fn a_video_without_a_text_is_held() {
    let bench = page().await;
    let prepared = bench.upload(&File::new(MediaKind::Mp4, &[7; 10])).await.expect("uploaded");
    bench.server.script([Fault::CutAfter]);
    let sent = intent("");
    bench.send_with(&sent, &[prepared]).await.expect_err("cut");
    bench.server.answer("GET published_posts", Canned::new(200, r#"{"data":[]}"#));

    let look = bench.look(&sent).await.expect("a look");

    assert!(cannot_tell(&look).starts_with("video"), "{look:?}");
}

#[tokio::test]
async fn a_video_is_found_whichever_time_it_shows() {
    for by_upload in [false, true] {
        let bench = page().await;
        bench.server.change(|world| world.video_time_is_upload = by_upload);
        let prepared = bench.upload(&File::new(MediaKind::Mp4, &[7; 10])).await.expect("uploaded");
        if by_upload {
            let begun = now() - Duration::from_secs(3_000);
            bench
                .server
                .change(|world| world.sessions.values_mut().for_each(|s| s.begun_at = begun));
        }
        bench.server.script([Fault::CutAfter]);
        let sent = intent("a film");
        bench.send_with(&sent, &[prepared]).await.expect_err("cut");

        let look = bench.look(&sent).await.expect("a look");

        let out = bench.server.ledger().accepted[0].clone();
        assert_eq!(found(&look), out.id, "by upload: {by_upload}");
        let look = bench.look_besides(&sent, &[&out.id]).await.expect("a look");
        assert!(!matches!(look, Look::Found(_)), "claimed by another: {look:?}");
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
async fn the_post_of_a_claimed_video_is_not_taken_for_another() {
    let bench = page().await;
    let text = "see https://example.com";
    let prepared = bench.upload(&File::new(MediaKind::Mp4, &[7; 10])).await.expect("uploaded");
    let video = bench.send_with(&intent(text), &[prepared]).await.expect("out").receipt.remote_id;
    let by_link = Intent { options: option("link", "https://example.com"), ..intent(text) };

    for sent in [by_link, intent(text)] {
        let look = bench.look_besides(&sent, &[&video]).await.expect("a look");

        assert!(!matches!(look, Look::Found(_)), "{look:?}");
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
    for canned in
        [Canned::new(503, "<html>"), Canned::refusal(190, 0, "no"), Canned::refusal(4, 0, "slow")]
    {
        bench.server.answer("GET published_posts", canned);
        let failure = bench.look(&sent).await.expect_err("a failed look");
        assert_eq!(failure.outcome, Outcome::Unknown);
    }
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
    assert!(asked[1].query.contains("after=25") && asked[0].query.contains("limit=25"));
}
