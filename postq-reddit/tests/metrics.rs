//! Reading metrics, over HTTP.

mod support;

use fake_reddit::{Canned, Standing, Target};
use postq_core::failure::{FailureClass, Outcome};
use postq_core::platform::{Asked, Counts, Fetched, Metrics, Platform};

use support::{Bench, bench, now, titled};

fn counts(pairs: &[(&str, u64)]) -> Counts {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

async fn out(bench: &Bench, title: &str) -> Asked {
    let published = bench.publish("", titled(title, "")).await.expect("it is out");
    Asked { remote_id: published.receipt.remote_id, published_at: now() }
}

async fn fetch(bench: &Bench, asked: &[Asked]) -> Vec<Fetched> {
    bench.reddit.fetch(&bench.who, asked, now()).await.expect("an answer")
}

fn asked(id: &str) -> Asked {
    Asked { remote_id: id.to_owned(), published_at: now() }
}

#[tokio::test]
async fn a_batch_is_one_call_and_each_has_its_own_answer() {
    let bench = bench().await;
    let mut all = Vec::new();
    for n in 0..100 {
        all.push(out(&bench, &format!("post {n}")).await);
    }
    let set = |n: usize, standing| bench.server.set_standing(&all[n].remote_id, standing);
    set(0, Standing::Shown { score: -3, comments: 5, locked: true });
    set(1, Standing::Removed("moderator".to_owned()));
    set(2, Standing::Removed("automod_filtered".to_owned()));
    set(3, Standing::Removed("deleted".to_owned()));
    set(4, Standing::Missing);
    let before = bench.server.seen().len();

    let told = fetch(&bench, &all).await;

    let seen = bench.server.seen();
    assert_eq!(seen.len(), before + 1);
    let names: Vec<String> = all.iter().map(|one| format!("t3_{}", one.remote_id)).collect();
    let target = &seen[before].target;
    assert_eq!(*target, format!("/api/info?id={}&raw_json=1", names.join("%2C")));
    let public = |score, comments, locked| {
        counts(&[
            ("score", score),
            ("num_comments", comments),
            ("num_crossposts", 0),
            ("locked", locked),
        ])
    };
    let shown = |public| Fetched::Counts { public, private: Counts::new() };
    assert_eq!(told[0], shown(public(0, 5, 1)), "a score below zero is none");
    assert_eq!((&told[1], &told[2]), (&Fetched::Hidden, &Fetched::Hidden));
    assert_eq!((&told[3], &told[4]), (&Fetched::Gone, &Fetched::Gone));
    assert!(told[5..].iter().all(|one| *one == shown(public(1, 0, 0))));
    assert_eq!((bench.reddit.batch(), bench.reddit.metrics().is_some()), (100, true));
    let fields: Vec<&str> = bench.reddit.fields().iter().map(|field| field.name).collect();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, public(0, 0, 0).keys().map(String::as_str).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_an_id_is_not_asked_for() {
    let bench = bench().await;
    let one = out(&bench, "one").await;

    let told = fetch(&bench, &[asked("../me"), one.clone(), asked(""), one]).await;

    assert_eq!((&told[0], &told[2]), (&Fetched::Untold, &Fetched::Untold));
    assert!(matches!((&told[1], &told[3]), (Fetched::Counts { .. }, Fetched::Counts { .. })));
    let before = bench.server.seen().len();
    assert_eq!(fetch(&bench, &[asked("a b")]).await, [Fetched::Untold]);
    assert_eq!(bench.server.seen().len(), before, "nothing to ask for");
}

#[tokio::test]
async fn what_cannot_be_read_says_nothing() {
    let bench = bench().await;
    let body = r#"{"kind":"Listing","data":{"after":null,"children":[
        {"kind":"t3","data":{"id":7}},
        {"kind":"t3","data":{"id":"b","author":"[deleted]","score":1}},
        {"kind":"t3","data":{"id":"c","title":"no counts"}},
        {"kind":"t3","data":{"id":"d","score":null,"num_comments":"2","num_crossposts":3}}]}}"#;
    bench.server.answer(Target::Info, Canned::new(200, body));

    let told = fetch(&bench, &[asked("a"), asked("b"), asked("c"), asked("d")]).await;

    let some = counts(&[("num_crossposts", 3)]);
    assert_eq!(
        told,
        [
            Fetched::Untold,
            Fetched::Gone,
            Fetched::Untold,
            Fetched::Counts { public: some, private: Counts::new() }
        ]
    );
}

#[tokio::test]
async fn an_answer_without_any_of_several_says_nothing() {
    let bench = bench().await;
    let body = r#"{"kind":"Listing","data":{"after":null,"children":[]}}"#;
    bench.server.answer(Target::Info, Canned::new(200, body));
    assert_eq!(fetch(&bench, &[asked("a"), asked("b")]).await, [Fetched::Untold, Fetched::Untold]);
    bench.server.answer(Target::Info, Canned::new(200, body));
    assert_eq!(fetch(&bench, &[asked("a")]).await, [Fetched::Gone]);
}

#[tokio::test]
async fn a_failed_read_is_a_failure() {
    let bench = bench().await;
    use FailureClass::{Auth, Platform, RateLimit};
    for (status, body, class) in [
        (200, "{}", Platform),
        (200, "<html>", Platform),
        (401, "", Auth),
        (403, "", Platform),
        (429, "", RateLimit),
        (503, "<html>", Platform),
    ] {
        bench.server.answer(Target::Info, Canned::new(status, body));
        let failure =
            bench.reddit.fetch(&bench.who, &[asked("a")], now()).await.expect_err("no counts");
        assert_eq!(failure.class, class, "{status}");
    }
    let nobody = support::bench_with(|config| config.base_url = "http://127.0.0.1:1".into()).await;
    let failed = nobody.reddit.fetch(&nobody.who, &[asked("a")], now()).await;
    let failure = failed.expect_err("nobody there");
    assert_eq!((failure.class, failure.outcome), (FailureClass::Network, Outcome::NotPublished));
}
