//! What a user may set.

use std::time::Duration;

use postq_http::{Base, ConfigError, ensure_ends, ensure_paced, ensure_safe, ensure_settles};
use reqwest::header::HeaderValue;
use secrecy::SecretString;

/// How the adapter talks to Reddit.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API is. Defaults to `https://oauth.reddit.com`; `http` only on loopback.
    pub base_url: String,
    /// Where people agree and tokens are given. Defaults to `https://www.reddit.com`; `http` only on
    /// loopback.
    pub auth_url: String,
    /// What the app calls itself in every request. Defaults to `server:postq:` and the version. Reddit wants
    /// `<platform>:<app id>:<version> (by /u/<name>)`, one for each app, and holds back what does not say
    /// who it is; so set your own. 1 to 256 printable ASCII characters.
    pub user_agent: String,
    /// How long after a call its post may still become visible. Defaults to 15 min, at most 1 h; less than
    /// 5 min only on loopback. Longer than elsewhere: Reddit works on a picture before it shows the post, and
    /// a post that is believed to be absent is sent again; a video never is.
    pub settle_time: Duration,
    /// Whether our own and Reddit's limits are kept. Defaults to yes; no only on loopback.
    pub rate_limit: bool,
    /// The longest that one call to publish, one look, or one step of an upload may take. Defaults to 30 s;
    /// 100 ms to 300 s. A file goes up in one call, and has a second more for each 256 kB.
    pub send_timeout: Duration,
    /// The id of the app at Reddit that accounts are connected through, and their tokens renewed. Defaults
    /// to none: then accounts are added with an access token, which nothing renews.
    pub client_id: Option<String>,
    /// The app's secret. Defaults to none, as an installed app has none.
    pub client_secret: Option<SecretString>,
    /// Where Reddit sends people back to who connect an account, exactly as it is set for the app. Defaults
    /// to none. `http` only on loopback.
    pub redirect_uri: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: "https://oauth.reddit.com".to_owned(),
            auth_url: "https://www.reddit.com".to_owned(),
            user_agent: concat!("server:postq:", env!("CARGO_PKG_VERSION")).to_owned(),
            settle_time: Self::SETTLE_TIME,
            rate_limit: true,
            send_timeout: Duration::from_secs(30),
            client_id: None,
            client_secret: None,
            redirect_uri: None,
        }
    }
}

impl Config {
    /// The default settle time.
    pub const SETTLE_TIME: Duration = Duration::from_secs(900);
    const LEAST_SETTLE_TIME: Duration = Duration::from_secs(300);
    const MOST_USER_AGENT: usize = 256;

    /// Checks all settings and tells the base URLs.
    pub(crate) fn check(&self) -> Result<Bases, ConfigError> {
        let api = Base::parse("base_url", &self.base_url, "https://oauth.reddit.com")?;
        let auth = Base::parse("auth_url", &self.auth_url, "https://www.reddit.com")?;
        if let Some(uri) = &self.redirect_uri {
            ensure_safe("redirect_uri", uri)?;
        }
        let printable = self.user_agent.bytes().all(|c| (b' '..=b'~').contains(&c));
        let length = self.user_agent.trim().len();
        if !printable || length == 0 || length > Self::MOST_USER_AGENT {
            return Err(ConfigError::new(
                "user_agent",
                "expected 1 to 256 printable ASCII characters, such as \
                 \"server:my-app:1.0 (by /u/me)\"",
            ));
        }
        ensure_settles(&api, self.settle_time, Self::LEAST_SETTLE_TIME)?;
        ensure_paced(&api, self.rate_limit)?;
        ensure_ends(self.send_timeout)?;
        Ok(Bases { api, auth })
    }

    pub(crate) fn user_agent(&self) -> Result<HeaderValue, ConfigError> {
        let wrong = |_| ConfigError::new("user_agent", "it has characters that no header can have");
        HeaderValue::from_str(self.user_agent.trim()).map_err(wrong)
    }
}

/// The base URLs, checked.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    pub(crate) api: Base,
    pub(crate) auth: Base,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &Config) -> &'static str {
        config.check().expect_err("refused").setting
    }

    #[test]
    fn what_is_for_tests_is_refused_away_from_loopback() {
        let quick = Config { settle_time: Duration::from_secs(299), ..Config::default() };
        let unlimited = Config { rate_limit: false, ..Config::default() };

        assert_eq!(refused(&quick), "settle_time");
        assert_eq!(refused(&unlimited), "rate_limit");
        for host in ["127.0.0.1:80", "127.8.9.1", "localhost:1", "[::1]:2"] {
            let base_url = format!("http://{host}/");
            let url = base_url.trim_end_matches('/').replace(":80", "");
            let local = Config { base_url, rate_limit: false, ..quick.clone() };
            assert_eq!(local.check().expect(host).api.url, url);
        }
        for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "128.0.0.1"] {
            let base_url = format!("https://{host}");
            assert_eq!(refused(&Config { base_url, ..quick.clone() }), "settle_time", "{host}");
        }
    }

    #[test]
    fn a_base_url_must_keep_the_token_safe() {
        for bad in ["", "reddit.com", "http://oauth.reddit.com", "ftp://x.com", "https://x.com/?a"]
        {
            let api = Config { base_url: bad.into(), ..Config::default() };
            let auth = Config { auth_url: bad.into(), ..Config::default() };
            assert_eq!((refused(&api), refused(&auth)), ("base_url", "auth_url"), "{bad}");
        }
        let secret = Config { base_url: "https://me:hunter2@x.com".into(), ..Config::default() };
        let error = secret.check().expect_err("a password");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn people_are_sent_back_where_nobody_reads_along() {
        let back = |uri: &str| Config { redirect_uri: Some(uri.into()), ..Config::default() };
        for good in ["https://postq.example.com/api/x", "http://127.0.0.1:8484/a", "http://[::1]/"]
        {
            assert!(back(good).check().is_ok(), "{good}");
        }
        for bad in ["", "postq", "http://postq.example.com/", "https://a.example.com/#b"] {
            assert_eq!(refused(&back(bad)), "redirect_uri", "{bad}");
        }
        let secret = Config { client_secret: Some("hunter2".into()), ..Config::default() };
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn numbers_and_words_have_bounds() {
        let config = Config::default;
        let hour = Duration::from_secs(3_601);

        assert_eq!(refused(&Config { send_timeout: Duration::ZERO, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { send_timeout: hour, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { settle_time: hour, ..config() }), "settle_time");
        for bad in ["", "  ", "line\nbreak", "é", &"a".repeat(257)] {
            assert_eq!(refused(&Config { user_agent: bad.into(), ..config() }), "user_agent");
        }
        let own = Config { user_agent: "server:my-app:1.0 (by /u/me)".into(), ..config() };
        assert!(own.check().is_ok() && own.user_agent().is_ok());
    }
}
