//! Logs: on standard error, for people or as JSON.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Config;
use crate::output::Usage;

/// Keeps the export of traces going; dropped, it sends what is left.
#[derive(Debug)]
pub(crate) struct Logging {
    #[cfg(feature = "otel")]
    _traces: Option<crate::traces::Traces>,
}

/// Starts to log. What nobody has set is `level`.
pub(crate) fn start(config: &Config, level: &str) -> anyhow::Result<Logging> {
    let wanted = config.log_level.as_deref().unwrap_or(level);
    let filter = filter(wanted)?;
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Colours are for people who look; a file has none.
    let logs = logs.with_ansi(std::io::stderr().is_terminal());
    let logs = match config.production {
        true => logs.json().flatten_event(true).with_filter(filter).boxed(),
        false => logs.with_filter(filter).boxed(),
    };
    let registry = tracing_subscriber::registry();
    #[cfg(feature = "otel")]
    let (traces, exported) = crate::traces::start(config.otlp_endpoint.as_deref())?.unzip();
    #[cfg(feature = "otel")]
    let registry = registry.with(exported);
    registry.with(logs).try_init().context("start to log")?;
    #[cfg(not(feature = "otel"))]
    if config.otlp_endpoint.is_some() {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set and this build exports no traces; it needs the \
             feature otel"
        );
    }
    Ok(Logging {
        #[cfg(feature = "otel")]
        _traces: traces,
    })
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
