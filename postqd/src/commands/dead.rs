//! `postqd dead`: what gave up.

use anyhow::bail;
use postq_core::id::JobId;
use serde_json::{Value, json};

use super::{account, job, more, story};
use crate::api::shown::{BulkReplayed, Causes, Done, Job, ReplayedBy, Shown, Story};
use crate::api::{Api, Refused};
use crate::cli::{Dead, Fate};
use crate::output::{Output, count, cut, word};

pub(super) async fn run(api: &Api, output: Output, command: Dead) -> anyhow::Result<()> {
    match command {
        Dead::List { all, paging } => {
            let query = [("all", all.to_string())];
            let jobs = api.list::<Job>("/api/dead-letters", &query, &paging).await?;
            let names = api.names().await?;
            let columns = ["id", "account", "planned at", "gave up", "dealt with", "reason"];
            output.list(columns, &jobs, |dead| {
                let [id, _, account, planned_at, _, _] = job::row(dead, &names);
                let reason = cut(dead.reason.as_deref().unwrap_or_default(), 60);
                let gave_up = dead.dead_reason.clone().unwrap_or_default();
                let dealt_with = dead.resolution.as_ref().map(word).unwrap_or_default();
                [id, account, planned_at, gave_up, dealt_with, reason]
            });
            more(output, &paging, jobs.len(), jobs.last().map(|job| job.id));
            Ok(())
        }
        Dead::Show { id } => story::show(api, output, id).await,
        Dead::Causes => causes(api, output).await,
        Dead::Replay { id, send_again } => replay(api, output, id, send_again).await,
        Dead::ReplayAll { account, reason, limit } => {
            let mut which = json!({ "limit": limit, "dead_reason": reason });
            if let Some(name) = account {
                which["account"] = json!(account::find(api, &name).await?.id);
            }
            replay_all(api, output, which).await
        }
        Dead::Resolve { id, how } => resolve(api, output, id, &how).await,
    }
}

async fn causes(api: &Api, output: Output) -> anyhow::Result<()> {
    let causes: Shown<Causes> = api.get("/api/dead-letters/causes").await?;
    let names = api.names().await?;
    output.list(["count", "gave up", "account", "the latest", "reason"], &causes.items, |cause| {
        let account = cause.account_id.and_then(|id| names.get(&id).cloned());
        [
            cause.count.to_string(),
            cause.dead_reason.clone().unwrap_or_default(),
            account.unwrap_or_default(),
            cause.example.to_string(),
            cut(cause.reason.as_deref().unwrap_or_default(), 60),
        ]
    });
    if causes.partial {
        output.note("only the oldest 10,000 were counted");
    }
    Ok(())
}

async fn replay(api: &Api, output: Output, id: JobId, send_again: bool) -> anyhow::Result<()> {
    let before: Shown<Story> = api.get(&format!("/api/jobs/{id}")).await?;
    let again = before.job.resolution.as_deref() == Some("replayed");
    let path = format!("/api/dead-letters/{id}/replay");
    let new: Shown<ReplayedBy> =
        api.post(&path, json!({ "send_again": send_again })).await.map_err(|error| {
            match ["already_resolved", "not_a_dead_letter"].iter().any(|c| Refused::is(&error, c)) {
                true => anyhow::anyhow!(
                    "job {id} cannot be replayed: it has not given up, or was dealt with; postqd \
                     job show {id}"
                ),
                false => error,
            }
        })?;
    let new = new.job;
    if !again {
        output.tell(
            format!("job {new} takes its place, due now; postqd serve publishes it"),
            &json!({ "job": id, "replayed_by": new, "already": false }),
        );
        return Ok(());
    }
    let state = match api.get::<Story>(&format!("/api/jobs/{new}")).await {
        Ok(story) => format!(" and is {}", word(&story.job.state)),
        Err(error) if Refused::is(&error, "not_found") => String::new(),
        Err(error) => return Err(error),
    };
    let told = format!(
        "job {id} was replayed already: job {new} took its place{state}; nothing was changed; postqd \
         job show {new}"
    );
    if send_again {
        bail!("{told}");
    }
    output.tell(told, &json!({ "job": id, "replayed_by": new, "already": true }));
    Ok(())
}

async fn replay_all(api: &Api, output: Output, which: Value) -> anyhow::Result<()> {
    let done: Shown<BulkReplayed> = api.post("/api/dead-letters/replay", which).await?;
    let mut told = format!("{} replayed", count(done.replayed.len(), "dead letter"));
    if done.left_out > 0 {
        told += &format!("; {} with an unknown outcome left out: postqd dead list", done.left_out);
    }
    if done.more {
        told += "; there are more: the same command goes on";
    }
    output.tell(told, &done);
    Ok(())
}

async fn resolve(api: &Api, output: Output, id: JobId, how: &Fate) -> anyhow::Result<()> {
    let (resolution, done) = match how.published {
        true => ("marked_published", "marked as published"),
        false => ("discarded", "discarded"),
    };
    let path = format!("/api/dead-letters/{id}/resolve");
    match api.post::<Done>(&path, json!({ "resolution": resolution })).await {
        Ok(_) => {
            job::told(output, id, done);
            Ok(())
        }
        Err(error) if Refused::is(&error, "already_resolved") => {
            bail!("job {id} was dealt with already; postqd dead show {id}")
        }
        Err(error) => Err(error),
    }
}
