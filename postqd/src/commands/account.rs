//! `postqd account`: connections to platforms.

use std::io::Read;

use anyhow::bail;
use postq_calendar::near;
use postq_core::account::{Account as Connected, OnUnknown as Policy};
use postq_core::error::ErrorKind;
use postq_core::failure::FailureClass;
use postq_core::job::Applied;
use postq_core::platform::{Platform, PlatformName};
use postq_core::store::{Block, BlockReason};
use postq_core::vault::Vault;
use postq_engine::dry_run::DryRun;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::cli::{Account, OnUnknown};
use crate::compose::Node;
use crate::output::{Output, Usage};
use crate::watch;

/// The longest access token.
const MOST_TOKEN: u64 = 64 * 1_024;

/// The longest name.
const MOST_NAME: usize = 100;

pub(super) async fn run(node: &Node, output: Output, command: Account) -> anyhow::Result<()> {
    match command {
        Account::Add { platform, name, access_token_stdin, on_unknown } => {
            let token = access_token_stdin.then(token).transpose()?;
            ensure_known(node, &platform)?;
            ensure_name(&name)?;
            let wanted = Wanted { platform, name, token, on_unknown };
            add(node, output, &wanted).await
        }
        Account::List => list(node, output).await,
        Account::Pause { name, note } => {
            let account = find(node, &name).await?;
            let scope = String::from(&account.lane());
            let block = Block { scope, reason: BlockReason::Paused, until: None, note };
            node.backend.blocks.block(&block).await?;
            told(output, &account, "paused; what is due waits");
            Ok(())
        }
        Account::Resume { name } => {
            let account = find(node, &name).await?;
            node.desk().resume(&account).await?;
            told(output, &account, "goes on");
            Ok(())
        }
        Account::Remove { name } => remove(node, output, &name).await,
    }
}

fn told(output: Output, account: &Connected, what: &str) {
    let value = json!({ "account": account.id, "name": account.name, "done": what });
    output.tell(format!("account {}: {what}", account.name), &value);
}

/// An account as it is to be.
struct Wanted {
    platform: PlatformName,
    name: String,
    token: Option<SecretString>,
    on_unknown: Option<OnUnknown>,
}

/// Another process may add or remove the account at the same moment: then it is looked at once more.
async fn add(node: &Node, output: Output, wanted: &Wanted) -> anyhow::Result<()> {
    let added = match add_once(node, output, wanted).await? {
        None => add_once(node, output, wanted).await?,
        added => added,
    };
    let name = &wanted.name;
    let Some((account, what)) = added else {
        bail!("account \"{name}\" was added or removed by another process meanwhile; add it again");
    };
    told(output, &account, what);
    Ok(())
}

/// Adds or changes the account and tells which; none if another process came in between.
async fn add_once(
    node: &Node,
    output: Output,
    wanted: &Wanted,
) -> anyhow::Result<Option<(Connected, &'static str)>> {
    let Wanted { platform, name, token, on_unknown } = wanted;
    let known = node.accounts().await?.into_iter().find(|account| account.name == *name);
    if let Some(other) = known.as_ref().filter(|account| account.platform != *platform) {
        bail!("account \"{name}\" is there already, on {}; choose another name", other.platform);
    }
    if platform.as_str() != DryRun::NAME && token.is_none() && known.is_none() {
        return Err(Usage(format!(
            "an account on {platform} needs its access token: give it on standard input, with \
             --access-token-stdin"
        ))
        .into());
    }
    let is_known = known.is_some();
    let mut account = match known {
        Some(account) => account,
        None => Connected::new(name, platform.clone(), node.now().await?),
    };
    if let Some(policy) = on_unknown {
        account.on_unknown = match policy {
            OnUnknown::Hold => Policy::Hold,
            OnUnknown::Resend => Policy::Resend,
        };
    }
    if let Some(token) = token {
        if platform == node.x.name() && !node.config.dry_run {
            let who = whoami(node, output, token).await?;
            if let (Some(old), Some(new)) = (&account.remote_id, &who)
                && old != new
            {
                output.note(format!(
                    "account {name} was id {old} until now: what is scheduled goes out as id {new}"
                ));
            }
            account.remote_id = who.or(account.remote_id);
        }
        // Not kept from fitting by other accounts that are sealed with a key that is gone: to
        // connect one again is how that is mended.
        account.credentials = Some(node.vault().await?.seal(account.id, token).await?);
    }
    if !is_known {
        return match node.backend.accounts.insert(&account).await {
            Ok(()) => Ok(Some((account, "connected"))),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    if node.backend.accounts.update(&account).await? != Applied::Applied {
        return Ok(None);
    }
    node.desk().reconnected(&account).await?;
    Ok(Some((account, "changed")))
}

/// Whom the token belongs to; none if the platform cannot be asked now.
async fn whoami(
    node: &Node,
    output: Output,
    token: &SecretString,
) -> anyhow::Result<Option<String>> {
    match node.x.whoami(token).await {
        Ok(who) => {
            let name = who.username.map(|name| format!("@{name}, ")).unwrap_or_default();
            output.note(format!("X knows this token: {name}id {}", who.id));
            Ok(Some(who.id))
        }
        Err(failure) if failure.class == FailureClass::Auth => {
            bail!(
                "X refuses this token ({}); make a new one and add the account again",
                failure.message
            )
        }
        Err(failure) => {
            output.note(format!(
                "X could not be asked whose token this is ({failure}); kept as it is"
            ));
            Ok(None)
        }
    }
}

fn ensure_known(node: &Node, platform: &PlatformName) -> anyhow::Result<()> {
    let names = node.platform_names();
    if names.iter().any(|name| name == platform.as_str()) {
        return Ok(());
    }
    let hint = near::hint(platform.as_str(), names.iter().map(String::as_str));
    Err(Usage(format!("unknown platform \"{platform}\"{hint}; there is {}", names.join(", ")))
        .into())
}

fn ensure_name(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| !c.is_control() && c != ';';
    if name.trim() != name || name.is_empty() || name.chars().count() > MOST_NAME {
        return Err(Usage(format!("--name: expected 1 to {MOST_NAME} characters")).into());
    }
    if !name.chars().all(fits) {
        return Err(Usage("--name: expected no ; and no control character".to_owned()).into());
    }
    Ok(())
}

fn token() -> anyhow::Result<SecretString> {
    let mut text = String::new();
    std::io::stdin().take(MOST_TOKEN).read_to_string(&mut text)?;
    let token = SecretString::from(text.trim());
    if token.expose_secret().is_empty() {
        return Err(Usage("no access token on standard input; expected one line".to_owned()).into());
    }
    Ok(token)
}

async fn list(node: &Node, output: Output) -> anyhow::Result<()> {
    let accounts = node.accounts().await?;
    let blocks = node.backend.blocks.blocks().await?;
    if output.is_json() {
        let value = |account: &Connected| {
            json!({
                "id": account.id,
                "name": account.name,
                "platform": account.platform,
                "remote_id": account.remote_id,
                "on_unknown": account.on_unknown,
                "has_credentials": account.credentials.is_some(),
                "blocks": blocks_of(&blocks, account),
                "created_at": account.created_at,
            })
        };
        output.emit(&accounts.iter().map(value).collect::<Vec<_>>());
        return Ok(());
    }
    let rows: Vec<[String; 4]> = accounts
        .iter()
        .map(|account| {
            let held = blocks_of(&blocks, account);
            let held: Vec<&str> = held.iter().map(|block| block.reason.as_str()).collect();
            let state = if held.is_empty() { "ready".to_owned() } else { held.join(", ") };
            [account.name.clone(), account.platform.to_string(), state, account.id.to_string()]
        })
        .collect();
    output.list(["name", "platform", "state", "id"], &rows, Clone::clone);
    Ok(())
}

/// What holds an account back.
fn blocks_of<'a>(blocks: &'a [Block], account: &Connected) -> Vec<&'a Block> {
    let lane = account.lane();
    blocks.iter().filter(|block| watch::covers(block, &lane)).collect()
}

async fn remove(node: &Node, output: Output, name: &str) -> anyhow::Result<()> {
    let account = find(node, name).await?;
    match node.backend.accounts.remove(account.id).await {
        Ok(_) => {
            told(output, &account, "removed, and its credentials wiped; what it published stays");
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::Conflict => bail!(
            "account \"{name}\" is in use by a schedule or a job; call those off first: postqd \
             schedule list, postqd job list --account {name}"
        ),
        Err(error) => Err(error.into()),
    }
}

/// The account of this name or id.
pub(super) async fn find(node: &Node, name: &str) -> anyhow::Result<Connected> {
    let accounts = node.accounts().await?;
    let hint = near::hint(name, accounts.iter().map(|account| account.name.as_str()));
    let is_it = |account: &Connected| account.name == name || account.id.to_string() == name;
    match accounts.into_iter().find(is_it) {
        Some(account) => Ok(account),
        None => bail!("there is no account \"{name}\"{hint}; postqd account list shows all"),
    }
}
