//! `postqd slot`: the times of the week at which an account likes to publish.

use chrono::{DateTime, Utc};
use postq_calendar::zone;
use serde::Deserialize;
use serde_json::json;

use super::account::find;
use crate::api::Api;
use crate::api::shown::Shown;
use crate::cli::Slot;
use crate::output::Output;

#[derive(Debug, Deserialize)]
struct Slots {
    rules: Vec<Rule>,
    free: Vec<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    expr: String,
    tz: String,
}

pub(super) async fn run(api: &Api, output: Output, command: Slot) -> anyhow::Result<()> {
    let (account, slots) = match command {
        Slot::List { account } => (account, None),
        Slot::Set { account, slots } => (account, Some(slots)),
        Slot::Clear { account } => (account, Some(Vec::new())),
    };
    let account = find(api, &account).await?;
    let path = format!("/api/accounts/{}/slots", account.id);
    let told: Shown<Slots> = match slots {
        Some(slots) => api.put(&path, json!({ "slots": slots })).await?,
        None => api.get(&path).await?,
    };
    output.tell(text(&account.name, &told), &told);
    Ok(())
}

fn text(name: &str, slots: &Slots) -> String {
    if slots.rules.is_empty() {
        return format!("account {name} has no slots");
    }
    let rules = slots.rules.iter().map(|rule| format!("{} {}", rule.expr, rule.tz));
    let zone = slots.rules.first().map(|rule| rule.tz.as_str());
    let free = slots.free.iter().map(|at| format!("  {}", zone::show(*at, zone)));
    let rules = rules.collect::<Vec<_>>().join("; ");
    let free = free.collect::<Vec<_>>().join("\n");
    format!("account {name}: {rules}\nfree:\n{free}")
}
