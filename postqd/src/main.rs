//! `postqd`: the daemon and command line of postq. Reads the configuration, composes, serves; no
//! logic of its own.

mod cli;
mod commands;
mod compose;
mod config;
mod key;
mod logging;
mod output;
mod signals;
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
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli, &output)),
        Err(error) => Err(error.into()),
    };
    ExitCode::from(match done {
        Ok(()) => DONE,
        Err(error) => {
            output.error(&error);
            if error.is::<Usage>() { USAGE } else { FAILED }
        }
    })
}
