//! What is called that is no platform: the guarded client, and the channels by which a person is told.

use std::sync::Arc;

use postq_core::clock::{Clock, SystemClock};
use postq_core::notifier::{LogNotifier, Notifier};
use postq_outbound::notify::{Slack, Webhook};
use postq_outbound::{AllowList, Outbound};

use crate::config::Outward;

/// Where the time of notices comes from.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Calls URLs that somebody gave, to where they may lead.
pub(crate) fn outbound(outward: &Outward) -> anyhow::Result<Outbound> {
    Ok(Outbound::new(outward.allow.clone())?)
}

/// The channels by which a person is told: the log, and those that are set.
pub(crate) fn channels(outward: &Outward) -> anyhow::Result<Vec<Arc<dyn Notifier>>> {
    let mut channels: Vec<Arc<dyn Notifier>> = vec![Arc::new(LogNotifier)];
    if outward.webhook.is_some() || outward.slack.is_some() {
        // The operator's own URLs: whatever address they have is meant.
        let own = Outbound::new(AllowList::everything())?;
        let place = || outward.place.clone();
        if let Some(hook) = &outward.webhook {
            let webhook = Webhook::new(own.clone(), &hook.url, hook.key.clone(), place(), clock())?;
            channels.push(Arc::new(webhook));
        }
        if let Some(url) = &outward.slack {
            channels.push(Arc::new(Slack::new(own, url, place())?));
        }
    }
    channels.extend(outward.mail.clone().map(|mail| Arc::new(mail) as Arc<dyn Notifier>));
    Ok(channels)
}
