//! What a user may set.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use postq_core::limiter::Rate;
use postq_http::{Base, ConfigError, ensure_safe};
use secrecy::SecretString;

/// How the adapter talks to Pinterest.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API is. Defaults to `https://api.pinterest.com/v5`; the sandbox is at
    /// `https://api-sandbox.pinterest.com/v5`. `http` only on loopback.
    pub base_url: String,
    /// What Pinterest has granted the app. Defaults to [`Access::Standard`].
    pub access: Access,
    /// How long after a call its Pin may still become visible. Defaults to 5 min, at most 1 h; less only
    /// on loopback.
    pub settle_time: Duration,
    /// Whether Pinterest's limits are kept. Defaults to yes; no only on loopback.
    pub rate_limit: bool,
    /// The longest that one call to publish or one look may take; the sending of a video has a second more
    /// for each 256 kB. Defaults to 60 s; 100 ms to 300 s.
    pub send_timeout: Duration,
    /// The id of the app at Pinterest that accounts are connected through, and their tokens renewed.
    /// Defaults to none: then accounts are added with an access token, which nothing renews.
    pub client_id: Option<String>,
    /// The app's secret: Pinterest knows no app without one. Defaults to none.
    pub client_secret: Option<SecretString>,
    /// Where Pinterest sends people back to who connect an account, exactly as it is set for the app.
    /// Defaults to none. `http` only on loopback.
    pub redirect_uri: Option<String>,
    /// Where people agree. Defaults to `https://www.pinterest.com/oauth/`.
    pub authorize_url: String,
    /// Whether refresh tokens are asked for that renew without end: apps from before 25 September 2025 get
    /// others unless they ask, later ones get them in any case. Defaults to yes.
    pub continuous_refresh: bool,
    /// Whether Pinterest fetches pictures from the bucket that they are kept in, which must be reachable from
    /// the internet, instead of getting them in the call. Where files are kept in a folder they are sent all the
    /// same. Defaults to no.
    pub fetch_pictures: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: "https://api.pinterest.com/v5".to_owned(),
            access: Access::default(),
            settle_time: Self::SETTLE_TIME,
            rate_limit: true,
            send_timeout: Duration::from_secs(60),
            client_id: None,
            client_secret: None,
            redirect_uri: None,
            authorize_url: "https://www.pinterest.com/oauth/".to_owned(),
            continuous_refresh: true,
            fetch_pictures: false,
        }
    }
}

impl Config {
    /// The default settle time.
    pub const SETTLE_TIME: Duration = Duration::from_secs(300);
    const MOST_SETTLE_TIME: Duration = Duration::from_secs(3_600);
    const SEND_TIMEOUT: (Duration, Duration) =
        (Duration::from_millis(100), Duration::from_secs(300));

    /// Checks all settings and tells the base URL, without a slash at its end.
    pub(crate) fn check(&self) -> Result<Base, ConfigError> {
        let base = Base::parse("base_url", &self.base_url, "https://api.pinterest.com/v5")?;
        if let Some(uri) = &self.redirect_uri {
            ensure_safe("redirect_uri", uri)?;
        }
        ensure_safe("authorize_url", &self.authorize_url)?;
        if self.settle_time < Self::SETTLE_TIME && !base.is_loopback {
            return Err(ConfigError::new(
                "settle_time",
                "less than 300 s could publish twice, so it is only allowed with a base_url on \
                 loopback",
            ));
        }
        if self.settle_time > Self::MOST_SETTLE_TIME {
            return Err(ConfigError::new("settle_time", "expected at most 3,600 s"));
        }
        if !self.rate_limit && !base.is_loopback {
            return Err(ConfigError::new(
                "rate_limit",
                "it can only be switched off with a base_url on loopback",
            ));
        }
        let (least, most) = Self::SEND_TIMEOUT;
        if self.send_timeout < least || self.send_timeout > most {
            return Err(ConfigError::new("send_timeout", "expected 100 ms to 300 s"));
        }
        if self.client_id.is_some() != self.client_secret.is_some() {
            return Err(ConfigError::new(
                "client_id",
                "client_id and client_secret belong together; set both or none",
            ));
        }
        Ok(base)
    }
}

const fn calls(calls: u32) -> NonZeroU32 {
    NonZeroU32::new(calls).expect("not zero")
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What Pinterest has granted an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// For trying it out: 1,000 calls a day for all accounts together, and Pins that only their creator sees.
    Trial,
    /// For everybody: limits for each account.
    #[default]
    Standard,
}

impl Access {
    /// How fast Pins may be created: of an app with Trial access, of an account.
    ///
    /// A Pin takes a call or a few (a video is registered and asked for), so that Trial access's 1,000 a day are
    /// shared: 200 Pins. For Standard access Pinterest names 100 writing calls a minute and user.
    pub(crate) fn publishing(self) -> (Option<Rate>, Option<Rate>) {
        match self {
            Self::Trial => (Some(Rate::per_window(calls(200), DAY)), None),
            Self::Standard => (None, Some(Rate::per_window(calls(50), MINUTE))),
        }
    }

    /// The same for reading metrics, in batches of up to 10 calls. For Standard access Pinterest names 1,000
    /// reading calls a minute and user.
    pub(crate) fn reading(self) -> (Option<Rate>, Option<Rate>) {
        match self {
            Self::Trial => (Some(Rate::per_window(calls(30), DAY)), None),
            Self::Standard => (None, Some(Rate::per_window(calls(20), MINUTE))),
        }
    }
}

impl FromStr for Access {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        match word {
            "trial" => Ok(Self::Trial),
            "standard" => Ok(Self::Standard),
            _ => {
                let problem = format!("{word:?} is unknown; expected one of trial, standard");
                Err(ConfigError::new("access", problem))
            }
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trial => "trial",
            Self::Standard => "standard",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &Config) -> &'static str {
        config.check().expect_err("refused").setting
    }

    fn at(base_url: &str) -> Config {
        Config { base_url: base_url.into(), ..Config::default() }
    }

    #[test]
    fn what_is_for_tests_is_refused_away_from_loopback() {
        let quick = Config { settle_time: Duration::from_secs(2), ..Config::default() };
        let unlimited = Config { rate_limit: false, ..Config::default() };

        assert_eq!(refused(&quick), "settle_time");
        assert_eq!(refused(&unlimited), "rate_limit");
        for host in ["127.0.0.1:81", "127.8.9.1", "localhost:1", "[::1]:2"] {
            let base_url = format!("http://{host}/v5/");
            let url = base_url.trim_end_matches('/').to_owned();
            let local = Config { base_url, rate_limit: false, ..quick.clone() };
            assert_eq!(local.check().expect(host).url, url);
        }
        for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1"] {
            let base_url = format!("https://{host}/v5");
            assert_eq!(refused(&Config { base_url, ..quick.clone() }), "settle_time", "{host}");
        }
    }

    #[test]
    fn a_base_url_must_keep_the_token_safe() {
        for bad in ["", "api.pinterest.com", "http://api.pinterest.com/v5", "ftp://a.example.com"] {
            assert_eq!(refused(&at(bad)), "base_url", "{bad}");
        }
        let error = at("https://me:hunter2@a.example.com").check().expect_err("a password");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(at("https://api-sandbox.pinterest.com/v5/").check().is_ok());
    }

    #[test]
    fn people_are_sent_back_where_nobody_reads_along() {
        let back = |uri: &str| Config { redirect_uri: Some(uri.into()), ..Config::default() };
        for good in ["https://postq.example.com/api/x", "http://127.0.0.1:8484/a"] {
            assert!(back(good).check().is_ok(), "{good}");
        }
        for bad in ["", "postq", "http://postq.example.com/", "https://a.example.com/#b"] {
            assert_eq!(refused(&back(bad)), "redirect_uri", "{bad}");
        }
        let half = Config { client_secret: Some("hunter2".into()), ..Config::default() };
        assert_eq!(refused(&half), "client_id");
        assert!(!format!("{half:?}").contains("hunter2"));
    }

    #[test]
    fn numbers_have_bounds_and_words_are_read_and_written() {
        let config = Config::default;
        let long = Duration::from_secs(3_601);

        assert_eq!(refused(&Config { send_timeout: Duration::ZERO, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { send_timeout: long, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { settle_time: long, ..config() }), "settle_time");
        for word in ["trial", "standard"] {
            assert_eq!(word.parse::<Access>().expect(word).to_string(), word);
        }
        assert!("gold".parse::<Access>().is_err());
    }
}
