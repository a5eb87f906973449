//! What can be told of where pictures and videos are kept.

use std::time::Duration;

use postq_core::account::Account;
use postq_core::error::chain;
use postq_core::media::MediaId;
use postq_core::platform::{Platform, Transfer};

use super::Finding;
use crate::compose::Node;
use crate::config::Config;
use crate::media::{FOLDER, media};

/// A bucket that does not answer by then is none that can be used.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where they are kept, whether that can be used, and whether platforms that fetch them find them.
pub(super) async fn finding(node: &Node, accounts: &[Account]) -> Finding {
    let (config, place) = (&node.config, place(&node.config));
    let broken = |why: &str| Finding::broken("media", format!("{place} cannot be used: {why}"));
    let media = match media(node, Vec::new()) {
        Ok(media) => media,
        Err(error) => return broken(&chain(error.as_ref())),
    };
    let looked = media.store.size(MediaId::of_hash([0; 32]));
    match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return broken(&chain(&error)),
        Err(_) => return broken(&format!("no answer within {PATIENCE:?}")),
    }
    let served = tokio::time::timeout(PATIENCE, media.can_be_fetched()).await.unwrap_or(false);
    // Who has no account on it is not to be told what it needs.
    let fetches = |platform: &dyn Platform| {
        let is_used = accounts.iter().any(|account| account.platform == *platform.name());
        let media = platform.media().filter(|_| is_used);
        media.is_some_and(|media| media.transfer() == Transfer::Fetched)
    };
    let all = node.platforms().filter(|platform| fetches(&***platform));
    let fetching: Vec<&str> = all.map(|platform| platform.name().as_str()).collect();
    reached(&place, config.media.public_url.as_deref(), served, &fetching)
}

fn place(config: &Config) -> String {
    match &config.media.bucket {
        Some(bucket) => format!("the bucket \"{}\"", bucket.bucket),
        None => format!("the folder \"{}\"", config.data_dir.join(FOLDER).display()),
    }
}

fn reached(place: &str, url: Option<&str>, served: bool, fetching: &[&str]) -> Finding {
    match (url, served, fetching) {
        (Some(url), ..) => {
            Finding::ok("media", format!("{place}; platforms that fetch find them below {url}"))
        }
        (None, true, _) => {
            Finding::ok("media", format!("{place}, which serves platforms that fetch"))
        }
        (None, false, []) => Finding::ok(
            "media",
            format!("{place}; no account here is on a platform that fetches them itself"),
        ),
        (None, false, names) => Finding::warning(
            "media",
            format!(
                "{place}; {} fetches pictures and videos itself and finds none: set \
                 POSTQ_PUBLIC_URL to the address by which this postq is reached",
                names.join(", ")
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn a_missing_address_is_told_where_a_platform_needs_it() {
        let told = |url, served, fetching: &[&str]| reached("here", url, served, fetching);

        assert_eq!(told(None, false, &[]).health, Health::Ok);
        let missing = told(None, false, &["instagram"]);
        assert_eq!(missing.health, Health::Warning);
        assert!(
            missing.message.contains("instagram fetches")
                && missing.message.contains("POSTQ_PUBLIC_URL")
        );
        assert_eq!(told(None, true, &["instagram"]).health, Health::Ok);
        assert_eq!(told(Some("https://a.b"), false, &["instagram"]).health, Health::Ok);
    }
}
