//! `postqd config`: what is in force and where it came from.

use crate::config::Config;
use crate::output::Output;

pub(super) fn show(config: &Config, output: Output) -> anyhow::Result<()> {
    output.list(
        ["setting", "value", "from", "environment", "what it does"],
        config.in_force(),
        |setting| {
            [
                setting.key.to_owned(),
                setting.value.clone().unwrap_or_else(|| "-".to_owned()),
                setting.source.to_string(),
                setting.env.to_owned(),
                setting.doc.to_owned(),
            ]
        },
    );
    Ok(())
}
