//! What is called that is no platform: the guarded client, and the channels by which a person is told.

use std::sync::Arc;

use postq_core::clock::{Clock, SystemClock};
use postq_core::notifier::{LogNotifier, Notifier};
use postq_outbound::notify::{Slack, Webhook};
use postq_outbound::{AllowList, Outbound};
use postq_web::Channel;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

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
pub(crate) fn channels(outward: &Outward) -> anyhow::Result<Vec<Channel>> {
    let mut channels = vec![channel(LogNotifier, Vec::new())];
    if outward.webhook.is_some() || outward.slack.is_some() {
        // The operator's own URLs: whatever address they have is meant.
        let own = Outbound::new(AllowList::everything())?;
        let place = || outward.place.clone();
        if let Some(hook) = &outward.webhook {
            let webhook = Webhook::new(own.clone(), &hook.url, hook.key.clone(), place(), clock())?;
            channels.push(channel(webhook, host(&hook.url)));
        }
        if let Some(url) = &outward.slack {
            channels.push(channel(Slack::new(own, url, place())?, host(url)));
        }
    }
    channels.extend(outward.mail.clone().map(|mail| {
        let to = mail.recipients().collect();
        channel(mail, to)
    }));
    Ok(channels)
}

fn channel(notifier: impl Notifier, to: Vec<String>) -> Channel {
    Channel { notifier: Arc::new(notifier), to }
}

/// The host of a URL, with the port where it is not the usual one. The rest of it may be a secret.
fn host(url: &SecretString) -> Vec<String> {
    let host = |url: Url| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port}", url.host_str()?))
    };
    Url::parse(url.expose_secret()).ok().and_then(host).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_the_host_is_shown() {
        let shown = |url: &str| host(&SecretString::from(url));

        assert_eq!(
            shown("https://hooks.example.com/services/s3cret?k=s3cret"),
            ["hooks.example.com"]
        );
        assert_eq!(shown("http://me:s3cret@127.0.0.1:8065/s3cret"), ["127.0.0.1:8065"]);
        assert_eq!(shown("https://[::1]:9/s3cret"), ["[::1]:9"]);
        assert!(shown("s3cret").is_empty());
    }
}
