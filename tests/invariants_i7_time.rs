//! I7: the store's clock decides what is due; a step of it neither ends nor extends a lease.
//!
//! About SQLite alone: the clock of the reference backend is the test's own.

#![allow(missing_docs, reason = "a test")]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/scripted.rs"]
mod scripted;

use std::sync::Arc;
use std::time::Duration;

use backends::{Bench, Running, SetClock};
use chrono::TimeDelta;
use postq::core::machine::JobState;
use scripted::{Act, Hook, Hooked, Scripted, Step, Then, assert_all_out_once};
use tokio::time::Instant;

fn bench() -> (Bench, Arc<SetClock>) {
    let clock = SetClock::new();
    let host: Arc<SetClock> = Arc::clone(&clock);
    (Bench::sqlite_with(host), clock)
}

const HOUR: TimeDelta = TimeDelta::hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_clock_ends_no_lease() {
    for step in [HOUR, -HOUR] {
        let (bench, clock) = bench();
        let account = bench.account("a", "scripted").await;
        let takes = bench.times.send_timeout / 2;
        let platform =
            Scripted::new("scripted", &bench).scripted(move |_| Act { takes, ..Act::good() });
        bench.say("hello", &account, bench.now()).await;
        let _nodes = [bench.another().await, bench.another().await]
            .map(|node| Running::start(bench.engine_on(node).platform(platform.shared())));

        bench.wait_for("it is sent", || !platform.calls().is_empty()).await;
        clock.step(step);
        let jobs = bench.rest(1).await;

        assert_all_out_once(&bench, &platform, &jobs).await;
        assert_eq!((jobs[0].fence.0, platform.calls().len()), (1, 1), "stepped by {step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_clock_extends_no_lease() {
    let (bench, clock) = bench();
    let account = bench.account("a", "scripted").await;
    let platform = Scripted::new("scripted", &bench);
    bench.say("hello", &account, bench.now()).await;
    let hook: Hook = Arc::new(|step| match step {
        Step::BeforeIntent => Then::Freeze(Duration::from_secs(86_400)),
        _ => Then::Go,
    });
    let lost = bench.engine_on(Hooked::backend(&bench.backend, &hook));
    let lost = Running::start(lost.platform(platform.shared()));
    let running =
        |jobs: &[postq::core::job::Job]| jobs.iter().any(|j| j.state == JobState::Running);
    bench.until("it runs", running).await;
    lost.crash().await;

    clock.step(-HOUR);
    let stepped = Instant::now();
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    bench.until("the lease ends", |jobs| !running(jobs)).await;
    let took = stepped.elapsed();
    // Due by the clock's new time; until then it waits, and is not lost.
    clock.step(HOUR);
    let jobs = bench.rest(1).await;

    assert!(took < bench.times.lease + Duration::from_secs(5), "ended after {took:?}");
    assert_all_out_once(&bench, &platform, &jobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_follows_the_clock_forward_and_back() {
    let (bench, clock) = bench();
    let accounts = bench.accounts(3, "scripted").await;
    let platform = Scripted::new("scripted", &bench);
    // Planned now, planned later, and long after.
    let mut at = Vec::new();
    for (account, minutes) in accounts.iter().zip([20, 59, 100]) {
        at.push(bench.now() + TimeDelta::minutes(minutes));
        bench.say(&format!("in {minutes}"), account, at[at.len() - 1]).await;
    }
    let engine = Running::start(bench.engine().platform(platform.shared()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(platform.calls().is_empty());

    clock.step(HOUR);
    let stepped = Instant::now();
    bench
        .until("two are out", |jobs| jobs.iter().filter(|j| j.state.is_terminal()).count() == 2)
        .await;
    assert!(stepped.elapsed() < Duration::from_secs(5), "it was noticed at once");
    clock.step(-HOUR);
    tokio::time::sleep(Duration::from_millis(500)).await;
    engine.crash().await;
    let _engine = Running::start(bench.engine().platform(platform.shared()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(platform.calls().len(), 2, "what is out stays out, what is early waits");
    clock.step(HOUR * 2);
    let jobs = bench.rest(3).await;

    assert_all_out_once(&bench, &platform, &jobs).await;
    assert_eq!(platform.calls().len(), 3);
    let lateness = |n: usize| platform.calls()[n].at - at[n];
    assert!(
        (0..3).all(|n| lateness(n) >= TimeDelta::zero()),
        "none was early by the store's clock"
    );
}
