//! Settling: writing down what became of an attempt, however often it takes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::error::chain;
use postq_core::feed::{Settle, Settlement};
use postq_core::id::{AccountId, JobId, PostId, ScheduleId};
use postq_core::intent::Receipt;
use postq_core::job::{Applied, CorrelationId, Fence, Held, Job, JobKind, NewJob};
use serde::Serialize;

use crate::engine::Shared;
use crate::webhooks::Event;

/// What became of an attempt, for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The job.
    pub job: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The post it brings out.
    pub post: Option<PostId>,
    /// The schedule it came from.
    pub schedule: Option<ScheduleId>,
    /// The account it worked for.
    pub account: Option<AccountId>,
    /// What people call the account.
    pub account_name: Option<String>,
    /// What asked for it.
    pub correlation_id: CorrelationId,
    /// When it was meant to happen.
    pub planned_at: DateTime<Utc>,
    /// The claim that came to this: a later one of the job has a higher fence.
    pub fence: Fence,
    /// What became of it.
    pub result: ReportResult,
}

impl Report {
    /// That a job, in the claim that it is in or was in last, came to this.
    pub fn new(job: &Job, account_name: Option<String>, result: ReportResult) -> Self {
        let made = &job.made;
        Self {
            job: job.id(),
            kind: made.kind.clone(),
            post: made.post_id,
            schedule: made.schedule_id,
            account: made.account_id,
            account_name,
            correlation_id: made.correlation_id.clone(),
            planned_at: made.planned_at,
            fence: job.fence,
            result,
        }
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ReportResult {
    /// It is out; its last part's receipt, none for kinds that publish nothing.
    Succeeded {
        /// The proof.
        receipt: Option<Receipt>,
    },
    /// It failed and will be tried, or looked for, again.
    Retrying {
        /// When.
        at: DateTime<Utc>,
        /// Why.
        reason: String,
    },
    /// It was given back without being charged.
    Waiting {
        /// Until when.
        until: DateTime<Utc>,
        /// Why.
        reason: String,
    },
    /// It gave up.
    Dead {
        /// Why.
        reason: String,
    },
    /// It was too late, and the misfire policy skips it.
    Missed,
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) settle: Settle,
    pub(crate) reason: Option<String>,
    pub(crate) follow_ups: Vec<NewJob>,
    /// What webhooks tell, where the settlement itself does not say it.
    pub(crate) event: Option<Event>,
}

impl Verdict {
    pub(crate) fn new(settle: Settle, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::plain(settle) }
    }

    pub(crate) fn plain(settle: Settle) -> Self {
        Self { settle, reason: None, follow_ups: Vec::new(), event: None }
    }

    pub(crate) fn followed_by(mut self, job: NewJob) -> Self {
        self.follow_ups.push(job);
        self
    }

    pub(crate) fn telling(mut self, event: Event) -> Self {
        self.event = Some(event);
        self
    }
}

/// Writes a verdict down. Tries until the store takes it: a receipt that is not written down costs a
/// look on the platform, and a failure that is not costs a lease.
///
/// Ends with its attempt: at the time limit, or with the process. What was not settled then is
/// found by the sweeper.
pub(crate) async fn settle(shared: &Shared, held: Held, verdict: &Verdict) -> Applied {
    let settlement = Settlement {
        held,
        node: shared.node,
        settle: verdict.settle.clone(),
        reason: verdict.reason.clone(),
        follow_ups: verdict.follow_ups.clone(),
    };
    let mut wait = Duration::from_millis(50);
    loop {
        let call = shared.backend.feed.settle(std::slice::from_ref(&settlement));
        match shared.bounded("settle the attempt", call).await {
            Ok(answers) => return answers.first().copied().unwrap_or(Applied::Gone),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "not settled; trying again");
                tokio::time::sleep(shared.jittered(wait)).await;
                wait = (wait * 2).min(Duration::from_secs(5));
            }
        }
    }
}
