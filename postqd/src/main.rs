//! `postqd`: the daemon and command line of postq. Reads the configuration, composes, serves; no
//! logic of its own.

mod adapters;
mod api;
mod cli;
mod commands;
mod compose;
mod config;
mod folder;
mod incoming;
mod key;
mod logging;
mod media;
mod output;
mod outward;
mod reach;
mod recorder;
mod signals;
mod store;
#[cfg(feature = "otel")]
mod traces;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::output::{Output, Usage};

/// Everything was done.
const DONE: u8 = 0;
/// Something failed; what, is told.
const FAILED: u8 = 1;
/// The command or the configuration cannot be.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misuse(&error),
    };
    let output = Output::new(cli.json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli, &output)),
        Err(error) => Err(error.into()),
    };
    ExitCode::from(match done {
        Ok(()) if output.is_lost() => FAILED,
        Ok(()) => DONE,
        Err(error) => {
            output.error(&error);
            if error.is::<Usage>() { USAGE } else { FAILED }
        }
    })
}

/// Tells what is wrong with the command line, or what help was asked for.
fn misuse(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && wants_json {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        Output::new(true).error(&Usage(line.trim_start_matches("error: ").to_owned()).into());
        return ExitCode::from(USAGE);
    }
    // A reader that went away has seen enough.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { DONE })
}
