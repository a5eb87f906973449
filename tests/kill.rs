//! `kill -9` of the daemon at random moments, on a platform that misbehaves: in the end each post is out
//! exactly once, or held with the reason.
//!
//! `POSTQ_KILLS` and `POSTQ_KILL_ROWS` make it longer: `scripts/soak` does.

#![allow(missing_docs, clippy::print_stdout, reason = "a test that tells how far it is")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use fake_x::{FakeX, Options};
use postq::core::job::DeadReason;
use postq::core::machine::JobState;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use support::{Home, all_ended, rfc3339};

const ACCOUNTS: usize = 25;

fn env(name: &str, default: usize) -> usize {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_each_post_is_out_once_or_held() {
    let (kills, rows) = (env("POSTQ_KILLS", 5), env("POSTQ_KILL_ROWS", 200));
    let seed = env("POSTQ_KILL_SEED", 1) as u64;
    let mut rng = SmallRng::seed_from_u64(seed);
    let faults = "cut_after=0.06,cut_before=0.05,503_after=0.06,503_before=0.05,no_data=0.02,\
                  hang_after=0.02,late=0.03,slow=0.2,look_503=0.05,hide=1500ms,hang_for=5s,\
                  slow_for=300ms,late_by=1s";
    let faults = faults.parse().expect("faults");
    let x =
        FakeX::start_with(Options { seed, faults, ..Options::default() }).await.expect("a port");
    let home = Home::with_x(&x.base_url()).in_haste();
    for n in 0..ACCOUNTS {
        home.connect(&format!("account-{n}"), &n.to_string());
    }
    // As long as the kills last, something is due all the time.
    let stretch = kills as i64 * 4_000;
    #[allow(clippy::disallowed_methods, reason = "the daemon runs by the host's clock")]
    let start = Utc::now() + TimeDelta::seconds(2);
    let mut csv = String::from("key,at,accounts,text\n");
    for row in 0..rows {
        let at = start + TimeDelta::milliseconds(stretch * row as i64 / rows as i64);
        writeln!(csv, "row-{row},{},account-{},row {row}", rfc3339(at), row % ACCOUNTS)
            .expect("text");
    }
    let file = home.file("calendar.csv", &csv);
    home.ok(["import", "--apply", file.to_str().expect("UTF-8")]);

    for kill in 1..=kills {
        let daemon = home.serve();
        tokio::time::sleep(Duration::from_millis(rng.random_range(300..5_000))).await;
        daemon.kill();
        println!("kill {kill} of {kills}: {} accepted", x.ledger().accepted.len());
    }
    let daemon = home.serve();
    let patience = Duration::from_secs(180 + 3 * kills as u64);
    let store = home.store();
    let jobs = all_ended(&store.backend(), rows, patience).await;

    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for post in x.ledger().accepted {
        *accepted.entry(post.text).or_default() += 1;
    }
    let twice: Vec<_> = accepted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "seed {seed}: out more than once: {twice:?}\n{}", home.log());
    assert_eq!(jobs.len(), rows, "one job a row");
    let (mut out, mut held) = (0, 0);
    for job in &jobs {
        let post = store.backend().posts.load(&[job.made.post_id.expect("a post")]).await;
        let text = &post.expect("it loads")[0].content.parts[0].text;
        let live = accepted.get(text).copied().unwrap_or(0);
        match (job.state, job.dead_reason) {
            (JobState::Succeeded, _) => {
                assert_eq!(live, 1, "seed {seed}: \"{text}\" succeeded\n{}", home.log());
                out += 1;
            }
            (JobState::DeadLetter, Some(DeadReason::OutcomeUnknown)) => held += 1,
            (JobState::DeadLetter, Some(reason)) => {
                assert_eq!(live, 0, "seed {seed}: \"{text}\" is dead ({reason}) and out");
                held += 1;
            }
            other => panic!("seed {seed}: \"{text}\" ended as {other:?}"),
        }
    }
    println!("{kills} kills, {rows} posts: {out} out once, {held} held or given up, 0 twice");
    assert!(out * 10 >= rows * 9, "seed {seed}: most of them come out: {out} of {rows}");
    assert!(daemon.stop().success());
}
