//! The bare `Queue` trait: ids pushed, reserved and acked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use postq::core::clock::{Clock, SystemClock};
use postq::core::id::JobId;
use postq::core::job::Applied;
use postq::core::queue::{Delivery, Queue, QueuedJob, Reserve};
use tokio::task::JoinSet;

use crate::feed::{AHEAD, EACH, JOBS, ONE_BY_ONE, STARTS, topic};
use crate::figures::{Figures, millis};
use crate::subject::{Kind, Servers};

/// Ids in one call.
const BATCH: usize = 500;
/// Loops that reserve and ack at once.
const LOOPS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(120);

fn job(run_at: DateTime<Utc>) -> QueuedJob {
    QueuedJob { id: JobId::new(), topic: topic(), lane: None, priority: 0, run_at }
}

pub(crate) async fn all(servers: &Servers, kind: Kind, figures: &mut Figures) {
    push_and_drain(servers, kind, figures).await;
    pick_up(servers, kind, figures).await;
    lateness(servers, kind, figures).await;
}

async fn push_and_drain(servers: &Servers, kind: Kind, figures: &mut Figures) {
    let subject = servers.fresh(kind).await;
    let past = SystemClock.now() - TimeDelta::seconds(1);
    let before = Instant::now();
    for _ in 0..ONE_BY_ONE {
        subject.queue.push(&[job(past)]).await.expect("push");
    }
    figures.rate("queue W1, one by one", kind, ONE_BY_ONE, before.elapsed());

    let jobs: Vec<_> = (0..JOBS).map(|_| job(past)).collect();
    let before = Instant::now();
    for jobs in jobs.chunks(BATCH) {
        subject.queue.push(jobs).await.expect("push");
    }
    figures.rate("queue W1, 500 in a call", kind, JOBS, before.elapsed());

    let done = Arc::new(AtomicUsize::new(0));
    let mut loops = JoinSet::new();
    let before = Instant::now();
    for _ in 0..LOOPS {
        loops.spawn(drain(Arc::clone(&subject.queue), Arc::clone(&done)));
    }
    loops.join_all().await;
    let took = before.elapsed();
    figures.rate("queue W2, batches of 500", kind, JOBS + ONE_BY_ONE, took);
    assert_eq!(done.load(Ordering::SeqCst), JOBS + ONE_BY_ONE, "each once");
}

async fn drain(queue: Arc<dyn Queue>, done: Arc<AtomicUsize>) {
    loop {
        let got = queue.reserve(&Reserve::up_to(BATCH, topic())).await.expect("reserve");
        if got.is_empty() {
            return;
        }
        done.fetch_add(ack(&*queue, got).await, Ordering::SeqCst);
    }
}

async fn ack(queue: &dyn Queue, got: Vec<Delivery>) -> usize {
    let leases: Vec<_> = got.into_iter().map(|delivery| delivery.lease).collect();
    let answers = queue.ack(&leases).await.expect("ack");
    assert!(answers.iter().all(|answer| *answer == Applied::Applied), "each is its holder's");
    answers.len()
}

/// Starts so many jobs, each as it is given out.
async fn work(queue: Arc<dyn Queue>, jobs: usize) -> BTreeMap<JobId, (Instant, DateTime<Utc>)> {
    let mut starts = BTreeMap::new();
    let end = Instant::now() + PATIENCE;
    while starts.len() < jobs {
        assert!(Instant::now() < end, "all {jobs} are given out in time");
        let reserve = Reserve::up_to(STARTS, topic()).waiting(Duration::from_secs(30));
        let got = queue.reserve(&reserve).await.expect("reserve");
        let start = (Instant::now(), SystemClock.now());
        for delivery in &got {
            assert!(starts.insert(delivery.job.id, start).is_none(), "each starts once");
        }
        ack(&*queue, got).await;
    }
    starts
}

async fn pick_up(servers: &Servers, kind: Kind, figures: &mut Figures) {
    let subject = servers.fresh(kind).await;
    let worker = tokio::spawn(work(Arc::clone(&subject.queue), STARTS));
    let mut made = Vec::with_capacity(STARTS);
    let mut ticks = tokio::time::interval(EACH);
    for _ in 0..STARTS {
        ticks.tick().await;
        let job = job(SystemClock.now());
        subject.queue.push(std::slice::from_ref(&job)).await.expect("push");
        made.push((job.id, Instant::now()));
    }
    let starts = worker.await.expect("the worker works");
    let waits = made.iter().map(|(id, at)| millis(starts[id].0.saturating_duration_since(*at)));
    figures.spread(["queue W3 p50", "queue W3 p99"], kind, waits.collect());
}

async fn lateness(servers: &Servers, kind: Kind, figures: &mut Figures) {
    let subject = servers.fresh(kind).await;
    let worker = tokio::spawn(work(Arc::clone(&subject.queue), STARTS));
    let at = SystemClock.now() + AHEAD;
    let jobs: Vec<_> = (0..STARTS).map(|_| job(at)).collect();
    subject.queue.push(&jobs).await.expect("push");
    let starts = worker.await.expect("the worker works");
    let late = starts.values().map(|(_, start)| (*start - at).as_seconds_f64() * 1_000.0);
    figures.spread(["queue W4 p50", "queue W4 p99"], kind, late.collect());
}
