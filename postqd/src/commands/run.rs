//! `postqd run`: loads content calendars and publishes them until they are done.

use std::collections::BTreeSet;

use anyhow::bail;
use chrono::{DateTime, Utc};
use postq_calendar::At;
use postq_core::id::ScheduleId;
use postq_core::schedule::Schedule;
use postq_engine::import::Action;
use postq_engine::media::MediaDesk;

use super::import::{key, left_out, read, refusal, summary, tell_problems};
use super::media::Keeper;
use crate::cli::Run;
use crate::compose::Node;
use crate::media::media;
use crate::output::{Output, Usage, count};
use crate::{signals, watch};

pub(super) async fn run(node: &Node, output: Output, command: Run) -> anyhow::Result<()> {
    let stop = signals::shutdown()?;
    let until = until(command.until.as_deref(), node.now().await?)?;
    node.ensure_key().await?;
    let desk = node.engine_at_rest(Some(node.vault().await?))?.desk();
    let (mut files, unreadable) = read(command.files.clone()).await?;
    let media = MediaDesk::new(media(node, Vec::new())?, desk.tenant());
    let now = node.now().await?;
    for file in &mut files {
        Keeper::Desk(&media, now).bring(file).await;
    }
    let mut plan = desk.plan_import_of(files).await?;
    plan.problems.extend(unreadable);
    plan.problems.sort_by(|a, b| a.place.cmp(&b.place));
    tell_problems(output, &plan.problems, &plan.notes);
    if !plan.problems.is_empty() && !command.skip_bad {
        for problem in &plan.problems {
            output.emit(&serde_json::json!({ "event": "problem", "problem": problem }));
        }
        bail!("{}", refusal(&plan));
    }
    let bad = plan.skip_bad();
    let loaded = desk.apply_import(plan).await?;
    for row in loaded.rows.iter().filter(|row| !matches!(row.action, Action::Load { .. })) {
        output.say(format!("{}: {}{}", row.place, key(row.key.as_deref()), row.action));
    }
    let value = serde_json::json!({ "event": "loaded", "rows": loaded.rows });
    output.tell(summary(&loaded), &value);
    let schedules = loaded.schedules();
    let endless = endless(node, &schedules).await?;
    if until.is_none() && !command.follow && endless > 0 {
        if endless == schedules.len() {
            return Err(Usage(
                "every row repeats without an end; say how long to run (--until TIME, --follow), \
                 or let postqd serve publish what is loaded now"
                    .to_owned(),
            )
            .into());
        }
        output.note(format!(
            "without an end: {}; this run does not wait for what repeats so, --follow does",
            count(endless, "row")
        ));
    }
    let watched = watch::Watch {
        schedules,
        until,
        follow: command.follow,
        go_on: "the same command goes on, and so does postqd serve",
    };
    watch::run(node, output, watched, stop).await?;
    if !bad.is_empty() {
        bail!("{}", left_out(&bad));
    }
    Ok(())
}

fn until(text: Option<&str>, now: DateTime<Utc>) -> anyhow::Result<Option<DateTime<Utc>>> {
    let until = text.map(|text| At::parse(text, None)?.instant(now)).transpose();
    until.map_err(|error| Usage(format!("--until: {error}")).into())
}

/// How many of them repeat without an end.
async fn endless(node: &Node, schedules: &BTreeSet<ScheduleId>) -> anyhow::Result<usize> {
    let ids: Vec<ScheduleId> = schedules.iter().copied().collect();
    let mut endless = 0;
    for ids in ids.chunks(500) {
        let found: Vec<Schedule> = node.backend.schedules.load(ids).await?;
        endless += found.iter().filter(|s| s.enabled && !s.timing.is_finite()).count();
    }
    Ok(endless)
}
