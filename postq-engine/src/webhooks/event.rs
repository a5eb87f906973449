//! What happened, as it is sent: ids, names and reasons, never a post's text.

use chrono::{DateTime, SecondsFormat, Utc};
use postq_core::account::Account;
use postq_core::feed::Settle;
use postq_core::id::JobId;
use postq_core::intent::Receipt;
use postq_core::job::{DeadReason, JobKind, NewJob};
use postq_core::retry::RetryDecision;
use postq_core::store::MissedJob;
use postq_core::webhook::EventKind;
use serde_json::{Value, json};

use crate::settle::Verdict;
use crate::worker::Work;

/// A reason is told up to so many characters.
const MOST_REASON: usize = 500;

/// Something that an endpoint may be told of.
#[derive(Debug)]
pub(crate) struct Event {
    pub(super) id: String,
    pub(super) kind: EventKind,
    data: Value,
}

impl Event {
    /// What the end of a job is told as, if it ended. Deliveries and notifications tell nothing: that
    /// would have no end.
    pub(super) fn kind_of_end(work: &Work, verdict: &Verdict) -> Option<EventKind> {
        if [JobKind::WEBHOOK_DELIVER, JobKind::NOTIFY].contains(&work.job.made.kind.as_str()) {
            return None;
        }
        match &verdict.settle {
            Settle::Succeeded(_) => Some(EventKind::JobSucceeded),
            Settle::Failed(_, RetryDecision::GiveUp(DeadReason::OutcomeUnknown)) => {
                Some(EventKind::JobOutcomeUnknown)
            }
            Settle::Failed(_, RetryDecision::GiveUp(_)) => Some(EventKind::JobDead),
            Settle::Missed => Some(EventKind::JobMissed),
            Settle::Failed(_, RetryDecision::RetryAt(_))
            | Settle::Deferred(..)
            | Settle::Part(_)
            | Settle::Absent { .. } => None,
        }
    }

    /// What the end of a job tells.
    pub(super) fn of_end(kind: EventKind, work: &Work, verdict: &Verdict) -> Self {
        let mut data = about(work);
        match &verdict.settle {
            Settle::Succeeded(last) => {
                data["state"] = json!("succeeded");
                data["publication"] = publication(work, last.as_ref());
            }
            Settle::Failed(failure, RetryDecision::GiveUp(reason)) => {
                data["state"] = json!("dead_letter");
                data["dead_reason"] = json!(reason.as_str());
                data["reason"] = json!(cut(&failure.to_string()));
            }
            _ => {
                data["state"] = json!("cancelled");
                data["reason"] = json!("missed");
            }
        }
        Self { id: id_of(work.job.id()), kind, data }
    }

    /// That a planner found a job missed.
    pub(super) fn of_missed(missed: MissedJob<'_>) -> Self {
        let mut data = about_job(missed.job);
        data["account"] = json!(missed.account);
        data["platform"] = json!(missed.platform);
        data["state"] = json!("cancelled");
        data["reason"] = json!(cut(missed.reason));
        Self { id: id_of(missed.job.id), kind: EventKind::JobMissed, data }
    }

    /// That an account needs a person. `once` tells its credentials from others: told once a day for
    /// the same ones.
    pub(crate) fn needs_attention(work: &Work, account: &Account, once: u64, reason: &str) -> Self {
        let mut data = about(work);
        data["account_id"] = json!(account.id);
        data["account"] = json!(account.name);
        data["platform"] = json!(account.platform);
        data["state"] = json!("needs_attention");
        data["reason"] = json!(cut(reason));
        let (account, day) = (account.id.as_uuid().simple(), work.time.now().format("%Y%m%d"));
        let id = format!("msg_{account}_{once:016x}_{day}");
        Self { id, kind: EventKind::AccountNeedsAttention, data }
    }

    /// That somebody tries an endpoint.
    pub(super) fn ping(id: String) -> Self {
        Self { id, kind: EventKind::Ping, data: json!({}) }
    }

    /// The body of the request.
    pub(super) fn body(&self, at: DateTime<Utc>) -> String {
        let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        json!({ "type": self.kind, "timestamp": timestamp, "data": self.data }).to_string()
    }
}

/// What the end of a job is known by: it ends once.
fn id_of(job: JobId) -> String {
    format!("msg_{}", job.as_uuid().simple())
}

fn about(work: &Work) -> Value {
    let mut data = about_job(&work.job.made);
    if let Some(account) = work.account.as_deref() {
        data["account"] = json!(account.name);
        data["platform"] = json!(account.platform);
    }
    data["attempt"] = json!(work.job.attempt);
    data["replay_of"] = json!(work.job.replay_of);
    data
}

/// What is told of a job that nothing was done for.
fn about_job(made: &NewJob) -> Value {
    json!({
        "job_id": made.id,
        "kind": made.kind,
        "post_id": made.post_id,
        "schedule_id": made.schedule_id,
        "account_id": made.account_id,
        "account": null,
        "platform": null,
        "state": null,
        "reason": null,
        "dead_reason": null,
        "attempt": 0,
        "planned_at": made.planned_at,
        "correlation_id": made.correlation_id,
        "replay_of": null,
        "publication": null,
    })
}

/// What is out: a thread is known by its first part.
fn publication(work: &Work, last: Option<&Receipt>) -> Value {
    let Some(first) = work.evidence.receipt(0).or(last) else { return Value::Null };
    json!({
        "remote_id": first.remote_id,
        "url": first.url,
        "published_at": first.published_at,
        "dry_run": first.dry_run,
    })
}

fn cut(reason: &str) -> String {
    reason.chars().take(MOST_REASON).collect()
}
