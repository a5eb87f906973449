//! The rules of [`BlockStore`](crate::store::BlockStore).

use chrono::{DateTime, Utc};

use crate::backend::Backend;
use crate::conformance::eventually;
use crate::conformance::fixtures::World;
use crate::store::{Block, BlockReason};

fn block(scope: &str, reason: BlockReason, until: Option<DateTime<Utc>>) -> Block {
    Block { scope: scope.to_owned(), reason, until, note: format!("{scope} stands still") }
}

async fn put(backend: &Backend, block: &Block) {
    backend.blocks.block(block).await.expect("block");
}

async fn blocks(backend: &Backend) -> Vec<Block> {
    let mut blocks = backend.blocks.blocks().await.expect("blocks");
    blocks.sort_by(|a, b| (&a.scope, a.reason).cmp(&(&b.scope, b.reason)));
    blocks
}

/// One block per scope and reason: another one replaces it.
pub async fn a_block_replaces_its_like(backend: Backend) {
    let world = World::new(backend).await;
    let soon = Some(world.at(60_000).await);
    let paused = block("x/a", BlockReason::Paused, None);
    let limited = block("x/a", BlockReason::RateLimit, soon);
    let app = block("x/", BlockReason::Credits, None);
    for each in [&paused, &limited, &app] {
        put(&world.backend, each).await;
    }
    assert_eq!(blocks(&world.backend).await, [app.clone(), paused.clone(), limited.clone()]);

    let longer =
        Block { note: "longer".to_owned(), until: Some(world.at(90_000).await), ..limited };
    put(&world.backend, &longer).await;

    assert_eq!(blocks(&world.backend).await, [app, paused, longer]);
}

/// `lift` takes one away and wakes the lane; what is not there is no error.
pub async fn lifting_wakes_the_lane(backend: Backend) {
    let world = World::new(backend).await;
    let lane = world.account.lane();
    put(&world.backend, &block(lane.as_str(), BlockReason::Paused, None)).await;
    put(&world.backend, &block(lane.app(), BlockReason::Credits, None)).await;
    let job = world.due_job().await;
    let lift = async |scope: &str, reason| {
        world.backend.blocks.lift(scope, reason).await.expect("lift");
    };
    world.assert_nothing_to_claim().await;

    lift(lane.as_str(), BlockReason::RateLimit).await;
    lift("none/", BlockReason::Paused).await;
    assert_eq!(blocks(&world.backend).await.len(), 2, "these were not there");
    lift(lane.as_str(), BlockReason::Paused).await;
    world.assert_nothing_to_claim().await;

    let claimed = world.backend.feed.claim(&world.claim(1)).await.expect("claim");
    assert!(claimed.jobs.is_empty(), "the app is still blocked");
    let until = world.at(60_000).await;
    let feed = world.backend.feed.clone();
    let waiter =
        tokio::spawn(
            async move { feed.wait(&crate::job::Topic::publish(), claimed.mark, until).await },
        );
    lift(lane.app(), BlockReason::Credits).await;
    tokio::time::timeout(crate::conformance::PATIENCE, waiter)
        .await
        .expect("the wait ends soon")
        .expect("the waiter ends well")
        .expect("wait");
    assert_eq!(world.take().await.id(), job.id);
}

/// `blocks` leaves out those that have ended.
pub async fn ended_blocks_are_gone(backend: Backend) {
    let world = World::new(backend).await;
    let over = Some(world.at(-1).await);
    let soon = Some(world.at(200).await);
    put(&world.backend, &block("x/over", BlockReason::RateLimit, over)).await;
    put(&world.backend, &block("x/soon", BlockReason::RateLimit, soon)).await;
    put(&world.backend, &block("x/never", BlockReason::Paused, None)).await;
    let scopes = async || {
        let blocks = blocks(&world.backend).await;
        blocks.into_iter().map(|block| block.scope).collect::<Vec<_>>()
    };
    assert!(!scopes().await.contains(&"x/over".to_owned()));

    eventually("the block ends", async || (scopes().await == ["x/never".to_owned()]).then_some(()))
        .await;
}
