//! What a claim costs with millions of jobs that are not due.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use postq::core::backend::Backend;
use postq::core::clock::{Clock, SystemClock};
use postq::core::feed::{Claim, Settle, Settlement};
use postq::core::id::NodeId;
use postq::core::job::Applied;

use crate::feed::{MADE, job, put, topic};
use crate::figures::{Figures, median, millis};
use crate::subject::{Kind, Servers};

const DUE: usize = 100;
const ROUNDS: usize = 60;
/// The first ones warm up what is measured.
const WARM: usize = 10;

pub(crate) async fn claims(servers: &Servers, kind: Kind, future: usize, figures: &mut Figures) {
    let (few, many) = (servers.fresh(kind).await, servers.fresh(kind).await);
    let first = SystemClock.now() + TimeDelta::days(1);
    for begin in (0..future).step_by(MADE) {
        let seconds = |n: usize| TimeDelta::seconds(i64::try_from(n).unwrap_or(i64::MAX));
        let jobs: Vec<_> =
            (begin..future.min(begin + MADE)).map(|n| job(first + seconds(n))).collect();
        put(&many.maker, &jobs).await;
    }
    let mut times: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..ROUNDS {
        for (backend, times) in [&few.worker, &many.worker].into_iter().zip(&mut times) {
            let (full, empty) = round_of(backend).await;
            if round >= WARM {
                times[0].push(millis(full));
                times[1].push(millis(empty));
            }
        }
    }
    let [mut few, mut many] = times;
    let rows = [
        ["claim of 100", "claim of 100 p99", "claim of 100, future", "claim of 100, future p99"],
        [
            "claim of none",
            "claim of none p99",
            "claim of none, future",
            "claim of none, future p99",
        ],
    ];
    let ratios = ["claim of 100, ratio", "claim of none, ratio"];
    for (n, [alone, alone_99, among, among_99]) in rows.into_iter().enumerate() {
        let medians = [&mut few[n], &mut many[n]].map(|times| median(times).expect("rounds"));
        figures.spread([alone, alone_99], kind, few[n].clone());
        figures.spread([among, among_99], kind, many[n].clone());
        figures.ratio(ratios[n], kind, medians[1] / medians[0]);
    }
}

/// Makes 100 due jobs, claims and settles them, and claims again; how long the claims took.
async fn round_of(backend: &Backend) -> (Duration, Duration) {
    let past = SystemClock.now() - TimeDelta::seconds(1);
    put(backend, &(0..DUE).map(|_| job(past)).collect::<Vec<_>>()).await;
    let node = NodeId::new();
    let claim = Claim::up_to(DUE, topic(), node);
    let before = Instant::now();
    let claimed = backend.feed.claim(&claim).await.expect("a claim");
    let full = before.elapsed();
    assert_eq!(claimed.jobs.len(), DUE);
    let done: Vec<_> = claimed
        .jobs
        .iter()
        .map(|claimed| Settlement {
            held: claimed.job.held(),
            node,
            settle: Settle::Succeeded(None),
            reason: None,
            follow_ups: Vec::new(),
        })
        .collect();
    let answers = backend.feed.settle(&done).await.expect("settled");
    assert!(answers.iter().all(|answer| *answer == Applied::Applied));
    let before = Instant::now();
    let none = backend.feed.claim(&claim).await.expect("a claim");
    let empty = before.elapsed();
    assert!(none.jobs.is_empty(), "what is not due is not claimed");
    (full, empty)
}
