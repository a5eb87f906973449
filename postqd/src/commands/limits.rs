//! `postqd account limits`: how fast may be published, and how much of that is left.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use postq_calendar::duration;
use postq_core::id::AccountId;
use serde::Deserialize;

use super::account::find;
use crate::api::Api;
use crate::api::shown::Shown;
use crate::output::{Output, count};

#[derive(Debug, Deserialize)]
struct Limits {
    in_force: bool,
    items: Vec<Shown<Limit>>,
    cut: bool,
}

#[derive(Debug, Deserialize)]
struct Limit {
    platform: String,
    /// None for all accounts of the platform's app together.
    account_id: Option<AccountId>,
    account_name: Option<String>,
    calls: u32,
    per_seconds: f64,
    at_once: u32,
    left: u32,
    next_at: DateTime<Utc>,
    told: Option<Told>,
}

#[derive(Debug, Deserialize)]
struct Platforms {
    items: Vec<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    platform: String,
    daily: Option<u32>,
}

/// What the platform itself told.
#[derive(Debug, Deserialize)]
struct Told {
    left: u32,
    resets_at: DateTime<Utc>,
}

/// Of everything, or of one account and its platform's app.
pub(super) async fn run(api: &Api, output: Output, name: Option<&str>) -> anyhow::Result<()> {
    let account = match name {
        Some(name) => Some(find(api, name).await?),
        None => None,
    };
    let Limits { in_force, mut items, cut } = api.get::<Limits>("/api/limits").await?.it;
    if let Some(account) = &account {
        items.retain(|limit| match limit.account_id {
            Some(id) => id == account.id,
            None => limit.platform == account.platform,
        });
    }
    let daily = daily(api, account.as_ref().map(|account| account.platform.as_str())).await?;
    let columns = ["of", "limit", "at once", "left now", "next", "the platform says"];
    output.list(columns, &items, |limit| row(limit));
    match (in_force, items.is_empty() && daily.is_empty()) {
        (false, _) => output.note("no limits are kept: they are switched off"),
        (true, true) => output.note("there is no limit"),
        (true, false) => {}
    }
    for Platform { platform, daily } in daily {
        let most = count(daily.unwrap_or_default() as usize, "post");
        output.note(format!(
            "{platform} takes {most} of one account in any 24 hours: more are refused when they are planned"
        ));
    }
    if cut {
        output.note("there are more accounts than these");
    }
    Ok(())
}

/// The platforms that take so many posts a day, of those that there are accounts on, or this one.
async fn daily(api: &Api, only: Option<&str>) -> anyhow::Result<Vec<Platform>> {
    let accounts = api.accounts().await?;
    let mut platforms = api.get::<Platforms>("/api/platforms").await?.it.items;
    platforms.retain(|of| {
        let is_used = accounts.iter().any(|account| account.platform == of.platform);
        of.daily.is_some() && is_used && only.is_none_or(|only| of.platform == only)
    });
    Ok(platforms)
}

fn row(limit: &Limit) -> [String; 6] {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let stretch = Duration::try_from_secs_f64(limit.per_seconds).unwrap_or_default();
    [
        limit.account_name.clone().unwrap_or_else(|| format!("all of {}", limit.platform)),
        format!("{} in {}", limit.calls, duration::show(stretch)),
        limit.at_once.to_string(),
        limit.left.to_string(),
        if limit.left > 0 { "now".to_owned() } else { time(limit.next_at) },
        limit.told.as_ref().map_or_else(String::new, |told| {
            format!("{} left until {}", told.left, time(told.resets_at))
        }),
    ]
}
