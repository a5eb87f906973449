//! `postqd dead`: what gave up.

use anyhow::bail;
use postq_core::id::{JobId, TenantId};
use postq_core::job::{Job, Resolution};
use postq_core::machine::JobState;
use postq_core::store::{Controlled, JobFilter, ReplayKey, Replayed};
use serde_json::json;

use super::schedule::names;
use super::{job, more, page, story};
use crate::cli::Dead;
use crate::compose::Node;
use crate::output::{Output, cut, word};

pub(super) async fn run(node: &Node, output: Output, command: Dead) -> anyhow::Result<()> {
    match command {
        Dead::List { all, paging } => {
            let filter = JobFilter {
                states: vec![JobState::DeadLetter],
                unresolved: !all,
                ..JobFilter::default()
            };
            let page = page(&paging)?;
            let jobs = node.backend.jobs.list(TenantId::DEFAULT, &filter, page).await?;
            let names = names(node).await?;
            let columns = ["id", "account", "planned at", "gave up", "reason"];
            output.list(columns, &jobs, |dead| {
                let [id, _, account, planned_at, _, _] = job::row(dead, &names);
                let gave_up = dead.dead_reason.map(|reason| reason.to_string());
                let reason = cut(dead.reason.as_deref().unwrap_or_default(), 60);
                [id, account, planned_at, gave_up.unwrap_or_default(), reason]
            });
            more(output, &paging, jobs.len(), jobs.last().map(Job::id));
            Ok(())
        }
        Dead::Show { id } => story::show(node, output, id).await,
        Dead::Replay { id, send_again } => replay(node, output, id, send_again).await,
        Dead::Resolve { id, how } => {
            let (resolution, done) = match how.published {
                true => (Resolution::MarkedPublished, "marked as published"),
                false => (Resolution::Discarded, "discarded"),
            };
            match node.backend.control.resolve(id, resolution).await? {
                Controlled::Refused(JobState::DeadLetter) => {
                    bail!("job {id} was dealt with already; postqd dead show {id}")
                }
                Controlled::Refused(state) => {
                    bail!("job {id} has not given up: it is {state}; nothing was changed")
                }
                controlled => job::told(output, id, controlled, done),
            }
        }
    }
}

async fn replay(node: &Node, output: Output, id: JobId, send_again: bool) -> anyhow::Result<()> {
    let before = node.backend.jobs.story(id).await?;
    let again = before.is_some_and(|it| it.job.resolution == Some(Resolution::Replayed));
    let key = if send_again { ReplayKey::New } else { ReplayKey::Keep };
    match node.backend.control.replay(id, key).await? {
        Replayed::By(new) if again => {
            let state = node.backend.jobs.story(new).await?.map(|story| story.job.state);
            let state = state.map(|state| format!(" and is {}", word(&state))).unwrap_or_default();
            let told = format!(
                "job {id} was replayed already: job {new} took its place{state}; nothing was \
                 changed; postqd job show {new}"
            );
            if send_again {
                bail!("{told}");
            }
            output.tell(told, &json!({ "job": id, "replayed_by": new, "already": true }));
            Ok(())
        }
        Replayed::By(new) => {
            output.tell(
                format!("job {new} takes its place, due now; postqd serve publishes it"),
                &json!({ "job": id, "replayed_by": new, "already": false }),
            );
            Ok(())
        }
        Replayed::Refused => bail!(
            "job {id} cannot be replayed: it has not given up, or was dealt with; postqd job show \
             {id}"
        ),
        Replayed::Gone => bail!("there is no job {id}; postqd dead list shows what there is"),
    }
}
