//! `postqd notify test`: whether notices arrive.

use anyhow::bail;
use serde::Deserialize;
use serde_json::json;

use crate::api::Api;
use crate::api::shown::Shown;
use crate::cli::Notify;
use crate::output::{Output, count};

/// What came of it, by channel.
#[derive(Debug, Deserialize)]
struct Tested {
    items: Vec<Shown<Channel>>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    channel: String,
    /// Why it could not be told.
    error: Option<String>,
}

pub(super) async fn run(api: &Api, output: Output, command: Notify) -> anyhow::Result<()> {
    let Notify::Test = command;
    let tested = api.post::<Tested>("/api/notifications/test", json!({})).await?.it.items;
    output.list(["channel", "came of it"], &tested, |tested| {
        let came = tested.error.clone().unwrap_or_else(|| "sent".to_owned());
        [tested.channel.clone(), came]
    });
    if tested.len() == 1 {
        output.note("only the log is told; docs/notifications.md says how to set other channels");
    }
    match tested.iter().filter(|tested| tested.error.is_some()).count() {
        0 => Ok(()),
        failed => bail!("{} could not be told", count(failed, "channel")),
    }
}
