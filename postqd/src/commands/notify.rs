//! `postqd notify test`: whether notices arrive.

use anyhow::bail;
use postq_core::error::chain;
use postq_core::id::JobId;
use postq_core::notifier::{Notice, NoticeKind};
use serde_json::json;

use crate::cli::Notify;
use crate::config::Config;
use crate::output::{Output, count};
use crate::outward;

/// What the test says.
const MESSAGE: &str =
    "this is a test: somebody ran postqd notify test, and nothing is wrong with any post";

pub(super) async fn run(config: &Config, output: Output, command: &Notify) -> anyhow::Result<()> {
    let Notify::Test = command;
    let notice = Notice::new(NoticeKind::Test, MESSAGE);
    let mut came_of = Vec::new();
    for channel in outward::channels(&config.outward)? {
        let told = channel.notify(JobId::new(), &notice).await;
        let error = told.err().map(|error| chain(&error));
        came_of.push((channel.channel().to_owned(), error));
    }
    if output.is_json() {
        let each = |(channel, error): &(String, Option<String>)| json!({ "channel": channel, "sent": error.is_none(), "error": error });
        output.emit(&came_of.iter().map(each).collect::<Vec<_>>());
    } else {
        output.list(["channel", "came of it"], &came_of, |(channel, error)| {
            [channel.clone(), error.clone().unwrap_or_else(|| "sent".to_owned())]
        });
    }
    if came_of.len() == 1 {
        output.note("only the log is told; docs/notifications.md says how to set other channels");
    }
    match came_of.iter().filter(|(_, error)| error.is_some()).count() {
        0 => Ok(()),
        failed => bail!("{} could not be told", count(failed, "channel")),
    }
}
