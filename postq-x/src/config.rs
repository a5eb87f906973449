//! What a user may set.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use postq_core::limiter::Rate;
use postq_http::{Base, ConfigError, ensure_ends, ensure_paced, ensure_safe, ensure_settles};
use secrecy::SecretString;

/// How the adapter talks to X.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API is. Defaults to `https://api.x.com/2`; `http` only on loopback.
    pub base_url: String,
    /// What the app has paid for. Defaults to [`Tier::Free`].
    pub tier: Tier,
    /// By which names posts are asked for. Defaults to [`Fields::Auto`].
    pub fields: Fields,
    /// Which counts posts are asked for. Defaults to public and non-public ones.
    pub groups: Vec<Group>,
    /// How long after a call its post may still become visible. Defaults to 5 min, at most 1 h;
    /// less only on loopback.
    pub settle_time: Duration,
    /// Whether the tier's and X's own limits are kept. Defaults to yes; no only on loopback.
    pub rate_limit: bool,
    /// The longest that one call to publish, or one look, may take. Defaults to 30 s; 100 ms to
    /// 300 s.
    pub send_timeout: Duration,
    /// The id of the app at X that accounts are connected through, and their tokens renewed. Defaults to
    /// none: then accounts are added with an access token, which nothing renews.
    pub client_id: Option<String>,
    /// The app's secret, if it is a confidential client. Defaults to none.
    pub client_secret: Option<SecretString>,
    /// Where X sends people back to who connect an account, exactly as it is set for the app. Defaults
    /// to none. `http` only on loopback.
    pub redirect_uri: Option<String>,
    /// Where people agree. Defaults to `https://x.com/i/oauth2/authorize`.
    pub authorize_url: String,
    /// The weighted length that a text may have. Defaults to 280; X Premium accounts may use 25,000.
    pub max_length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: "https://api.x.com/2".to_owned(),
            tier: Tier::default(),
            fields: Fields::default(),
            groups: vec![Group::Public, Group::NonPublic],
            settle_time: Self::SETTLE_TIME,
            rate_limit: true,
            send_timeout: Duration::from_secs(30),
            client_id: None,
            client_secret: None,
            redirect_uri: None,
            authorize_url: "https://x.com/i/oauth2/authorize".to_owned(),
            max_length: 280,
        }
    }
}

impl Config {
    /// The default settle time.
    pub const SETTLE_TIME: Duration = Duration::from_secs(300);
    const MOST_LENGTH: usize = 25_000;

    /// Checks all settings and tells the base URL, without a slash at its end.
    pub(crate) fn check(&self) -> Result<Base, ConfigError> {
        let base = Base::parse("base_url", &self.base_url, "https://api.x.com/2")?;
        if let Some(uri) = &self.redirect_uri {
            ensure_safe("redirect_uri", uri)?;
        }
        ensure_safe("authorize_url", &self.authorize_url)?;
        ensure_settles(&base, self.settle_time, Self::SETTLE_TIME)?;
        ensure_paced(&base, self.rate_limit)?;
        ensure_ends(self.send_timeout)?;
        if !(1..=Self::MOST_LENGTH).contains(&self.max_length) {
            return Err(ConfigError::new("max_length", "expected 1 to 25,000"));
        }
        Ok(base)
    }
}

/// What an app has paid for: how many posts a minute it may make in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// One a minute.
    #[default]
    Free,
    /// 5 a minute.
    Basic,
    /// 50 a minute.
    Pro,
    /// 300 a minute.
    Enterprise,
}

impl Tier {
    /// The rate of all accounts together.
    pub fn rate(self) -> Rate {
        let calls: u32 = match self {
            Self::Free => 1,
            Self::Basic => 5,
            Self::Pro => 50,
            Self::Enterprise => 300,
        };
        Rate::per_minute(NonZeroU32::MIN.saturating_add(calls - 1))
    }
}

/// By which names posts are asked for. Answers are read in both dialects, whatever is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// `tweet.fields` until X refuses it, then `post.fields`.
    #[default]
    Auto,
    /// `tweet.fields`, the names up to July 2026.
    Tweet,
    /// `post.fields`, the names since August 2026.
    Post,
}

/// A group of counts, by the name that X has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What everybody may see.
    Public,
    /// What X tells only the author, of posts of the last 30 days.
    NonPublic,
    /// The same without what was paid for.
    Organic,
}

impl Group {
    /// Whether X tells it only the author.
    pub(crate) fn is_private(self) -> bool {
        self != Self::Public
    }
}

/// What posts are asked for, as it is set in one text: a dialect, groups of counts, or both, with commas
/// between. What is left out is as by default.
///
/// ```
/// use postq_x::{Asking, Fields, Group};
///
/// let asking: Asking = "post,public_metrics".parse()?;
/// assert_eq!((asking.fields, asking.groups), (Fields::Post, vec![Group::Public]));
/// # Ok::<(), postq_x::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// By which names.
    pub fields: Fields,
    /// Which counts.
    pub groups: Vec<Group>,
}

impl FromStr for Asking {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let (mut dialect, mut groups) = (None, Vec::new());
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match (word.parse(), word.parse()) {
                (Ok(fields), _) if dialect.is_none() => dialect = Some(fields),
                (_, Ok(group)) => groups.push(group),
                _ => {
                    let problem = format!(
                        "{word:?} cannot be; expected auto, tweet or post, once, and groups of counts: \
                         public_metrics, non_public_metrics, organic_metrics"
                    );
                    return Err(ConfigError::new("fields", problem));
                }
            }
        }
        groups.sort_unstable();
        groups.dedup();
        if groups.is_empty() {
            groups = Config::default().groups;
        }
        Ok(Self { fields: dialect.unwrap_or_default(), groups })
    }
}

macro_rules! words {
    ($type:ident, $setting:literal: $($word:literal => $variant:ident),+) => {
        impl FromStr for $type {
            type Err = ConfigError;

            fn from_str(word: &str) -> Result<Self, ConfigError> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ConfigError::new(
                        $setting,
                        format!("{word:?} is unknown; expected one of {}", [$($word),+].join(", ")),
                    )),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }
    };
}

words! { Tier, "tier": "free" => Free, "basic" => Basic, "pro" => Pro, "enterprise" => Enterprise }
words! { Fields, "fields": "auto" => Auto, "tweet" => Tweet, "post" => Post }
words! { Group, "groups": "public_metrics" => Public, "non_public_metrics" => NonPublic,
"organic_metrics" => Organic }

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
        for host in ["127.0.0.1:80", "127.8.9.1", "localhost:1", "[::1]:2"] {
            let base_url = format!("http://{host}/2/");
            let url = base_url.trim_end_matches('/').replace(":80/", "/");
            let local = Config { base_url, rate_limit: false, ..quick.clone() };
            assert_eq!(local.check().expect(host).url, url);
        }
        for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "128.0.0.1"] {
            let base_url = format!("https://{host}/2");
            assert_eq!(refused(&Config { base_url, ..quick.clone() }), "settle_time", "{host}");
        }
    }

    #[test]
    fn a_base_url_must_keep_the_token_safe() {
        for bad in ["", "api.x.com", "http://api.x.com/2", "ftp://api.x.com", "https://x.com/?a=b"]
        {
            assert_eq!(refused(&at(bad)), "base_url", "{bad}");
        }
        let error = at("https://me:hunter2@x.com").check().expect_err("a password");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(at("https://api.x.com/2/").check().is_ok());
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
    fn numbers_have_bounds() {
        let config = Config::default;
        let hour = Duration::from_secs(3_601);

        assert_eq!(refused(&Config { send_timeout: Duration::ZERO, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { send_timeout: hour, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { settle_time: hour, ..config() }), "settle_time");
        assert_eq!(refused(&Config { max_length: 0, ..config() }), "max_length");
        assert_eq!(refused(&Config { max_length: 25_001, ..config() }), "max_length");
    }

    #[test]
    fn words_are_read_and_written() {
        for word in ["free", "basic", "pro", "enterprise"] {
            assert_eq!(word.parse::<Tier>().expect(word).to_string(), word);
        }
        let error = "gold".parse::<Tier>().expect_err("no tier");
        assert_eq!(
            error.to_string(),
            "tier: \"gold\" is unknown; expected one of free, basic, pro, enterprise"
        );
        assert_eq!("post".parse(), Ok(Fields::Post));
        assert_eq!(Group::Organic.to_string(), "organic_metrics");
        assert_eq!(Tier::Pro.rate().every, Duration::from_millis(1_200));
    }

    #[test]
    fn what_is_asked_for_is_read_from_one_text() {
        let read = |text: &str| {
            let asking: Asking = text.parse().expect(text);
            (asking.fields, asking.groups)
        };
        let usual = Config::default().groups;

        assert_eq!(read(""), (Fields::Auto, usual.clone()));
        assert_eq!(read("tweet"), (Fields::Tweet, usual));
        assert_eq!(read("public_metrics"), (Fields::Auto, vec![Group::Public]));
        let both = vec![Group::Public, Group::Organic];
        assert_eq!(read("organic_metrics, post,public_metrics"), (Fields::Post, both));
        for bad in ["likes", "auto,tweet", "public_metrics;post"] {
            let error = bad.parse::<Asking>().expect_err(bad).to_string();
            assert!(error.contains("expected auto, tweet or post, once"), "{error}");
        }
    }
}
