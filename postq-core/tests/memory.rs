//! What the memory backend promises besides the suites: a seed decides everything, and many jobs
//! make no claim slow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use postq_core::clock::{Clock, SystemClock, TokioClock};
use postq_core::conformance::fixtures::{TestResolver, plain_job};
use postq_core::feed::{Claim, Settle, Settlement};
use postq_core::id::{AccountId, NodeId, PostId};
use postq_core::job::{Applied, Topic};
use postq_core::memory::MemoryBackend;
use postq_core::store::{JobFilter, Page, PlanRequest};
use postq_core::{account::Account, content, id::TenantId, job::Job, schedule};
use uuid::Uuid;

/// Plans, claims and settles under paused time; what is left is told by the jobs.
async fn run(seed: u64) -> Vec<Job> {
    let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let clock = Arc::new(TokioClock::starting_at(start));
    let backend = MemoryBackend::seeded(clock.clone(), seed).backend();
    let node = NodeId::from_uuid(Uuid::from_u128(1));
    let account = Account {
        id: AccountId::from_uuid(Uuid::from_u128(2)),
        ..Account::new("main", "test".parse().expect("a name"), start)
    };
    backend.accounts.insert(&account).await.expect("memory does not fail");
    let post = content::Post {
        id: PostId::from_uuid(Uuid::from_u128(3)),
        ..content::Post::new(content::Content::text("hello"), start)
    };
    backend.posts.insert(std::slice::from_ref(&post)).await.expect("memory does not fail");
    let every = Duration::from_secs(7);
    let timing = schedule::Timing::Interval { every, anchor: start, count: None, until: None };
    let schedule = schedule::Schedule {
        id: postq_core::id::ScheduleId::from_uuid(Uuid::from_u128(4)),
        next_run_at: Some(start),
        ..schedule::Schedule::new(post.id, vec![account.id], timing, start)
    };
    backend.schedules.insert(&[schedule]).await.expect("memory does not fail");
    let resolver = TestResolver::shared();
    while clock.now() < start + TimeDelta::minutes(5) {
        backend
            .schedules
            .plan(&PlanRequest::new(node), &resolver)
            .await
            .expect("memory does not fail");
        backend
            .upkeep
            .dispatch(&postq_core::feed::Only::Any, 100)
            .await
            .expect("memory does not fail");
        let claimed = backend
            .feed
            .claim(&Claim::up_to(1, Topic::publish(), node))
            .await
            .expect("memory does not fail");
        for job in claimed.jobs {
            let settle = Settle::Succeeded(None);
            let (held, reason, follow_ups) = (job.job.held(), None, Vec::new());
            let settlement = Settlement { held, node, settle, reason, follow_ups };
            let answers = backend.feed.settle(&[settlement]).await.expect("memory does not fail");
            assert_eq!(answers, [Applied::Applied]);
        }
        let until = claimed.next_at.unwrap_or(claimed.now + TimeDelta::seconds(1));
        let until = until.max(claimed.now + TimeDelta::milliseconds(1));
        backend
            .feed
            .wait(&Topic::publish(), claimed.mark, until)
            .await
            .expect("memory does not fail");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let page = Page::first(1_000);
    backend
        .jobs
        .list(TenantId::DEFAULT, &JobFilter::default(), page)
        .await
        .expect("memory does not fail")
}

#[tokio::test(start_paused = true)]
async fn one_seed_decides_everything() {
    let first = run(7).await;

    assert!(first.len() > 40, "only {} jobs", first.len());
    assert_eq!(first, run(7).await, "the same seed");
    let ids = |jobs: &[Job]| jobs.iter().map(Job::id).collect::<Vec<_>>();
    assert_ne!(ids(&first), ids(&run(8).await), "another seed");
}

#[tokio::test]
async fn a_claim_is_quick_among_many_jobs() {
    let backend = MemoryBackend::new(Arc::new(SystemClock)).backend();
    let now = backend.jobs.now().await.unwrap();
    let (past, future) = (now - TimeDelta::hours(1), now + TimeDelta::hours(1));
    let blocked = postq_core::store::Block {
        scope: "x/blocked".to_owned(),
        reason: postq_core::store::BlockReason::Paused,
        until: None,
        note: String::new(),
    };
    backend.blocks.block(&blocked).await.unwrap();
    let mut jobs = Vec::new();
    for n in 0..50_000 {
        jobs.push(plain_job(Some("x/blocked"), 9, past));
        jobs.push(plain_job(Some(&format!("x/{}", n % 5_000)), 0, future));
    }
    jobs.extend((0..250).map(|n| plain_job(Some(&format!("y/{n}")), 0, past)));
    backend.jobs.insert(&jobs).await.unwrap();
    let claim = Claim::up_to(10, Topic::publish(), NodeId::new());

    let start = Instant::now();
    let mut claimed = 0;
    for _ in 0..30 {
        claimed += backend.feed.claim(&claim).await.unwrap().jobs.len();
    }

    assert_eq!(claimed, 250, "one of each free lane");
    // Some milliseconds in all; 30 looks at all 100,000 would take seconds in a debug build.
    assert!(start.elapsed() < Duration::from_secs(1), "30 claims took {:?}", start.elapsed());
}
