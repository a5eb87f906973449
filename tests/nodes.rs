//! Several `postqd` on one Postgres with Redis beside it: they share the work, and take over from one
//! another.

#![allow(missing_docs, clippy::print_stdout, reason = "a test that tells what it measured")]

mod support;

#[path = "support/cluster.rs"]
mod cluster;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cluster::{Cluster, ask, until_it_says, until_ready};
use fake_x::{Fault, Faults, Options};
use postq::core::machine::JobState;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use support::{Daemon, all_ended, publish_jobs};

/// Nothing here takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Work goes on so long after a lease at the latest: one sweep.
const SWEEP: Duration = Duration::from_secs(5);

fn now() -> DateTime<Utc> {
    #[allow(clippy::disallowed_methods, reason = "the daemons run by the host's clock")]
    Utc::now()
}

/// The commands of the README, one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_the_readme_says() {
    let cluster = Cluster::start(Options::default()).await;
    let homes = [cluster.home(), cluster.home()];
    let calendar = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/calendar.csv");
    homes[0].ok(["import", calendar, "--apply"]);
    let nodes = homes.each_ref().map(|home| home.serve());

    // So many posts to accounts stand in the calendar.
    let jobs = all_ended(&cluster.store.backend(), 26, PATIENCE).await;

    assert_eq!(jobs.len(), 26);
    let open: Vec<_> = jobs.iter().filter(|job| job.state != JobState::Succeeded).collect();
    assert!(open.is_empty(), "{open:#?}");
    assert!(homes[1].ok(["job", "list"]).contains("succeeded"));
    assert!(nodes.map(Daemon::stop).iter().all(std::process::ExitStatus::success));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_the_work() {
    let cluster = Cluster::start(Options::default()).await;
    cluster.load(20, 200, 5, Duration::from_secs(6));
    let homes = [cluster.home(), cluster.home()];
    let nodes = homes.each_ref().map(|home| home.serve());
    for node in &nodes {
        until_ready(node, PATIENCE).await;
    }

    let jobs = all_ended(&cluster.store.backend(), 200, PATIENCE).await;

    cluster.ensure_each_out_once(200, &jobs);
    assert!(cluster.x.ledger().most_in_flight.values().all(|most| *most == 1), "lanes hold");
    assert_eq!(cluster.nodes_of(&jobs).await.len(), 2, "both had a part in it");
    assert!(nodes.map(Daemon::stop).iter().all(std::process::ExitStatus::success));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_is_taken_over_from() {
    let faults = Faults::script([Fault::HangAfter]);
    let cluster = Cluster::start(Options { faults, ..Options::default() }).await;
    cluster.load(1, 1, 3, Duration::ZERO);
    let homes = [cluster.home(), cluster.home()];
    let first = homes[0].serve();
    cluster.until_accepted(1, PATIENCE).await;
    let second = homes[1].serve();

    first.kill();
    let killed_at = now();
    let jobs = all_ended(&cluster.store.backend(), 1, PATIENCE).await;

    cluster.ensure_each_out_once(1, &jobs);
    let events = cluster.events(jobs[0].id()).await;
    let taken_over = events.iter().find(|event| event.from == Some(JobState::Running));
    let after = taken_over.expect("a lease ended").at - killed_at;
    println!("taken over {} ms after the kill", after.num_milliseconds());
    // A busy machine may need a little longer than the sweep says.
    let most = TimeDelta::from_std(cluster.lease() + SWEEP).expect("short");
    assert!(after <= most + TimeDelta::seconds(1), "{after}: {events:#?}");
    assert!(second.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_frozen_past_its_lease_neither_settles_nor_sends() {
    let mut faults = Faults::script([Fault::Slow]);
    faults.slow = Duration::from_millis(1_500);
    let cluster = Cluster::start(Options { faults, ..Options::default() }).await;
    // The second waits behind the first in its lane, claimed by nobody yet.
    cluster.load(1, 2, 3, Duration::from_millis(200));
    let homes = [cluster.home(), cluster.home()];
    let first = homes[0].serve();
    cluster.until_accepted(1, PATIENCE).await;
    first.freeze();
    let second = homes[1].serve();

    let jobs = all_ended(&cluster.store.backend(), 2, PATIENCE).await;
    first.resume();
    // Longer than anything that it might still try takes.
    tokio::time::sleep(Duration::from_secs(4)).await;

    cluster.ensure_each_out_once(2, &jobs);
    for job in &jobs {
        let now = publish_jobs(&cluster.store.backend()).await;
        let now = now.iter().find(|other| other.id() == job.id()).expect("it is still there");
        assert_eq!((now.state, now.fence), (job.state, job.fence), "what was settled stays");
    }
    let fences: Vec<_> = cluster.events(jobs[0].id()).await.iter().map(|e| e.fence).collect();
    assert!(fences.is_sorted(), "nothing of an older fence comes after a newer one: {fences:?}");
    assert!(first.stop().success() && second.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_at_any_moment_each_post_is_out_once() {
    let cluster = Cluster::start(Options::default()).await;
    cluster.load(10, 150, 4, Duration::from_secs(18));
    let homes = [cluster.home(), cluster.home()];
    let nodes = homes.each_ref().map(|home| home.serve());
    let mut rng = SmallRng::seed_from_u64(4);
    tokio::time::sleep(Duration::from_secs(5)).await;

    for turn in 0..3 {
        let node = &nodes[turn % 2];
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..1_500))).await;
        node.freeze();
        tokio::time::sleep(cluster.lease() + Duration::from_millis(500)).await;
        node.resume();
    }
    let jobs = all_ended(&cluster.store.backend(), 150, PATIENCE).await;

    cluster.ensure_each_out_once(150, &jobs);
    assert!(nodes.map(Daemon::stop).iter().all(std::process::ExitStatus::success));
}

/// 200 posts a second while one node after the other is stopped and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_nothing() {
    let (per_second, seconds) = (200, 15);
    let posts = per_second * seconds;
    let cluster = Cluster::start(Options::default()).await;
    let begin = cluster.load(100, posts, 20, Duration::from_secs(seconds as u64));
    let homes = [cluster.home(), cluster.home(), cluster.home()];
    let mut nodes: Vec<Daemon> = homes.iter().map(|home| home.serve()).collect();
    for node in &nodes {
        until_ready(node, PATIENCE).await;
    }
    let wait = begin - now();
    assert!(wait > TimeDelta::zero(), "the machine is too slow: loading took {wait} too long");
    tokio::time::sleep(wait.to_std().expect("positive")).await;

    for (n, home) in homes.iter().enumerate() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let node = nodes.remove(0);
        assert!(node.stop().success(), "node {n} stops in good order");
        nodes.push(home.serve());
        until_ready(&nodes[2], PATIENCE).await;
    }
    let jobs = all_ended(&cluster.store.backend(), posts, PATIENCE).await;

    cluster.ensure_each_out_once(posts, &jobs);
    assert!(jobs.iter().all(|job| job.attempt == 1), "no attempt failed");
    let ledger = cluster.x.ledger();
    let due = |text: &str| {
        let row: i32 = text[4..].parse().expect("row N");
        begin + TimeDelta::seconds(seconds as i64) / i32::try_from(posts).expect("few") * row
    };
    let late = ledger.accepted.iter().map(|post| post.received_at - due(&post.text)).max();
    let late = late.expect("posts").num_milliseconds();
    println!("{posts} posts at {per_second}/s, 3 nodes restarted: the latest {late} ms late");
    if support::is_timed() {
        assert!(late < 1_000, "{late} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_node_is_degraded_and_goes_on() {
    let mut cluster = Cluster::start(Options::default()).await;
    cluster.load(10, 100, 5, Duration::from_secs(20));
    let home = cluster.home();
    let node = home.serve();
    until_ready(&node, PATIENCE).await;

    cluster.until_accepted(10, PATIENCE).await;
    cluster.redis.kill();
    until_it_says(&node, "Redis is out of use", PATIENCE).await;
    until_it_says(&node, "\"status\":\"degraded\"", PATIENCE).await;
    assert_eq!(ask(&node, "/readyz").expect("it answers").0, 200, "it does its work");
    let so_far = cluster.x.ledger().accepted.len();
    cluster.until_accepted(so_far + 20, PATIENCE).await;
    cluster.redis.restart();
    until_ready(&node, PATIENCE).await;

    let jobs = all_ended(&cluster.store.backend(), 100, PATIENCE).await;
    cluster.ensure_each_out_once(100, &jobs);
    assert!(node.stop().success());
}
