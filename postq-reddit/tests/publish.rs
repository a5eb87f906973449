//! The creating call: what is sent, field by field, and what becomes of every kind of answer.

mod support;

use std::slice::from_ref;
use std::time::{Duration, Instant};

use fake_reddit::{Canned, Fault, Seen, Target};
use postq_core::content::{Draft, Part};
use postq_core::failure::{FailureClass, LimitReading, LimitScope, Outcome};
use postq_core::media::MediaKind;
use postq_core::platform::{Length, Measure, Platform, Violation, violations};
use postq_reddit::{Config, Reddit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use support::{Bench, bench, bench_with, files, intent, now, options, titled, who};

/// The last request.
fn last(bench: &Bench) -> Seen {
    bench.server.seen().pop().expect("a request")
}

fn sent(bench: &Bench) -> Vec<(String, String)> {
    last(bench).form()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_text_post_is_sent_as_reddit_wants_it() {
    let bench = bench().await;

    bench.publish("Hello & <world>\n日本", titled(" A  title & more ", "")).await.expect("out");

    let seen = last(&bench);
    assert_eq!(bench.server.seen().len(), 1, "one call");
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/submit?raw_json=1"));
    assert_eq!(
        seen.form(),
        pairs(&[
            ("api_type", "json"),
            ("sr", "test"),
            ("kind", "self"),
            ("title", "A title & more"),
            ("resubmit", "true"),
            ("sendreplies", "true"),
            ("nsfw", "false"),
            ("spoiler", "false"),
            ("validate_on_submit", "true"),
            ("text", "Hello & <world>\n日本"),
        ])
    );
    assert_eq!(seen.header("authorization"), ["bearer tok-me"]);
    assert_eq!(seen.header("content-type"), ["application/x-www-form-urlencoded"]);
    assert_eq!(seen.header("user-agent"), ["server:postq-tests:1.0 (by /u/me)"]);
}

#[tokio::test]
async fn every_option_has_its_field() {
    let bench = bench().await;
    let all = options(
        r#"{"subreddit":"u/Some-One","title":"t","kind":"self","flair_id":"f-1","flair_text":"News",
            "nsfw":true,"spoiler":true,"send_replies":false}"#,
    );

    bench.publish("", all).await.expect("published");

    assert_eq!(
        sent(&bench),
        pairs(&[
            ("api_type", "json"),
            ("sr", "u_Some-One"),
            ("kind", "self"),
            ("title", "t"),
            ("resubmit", "true"),
            ("sendreplies", "false"),
            ("nsfw", "true"),
            ("spoiler", "true"),
            ("validate_on_submit", "true"),
            ("text", ""),
            ("flair_id", "f-1"),
            ("flair_text", "News"),
        ])
    );
}

#[tokio::test]
async fn a_link_is_guarded_against_being_sent_twice() {
    let bench = bench().await;
    let link = r#","url":"https://example.com/a?b=1&c=é""#;
    bench.publish(" ", titled("t", link)).await.expect("published");

    let fields = sent(&bench);
    let has = |name: &str, value: &str| fields.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("kind", "link") && has("url", "https://example.com/a?b=1&c=é"), "{fields:?}");
    assert!(has("resubmit", "false") && !fields.iter().any(|(name, _)| name == "text"));

    let again = bench.publish("", titled("t", link)).await.expect_err("it is there");
    assert_eq!((again.class, again.outcome), (FailureClass::Content, Outcome::NotPublished));
    assert!(again.duplicate && again.message.contains("\"resubmit\""), "{again}");
    let resubmit = format!(r#"{link},"resubmit":true"#);
    bench.publish("with a text", titled("t", &resubmit)).await.expect("sent all the same");
    assert!(sent(&bench).contains(&("text".to_owned(), "with a text".to_owned())));
    assert_eq!(bench.server.accepted().len(), 2);
}

#[tokio::test]
async fn a_picture_or_video_is_named_by_its_address_and_its_id_is_not_told_yet() {
    let bench = bench().await;
    let picture = bench.uploaded(MediaKind::Jpeg, b"jpeg").await;
    let video = bench.uploaded(MediaKind::Mp4, b"mp4").await;
    let uploads = bench.server.uploads();
    let url_of = |mime: &str| {
        uploads.iter().find(|file| file.mimetype == mime).expect("uploaded").url.clone()
    };
    let value = |fields: &[(String, String)], name: &str| {
        fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    };

    let one = intent("a text", titled("a picture", ""));
    let failure =
        bench.send_with(&one, &files(&[Some("alt")]), from_ref(&picture)).await.expect_err("no id");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::Unknown));
    assert_eq!((failure.duplicate, failure.wait), (false, None));
    let fields = sent(&bench);
    assert_eq!(value(&fields, "kind").as_deref(), Some("image"));
    assert_eq!(value(&fields, "url"), Some(url_of("image/jpeg")));
    assert_eq!(value(&fields, "text").as_deref(), Some("a text"));
    assert_eq!((value(&fields, "video_poster_url"), fields.len()), (None, 11));

    // Without a picture of its author's, the plain one is shown before the video plays.
    let two = intent("", titled("a video", ""));
    bench.server.without_websockets();
    let sending = bench.send_with(&two, &files(&[None]), from_ref(&video)).await;
    assert_eq!(sending.expect_err("no id").outcome, Outcome::Unknown);
    let fields = sent(&bench);
    assert_eq!(value(&fields, "kind").as_deref(), Some("video"));
    assert_eq!(value(&fields, "url"), Some(url_of("video/mp4")));
    assert_eq!(value(&fields, "video_poster_url"), Some(url_of("image/png")));
    assert_eq!(value(&fields, "text"), None);

    let three = intent("", titled("another video", r#","kind":"video""#));
    let both = [picture.clone(), video.clone()];
    drop(bench.send_with(&three, &files(&[None, None]), &both).await.expect_err("no id"));
    assert_eq!(value(&sent(&bench), "video_poster_url"), Some(url_of("image/jpeg")));

    let kinds: Vec<String> = bench.server.accepted().into_iter().map(|post| post.kind).collect();
    assert_eq!(kinds, ["image", "video", "video"]);
}

#[tokio::test]
async fn a_gallery_is_json_with_captions() {
    let bench = bench().await;
    let files_of =
        [bench.uploaded(MediaKind::Png, b"1").await, bench.uploaded(MediaKind::Gif, b"2").await];
    let intent = intent("some text", titled("t", r#","flair_id":"f-1","nsfw":true"#));

    let published =
        bench.send_with(&intent, &files(&[Some("first"), None]), &files_of).await.expect("out");

    let seen = last(&bench);
    assert_eq!(seen.target, "/api/submit_gallery_post.json?raw_json=1");
    assert_eq!(seen.header("content-type"), ["application/json"]);
    let assets: Vec<String> = bench.server.uploads().into_iter().map(|file| file.asset).collect();
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).expect("JSON"),
        json!({
            "api_type": "json", "sr": "test", "title": "t", "text": "some text",
            "nsfw": true, "spoiler": false, "sendreplies": true, "show_error_list": true,
            "validate_on_submit": true, "flair_id": "f-1",
            "items": [
                { "media_id": assets[0], "caption": "first", "outbound_url": "" },
                { "media_id": assets[1], "caption": "", "outbound_url": "" },
            ],
        })
    );
    let accepted = &bench.server.accepted()[0];
    assert_eq!(published.receipt.remote_id, accepted.id, "the full name is made an id");
    assert_eq!(accepted.captions, ["first", ""]);
}

#[tokio::test]
async fn files_that_make_no_post_are_refused_before_anything_is_sent() {
    let bench = bench().await;
    let picture = bench.uploaded(MediaKind::Png, b"1").await;
    let video = bench.uploaded(MediaKind::Mp4, b"2").await;
    let before = bench.server.seen().len();
    for (kind, prepared) in [
        ("", vec![video.clone(), video.clone()]),
        ("", vec![picture.clone(), video.clone(), picture.clone()]),
        (r#","kind":"image""#, vec![video.clone()]),
        (r#","kind":"gallery""#, vec![picture.clone(), video.clone()]),
        (r#","kind":"self""#, vec![picture.clone()]),
        (r#","url":"https://example.com""#, vec![picture.clone()]),
        (r#","kind":"link""#, vec![]),
    ] {
        let intent = intent("", titled("t", kind));
        let media = files(&vec![None; prepared.len()]);
        let failure = bench.send_with(&intent, &media, &prepared).await.expect_err("refused");
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Content, Outcome::NotPublished),
            "{kind} {failure}"
        );
    }
    let unready = bench.send_with(&intent("", titled("t", "")), &files(&[None]), &[]).await;
    assert_eq!(unready.expect_err("not uploaded").class, FailureClass::Internal);
    assert_eq!(bench.server.seen().len(), before);
}

#[tokio::test]
async fn a_receipt_has_id_address_and_time() {
    let bench = bench().await;

    let published = bench.publish("text", titled("t", "")).await.expect("published");

    let (receipt, accepted) = (published.receipt, &bench.server.accepted()[0]);
    assert_eq!(receipt.remote_id, accepted.id);
    let url = format!("https://www.reddit.com/r/test/comments/{}/a_title/", accepted.id);
    assert_eq!(receipt.url, Some(url));
    assert!((now() - receipt.published_at).num_seconds().abs() <= 2, "{}", receipt.published_at);
    let quota = LimitReading {
        scope: LimitScope::App,
        remaining: 992,
        resets_in: Duration::from_secs(337),
    };
    assert_eq!(published.limits, [quota]);
}

#[tokio::test]
async fn an_id_is_told_in_several_ways() {
    let bench = bench().await;
    for data in [
        r#"{"id":"4bbe4b","name":"t3_4bbe4b"}"#,
        r#"{"id":"t3_4bbe4b"}"#,
        r#"{"name":"t3_4bbe4b","url":"javascript:alert(1)"}"#,
        r#"{"id":"4bbe4b","url":7,"drafts_count":0,"new":{}}"#,
    ] {
        // An id beside errors is out, whatever else was wrong.
        for errors in ["[]", "null", r#"[["ODD","words",null]]"#] {
            let body = format!(r#"{{"json":{{"errors":{errors},"data":{data}}}}}"#);
            bench.server.answer(Target::Submit, Canned::new(200, body));
            let receipt = bench.publish("", titled("t", "")).await.expect(data).receipt;
            assert_eq!(receipt.remote_id, "4bbe4b");
            let url = "https://www.reddit.com/r/test/comments/4bbe4b/";
            assert_eq!(receipt.url.as_deref(), Some(url));
        }
    }
}

#[tokio::test]
async fn success_that_names_no_post_is_unknown() {
    let bench = bench().await;
    for body in [
        "",
        "{}",
        "null",
        "<html>",
        r#"{"json":{}}"#,
        r#"{"json":{"errors":[],"data":{}}}"#,
        r#"{"json":{"errors":[],"data":{"id":""}}}"#,
        r#"{"json":{"errors":[],"data":{"id":7}}}"#,
        r#"{"json":{"errors":[],"data":{"id":"../../me"}}}"#,
        r#"{"json":{"errors":null,"data":{"websocket_url":null,"user_submitted_page":"x"}}}"#,
    ] {
        let failure = bench.failure(Canned::new(200, body)).await;
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Platform, Outcome::Unknown),
            "{body}"
        );
    }
    let huge = format!(r#"{{"json":{{"data":{{"id":"1","x":"{}"}}}}}}"#, "x".repeat(70_000));
    assert_eq!(bench.failure(Canned::new(200, huge)).await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let bench = bench().await;
    let elsewhere = bench.server.base_url() + "/api/v1/me";

    let failure = bench.failure(Canned::new(307, "").with("location", &elsewhere)).await;

    assert_eq!(failure.outcome, Outcome::Unknown);
    assert_eq!(bench.server.seen().len(), 1);
}

#[tokio::test]
async fn a_refusal_inside_a_200_published_nothing_and_its_wait_is_told() {
    let bench = bench().await;
    bench.server.faults([Fault::Limited]);

    let failure = bench.publish("text", titled("t", "")).await.expect_err("limited");

    assert_eq!((failure.class, failure.outcome), (FailureClass::RateLimit, Outcome::NotPublished));
    let wait = failure.wait.expect("a wait");
    assert_eq!((wait.scope, wait.for_), (LimitScope::Account, Duration::from_secs(489)));
    assert_eq!(failure.limits.len(), 1, "limits are read from refusals as well");
    assert!(bench.server.accepted().is_empty());
}

#[tokio::test]
async fn a_refused_picture_is_not_taken_for_one_that_is_worked_on() {
    let bench = bench().await;
    let body = r#"{"json":{"errors":[["NO_IMAGES","no","sr"]],"data":{"websocket_url":null}}}"#;

    let failure = bench.failure(Canned::new(200, body)).await;

    assert_eq!((failure.class, failure.outcome), (FailureClass::Content, Outcome::NotPublished));
}

#[tokio::test]
async fn the_server_s_own_refusals_are_of_the_content() {
    let bench = bench().await;
    let long = "x".repeat(301);
    for (text, title, code) in [
        ("", long.as_str(), "TOO_LONG"),
        (&*"x".repeat(40_001), "t", "TOO_LONG"),
        ("", " ", "NO_TEXT"),
    ] {
        let failure = bench.publish(text, titled(title, "")).await.expect_err("refused");
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Content, Outcome::NotPublished)
        );
        assert!(failure.message.contains(code), "{failure}");
    }
}

#[tokio::test]
async fn neither_title_nor_text_nor_token_is_told() {
    let bench = bench().await;
    let (title, text) = ("Our launch is on Tuesday", "Tell nobody about it before nine");
    let words = format!("'{title}' and '{text}' by tok-me");
    let errors = json!({ "json": { "errors": [["NO_TEXT", words, "title"]] } });
    let validation = json!({ "message": "Bad Request", "explanation": words, "reason": words });
    for (status, body) in
        [(200, &errors), (400, &validation), (403, &validation), (500, &validation)]
    {
        bench.server.answer(Target::Submit, Canned::new(status, body.to_string()));
        let failure = bench.publish(text, titled(title, "")).await.expect_err("refused");
        let told = format!("{failure:?} {failure}");
        for hidden in ["launch", "nobody", "tok-me"] {
            assert!(!told.contains(hidden), "{status}: {told}");
        }
        assert!(told.contains("…"), "{status}: {told}");
    }
}

#[tokio::test]
async fn what_is_ambiguous_is_unknown_and_never_sent_twice() {
    for (fault, live) in [
        (Fault::CutBefore, 0),
        (Fault::CutAfter, 1),
        (Fault::UnavailableBefore, 0),
        (Fault::UnavailableAfter, 1),
        (Fault::NoData, 1),
        (Fault::PageAfter, 1),
        (Fault::Late, 1),
    ] {
        let bench = bench().await;
        bench.server.faults([fault]);

        let failure = bench.publish("text", titled("t", "")).await.expect_err("no receipt");

        assert_eq!(failure.outcome, Outcome::Unknown, "{fault:?}: {failure}");
        tokio::time::sleep(Duration::from_millis(if fault == Fault::Late { 500 } else { 0 })).await;
        assert_eq!(bench.server.accepted().len(), live, "{fault:?}");
        assert_eq!(bench.server.creates(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_call_ends_in_time_and_before_a_connection_it_is_sure() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(300)).await;
    bench.server.faults([Fault::HangAfter]);
    let start = Instant::now();
    let failure = bench.publish("text", titled("t", "")).await.expect_err("no answer");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::Unknown));
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());

    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let bench = bench_with(|config| config.base_url = base_url).await;
    let failure = bench.publish("text", titled("t", "")).await.expect_err("nobody there");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a call");
        let mut request = [0; 8_192];
        let _read = stream.read(&mut request).await.expect("a request");
        let half = "HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\n{\"message\":";
        stream.write_all(half.as_bytes()).await.expect("written");
    });
    let bench = bench_with(|config| config.base_url = base_url).await;

    let failure = bench.publish("text", titled("t", "")).await.expect_err("cut");

    assert_eq!(failure.outcome, Outcome::Unknown, "{failure}");
    server.await.expect("served");
}

#[tokio::test]
async fn a_token_that_is_none_is_told_without_a_call() {
    let mut bench = bench().await;
    bench.who = who("tok-\nx");
    let failure = bench.publish("text", titled("t", "")).await.expect_err("no token");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::NotPublished));
    assert!(bench.server.seen().is_empty());

    bench.who = who("wrong");
    let failure = bench.publish("text", titled("t", "")).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Auth);
}

fn violated(reddit: &Reddit, parts: &[Part], json: &str) -> Vec<Violation> {
    violations(reddit, Draft { parts, options: &options(json) })
}

#[tokio::test]
async fn what_reddit_would_refuse_is_named_with_limit_and_value() {
    let reddit = Reddit::new(Config::default()).expect("an adapter");
    let told = |parts: &[Part], json: &str| -> Vec<String> {
        violated(&reddit, parts, json).into_iter().map(|violation| violation.message).collect()
    };
    let good = r#"{"subreddit":"rust","title":"t"}"#;
    let part = |media: usize| Part { text: String::new(), media: files(&vec![None; media]) };

    assert_eq!(told(&[Part::text("")], good), [""; 0], "a title alone is a post");
    assert_eq!(told(&[part(20)], good), [""; 0]);
    assert_eq!(told(&[part(21)], good), ["21 media files, at most 20"]);
    assert_eq!(told(&[], good), ["there is no post"]);
    let two = [Part::text("a"), Part::text("b")];
    assert_eq!(told(&two, good), ["2 parts, at most 1: there are no threads"]);
    assert_eq!(
        told(&[Part::text("x".repeat(40_001))], good),
        ["the text is 40001 characters long, at most 40000"]
    );
    let missing = told(&[Part::text("a")], "{}");
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(told(&[Part::text("")], r#"{"subreddit":"a/b","title":"t"}"#)[0].contains("a/b"));
    let long = format!(r#"{{"subreddit":"rust","title":"{}"}}"#, "é".repeat(301));
    assert_eq!(
        told(&[Part::text("")], &long),
        ["the option \"title\" is 301 characters long, at most 300"]
    );
}

#[tokio::test]
async fn texts_at_their_limits_go_out_whole() {
    let bench = bench().await;
    // Of one to four bytes each, and some that only look like one together.
    for unit in ["x", "é", "日", "👍", "e\u{301}", "👩\u{200d}👧"] {
        let count = unit.chars().count();
        let (title, text) = (unit.repeat(300 / count), unit.repeat(40_000 / count));
        let options = titled(&title, "");
        let parts = [Part::text(text.clone())];
        let draft = Draft { parts: &parts, options: &options };
        assert_eq!(violations(&bench.reddit, draft), [], "{unit}");
        let limit = 40_000;
        let length = text.chars().count();
        assert_eq!(Measure::measure(&bench.reddit, &text), Length { length, limit });

        let published = bench.publish(&text, options).await.expect("published");

        let accepted = bench.server.accepted().pop().expect("accepted");
        assert_eq!((accepted.id, accepted.title), (published.receipt.remote_id, title));
        assert_eq!(accepted.text, text);
    }
}

#[tokio::test]
async fn the_pace_is_told_unless_it_is_switched_off() {
    let limited = bench().await;
    let unlimited = bench_with(|config| config.rate_limit = false).await;

    let (calls, window) = limited.reddit.pace().app.expect("a rate").spoken();
    assert_eq!((calls, window), (500, Duration::from_secs(600)));
    assert_eq!(limited.reddit.pace().account, None);
    assert_eq!(unlimited.reddit.pace().app, None);
    let published = unlimited.publish("", titled("t", "")).await.expect("published");
    assert!(published.limits.is_empty());
    assert_eq!(limited.reddit.most_parts(), 1);
}
