//! `postqd schedule`: when posts go out.

use postq_calendar::{At, zone};
use postq_core::id::ScheduleId;
use serde_json::json;

use super::post::{parts, rule, with_media};
use super::{job, more, post};
use crate::api::shown::{Job, Occurrences, Schedule as Planned, Shown, Skipped, StandIn};
use crate::api::{Api, Names};
use crate::cli::{Paging, Schedule};
use crate::output::{Output, Usage};

/// Jobs that `show` shows.
const JOBS: usize = 100;

pub(super) async fn run(api: &Api, output: Output, command: Schedule) -> anyhow::Result<()> {
    let done = |id: ScheduleId, what: &str| {
        output.tell(format!("schedule {id}: {what}"), &json!({ "schedule": id, "done": what }));
    };
    match command {
        Schedule::List(paging) => {
            let schedules = api.list::<Planned>("/api/schedules", &[], &paging).await?;
            let names = api.names().await?;
            output.list(["id", "rule", "next", "accounts"], &schedules, |schedule| {
                row(schedule, &names)
            });
            more(output, &paging, schedules.len(), schedules.last().map(|s| s.id));
        }
        Schedule::Show { id } => show(api, output, id).await?,
        Schedule::Skip { id, at } => {
            let tz = find(api, id).await?.tz.clone();
            ensure_time("--at", &at, tz.as_deref())?;
            let skipped: Shown<Skipped> = api.post(&path(id, "skip"), json!({ "at": at })).await?;
            let shown = zone::show(skipped.at, tz.as_deref());
            done(id, &format!("the occurrence at {shown} is left out"));
        }
        Schedule::EditOne { id, at, text, to } => {
            edit_one(api, output, id, &at, text.as_deref(), to.as_deref()).await?;
        }
        Schedule::Pause { id, until } => {
            ensure_time("--until", &until, find(api, id).await?.tz.as_deref())?;
            let paused: Shown<Planned> =
                api.post(&path(id, "pause"), json!({ "until": until })).await?;
            let first = paused.next_run_at.map(|first| zone::show(first, paused.tz.as_deref()));
            done(id, &format!("paused; it goes on at {}", first.unwrap_or_default()));
        }
        Schedule::Enable { id } => {
            let _: Shown<Planned> = api.post(&path(id, "enable"), json!({})).await?;
            done(id, "switched on; it goes on from now");
        }
        Schedule::Disable { id } => {
            let _: Shown<Planned> = api.post(&path(id, "disable"), json!({})).await?;
            done(id, "switched off; what it had planned was taken back");
        }
        Schedule::Remove { id } => {
            api.delete(&format!("/api/schedules/{id}")).await?;
            done(id, "removed; its post stays");
        }
    }
    Ok(())
}

fn path(id: ScheduleId, what: &str) -> String {
    format!("/api/schedules/{id}/{what}")
}

async fn find(api: &Api, id: ScheduleId) -> anyhow::Result<Shown<Planned>> {
    api.get(&format!("/api/schedules/{id}")).await
}

/// Fails if a time cannot be read as one in the schedule's zone.
fn ensure_time(option: &str, text: &str, tz: Option<&str>) -> Result<(), Usage> {
    At::parse(text, tz).map(drop).map_err(|error| Usage(format!("{option}: {error}")))
}

async fn edit_one(
    api: &Api,
    output: Output,
    id: ScheduleId,
    at: &str,
    text: Option<&str>,
    to: Option<&str>,
) -> anyhow::Result<()> {
    let schedule = find(api, id).await?;
    let tz = schedule.tz.as_deref();
    ensure_time("--at", at, tz)?;
    to.map_or(Ok(()), |to| ensure_time("--to", to, tz))?;
    let mut change = json!({ "at": at, "to": to });
    if let Some(text) = text {
        let post = post::find(api, &schedule.post_id.to_string()).await?;
        change["parts"] = serde_json::to_value(with_media(&post.parts, &parts(text)?))?;
    }
    let done: Shown<StandIn> = api.post(&path(id, "edit-occurrence"), change).await?;
    let (at, first) = (zone::show(done.instead_of, tz), zone::show(done.first, tz));
    output.tell(
        format!(
            "schedule {id}: instead of the occurrence at {at}, post {} goes out at {first}",
            done.post
        ),
        &json!({
            "schedule": id,
            "instead_of": done.instead_of,
            "post": done.post,
            "first": done.first,
        }),
    );
    Ok(())
}

async fn show(api: &Api, output: Output, id: ScheduleId) -> anyhow::Result<()> {
    let schedule = find(api, id).await?;
    let paging = Paging { limit: JOBS, after: None, newest: false };
    let jobs = api.list::<Job>("/api/jobs", &[("schedule", id.to_string())], &paging).await?;
    let occurrences: Shown<Occurrences> = api.get(&path(id, "occurrences")).await?;
    let Occurrences { skipped, edited, paused_until } = &occurrences.it;
    if output.is_json() {
        output.emit(&json!({
            "schedule": schedule,
            "skipped": skipped,
            "edited": edited,
            "paused_until": paused_until,
            "jobs": jobs,
        }));
        return Ok(());
    }
    let names = api.names().await?;
    let [_, rule, next, accounts] = row(&schedule, &names);
    output.say(format!("schedule  {id}\npost      {}\nrule      {rule}", schedule.post_id));
    let paused = if paused_until.is_some() { " (paused until then)" } else { "" };
    output.say(format!("next      {next}{paused}"));
    for at in skipped {
        let instead = edited.iter().find(|edited| edited.at == *at);
        let instead = instead.map(|edited| format!("; post {} instead", edited.post));
        let at = zone::show(*at, schedule.tz.as_deref());
        output.say(format!("skips     {at}{}", instead.unwrap_or_default()));
    }
    output.say(format!("accounts  {accounts}\n"));
    output.list(job::COLUMNS, &jobs, |job| job::row(job, &names));
    Ok(())
}

pub(super) fn row(schedule: &Planned, names: &Names) -> [String; 4] {
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
    let words = schedule.rule.timing().map_or_else(
        || "a rule that this version does not know".to_owned(),
        |timing| rule(&timing, tz),
    );
    [schedule.id.to_string(), words, next, accounts.join(", ")]
}
