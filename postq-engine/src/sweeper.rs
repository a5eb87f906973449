//! The sweeper: finds what was lost on the way, and takes away what is no longer needed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::StoreError;
use postq_core::job::DedupeKey;
use postq_core::lock::LockToken;
use postq_core::store::Page;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;
use crate::media::{ahead, upkeep};
use crate::planner::{dispatch, push};
use crate::presence::{self, Announcer};

/// Rows in one call; calls in one round. What is left over waits for the next round.
const BATCH: usize = 1_000;
const CALLS: usize = 50;

/// The lock only saves work: longer than this nobody waits for it.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);

/// Sweeps every few seconds; cleans more rarely.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let every = shared.settings.sweep_every;
    let mut beat = shared.health.beat("sweeper", every);
    let mut cleaned = Instant::now();
    let mut announcer = Announcer::default();
    let mut ahead = ahead::Ahead::default();
    let mut orphans = upkeep::Orphans::default();
    while !shutdown.is_cancelled() {
        let clean = cleaned.elapsed() >= shared.settings.clean_every;
        let pause = match round(&shared, clean).await {
            Ok(()) => {
                if clean {
                    cleaned = Instant::now();
                }
                beat.ok();
                shared.jittered(every)
            }
            Err(error) => beat.failed(&error, shared.sample()),
        };
        // After a round, so that at the start there is something to tell.
        announcer.again(&shared).await;
        ahead.again(&shared).await;
        orphans.again(&shared).await;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn round(shared: &Shared, clean: bool) -> Result<(), StoreError> {
    expire(shared).await?;
    if shared.settings.plan {
        dispatch(shared).await?;
    }
    push_absent(shared).await?;
    if clean {
        presence::forget(shared).await;
        upkeep::clean(shared).await;
        let (upkeep, retention) = (&shared.backend.upkeep, &shared.settings.retention);
        for _ in 0..CALLS {
            let removed = shared.bounded("clean jobs", upkeep.clean(retention, BATCH)).await?;
            if removed < BATCH as u64 {
                break;
            }
        }
    }
    Ok(())
}

/// Gives up the leases of workers that are gone.
async fn expire(shared: &Shared) -> Result<(), StoreError> {
    for _ in 0..CALLS {
        let expired = shared.bounded("expire leases", shared.backend.upkeep.expire(BATCH)).await?;
        for job in &expired {
            tracing::warn!(job_id = %job, "lease expired; its worker is gone");
        }
        if expired.len() < BATCH {
            break;
        }
    }
    Ok(())
}

/// Pushes what is due soon, so that a queue that lost it has it again. Pushing is idempotent; still, of
/// the nodes that share the queue one is enough.
async fn push_absent(shared: &Shared) -> Result<(), StoreError> {
    let Some(queue) = &shared.backend.queue else { return Ok(()) };
    let now = shared.bounded("tell the time", shared.backend.jobs.now()).await?;
    if !is_our_turn(shared, now).await {
        return Ok(());
    }
    let until = now + shared.settings.look_ahead + Duration::from_secs(5);
    for workers in &shared.settings.topics {
        let mut page = Page::first(BATCH);
        for _ in 0..CALLS {
            let waiting = shared.backend.upkeep.waiting(&workers.topic, until, page);
            let jobs = shared.bounded("list waiting jobs", waiting).await?;
            if jobs.is_empty() {
                break;
            }
            push(shared, queue.as_ref(), &jobs).await?;
            match jobs.last() {
                Some(last) if jobs.len() == BATCH => page.after = Some(last.id.as_uuid()),
                _ => break,
            }
        }
    }
    Ok(())
}

/// Whether nobody else pushes in this round. A lock that does not answer leaves it to every node; one
/// whose holder crashed costs a round, in which the store gives the jobs by itself.
async fn is_our_turn(shared: &Shared, now: DateTime<Utc>) -> bool {
    let every = shared.settings.sweep_every;
    let (round, token) = ([DedupeKey::round("push", now, every)], LockToken::random());
    let acquire = shared.backend.lock.acquire(&round, &token, every);
    match tokio::time::timeout(LOCK_PATIENCE, acquire).await {
        Ok(Ok(acquired)) => acquired == [true],
        Ok(Err(_)) | Err(_) => true,
    }
}
