//! How many jobs a second go in and out of the queue: `cargo bench -p postq-redis`. On a server of its
//! own (`appendonly yes`, `appendfsync everysec`), or on the one that `POSTQ_TEST_REDIS_URL` names.

use std::time::{Duration, Instant};

use postq_core::clock::{Clock, SystemClock};
use postq_core::id::JobId;
use postq_core::job::{Lane, Topic};
use postq_core::queue::{Queue, QueuedJob, Reserve};
use postq_redis::{Config, Redis, RedisQueue};
use tokio::task::JoinSet;

const JOBS: usize = 20_000;

/// Callers at once.
const CALLERS: usize = 8;

fn main() {
    let given = test_servers::Redis::given();
    let server = given.is_none().then(|| test_servers::Redis::start_with(&["appendonly yes"]));
    let url = given.or_else(|| server.as_ref().map(test_servers::Redis::url)).expect("one of them");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
    runtime.block_on(async {
        for batch in [1, 100] {
            for callers in [1, CALLERS] {
                measure(&url, batch, callers).await;
            }
        }
    });
}

async fn measure(url: &str, batch: usize, callers: usize) {
    let prefix = format!("bench-{}", uuid::Uuid::new_v4().simple());
    let config = Config::new(url).with_prefix(prefix);
    let queue = Redis::new(config).expect("settings that fit").queue();
    let run_at = SystemClock.now() - Duration::from_secs(2);
    let job = |n: usize| QueuedJob {
        id: JobId::new(),
        topic: Topic::publish(),
        lane: Some(Lane::from_raw(format!("x/{}", n % 1_000))),
        priority: 0,
        run_at,
    };
    let jobs: Vec<_> = (0..JOBS).map(job).collect();

    let start = Instant::now();
    let mut pushers = JoinSet::new();
    for part in jobs.chunks(JOBS / callers) {
        let (queue, part) = (queue.clone(), part.to_vec());
        pushers.spawn(async move {
            for jobs in part.chunks(batch) {
                queue.push(jobs).await.expect("push");
            }
        });
    }
    pushers.join_all().await;
    let pushed = start.elapsed();

    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..callers {
        workers.spawn(drain(queue.clone(), batch));
    }
    let done: usize = workers.join_all().await.into_iter().sum();
    let drained = start.elapsed();

    assert_eq!(done, JOBS, "each once");
    let rate = |took: Duration| (JOBS as f64 / took.as_secs_f64()).round();
    #[allow(clippy::print_stdout, reason = "what it is for")]
    {
        println!(
            "batch {batch:>3}, {callers} at once: push {:>7}/s, reserve and ack {:>7}/s",
            rate(pushed),
            rate(drained)
        );
    }
}

/// Reserves a batch and acks it, one call each, until there is nothing more.
async fn drain(queue: RedisQueue, batch: usize) -> usize {
    let mut done = 0;
    loop {
        let reserve = Reserve::up_to(batch, Topic::publish());
        let got = queue.reserve(&reserve).await.expect("reserve");
        if got.is_empty() {
            return done;
        }
        done += got.len();
        let leases: Vec<_> = got.into_iter().map(|delivery| delivery.lease).collect();
        queue.ack(&leases).await.expect("ack");
    }
}
