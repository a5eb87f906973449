//! Logs: on standard error, for people or as JSON.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::output::Usage;

/// Starts to log. What nobody has set is `level`.
pub(crate) fn start(config: &Config, level: &str) -> anyhow::Result<()> {
    let wanted = config.log_level.as_deref().unwrap_or(level);
    let filter = EnvFilter::builder().parse(wanted).map_err(|error| {
        Usage(format!(
            "log_level (LOG_LEVEL): \"{wanted}\" cannot be ({error}); expected error, warn, info, \
             debug or trace"
        ))
    })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for people who look; a file has none.
    let logs = logs.with_ansi(std::io::stderr().is_terminal());
    let started = match config.production {
        true => logs.json().flatten_event(true).try_init(),
        false => logs.try_init(),
    };
    started.map_err(anyhow::Error::from_boxed).context("start to log")
}
