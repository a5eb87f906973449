//! Rules 4 to 6: lanes, their order and their blocks.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::backend::Backend;
use crate::conformance::fixtures::{World, plain_job, refused};
use crate::conformance::{SHORT_LEASE, eventually};
use crate::feed::{Claim, Deferral, Only, Settle};
use crate::id::JobId;
use crate::job::{Job, Lane, NewJob, Topic};
use crate::retry::RetryDecision;
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

/// What a queue proposes keeps the order of its lane: it is not given while another due job of the
/// lane, which nobody proposed, comes before it.
pub async fn what_is_proposed_keeps_its_place_in_the_lane(backend: Backend) {
    let world = World::new(backend).await;
    let (early, late) = (world.at(-9_000).await, world.at(-1_000).await);
    let future = world.at(60_000).await;
    let first = plain_job(Some("test/a"), 0, early);
    let second = plain_job(Some("test/a"), 0, late);
    let urgent = plain_job(Some("test/a"), 9, future);
    let alone = plain_job(Some("test/b"), 1, late);
    let free = [plain_job(None, 9, early), plain_job(None, 0, late)];
    world.insert(&[first.clone(), second.clone(), urgent.clone(), alone.clone()]).await;
    world.insert(&free).await;
    let proposed = |jobs: &[&NewJob]| {
        let ids = jobs.iter().map(|job| job.id).collect();
        Claim { only: Only::Jobs(Arc::new(ids)), ..world.claim(10) }
    };

    let got = world.claim_n(&proposed(&[&second, &urgent, &alone, &free[1]]), 2).await;
    assert_eq!(ids(&got), [alone.id, free[1].id], "those of no lane have no order");
    let wide = Claim { lane_width: 2, ..proposed(&[&second]) };
    let got = world.claim_n(&wide, 1).await;
    assert_eq!(ids(&got), [second.id], "a second one has room beside the first");
    world.apply(&got[0], Settle::Succeeded(None)).await;
    let got = world.claim_n(&proposed(&[&first, &urgent]), 1).await;
    assert_eq!(ids(&got), [first.id], "what is not due holds back nobody");
}

/// A retry that is due goes before a job of its lane that was planned for later.
pub async fn a_retry_goes_before_what_was_planned_later(backend: Backend) {
    let world = World::new(backend).await;
    let retried = plain_job(Some("test/a"), 0, world.at(-9_000).await);
    world.insert(std::slice::from_ref(&retried)).await;
    let job = world.take().await;
    let soon = world.now().await;
    world.apply(&job, Settle::Failed(refused(), RetryDecision::RetryAt(soon))).await;
    let later = plain_job(Some("test/a"), 0, world.at(-1_000).await);
    world.insert(std::slice::from_ref(&later)).await;

    let got = world.claim_n(&world.claim(1), 1).await;

    assert_eq!(ids(&got), [retried.id]);
    world.apply(&got[0], Settle::Succeeded(None)).await;
    assert_eq!(ids(&world.claim_n(&world.claim(1), 1).await), [later.id]);
}

/// When the block of an app ends that its platform had asked for, one job goes first. Until it has
/// settled, for the length of its lease at most, the others wait. Its success lets all of them go;
/// any other end lets the next one go first.
pub async fn one_job_goes_first_when_an_app_may_go_on(backend: Backend) {
    let world = World::new(backend).await;
    let mut jobs = Vec::new();
    for n in 0..5 {
        let at = world.at(-10_000 + 1_000 * n).await;
        jobs.push(plain_job(Some(&format!("x/{n}")), 0, at));
    }
    let elsewhere = plain_job(Some("y/a"), -9, world.at(-1_000).await);
    let far = world.at(3_600_000).await;
    let over = async || block(&world, "x/", Some(world.at(-1).await)).await;
    over().await;
    world.insert(&jobs).await;
    world.insert(std::slice::from_ref(&elsewhere)).await;

    let got = world.claim_n(&world.claim(10), 2).await;
    assert_eq!(ids(&got), [jobs[0].id, elsewhere.id], "one of the app; others are not held back");
    let claimed = world.backend.feed.claim(&world.claim(10)).await.expect("claim");
    assert!(claimed.jobs.is_empty(), "nobody knows yet");
    assert!(claimed.next_at.is_some_and(|at| at > claimed.now), "{:?}", claimed.next_at);
    world.apply(&got[0], Settle::Failed(refused(), RetryDecision::RetryAt(far))).await;

    let got = world.claim_n(&world.claim(10), 1).await;
    assert_eq!(ids(&got), [jobs[1].id], "the next one goes first");
    block(&world, "x/", Some(world.at(60_000).await)).await;
    world.apply(&got[0], Settle::Deferred(far, Deferral::Refused)).await;
    world.assert_nothing_to_claim().await;

    over().await;
    let brief = Claim { lease: SHORT_LEASE, ..world.claim(10) };
    let silent = world.claim_n(&brief, 1).await;
    assert_eq!(ids(&silent), [jobs[2].id]);
    let got = world.claim_n(&world.claim(10), 1).await;
    assert_eq!(ids(&got), [jobs[3].id], "nothing was heard of the one before");
    world.apply(&got[0], Settle::Succeeded(None)).await;

    let more = plain_job(Some("x/9"), 0, world.at(-1_000).await);
    world.insert(std::slice::from_ref(&more)).await;
    let got = world.claim_n(&world.claim(10), 2).await;
    assert_eq!(ids(&got), [jobs[4].id, more.id], "all go on");
    let blocks = world.backend.blocks.blocks().await.expect("blocks");
    assert!(blocks.is_empty(), "{blocks:?}");
}

/// A pause that a person gave an end, and the block of one lane, are over when they have ended.
pub async fn other_blocks_end_for_all_at_once(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    let jobs: Vec<_> = (0..3).map(|n| plain_job(Some(&format!("x/{n}")), 0, at)).collect();
    let over = Some(world.at(-1).await);
    block(&world, "x/0", over).await;
    let paused = Block {
        scope: "x/".to_owned(),
        reason: BlockReason::Paused,
        until: over,
        note: "paused for a while".to_owned(),
    };
    world.backend.blocks.block(&paused).await.expect("block");
    world.insert(&jobs).await;

    world.claim_n(&world.claim(10), 3).await;
}
