//! `postqd schedule`: when posts go out.

use std::collections::BTreeMap;

use postq_calendar::zone;
use postq_core::id::{AccountId, ScheduleId, TenantId};
use postq_core::schedule::Schedule as Planned;
use postq_core::store::{JobFilter, Page};
use serde_json::json;

use super::post::rule;
use super::{job, more, page};
use crate::cli::Schedule;
use crate::compose::Node;
use crate::output::Output;

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

async fn show(node: &Node, output: Output, id: ScheduleId) -> anyhow::Result<()> {
    let schedule = node.desk().find_schedule(id).await?;
    let filter = JobFilter { schedules: Some(vec![id]), ..JobFilter::default() };
    let jobs = node.backend.jobs.list(TenantId::DEFAULT, &filter, Page::first(JOBS)).await?;
    if output.is_json() {
        output.emit(&json!({ "schedule": schedule, "jobs": jobs }));
        return Ok(());
    }
    let names = names(node).await?;
    let [_, rule, next, accounts] = row(&schedule, &names);
    output.say(format!("schedule  {id}\npost      {}\nrule      {rule}", schedule.post_id));
    output.say(format!("next      {next}\naccounts  {accounts}\n"));
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
