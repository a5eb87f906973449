//! The commands, one file per group.

mod account;
mod analytics;
mod config;
mod connect;
mod dead;
mod doctor;
mod import;
mod job;
mod limits;
mod media;
mod migrate;
mod node;
mod notify;
mod options;
mod platforms;
mod post;
mod preview;
mod publication;
mod run;
mod schedule;
pub(crate) mod serve;
mod slot;
mod story;
mod token;
mod variants;
mod vault;
mod webhook;

use crate::api::Api;
use crate::cli::{Account, Cli, Command, Paging, Schedule};
use crate::compose::Node;
use crate::config::{Config, Source};
use crate::logging;
use crate::output::{Output, Usage};

/// What a command logs where nobody says otherwise. What goes wrong with its store it tells itself.
const QUIET: &str = "warn,postq_web::problem=off";

/// Does what the command says.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<()> {
    let output = *output;
    let config = Config::load(cli.config.as_deref(), &cli.settings())
        .map_err(|error| Usage(format!("{error:#}")))?;
    let level = if matches!(cli.command, Command::Serve(_)) { "info" } else { QUIET };
    // Held to the end: what was not yet exported then goes out when it is dropped.
    let _logging = logging::start(&config, level)?;
    ensure_fits(&cli.command, &config)?;
    let api = async || Api::open(&config, output).await;
    let api_to_ask = async || Api::open_to_ask(&config, output).await;
    match cli.command {
        Command::Config => config::show(&config, output),
        Command::Preview(command) => preview::run(&config, output, &command).await,
        Command::Notify(command) => {
            notify::run(&Api::without_store(&config, output)?, output, command).await
        }
        Command::Doctor => doctor::run(&config, output).await,
        Command::Serve(_) => serve::run(Node::open(config).await?).await,
        Command::Migrate(command) => migrate::run(&config, output, &command).await,
        Command::Run(command) => run::run(&Node::open(config).await?, output, command).await,
        Command::Import(command) => import::run(&api_to_ask().await?, output, command).await,
        Command::Post(command) => {
            let api = if command.writes() { api_to_ask().await? } else { api().await? };
            post::run(&api, output, *command).await
        }
        Command::Schedule(command @ Schedule::EditOne { .. }) => {
            schedule::run(&api_to_ask().await?, output, command).await
        }
        Command::Schedule(command) => schedule::run(&api().await?, output, command).await,
        Command::Account(command @ (Account::Add { .. } | Account::Connect { .. })) => {
            let api = Api::open_with_vault(&config, output).await?;
            account::run(&api, output, command).await
        }
        Command::Account(command @ (Account::Remove { .. } | Account::Show { .. })) => {
            // To take a token back, or to look at it.
            account::run(&api_to_ask().await?, output, command).await
        }
        Command::Account(command) => account::run(&api().await?, output, command).await,
        Command::Job(command) => job::run(&api().await?, output, command).await,
        Command::Dead(command) => dead::run(&api().await?, output, command).await,
        Command::Publication(command) => publication::run(&api().await?, output, command).await,
        Command::Analytics(command) => analytics::run(&api().await?, output, command).await,
        Command::Slot(command) => slot::run(&api().await?, output, command).await,
        Command::Node(command) => node::run(&api().await?, output, command).await,
        Command::Platforms { platform } => {
            platforms::run(&api().await?, output, platform.as_ref()).await
        }
        Command::Token(command) => token::run(&api().await?, output, command).await,
        Command::Vault(command) => vault::run(&Node::open(config).await?, output, command).await,
        Command::Media(command) => media::run(&api().await?, output, command).await,
        Command::Webhook(command) => {
            // To seal a secret, or to sign with it.
            let api = Api::open_with_vault(&config, output).await?;
            webhook::run(&api, output, command).await
        }
    }
}

/// Fails if a daemon is named and the command is about this machine alone.
fn ensure_fits(command: &Command, config: &Config) -> Result<(), Usage> {
    let name = match command {
        Command::Run(_) => "run",
        Command::Serve(_) => "serve",
        Command::Migrate(_) => "migrate",
        Command::Vault(_) => "vault",
        // Where a daemon is set, it shows that.
        Command::Config if config.source("server") == Source::Option => "config",
        _ => return Ok(()),
    };
    if config.server.is_none() {
        return Ok(());
    }
    let instead = match command {
        Command::Run(_) => "; postqd import --apply loads calendars there",
        _ => "",
    };
    Err(Usage(format!(
        "postqd {name} works on this machine alone, and a server is named ({}): leave that out{instead}",
        match config.source("server") {
            Source::Option => "--server".to_owned(),
            Source::Environment => "POSTQ_SERVER".to_owned(),
            source => format!("server in {source}"),
        }
    )))
}

/// Tells a person how to see the rest of a list that may have one.
fn more(output: Output, paging: &Paging, shown: usize, last: Option<impl std::fmt::Display>) {
    if let Some(last) = last.filter(|_| shown >= paging.limit) {
        let newest = if paging.newest { "--newest " } else { "" };
        output.note(format!("there may be more: {newest}--after {last}"));
    }
}
