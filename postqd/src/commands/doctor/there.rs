//! What can be told of a daemon that is asked.

use serde::Deserialize;

use super::Finding;
use crate::api::Api;
use crate::api::shown::Causes;
use crate::config::Config;
use crate::output::Output;

/// What the daemon tells of itself.
#[derive(Debug, Deserialize)]
struct About {
    version: String,
    platforms: Vec<String>,
    tzdb: String,
}

#[derive(Debug, Deserialize)]
struct Queue {
    health: Health,
}

#[derive(Debug, Deserialize)]
struct Health {
    status: String,
    reasons: Vec<String>,
}

pub(super) async fn findings(config: &Config, output: Output) -> anyhow::Result<Vec<Finding>> {
    let api = Api::open(config, output).await?;
    let about = match api.get::<About>("/api/about").await {
        Ok(about) => about.it,
        Err(error) => return Ok(vec![Finding::broken("server", format!("{error:#}"))]),
    };
    let platforms = about.platforms.join(", ");
    let mut findings = vec![
        Finding::ok("server", format!("postq {}; publishes to {platforms}", about.version)),
        Finding::ok("zones", format!("database {}, of the server", about.tzdb)),
    ];
    let Health { status, reasons } = api.get::<Queue>("/api/queue/health").await?.it.health;
    let told = match reasons.is_empty() {
        true => status.clone(),
        false => format!("{status}: {}", reasons.join("; ")),
    };
    findings.push(match status.as_str() {
        "ready" => Finding::ok("health", told),
        "degraded" => Finding::warning("health", told),
        _ => Finding::broken("health", told),
    });
    let accounts = api.accounts().await?;
    let held = accounts.iter().flat_map(|account| account.held());
    findings.extend(held.map(|remedy| Finding::warning("account", remedy)));
    findings.push(Finding::ok("accounts", format!("{} connected", accounts.len())));
    let causes = api.get::<Causes>("/api/dead-letters/causes").await?;
    findings.push(super::gave_up(causes.items.iter().map(|cause| cause.count).sum()));
    Ok(findings)
}
