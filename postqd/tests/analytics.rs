//! What metrics say, slots and prices, from the command line.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;

use chrono::TimeDelta;
use postq_core::id::TenantId;
use postq_core::metrics::Snapshot;
use postq_core::platform::Counts;
use postq_core::store::Page;
use postq_sqlite::SqliteStore;

use support::{Ended, Place};

const SLOTS: &[&str] = &["slot", "set", "acme", "daily 09:00 and 17:30 Europe/Berlin"];

/// A place with the account `acme`, which is a dry run.
fn place() -> Place {
    let place = Place::new();
    place.run(&["account", "add", "dry_run", "--name", "acme"]).exits(0);
    place
}

#[test]
fn slots_are_set_and_posts_go_into_them() {
    let place = place();
    place.run(&["slot", "list", "acme"]).exits(0).tells("account acme has no slots");
    let post = ["post", "hello", "--account", "acme", "--at", "next-slot", "--json"];
    place.run(&post).exits(1).tells("the account has no slots; set some");
    place.run(SLOTS).exits(0).tells("0 9 * * 0-6 Europe/Berlin; 30 17 * * 0-6 Europe/Berlin");
    place.run(&["slot", "set", "acme", "sometimes"]).exits(1).tells("expected such as: weekdays");
    place.run(&["slot", "list", "nobody"]).exits(1);

    let free = place.run(&["slot", "list", "acme", "--json"]).exits(0).values().remove(0);
    let preview = [&post[..], &["--preview"]].concat();
    let proposed = place.run(&preview).exits(0).values().remove(0);
    assert_eq!(proposed["occurrences"][0], free["free"][0]);
    for n in 0..3 {
        assert_eq!(place.run(&post).exits(0).values()[0]["first"], free["free"][n]);
    }
    let people = ["post", "hello", "--account", "acme", "--at", "next-slot"];
    place.run(&people).exits(0).tells("first at ");
    let best = ["post", "hello", "--account", "acme", "--at", "best"];
    place.run(&best).exits(2).tells("--at best needs --tz");
    let best = [&best[..], &["--tz", "Europe/Berlin"]].concat();
    place.run(&best).exits(1).tells("there is not enough data: 0 posts");

    place.run(&["slot", "clear", "acme"]).exits(0).tells("account acme has no slots");
}

#[test]
fn processes_at_once_never_share_a_slot() {
    let place = place();
    place.run(SLOTS).exits(0);

    let post = |n: usize| {
        let text = format!("post {n}");
        let args = ["post", &text, "--account", "acme", "--at", "next-slot", "--json"];
        place.command(&args).stdin(Stdio::null()).spawn().unwrap()
    };
    let running: Vec<_> = (0..8).map(post).collect();
    let times: Vec<String> = running
        .into_iter()
        .map(|post| Ended::of(post.wait_with_output().unwrap()).exits(0).values().remove(0))
        .map(|taken| taken["first"].as_str().unwrap().to_owned())
        .collect();

    assert_eq!(times.iter().collect::<BTreeSet<_>>().len(), 8, "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_metrics_say_is_told_to_people_and_programs() {
    let place = place();
    for text in ["one", "two"] {
        place.run(&["post", text, "--account", "acme"]).exits(0);
    }
    let store = SqliteStore::open(place.path("postq-data/postq.db")).unwrap();
    let out = store.backend().publications.list(TenantId::DEFAULT, Page::first(9)).await.unwrap();
    for (one, likes) in out.iter().zip([40, 10]) {
        let counts = [("like_count", likes), ("impression_count", likes * 20)];
        let counts: Counts = counts.map(|(name, count)| (name.to_owned(), count)).into();
        let at = one.published_at + TimeDelta::hours(2);
        store.backend().metrics.insert(&[Snapshot::shown(one.id, at, counts)]).await.unwrap();
    }
    let ids = out.iter().map(|one| one.id.to_string()).collect::<Vec<_>>();

    let summary = place.run(&["analytics", "summary", "acme"]).exits(0);
    summary.tells("2 publications with metrics");
    summary.tells("counted to by now    impression_count 1000, like_count 50");
    summary.tells("5.00 %");
    let told = place.run(&["analytics", "summary", "acme", "--json"]).exits(0).values();
    assert_eq!((&told[0]["publications"], &told[0]["made"]["like_count"]), (&2.into(), &50.into()));
    let one = place.run(&["analytics", "publication", &ids[0]]).exits(0);
    one.tells("state        shown");
    one.tells("half of it   after 1h\n");
    let both = ["analytics", "compare", &ids[0], &ids[1]];
    place.run(&both).exits(0).tells("1.60 x");
    place.run(&[&both[..], &["--age", "1h"]].concat()).exits(0).tells("as they were 1h after");
    place.run(&[&both[..], &["--age", "9h"]].concat()).exits(0).tells("as they were 9h after");
    let times = ["analytics", "best-times", "acme", "--tz", "Europe/Berlin"];
    place.run(&times).exits(0).tells("not enough data: 0 posts of acme are counted");
    place.run(&["analytics", "summary", "acme", "--from", "soon"]).exits(1).tells("is no day");
    place.run(&["analytics", "compare", "soon"]).exits(2).tells("expected an id");
    let id = "0191e0f0-0000-7000-8000-000000000000";
    place.run(&["analytics", "publication", id]).exits(1);
}

#[test]
fn what_posts_cost_is_told_before_they_are_out() {
    let place = place();
    place.run(&["analytics", "spending"]).exits(0).tells("POSTQ_PRICES sets some");
    place
        .write("postqd.toml", "prices = \"dry_run:publish=0.015,currency=EUR\"\nbudget = \"20\"\n");
    let daily = ["post", "hello", "--account", "acme", "--cron", "0 9 * * *", "--tz", "UTC"];

    let preview = place.run(&[&daily[..], &["--preview"]].concat()).exits(0);
    preview.tells("costs 0.015 EUR each time, its metrics among it; in the next 30 days 0.45 EUR for 30 times");
    place.run(&daily).exits(0).tells("note: costs 0.015 EUR each time");
    let taken = place.run(&[&daily[..], &["--json"]].concat()).exits(0).values();
    assert_eq!(taken[0]["cost"]["month"]["micros"], 450_000);
    let spending = place.run(&["analytics", "spending", "--month", "2026-11"]).exits(0);
    spending.tells("2026-11: 0.00 EUR\nbudget 20.00 EUR, 20.00 EUR left; when it is used up, reading metrics stops");
    place.run_with("POSTQ_BUDGET", "a lot", &["config"]).exits(2).tells("\"a lot\" is no amount");
}
