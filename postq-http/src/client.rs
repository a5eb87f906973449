//! The client that calls are made with.

use std::time::Duration;

use reqwest::Client;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;

use crate::base::{Base, ConfigError};

/// The longest wait for a connection; a shorter one where calls are short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept so long without use: below what servers commonly allow, so that a call seldom meets a
/// connection that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(45);
/// Connections to one host that are kept for the next burst, unless an adapter says otherwise.
const MOST_IDLE: usize = 512;

/// Whom a client calls, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Calls {
    /// What people call the platform: it begins every message.
    pub platform: &'static str,
    /// The setting that says where it is: blamed where no client can be made.
    pub setting: &'static str,
    /// The longest that a call may take. Connecting gets half of it, and at most 10 s.
    pub longest: Duration,
    /// What the client calls itself. Defaults to `postq/` and the version.
    pub user_agent: HeaderValue,
    /// Connections to one host that are kept for up to 45 s without use. Defaults to 512.
    pub most_idle: usize,
    /// Nothing that is called has a certificate, so the host needs none to check it by.
    pub is_plain: bool,
    /// It is on this host: no proxy is asked.
    pub is_loopback: bool,
}

impl Calls {
    /// Calls to a platform at this base, which the setting of this name says, each within `longest`.
    pub fn of(
        platform: &'static str,
        setting: &'static str,
        base: &Base,
        longest: Duration,
    ) -> Self {
        Self {
            platform,
            setting,
            longest,
            user_agent: HeaderValue::from_static(concat!("postq/", env!("CARGO_PKG_VERSION"))),
            most_idle: MOST_IDLE,
            is_plain: base.is_plain,
            is_loopback: base.is_loopback,
        }
    }

    /// The same, to this base as well.
    #[must_use]
    pub fn with_base(mut self, base: &Base) -> Self {
        self.is_plain &= base.is_plain;
        self
    }

    /// The same under another name.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: HeaderValue) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// The same with so many connections to one host kept.
    #[must_use]
    pub fn with_most_idle(mut self, most_idle: usize) -> Self {
        self.most_idle = most_idle;
        self
    }
}

/// A client for these calls: it follows no redirect, repeats nothing, and has one connection for each call in
/// flight, so that where one is cut one outcome is unknown. Connects to nobody yet.
///
/// # Errors
///
/// Of the setting that says where the platform is, where the host has no certificates to check it by.
pub fn client(calls: &Calls) -> Result<Client, ConfigError> {
    // reqwest panics without one. Whichever was installed first stays.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(calls.user_agent.clone())
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT.min(calls.longest / 2))
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(calls.most_idle);
    if calls.is_plain {
        // No certificate is ever checked, so the host needs none.
        builder = builder.tls_certs_only([]);
    }
    if calls.is_loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        let (platform, cause) = (calls.platform, postq_core::error::chain(&error));
        let remedy = "install the system's CA certificates (package ca-certificates)";
        let problem = format!("no TLS client can be made for {platform}: {cause}; {remedy}");
        ConfigError::new(calls.setting, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Base {
        Base::parse("base_url", url, "https://api.example.com").expect(url)
    }

    #[test]
    fn certificates_are_needed_where_one_base_has_one() {
        let longest = Duration::from_secs(1);
        let plain = Calls::of("x", "base_url", &base("http://127.0.0.1:1"), longest);
        assert!(plain.is_plain && plain.is_loopback);

        let both = plain.clone().with_base(&base("https://api.example.com"));
        assert!(!both.is_plain && both.is_loopback);
        assert!(plain.with_base(&base("http://[::1]:2")).is_plain);
    }
}
