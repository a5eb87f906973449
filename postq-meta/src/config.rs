//! What a user may set.

use std::num::NonZeroU32;
use std::time::Duration;

use postq_http::{Base, ConfigError, ensure_ends, ensure_safe, ensure_settles};
use secrecy::SecretString;

const FACEBOOK: &str = "https://graph.facebook.com/v25.0";
const FACEBOOK_VIDEO: &str = "https://graph-video.facebook.com/v25.0";
const INSTAGRAM: &str = "https://graph.instagram.com/v25.0";

/// How the adapter talks to Facebook.
#[derive(Clone, Debug)]
pub struct FacebookConfig {
    /// Where the Graph API is, with its version. Defaults to `https://graph.facebook.com/v25.0`; `http` only
    /// on loopback.
    pub base_url: String,
    /// Where videos are uploaded. Defaults to `https://graph-video.facebook.com/v25.0`.
    pub video_base_url: String,
    /// Where people agree. Defaults to `https://www.facebook.com/v25.0/dialog/oauth`.
    pub authorize_url: String,
    /// The id of the app that Pages are connected through. Defaults to none: then Pages are added with an
    /// access token.
    pub app_id: Option<String>,
    /// The app's secret. Defaults to none.
    pub app_secret: Option<SecretString>,
    /// Where Facebook sends people back to who connect a Page, exactly as it is set for the app. Defaults to
    /// none. `http` only on loopback.
    pub redirect_uri: Option<String>,
    /// Whether every call is proved with the app's secret, as an app may demand. Defaults to no; all tokens
    /// must be the app's own then.
    pub send_proof: bool,
    /// How long after a call its post may still become visible. Defaults to 5 min, at most 1 h; less only on
    /// loopback.
    pub settle_time: Duration,
    /// The longest that one call to publish, one step of an upload or one look may take. Defaults to 30 s;
    /// 100 ms to 300 s.
    pub send_timeout: Duration,
}

impl Default for FacebookConfig {
    fn default() -> Self {
        Self {
            base_url: FACEBOOK.to_owned(),
            video_base_url: FACEBOOK_VIDEO.to_owned(),
            authorize_url: "https://www.facebook.com/v25.0/dialog/oauth".to_owned(),
            app_id: None,
            app_secret: None,
            redirect_uri: None,
            send_proof: false,
            settle_time: SETTLE_TIME,
            send_timeout: Duration::from_secs(30),
        }
    }
}

impl FacebookConfig {
    /// Checks all settings; the base, and the one for videos.
    pub(crate) fn check(&self) -> Result<(Base, Base), ConfigError> {
        let base = Base::parse("base_url", &self.base_url, FACEBOOK)?;
        let video = Base::parse("video_base_url", &self.video_base_url, FACEBOOK_VIDEO)?;
        ensure_safe("authorize_url", &self.authorize_url)?;
        if let Some(uri) = &self.redirect_uri {
            ensure_safe("redirect_uri", uri)?;
        }
        if self.send_proof && self.app_secret.is_none() {
            let problem = "it needs app_secret, which is not set";
            return Err(ConfigError::new("send_proof", problem));
        }
        ensure_settles(&base, self.settle_time, SETTLE_TIME)?;
        ensure_ends(self.send_timeout)?;
        Ok((base, video))
    }
}

/// How the adapter talks to Instagram.
#[derive(Clone, Debug)]
pub struct InstagramConfig {
    /// Where the API is, with its version. Defaults to `https://graph.instagram.com/v25.0`, for accounts that
    /// are connected by Instagram's own login; with `https://graph.facebook.com/v25.0` accounts are added
    /// with the token of their Page and their own id at Instagram. `http` only on loopback.
    pub base_url: String,
    /// Where codes are exchanged. Defaults to `https://api.instagram.com/oauth/access_token`.
    pub code_url: String,
    /// Where people agree. Defaults to `https://www.instagram.com/oauth/authorize`.
    pub authorize_url: String,
    /// The id of the app that accounts are connected through. Defaults to none: then accounts are added with
    /// an access token, which nothing extends.
    pub app_id: Option<String>,
    /// The app's secret. Defaults to none.
    pub app_secret: Option<SecretString>,
    /// Where Instagram sends people back to who connect an account, exactly as it is set for the app.
    /// Defaults to none. `http` only on loopback.
    pub redirect_uri: Option<String>,
    /// How many posts of an account are planned in any 24 hours; none if it does not matter. Defaults to 50.
    /// Instagram's own number, which it tells before each post, is kept whatever is set here.
    pub daily: Option<NonZeroU32>,
    /// How long after a call its post may still become visible. Defaults to 5 min, at most 1 h; less only on
    /// loopback.
    pub settle_time: Duration,
    /// The longest that one call to publish, one step of building or one look may take. Defaults to 30 s;
    /// 100 ms to 300 s.
    pub send_timeout: Duration,
}

impl Default for InstagramConfig {
    fn default() -> Self {
        Self {
            base_url: INSTAGRAM.to_owned(),
            code_url: "https://api.instagram.com/oauth/access_token".to_owned(),
            authorize_url: "https://www.instagram.com/oauth/authorize".to_owned(),
            app_id: None,
            app_secret: None,
            redirect_uri: None,
            daily: NonZeroU32::new(50),
            settle_time: SETTLE_TIME,
            send_timeout: Duration::from_secs(30),
        }
    }
}

impl InstagramConfig {
    /// Checks all settings.
    pub(crate) fn check(&self) -> Result<Base, ConfigError> {
        let base = Base::parse("base_url", &self.base_url, INSTAGRAM)?;
        ensure_safe("code_url", &self.code_url)?;
        ensure_safe("authorize_url", &self.authorize_url)?;
        if let Some(uri) = &self.redirect_uri {
            ensure_safe("redirect_uri", uri)?;
        }
        ensure_settles(&base, self.settle_time, SETTLE_TIME)?;
        ensure_ends(self.send_timeout)?;
        Ok(base)
    }
}

/// The default settle time.
const SETTLE_TIME: Duration = Duration::from_secs(300);

/// A base without its version: `https://graph.instagram.com`.
pub(crate) fn unversioned(base: &Base) -> &str {
    let is_version = |word: &str| {
        let number = word.strip_prefix('v').unwrap_or_default();
        !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit() || c == b'.')
    };
    match base.url.rsplit_once('/') {
        Some((root, last)) if is_version(last) => root,
        _ => &base.url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &FacebookConfig) -> &'static str {
        config.check().expect_err("refused").setting
    }

    #[test]
    fn what_is_for_tests_is_refused_away_from_loopback() {
        let quick = Duration::from_secs(2);
        let facebook = FacebookConfig { settle_time: quick, ..FacebookConfig::default() };
        let instagram = InstagramConfig { settle_time: quick, ..InstagramConfig::default() };

        assert_eq!(refused(&facebook), "settle_time");
        assert_eq!(instagram.check().expect_err("refused").setting, "settle_time");
        for host in ["127.0.0.1:81", "127.8.9.1", "localhost:1", "[::1]:2"] {
            let base_url = format!("http://{host}/v25.0/");
            let local = FacebookConfig { base_url, ..facebook.clone() };
            assert_eq!(local.check().expect(host).0.url, format!("http://{host}/v25.0"));
        }
    }

    #[test]
    fn an_address_must_keep_the_token_safe() {
        for bad in [
            "",
            "graph.facebook.com",
            "http://graph.facebook.com/v25.0",
            "ftp://a.com",
            "https://a.com/?a=b",
        ] {
            let config = |base: &str, video: &str| FacebookConfig {
                base_url: base.into(),
                video_base_url: video.into(),
                ..FacebookConfig::default()
            };
            let good = "https://graph.facebook.com/v25.0";
            assert_eq!(refused(&config(bad, good)), "base_url", "{bad}");
            assert_eq!(refused(&config(good, bad)), "video_base_url", "{bad}");
            let code = InstagramConfig { code_url: bad.into(), ..InstagramConfig::default() };
            let is_safe = bad.starts_with("https://");
            assert_eq!(code.check().is_ok(), is_safe, "{bad}");
        }
        let config = FacebookConfig {
            base_url: "https://me:hunter2@a.com".into(),
            ..FacebookConfig::default()
        };
        let error = config.check().expect_err("a password").to_string();
        assert!(!error.contains("hunter2"), "{error}");
        for bad in ["", "postq", "http://postq.example.com/", "https://a.example.com/#b"] {
            let back = Some(bad.to_owned());
            let config = FacebookConfig { redirect_uri: back.clone(), ..FacebookConfig::default() };
            assert_eq!(refused(&config), "redirect_uri", "{bad}");
            let config = InstagramConfig { redirect_uri: back, ..InstagramConfig::default() };
            assert_eq!(config.check().expect_err(bad).setting, "redirect_uri");
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        let config = FacebookConfig::default;
        let hour = Duration::from_secs(3_601);

        assert_eq!(
            refused(&FacebookConfig { send_timeout: Duration::ZERO, ..config() }),
            "send_timeout"
        );
        assert_eq!(refused(&FacebookConfig { send_timeout: hour, ..config() }), "send_timeout");
        assert_eq!(refused(&FacebookConfig { settle_time: hour, ..config() }), "settle_time");
        assert_eq!(refused(&FacebookConfig { send_proof: true, ..config() }), "send_proof");
        let secret =
            FacebookConfig { app_secret: Some("hunter2".into()), send_proof: true, ..config() };
        assert!(secret.check().is_ok());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn tokens_are_extended_at_an_address_without_a_version() {
        for (url, root) in [
            ("https://graph.instagram.com/v25.0", "https://graph.instagram.com"),
            ("https://graph.instagram.com/v25.0/", "https://graph.instagram.com"),
            ("https://graph.instagram.com", "https://graph.instagram.com"),
            ("http://127.0.0.1:1/v9", "http://127.0.0.1:1"),
            ("http://127.0.0.1:1/version", "http://127.0.0.1:1/version"),
        ] {
            let base = Base::parse("base_url", url, INSTAGRAM).expect(url);
            assert_eq!(unversioned(&base), root);
        }
    }
}
