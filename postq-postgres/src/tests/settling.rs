//! Settlements that come at the same time go together, and do not depend on one another.

use std::time::Duration;

use postq_core::clock::{Clock, SystemClock};
use postq_core::feed::{Claim, ClaimedJob, JobFeed, Settle, Settlement};
use postq_core::id::NodeId;
use postq_core::job::{Applied, JobKind, NewJob, Topic};
use postq_core::store::JobStore;
use test_servers::Postgres;
use tokio::task::JoinSet;

use crate::{Config, PgStore};

const JOBS: usize = 200;

fn job() -> NewJob {
    NewJob::new(JobKind::new("noop"), Topic::notify(), SystemClock.now() - Duration::from_secs(2))
}

fn success(claimed: &ClaimedJob) -> Settlement {
    Settlement {
        held: claimed.job.held(),
        node: claimed.job.node.expect("it runs somewhere"),
        settle: Settle::Succeeded(None),
        reason: None,
        follow_ups: Vec::new(),
    }
}

/// A store with claimed jobs.
async fn claimed() -> (PgStore, Vec<ClaimedJob>) {
    let config = Config::new(Postgres::shared().url());
    let config = config.in_schema(Postgres::shared().fresh_schema()).with_connections(4);
    let store = PgStore::open(config).await.expect("a fresh store");
    let jobs: Vec<_> = (0..JOBS).map(|_| job()).collect();
    store.insert(&jobs).await.expect("jobs");
    let claim = Claim::up_to(JOBS, Topic::notify(), NodeId::new());
    let claimed = store.claim(&claim).await.expect("a claim").jobs;
    assert_eq!(claimed.len(), JOBS);
    (store, claimed)
}

/// Settles each in a call of its own, all at the same time; the answers in order.
async fn settle_each(
    store: &PgStore,
    settlements: Vec<Settlement>,
) -> Vec<Result<Vec<Applied>, postq_core::error::StoreError>> {
    let mut calls = JoinSet::new();
    for (n, settlement) in settlements.into_iter().enumerate() {
        let store = store.clone();
        calls.spawn(async move { (n, store.settle(&[settlement]).await) });
    }
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_at_the_same_time_goes_together() {
    let (store, claimed) = claimed().await;

    let answers = settle_each(&store, claimed.iter().map(success).collect()).await;

    for answer in answers {
        assert_eq!(answer.expect("settled"), [Applied::Applied]);
    }
    let lent = store.lend().await.expect("a connection");
    let count =
        format!("SELECT count(DISTINCT xmin::text), count(*) FROM {}.ended", store.schema());
    let row = lent.client().query_one(&count, &[]).await.expect("a count");
    let (transactions, ended): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(ended, JOBS as i64);
    assert!(transactions <= JOBS as i64 / 4, "{JOBS} jobs took {transactions} transactions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_cannot_be_settled_fails_alone() {
    let (store, claimed) = claimed().await;
    let mut settlements: Vec<_> = claimed.iter().map(success).collect();
    // Postgres knows no NUL.
    settlements[7].follow_ups.push(NewJob { topic: Topic::new("a\0b"), ..job() });
    let node = settlements[8].node;
    settlements[8].held.fence.0 += 1;

    let answers = settle_each(&store, settlements).await;

    for (n, answer) in answers.into_iter().enumerate() {
        match n {
            7 => assert!(answer.is_err(), "{answer:?}"),
            8 => assert_eq!(answer.expect("answered"), [Applied::Stale]),
            _ => assert_eq!(answer.expect("settled"), [Applied::Applied], "the job {n} of {node}"),
        }
    }
    let running = format!("SELECT count(*) FROM {}.running", store.schema());
    let lent = store.lend().await.expect("a connection");
    let running: i64 = lent.client().query_one(&running, &[]).await.expect("a count").get(0);
    assert_eq!(running, 2, "what could not be settled still runs");
}

/// A lease is renewed while its job is settled, as it happens all the time: the job leaves `running`
/// whatever the order in which the server sees the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_at_the_same_time_keeps_no_job_running() {
    for _ in 0..10 {
        let (store, claimed) = claimed().await;
        let held: Vec<_> = claimed.iter().map(|one| one.job.held()).collect();
        let mut renewals = JoinSet::new();
        // One by one, so that many are committed while the settlement is on its way through its rows.
        for some in held.chunks(JOBS / 2) {
            let (store, some) = (store.clone(), some.to_vec());
            renewals.spawn(async move {
                for one in some.iter().rev().cycle() {
                    if store.renew(&[*one], Duration::from_secs(60)).await.is_err() {
                        break;
                    }
                }
            });
        }
        tokio::task::yield_now().await;
        let settlements: Vec<_> = claimed.iter().map(success).collect();
        let answers = store.settle(&settlements).await.expect("settled");
        assert_eq!(answers, vec![Applied::Applied; JOBS]);
        renewals.shutdown().await;

        let lent = store.lend().await.expect("a connection");
        let s = store.schema();
        let count =
            format!("SELECT (SELECT count(*) FROM {s}.running), (SELECT count(*) FROM {s}.ended)");
        let row = lent.client().query_one(&count, &[]).await.expect("counts");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, JOBS as i64));
    }
}
