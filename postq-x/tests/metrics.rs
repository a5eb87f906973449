//! Reading metrics, over HTTP.

mod support;

use chrono::TimeDelta;
use fake_x::{Canned, Dialect, Faults, Seen, Standing, Target};
use postq_core::failure::FailureClass;
use postq_core::platform::{Asked, Counts, Fetched, Metrics, Platform};
use postq_x::Group;

use crate::support::{Bench, bench, bench_with, now};

fn counts(pairs: &[(&str, u64)]) -> Counts {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// A post that is out, came out so many days ago as far as we know, and has been counted.
async fn out(bench: &Bench, text: &str, days: i64, likes: u64) -> Asked {
    let published = bench.publish(text).await.expect("it is out");
    let remote_id = published.receipt.remote_id;
    let public = counts(&[("like_count", likes), ("retweet_count", 2), ("impression_count", 50)]);
    bench.server.count(&remote_id, public, counts(&[("url_link_clicks", 4)]));
    Asked { remote_id, published_at: now() - TimeDelta::days(days) }
}

async fn fetch(bench: &Bench, asked: &[Asked]) -> Vec<Fetched> {
    bench.x.fetch(&bench.who, asked, now()).await.expect("an answer")
}

fn reads(bench: &Bench) -> Vec<Seen> {
    let seen = bench.server.seen();
    seen.into_iter().filter(|seen| seen.target.starts_with("/2/tweets?")).collect()
}

#[tokio::test]
async fn a_batch_is_one_call_and_each_has_its_own_answer() {
    let bench = bench().await;
    let mut asked = Vec::new();
    for n in 0..100u64 {
        asked.push(out(&bench, &format!("post {n}"), 1, n).await);
    }
    bench.server.set_standing(&asked[3].remote_id, Standing::Deleted);
    bench.server.set_standing(&asked[5].remote_id, Standing::Hidden);

    let told = fetch(&bench, &asked).await;

    assert_eq!(reads(&bench).len(), 1);
    assert_eq!((&told[3], &told[5]), (&Fetched::Gone, &Fetched::Hidden));
    for (n, told) in told.iter().enumerate().filter(|(n, _)| ![3, 5].contains(n)) {
        let public =
            counts(&[("like_count", n as u64), ("repost_count", 2), ("impression_count", 50)]);
        let private = counts(&[("url_link_clicks", 4)]);
        assert_eq!(*told, Fetched::Counts { public, private }, "{n}");
    }
    assert_eq!((bench.x.batch(), bench.x.metrics().is_some()), (100, true));
}

#[tokio::test]
async fn an_old_post_is_not_asked_what_only_its_author_is_told() {
    let bench = bench().await;
    let (young, old) = (out(&bench, "young", 29, 1).await, out(&bench, "old", 31, 2).await);

    let told = fetch(&bench, &[old, young]).await;

    let privates = told.iter().map(|told| match told {
        Fetched::Counts { private, .. } => private.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(privates.collect::<Vec<_>>(), [0, 1]);
    let seen = reads(&bench);
    assert_eq!(seen.len(), 2);
    let private = seen.iter().filter(|seen| seen.target.contains("non_public_metrics"));
    assert_eq!(private.count(), 1);
}

#[tokio::test]
async fn only_what_is_set_is_asked_for() {
    let bench = bench_with(|config| config.groups = vec![Group::Public]).await;
    let asked = [out(&bench, "young", 1, 1).await, out(&bench, "old", 31, 2).await];

    let told = fetch(&bench, &asked).await;

    let seen = reads(&bench);
    assert_eq!(seen.len(), 1, "nothing is asked for that only young posts have");
    assert!(seen[0].target.ends_with("tweet.fields=public_metrics"), "{}", seen[0].target);
    assert!(told.iter().all(|told| matches!(told, Fetched::Counts { private, .. }
        if private.is_empty())));

    let bench = bench_with(|config| config.groups = vec![Group::Public, Group::Organic]).await;
    let asked = [out(&bench, "young", 1, 1).await];
    fetch(&bench, &asked).await;
    let target = &reads(&bench)[0].target;
    assert!(target.ends_with("=public_metrics%2Corganic_metrics"), "{target}");
}

#[tokio::test]
async fn a_refused_field_costs_a_second_call_and_nothing_else() {
    let bench = bench().await;
    let asked = [out(&bench, "a post", 1, 7).await];
    let body = r#"{"title":"Forbidden","detail":"non_public_metrics","status":403}"#;
    bench.server.answer(Target::Read, Canned::new(403, body));

    let told = fetch(&bench, &asked).await;

    assert!(matches!(&told[0], Fetched::Counts { public, private }
        if public["like_count"] == 7 && private.is_empty()));
    assert_eq!(reads(&bench).len(), 2);
}

#[tokio::test]
async fn the_dialect_of_the_day_is_found() {
    let bench = bench().await;
    let asked = [out(&bench, "a post", 1, 7).await];
    bench.server.set_faults(Faults { dialect: Dialect::Post, ..Faults::default() });

    for calls in [2, 3] {
        let told = fetch(&bench, &asked).await;

        assert!(matches!(&told[0], Fetched::Counts { public, .. } if public["repost_count"] == 2));
        assert_eq!(reads(&bench).len(), calls, "it is remembered");
    }
}

#[tokio::test]
async fn a_limit_asks_to_wait_and_silence_is_trouble_of_the_network() {
    let bench = bench_with(|config| config.base_url.push_str("/nowhere")).await;
    let asked = [Asked { remote_id: "1".into(), published_at: now() }];
    let lost = bench.x.fetch(&bench.who, &asked, now()).await.expect_err("404");
    assert_eq!(lost.class, FailureClass::Platform);

    let bench = support::bench().await;
    let limit = Canned::new(429, "{}").with("retry-after", "40");
    bench.server.answer(Target::Read, limit);
    let limited = bench.x.fetch(&bench.who, &asked, now()).await.expect_err("429");
    assert_eq!(limited.class, FailureClass::RateLimit);
    assert_eq!(limited.wait.expect("a wait").for_.as_secs(), 40);
    let who = support::who("wrong");
    let refused = bench.x.fetch(&who, &asked, now()).await.expect_err("401");
    assert_eq!(refused.class, FailureClass::Auth);
}
