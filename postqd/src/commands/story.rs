//! A job with all that is known of it.

use anyhow::bail;
use postq_core::id::JobId;
use postq_core::intent::PartEvidence;
use postq_core::job::JobEvent;
use postq_core::store::JobStory;

use super::schedule::names;
use crate::compose::Node;
use crate::output::{Output, word};

pub(super) async fn show(node: &Node, output: Output, id: JobId) -> anyhow::Result<()> {
    let Some(story) = node.backend.jobs.story(id).await? else {
        bail!("there is no job {id}; postqd job list shows what there is");
    };
    let account = match story.job.made.account_id {
        Some(account) => names(node).await?.remove(&account),
        None => None,
    };
    output.tell(text(&story, account.as_deref()), &story);
    Ok(())
}

fn text(story: &JobStory, account: Option<&str>) -> String {
    let job = &story.job;
    let mut lines = vec![
        format!("job         {}", job.id()),
        format!("kind        {}", job.made.kind),
        format!("state       {}", job.state),
        format!("planned at  {}", job.made.planned_at.format("%Y-%m-%d %H:%M:%S%.3fZ")),
        format!("run at      {}", job.run_at.format("%Y-%m-%d %H:%M:%S%.3fZ")),
        format!("attempt     {} of {}", job.attempt, job.made.max_attempts),
    ];
    let more = [
        ("account", account.map(str::to_owned)),
        ("post", job.made.post_id.map(|id| id.to_string())),
        ("schedule", job.made.schedule_id.map(|id| id.to_string())),
        ("reason", job.reason.clone()),
        ("gave up", job.dead_reason.map(|reason| reason.to_string())),
        ("replay of", job.replay_of.map(|id| id.to_string())),
        ("resolution", job.resolution.map(|resolution| word(&resolution))),
    ];
    lines.extend(more.into_iter().filter_map(|(name, text)| Some(format!("{name:<11} {}", text?))));
    lines.push("\nhistory".to_owned());
    lines.extend(story.events.iter().map(event));
    if !story.evidence.0.is_empty() {
        lines.push("\nevidence".to_owned());
        lines.extend(story.evidence.0.iter().map(evidence));
    }
    lines.join("\n")
}

fn event(event: &JobEvent) -> String {
    let from = event.from.map_or("made", |state| state.as_str());
    let why = event.reason.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
    let at = event.at.format("%Y-%m-%d %H:%M:%S%.3fZ");
    format!("  {at}  {from} -> {} (fence {}){why}", event.to, event.fence)
}

fn evidence(part: &PartEvidence) -> String {
    let number = part.part + 1;
    match (&part.receipt, &part.intent) {
        (Some(receipt), _) => {
            let proof = receipt.url.as_ref().unwrap_or(&receipt.remote_id);
            let dry_run = if receipt.dry_run { " (dry run)" } else { "" };
            format!("  part {number}: out, {proof}{dry_run}")
        }
        (None, Some(intent)) => {
            let state = word(&part.state);
            let at = intent.made_at.format("%Y-%m-%d %H:%M:%S%.3fZ");
            format!("  part {number}: sent at {at}, {state}, looked {} times", part.looks)
        }
        (None, None) => format!("  part {number}: nothing"),
    }
}
