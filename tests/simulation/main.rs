//! A simulation: real engines on the reference backend under paused time, a platform that lies, nodes
//! that crash and lose their store. One seed decides everything.
//!
//! A failing seed prints the command that replays it.

#![allow(missing_docs, clippy::print_stdout, reason = "a test that tells how far it is")]

mod liar;
mod node;
mod sabotage;
mod world;

use sabotage::Sabotage;
use world::{Verdict, simulate};

/// Seeds in `scripts/test`.
const SEEDS: u64 = 200;

/// Seeds within which a missing safeguard must show.
const SABOTAGE_SEEDS: u64 = 200;

fn env(name: &str) -> Option<u64> {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn run(seed: u64, sabotage: Option<Sabotage>) -> Verdict {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(simulate(seed, sabotage))
}

#[test]
fn every_post_is_out_once_or_held() {
    if let Some(seed) = env("POSTQ_SIM_SEED") {
        let verdict = run(seed, None);
        println!("{} published, {} held, {} kills", verdict.published, verdict.held, verdict.kills);
        assert!(verdict.faults.is_empty(), "seed {seed}:\n{}", verdict.faults.join("\n"));
        return;
    }
    let (first, seeds) =
        (env("POSTQ_SIM_FIRST").unwrap_or(0), env("POSTQ_SIM_SEEDS").unwrap_or(SEEDS));
    let (mut published, mut held, mut kills) = (0, 0, 0);
    for seed in first..first + seeds {
        let verdict = run(seed, None);
        assert!(
            verdict.faults.is_empty(),
            "{}\nreplay it with: POSTQ_SIM_SEED={seed} cargo test --test simulation \
             every_post -- --nocapture",
            verdict.faults.join("\n")
        );
        published += verdict.published;
        held += verdict.held;
        kills += verdict.kills;
    }
    println!("{seeds} seeds: {published} jobs published, {held} held or dead, {kills} kills");
    assert!(published > 0 && kills > 0, "a simulation in which nothing happens proves nothing");
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..5 {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

/// Takes one safeguard out: some seed must see it.
fn must_fail_without(sabotage: Sabotage) {
    let seen = (0..SABOTAGE_SEEDS).find(|&seed| !run(seed, Some(sabotage)).faults.is_empty());

    assert!(seen.is_some(), "{SABOTAGE_SEEDS} seeds and nothing noticed: {sabotage:?}");
}

#[test]
fn without_the_intent_it_fails() {
    must_fail_without(Sabotage::NoIntent);
}

#[test]
fn without_the_fence_it_fails() {
    must_fail_without(Sabotage::NoFence);
}

#[test]
fn without_the_settle_time_it_fails() {
    must_fail_without(Sabotage::NoSettleTime);
}
