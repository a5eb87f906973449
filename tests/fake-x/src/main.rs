//! The server as a program, for scripts that kill what talks to it.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use fake_x::{FakeX, Faults, Options};

/// An X-shaped HTTP server on loopback, with faults and a ledger.
#[derive(Debug, Parser)]
struct Arguments {
    /// The port; 0 for one that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Append each accepted post to this file, as a line of JSON.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// What goes wrong: `cut_after=0.05,503_after=0.02,hide=1500ms`.
    #[arg(long, default_value = "")]
    faults: Faults,
    /// What chance starts from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let Arguments { port, ledger, faults, seed } = Arguments::parse();
    let server = FakeX::start_with(Options { port, ledger, faults, seed }).await?;
    // The one line that a script waits for.
    writeln!(io::stdout(), "{}", server.base_url())?;
    std::future::pending().await
}
