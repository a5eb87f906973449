//! A job with all that is known of it.

use postq_core::id::JobId;
use postq_core::machine::JobState;

use crate::api::Api;
use crate::api::shown::{Event, Evidence, Shown, Story};
use crate::output::{Output, word};

pub(super) async fn show(api: &Api, output: Output, id: JobId) -> anyhow::Result<()> {
    let story: Shown<Story> = api.get(&format!("/api/jobs/{id}")).await?;
    let account = match story.job.account_id {
        Some(account) if !output.is_json() => api.names().await?.remove(&account),
        _ => None,
    };
    output.tell(text(&story, account), &story);
    Ok(())
}

fn text(story: &Story, account: Option<String>) -> String {
    let job = &story.job;
    let mut lines = vec![
        format!("job         {}", job.id),
        format!("kind        {}", job.kind),
        format!("state       {}", job.state),
        format!("planned at  {}", job.planned_at.format("%Y-%m-%d %H:%M:%S%.3fZ")),
        format!("run at      {}", job.run_at.format("%Y-%m-%d %H:%M:%S%.3fZ")),
        format!("attempt     {} of {}", job.attempt, job.max_attempts),
    ];
    let more = [
        ("account", account),
        ("post", job.post_id.map(|id| id.to_string())),
        ("schedule", job.schedule_id.map(|id| id.to_string())),
        ("reason", job.reason.clone()),
        ("gave up", job.dead_reason.clone()),
        ("replay of", job.replay_of.map(|id| id.to_string())),
        ("resolution", job.resolution.as_ref().map(word)),
    ];
    lines.extend(more.into_iter().filter_map(|(name, text)| Some(format!("{name:<11} {}", text?))));
    lines.push("\nhistory".to_owned());
    lines.extend(story.events.iter().map(event));
    if !story.evidence.is_empty() {
        lines.push("\nevidence".to_owned());
        lines.extend(story.evidence.iter().map(evidence));
    }
    if job.state == JobState::DeadLetter && job.resolution.is_none() {
        lines.push("\nnext".to_owned());
        lines.push(format!("  postqd dead replay {}  tries again", job.id));
        lines.push(format!(
            "  postqd dead resolve {} --published or --discard  is the end of it",
            job.id
        ));
    }
    lines.join("\n")
}

fn event(event: &Event) -> String {
    let from = event.from.as_deref().unwrap_or("made");
    let why = event.reason.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
    let at = event.at.format("%Y-%m-%d %H:%M:%S%.3fZ");
    format!("  {at}  {from} -> {} (fence {}){why}", event.to, event.fence)
}

fn evidence(part: &Evidence) -> String {
    let number = part.part + 1;
    match (&part.receipt, part.sent_at) {
        (Some(receipt), _) => {
            let proof = receipt.url.as_ref().unwrap_or(&receipt.remote_id);
            let dry_run = if receipt.dry_run { " (dry run)" } else { "" };
            format!("  part {number}: out, {proof}{dry_run}")
        }
        (None, Some(sent_at)) => {
            let state = word(&part.state);
            let at = sent_at.format("%Y-%m-%d %H:%M:%S%.3fZ");
            format!("  part {number}: sent at {at}, {state}, looked {} times", part.looks)
        }
        (None, None) => format!("  part {number}: nothing"),
    }
}
