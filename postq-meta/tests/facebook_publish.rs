//! Facebook Pages: what is sent, field by field, and what becomes of every kind of answer.

mod support;

use std::time::Duration;

use fake_meta::{Canned, Fault, Refuses};
use postq_core::content::{Draft, Part};
use postq_core::failure::{FailureClass, LimitScope, Outcome};
use postq_core::intent::Intent;
use postq_core::media::MediaKind;
use postq_core::options::PostOptions;
use postq_core::platform::{Media, Transfer, violations};
use postq_meta::Facebook;
use serde_json::{Value, json};

use support::{Bench, File, intent, media, now, option, page, page_with, who};

fn body(bench: &Bench<Facebook>, what: &str) -> Value {
    let seen = bench.server.seen_of(what).pop().expect("a request");
    serde_json::from_str(&seen.body).expect("JSON")
}

#[tokio::test]
async fn a_text_is_sent_as_facebook_wants_it() {
    let bench = page().await;
    let before = now() - Duration::from_secs(1);

    let published = bench
        .publish("Hello & <world>\n\"日本\" \u{1f468}\u{200d}\u{1f469}")
        .await
        .expect("published");

    let seen = bench.server.seen();
    assert_eq!(seen.len(), 1, "one call");
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path(), seen[0].query()),
        ("POST", "/v25.0/42/feed", "")
    );
    assert_eq!(
        body(&bench, "POST feed"),
        json!({ "message": "Hello & <world>\n\"日本\" \u{1f468}\u{200d}\u{1f469}" })
    );
    assert_eq!(seen[0].header("authorization"), ["Bearer tok-42"]);
    assert_eq!(seen[0].header("content-type"), ["application/json"]);
    assert_eq!(seen[0].header("user-agent").len(), 1);
    let (receipt, out) = (published.receipt, &bench.server.ledger().accepted[0]);
    assert_eq!(receipt.remote_id, out.id);
    assert_eq!(receipt.url, Some(format!("https://www.facebook.com/{}", out.id)));
    assert!(
        receipt.published_at >= before && receipt.published_at <= now() + Duration::from_secs(1)
    );
}

#[tokio::test]
async fn a_link_is_sent_beside_the_text() {
    let bench = page().await;
    let options = option("link", "https://example.com/a?b=c");

    bench.send(&Intent { options, ..intent("look") }).await.expect("published");

    let sent = json!({ "message": "look", "link": "https://example.com/a?b=c" });
    assert_eq!(body(&bench, "POST feed"), sent);
}

#[tokio::test]
async fn photos_are_uploaded_unseen_and_attached_in_order() {
    let bench = page().await;
    let photo = |content: &[u8], alt| File { alt, ..File::new(MediaKind::Jpeg, content) };
    let first =
        bench.upload(&photo(b"\xff\xd8\xff one", Some("a cat \u{1f431}"))).await.expect("uploaded");
    let second = bench.upload(&photo(b"\xff\xd8\xff two", None)).await.expect("uploaded");
    assert!(bench.server.ledger().accepted.is_empty(), "nobody sees them yet");

    bench.send_with(&intent(""), &[first.clone(), second.clone()]).await.expect("published");

    let ids: Vec<&str> =
        [&first, &second].map(|p| p.remote_id.strip_prefix("photo:").unwrap()).into();
    let attached = json!([{ "media_fbid": ids[0] }, { "media_fbid": ids[1] }]);
    assert_eq!(body(&bench, "POST feed"), json!({ "attached_media": attached }));
    let photos = bench.server.change(|world| world.photos.clone());
    assert_eq!(photos[ids[0]].content, b"\xff\xd8\xff one");
    assert_eq!(photos[ids[0]].alt.as_deref(), Some("a cat \u{1f431}"));
    assert_eq!(photos[ids[1]].alt, None);
    let left = first.expires_at.expect("they are dropped one day") - now();
    assert_eq!(left.num_hours(), 19);
    let failure = bench.send_with(&intent("again"), &[first]).await.expect_err("it is used");
    assert!(failure.duplicate && failure.outcome == Outcome::NotPublished, "{failure}");
}

#[tokio::test]
async fn a_video_goes_chunk_by_chunk_and_comes_out_with_its_last_phase() {
    let bench = page().await;
    bench.server.change(|world| world.chunk = 1_000);
    let content: Vec<u8> = (0..2_500_u32).map(|i| (i % 251) as u8).collect();
    let prepared = bench.upload(&File::new(MediaKind::Mp4, &content)).await.expect("uploaded");
    assert!(bench.server.ledger().accepted.is_empty());

    let options = option("title", "A title");
    let intent = Intent { options, ..intent("a text") };
    let published = bench.send_with(&intent, &[prepared]).await.expect("published");

    let sessions = bench.server.change(|world| world.sessions.clone());
    let (id, session) = sessions.first_key_value().expect("a session");
    assert_eq!((sessions.len(), &session.content), (1, &content));
    assert_eq!(bench.server.seen_of("POST videos").len(), 1 + 3 + 1);
    let sent = json!({ "upload_phase": "finish", "upload_session_id": id, "description": "a text", "title": "A title" });
    assert_eq!(body(&bench, "POST videos"), sent);
    assert_eq!(published.receipt.remote_id, session.video);
    assert_eq!(bench.server.ledger().accepted.len(), 1);
}

#[tokio::test]
async fn a_video_that_facebook_forgot_is_begun_anew_a_few_times() {
    let bench = page().await;
    let file = File::new(MediaKind::Mp4, &[7; 100]);
    let forgotten = || Canned::refusal(100, 33, "no such session");
    let began = Canned::new(
        200,
        r#"{"upload_session_id":1,"video_id":2,"start_offset":"0","end_offset":"100"}"#,
    );
    bench.server.answer("POST videos", began.clone());
    bench.server.answer("POST videos", forgotten());

    bench.upload(&file).await.expect("uploaded in the end");

    for _ in 0..3 {
        bench.server.answer("POST videos", began.clone());
        bench.server.answer("POST videos", forgotten());
    }
    let failure = bench.upload(&file).await.expect_err("again and again");
    assert!(failure.message.contains("forgot the upload 3 times"), "{failure}");
    assert_eq!(failure.outcome, Outcome::NotPublished);
}

#[tokio::test]
async fn an_upload_whose_answer_makes_no_sense_is_no_endless_one() {
    let bench = page().await;
    let file = File::new(MediaKind::Mp4, &[7; 100]);
    for answer in [
        "{}",
        r#"{"upload_session_id":"../1","video_id":"2","start_offset":"0","end_offset":"100"}"#,
        r#"{"upload_session_id":"1","video_id":"2","start_offset":"0","end_offset":"101"}"#,
        r#"{"upload_session_id":"1","video_id":"2","start_offset":"9","end_offset":"8"}"#,
        r#"{"upload_session_id":"1","video_id":"2","start_offset":"a","end_offset":"b"}"#,
    ] {
        bench.server.answer("POST videos", Canned::new(200, answer));
        let failure = bench.upload(&file).await.expect_err(answer);
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Platform, Outcome::NotPublished),
            "{answer}"
        );
    }
    let photo = File::new(MediaKind::Png, b"\x89PNG");
    bench.server.answer("POST photos", Canned::new(200, r#"{"id":"../me"}"#));
    assert_eq!(bench.upload(&photo).await.expect_err("no id").outcome, Outcome::NotPublished);
    bench.server.answer("POST photos", Canned::refusal(1, 1_366_046, "too large"));
    assert_eq!(bench.upload(&photo).await.expect_err("refused").class, FailureClass::Content);
}

#[tokio::test]
async fn what_may_be_out_is_unknown_and_what_is_refused_is_not() {
    let bench = page().await;
    for (fault, class, outcome, out) in [
        (Fault::CutBefore, FailureClass::Network, Outcome::Unknown, 0),
        (Fault::CutAfter, FailureClass::Network, Outcome::Unknown, 1),
        (Fault::UnavailableBefore, FailureClass::Platform, Outcome::Unknown, 0),
        (Fault::UnavailableAfter, FailureClass::Platform, Outcome::Unknown, 1),
        (Fault::UnknownErrorAfter, FailureClass::Platform, Outcome::Unknown, 1),
        (Fault::NoData, FailureClass::Platform, Outcome::Unknown, 1),
        (Fault::LimitedAccount, FailureClass::RateLimit, Outcome::NotPublished, 0),
        (Fault::LimitedApp, FailureClass::RateLimit, Outcome::NotPublished, 0),
        (Fault::Duplicate, FailureClass::Content, Outcome::NotPublished, 0),
    ] {
        let before = bench.server.ledger();
        bench.server.script([fault]);

        let failure = bench.publish("text").await.expect_err("no receipt");

        assert_eq!((failure.class, failure.outcome), (class, outcome), "{fault:?}");
        assert_eq!(failure.duplicate, fault == Fault::Duplicate);
        let after = bench.server.ledger();
        assert_eq!(after.accepted.len() - before.accepted.len(), out, "{fault:?}");
        assert_eq!(after.creates - before.creates, 1, "{fault:?}: nothing is repeated");
    }
}

#[tokio::test]
async fn success_without_an_id_is_unknown_and_redirects_are_not_followed() {
    let bench = page().await;
    for body in
        ["", "{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":"../me"}"#, r#"{"success":true}"#]
    {
        bench.server.answer("POST feed", Canned::new(200, body));
        let failure = bench.publish("text").await.expect_err(body);
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Platform, Outcome::Unknown),
            "{body}"
        );
    }
    let huge = format!(r#"{{"id":"1","x":"{}"}}"#, "x".repeat(70_000));
    bench.server.answer("POST feed", Canned::new(200, huge));
    assert_eq!(bench.publish("text").await.expect_err("too large").outcome, Outcome::Unknown);
    let seen = bench.server.seen().len();
    let elsewhere = bench.server.base_url() + "/me";
    bench.server.answer("POST feed", Canned::new(307, "").with("location", &elsewhere));
    assert_eq!(bench.publish("text").await.expect_err("a redirect").outcome, Outcome::Unknown);
    assert_eq!(bench.server.seen().len(), seen + 1);
}

#[tokio::test]
async fn an_id_is_a_text_or_a_number() {
    let bench = page().await;
    for (body, id) in [(r#"{"id":"42_7"}"#, "42_7"), (r#"{"id":7,"post_id":"42_7"}"#, "7")] {
        bench.server.answer("POST feed", Canned::new(200, body));
        assert_eq!(bench.publish("text").await.expect(body).receipt.remote_id, id);
    }
}

#[tokio::test]
async fn a_video_that_says_no_more_than_success_is_out() {
    let bench = page().await;
    let file = File::new(MediaKind::Mp4, &[7; 10]);
    for (body, is_out) in [
        (r#"{"success":true}"#, true),
        (r#"{"id":"77"}"#, true),
        (r#"{"success":false}"#, false),
        ("{}", false),
    ] {
        let prepared = bench.upload(&file).await.expect("uploaded");
        bench.server.answer("POST videos", Canned::new(200, body));
        let sent = bench.send_with(&intent("text"), &[prepared]).await;
        assert_eq!(sent.is_ok(), is_out, "{body}");
        if let Err(failure) = sent {
            assert_eq!(failure.outcome, Outcome::Unknown, "{body}");
        }
    }
}

#[tokio::test]
async fn a_wait_is_told_with_whom_it_concerns() {
    let bench = page().await;
    let mut waits = Vec::new();
    bench.server.script([Fault::LimitedAccount, Fault::LimitedApp]);
    for _ in 0..2 {
        let failure = bench.publish("text").await.expect_err("limited");
        let wait = failure.wait.expect("a wait");
        waits.push((wait.scope, wait.for_.as_secs(), failure.limits.len()));
    }
    assert_eq!(waits, [(LimitScope::Account, 19 * 60, 1), (LimitScope::App, 900, 0)]);

    let usage = r#"{"call_count":91,"total_time":2,"total_cputime":3}"#;
    bench
        .server
        .answer("POST feed", Canned::new(200, r#"{"id":"42_1"}"#).with("x-app-usage", usage));
    let limits = bench.publish("text").await.expect("published").limits;
    assert_eq!((limits.len(), limits[0].remaining), (1, 9));
}

#[tokio::test]
async fn what_facebook_would_refuse_is_named_before() {
    let bench = page().await;
    let check = |text: &str, files: &[&str], options: &PostOptions| {
        let parts = [Part { text: text.to_owned(), media: media(files) }];
        let found = violations(&bench.platform, Draft { parts: &parts, options });
        found.into_iter().map(|violation| violation.message).collect::<Vec<_>>()
    };
    let none = PostOptions::default();
    let longest = "e\u{301}".repeat(63_206 / 2);

    assert_eq!(check(&longest, &[], &none), [""; 0]);
    assert_eq!(
        check(&format!("{longest}\u{1f600}"), &[], &none),
        ["the text is 63207 characters long, at most 63206"]
    );
    assert_eq!(check("", &[], &option("link", "https://example.com")), [""; 0]);
    assert_eq!(check("", &["a.jpg"], &none), [""; 0]);
    for (text, files, options, needle) in [
        (" ", 0, none.clone(), "is empty"),
        ("a", 11, none.clone(), "11 media files, at most 10"),
        ("a", 0, option("link", "example.com"), "is no address"),
        ("a", 1, option("link", "https://example.com"), "either a link or media"),
        ("a", 0, option("title", "T"), "is for a video"),
        ("a", 2, option("title", "T"), "which goes alone"),
        ("a", 0, option("lnik", "x"), "is not known; expected link, title"),
    ] {
        let found = check(text, &vec!["a.jpg"; files], &options);
        assert!(found.len() == 1 && found[0].contains(needle), "{found:?}");
    }
    assert_eq!(bench.platform.transfer(), Transfer::Sent);
}

#[tokio::test]
async fn a_page_without_a_known_id_is_asked_for_it() {
    let mut bench = page().await;
    bench.who.remote_id = None;

    bench.publish("text").await.expect("published");

    assert_eq!(bench.server.seen()[0].query(), "fields=id%2Cname");
    assert_eq!(bench.server.ledger().accepted[0].account, "42");
    bench.who.remote_id = Some("../me".to_owned());
    assert_eq!(bench.publish("text").await.expect_err("no id").class, FailureClass::Auth);
    bench.who = who("gone");
    let failure = bench.publish("text").await.expect_err("no token of anybody's");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::NotPublished));
    assert!(!failure.message.contains("gone"), "{failure}");
}

#[tokio::test]
async fn an_app_may_demand_a_proof() {
    let bench = page_with(|config| {
        config.app_secret = Some("s3cret".into());
        config.send_proof = true;
    })
    .await;

    bench.publish("text").await.expect("published");

    let seen = bench.server.seen();
    let proof = seen[0].query().strip_prefix("appsecret_proof=").expect("a proof");
    assert!(proof.len() == 64 && proof.bytes().all(|c| c.is_ascii_hexdigit()), "{proof}");
}
