//! `postqd job`: units of work.

use postq_core::id::JobId;
use serde_json::json;

use super::{account, more, story};
use crate::api::shown::{Done, Job as Unit, Shown};
use crate::api::{Api, Names};
use crate::cli::Job;
use crate::output::{Output, cut};

pub(super) const COLUMNS: [&str; 6] = ["id", "state", "account", "planned at", "attempt", "reason"];

pub(super) async fn run(api: &Api, output: Output, command: Job) -> anyhow::Result<()> {
    match command {
        Job::List { states, account: name, topic, paging } => {
            let mut query = Vec::new();
            if !states.is_empty() {
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                query.push(("state", states.join(",")));
            }
            if let Some(name) = name {
                query.push(("account", account::find(api, &name).await?.id.to_string()));
            }
            query.extend(topic.map(|topic| ("topic", topic)));
            let jobs = api.list::<Unit>("/api/jobs", &query, &paging).await?;
            let names = api.names().await?;
            output.list(COLUMNS, &jobs, |job| row(job, &names));
            more(output, &paging, jobs.len(), jobs.last().map(|job| job.id));
        }
        Job::Show { id } => story::show(api, output, id).await?,
        Job::Cancel { id, reason } => {
            let path = format!("/api/jobs/{id}/cancel");
            let _: Shown<Done> = api.post(&path, json!({ "reason": reason })).await?;
            told(output, id, "cancelled");
        }
        Job::Retry { id } => {
            let _: Shown<Done> = api.post(&format!("/api/jobs/{id}/retry"), json!({})).await?;
            told(output, id, "due now");
        }
    }
    Ok(())
}

/// Tells what was done to a job.
pub(super) fn told(output: Output, id: JobId, done: &str) {
    output.tell(format!("job {id}: {done}"), &json!({ "job": id, "done": done }));
}

pub(super) fn row(job: &Unit, names: &Names) -> [String; 6] {
    let account = job.account_id.and_then(|id| names.get(&id).cloned());
    [
        job.id.to_string(),
        job.state.to_string(),
        account.unwrap_or_else(|| job.kind.clone()),
        job.planned_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        format!("{}/{}", job.attempt, job.max_attempts),
        cut(job.reason.as_deref().unwrap_or_default(), 60),
    ]
}
