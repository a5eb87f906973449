//! `postqd doctor`: what is wrong, and the command that mends it.

mod file;
mod media;
mod platforms;
mod servers;
mod there;

use std::net::TcpListener;

use anyhow::bail;
use postq_calendar::zone;
use postq_core::error::chain;
use postq_core::id::TenantId;
use postq_core::machine::JobState;
use postq_core::store::JobFilter;
use postq_core::vault::{KeyRing, Vault};
use serde::Serialize;

use self::platforms::platforms;
use crate::compose::{self, Node};
use crate::config::{Config, Kept};
use crate::key::{self, Secrets};
use crate::output::{Output, count};
use crate::watch;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Ok,
    Warning,
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    health: Health,
    message: String,
}

impl Finding {
    fn ok(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self { what: what.into(), health: Health::Ok, message: message.into() }
    }

    fn warning(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self { what: what.into(), health: Health::Warning, message: message.into() }
    }

    fn broken(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self { what: what.into(), health: Health::Broken, message: message.into() }
    }
}

pub(super) async fn run(config: &Config, output: Output) -> anyhow::Result<()> {
    if config.server.is_some() {
        return told(output, &there::findings(config, output).await?);
    }
    let zones = format!("database {}, built in", zone::tzdb_version());
    let mut findings = vec![Finding::ok("zones", zones)];
    findings.extend(platforms(config));
    findings.push(port(config));
    findings.push(notices(config));
    let is_there = match &config.kept {
        Kept::InFile => {
            findings.extend(file::file(config));
            compose::database(config).exists()
        }
        Kept::OnServers(servers) => {
            let (found, is_there) = servers::servers(servers).await;
            findings.extend(found);
            is_there
        }
    };
    // Opening it writes, and with settings that cannot be it is not opened at all.
    let can_be_opened = findings.iter().all(|finding| finding.health != Health::Broken);
    if can_be_opened && is_there {
        findings.extend(inside(config).await?);
    }
    told(output, &findings)
}

fn told(output: Output, findings: &[Finding]) -> anyhow::Result<()> {
    output.list(["", "what", "finding"], findings, |finding| {
        let sign = match finding.health {
            Health::Ok => "ok",
            Health::Warning => "warning",
            Health::Broken => "broken",
        };
        [sign.to_owned(), finding.what.clone(), finding.message.clone()]
    });
    match findings.iter().filter(|finding| finding.health == Health::Broken).count() {
        0 => Ok(()),
        broken => bail!("{} broken", count(broken, "thing")),
    }
}

/// Who is told when something needs a person.
fn notices(config: &Config) -> Finding {
    let outward = &config.outward;
    let hook = outward.webhook.as_ref().map(|hook| match hook.key {
        Some(_) => "webhook (signed)",
        None => "webhook (not signed)",
    });
    let (slack, mail) = (outward.slack.as_ref(), outward.mail.as_ref());
    let others: Vec<&str> =
        [hook, slack.map(|_| "slack"), mail.map(|_| "mail")].into_iter().flatten().collect();
    let Some((last, before)) = others.split_last() else {
        let message = "the log alone; set POSTQ_NOTIFY_SLACK_URL, POSTQ_NOTIFY_WEBHOOK_URL or \
                       POSTQ_SMTP_URL to be told elsewhere";
        return Finding::ok("notices", message);
    };
    let before: String = before.iter().map(|name| format!(", {name}")).collect();
    let message = format!("log{before} and {last}; postqd notify test tries them");
    Finding::ok("notices", message)
}

fn port(config: &Config) -> Finding {
    match TcpListener::bind(config.listen) {
        Ok(_) => {
            Finding::ok("port", format!("{} is free; postqd serve is not running", config.listen))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Finding::ok("port", format!("{} is in use; postqd serve may be running", config.listen))
        }
        Err(error) => Finding::broken(
            "port",
            format!("{} cannot be used ({error}); set POSTQ_LISTEN", config.listen),
        ),
    }
}

/// What can be told from inside the store.
async fn inside(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let node = match Node::open(config.clone()).await {
        Ok(node) => node,
        Err(error) => return Ok(vec![Finding::broken("store", chain(error.as_ref()))]),
    };
    let secrets = node.secrets().await?;
    let mut findings = vec![match key::vault(&node.config, &secrets) {
        Ok(vault) => match key::ensure_fits(&vault, &secrets) {
            Ok(()) => keys(&vault, &secrets),
            Err(error) => Finding::broken("key", chain(error.as_ref())),
        },
        Err(error) => Finding::broken("key", chain(error.as_ref())),
    }];
    let accounts = secrets.accounts;
    let blocks = node.backend.blocks.blocks().await?;
    for account in &accounts {
        let lane = account.lane();
        for block in blocks.iter().filter(|block| watch::covers(block, &lane)) {
            let remedy = watch::remedy(&account.name, account.platform.as_str(), block);
            findings.push(Finding::warning("account", remedy));
        }
    }
    findings.push(Finding::ok("accounts", format!("{} connected", accounts.len())));
    findings.push(media::finding(&node, &accounts).await);
    let states = vec![JobState::DeadLetter];
    let dead = JobFilter { states, unresolved: true, ..JobFilter::default() };
    let dead: u64 =
        node.backend.jobs.count(TenantId::DEFAULT, &dead).await?.iter().map(|(_, n)| n).sum();
    findings.push(gave_up(dead));
    Ok(findings)
}

/// Which key seals, and whether others are still needed.
fn keys(ring: &KeyRing, secrets: &Secrets) -> Finding {
    let key = ring.key_id();
    let (left, with) = secrets.sealed_with_old(ring);
    let with: Vec<String> = with.into_iter().collect();
    if left > 0 {
        return Finding::warning(
            "key",
            format!(
                "key {key}; {} still sealed with {}; postqd vault rotate seals them with {key}",
                count(left, "secret"),
                with.join(", ")
            ),
        );
    }
    let old: Vec<&str> = ring.old_key_ids().collect();
    match old.is_empty() {
        true => Finding::ok("key", format!("key {key}")),
        false => Finding::ok(
            "key",
            format!(
                "key {key}; nothing is sealed with {}, which POSTQ_ENCRYPTION_KEYS_OLD has",
                old.join(", ")
            ),
        ),
    }
}

fn gave_up(dead: u64) -> Finding {
    match dead {
        0 => Finding::ok("jobs", "none gave up"),
        n => Finding::warning(
            "jobs",
            format!("{n} gave up and nobody has dealt with them; postqd dead list"),
        ),
    }
}
