//! `postqd schedule`: when posts go out.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postq_calendar::{At, zone};
use postq_core::id::{AccountId, ScheduleId, TenantId};
use postq_core::schedule::Schedule as Planned;
use postq_core::store::{JobFilter, Page};
use serde_json::json;

use super::post::{edited, rule};
use super::{job, more, page};
use crate::cli::Schedule;
use crate::compose::Node;
use crate::output::{Output, Usage};

/// Jobs that `show` shows.
const JOBS: usize = 100;

pub(super) async fn run(node: &Node, output: Output, command: Schedule) -> anyhow::Result<()> {
    let desk = node.desk();
    let done = |id: ScheduleId, what: &str| {
        output.tell(format!("schedule {id}: {what}"), &json!({ "schedule": id, "done": what }));
    };
    match command {
        Schedule::List(paging) => {
            let schedules = node.backend.schedules.list(TenantId::DEFAULT, page(&paging)?).await?;
            let names = names(node).await?;
            output.list(["id", "rule", "next", "accounts"], &schedules, |schedule| {
                row(schedule, &names)
            });
            more(output, &paging, schedules.len(), schedules.last().map(|s| s.id));
        }
        Schedule::Show { id } => show(node, output, id).await?,
        Schedule::Skip { id, at } => {
            let (at, shown) = moment(node, id, "--at", &at).await?;
            desk.skip(id, at).await?;
            done(id, &format!("the occurrence at {shown} is left out"));
        }
        Schedule::EditOne { id, at, text, to } => edit_one(node, output, id, &at, text, to).await?,
        Schedule::Pause { id, until } => {
            let (until, _) = moment(node, id, "--until", &until).await?;
            let first = desk.pause_until(id, until).await?;
            let first = zone::show(first, desk.find_schedule(id).await?.tz.as_deref());
            done(id, &format!("paused; it goes on at {first}"));
        }
        Schedule::Enable { id } => {
            desk.switch(id, true).await?;
            done(id, "switched on; it goes on from now");
        }
        Schedule::Disable { id } => {
            desk.switch(id, false).await?;
            done(id, "switched off; what it had planned was taken back");
        }
        Schedule::Remove { id } => {
            desk.remove_schedule(id).await?;
            done(id, "removed; its post stays");
        }
    }
    Ok(())
}

/// A time as it is written in a schedule's zone, and how it is shown.
async fn moment(
    node: &Node,
    id: ScheduleId,
    option: &str,
    text: &str,
) -> anyhow::Result<(DateTime<Utc>, String)> {
    let tz = node.desk().find_schedule(id).await?.tz;
    let at = At::parse(text, tz.as_deref()).map_err(|error| Usage(format!("{option}: {error}")))?;
    let at = at.instant(node.now().await?)?;
    Ok((at, zone::show(at, tz.as_deref())))
}

async fn edit_one(
    node: &Node,
    output: Output,
    id: ScheduleId,
    at: &str,
    text: Option<String>,
    to: Option<String>,
) -> anyhow::Result<()> {
    let desk = node.desk();
    let (at, shown) = moment(node, id, "--at", at).await?;
    let to = match to {
        Some(to) => Some(At::Instant(moment(node, id, "--to", &to).await?.0)),
        None => None,
    };
    let schedule = desk.find_schedule(id).await?;
    let post = desk.find_post(&schedule.post_id.to_string()).await?;
    let content = text.map(|text| edited(&post.content, &text)).transpose()?;
    let taken = desk.edit_occurrence(id, at, content.unwrap_or(post.content), to).await?;
    let first = zone::show(taken.first, schedule.tz.as_deref());
    output.tell(
        format!(
            "schedule {id}: instead of the occurrence at {shown}, post {} goes out at {first}",
            taken.post
        ),
        &json!({ "schedule": id, "instead_of": at, "post": taken.post, "first": taken.first }),
    );
    Ok(())
}

async fn show(node: &Node, output: Output, id: ScheduleId) -> anyhow::Result<()> {
    let schedule = node.desk().find_schedule(id).await?;
    let filter = JobFilter { schedules: Some(vec![id]), ..JobFilter::default() };
    let jobs = node.backend.jobs.list(TenantId::DEFAULT, &filter, Page::first(JOBS)).await?;
    let skipped = node.desk().skipped(id).await?;
    if output.is_json() {
        output.emit(&json!({ "schedule": schedule, "skipped": skipped, "jobs": jobs }));
        return Ok(());
    }
    let names = names(node).await?;
    let [_, rule, next, accounts] = row(&schedule, &names);
    output.say(format!("schedule  {id}\npost      {}\nrule      {rule}", schedule.post_id));
    output.say(format!("next      {next}"));
    for at in skipped {
        output.say(format!("skips     {}", zone::show(at, schedule.tz.as_deref())));
    }
    output.say(format!("accounts  {accounts}\n"));
    output.list(job::COLUMNS, &jobs, |job| job::row(job, &names));
    Ok(())
}

fn row(schedule: &Planned, names: &BTreeMap<AccountId, String>) -> [String; 4] {
    let tz = schedule.tz.as_deref();
    let next = match (schedule.enabled, schedule.next_run_at, &schedule.problem) {
        (_, _, Some(problem)) => format!("off: {problem}"),
        (false, _, None) => "off".to_owned(),
        (true, None, None) => "over".to_owned(),
        (true, Some(next), None) => zone::show(next, tz),
    };
    let accounts = schedule.accounts.iter().map(|id| match names.get(id) {
        Some(name) => name.clone(),
        None => format!("{id} (gone)"),
    });
    let accounts: Vec<String> = accounts.collect();
    [schedule.id.to_string(), rule(&schedule.timing, tz), next, accounts.join(", ")]
}

/// What people call the accounts.
pub(super) async fn names(node: &Node) -> anyhow::Result<BTreeMap<AccountId, String>> {
    Ok(node.accounts().await?.into_iter().map(|account| (account.id, account.name)).collect())
}
