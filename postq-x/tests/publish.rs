//! The creating call: what is sent, and what becomes of every kind of answer.

mod support;

use std::time::{Duration, Instant};

use fake_x::{Canned, Fault, Faults, Target};
use postq_core::content::{MediaRef, Part};
use postq_core::failure::{FailureClass, LimitScope, Outcome};
use postq_core::options::NO_OPTIONS;
use postq_core::platform::{Length, Platform};
use postq_x::{Config, X};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use support::{bench, bench_with, intent, now, reply, who};

#[tokio::test]
async fn a_post_is_sent_as_x_wants_it() {
    let bench = bench().await;

    bench.publish("Hello & <world>\n\"日本\"").await.expect("published");

    let seen = bench.server.seen();
    assert_eq!(seen.len(), 1, "one call");
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("POST", "/2/tweets"));
    assert_eq!(seen[0].body, r#"{"text":"Hello & <world>\n\"日本\""}"#);
    let header = |name: &str| {
        seen[0]
            .headers
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(header("authorization"), ["Bearer tok-42"]);
    assert_eq!(header("content-type"), ["application/json"]);
    assert_eq!(header("user-agent").len(), 1);
}

#[tokio::test]
async fn a_later_part_of_a_thread_replies_to_the_one_before() {
    let bench = bench().await;
    let first = bench.publish("one").await.expect("published").receipt.remote_id;

    bench.send(&reply("two", &first)).await.expect("published");

    let body = format!(r#"{{"text":"two","reply":{{"in_reply_to_tweet_id":"{first}"}}}}"#);
    assert_eq!(bench.server.seen()[1].body, body);
    let accepted = bench.server.ledger().accepted;
    assert_eq!(accepted[1].reply_to.as_deref(), Some(first.as_str()));
}

#[tokio::test]
async fn a_receipt_has_id_address_and_time() {
    let bench = bench().await;
    let before = now() - Duration::from_millis(1);

    let published = bench.publish("text").await.expect("published");

    let (receipt, accepted) = (published.receipt, &bench.server.ledger().accepted[0]);
    assert_eq!(receipt.remote_id, accepted.id);
    assert_eq!(receipt.url, Some(format!("https://x.com/i/web/status/{}", accepted.id)));
    assert!(receipt.published_at >= before && receipt.published_at <= now());
    assert!(!receipt.dry_run);
    assert_eq!(published.limits.len(), 1);
    assert_eq!(
        (published.limits[0].scope, published.limits[0].remaining),
        (LimitScope::Account, 9_999)
    );
}

#[tokio::test]
async fn an_id_that_is_no_clock_gives_the_time_of_the_answer() {
    let bench = bench().await;
    for id in ["1", "word", "9223372036854775807"] {
        bench
            .server
            .answer(Target::Create, Canned::new(201, format!(r#"{{"data":{{"id":"{id}"}}}}"#)));
        let receipt = bench.publish("text").await.expect("published").receipt;

        assert_eq!(receipt.remote_id, id);
        assert!(
            (now() - receipt.published_at).num_seconds().abs() <= 2,
            "{}",
            receipt.published_at
        );
    }
}

#[tokio::test]
async fn success_without_an_id_is_unknown() {
    let bench = bench().await;
    for body in [
        "",
        "{}",
        r#"{"data":null}"#,
        r#"{"data":{"id":1445880548472328192}}"#,
        r#"{"data":{"id":""}}"#,
        r#"{"data":{"id":"../../me"}}"#,
        r#"{"errors":[{"title":"Odd","detail":"Nobody knows."}]}"#,
    ] {
        let failure = bench.failure(Canned::new(201, body)).await;
        assert_eq!(
            (failure.class, failure.outcome),
            (FailureClass::Platform, Outcome::Unknown),
            "{body}"
        );
    }
    let huge = format!(r#"{{"data":{{"id":"1","text":"{}"}}}}"#, "x".repeat(70_000));
    assert_eq!(bench.failure(Canned::new(201, huge)).await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let bench = bench().await;
    let elsewhere = bench.server.base_url() + "/users/me";

    let failure = bench.failure(Canned::new(307, "").with("location", &elsewhere)).await;

    assert_eq!(failure.outcome, Outcome::Unknown);
    assert_eq!(bench.server.seen().len(), 1);
}

#[tokio::test]
async fn refusals_surely_published_nothing() {
    let bench = bench().await;
    for (fault, class) in [
        (Fault::LimitedUser, FailureClass::RateLimit),
        (Fault::LimitedApp, FailureClass::RateLimit),
        (Fault::NoCredits, FailureClass::RateLimit),
    ] {
        bench.server.set_faults(Faults::script([fault]));
        let failure = bench.publish("text").await.expect_err("refused");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{fault}");
    }
    assert!(bench.server.ledger().accepted.is_empty());
    assert_eq!(bench.server.ledger().creates, 3, "nothing was repeated");
}

#[tokio::test]
async fn a_wait_is_told_with_whom_it_concerns() {
    let bench = bench().await;
    let mut waits = Vec::new();
    for fault in [Fault::LimitedUser, Fault::LimitedApp, Fault::NoCredits] {
        bench.server.set_faults(Faults::script([fault]));
        let failure = bench.publish("text").await.expect_err("refused");
        let wait = failure.wait.expect("a wait");
        waits.push((wait.scope, wait.for_.as_secs()));
    }

    // A second may pass between the server's clock and its `Date`.
    assert!(matches!(waits[0], (LimitScope::Account, 1..=2)), "{waits:?}");
    assert!(matches!(waits[1], (LimitScope::App, 4..=5)), "{waits:?}");
    assert_eq!(waits[2], (LimitScope::App, 3_600));
}

#[tokio::test]
async fn limits_are_read_from_refusals_as_well_and_by_the_server_s_clock() {
    let bench = bench().await;
    let answer = Canned::new(403, r#"{"title":"Forbidden","status":403}"#)
        .with("date", "Sun, 06 Nov 1994 08:49:37 GMT")
        .with("x-user-limit-24hour-remaining", "3")
        .with("x-user-limit-24hour-reset", "784111877");

    let failure = bench.failure(answer).await;

    assert_eq!(failure.limits.len(), 1);
    assert_eq!((failure.limits[0].scope, failure.limits[0].remaining), (LimitScope::Account, 3));
    assert_eq!(failure.limits[0].resets_in, Duration::from_secs(100));
}

#[tokio::test]
async fn without_limits_no_reading_is_told() {
    let bench = bench_with(|config| config.rate_limit = false).await;

    let published = bench.publish("text").await.expect("published");

    assert!(published.limits.is_empty());
    assert_eq!((bench.x.pace().app, bench.x.pace().account), (None, None));
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
        (Fault::NoData, FailureClass::Platform),
    ] {
        bench.server.set_faults(Faults::script([fault]));
        let failure = bench.publish(&format!("text {fault}")).await.expect_err("no receipt");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::Unknown), "{fault}");
    }
    assert_eq!(bench.server.ledger().creates, 6, "nothing was repeated");
}

#[tokio::test]
async fn a_connection_that_was_cut_does_not_spoil_the_next_call() {
    let bench = bench().await;
    bench.publish("warm").await.expect("published");
    bench.server.set_faults(Faults::script([Fault::CutAfter]));
    bench.publish("cut").await.expect_err("cut");

    bench.publish("after").await.expect("published");

    assert_eq!(bench.server.ledger().accepted.len(), 3);
}

#[tokio::test]
async fn without_a_connection_nothing_was_published() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}/2", closed.local_addr().expect("an address"));
    drop(closed);
    let bench = bench_with(|config| config.base_url = base_url).await;

    let failure = bench.publish("text").await.expect_err("no connection");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
    assert!(failure.message.starts_with("x could not be reached"), "{failure}");
}

#[tokio::test]
async fn a_refusal_that_is_cut_off_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}/2", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 4_096];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(read > 0);
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 100\r\n\r\n{\"title\":\"For")
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

    assert!(start.elapsed() <= bench.x.pace().send_timeout, "{:?}", start.elapsed());
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::Unknown));
    assert_eq!(failure.message, "x did not answer in time");
}

#[tokio::test]
async fn a_duplicate_is_marked() {
    let bench = bench().await;
    bench.server.set_faults("duplicates=1m".parse().expect("faults"));
    bench.publish("the same").await.expect("published");

    let failure = bench.publish("the same").await.expect_err("a duplicate");

    assert!(failure.duplicate);
    assert_eq!((failure.class, failure.outcome), (FailureClass::Content, Outcome::NotPublished));
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
        (
            400,
            r#"{"title":"Bad","detail":"Not allowed: our launch is on Tuesday at nine, tok-42"}"#,
        ),
        (403, r#"{"errors":[{"message":"duplicate of 'launch is on Tuesday' by Bearer tok-42"}]}"#),
        (200, r#"{"errors":[{"detail":"our launch is on Tuesday at nine"}]}"#),
        (503, "our launch is on Tuesday at nine tok-42"),
    ] {
        bench.server.answer(Target::Create, Canned::new(status, body));
        let failure = bench.publish(text).await.expect_err("a failure");
        let shown = format!("{failure} {failure:?} {}", serde_json::to_string(&failure).unwrap());
        assert!(!shown.contains("launch is on"), "{shown}");
        assert!(!shown.contains("tok-42"), "{shown}");
    }
    assert!(!format!("{:?} {:?}", bench.x, bench.who).contains("tok-42"));
}

#[tokio::test]
async fn whoami_asks_x() {
    let bench = bench().await;

    let me = bench.x.whoami(&r#"{"access_token":"tok-7"}"#.to_owned().into()).await.expect("me");
    assert_eq!((me.id.as_str(), me.username.as_deref()), ("7", Some("7")));

    let failure = bench.x.whoami(&"stale".to_owned().into()).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Auth);
    bench.server.answer(Target::Me, Canned::new(200, r#"{"data":{"id":"../1"}}"#));
    assert!(bench.x.whoami(&"tok-7".to_owned().into()).await.is_err());
}

#[tokio::test]
async fn texts_are_measured_as_x_counts() {
    let measured = |config: Config, text: &str| {
        let x = X::new(config).expect("an adapter");
        let Length { length, limit } = x.measure().expect("X counts").measure(text);
        (length, limit)
    };
    let link = "at https://example.com/a/very/long/path/that/counts/as/twenty-three";

    assert_eq!(measured(Config::default(), "ż日"), (3, 280));
    assert_eq!(measured(Config::default(), link), (3 + 23, 280));
    let premium = Config { max_length: 25_000, ..Config::default() };
    assert_eq!(measured(premium, ""), (0, 25_000));
}

#[tokio::test]
async fn violations_are_named_part_by_part() {
    let x = X::new(Config::default()).expect("an adapter");
    let media = MediaRef { source: "a.png".into(), alt: None };
    let parts = [
        Part::text("fine"),
        Part::text("x".repeat(281)),
        Part { text: "pic".into(), media: vec![media; 5] },
        Part::text(" \n"),
        Part::text("a\u{FEFF}b"),
    ];

    let told: Vec<(u16, String)> = x
        .validate(parts.as_slice().into())
        .into_iter()
        .map(|violation| (violation.part, violation.message))
        .collect();

    let expected = [
        (1, "the text is 281 long as X counts, at most 280"),
        (2, "5 media files, at most 4"),
        (3, "the text is empty"),
        (4, "the text contains U+FEFF, which X refuses"),
    ];
    assert_eq!(told, expected.map(|(part, message)| (part, message.to_owned())));
    assert_eq!(x.validate((&[][..]).into()).len(), 1);
    assert_eq!(x.validate(vec![Part::text("x"); 101].as_slice().into()).len(), 1);
    let long = X::new(Config { max_length: 25_000, ..Config::default() }).expect("an adapter");
    assert!(long.validate(parts[1..2].into()).is_empty());
}

#[tokio::test]
async fn media_that_was_not_uploaded_is_not_sent() {
    let bench = bench().await;
    let intent = intent("text");
    let media = [MediaRef { source: "a.png".into(), alt: None }];
    let part = postq_core::platform::Outgoing {
        part: 0,
        of: 1,
        text: &intent.text,
        options: &NO_OPTIONS,
        media: &media,
        prepared: &[],
        container: None,
        reply_to: None,
        thread: None,
        key: &intent.key,
    };

    let failure = bench.x.publish(&bench.who, part).await.expect_err("media");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Internal, Outcome::NotPublished));
    assert!(bench.server.seen().is_empty());
}
