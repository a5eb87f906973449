//! Looking for a post again.

mod support;

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use fake_x::{Canned, Dialect, Fault, Faults, Target};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::platform::{Look, Reconcile};
use postq_x::Fields;

use support::{bench, bench_with, cannot_tell, found, intent, now, reply};

/// A post in a list, created now, with further fields of its object.
fn shown(id: &str, text: &str, more: &str) -> String {
    let text = serde_json::to_string(text).expect("JSON");
    let at = now().to_rfc3339_opts(SecondsFormat::Millis, true);
    format!(r#"{{"id":"{id}","text":{text},"created_at":"{at}"{more}}}"#)
}

#[tokio::test]
async fn what_was_cut_after_accepting_is_found() {
    let bench = bench().await;
    for text in [
        "plain",
        "a < b & c > d",
        "see https://example.com/path?a=1&b=2 now",
        "日本 🇯🇵",
        "  spaces  ",
    ] {
        let intent = intent(text);
        bench.server.set_faults(Faults::script([Fault::CutAfter]));
        bench.send(&intent).await.expect_err("cut");

        let look = bench.look(&intent).await.expect("a look");

        let accepted = bench.server.ledger().accepted;
        let last = accepted.last().expect("accepted");
        assert_eq!(found(&look), last.id, "{text}");
        let Look::Found(receipt) = look else { unreachable!() };
        assert!((receipt.published_at - last.accepted_at).num_milliseconds().abs() <= 1);
        assert_eq!(receipt.url, Some(format!("https://x.com/i/web/status/{}", last.id)));
    }
    assert_eq!(bench.server.ledger().creates, 5, "looking sends nothing");
}

#[tokio::test]
async fn what_never_came_in_is_absent() {
    let bench = bench().await;
    bench.publish("something else").await.expect("published");
    let intent = intent("mine");
    bench.server.set_faults(Faults::script([Fault::CutBefore]));
    bench.send(&intent).await.expect_err("cut");

    assert_eq!(bench.look(&intent).await, Ok(Look::Absent));
}

#[tokio::test]
async fn an_account_without_posts_is_absent() {
    let bench = bench().await;

    assert_eq!(bench.look(&intent("mine")).await, Ok(Look::Absent));
}

#[tokio::test]
async fn a_hidden_post_is_found_when_it_shows() {
    let bench = bench().await;
    bench.server.set_faults("hide=300ms,script=cut_after".parse().expect("faults"));
    let intent = intent("mine");
    bench.send(&intent).await.expect_err("cut");

    assert_eq!(bench.look(&intent).await, Ok(Look::Absent));
    let shown = async {
        loop {
            if let Look::Found(receipt) = bench.look(&intent).await.expect("a look") {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let receipt = tokio::time::timeout(Duration::from_secs(5), shown).await.expect("it shows");
    assert_eq!(receipt.remote_id, bench.server.ledger().accepted[0].id);
}

#[tokio::test]
async fn a_claimed_post_is_not_the_one() {
    let bench = bench().await;
    let theirs = bench.publish("the same").await.expect("published").receipt.remote_id;
    let intent = intent("the same");

    assert_eq!(bench.look_besides(&intent, &[&theirs]).await, Ok(Look::Absent));

    let ours = bench.send(&intent).await.expect("published").receipt.remote_id;
    let look = bench.look_besides(&intent, &[&theirs]).await.expect("a look");
    assert_eq!(found(&look), ours);
}

#[tokio::test]
async fn of_two_that_are_the_same_the_older_is_found() {
    let bench = bench().await;
    let intent = intent("the same");
    let first = bench.publish("the same").await.expect("published").receipt.remote_id;
    bench.publish("the same").await.expect("published");

    assert_eq!(found(&bench.look(&intent).await.expect("a look")), first);
}

#[tokio::test]
async fn a_near_match_cannot_be_told() {
    let bench = bench().await;
    let theirs = bench.publish("Good morning, world!").await.expect("published").receipt.remote_id;
    let intent = intent("good morning world");

    let look = bench.look(&intent).await.expect("a look");

    assert!(cannot_tell(&look).contains(&theirs), "{look:?}");
    assert!(!cannot_tell(&look).to_lowercase().contains("morning"), "{look:?}");
    assert_eq!(bench.look_besides(&intent, &[&theirs]).await, Ok(Look::Absent));
}

#[tokio::test]
async fn a_reply_is_told_by_its_parent() {
    let bench = bench().await;
    let one = bench.publish("one").await.expect("published").receipt.remote_id;
    let two = bench.publish("two").await.expect("published").receipt.remote_id;
    let to_one = bench.send(&reply("again", &one)).await.expect("published").receipt.remote_id;
    let to_two = bench.send(&reply("again", &two)).await.expect("published").receipt.remote_id;

    assert_eq!(found(&bench.look(&reply("again", &one)).await.expect("a look")), to_one);
    assert_eq!(found(&bench.look(&reply("again", &two)).await.expect("a look")), to_two);
    assert_eq!(bench.look(&intent("again")).await, Ok(Look::Absent));
    assert_eq!(bench.look(&reply("again", &to_one)).await, Ok(Look::Absent));
    // X does not show what this one answers, if anything.
    let look = bench.look_at(&reply("more", &one), &shown("9", "more", "")).await;
    cannot_tell(&look);
}

#[tokio::test]
async fn posts_outside_the_window_are_not_the_one() {
    let bench = bench().await;
    bench.publish("mine").await.expect("published");
    let mut intent = intent("mine");
    // The window ends 10 s after the time-out (5 s) and the settle time (1 s).
    intent.made_at = now() - TimeDelta::seconds(17);
    assert_eq!(bench.look(&intent).await, Ok(Look::Absent), "too young");
    intent.made_at = now() + TimeDelta::seconds(12);
    assert_eq!(bench.look(&intent).await, Ok(Look::Absent), "too old");
    intent.made_at = now() + TimeDelta::seconds(8);
    found(&bench.look(&intent).await.expect("a look"));
}

#[tokio::test]
async fn the_window_follows_x_s_clock() {
    let bench = bench().await;
    let intent = intent("mine");
    let theirs = now() - TimeDelta::seconds(60);
    let list = |at: chrono::DateTime<chrono::Utc>| {
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Canned::new(
            200,
            format!(r#"{{"data":[{{"id":"7","text":"mine","created_at":"{at}"}}],"meta":{{}}}}"#),
        )
        .with("date", &httpdate::fmt_http_date(theirs.into()))
    };

    bench.server.answer(Target::List, list(theirs));
    assert_eq!(found(&bench.look(&intent).await.expect("a look")), "7");
    // The clock that answers need not be the one that dates posts.
    bench.server.answer(Target::List, list(now()));
    let look = bench.look(&intent).await.expect("a look");
    assert!(cannot_tell(&look).contains("much like it"), "{look:?}");
    bench.server.answer(Target::List, list(now() + TimeDelta::minutes(5)));
    assert_eq!(bench.look(&intent).await, Ok(Look::Absent));

    let hour = httpdate::fmt_http_date((now() - TimeDelta::hours(1)).into());
    bench.server.answer(
        Target::List,
        Canned::new(200, r#"{"meta":{"result_count":0}}"#).with("date", &hour),
    );
    let look = bench.look(&intent).await.expect("a look");
    assert!(cannot_tell(&look).contains("clock"), "{look:?}");
}

#[tokio::test]
async fn what_x_makes_of_links_and_media_is_undone() {
    let bench = bench().await;
    let entities = r#","entities":{"urls":[
        {"url":"https://t.co/a","expanded_url":"https://example.com"},
        {"url":"https://t.co/b","expanded_url":"http://bare.org/x?y=1&z=2"},
        {"url":"https://t.co/m","expanded_url":"https://x.com/u/status/5/photo/1"},
        {"url":"https://t.co/k","expanded_url":"https://example.net","media_key":"3_1"}]}"#;
    let text =
        "see https://t.co/a and https://t.co/b &amp; &lt;more&gt; https://t.co/m https://t.co/k";

    let look = bench
        .look_at(
            &intent("see https://example.com/ and bare.org/x?y=1&z=2 & <more>"),
            &shown("5", text, entities),
        )
        .await;

    assert_eq!(found(&look), "5");
}

#[tokio::test]
async fn long_posts_are_read_from_their_note_in_both_dialects() {
    let bench = bench().await;
    let long = "every word counts ".repeat(30).trim().to_owned();
    let cut = format!("{}…", &long[..270]);
    for name in ["note_tweet", "note_post"] {
        let more = format!(r#","{name}":{{"text":"{long}"}}"#);
        assert_eq!(found(&bench.look_at(&intent(&long), &shown("5", &cut, &more)).await), "5");
    }
    cannot_tell(&bench.look_at(&intent(&long), &shown("5", &cut, "")).await);
}

#[tokio::test]
async fn replies_are_read_in_both_dialects() {
    let bench = bench().await;
    for name in ["referenced_tweets", "referenced_posts"] {
        let more = format!(r#","{name}":[{{"type":"replied_to","id":"1"}}]"#);
        assert_eq!(found(&bench.look_at(&reply("two", "1"), &shown("5", "two", &more)).await), "5");
    }
}

#[tokio::test]
async fn the_dialect_is_found_out_once() {
    let bench = bench().await;
    bench.server.set_faults(Faults { dialect: Dialect::Post, ..Faults::default() });
    let first = bench.publish("one").await.expect("published").receipt.remote_id;
    let answer = bench.send(&reply("two", &first)).await.expect("published").receipt.remote_id;

    for _ in 0..2 {
        assert_eq!(found(&bench.look(&reply("two", &first)).await.expect("a look")), answer);
    }

    let lists =
        bench.server.seen().into_iter().filter(|seen| seen.method == "GET").collect::<Vec<_>>();
    let newer: Vec<bool> = lists.iter().map(|seen| seen.target.contains("post.fields")).collect();
    assert_eq!(newer, [false, true, true]);
}

/// By the newer names it is no field: a server that knows them refuses it among the fields.
#[tokio::test]
async fn what_a_post_answers_is_expanded_by_the_newer_names() {
    let bench = bench_with(|config| config.fields = Fields::Post).await;
    bench.server.set_faults(Faults { dialect: Dialect::Post, ..Faults::default() });
    let first = bench.publish("one").await.expect("published").receipt.remote_id;
    let answer = bench.send(&reply("two", &first)).await.expect("published").receipt.remote_id;

    assert_eq!(found(&bench.look(&reply("two", &first)).await.expect("a look")), answer);
    assert_eq!(bench.look(&reply("two", "77")).await.expect("a look"), Look::Absent);

    let seen = bench.server.seen();
    let lists: Vec<_> = seen.iter().filter(|seen| seen.method == "GET").collect();
    assert!(lists.iter().all(|seen| seen.target.contains("&expansions=referenced_posts")));
    assert!(lists.iter().all(|seen| seen.target.matches("referenced_posts").count() == 1));
}

#[tokio::test]
async fn a_list_is_whole_without_a_post_that_one_of_it_answers() {
    let bench = bench().await;
    let gone = |parameter: &str| {
        let gone = format!(r#"{{"parameter":"{parameter}","value":"9","type":"x"}}"#);
        let body = format!(r#"{{"meta":{{"result_count":0}},"errors":[{gone}]}}"#);
        bench.server.answer(Target::List, Canned::new(200, body));
    };

    gone("referenced_posts");
    assert_eq!(bench.look(&intent("mine")).await.expect("a look"), Look::Absent);
    gone("ids");
    cannot_tell(&bench.look(&intent("mine")).await.expect("a look"));
}

#[tokio::test]
async fn a_dialect_that_is_set_is_kept() {
    for (fields, own) in [(Fields::Tweet, "tweet.fields="), (Fields::Post, "post.fields=")] {
        let bench = bench_with(|config| config.fields = fields).await;
        let look = bench.look(&intent("mine")).await;

        let seen = bench.server.seen();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].target.contains(own), "{}", seen[0].target);
        assert_eq!(look.is_ok(), fields == Fields::Tweet, "the server knows only tweet.fields");
    }
}

#[tokio::test]
async fn a_list_is_asked_for_from_before_the_intent() {
    let bench = bench().await;
    let mut intent = intent("mine");
    intent.made_at = "2026-01-02T03:04:05.678901Z".parse().expect("a time");

    bench.look(&intent).await.expect("a look");

    let target = &bench.server.seen()[0].target;
    assert!(target.starts_with("/2/users/42/tweets?max_results=100&"), "{target}");
    assert!(target.contains("start_time=2026-01-02T02%3A48%3A55Z"), "{target}");
    assert!(target.contains("exclude=retweets"), "{target}");
}

#[tokio::test]
async fn all_pages_are_read() {
    let bench = bench().await;
    let intent = intent("mine");
    let ours = bench.send(&intent).await.expect("published").receipt.remote_id;
    for n in 0..150 {
        bench.publish(&format!("other {n}")).await.expect("published");
    }

    assert_eq!(found(&bench.look(&intent).await.expect("a look")), ours);
    assert_eq!(bench.look(&support::intent("never")).await, Ok(Look::Absent));
}

#[tokio::test]
async fn a_list_that_does_not_reach_back_cannot_tell() {
    let bench = bench().await;
    let intent = intent("mine");
    for page in 0..5 {
        let post = shown(&format!("{page}"), &format!("other {page}"), "");
        let body =
            format!(r#"{{"data":[{post}],"meta":{{"result_count":1,"next_token":"t{page}"}}}}"#);
        bench.server.answer(Target::List, Canned::new(200, body));
    }

    let look = bench.look(&intent).await.expect("a look");

    assert!(cannot_tell(&look).contains("does not reach back"), "{look:?}");
    assert_eq!(bench.server.seen().len(), 5, "and no further");
}

#[tokio::test]
async fn a_list_with_errors_or_too_large_cannot_tell() {
    let bench = bench().await;
    let huge = format!(r#"{{"meta":{{"result_count":0}},"filler":"{}"}}"#, "x".repeat(1_100_000));
    for body in [r#"{"meta":{"result_count":0},"errors":[{"title":"Odd"}]}"#, "{}", &huge] {
        bench.server.answer(Target::List, Canned::new(200, body));
        cannot_tell(&bench.look(&intent("mine")).await.expect("a look"));
    }
}

#[tokio::test]
async fn a_look_that_fails_never_says_that_nothing_was_published() {
    let bench = bench().await;
    for (status, class) in [
        (401, FailureClass::Auth),
        (403, FailureClass::Platform),
        (404, FailureClass::Platform),
        (429, FailureClass::RateLimit),
        (503, FailureClass::Platform),
    ] {
        bench.server.answer(Target::List, Canned::new(status, "{}"));
        let failure = bench.look(&intent("mine")).await.expect_err("a failure");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::Unknown), "{status}");
        assert!(failure.limits.is_empty());
    }
    bench.server.answer(Target::List, Canned::new(200, "<html>"));
    assert!(bench.look(&intent("mine")).await.is_err());
    let gone = bench_with(|config| config.base_url = "http://127.0.0.1:1/2".into()).await;
    let failure = gone.look(&intent("mine")).await.expect_err("no connection");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::Unknown));
}

#[tokio::test]
async fn an_unknown_user_is_asked_for_first() {
    let mut bench = bench().await;
    let intent = intent("mine");
    let ours = bench.send(&intent).await.expect("published").receipt.remote_id;
    bench.who.remote_id = None;

    assert_eq!(found(&bench.look(&intent).await.expect("a look")), ours);
    let targets: Vec<String> = bench.server.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets[1], "/2/users/me");

    bench.who.remote_id = Some("../me".into());
    assert_eq!(bench.look(&intent).await.expect_err("no id").class, FailureClass::Auth);
}

#[tokio::test]
async fn a_look_ends_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}/2", silent.local_addr().expect("an address"));
    let mute = bench_with(|config| {
        config.base_url = base_url;
        config.send_timeout = Duration::from_millis(300);
    })
    .await;

    let look = tokio::time::timeout(Duration::from_secs(2), mute.look(&intent("mine"))).await;

    assert_eq!(look.expect("in time").expect_err("no answer").class, FailureClass::Network);
    assert_eq!(mute.x.settle_time(), Duration::from_secs(1));
}
