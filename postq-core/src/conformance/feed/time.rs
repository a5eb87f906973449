//! Rules 20 and 21: leases and waits.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::backend::Backend;
use crate::conformance::fixtures::{World, plain_job, refused};
use crate::conformance::{BRIEF_LEASE, PATIENCE, SHORT_LEASE, eventually};
use crate::feed::{Deferral, JobFeed, Settle};
use crate::id::JobId;
use crate::job::{Applied, Fence, Held, Topic};
use crate::retry::RetryDecision;
use crate::store::{Block, BlockReason};

/// `renew` moves the end of a lease that is still held; a job whose lease ended is `Stale` once the
/// sweeper took it.
pub async fn renewing_keeps_the_lease(backend: Backend) {
    let world = World::new(backend).await;
    let at = world.at(-1_000).await;
    world.insert(&[plain_job(None, 9, at), plain_job(None, 0, at)]).await;
    let kept = world.take_leased(BRIEF_LEASE).await.job;
    let ends = world.now().await + BRIEF_LEASE;
    let lost = world.take_leased(SHORT_LEASE).await.job;
    let nobody = Held { job: JobId::new(), fence: Fence(1) };
    let renew = async |held: &[Held]| {
        let lease = Duration::from_secs(60);
        world.backend.feed.renew(held, lease).await.expect("renew")
    };

    let wrong = Held { fence: Fence(2), ..kept.held() };
    let answers = renew(&[wrong, kept.held(), nobody]).await;
    assert_eq!(answers, [Applied::Stale, Applied::Applied, Applied::Gone], "in order");

    world.expire(lost.id()).await;
    eventually("the first lease would have ended", async || {
        (world.now().await > ends + TimeDelta::milliseconds(50)).then_some(())
    })
    .await;
    let expired = world.backend.upkeep.expire(10).await.expect("expire");
    assert!(expired.is_empty(), "it was renewed");
    assert_eq!(renew(&[lost.held(), kept.held()]).await, [Applied::Stale, Applied::Applied]);
    assert_eq!(world.send(&kept, 0).await.timestamp_subsec_nanos() % 1_000, 0);
    world.apply(&kept, Settle::Absent { part: 0 }).await;
    world.apply(&kept, Settle::Succeeded(None)).await;
    assert_eq!(renew(&[kept.held()]).await, [Applied::Stale], "it has ended");
}

/// A prepared change: happens when it is awaited.
type Step = Pin<Box<dyn Future<Output = ()>>>;

/// What makes a job claimable, or claimable earlier than was told.
#[derive(Clone, Copy, Debug)]
enum Change {
    Insert,
    InsertForLater,
    Deferred,
    Retry,
    LaneFree,
    FollowUp,
    Expired,
    DueNow,
    Replayed,
    Lifted,
}

impl Change {
    const ALL: [Self; 10] = [
        Self::Insert,
        Self::InsertForLater,
        Self::Deferred,
        Self::Retry,
        Self::LaneFree,
        Self::FollowUp,
        Self::Expired,
        Self::DueNow,
        Self::Replayed,
        Self::Lifted,
    ];

    /// Brings a world to where the change can happen, and gives the change.
    async fn prepare(self, world: &World) -> Step {
        let world = world.clone();
        let due = world.at(-1_000).await;
        let lane = "test/lane";
        let insert_running = async |world: &World, lease| {
            world.insert(&[plain_job(Some(lane), 0, due)]).await;
            world.take_leased(lease).await.job
        };
        let long = Duration::from_secs(60);
        match self {
            Self::Insert => Box::pin(async move {
                world.insert(&[plain_job(None, 0, due)]).await;
            }),
            Self::InsertForLater => Box::pin(async move {
                let soon = world.at(1_000).await;
                world.insert(&[plain_job(None, 0, soon)]).await;
            }),
            Self::Deferred => {
                let job = insert_running(&world, long).await;
                Box::pin(async move {
                    let soon = world.at(100).await;
                    world.apply(&job, Settle::Deferred(soon, Deferral::Shutdown)).await;
                })
            }
            Self::Retry => {
                let job = insert_running(&world, long).await;
                Box::pin(async move {
                    let retry = RetryDecision::RetryAt(world.at(100).await);
                    world.apply(&job, Settle::Failed(refused(), retry)).await;
                })
            }
            Self::LaneFree => {
                let job = insert_running(&world, long).await;
                world.insert(&[plain_job(Some(lane), 0, due)]).await;
                Box::pin(async move { world.apply(&job, Settle::Succeeded(None)).await })
            }
            Self::FollowUp => {
                let job = insert_running(&world, long).await;
                Box::pin(async move {
                    let mut settlement = world.settlement(&job, Settle::Succeeded(None));
                    settlement.follow_ups = vec![plain_job(None, 0, due)];
                    assert_eq!(world.settle_with(settlement).await, Applied::Applied);
                })
            }
            Self::Expired => {
                let job = insert_running(&world, SHORT_LEASE).await;
                Box::pin(async move { world.expire(job.id()).await })
            }
            Self::DueNow => {
                let job = plain_job(None, 0, world.at(3_600_000).await);
                world.insert(std::slice::from_ref(&job)).await;
                Box::pin(async move {
                    let _ = world.backend.control.due_now(job.id).await.expect("due now");
                })
            }
            Self::Replayed => {
                let dead = world.dead_letter().await;
                Box::pin(async move {
                    let key = crate::store::ReplayKey::Keep;
                    let _ = world.backend.control.replay(dead.id(), key).await.expect("replay");
                })
            }
            Self::Lifted => {
                let block = Block {
                    scope: lane.to_owned(),
                    reason: BlockReason::Paused,
                    until: None,
                    note: String::new(),
                };
                world.backend.blocks.block(&block).await.expect("block");
                world.insert(&[plain_job(Some(lane), 0, due)]).await;
                Box::pin(async move {
                    let lifted = world.backend.blocks.lift(lane, BlockReason::Paused).await;
                    lifted.expect("lift");
                })
            }
        }
    }
}

async fn wait(
    feed: Arc<dyn JobFeed>,
    mark: crate::feed::Mark,
    until: chrono::DateTime<chrono::Utc>,
) {
    feed.wait(&Topic::publish(), mark, until).await.expect("wait");
}

/// `wait` returns soon after a change later than its mark that makes a job of the topic claimable,
/// whether the change comes before the wait or during it.
pub async fn waiting_ends_with_a_change(backend: Backend) {
    let world = World::new(backend).await;
    for change in Change::ALL {
        for during in [true, false] {
            let step = change.prepare(&world).await;
            let claimed = world.backend.feed.claim(&world.claim(10)).await.expect("claim");
            assert!(claimed.jobs.is_empty(), "before {change:?} there is nothing to claim");
            let until = world.at(600_000).await;
            let waiting = wait(world.backend.feed.clone(), claimed.mark, until);
            let ended = if during {
                let waiter = tokio::spawn(waiting);
                tokio::time::sleep(Duration::from_millis(20)).await;
                step.await;
                tokio::time::timeout(PATIENCE, waiter).await.map(|joined| joined.expect("wait"))
            } else {
                step.await;
                tokio::time::timeout(PATIENCE, waiting).await
            };
            assert!(ended.is_ok(), "{change:?}, during the wait: {during}");
            let job = world.take().await;
            world.apply(&job, Settle::Succeeded(None)).await;
        }
    }
}

/// `wait` returns at `until` at the latest.
pub async fn a_wait_ends_at_its_time(backend: Backend) {
    let world = World::new(backend).await;
    for millis in [-1_000, 0, 300] {
        let mark = world.backend.feed.claim(&world.claim(10)).await.expect("claim").mark;
        let until = world.at(millis).await;
        let waiting = wait(world.backend.feed.clone(), mark, until);
        tokio::time::timeout(PATIENCE, waiting).await.expect("the wait ends");
    }
}
