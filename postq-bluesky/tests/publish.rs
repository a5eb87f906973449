//! The one write: what is sent, what comes of every kind of answer, and that a part is out once.

mod support;

use std::time::{Duration, Instant};

use fake_bluesky::{Canned, Fault, Refuses};
use postq_bluesky::{Bluesky, Config};
use postq_core::content::MediaRef;
use postq_core::failure::{FailureClass, LimitScope, Outcome};
use postq_core::intent::Intent;
use postq_core::options::NO_OPTIONS;
use postq_core::platform::Platform;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use support::{PUT, bench, bench_with, cannot_tell, found, intent, now, options, outgoing, who};

#[tokio::test]
async fn a_post_is_sent_as_the_lexicon_has_it() {
    let bench = bench().await;
    let mut intent = intent("Hello & <world>\n\"日本\"");
    let made_at = "2026-11-22T03:00:00.000Z".parse().expect("a time");
    intent.container =
        Some(bench.stage(outgoing(&intent), made_at).await.expect("staged").remote_id);

    bench.send(&intent).await.expect("published");

    let seen = bench.server.seen();
    assert_eq!(seen.len(), 1, "one call");
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("POST", "/xrpc/com.atproto.repo.putRecord")
    );
    let body = bench.bodies(PUT).remove(0);
    let rkey = body["rkey"].as_str().expect("a key").to_owned();
    let expected = json!({
        "repo": bench.did,
        "collection": "app.bsky.feed.post",
        "rkey": rkey,
        "record": {
            "$type": "app.bsky.feed.post",
            "text": "Hello & <world>\n\"日本\"",
            "createdAt": "2026-11-22T03:00:00.000Z",
        },
        "swapRecord": null,
    });
    assert_eq!(body, expected);
    let header = |name: &str| {
        let own = seen[0].headers.iter().filter(|(own, _)| own == name);
        own.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(header("authorization").len(), 1);
    assert!(header("authorization")[0].starts_with("Bearer e30."), "the token alone");
    assert_eq!(header("content-type"), ["application/json"]);
    assert_eq!(header("user-agent").len(), 1);
}

#[tokio::test]
async fn every_option_has_its_place() {
    let bench = bench().await;
    let told = options(
        r#"{"langs":["en","de"],"labels":["sexual"],"tags":["rust"],"card_url":"https://a.example/b",
            "card_title":"A title","card_description":"What it is"}"#,
    );
    let first = Intent { options: told, ..intent("one") };
    let parent = bench.send(&first).await.expect("published").receipt.remote_id;

    let record = bench.last();
    assert_eq!(record["langs"], json!(["en", "de"]));
    let labels =
        json!({ "$type": "com.atproto.label.defs#selfLabels", "values": [{ "val": "sexual" }] });
    assert_eq!(record["labels"], labels);
    assert_eq!(record["tags"], json!(["rust"]));
    let card = json!({
        "$type": "app.bsky.embed.external",
        "external": { "uri": "https://a.example/b", "title": "A title", "description": "What it is" },
    });
    assert_eq!(record["embed"], card);

    let second = Intent { part: 1, reply_to: Some(parent), text: "two".into(), ..first.clone() };
    let key = postq_core::intent::PlatformKey::derive(first.job, 1);
    bench.send(&Intent { key, ..second }).await.expect("published");
    let record = bench.last();
    assert_eq!(record["langs"], json!(["en", "de"]));
    assert_eq!(record["labels"], labels);
    assert!(record.get("tags").is_none() && record.get("embed").is_none(), "{record}");
}

#[tokio::test]
async fn a_card_needs_no_title() {
    let bench = bench().await;
    let told = options(r#"{"card_url":"https://a.example/b?c=d"}"#);

    bench.send(&Intent { options: told, ..intent("") }).await.expect("published");

    let external =
        json!({ "uri": "https://a.example/b?c=d", "title": "a.example", "description": "" });
    assert_eq!(bench.last()["embed"]["external"], external);
    assert_eq!(bench.last()["text"], "");
}

#[tokio::test]
async fn links_mentions_and_tags_are_said_by_their_bytes() {
    let bench = bench().await;
    let bob = bench.server.add_user("bob.test", "pw");
    let text = "\u{1f469}\u{200d}\u{1f680} @bob.test @nobody.test: https://a.example/é #日本";

    bench.publish(text).await.expect("published");

    let facets = bench.last()["facets"].clone();
    let told: Vec<(&str, Value)> = facets
        .as_array()
        .expect("facets")
        .iter()
        .map(|facet| {
            let at = |end: &str| {
                usize::try_from(facet["index"][end].as_u64().expect("bytes")).expect("small")
            };
            (&text[at("byteStart")..at("byteEnd")], facet["features"].clone())
        })
        .collect();
    let expected = [
        ("@bob.test", json!([{ "$type": "app.bsky.richtext.facet#mention", "did": bob }])),
        (
            "https://a.example/é",
            json!([{ "$type": "app.bsky.richtext.facet#link", "uri": "https://a.example/é" }]),
        ),
        ("#日本", json!([{ "$type": "app.bsky.richtext.facet#tag", "tag": "日本" }])),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_thread_names_its_root_and_its_parent() {
    let bench = bench().await;
    let root = bench.publish("one").await.expect("published").receipt.remote_id;
    let parent = bench.publish("two").await.expect("published").receipt.remote_id;
    let third = intent("three");
    let part = postq_core::platform::Outgoing {
        part: 2,
        reply_to: Some(&parent),
        thread: Some(&root),
        ..outgoing(&third)
    };

    bench.bluesky.publish(&bench.who, part).await.expect("published");

    let strong = |id: &str| {
        let (uri, cid) = id.rsplit_once('#').expect("a remote id");
        json!({ "uri": uri, "cid": cid })
    };
    let expected = json!({ "root": strong(&root), "parent": strong(&parent) });
    assert_eq!(bench.last()["reply"], expected);

    let lost = postq_core::platform::Outgoing { reply_to: Some("at://x"), ..part };
    let failure = bench.bluesky.publish(&bench.who, lost).await.expect_err("no parent");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Internal, Outcome::NotPublished));
}

#[tokio::test]
async fn a_receipt_has_id_address_and_time() {
    let bench = bench().await;
    let before = now() - Duration::from_millis(2);

    let published = bench.publish("text").await.expect("published");

    let (receipt, post) = (published.receipt, &bench.server.ledger().posts[0]);
    assert_eq!(receipt.remote_id, post.remote_id());
    let rkey = post.uri.rsplit('/').next().expect("a key");
    let url = format!("https://bsky.app/profile/{}/post/{rkey}", bench.did);
    assert_eq!(receipt.url, Some(url));
    assert!(receipt.published_at >= before && receipt.published_at <= now());
    assert!(!receipt.dry_run);
    let limit = &published.limits[0];
    assert_eq!((limit.scope, limit.remaining), (LimitScope::Account, 4_997 / 3));
    assert!((3_590..=3_600).contains(&limit.resets_in.as_secs()), "{limit:?}");
}

#[tokio::test]
async fn without_limits_none_are_told_or_kept() {
    let bench = bench_with(|config| config.rate_limit = false).await;

    assert!(bench.publish("text").await.expect("published").limits.is_empty());

    assert_eq!((bench.bluesky.pace().account, bench.bluesky.pace().daily), (None, None));
    let pace = Bluesky::new(Config::default()).expect("an adapter").pace();
    assert_eq!(pace.daily.map(u32::from), Some(11_666));
    assert!(pace.account.is_some() && pace.app.is_none());
}

/// Every attempt at a part is the same write, whoever makes it and when.
#[tokio::test]
async fn the_same_part_again_is_the_same_post() {
    let bench = bench().await;
    let mut intent = intent("once");
    intent.container = Some(bench.stage(outgoing(&intent), now()).await.expect("staged").remote_id);
    let first = bench.send(&intent).await.expect("published").receipt;

    let (again, later) = tokio::join!(bench.send(&intent), bench.send(&intent));

    for receipt in [again, later].map(|sent| sent.expect("a success").receipt) {
        assert_eq!(receipt.remote_id, first.remote_id);
    }
    let ledger = bench.server.ledger();
    assert_eq!((ledger.posts.len(), ledger.writes, ledger.repeats), (1, 3, 2));
    let bodies = bench.bodies(PUT);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "byte for byte the same record");
}

/// What was not staged, or was staged anew, says another time: the first one stays.
#[tokio::test]
async fn another_time_of_making_changes_nothing() {
    let bench = bench().await;
    let intent = intent("once");
    let first = bench.send(&intent).await.expect("published").receipt;
    tokio::time::sleep(Duration::from_millis(5)).await;

    let again = bench.send(&intent).await.expect("it is out").receipt;

    assert_eq!((again.remote_id, again.url), (first.remote_id, first.url));
    assert_eq!(again.published_at, first.published_at);
    assert_eq!(bench.server.ledger().posts.len(), 1);
    let bodies = bench.bodies(PUT);
    assert_ne!(bodies[0]["record"]["createdAt"], bodies[1]["record"]["createdAt"]);
}

#[tokio::test]
async fn nothing_else_under_the_key_is_overwritten() {
    let bench = bench().await;
    let intent = intent("as it was planned");
    bench.send(&intent).await.expect("published");
    let edited = Intent { text: "as it was edited".into(), ..intent.clone() };

    let failure = bench.send(&edited).await.expect_err("another text is there");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::Unknown));
    assert!(failure.duplicate);
    assert_eq!(bench.last()["text"], "as it was planned");
    let look = bench.look(&edited).await.expect("a look");
    assert!(cannot_tell(&look).contains("is not what was sent"), "{look:?}");
}

#[tokio::test]
async fn whatever_becomes_of_the_answer_there_is_one_post() {
    for fault in [
        Fault::CutAfter,
        Fault::HangAfter,
        Fault::UnavailableAfter,
        Fault::NoData,
        Fault::CutBefore,
        Fault::UnavailableBefore,
        Fault::Late,
    ] {
        let bench = bench_with(|config| config.send_timeout = Duration::from_millis(600)).await;
        bench.server.meet([fault]);
        let intent = intent("exactly once");

        let failure = bench.send(&intent).await.expect_err("no answer");
        assert_eq!(failure.outcome, Outcome::Unknown, "{fault:?}: {failure}");
        // At worst nobody looks and everybody sends again, before a late one comes in or after it.
        for _ in 0..2 {
            bench.send(&intent).await.expect("it is out");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }

        let posts = bench.server.ledger().posts;
        assert_eq!(posts.len(), 1, "{fault:?}");
        let look = bench.look(&intent).await.expect("a look");
        assert_eq!(found(&look), posts[0].remote_id(), "{fault:?}");
    }
}

/// The server says that somebody was faster. It was this very call.
#[tokio::test]
async fn a_conflict_with_itself_is_a_success() {
    let bench = bench().await;
    bench.server.meet([Fault::SwapAfter]);

    let receipt = bench.publish("text").await.expect("published").receipt;

    assert_eq!(receipt.remote_id, bench.server.ledger().posts[0].remote_id());
    bench.server.answer(PUT, Canned::error(400, "InvalidSwap", "Record was at bafy"));
    let failure = bench.publish("never written").await.expect_err("nothing is there");
    assert_eq!(failure.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn success_that_names_another_record_is_unknown() {
    let bench = bench().await;
    let other = format!("at://{}/app.bsky.feed.post/3jzfcijpj2z2a", bench.did);
    for body in [
        String::new(),
        "{}".into(),
        json!({ "uri": other, "cid": "bafyreia" }).to_string(),
        json!({ "uri": other }).to_string(),
        json!({ "uri": "at://x", "cid": 5 }).to_string(),
        "x".repeat(300_000),
    ] {
        let failure = bench.failure(Canned::new(200, body)).await;
        assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, Outcome::Unknown));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let bench = bench().await;
    let elsewhere = bench.server.url() + "/xrpc/com.atproto.server.getSession";

    let failure = bench.failure(Canned::new(307, "").with("location", &elsewhere)).await;

    assert_eq!(failure.outcome, Outcome::Unknown);
    assert_eq!(bench.server.seen().len(), 1);
}

#[tokio::test]
async fn a_wait_is_told() {
    let bench = bench().await;
    bench.server.meet([Fault::Limited]);

    let failure = bench.publish("text").await.expect_err("limited");

    assert_eq!((failure.class, failure.outcome), (FailureClass::RateLimit, Outcome::NotPublished));
    let wait = failure.wait.expect("a wait");
    assert_eq!(wait.scope, LimitScope::Account);
    assert!((1..=2).contains(&wait.for_.as_secs()), "{wait:?}");
    assert_eq!(failure.limits[0].remaining, 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_got_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut bench = bench().await;
    let secret = format!("{} http://{address} e30.e30.c2ln", bench.did);
    bench.who = who(&secret, Some(&bench.did));

    let failure = bench.publish("text").await.expect_err("nobody is there");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
}

#[tokio::test]
async fn an_ended_session_is_a_matter_of_the_account() {
    let bench = bench().await;
    bench.server.expire_access();

    let failure = bench.publish("text").await.expect_err("refused");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::NotPublished));
    assert!(failure.message.contains("ExpiredToken"), "{failure}");
}

#[tokio::test]
async fn a_session_is_used_for_its_own_account_alone() {
    let mut bench = bench().await;
    let bob = bench.server.add_user("bob.test", "pw");
    let alices = bench.server.session(&bench.did);

    bench.who = who(&alices, Some(&bob));
    let failure = bench.publish("text").await.expect_err("bob's account, alice's session");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Auth, Outcome::NotPublished));
    assert!(bench.server.seen().is_empty());

    // A bare token: the service is asked whose it is.
    let token = alices.rsplit(' ').next().expect("a token").to_owned();
    bench.who = who(&token, None);
    let receipt = bench.publish("text").await.expect("published").receipt;
    assert!(receipt.remote_id.contains(&bench.did));
    let whoami = bench.bluesky.whoami(&token.into()).await.expect("whose");
    assert_eq!((whoami.did, whoami.handle.as_deref()), (bench.did.clone(), Some("alice.test")));
}

#[tokio::test]
async fn a_call_ends_in_time_however_many_it_takes() {
    let bench = bench_with(|config| config.send_timeout = Duration::from_millis(400)).await;
    bench.server.meet([Fault::HangAfter]);
    let start = Instant::now();

    let failure = bench.publish("hi @a.test @b.test @c.test").await.expect_err("no answer");

    assert_eq!(failure.outcome, Outcome::Unknown);
    assert!(start.elapsed() < Duration::from_millis(650), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_a_card_says_is_kept_out_of_failures() {
    let bench = bench().await;
    let card = options(
        r#"{"card_url":"https://a.example/a-secret-page","card_title":"A secret plan of ours",
            "card_description":"Nobody must know of it"}"#,
    );
    let words =
        "bad: A secret plan of ours, Nobody must know of it, https://a.example/a-secret-page";
    bench.server.answer(PUT, Canned::error(400, "InvalidRequest", words));

    let failure = bench.send(&Intent { options: card, ..intent("text") }).await.expect_err("no");

    assert_eq!(failure.message, "bluesky refused it (400): InvalidRequest: bad: …, …, …");
}

/// A page of a proxy says nothing of the account, and nothing of the post.
#[tokio::test]
async fn what_stands_before_the_server_stops_no_account() {
    let bench = bench().await;
    for (status, outcome) in
        [(403, Outcome::NotPublished), (200, Outcome::Unknown), (502, Outcome::Unknown)]
    {
        let page = Canned::new(status, "<html><title>Just a moment</title></html>");
        let failure = bench.failure(page.with("content-type", "text/html")).await;
        assert_eq!((failure.class, failure.outcome), (FailureClass::Platform, outcome), "{status}");
    }
}

#[tokio::test]
async fn failures_are_told_without_the_text() {
    let bench = bench().await;
    let text = "Our launch is on Tuesday at nine, tell nobody";
    bench.server.answer(PUT, Canned::error(400, "InvalidRequest", &format!("bad text: {text}")));

    let failure = bench.publish(text).await.expect_err("refused");

    assert_eq!(failure.message, "bluesky refused it (400): InvalidRequest: bad text: …");
}

#[tokio::test]
async fn media_that_was_not_uploaded_is_not_left_out() {
    let bench = bench().await;
    let media = [MediaRef { source: "cat.png".into(), alt: None }];
    let intent = intent("look");
    let part =
        postq_core::platform::Outgoing { media: &media, options: &NO_OPTIONS, ..outgoing(&intent) };

    let failure = bench.bluesky.publish(&bench.who, part).await.expect_err("not uploaded");

    assert_eq!((failure.class, failure.outcome), (FailureClass::Internal, Outcome::NotPublished));
    assert!(bench.server.seen().is_empty());
}

/// A server of the test's own refuses what the lexicon does not have: or it would prove nothing.
#[tokio::test]
async fn the_test_server_refuses_unknown_fields() {
    let support::Bench { server, did, .. } = bench().await;
    let token = server.session(&did).rsplit(' ').next().expect("a token").to_owned();
    let put = async |record: Value| {
        let body = json!({
            "repo": did, "collection": "app.bsky.feed.post", "rkey": "3jzfcijpj2z2a",
            "record": record, "swapRecord": null,
        });
        let request = reqwest::Client::new()
            .post(format!("{}/xrpc/{PUT}", server.url()))
            .header("authorization", format!("Bearer {token}"))
            .json(&body);
        request.send().await.expect("an answer").status().as_u16()
    };
    let good =
        json!({ "$type": "app.bsky.feed.post", "text": "a", "createdAt": "2026-11-22T03:00:00Z" });
    for (name, value) in [
        ("via", json!("postq")),
        ("createdAt", json!("today")),
        ("langs", json!(["a", "b", "c", "d"])),
        ("facets", json!([])),
        ("text", json!("a".repeat(301))),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert_eq!(put(bad).await, 400, "{name}");
    }
    assert_eq!(put(good).await, 200);
}
