//! The creating call: what is sent, and what becomes of every kind of answer.

mod support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fake_pinterest::{BOARDS, Canned, Fault, Faults, SECTION, Target};
use postq_core::failure::{FailureClass, LimitScope, Outcome};
use postq_core::media::MediaKind;
use postq_core::platform::{Platform, PreparedMedia};
use postq_pinterest::Access;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use support::{Bench, SLACK, bench, bench_with, content, intent, intent_with, media, now, who};

/// The body of the last request to create.
fn sent(bench: &Bench) -> Value {
    let seen = bench.server.seen();
    let create = seen.iter().rfind(|seen| seen.target == "/v5/pins").expect("a request");
    serde_json::from_str(&create.body).expect("JSON")
}

#[tokio::test]
async fn a_pin_is_sent_as_pinterest_wants_it() {
    let bench = bench().await;
    let all = intent_with(
        "Soup & <b>\n\"日本\"",
        &[
            ("board", BOARDS[0].0),
            ("section", SECTION.0),
            ("title", "A title"),
            ("link", "https://example.com/soup"),
            ("dominant_color", "#6E7874"),
        ],
    );

    bench.send_files(&all, &[(MediaKind::Jpeg, Some("a bowl"))]).await.expect("published");

    let expected = json!({
        "board_id": BOARDS[0].0,
        "board_section_id": SECTION.0,
        "title": "A title",
        "description": "Soup & <b>\n\"日本\"",
        "link": "https://example.com/soup",
        "dominant_color": "#6E7874",
        "alt_text": "a bowl",
        "media_source": {
            "source_type": "image_base64",
            "content_type": "image/jpeg",
            "data": STANDARD.encode(content(MediaKind::Jpeg, 100)),
        },
    });
    assert_eq!(sent(&bench), expected);
    let seen = bench.server.seen();
    assert_eq!(seen.len(), 1, "one call");
    let header = |name: &str| {
        let own = seen[0].headers.iter().filter(|(own, _)| own == name);
        own.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(header("authorization"), ["Bearer tok-42"]);
    assert_eq!(header("content-type"), ["application/json"]);
    assert_eq!(header("user-agent").len(), 1);
    assert_eq!(bench.server.pins()[0].pictures, [content(MediaKind::Jpeg, 100)]);
}

#[tokio::test]
async fn what_is_not_said_is_not_sent() {
    let bench = bench().await;

    bench.send_files(&intent(" \n"), &[(MediaKind::Png, Some(" "))]).await.expect("published");

    let sent = sent(&bench);
    let names: Vec<&String> = sent.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["board_id", "media_source"]);
    assert_eq!(sent["media_source"]["content_type"], "image/png");
}

#[tokio::test]
async fn a_board_is_found_by_its_name_once() {
    let bench = bench().await;
    let named = || intent_with("by name", &[("board", " summer RECIPES "), ("section", SECTION.1)]);

    bench.send(&named()).await.expect("published");
    bench.send(&named()).await.expect("published");

    for pin in bench.server.pins() {
        assert_eq!(pin.sent["board_id"], BOARDS[0].0);
        assert_eq!(pin.sent["board_section_id"], SECTION.0);
    }
    assert_eq!(bench.calls("GET", "/v5/boards?page_size=250"), 1, "it is remembered");
    let sections = format!("/v5/boards/{}/sections?page_size=250", BOARDS[0].0);
    assert_eq!(bench.calls("GET", &sections), 1);
}

#[tokio::test]
async fn a_board_that_went_and_came_back_under_its_name_is_found() {
    let bench = bench().await;
    let named = intent_with("text", &[("board", BOARDS[0].1)]);
    bench.send(&named).await.expect("published");
    let gone = r#"{"code":40,"message":"Board not found."}"#;
    bench.server.answer(Target::Create, Canned::new(404, gone));

    let failure = bench.send(&named).await.expect_err("the id that is remembered is gone");
    bench.send(&named).await.expect("published");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Content, Outcome::NotPublished));
    assert_eq!(bench.calls("GET", "/v5/boards?"), 2, "listed again");
}

#[tokio::test]
async fn a_board_that_is_not_there_is_named_and_nothing_is_sent() {
    let bench = bench().await;

    let unknown = bench.send(&intent_with("text", &[("board", "Cats")])).await.expect_err("none");

    assert_eq!((unknown.class, unknown.outcome), (FailureClass::Content, Outcome::NotPublished));
    assert!(unknown.message.contains("\"Summer recipes\" (549755885175)"), "{unknown}");
    assert_eq!(bench.server.creates(), 0);
    let by_id = bench.send(&intent_with("text", &[("board", "99999")])).await.expect_err("none");
    assert_eq!(by_id.message, "pinterest refused it (404, code 404): Board not found.");
    assert_eq!((by_id.class, by_id.outcome), (FailureClass::Content, Outcome::NotPublished));
}

#[tokio::test]
async fn boards_that_cannot_be_asked_for_publish_nothing() {
    let bench = bench().await;
    for (status, class) in [
        (401, FailureClass::Auth),
        (403, FailureClass::Platform),
        (429, FailureClass::RateLimit),
        (500, FailureClass::Platform),
        (200, FailureClass::Platform),
    ] {
        bench.server.answer(Target::Boards, Canned::new(status, "{}"));
        let named = intent_with("text", &[("board", "Travel")]);
        let failure = bench.send(&named).await.expect_err("not asked");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{status}");
    }
    assert_eq!(bench.server.creates(), 0);
}

#[tokio::test]
async fn a_receipt_has_id_address_and_time() {
    let bench = bench().await;
    for zone in [false, true] {
        let ok_for_created = zone;
        bench.server.set_faults(Faults { zone, ok_for_created, ..Faults::default() });
        let before = now() - Duration::from_secs(1);

        let published = bench.publish("text").await.expect("published");

        let (receipt, accepted) = (published.receipt, bench.server.pins().pop().expect("a Pin"));
        assert_eq!(receipt.remote_id, accepted.id);
        let url = format!("https://www.pinterest.com/pin/{}/", accepted.id);
        assert_eq!(receipt.url, Some(url));
        assert!(receipt.published_at >= before && receipt.published_at <= now(), "zone: {zone}");
        assert!(!receipt.dry_run);
        let limit = &published.limits[0];
        assert_eq!((limit.scope, limit.remaining), (LimitScope::Account, 999));
        assert_eq!(limit.resets_in, Duration::from_secs(60));
    }
}

#[tokio::test]
async fn a_time_that_cannot_be_gives_the_time_of_the_answer() {
    let bench = bench().await;
    for created_at in ["\"2016-01-01T00:00:00\"", "\"soon\"", "null", "7"] {
        let body = format!(r#"{{"id":"77","created_at":{created_at}}}"#);
        bench.server.answer(Target::Create, Canned::new(201, body));
        match bench.publish("text").await {
            Ok(published) => {
                assert!((published.receipt.published_at - now()).num_seconds().abs() < 5);
            }
            // A number is no time at all: the answer makes no sense.
            Err(failure) => assert_eq!((created_at, failure.outcome), ("7", Outcome::Unknown)),
        }
    }
}

#[tokio::test]
async fn a_refusal_has_its_class_and_published_nothing() {
    use FailureClass::{Auth, Content, Platform, RateLimit};
    let bench = bench().await;
    for (status, code, message, class) in [
        (400, 1, "Invalid parameters.", Content),
        (400, 1, "Sorry! We blocked this link because it may lead to spam.", Content),
        (400, 235, "Sorry we could not fetch the image.", Platform),
        (401, 2, "Authentication failed.", Auth),
        (403, 3, "You are not permitted to access that resource.", Content),
        (403, 29, "Apps with Trial access may not create Pins in production.", Auth),
        (404, 40, "Board not found.", Content),
        (413, 413, "Too large.", Content),
        (429, 8, "This request exceeded a rate limit.", RateLimit),
    ] {
        let body = json!({ "code": code, "message": message }).to_string();
        let failure = bench.failure(Canned::new(status, body)).await;
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{message}");
        let told = format!("pinterest refused it ({status}, code {code}): {message}");
        assert_eq!(failure.message, told);
        assert!(!failure.duplicate, "Pinterest refuses no Pin for being the same");
    }
    assert!(bench.server.pins().is_empty());
    assert_eq!(bench.server.creates(), 9, "nothing was repeated");
}

#[tokio::test]
async fn the_same_pin_twice_is_two_pins() {
    let bench = bench().await;

    bench.publish("the same").await.expect("published");
    bench.publish("the same").await.expect("published");

    assert_eq!(bench.server.pins().len(), 2);
}

#[tokio::test]
async fn a_wait_is_told_with_whom_it_concerns() {
    for (access, scope) in
        [(Access::Standard, LimitScope::Account), (Access::Trial, LimitScope::App)]
    {
        let bench = bench_with(|config| config.access = access).await;
        bench.server.set_faults(Faults::script([Fault::Limited]));

        let failure = bench.publish("text").await.expect_err("limited");

        let wait = failure.wait.expect("a wait");
        assert_eq!((wait.scope, wait.for_), (scope, Duration::from_secs(7)), "{access}");
        assert_eq!((failure.limits[0].scope, failure.limits[0].remaining), (scope, 0));
    }
    let bench = bench().await;
    let untold = bench.failure(Canned::new(429, "")).await;
    assert_eq!(untold.wait.expect("a wait").for_, Duration::from_secs(60));
    assert!(untold.limits.is_empty());
}

#[tokio::test]
async fn what_is_cut_or_goes_wrong_afterwards_is_unknown() {
    let bench = bench().await;
    for (fault, class) in [
        (Fault::CutBefore, FailureClass::Network),
        (Fault::CutAfter, FailureClass::Network),
        (Fault::Late, FailureClass::Network),
        (Fault::UnavailableBefore, FailureClass::Platform),
        (Fault::UnavailableAfter, FailureClass::Platform),
        (Fault::NoId, FailureClass::Platform),
    ] {
        bench.server.set_faults(Faults::script([fault]));
        let failure = bench.publish("text").await.expect_err("no receipt");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::Unknown), "{fault:?}");
    }
    assert_eq!(bench.server.creates(), 6, "nothing was repeated");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_unknown() {
    let bench = bench().await;
    let huge = format!(r#"{{"id":"7","x":"{}"}}"#, "x".repeat(300_000));
    for (status, body) in [
        (200, ""),
        (201, "<html>"),
        (201, "[]"),
        (201, r#"{"id":""}"#),
        (201, r#"{"id":"../7"}"#),
        (201, r#"{"id":7}"#),
        (201, huge.as_str()),
        (302, ""),
        (500, r#"{"id":"7"}"#),
        (408, ""),
        (409, ""),
    ] {
        let failure = bench.failure(Canned::new(status, body)).await;
        assert_eq!(failure.outcome, Outcome::Unknown, "{status} {}", &body[..body.len().min(40)]);
    }
}

#[tokio::test]
async fn a_connection_that_was_cut_does_not_spoil_the_next_call() {
    let bench = bench().await;
    bench.publish("warm").await.expect("published");
    bench.server.set_faults(Faults::script([Fault::CutAfter]));
    bench.publish("cut").await.expect_err("cut");

    bench.publish("after").await.expect("published");

    assert_eq!(bench.server.pins().len(), 3);
}

#[tokio::test]
async fn without_a_connection_nothing_was_published() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}/v5", closed.local_addr().expect("an address"));
    drop(closed);
    let bench = bench_with(|config| config.base_url = base_url).await;

    let failure = bench.publish("text").await.expect_err("no connection");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
    assert!(failure.message.starts_with("pinterest could not be reached"), "{failure}");
}

#[tokio::test]
async fn a_refusal_that_is_cut_off_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}/v5", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 4_096];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(read > 0);
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\n{\"message\":\"For")
            .await
            .expect("half an answer");
    });
    let bench = bench_with(|config| config.base_url = base_url).await;

    let failure = bench.publish("text").await.expect_err("cut");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::Unknown));
}

#[tokio::test]
async fn a_call_gives_up_in_time() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(400)).await;
    bench.server.set_faults(Faults::script([Fault::HangAfter]));
    let start = Instant::now();

    let failure = bench.publish("text").await.expect_err("no answer");

    let most = bench.pinterest.pace().send_timeout + SLACK;
    assert!(start.elapsed() <= most, "{:?}", start.elapsed());
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::Unknown));
    assert_eq!(failure.message, "pinterest did not answer in time");
}

#[tokio::test]
async fn a_refused_token_is_auth() {
    let mut bench = bench().await;
    bench.who = who("stale-token");

    let failure = bench.publish("text").await.expect_err("refused");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::NotPublished));
    bench.who.secret = None;
    let failure = bench.publish("text").await.expect_err("no token");
    assert_eq!(failure.class, FailureClass::Auth);
    assert_eq!(bench.server.seen().len(), 1, "without a token nothing is sent");
}

#[tokio::test]
async fn failures_show_neither_secret_nor_text() {
    let bench = bench().await;
    let text = "our launch is on Tuesday at nine";
    for (status, body) in [
        (400, r#"{"code":1,"message":"Not allowed: our launch is on Tuesday at nine, tok-42"}"#),
        (403, r#"{"message":"'launch is on Tuesday' by Bearer tok-42"}"#),
        (200, r#"{"message":"our launch is on Tuesday at nine"}"#),
        (400, r#"{"message":"The secret title, https://e.com/x, what nobody may see"}"#),
        (503, "our launch is on Tuesday at nine tok-42"),
    ] {
        bench.server.answer(Target::Create, Canned::new(status, body));
        let pairs =
            [("board", BOARDS[0].0), ("title", "The secret title"), ("link", "https://e.com/x")];
        let files = [(MediaKind::Png, Some("what nobody may see"))];
        let failure = bench.send_files(&intent_with(text, &pairs), &files).await;
        let failure = failure.expect_err("a failure");
        let shown = format!("{failure} {failure:?} {}", serde_json::to_string(&failure).unwrap());
        for content in ["launch is on", "secret title", "e.com", "nobody may"] {
            assert!(!shown.contains(content), "{shown}");
        }
        assert!(!shown.contains("tok-42"), "{shown}");
    }
    assert!(!format!("{:?} {:?}", bench.pinterest, bench.who).contains("tok-42"));
}

#[tokio::test]
async fn media_that_is_not_there_is_not_sent() {
    let bench = bench().await;
    let prepared = |remote_id: String| PreparedMedia { remote_id, expires_at: None };
    let refs = [media("cat.jpg", None)];
    let intent = intent("text");
    for (prepared, class) in [
        (vec![], FailureClass::Internal),
        (vec![prepared("image/webp:00".into())], FailureClass::Internal),
        (vec![prepared(format!("image/png:{}", "0".repeat(64)))], FailureClass::Content),
    ] {
        let failure = bench.send_with(&intent, &refs, &prepared).await.expect_err("no media");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{failure}");
    }
    let failure = bench.send_with(&intent, &[], &[]).await.expect_err("no media");
    assert_eq!(failure.message, "a Pin needs a picture or a video");
    assert!(bench.server.seen().is_empty());
}
