//! The planner: turns due occurrences into jobs, ahead of time.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::{ErrorKind, StoreError};
use postq_core::feed::Mark;
use postq_core::job::Topic;
use postq_core::queue::{Queue, QueuedJob};
use postq_core::store::PlanRequest;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;
use crate::webhooks::{Listeners, TellMissed};

/// A lost wake-up costs the planner at most this: half the default look-ahead, so that nothing is
/// late for it.
pub(crate) const SLOW_SWEEP: Duration = Duration::from_secs(30);

/// Transactions in one round; what is left over waits for the next, which follows at once.
const ROUNDS: usize = 100;

/// Jobs made claimable in one call.
const DISPATCH_BATCH: usize = 1_000;

/// Plans whenever there is something to plan: at the time the store names, when a schedule was
/// changed, and every half minute in case both were missed.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut beat = shared.health.beat("planner", SLOW_SWEEP);
    let topic = Topic::plan();
    let listeners = shared.listeners.as_ref().map(Listeners::apart);
    while !shutdown.is_cancelled() {
        let pause = async {
            match round(&shared, listeners.as_ref()).await {
                Ok((mark, until)) => {
                    beat.ok();
                    if let Err(error) = shared.wait(&topic, mark, until).await {
                        tokio::time::sleep(beat.failed(&error, shared.sample())).await;
                    }
                }
                Err(error) => tokio::time::sleep(beat.failed(&error, shared.sample())).await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = pause => {}
        }
    }
}

/// Plans all that is due for planning; answers from which change on and until when to wait.
async fn round(
    shared: &Arc<Shared>,
    listeners: Option<&Listeners>,
) -> Result<(Mark, DateTime<Utc>), StoreError> {
    let settings = &shared.settings;
    let mut request = PlanRequest::new(shared.node);
    request.look_ahead = settings.look_ahead;
    request.prepare_ahead = settings.prepare_ahead;
    request.only = settings.only.clone();
    request.max_attempts = settings.max_attempts;
    if let Some(listeners) = listeners {
        request.follow_up = Some(Arc::new(TellMissed::new(shared, listeners).await));
    }
    for round in 1.. {
        let plan = shared.backend.schedules.plan(&request, &shared.resolver);
        let planned = shared.bounded("plan schedules", plan).await?;
        for (schedule, problem) in &planned.broken {
            tracing::error!(schedule_id = %schedule, problem, "schedule switched off");
        }
        if planned.missed > 0 {
            tracing::warn!(missed = planned.missed, "occurrences missed");
        }
        if !planned.jobs.is_empty() {
            tracing::debug!(jobs = planned.jobs.len(), "planned");
        }
        dispatch(shared).await?;
        if !planned.more || round >= ROUNDS {
            let slow = planned.now + shared.jittered(SLOW_SWEEP);
            let next = planned.next_at.filter(|_| !planned.more).unwrap_or(slow);
            let until = if planned.more { planned.now } else { next.min(slow) };
            return Ok((planned.mark, until));
        }
    }
    unreachable!("the rounds end inside the loop")
}

/// Makes planned jobs claimable, and tells the queue of them where there is one.
pub(crate) async fn dispatch(shared: &Shared) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let dispatch = shared.backend.upkeep.dispatch(&shared.settings.only, DISPATCH_BATCH);
        let jobs = shared.bounded("dispatch jobs", dispatch).await?;
        if let Some(queue) = &shared.backend.queue
            && !jobs.is_empty()
            // Not an error of the round: the store has them, and the sweeper pushes what is absent.
            && let Err(error) = push(shared, queue.as_ref(), &jobs).await
        {
            let error = postq_core::error::chain(&error);
            tracing::warn!(error, jobs = jobs.len(), "jobs not pushed; the sweeper will");
        }
        if jobs.len() < DISPATCH_BATCH {
            break;
        }
    }
    Ok(())
}

/// Tells a queue of jobs; a queue that does not answer holds up nobody.
pub(crate) async fn push(
    shared: &Shared,
    queue: &dyn Queue,
    jobs: &[QueuedJob],
) -> Result<(), StoreError> {
    let push = async {
        queue
            .push(jobs)
            .await
            .map_err(|error| StoreError::new(ErrorKind::Unavailable, "push jobs").caused_by(error))
    };
    shared.bounded("push jobs", push).await
}
