//! The commands, one file per group.

mod account;
mod config;
mod dead;
mod doctor;
mod import;
mod job;
mod migrate;
mod post;
mod preview;
mod run;
mod schedule;
mod serve;
mod story;
mod token;

use uuid::Uuid;

use crate::cli::{Cli, Command, Paging};
use crate::compose::Node;
use crate::config::Config;
use crate::logging;
use crate::output::{Output, Usage};

/// The most that one page of a list shows.
const MOST_LISTED: usize = 1_000;

/// Does what the command says.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<()> {
    let output = *output;
    let config = Config::load(cli.config.as_deref(), &cli.settings())
        .map_err(|error| Usage(format!("{error:#}")))?;
    let level = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    // Held to the end: what was not yet exported then goes out when it is dropped.
    let _logging = logging::start(&config, level)?;
    let open = async || Node::open(config.clone()).await;
    match cli.command {
        Command::Config => config::show(&config, output),
        Command::Preview(command) => preview::run(output, &command),
        Command::Doctor => doctor::run(&config, output).await,
        Command::Serve(_) => serve::run(open().await?).await,
        Command::Migrate(command) => migrate::run(&config, output, &command).await,
        Command::Run(command) => run::run(&open().await?, output, command).await,
        Command::Import(command) => import::run(&open().await?, output, command).await,
        Command::Post(command) => post::run(&open().await?, output, *command).await,
        Command::Schedule(command) => schedule::run(&open().await?, output, command).await,
        Command::Account(command) => account::run(&open().await?, output, command).await,
        Command::Job(command) => job::run(&open().await?, output, command).await,
        Command::Dead(command) => dead::run(&open().await?, output, command).await,
        Command::Token(command) => token::run(&open().await?, output, command).await,
    }
}

/// The page that is asked for.
fn page(paging: &Paging) -> anyhow::Result<postq_core::store::Page> {
    let after = paging.after.as_deref().map(str::parse::<Uuid>).transpose();
    let after = after.map_err(|_| Usage("--after: expected an id".to_owned()))?;
    if !(1..=MOST_LISTED).contains(&paging.limit) {
        return Err(Usage(format!("--limit: expected 1 to {MOST_LISTED}")).into());
    }
    Ok(postq_core::store::Page { after, limit: paging.limit })
}

/// Tells a person how to see the rest of a list that may have one.
fn more(output: Output, paging: &Paging, shown: usize, last: Option<impl std::fmt::Display>) {
    if let Some(last) = last.filter(|_| shown >= paging.limit) {
        output.note(format!("there may be more: --after {last}"));
    }
}
