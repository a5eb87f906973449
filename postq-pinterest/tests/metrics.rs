//! Reading metrics, over HTTP.

mod support;

use fake_pinterest::{Canned, Standing, Target};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::platform::{Asked, Counts, Fetched, Metrics, Platform};
use serde_json::json;

use support::{Bench, bench, bench_with, now};

fn asked(id: &str) -> Asked {
    Asked { remote_id: id.into(), published_at: now() }
}

fn counts(pairs: &[(&str, u64)]) -> Counts {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// A Pin that is out and was saved so often.
async fn out(bench: &Bench, saves: u64) -> Asked {
    let id = bench.publish("text").await.expect("it is out").receipt.remote_id;
    let lifetime = json!({ "impression": 50, "pin_click": 7, "save": saves, "reaction": 1 });
    bench.server.count(&id, json!({ "90d": { "impression": 2 }, "lifetime_metrics": lifetime }));
    asked(&id)
}

async fn fetch(bench: &Bench, asked: &[Asked]) -> Vec<Fetched> {
    bench.pinterest.fetch(&bench.who, asked, now()).await.expect("an answer")
}

#[tokio::test]
async fn each_pin_has_its_own_answer() {
    let bench = bench().await;
    let pins =
        [out(&bench, 1).await, out(&bench, 2).await, out(&bench, 3).await, out(&bench, 4).await];
    bench.server.set_standing(&pins[1].remote_id, Standing::Deleted);
    bench.server.set_standing(&pins[2].remote_id, Standing::Hidden);
    let others = [asked("../boards"), asked("999")];

    let told = fetch(&bench, &[&pins[..], &others].concat()).await;

    let counted = |saves| Fetched::Counts {
        public: counts(&[("save", saves), ("reaction", 1)]),
        private: counts(&[("impression", 50), ("pin_click", 7)]),
    };
    let expected =
        [counted(1), Fetched::Gone, Fetched::Hidden, counted(4), Fetched::Untold, Fetched::Gone];
    assert_eq!(told, expected);
    assert_eq!(bench.calls("GET", "/v5/pins/"), 5, "one call each, none for what is no id");
    let target = format!("/v5/pins/{}?pin_metrics=true", pins[0].remote_id);
    assert_eq!(bench.calls("GET", &target), 1);
}

#[tokio::test]
async fn a_pin_that_is_not_counted_yet_is_untold() {
    let bench = bench().await;
    let id = bench.publish("text").await.expect("it is out").receipt.remote_id;
    for metrics in [json!(null), json!({}), json!({ "lifetime_metrics": null })] {
        bench.server.count(&id, metrics);
        assert_eq!(fetch(&bench, &[asked(&id)]).await, [Fetched::Untold]);
    }
}

#[tokio::test]
async fn a_batch_is_bounded() {
    let bench = bench().await;
    let one = out(&bench, 1).await;

    let told = fetch(&bench, &vec![one; 12]).await;

    assert_eq!((told.len(), bench.pinterest.batch()), (12, 10));
    assert!(matches!(told[9], Fetched::Counts { .. }) && told[10] == Fetched::Untold);
    assert!(bench.pinterest.metrics().is_some());
}

#[tokio::test]
async fn trouble_is_a_failure_and_a_limit_asks_to_wait() {
    let bench = bench().await;
    for (answer, class) in [
        (Canned::new(401, ""), FailureClass::Auth),
        (Canned::new(429, "{}").with("retry-after", "40"), FailureClass::RateLimit),
        (Canned::new(503, ""), FailureClass::Platform),
        (Canned::new(200, "{}"), FailureClass::Platform),
        (Canned::new(200, r#"{"id":"2"}"#), FailureClass::Platform),
    ] {
        bench.server.answer(Target::Read, answer.clone());
        let failure = bench.pinterest.fetch(&bench.who, &[asked("1")], now()).await;
        let failure = failure.expect_err("no counts");
        assert_eq!((failure.class, failure.outcome), (class, Outcome::NotPublished), "{answer:?}");
        let wait = failure.wait.map(|wait| wait.for_.as_secs());
        assert_eq!(wait, (class == FailureClass::RateLimit).then_some(40));
    }
    let lost = bench_with(|config| config.base_url = "http://127.0.0.1:1/v5".into()).await;
    let failure = lost.pinterest.fetch(&lost.who, &[asked("1")], now()).await.expect_err("nobody");
    assert_eq!(failure.class, FailureClass::Network);
}
