//! The real path: jobs made in the store, claimed and settled through the feed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use postq::core::backend::Backend;
use postq::core::clock::{Clock, SystemClock};
use postq::core::feed::{Claim, ClaimedJob, Settle, Settlement};
use postq::core::id::{JobId, NodeId, TenantId};
use postq::core::job::{Applied, JobKind, Lane, NewJob, Topic};
use postq::core::machine::JobState;
use postq::core::queue::QueuedJob;
use postq::core::store::JobFilter;
use postq::engine::Settings;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::figures::{Figures, millis};
use crate::subject::{Kind, Servers};

pub(crate) const JOBS: usize = 20_000;
/// Jobs made in one call, claimed in one, settled in one.
pub(crate) const MADE: usize = 5_000;
const BATCH: usize = 1_000;
/// Loops that claim and settle batches at once.
const LOOPS: usize = 2;
/// Accounts, where jobs have lanes.
const LANES: usize = 2_000;
pub(crate) const ONE_BY_ONE: usize = 1_000;
pub(crate) const STARTS: usize = 500;
pub(crate) const EACH: Duration = Duration::from_millis(20);
/// From making jobs for one instant to the instant.
pub(crate) const AHEAD: TimeDelta = TimeDelta::seconds(4);

pub(crate) fn topic() -> Topic {
    Topic::new("noop")
}

/// A job without a lane, as those of other queues are.
pub(crate) fn job(at: DateTime<Utc>) -> NewJob {
    NewJob::new(JobKind::new("noop"), topic(), at)
}

fn jobs_in_lanes(at: DateTime<Utc>) -> Vec<NewJob> {
    let lane = |n: usize| Some(Lane::from_raw(format!("app/{}", n % LANES)));
    (0..JOBS).map(|n| NewJob { lane: lane(n), ..job(at) }).collect()
}

/// A moment that is past by any clock of this machine.
fn past() -> DateTime<Utc> {
    SystemClock.now() - TimeDelta::seconds(1)
}

/// Makes jobs, and tells the queue beside the store if there is one.
pub(crate) async fn put(backend: &Backend, jobs: &[NewJob]) {
    let made = backend.jobs.insert(jobs).await.expect("jobs");
    assert_eq!(made.len(), jobs.len(), "each is new");
    if let Some(queue) = &backend.queue {
        let queued = jobs.iter().map(|job| QueuedJob {
            id: job.id,
            topic: job.topic.clone(),
            lane: job.lane.clone(),
            priority: job.priority,
            run_at: job.planned_at,
        });
        queue.push(&queued.collect::<Vec<_>>()).await.expect("the queue takes them");
    }
}

async fn count(backend: &Backend, state: JobState) -> usize {
    let counts = backend.jobs.count(TenantId::DEFAULT, &JobFilter::default()).await;
    let counts = counts.expect("counts");
    counts.into_iter().find(|(of, _)| *of == state).map_or(0, |(_, n)| n as usize)
}

/// W1.
pub(crate) async fn make(servers: &Servers, kind: Kind, figures: &mut Figures) {
    let subject = servers.fresh(kind).await;
    let jobs: Vec<_> = (0..JOBS).map(|_| job(past())).collect();
    let before = Instant::now();
    for jobs in jobs.chunks(MADE) {
        put(&subject.maker, jobs).await;
    }
    figures.rate("feed W1, 5,000 in a call", kind, JOBS, before.elapsed());
    assert_eq!(count(&subject.maker, JobState::Enqueued).await, JOBS);

    let before = Instant::now();
    for _ in 0..ONE_BY_ONE {
        put(&subject.maker, &[job(past())]).await;
    }
    figures.rate("feed W1, one by one", kind, ONE_BY_ONE, before.elapsed());
}

/// W2.
pub(crate) async fn drain(servers: &Servers, kind: Kind, figures: &mut Figures) {
    let alone = || (0..JOBS).map(|_| job(past())).collect::<Vec<_>>();
    let rows = [
        ("feed W2, batches of 1,000", alone(), true),
        ("feed W2, batches of 1,000, 2,000 lanes", jobs_in_lanes(past()), true),
        ("feed W2, as the engine", alone(), false),
        ("feed W2, as the engine, 2,000 lanes", jobs_in_lanes(past()), false),
    ];
    for (row, jobs, in_batches) in rows {
        let subject = servers.fresh(kind).await;
        for jobs in jobs.chunks(MADE) {
            put(&subject.maker, jobs).await;
        }
        let before = Instant::now();
        if in_batches {
            drain_in_batches(&subject.worker).await;
        } else {
            let engine = Worker::start(&subject.worker);
            engine.until_done(JOBS).await;
            engine.stop().await;
        }
        figures.rate(row, kind, JOBS, before.elapsed());
        ensure_done(&subject.worker, jobs.iter().map(|job| job.id), JOBS).await;
    }
}

async fn drain_in_batches(backend: &Backend) {
    let left = Arc::new(Mutex::new(JOBS));
    let mut loops = JoinSet::new();
    for _ in 0..LOOPS {
        let (backend, left) = (backend.clone(), Arc::clone(&left));
        loops.spawn(async move {
            let (node, bound) = (NodeId::new(), Instant::now() + Duration::from_secs(300));
            let take = |n: usize| {
                let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                *left -= n;
                *left
            };
            while take(0) > 0 {
                assert!(Instant::now() < bound, "{} are left", take(0));
                let claim = Claim::up_to(BATCH, topic(), node);
                let claimed = backend.feed.claim(&claim).await.expect("a claim");
                let done: Vec<_> = claimed.jobs.iter().map(|job| success(job, node)).collect();
                let answers = backend.feed.settle(&done).await.expect("settled");
                assert!(answers.iter().all(|answer| *answer == Applied::Applied), "all at once");
                take(answers.len());
            }
        });
    }
    loops.join_all().await;
}

fn success(claimed: &ClaimedJob, node: NodeId) -> Settlement {
    Settlement {
        held: claimed.job.held(),
        node,
        settle: Settle::Succeeded(None),
        reason: None,
        follow_ups: Vec::new(),
    }
}

/// Every job once, each transition in its history.
async fn ensure_done(backend: &Backend, jobs: impl Iterator<Item = JobId>, total: usize) {
    assert_eq!(count(backend, JobState::Succeeded).await, total);
    for id in jobs.step_by(997) {
        let story = backend.jobs.story(id).await.expect("a story").expect("it is kept");
        let states: Vec<_> = story.events.iter().map(|event| event.to).collect();
        use JobState::{Enqueued, Planned, Running, Succeeded};
        assert_eq!(states, [Planned, Enqueued, Running, Succeeded], "of {id}");
        assert_eq!(story.job.attempt, 1);
    }
}

/// When each job started.
type Starts = Mutex<BTreeMap<JobId, (Instant, DateTime<Utc>)>>;

fn note_start(starts: &Starts, job: JobId) {
    let start = (Instant::now(), SystemClock.now());
    let before = starts.lock().unwrap_or_else(PoisonError::into_inner).insert(job, start);
    assert!(before.is_none(), "each starts once");
}

/// Claims as the engine does: as many as there is room for, some time ahead; each job waits for its
/// moment and is settled in a call of its own.
struct Worker {
    starts: Arc<Starts>,
    done: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    claims: tokio::task::JoinHandle<()>,
}

impl Worker {
    fn start(backend: &Backend) -> Self {
        let starts = Arc::new(Mutex::new(BTreeMap::new()));
        let (done, seen) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let claims = tokio::spawn(work(backend.clone(), Arc::clone(&starts), done, stopped));
        Self { starts, done: seen, stop, claims }
    }

    async fn until_done(&self, jobs: usize) {
        let mut done = self.done.clone();
        let all = done.wait_for(|done| *done >= jobs);
        let all = tokio::time::timeout(Duration::from_secs(300), all).await;
        all.expect("all are done in time").expect("the worker works");
    }

    /// When each job started.
    async fn stop(self) -> BTreeMap<JobId, (Instant, DateTime<Utc>)> {
        self.stop.send_replace(true);
        self.claims.await.expect("no attempt failed");
        std::mem::take(&mut *self.starts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn work(
    backend: Backend,
    starts: Arc<Starts>,
    done: watch::Sender<usize>,
    mut stopped: watch::Receiver<bool>,
) {
    /// As in the engine: between two claims that found nothing, and at the latest.
    const BREATH: Duration = Duration::from_millis(5);
    const SLOW: Duration = Duration::from_secs(30);

    let (settings, node, done) = (Settings::default(), NodeId::new(), Arc::new(done));
    let topic = topic();
    let at_once = settings.topics[0].at_once;
    let mut attempts = JoinSet::new();
    while !*stopped.borrow() {
        while let Some(ended) = attempts.try_join_next() {
            ended.expect("an attempt");
        }
        let free = at_once - attempts.len();
        if free == 0 {
            attempts.join_next().await.expect("there are some").expect("an attempt");
            continue;
        }
        let mut claim = Claim::up_to(free, topic.clone(), node);
        claim.lease = settings.lease;
        claim.ahead = settings.claim_ahead;
        let claimed = backend.feed.claim(&claim).await.expect("a claim");
        let (now, at) = (claimed.now, Instant::now());
        let full = claimed.jobs.len() >= free;
        for job in claimed.jobs {
            let (feed, starts, done) =
                (Arc::clone(&backend.feed), Arc::clone(&starts), Arc::clone(&done));
            attempts.spawn(async move {
                let early = (job.job.made.planned_at - now).to_std().unwrap_or_default();
                if let Some(left) = early.checked_sub(at.elapsed()) {
                    tokio::time::sleep(left).await;
                }
                note_start(&starts, job.job.id());
                let answers = feed.settle(&[success(&job, node)]).await.expect("settled");
                assert_eq!(answers, [Applied::Applied]);
                done.send_modify(|done| *done += 1);
            });
        }
        if !full {
            let next = claimed.next_at.map_or(now + SLOW, |next| next - settings.claim_ahead);
            let until = next.clamp(now + BREATH, now + SLOW);
            tokio::select! {
                waited = backend.feed.wait(&topic, claimed.mark, until) => waited.expect("a wait"),
                _ = stopped.changed() => {}
            }
        }
    }
    attempts.join_all().await;
}

/// W3.
pub(crate) async fn pick_up(servers: &Servers, kind: Kind, figures: &mut Figures) {
    let subject = servers.fresh(kind).await;
    let worker = Worker::start(&subject.worker);
    put(&subject.maker, &[job(past())]).await;
    worker.until_done(1).await;
    let mut made = Vec::with_capacity(STARTS);
    let mut ticks = tokio::time::interval(EACH);
    for _ in 0..STARTS {
        ticks.tick().await;
        let job = job(SystemClock.now());
        put(&subject.maker, std::slice::from_ref(&job)).await;
        made.push((job.id, Instant::now()));
    }
    worker.until_done(STARTS + 1).await;
    let starts = worker.stop().await;
    assert_eq!(starts.len(), STARTS + 1);
    let waits = made.iter().map(|(id, at)| millis(starts[id].0.saturating_duration_since(*at)));
    figures.spread(["feed W3 p50", "feed W3 p99"], kind, waits.collect());
}

/// W4.
pub(crate) async fn lateness(servers: &Servers, kind: Kind, figures: &mut Figures) {
    let subject = servers.fresh(kind).await;
    let worker = Worker::start(&subject.worker);
    put(&subject.maker, &[job(past())]).await;
    worker.until_done(1).await;
    let at = SystemClock.now() + AHEAD;
    let jobs: Vec<_> = (0..STARTS).map(|_| job(at)).collect();
    put(&subject.maker, &jobs).await;
    worker.until_done(STARTS + 1).await;
    let starts = worker.stop().await;
    let late = jobs.iter().map(|job| {
        let late = starts[&job.id].1 - at;
        assert!(late >= TimeDelta::milliseconds(-1), "none is early: {late}");
        late.as_seconds_f64() * 1_000.0
    });
    figures.spread(["feed W4 p50", "feed W4 p99"], kind, late.collect());
}
