//! What each platform is set to: the settings of a platform begin with its name.

use std::num::NonZeroU32;

use super::Values;

/// What the platforms are set to.
#[derive(Clone, Debug)]
pub(crate) struct PlatformsConfig {
    pub(crate) x: postq_x::Config,
    pub(crate) reddit: postq_reddit::Config,
    pub(crate) facebook: postq_meta::FacebookConfig,
    pub(crate) instagram: postq_meta::InstagramConfig,
    pub(crate) pinterest: postq_pinterest::Config,
    pub(crate) bluesky: postq_bluesky::Config,
}

impl Values {
    pub(super) fn platforms(&self) -> anyhow::Result<PlatformsConfig> {
        Ok(PlatformsConfig {
            x: self.x()?,
            reddit: self.reddit()?,
            facebook: self.facebook()?,
            instagram: self.instagram()?,
            pinterest: self.pinterest()?,
            bluesky: self.bluesky()?,
        })
    }

    fn x(&self) -> anyhow::Result<postq_x::Config> {
        let asking: postq_x::Asking = self
            .text("x_tweet_fields")
            .parse()
            .map_err(|error: postq_x::ConfigError| self.wrong("x_tweet_fields", error.problem))?;
        Ok(postq_x::Config {
            base_url: self.text("x_api_base_url").to_owned(),
            tier: self.parse("x_api_tier", "free, basic, pro or enterprise")?,
            fields: asking.fields,
            groups: asking.groups,
            settle_time: self.duration("settle_time")?,
            rate_limit: self.switch("rate_limit")?,
            send_timeout: self.duration("send_timeout")?,
            client_id: self.some("x_client_id"),
            client_secret: self.secret("x_client_secret"),
            redirect_uri: self.some("x_redirect_uri"),
            authorize_url: self.text("x_authorize_url").to_owned(),
            ..postq_x::Config::default()
        })
    }

    fn reddit(&self) -> anyhow::Result<postq_reddit::Config> {
        let usual = postq_reddit::Config::default();
        Ok(postq_reddit::Config {
            base_url: self.text("reddit_api_base_url").to_owned(),
            auth_url: self.text("reddit_auth_url").to_owned(),
            user_agent: self.some("reddit_user_agent").unwrap_or(usual.user_agent),
            settle_time: self.duration("reddit_settle_time")?,
            rate_limit: self.switch("reddit_rate_limit")?,
            send_timeout: self.duration("send_timeout")?,
            client_id: self.some("reddit_client_id"),
            client_secret: self.secret("reddit_client_secret"),
            redirect_uri: self.some("reddit_redirect_uri"),
        })
    }

    fn facebook(&self) -> anyhow::Result<postq_meta::FacebookConfig> {
        Ok(postq_meta::FacebookConfig {
            base_url: self.text("facebook_api_base_url").to_owned(),
            video_base_url: self.text("facebook_video_base_url").to_owned(),
            authorize_url: self.text("facebook_authorize_url").to_owned(),
            app_id: self.some("facebook_app_id"),
            app_secret: self.secret("facebook_app_secret"),
            redirect_uri: self.some("facebook_redirect_uri"),
            send_proof: self.switch("facebook_send_proof")?,
            settle_time: self.duration("facebook_settle_time")?,
            send_timeout: self.duration("send_timeout")?,
        })
    }

    fn instagram(&self) -> anyhow::Result<postq_meta::InstagramConfig> {
        let daily: u32 = self.parse("instagram_daily", "a whole number; 0 for no limit")?;
        Ok(postq_meta::InstagramConfig {
            base_url: self.text("instagram_api_base_url").to_owned(),
            code_url: self.text("instagram_code_url").to_owned(),
            authorize_url: self.text("instagram_authorize_url").to_owned(),
            app_id: self.some("instagram_app_id"),
            app_secret: self.secret("instagram_app_secret"),
            redirect_uri: self.some("instagram_redirect_uri"),
            daily: NonZeroU32::new(daily),
            settle_time: self.duration("instagram_settle_time")?,
            send_timeout: self.duration("send_timeout")?,
        })
    }

    fn pinterest(&self) -> anyhow::Result<postq_pinterest::Config> {
        Ok(postq_pinterest::Config {
            base_url: self.text("pinterest_api_base_url").to_owned(),
            access: self.parse("pinterest_access", "trial or standard")?,
            settle_time: self.duration("pinterest_settle_time")?,
            rate_limit: self.switch("pinterest_rate_limit")?,
            send_timeout: self.duration("send_timeout")?,
            client_id: self.some("pinterest_client_id"),
            client_secret: self.secret("pinterest_client_secret"),
            redirect_uri: self.some("pinterest_redirect_uri"),
            authorize_url: self.text("pinterest_authorize_url").to_owned(),
            continuous_refresh: self.switch("pinterest_continuous_refresh")?,
            fetch_pictures: self.switch("pinterest_fetch_pictures")?,
        })
    }

    fn bluesky(&self) -> anyhow::Result<postq_bluesky::Config> {
        let video = self.text("bluesky_video_url");
        Ok(postq_bluesky::Config {
            service_url: self.text("bluesky_service_url").to_owned(),
            plc_url: self.text("bluesky_plc_url").to_owned(),
            appview_url: self.text("bluesky_appview_url").to_owned(),
            video_url: (video != "none").then(|| video.to_owned()),
            settle_time: self.duration("bluesky_settle_time")?,
            rate_limit: self.switch("bluesky_rate_limit")?,
            send_timeout: self.duration("send_timeout")?,
            max_image_bytes: self.parse("bluesky_max_image_bytes", "a whole number of bytes")?,
        })
    }

    /// What somebody set; none if nobody did.
    fn some(&self, key: &str) -> Option<String> {
        self.set(key).map(|value| value.text.clone())
    }
}
