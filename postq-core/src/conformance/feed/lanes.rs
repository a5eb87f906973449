//! Rules 4 to 6: lanes, their order and their blocks.

use chrono::{DateTime, Utc};

use crate::backend::Backend;
use crate::conformance::eventually;
use crate::conformance::fixtures::{World, plain_job};
use crate::feed::{Claim, Settle};
use crate::id::JobId;
use crate::job::{Job, Lane, NewJob, Topic};
use crate::store::{Block, BlockReason};

fn ids<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Vec<JobId> {
    jobs.into_iter().map(Job::id).collect()
}

/// At most one job of a lane runs at once; within a lane the highest priority goes first, then the
/// earliest `planned_at`, then the lowest id.
pub async fn a_lane_runs_one_at_a_time_in_order(backend: Backend) {
    let world = World::new(backend).await;
    let (early, late) = (world.at(-9_000).await, world.at(-1_000).await);
    let mut twins = [plain_job(Some("test/a"), 0, late), plain_job(Some("test/a"), 0, late)];
    twins.sort_by_key(|job| job.id);
    let [first, second] = twins;
    let urgent = plain_job(Some("test/a"), 5, late);
    let older = plain_job(Some("test/a"), 0, early);
    let idle = plain_job(Some("test/a"), -5, early);
    let expected = [&urgent, &older, &first, &second, &idle].map(|job| job.id);
    world.insert(&[second, idle, older, first, urgent]).await;

    let mut order = Vec::new();
    for _ in 0..5 {
        let job = world.claim_n(&world.claim(10), 1).await.remove(0);
        world.assert_nothing_to_claim().await;
        order.push(job.id());
        world.apply(&job, Settle::Succeeded(None)).await;
    }

    assert_eq!(order, expected);
}

/// `lane_width` jobs of a lane run at once, and no more, over several claims too.
pub async fn a_wider_lane_runs_more(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let jobs: Vec<_> = (0..5).map(|n| plain_job(Some("test/a"), n, at)).collect();
    world.insert(&jobs).await;
    let wide = Claim { lane_width: 3, ..world.claim(10) };

    let one = world.take().await;
    let two = world.claim_n(&wide, 2).await;

    assert_eq!(ids([&one]), [jobs[4].id]);
    assert_eq!(ids(&two), [jobs[3].id, jobs[2].id], "in order");
    assert!(world.claim_now(&wide).await.is_empty(), "three run");
    world.apply(&two[0], Settle::Succeeded(None)).await;
    world.assert_nothing_to_claim().await;
    let next = world.claim_n(&wide, 1).await;
    assert_eq!(ids(&next), [jobs[1].id], "one place is free");
}

/// Across lanes: the highest priority first, then the earliest `planned_at`.
pub async fn lanes_compete_by_priority_then_time(backend: Backend) {
    let world = World::new(backend).await;
    let mut times: Vec<DateTime<Utc>> = Vec::new();
    for n in 0..4 {
        times.push(world.at(-10_000 + 1_000 * n).await);
    }
    let jobs = [
        plain_job(Some("test/a"), 0, times[2]),
        plain_job(None, 0, times[1]),
        plain_job(Some("test/b"), 0, times[0]),
        plain_job(Some("test/c"), 3, times[3]),
        plain_job(None, -1, times[0]),
        plain_job(None, 3, times[2]),
    ];
    world.insert(&jobs).await;

    let mut order = Vec::new();
    for limit in [2, 1, 10] {
        order.extend(ids(&world.claim_n(&world.claim(limit), limit.min(3)).await));
    }

    let expected = [5, 3, 2, 1, 0, 4].map(|n: usize| jobs[n].id);
    assert_eq!(order, expected);
}

async fn block(world: &World, scope: &str, until: Option<DateTime<Utc>>) {
    let block = Block {
        scope: scope.to_owned(),
        reason: BlockReason::RateLimit,
        until,
        note: "asked to wait".to_owned(),
    };
    world.backend.blocks.block(&block).await.expect("block");
}

/// Blocked and skipped lanes give nothing and hold back nobody; a lifted or ended block lets them go
/// on.
pub async fn a_blocked_lane_waits_alone(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let of = |lane: Option<&str>, priority| plain_job(lane, priority, at);
    let (paused, app) = (of(Some("x/a"), 9), of(Some("y/b"), 8));
    let (free, laneless) = (of(Some("x/ab"), 1), of(None, 0));
    block(&world, "x/a", None).await;
    block(&world, "y/", None).await;
    world.insert(&[paused.clone(), app.clone(), free.clone(), laneless.clone()]).await;

    let got = world.claim_n(&world.claim(10), 2).await;
    assert_eq!(ids(&got), [free.id, laneless.id], "a lane whose name begins like it is free");
    let claimed = world.backend.feed.claim(&world.claim(10)).await.expect("claim");
    assert_eq!(claimed.next_at, None, "blocked for ever counts as nothing");

    let until = world.at(700).await;
    block(&world, "x/a", Some(until)).await;
    let claimed = world.backend.feed.claim(&world.claim(10)).await.expect("claim");
    if claimed.now < until {
        assert!(claimed.jobs.is_empty(), "still blocked");
        assert_eq!(claimed.next_at, Some(until), "the end of the block is worth a claim");
    }
    let later = of(Some("x/a"), 0);
    let later = NewJob { planned_at: world.at(3_600_000).await, topic: Topic::notify(), ..later };
    world.insert(std::slice::from_ref(&later)).await;
    let notify = Claim { topic: Topic::notify(), ..world.claim(10) };
    let claimed = world.backend.feed.claim(&notify).await.expect("claim");
    assert_eq!(claimed.next_at, Some(later.planned_at), "a block that ends before it is due");
    let got = eventually("the block ends", async || {
        let claimed = world.backend.feed.claim(&world.claim(10)).await.expect("claim");
        assert!(claimed.jobs.is_empty() || claimed.now >= until, "not before its end");
        claimed.jobs.into_iter().next()
    })
    .await;
    assert_eq!(got.job.id(), paused.id);

    world.backend.blocks.lift("y/", BlockReason::RateLimit).await.expect("lift");
    let skip = Claim { skip: vec!["y/".to_owned()], ..world.claim(10) };
    assert!(world.claim_now(&skip).await.is_empty(), "the worker skips it");
    let got = world.claim_n(&world.claim(10), 1).await;
    assert_eq!(ids(&got), [app.id]);
}

/// A backlog of one lane that is full or blocked costs the others nothing: theirs come at once.
pub async fn a_backlog_of_one_lane_holds_back_nobody(backend: Backend) {
    let world = World::new(backend).await;
    let (early, late) = (world.at(-60_000).await, world.at(-1_000).await);
    for lane in ["x/blocked", "x/full"] {
        let backlog: Vec<NewJob> = (0..600).map(|_| plain_job(Some(lane), 9, early)).collect();
        world.insert(&backlog).await;
    }
    block(&world, "x/blocked", None).await;
    let running = world.claim_n(&world.claim(10), 1).await;
    assert_eq!(running[0].made.lane, Some(Lane::from_raw("x/full")));
    let quiet: Vec<_> = (0..5).map(|n| plain_job(Some(&format!("x/{n}")), 0, late)).collect();
    world.insert(&quiet).await;

    let got = world.claim_n(&world.claim(5), 5).await;

    let mut expected: Vec<_> = quiet.iter().map(|job| job.id).collect();
    expected.sort_unstable();
    assert_eq!(ids(&got), expected);
}
