//! The adapters for the platforms. Nothing else here makes one, or knows how their settings are called.

use std::sync::Arc;

use async_trait::async_trait;
use postq_bluesky::Bluesky;
use postq_core::connect::{Grant, Whose};
use postq_core::failure::Failure;
use postq_core::media::MediaStore;
use postq_core::platform::{Platform, PlatformName};
use postq_meta::{Facebook, Instagram};
use postq_pinterest::Pinterest;
use postq_reddit::Reddit;
use postq_web::{Identify, SignIn};
use postq_x::X;
use secrecy::SecretString;

use crate::config::{Config, named};
use crate::output::Usage;

/// One adapter for each platform.
#[derive(Clone, Debug)]
pub(crate) struct Adapters {
    pub(crate) x: Arc<X>,
    pub(crate) bluesky: Arc<Bluesky>,
    others: Vec<Arc<dyn Platform>>,
}

impl Adapters {
    /// All of them, as they are set. Where pictures and videos are kept is for the one that sends pictures in
    /// its creating call. Makes no request.
    pub(crate) fn new(config: &Config, files: &Arc<dyn MediaStore>) -> anyhow::Result<Self> {
        let set = &config.platforms;
        let x = X::new(set.x.clone()).map_err(|e| wrong("x", e.setting, &e.problem))?;
        let reddit =
            Reddit::new(set.reddit.clone()).map_err(|e| wrong("reddit", e.setting, &e.problem))?;
        let facebook = Facebook::new(set.facebook.clone())
            .map_err(|e| wrong("facebook", e.setting, &e.problem))?;
        let instagram = Instagram::new(set.instagram.clone())
            .map_err(|e| wrong("instagram", e.setting, &e.problem))?;
        let pinterest = Pinterest::new(set.pinterest.clone(), Arc::clone(files))
            .map_err(|e| wrong("pinterest", e.setting, &e.problem))?;
        let bluesky = Bluesky::new(set.bluesky.clone())
            .map_err(|e| wrong("bluesky", e.setting, &e.problem))?;
        Ok(Self {
            x: Arc::new(x),
            bluesky: Arc::new(bluesky),
            others: vec![
                Arc::new(reddit),
                Arc::new(facebook),
                Arc::new(instagram),
                Arc::new(pinterest),
            ],
        })
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<dyn Platform>> {
        let mut all = self.others.clone();
        all.push(Arc::clone(&self.x) as Arc<dyn Platform>);
        all.push(Arc::clone(&self.bluesky) as Arc<dyn Platform>);
        all
    }

    fn named(&self, name: &PlatformName) -> Option<Arc<dyn Platform>> {
        self.all().into_iter().find(|platform| platform.name() == name)
    }
}

/// The platforms, and where each of them is.
pub(crate) fn addresses(config: &Config) -> Vec<(String, String)> {
    let set = &config.platforms;
    let all = [
        ("x", &set.x.base_url),
        ("reddit", &set.reddit.base_url),
        ("facebook", &set.facebook.base_url),
        ("instagram", &set.instagram.base_url),
        ("pinterest", &set.pinterest.base_url),
        ("bluesky", &set.bluesky.service_url),
    ];
    all.map(|(name, url)| (name.to_owned(), url.clone())).to_vec()
}

/// Asks a platform whose a token is.
#[async_trait]
impl Identify for Adapters {
    async fn identify(
        &self,
        platform: &PlatformName,
        token: &SecretString,
    ) -> Result<Option<String>, Failure> {
        if platform == self.bluesky.name() {
            return Ok(Some(self.bluesky.whoami(token).await?.did));
        }
        let Some(adapter) = self.named(platform) else { return Ok(None) };
        let Some(connect) = adapter.connect() else { return Ok(None) };
        let grant = Grant {
            access_token: token.clone(),
            refresh_token: None,
            expires_in: None,
            scopes: Vec::new(),
        };
        Ok(Some(connect.whose(&grant).await?.remote_id))
    }
}

/// Bluesky alone has passwords that are made for apps.
#[async_trait]
impl SignIn for Adapters {
    fn takes(&self, platform: &PlatformName) -> bool {
        platform == self.bluesky.name()
    }

    async fn sign_in(
        &self,
        _: &PlatformName,
        handle: &str,
        password: &SecretString,
    ) -> Result<(Grant, Whose), Failure> {
        self.bluesky.sign_in(handle, password).await
    }
}

/// A setting that an adapter does not take, by the names that a user knows it by.
fn wrong(platform: &str, field: &str, problem: &str) -> anyhow::Error {
    let own = format!("{platform}_{field}");
    let api = format!("{platform}_api_{field}");
    let key = match (platform, field) {
        ("x", "fields") => "x_tweet_fields",
        _ => [own.as_str(), api.as_str(), field]
            .into_iter()
            .find(|key| named(key).is_some())
            .unwrap_or(field),
    };
    let env = named(key).map(|setting| format!(" ({})", setting.env)).unwrap_or_default();
    Usage(format!("{key}{env}: {problem}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_told_by_the_name_that_people_know() {
        for (platform, field, expected) in [
            ("x", "base_url", "x_api_base_url (X_API_BASE_URL): no"),
            ("x", "tier", "x_api_tier (X_API_TIER): no"),
            ("x", "fields", "x_tweet_fields (X_TWEET_FIELDS): no"),
            ("x", "settle_time", "settle_time (POSTQ_SETTLE_TIME): no"),
            ("reddit", "settle_time", "reddit_settle_time (REDDIT_SETTLE_TIME): no"),
            ("reddit", "send_timeout", "send_timeout (POSTQ_SEND_TIMEOUT): no"),
            ("facebook", "base_url", "facebook_api_base_url (FACEBOOK_API_BASE_URL): no"),
            ("bluesky", "service_url", "bluesky_service_url (BLUESKY_SERVICE_URL): no"),
            ("bluesky", "certificates", "certificates: no"),
        ] {
            assert_eq!(wrong(platform, field, "no").to_string(), expected);
        }
    }
}
