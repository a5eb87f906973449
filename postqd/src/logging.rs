//! Logs: on standard error, for people or as JSON.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::Config;
use crate::output::Usage;

/// Starts to log. What nobody has set is `level`.
pub(crate) fn start(config: &Config, level: &str) -> anyhow::Result<()> {
    let wanted = config.log_level.as_deref().unwrap_or(level);
    let filter = filter(wanted)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for people who look; a file has none.
    let logs = logs.with_ansi(std::io::stderr().is_terminal());
    let started = match config.production {
        true => logs.json().flatten_event(true).try_init(),
        false => logs.try_init(),
    };
    started.map_err(anyhow::Error::from_boxed).context("start to log")
}

/// A word of its own is a level: taken for the name of a part of the program, as the filter takes what
/// it does not know, a misspelt level would silence all.
fn filter(wanted: &str) -> Result<EnvFilter, Usage> {
    let alone = |part: &&str| !part.contains(['=', '[']);
    let unknown = wanted.split(',').map(str::trim).filter(alone);
    let unknown: Vec<&str> = unknown.filter(|word| word.parse::<LevelFilter>().is_err()).collect();
    let refuse = |why: String| {
        let expected = "expected error, warn, info, debug or trace, or a list as \
                        postq_engine=debug,info";
        Usage(format!("log_level (LOG_LEVEL): \"{wanted}\" cannot be{why}; {expected}"))
    };
    if !unknown.is_empty() {
        return Err(refuse(String::new()));
    }
    EnvFilter::builder().parse(wanted).map_err(|error| refuse(format!(" ({error})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["info", "WARN", "off", "postq_engine=debug,info", "postq_engine=debug"] {
            filter(good).unwrap();
        }
        for bad in ["inof", "postq_engine=loud", "info,frob"] {
            let error = filter(bad).unwrap_err().to_string();
            assert!(error.contains("expected error, warn"), "{error}");
        }
    }
}
