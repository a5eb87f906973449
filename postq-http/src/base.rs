//! Where a platform is: addresses that people set, refused where somebody could read along.

use std::net::IpAddr;

use reqwest::Url;

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// Which field of the adapter's settings.
    pub setting: &'static str,
    /// What is wrong with it and what was expected.
    pub problem: String,
}

impl ConfigError {
    /// What is wrong with a setting, and what was expected.
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }
}

/// A base URL that was checked: `https`, or anything on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Without a slash at its end.
    pub url: String,
    /// It is on this host, as in a test. Then others that it names may be here too.
    pub is_loopback: bool,
    /// It is reached without TLS; only ever on loopback.
    pub is_plain: bool,
}

impl Base {
    /// Checks a setting's text. Where it is no URL, the example is told.
    ///
    /// # Errors
    ///
    /// Of this setting: no URL, a user or a password (which is not shown), something behind the path, or secrets
    /// would be sent without TLS.
    pub fn parse(setting: &'static str, text: &str, example: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| ConfigError::new(setting, format!("{text:?} {problem}"));
        let url = Url::parse(text)
            .map_err(|_| wrong(&format!("is no URL; expected something like {example:?}")))?;
        // Not shown: it may be a password.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::new(setting, "it must not contain a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must end with its path"));
        }
        let is_loopback = is_loopback(url.host_str().unwrap_or_default());
        let is_plain = url.scheme() == "http";
        if !is_plain && url.scheme() != "https" {
            return Err(wrong("must begin with https://"));
        }
        if is_plain && !is_loopback {
            return Err(wrong("must begin with https://, or secrets could be read on the way"));
        }
        Ok(Self { url: url.as_str().trim_end_matches('/').to_owned(), is_loopback, is_plain })
    }

    /// Whether a file may be sent to an address that the platform named: nobody reads along, and what is on this
    /// host is reached only from a base that is there too.
    pub fn allows(&self, address: &str) -> bool {
        Url::parse(address).is_ok_and(|url| {
            let host = url.host_str().unwrap_or_default();
            match url.scheme() {
                "https" => !host.is_empty(),
                "http" => self.is_loopback && is_loopback(host),
                _ => false,
            }
        })
    }
}

/// Checks an address that people are sent to, or back to: codes and states must not be read on the way.
///
/// # Errors
///
/// Of this setting: no URL, neither `https` nor on loopback, or with a fragment.
pub fn ensure_safe(setting: &'static str, text: &str) -> Result<(), ConfigError> {
    let wrong = |problem: &str| ConfigError::new(setting, format!("{text:?} {problem}"));
    let url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
    let is_plain_loopback =
        url.scheme() == "http" && is_loopback(url.host_str().unwrap_or_default());
    if url.scheme() != "https" && !is_plain_loopback {
        return Err(wrong("must begin with https://, or http:// on loopback"));
    }
    if url.fragment().is_some() {
        return Err(wrong("must have no #"));
    }
    Ok(())
}

/// Whether a URL's host is this one: `localhost`, or an address of loopback.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Base, ConfigError> {
        Base::parse("base_url", text, "https://api.example.com/2")
    }

    #[test]
    fn what_is_on_this_host_is_known() {
        for host in ["127.0.0.1:81", "127.8.9.1", "localhost:1", "[::1]:2"] {
            let base = parse(&format!("http://{host}/2/")).expect(host);
            assert_eq!(base.url, format!("http://{host}/2"));
            assert!(base.is_loopback && base.is_plain, "{host}");
        }
        for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "128.0.0.1"] {
            let base = parse(&format!("https://{host}/2")).expect(host);
            assert!(!base.is_loopback && !base.is_plain, "{host}");
        }
        let both = parse("https://127.0.0.1:1").expect("loopback");
        assert!(both.is_loopback && !both.is_plain);
    }

    #[test]
    fn a_base_url_must_keep_secrets_safe() {
        for (bad, why) in [
            ("", "is no URL; expected something like \"https://api.example.com/2\""),
            ("api.example.com", "is no URL"),
            ("http://api.example.com/2", "secrets could be read on the way"),
            ("http://10.0.0.1", "secrets could be read on the way"),
            ("ftp://api.example.com", "must begin with https://"),
            ("https://example.com/?a=b", "must end with its path"),
            ("https://example.com/#a", "must end with its path"),
        ] {
            let error = parse(bad).expect_err(bad);
            assert_eq!(error.setting, "base_url");
            assert!(error.problem.contains(why), "{error}");
        }
        for bad in ["https://me:hunter2@example.com", "https://hunter2@example.com"] {
            let error = parse(bad).expect_err("a password").to_string();
            assert!(error.starts_with("base_url: it must not contain"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn files_are_sent_where_nobody_reads_along() {
        let real = parse("https://api.example.com/2").expect("a base");
        let local = parse("http://127.0.0.1:1").expect("loopback");

        assert!(real.allows("https://files.example.com/"));
        assert!(!real.allows("http://127.0.0.1:1/") && !real.allows("file:///etc/passwd"));
        assert!(local.allows("http://127.0.0.1:2/") && !local.allows("http://10.0.0.1/"));
    }

    #[test]
    fn people_are_sent_back_where_nobody_reads_along() {
        for good in ["https://postq.example.com/api/x", "http://127.0.0.1:8484/a", "http://[::1]/"]
        {
            assert_eq!(ensure_safe("redirect_uri", good), Ok(()), "{good}");
        }
        for bad in ["", "postq", "http://postq.example.com/", "https://a.example.com/#b"] {
            let error = ensure_safe("redirect_uri", bad).expect_err(bad);
            assert_eq!(error.setting, "redirect_uri", "{bad}");
        }
    }
}
