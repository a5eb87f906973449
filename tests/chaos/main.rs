//! Real servers that are killed, frozen, wiped and cut off while posts go out: each post comes out exactly
//! once, and what is planned later than 5 s after a server's return is on time again.
//!
//! `POSTQ_CHAOS_ROUNDS` makes it longer: `scripts/soak servers` does.

#![allow(missing_docs, clippy::print_stdout, reason = "a test that tells what it saw")]

#[path = "../support/backends.rs"]
mod backends;
#[path = "../support/cuts.rs"]
mod cuts;
mod pipe;
#[path = "../support/scripted.rs"]
mod scripted;
mod world;
mod x;

use std::time::Duration;

use backends::Bench;
use chrono::TimeDelta;
use cuts::Cuts;
use pipe::Pipe;
use postq::core::id::{NodeId, TenantId};
use postq::core::machine::JobState;
use postq::core::store::{JobFilter, Page};
use test_servers::{Postgres, Redis};
use tokio::task::block_in_place;
use world::World;
use x::publish_on_x;

/// Before the first outage, and after each one: what is planned 5 s after it has to be on time, so it
/// must be a good deal longer.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(10);

/// Outages in a scenario.
fn rounds(default: u32) -> u32 {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var("POSTQ_CHAOS_ROUNDS").map_or(default, |text| text.parse().expect("a number"))
}

/// Posts go out through so many outages, each about so long; answers the world for what else is to be
/// said of it.
async fn publish_through(
    world: World,
    rounds: u32,
    takes: Duration,
    mut outage: impl AsyncFnMut(),
) -> World {
    let mut outages = world.begin(BEFORE + (takes + AFTER) * rounds).await;
    tokio::time::sleep(BEFORE).await;
    for _ in 0..rounds {
        outages.note(&mut outage).await;
        tokio::time::sleep(AFTER).await;
    }
    world.judge(&outages).await;
    world
}

async fn nap(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_killed_while_posts_go_out() {
    let mut postgres = Postgres::start();
    let bench = Bench::postgres_at(&postgres.url()).await.beside(Redis::start());
    let world = World::over(bench, 2).await;

    let away = Duration::from_millis(1_000);
    // It has to recover first, on a busy machine for longer than it was away.
    publish_through(world, rounds(1), away * 4, async || {
        block_in_place(|| postgres.kill());
        nap(away).await;
        block_in_place(|| postgres.restart());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_while_posts_go_out() {
    let world = World::over(Bench::postgres_redis().await, 2).await;
    let bench = world.bench();

    let away = Duration::from_millis(1_500);
    publish_through(world, rounds(1), away, async || {
        block_in_place(|| bench.redis().kill());
        nap(away).await;
        block_in_place(|| bench.redis().restart());
    })
    .await;
}

/// Connections are cut wherever they are, in transactions too: commits whose outcome nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_cut_while_posts_go_out() {
    let (bench, cuts) = Cuts::at(Postgres::shared().url()).await;
    let world = World::over(bench.beside(Redis::start()), 2).await;

    let takes = Duration::from_secs(4);
    let (mut cut, mut in_work) = (0, 0);
    publish_through(world, rounds(1), takes, async || {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < takes {
            nap(Duration::from_millis(25)).await;
            let (all, working) = cuts.cut().await;
            (cut, in_work) = (cut + all, in_work + working);
        }
    })
    .await;

    assert!(in_work > 20, "{cut} connections were cut, {in_work} in a transaction");
}

/// Both by turns, with a platform that misbehaves as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_are_killed_while_posts_go_out_to_x() {
    let mut postgres = Postgres::start();
    let bench = Bench::postgres_at(&postgres.url()).await.beside(Redis::start());
    let (rounds, away) = (rounds(1), Duration::from_millis(700));

    publish_on_x(bench, Duration::from_secs(12) * rounds, async |bench| {
        for _ in 0..rounds {
            nap(away * 3).await;
            block_in_place(|| postgres.kill());
            nap(away).await;
            block_in_place(|| postgres.restart());
            nap(away * 3).await;
            block_in_place(|| bench.redis().kill());
            nap(away).await;
            block_in_place(|| bench.redis().restart());
        }
    })
    .await;
}

const FROZEN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_frozen_while_posts_go_out() {
    let postgres = Postgres::start();
    let bench = Bench::postgres_at(&postgres.url()).await.beside(Redis::start());
    let world = World::over(bench, 2).await;

    publish_through(world, rounds(1), FROZEN, async || {
        postgres.freeze();
        nap(FROZEN).await;
        postgres.resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_frozen_while_posts_go_out() {
    let world = World::over(Bench::postgres_redis().await, 2).await;
    let bench = world.bench();

    let world = publish_through(world, rounds(1), FROZEN, async || {
        bench.redis().freeze();
        nap(FROZEN).await;
        bench.redis().resume();
    })
    .await;

    world.assert_never_late().await;
}

/// One of two nodes is cut off from Postgres for longer than its leases last, first silently, then loudly:
/// the other one goes on, and the one that comes back settles nothing and sends nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_past_its_lease_settles_nothing() {
    let postgres = Postgres::start();
    let bench = Bench::postgres_at(&postgres.url()).await;
    let pipe = Pipe::to(&postgres.url());
    let world = World::over(bench, 1).await;
    let cut_off = world.join(&pipe.url()).await;

    let away = world.bench().times.lease * 2;
    let mut silently = true;
    let bench = world.bench();
    let world = publish_through(world, rounds(2).max(2), away, async || {
        wait_until_it_holds_a_job(&bench, cut_off).await;
        if silently {
            pipe.freeze()
        } else {
            pipe.close()
        }
        silently = !silently;
        nap(away).await;
        pipe.open();
    })
    .await;

    assert!(world.taken_over().await > 0, "leases ended, and the other node went on");
    assert!(world.settled_by(cut_off) > 0, "it came back and works");
}

/// Waits until the node has claimed a job whose moment is yet to come: it cannot settle it in the next
/// few milliseconds.
async fn wait_until_it_holds_a_job(bench: &Bench, node: NodeId) {
    let running = JobFilter { states: vec![JobState::Running], ..JobFilter::default() };
    for _ in 0..1_000 {
        let soon = bench.now() + TimeDelta::milliseconds(50);
        let jobs = bench.backend.jobs.list(TenantId::DEFAULT, &running, Page::first(100)).await;
        let jobs = jobs.expect("the jobs that run");
        if jobs.iter().any(|job| job.node == Some(node) && job.made.planned_at > soon) {
            return;
        }
        nap(Duration::from_millis(5)).await;
    }
    panic!("the node takes no jobs");
}
