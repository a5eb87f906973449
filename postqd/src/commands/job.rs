//! `postqd job`: units of work.

use std::collections::BTreeMap;

use anyhow::bail;
use postq_core::id::{AccountId, JobId, TenantId};
use postq_core::job::{Job as Unit, Topic};
use postq_core::store::{Controlled, JobFilter};
use serde_json::json;

use super::schedule::names;
use super::{account, more, page, story};
use crate::cli::Job;
use crate::compose::Node;
use crate::output::{Output, cut};

pub(super) const COLUMNS: [&str; 6] = ["id", "state", "account", "planned at", "attempt", "reason"];

pub(super) async fn run(node: &Node, output: Output, command: Job) -> anyhow::Result<()> {
    match command {
        Job::List { states, account: name, topic, paging } => {
            let account = match name {
                Some(name) => Some(account::find(node, &name).await?.id),
                None => None,
            };
            let topic = topic.map(Topic::new);
            let filter = JobFilter { states, topic, account, ..JobFilter::default() };
            let page = page(&paging)?;
            let jobs = node.backend.jobs.list(TenantId::DEFAULT, &filter, page).await?;
            let names = names(node).await?;
            output.list(COLUMNS, &jobs, |job| row(job, &names));
            more(output, &paging, jobs.len(), jobs.last().map(Unit::id));
            Ok(())
        }
        Job::Show { id } => story::show(node, output, id).await,
        Job::Cancel { id, reason } => {
            let controlled = node.backend.control.cancel(id, &reason).await?;
            told(output, id, controlled, "cancelled")
        }
        Job::Retry { id } => {
            let controlled = node.backend.control.due_now(id).await?;
            told(output, id, controlled, "due now")
        }
    }
}

/// Tells what became of a command to a job.
pub(super) fn told(
    output: Output,
    id: JobId,
    controlled: Controlled,
    done: &str,
) -> anyhow::Result<()> {
    match controlled {
        Controlled::Applied => {
            output.tell(format!("job {id}: {done}"), &json!({ "job": id, "done": done }));
            Ok(())
        }
        Controlled::Refused(state) if state.is_terminal() => {
            bail!("job {id} has ended ({state}); postqd dead list shows what can be replayed")
        }
        Controlled::Refused(state) => bail!("job {id} is {state}; nothing was changed"),
        Controlled::AlreadyPublishing => bail!(
            "job {id} is being published, or its outcome is not known yet; nothing was changed"
        ),
        Controlled::Gone => bail!("there is no job {id}; postqd job list shows what there is"),
    }
}

pub(super) fn row(job: &Unit, names: &BTreeMap<AccountId, String>) -> [String; 6] {
    let account = job.made.account_id.and_then(|id| names.get(&id).cloned());
    [
        job.id().to_string(),
        job.state.to_string(),
        account.unwrap_or_else(|| job.made.kind.to_string()),
        job.made.planned_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        format!("{}/{}", job.attempt, job.made.max_attempts),
        cut(job.reason.as_deref().unwrap_or_default(), 60),
    ]
}
