//! `postqd account`: connections to platforms.

use std::io::Read;

use anyhow::bail;
use chrono::{DateTime, SecondsFormat, Utc};
use postq_calendar::{At, near};
use postq_core::clock::{Clock, SystemClock};
use postq_core::id::AccountId;
use postq_core::platform::PlatformName;
use postq_engine::dry_run::DryRun;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{connect, limits};
use crate::api::shown::{Account as Connected, Shown};
use crate::api::{Api, Refused};
use crate::cli::{Account, OnUnknown};
use crate::output::{Output, Usage};

/// The longest access token.
const MOST_TOKEN: u64 = 64 * 1_024;

/// The longest name.
const MOST_NAME: usize = 100;

pub(super) async fn run(api: &Api, output: Output, command: Account) -> anyhow::Result<()> {
    match command {
        Account::Add {
            platform,
            name,
            access_token_stdin,
            token_expires,
            handle,
            app_password_stdin,
            on_unknown,
        } => {
            let expires = token_expires.as_deref().map(moment).transpose()?;
            let token = match (access_token_stdin, handle.filter(|_| app_password_stdin)) {
                (true, _) => Some(Proof::Token(secret("access token")?)),
                (false, Some(handle)) => Some(Proof::Password(handle, secret("app password")?)),
                (false, None) => None,
            };
            ensure_known(api, &platform).await?;
            ensure_name(&name)?;
            let wanted = Wanted { platform, name, token, expires, on_unknown };
            add(api, output, &wanted).await
        }
        Account::Connect { platform, name, identity, paste } => {
            ensure_known(api, &platform).await?;
            ensure_name(&name)?;
            let account =
                connect::run(api, output, &platform, &name, identity.as_deref(), paste).await?;
            tell_whose(output, &account, None);
            told(output, &account, "connected");
            Ok(())
        }
        Account::List => list(api, output).await,
        Account::Show { name } => {
            let account = find(api, &name).await?;
            output.tell(text(&account), &account);
            Ok(())
        }
        Account::Pause { name, note } => {
            let account = find(api, &name).await?;
            let path = format!("/api/accounts/{}/pause", account.id);
            let account: Shown<Connected> = api.post(&path, json!({ "note": note })).await?;
            told(output, &account, "paused; what is due waits");
            Ok(())
        }
        Account::Resume { name } => {
            let account = find(api, &name).await?;
            let path = format!("/api/accounts/{}/resume", account.id);
            let account: Shown<Connected> = api.post(&path, json!({})).await?;
            told(output, &account, "goes on");
            Ok(())
        }
        Account::Limits { name } => limits::run(api, output, name.as_deref()).await,
        Account::Remove { name } => remove(api, output, &name).await,
    }
}

/// A time as it is written on the command line.
fn moment(text: &str) -> anyhow::Result<DateTime<Utc>> {
    let at = At::parse(text, None).and_then(|at| at.instant(SystemClock.now()));
    at.map_err(|error| Usage(format!("--token-expires: {error}")).into())
}

fn told(output: Output, account: &Connected, what: &str) {
    let value = json!({ "account": account.id, "name": account.name, "done": what });
    output.tell(format!("account {}: {what}", account.name), &value);
}

/// What is shown to a platform to be let in.
enum Proof {
    Token(SecretString),
    /// A handle, and a password that was made for an app.
    Password(String, SecretString),
}

/// An account as it is to be.
struct Wanted {
    platform: PlatformName,
    name: String,
    token: Option<Proof>,
    /// When the token ends.
    expires: Option<DateTime<Utc>>,
    on_unknown: Option<OnUnknown>,
}

impl Wanted {
    /// What is asked of the API, besides its name and platform.
    fn change(&self) -> Value {
        let mut change = json!({});
        match &self.token {
            Some(Proof::Token(token)) => change["access_token"] = token.expose_secret().into(),
            Some(Proof::Password(handle, password)) => {
                change["handle"] = handle.as_str().into();
                change["app_password"] = password.expose_secret().into();
            }
            None => {}
        }
        if let Some(at) = self.expires {
            change["token_expires_at"] = json!(at);
        }
        if let Some(policy) = self.on_unknown {
            change["on_unknown"] = match policy {
                OnUnknown::Hold => "hold".into(),
                OnUnknown::Resend => "resend".into(),
            };
        }
        change
    }
}

/// Another process may add or remove the account at the same moment: then it is looked at once more.
async fn add(api: &Api, output: Output, wanted: &Wanted) -> anyhow::Result<()> {
    let added = match add_once(api, output, wanted).await? {
        None => add_once(api, output, wanted).await?,
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
    api: &Api,
    output: Output,
    wanted: &Wanted,
) -> anyhow::Result<Option<(Shown<Connected>, &'static str)>> {
    let Wanted { platform, name, token, .. } = wanted;
    let known = api.accounts().await?.into_iter().find(|account| account.name == *name);
    if let Some(other) = known.as_ref().filter(|account| account.platform != platform.as_str()) {
        bail!("account \"{name}\" is there already, on {}; choose another name", other.platform);
    }
    if platform.as_str() != DryRun::NAME && token.is_none() && known.is_none() {
        return Err(Usage(without_proof(api, platform, name).await?).into());
    }
    let before = known.as_ref().and_then(|account| account.remote_id.clone());
    let mut change = wanted.change();
    let (asked, what, beaten) = match known {
        // Nothing is to change.
        Some(known) if change == json!({}) => (Ok(known), "changed", ""),
        Some(known) => {
            let path = format!("/api/accounts/{}", known.id);
            (api.patch::<Connected>(&path, None, change).await, "changed", "not_found")
        }
        None => {
            change["name"] = name.as_str().into();
            change["platform"] = platform.as_str().into();
            (api.post("/api/accounts", change).await, "connected", "conflict")
        }
    };
    match asked {
        Ok(account) => {
            if token.is_some() {
                tell_whose(output, &account, before.as_deref());
            }
            Ok(Some((account, what)))
        }
        Err(error) if Refused::is(&error, beaten) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What may be shown to a platform, where nothing was.
async fn without_proof(api: &Api, platform: &PlatformName, name: &str) -> anyhow::Result<String> {
    let about = api.get::<About>("/api/about").await?.it;
    let is_in = |names: &[String]| names.iter().any(|name| name == platform.as_str());
    let token = "its access token on standard input (--access-token-stdin)";
    Ok(if is_in(&about.passwords) {
        format!(
            "an account on {platform} needs its handle and an app password on standard input (--handle HANDLE \
             --app-password-stdin), or {token}"
        )
    } else if is_in(&about.connects) {
        format!(
            "an account on {platform} needs {token}; or connect it there: postqd account connect {platform} \
             --name {name}"
        )
    } else {
        format!("an account on {platform} needs {token}")
    })
}

/// Tells whom the token belongs to, and if that is somebody else than before.
fn tell_whose(output: Output, account: &Connected, before: Option<&str>) {
    let Connected { name, platform, remote_id, .. } = account;
    if platform == DryRun::NAME {
        return;
    }
    match (remote_id.as_deref(), before) {
        (Some(id), Some(before)) if id != before => output.note(format!(
            "account {name} was id {before} until now: what is scheduled goes out as id {id}"
        )),
        (Some(id), _) => output.note(format!("account {name} is id {id} on {platform}")),
        (None, _) => {
            output.note(format!("{platform} was not asked whose token this is; kept as it is"))
        }
    }
}

/// What the daemon tells of itself.
#[derive(Debug, Deserialize)]
struct About {
    platforms: Vec<String>,
    /// Those that connect accounts at the platform, and are set up for it.
    connects: Vec<String>,
    /// Those that take a handle and an app password.
    passwords: Vec<String>,
}

async fn ensure_known(api: &Api, platform: &PlatformName) -> anyhow::Result<()> {
    let names = api.get::<About>("/api/about").await?.it.platforms;
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

/// What is on standard input.
fn secret(what: &str) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    std::io::stdin().take(MOST_TOKEN).read_to_string(&mut text)?;
    let token = SecretString::from(text.trim());
    if token.expose_secret().is_empty() {
        return Err(Usage(format!("no {what} on standard input; expected one line")).into());
    }
    Ok(token)
}

async fn list(api: &Api, output: Output) -> anyhow::Result<()> {
    let accounts = api.accounts().await?;
    output.list(["name", "platform", "state", "id"], &accounts, |account| {
        let id = account.id.to_string();
        [account.name.clone(), account.platform.clone(), state(account), id]
    });
    Ok(())
}

/// What holds an account back, in a word each.
fn state(account: &Connected) -> String {
    let held: Vec<&str> = account.blocks.iter().map(|block| block.reason.as_str()).collect();
    if held.is_empty() { "ready".to_owned() } else { held.join(", ") }
}

fn text(account: &Connected) -> String {
    let mut lines = vec![
        format!("account      {}", account.id),
        format!("name         {}", account.name),
        format!("platform     {}", account.platform),
        format!("remote id    {}", account.remote_id.as_deref().unwrap_or("unknown")),
        format!("credentials  {}", if account.has_credentials { "sealed" } else { "none" }),
        format!("state        {}", state(account)),
    ];
    if let Some(at) = account.token_expires_at {
        let renews = if account.token_renews == Some(true) { ", renewed before" } else { "" };
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        lines.push(format!("token ends   {at}{renews}"));
    }
    if let Some(why) = &account.token_trouble {
        lines.push(format!(
            "token        could not be renewed yet: {why}; it is tried again every minute"
        ));
    }
    lines.extend(account.held());
    lines.join("\n")
}

async fn remove(api: &Api, output: Output, name: &str) -> anyhow::Result<()> {
    let account = find(api, name).await?;
    match api.delete(&format!("/api/accounts/{}", account.id)).await {
        Ok(()) => {
            told(output, &account, "removed, and its credentials wiped; what it published stays");
            Ok(())
        }
        Err(error) if Refused::is(&error, "in_use") => bail!(
            "account \"{name}\" is in use by a schedule or a job; call those off first: postqd \
             schedule list, postqd job list --account {name}"
        ),
        Err(error) => Err(error),
    }
}

/// The account of this name or id.
pub(super) async fn find(api: &Api, name: &str) -> anyhow::Result<Shown<Connected>> {
    let accounts = api.accounts().await?;
    let id = name.parse::<AccountId>().ok();
    let hint = near::hint(name, accounts.iter().map(|account| account.name.as_str()));
    let is_it = |account: &Shown<Connected>| account.name == name || Some(account.id) == id;
    match accounts.iter().find(|account| is_it(account)) {
        Some(account) => Ok(account.clone()),
        None => bail!("there is no account \"{name}\"{hint}; postqd account list shows all"),
    }
}
