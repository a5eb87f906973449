//! What a user may set.

use std::time::Duration;

use postq_http::{Base, ConfigError, is_loopback};
use reqwest::Url;

/// How the adapter talks to Bluesky.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where handles are looked up, and where accounts are that say nothing else. Defaults to
    /// `https://bsky.social`; `http` only on loopback.
    pub service_url: String,
    /// The directory of `did:plc` identities. Defaults to `https://plc.directory`.
    pub plc_url: String,
    /// Who counts likes and reposts. Defaults to `https://public.api.bsky.app`.
    pub appview_url: String,
    /// Who works on videos. Defaults to `https://video.bsky.app`; without one, videos are uploaded to the
    /// account's own server as pictures are, which takes smaller ones.
    pub video_url: Option<String>,
    /// How long after a call its post may still become visible. Defaults to 10 s, at most 1 h. A short one
    /// is safe: a post has its own record key, so that a second write is the same post.
    pub settle_time: Duration,
    /// Whether Bluesky's limits on writing are kept. Defaults to yes; no only on loopback.
    pub rate_limit: bool,
    /// The longest that one call to publish or one look may take; one that uploads a file has a second more
    /// for each 256 kB. Defaults to 30 s; 100 ms to 300 s.
    pub send_timeout: Duration,
    /// The largest picture, in bytes. Defaults to 1,000,000, which every server takes; the newest take
    /// 2,000,000.
    pub max_image_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service_url: "https://bsky.social".to_owned(),
            plc_url: "https://plc.directory".to_owned(),
            appview_url: "https://public.api.bsky.app".to_owned(),
            video_url: Some("https://video.bsky.app".to_owned()),
            settle_time: Duration::from_secs(10),
            rate_limit: true,
            send_timeout: Duration::from_secs(30),
            max_image_bytes: 1_000_000,
        }
    }
}

impl Config {
    const MOST_SETTLE_TIME: Duration = Duration::from_secs(3_600);
    const SEND_TIMEOUT: (Duration, Duration) =
        (Duration::from_millis(100), Duration::from_secs(300));
    const MOST_IMAGE_BYTES: u64 = 2_000_000;

    /// Checks all settings and tells where everything is.
    pub(crate) fn check(&self) -> Result<Places, ConfigError> {
        let service = Base::parse("service_url", &self.service_url, "https://bsky.social")?;
        let plc = Base::parse("plc_url", &self.plc_url, "https://plc.directory")?;
        let appview = Base::parse("appview_url", &self.appview_url, "https://public.api.bsky.app")?;
        let video = self
            .video_url
            .as_deref()
            .map(|url| Base::parse("video_url", url, "https://video.bsky.app"));
        let video = video.transpose()?;
        if !self.rate_limit && !service.is_loopback {
            return Err(ConfigError::new(
                "rate_limit",
                "it can only be switched off with a service_url on loopback",
            ));
        }
        if self.settle_time > Self::MOST_SETTLE_TIME {
            return Err(ConfigError::new("settle_time", "expected at most 3,600 s"));
        }
        let (least, most) = Self::SEND_TIMEOUT;
        if self.send_timeout < least || self.send_timeout > most {
            return Err(ConfigError::new("send_timeout", "expected 100 ms to 300 s"));
        }
        if !(1..=Self::MOST_IMAGE_BYTES).contains(&self.max_image_bytes) {
            return Err(ConfigError::new("max_image_bytes", "expected 1 to 2,000,000"));
        }
        Ok(Places {
            service,
            plc: plc.url,
            appview: appview.url,
            video: video.map(|video| video.url),
        })
    }
}

/// Where everything is, each without a slash at its end.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// On this host in a test alone: what it names may then be here too, and plain.
    pub(crate) service: Base,
    pub(crate) plc: String,
    pub(crate) appview: String,
    pub(crate) video: Option<String>,
}

impl Places {
    /// The server that a DID document names, if a token may be sent there: a host with a name, by `https`.
    pub(crate) fn endpoint(&self, text: &str) -> Option<String> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        let is_bare = bare && url.query().is_none() && url.fragment().is_none();
        let is_public = url.scheme() == "https" && url.port().is_none() && is_public_name(host);
        let is_here = self.service.is_loopback && is_loopback(host);
        (is_bare && (is_public || is_here)).then(|| url.as_str().trim_end_matches('/').to_owned())
    }
}

/// Whether it can be the name of a server of somebody else: no address, and no name of a local network.
pub(crate) fn is_public_name(host: &str) -> bool {
    let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_local = matches!(last, "localhost" | "local" | "internal" | "arpa" | "lan");
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-');
    host.contains('.') && host.bytes().all(fits) && !is_address && !is_local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &Config) -> &'static str {
        config.check().expect_err("refused").setting
    }

    fn at(url: &str) -> Config {
        Config { service_url: url.into(), ..Config::default() }
    }

    #[test]
    fn a_url_must_keep_passwords_safe() {
        for bad in ["", "bsky.social", "http://bsky.social", "ftp://bsky.social", "https://a.b/?c"]
        {
            assert_eq!(refused(&at(bad)), "service_url", "{bad}");
            assert_eq!(refused(&Config { plc_url: bad.into(), ..Config::default() }), "plc_url");
            let appview = Config { appview_url: bad.into(), ..Config::default() };
            assert_eq!(refused(&appview), "appview_url");
            let video = Config { video_url: Some(bad.into()), ..Config::default() };
            assert_eq!(refused(&video), "video_url");
        }
        let error = at("https://me:hunter2@bsky.social").check().expect_err("a password");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(
            at("http://localhost:1/").check().expect("loopback").service.url,
            "http://localhost:1"
        );
    }

    #[test]
    fn numbers_have_bounds() {
        let config = Config::default;
        let hour = Duration::from_secs(3_601);

        assert_eq!(refused(&Config { send_timeout: Duration::ZERO, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { send_timeout: hour, ..config() }), "send_timeout");
        assert_eq!(refused(&Config { settle_time: hour, ..config() }), "settle_time");
        assert_eq!(refused(&Config { max_image_bytes: 0, ..config() }), "max_image_bytes");
        assert_eq!(refused(&Config { max_image_bytes: 2_000_001, ..config() }), "max_image_bytes");
        assert_eq!(refused(&Config { rate_limit: false, ..config() }), "rate_limit");
    }

    #[test]
    fn a_token_goes_only_where_nobody_reads_along() {
        let public = Config::default().check().expect("settings");
        let pds = "https://morel.us-east.host.bsky.network";
        assert_eq!(public.endpoint(pds).as_deref(), Some(pds));
        assert_eq!(public.endpoint(&format!("{pds}/")).as_deref(), Some(pds));
        for bad in [
            "",
            "http://pds.example.com",
            "https://10.0.0.1",
            "https://[::1]",
            "https://localhost",
            "https://metadata.internal",
            "https://pds.example.com:8443",
            "https://pds.example.com/path",
            "https://pds.example.com/?a",
            "https://me:pw@pds.example.com",
            "http://127.0.0.1:80",
        ] {
            assert_eq!(public.endpoint(bad), None, "{bad}");
        }
        let test = at("http://127.0.0.1:9").check().expect("settings");
        assert_eq!(test.endpoint("http://localhost:5/").as_deref(), Some("http://localhost:5"));
        assert_eq!(test.endpoint("http://10.0.0.1:5"), None);
    }
}
