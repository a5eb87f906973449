//! What is counted: public counts, and insights group by group.

mod support;

use std::collections::BTreeMap;

use fake_meta::{Canned, Refuses};
use postq_core::failure::FailureClass;
use postq_core::media::MediaKind;
use postq_core::options::PostOptions;
use postq_core::platform::{Asked, Counts, Fetched, MetricKind, Metrics, Platform};
use serde_json::json;

use support::{Bench, File, insta, intent, now, option, page, who};

fn counts(pairs: &[(&str, u64)]) -> Counts {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

async fn fetch<P: Platform>(bench: &Bench<P>, ids: &[&str]) -> Vec<Fetched> {
    let asked: Vec<Asked> =
        ids.iter().map(|id| Asked { remote_id: (*id).to_owned(), published_at: now() }).collect();
    let metrics = bench.platform.metrics().expect("it counts");
    metrics.fetch(&bench.who, &asked, now()).await.expect("counts")
}

#[tokio::test]
async fn a_post_of_a_page_is_counted() {
    let bench = page().await;
    let id = bench.publish("text").await.expect("published").receipt.remote_id;
    let quiet = bench.publish("quiet").await.expect("published").receipt.remote_id;
    bench.server.change(|world| {
        let counted = json!({ "reactions": { "summary": { "total_count": 5 } },
            "comments": { "summary": { "total_count": 2 } }, "shares": { "count": 3 } });
        world.counted.insert(id.clone(), counted);
        let insights =
            [("post_media_view", 90), ("post_total_media_view_unique", 70), ("post_clicks", 4)];
        let insights: BTreeMap<_, _> = insights.map(|(n, c)| (n.to_owned(), c)).into();
        world.insights.insert(id.clone(), insights);
    });

    let fetched = fetch(&bench, &[&id, "42_1", &quiet, "../me"]).await;

    let public = counts(&[("reactions", 5), ("comments", 2), ("shares", 3)]);
    let private = counts(&[
        ("post_media_view", 90),
        ("post_total_media_view_unique", 70),
        ("post_clicks", 4),
    ]);
    assert_eq!(fetched[0], Fetched::Counts { public, private });
    assert_eq!(fetched[1], Fetched::Gone);
    let public = counts(&[("shares", 0)]);
    assert_eq!(fetched[2], Fetched::Counts { public, private: Counts::new() });
    assert_eq!(fetched[3], Fetched::Untold);
}

#[tokio::test]
async fn a_metric_that_is_gone_costs_no_other() {
    let bench = page().await;
    let id = bench.publish("text").await.expect("published").receipt.remote_id;
    bench.server.change(|world| {
        world.insights.insert(id.clone(), [("post_clicks".to_owned(), 4)].into());
    });
    let gone = Canned::refusal(100, 0, "(#100) The value must be a valid insights metric");
    bench.server.answer("GET insights", gone);

    let fetched = fetch(&bench, &[&id]).await;

    let Fetched::Counts { private, .. } = &fetched[0] else { panic!("{fetched:?}") };
    assert_eq!(private, &counts(&[("post_clicks", 4)]));
    assert_eq!(bench.server.seen_of("GET insights").len(), 3, "each is asked for by itself");
}

#[tokio::test]
async fn a_video_of_a_page_has_counts_of_its_own() {
    let bench = page().await;
    let prepared = bench.upload(&File::new(MediaKind::Mp4, &[1; 10])).await.expect("uploaded");
    let id = bench.send_with(&intent("film"), &[prepared]).await.expect("out").receipt.remote_id;
    bench.server.change(|world| {
        let counted = json!({ "reactions": { "summary": { "total_count": 5 } } });
        world.counted.insert(id.clone(), counted);
    });

    let fetched = fetch(&bench, &[&id]).await;

    let public = counts(&[("reactions", 5)]);
    assert_eq!(fetched, [Fetched::Counts { public, private: Counts::new() }]);
}

#[tokio::test]
async fn each_kind_of_instagram_is_asked_for_what_it_has() {
    for (kind, product, expected) in [
        ("image", "FEED", &["reach", "saved", "shares", "views"][..]),
        (
            "image",
            "REELS",
            &["ig_reels_video_view_total_time", "reach", "saved", "shares", "views"],
        ),
        ("story", "STORY", &["reach", "shares", "views"]),
    ] {
        let bench = insta().await;
        let sent = bench.built("", option("kind", kind)).await;
        let id = bench.send(&sent).await.expect("published").receipt.remote_id;
        bench.server.change(|world| {
            let counted =
                json!({ "media_product_type": product, "like_count": 7, "comments_count": 1 });
            world.counted.insert(id.clone(), counted);
            let all = ["views", "reach", "saved", "shares", "ig_reels_video_view_total_time"];
            let all = all.map(|name| (name.to_owned(), 9));
            world.insights.insert(id.clone(), all.into());
        });

        let fetched = fetch(&bench, &[&id]).await;

        let Fetched::Counts { public, private } = &fetched[0] else { panic!("{fetched:?}") };
        assert_eq!(public, &counts(&[("likes", 7), ("comments", 1)]));
        assert_eq!(private.keys().collect::<Vec<_>>(), expected, "{product}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_no_zero_and_trouble_is_a_failure() {
    let mut bench = insta().await;
    let sent = bench.built("text", PostOptions::default()).await;
    let id = bench.send(&sent).await.expect("published").receipt.remote_id;
    let fetched = fetch(&bench, &[&id]).await;
    assert_eq!(fetched, [Fetched::Counts { public: Counts::new(), private: Counts::new() }]);

    let asked = [Asked { remote_id: id.clone(), published_at: now() }];
    let metrics = |bench: &Bench<_>| bench.who.clone();
    for (canned, class) in [
        (Canned::new(503, "<html>"), FailureClass::Platform),
        (Canned::refusal(4, 0, "slow"), FailureClass::RateLimit),
        (Canned::new(200, "7"), FailureClass::Platform),
    ] {
        bench.server.answer(&format!("GET {id}"), canned);
        let failure = bench.platform.fetch(&metrics(&bench), &asked, now()).await.expect_err("no");
        assert_eq!(failure.class, class, "{failure}");
    }
    bench.who = who("nobody");
    let failure = bench.platform.fetch(&bench.who, &asked, now()).await.expect_err("no token");
    assert_eq!(failure.class, FailureClass::Auth);
}

#[tokio::test]
async fn every_count_has_a_field() {
    let (page, insta) = (page().await, insta().await);
    for fields in [page.platform.fields(), insta.platform.fields()] {
        let reach = fields.iter().filter(|field| field.kind == MetricKind::Reach);
        assert_eq!(reach.count(), 1, "views are not added up with what is part of them");
        let mut names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), fields.len());
    }
}
