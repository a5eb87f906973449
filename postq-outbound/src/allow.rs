//! What may be called although it is not on the open internet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use reqwest::Url;

use crate::guard::{self, Refused};

/// What an operator means to be called although it is not on the open internet: names, `name:port`,
/// addresses, `address:port` and ranges as `10.1.0.0/16`. Empty by default.
///
/// ```
/// use postq_outbound::AllowList;
///
/// let allow: AllowList = "hooks.lan, chat.lan:8065, 10.1.0.0/16".parse()?;
/// # Ok::<(), postq_outbound::AllowError>(())
/// ```
///
/// A name allows whatever address it has; an address or a range allows its addresses under whatever
/// name. `address:port` is for URLs that hold the address itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    everything: bool,
    hosts: Vec<(String, Option<u16>)>,
    ranges: Vec<(IpNet, Option<u16>)>,
}

impl AllowList {
    /// Refuses no address: for URLs that the operator himself has set.
    pub fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Reads a URL and checks what can be told without asking anybody, as
    /// [`Outbound::check`](crate::Outbound::check) does.
    ///
    /// # Errors
    ///
    /// A URL that would never be called.
    pub fn check(&self, url: &str) -> Result<Url, Refused> {
        guard::read(self, url)
    }

    /// Whether a host of this name is meant, at whatever address.
    pub(crate) fn has_host(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_it = |(name, only): &(String, Option<u16>)| {
            name.eq_ignore_ascii_case(host) && only.is_none_or(|only| only == port)
        };
        self.everything || self.hosts.iter().any(is_it)
    }

    /// Whether this address is meant, at this port; without one, at every port.
    pub(crate) fn has_address(&self, address: IpAddr, port: Option<u16>) -> bool {
        let address = address.to_canonical();
        let is_in = |(range, only): &(IpNet, Option<u16>)| {
            range.contains(&address) && (only.is_none() || *only == port)
        };
        self.everything || self.ranges.iter().any(is_in)
    }
}

impl FromStr for AllowList {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let mut list = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            list.add(item).ok_or_else(|| AllowError(item.to_owned()))?;
        }
        Ok(list)
    }
}

impl AllowList {
    fn add(&mut self, item: &str) -> Option<()> {
        if let Ok(range) = item.parse::<IpNet>() {
            self.ranges.push((range, None));
        } else if let Ok(address) = item.trim_matches(['[', ']']).parse::<IpAddr>() {
            self.ranges.push((address.into(), None));
        } else {
            let (host, port) = match item.rsplit_once(':') {
                Some((host, port)) => (host, Some(port.parse().ok()?)),
                None => (item, None),
            };
            match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => self.ranges.push((address.into(), port)),
                Err(_) => self.hosts.push((name(host)?, port)),
            }
        }
        Some(())
    }
}

/// A host's name; none for what can be no name.
fn name(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let ends_in_number = host.rsplit('.').next()?.bytes().all(|c| c.is_ascii_digit());
    (!host.is_empty() && host.bytes().all(fits) && !ends_in_number).then(|| host.to_owned())
}

/// An item of an allow-list that cannot be.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" cannot be; expected a name, an address or a range as hooks.lan, hooks.lan:8443 or \
     10.1.0.0/16"
)]
pub struct AllowError(String);

impl fmt::Debug for AllowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> AllowList {
        text.parse().expect(text)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn names_and_ports_are_meant_as_they_stand_there() {
        let allow = list("Hooks.LAN, chat.lan:8065");

        assert!(allow.has_host("hooks.lan", 80) && allow.has_host("hooks.lan.", 443));
        assert!(allow.has_host("chat.lan", 8065) && !allow.has_host("chat.lan", 80));
        assert!(!allow.has_host("a.hooks.lan", 80) && !allow.has_host("hooks.lan.evil", 80));
        assert!(!allow.has_address(ip("10.0.0.1"), None));
    }

    #[test]
    fn addresses_and_ranges_are_meant_as_they_stand_there() {
        let allow = list("10.1.0.0/16,127.0.0.1:9000, ::1, [fd00::1]:81");

        assert!(
            allow.has_address(ip("10.1.255.1"), Some(1))
                && !allow.has_address(ip("10.2.0.1"), Some(1))
        );
        assert!(allow.has_address(ip("::ffff:10.1.0.1"), Some(1)), "the same address in IPv6");
        assert!(allow.has_address(ip("127.0.0.1"), Some(9000)));
        assert!(!allow.has_address(ip("127.0.0.1"), None), "not at every port");
        assert!(!allow.has_address(ip("127.0.0.1"), Some(9001)));
        assert!(
            allow.has_address(ip("::1"), Some(7)) && !allow.has_address(ip("fd00::1"), Some(80))
        );
        assert!(allow.has_address(ip("fd00::1"), Some(81)));
        assert!(!AllowList::default().has_address(ip("127.0.0.1"), Some(9000)));
        assert!(AllowList::everything().has_address(ip("127.0.0.1"), Some(9000)));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for bad in ["a b", "http://a", "10.0.0.0/33", "a:b", "a:70000", "10.0.0.256", "*", ":80"] {
            let error = bad.parse::<AllowList>().expect_err(bad).to_string();
            assert!(error.contains(bad), "{error}");
        }
        assert_eq!(list(" , "), AllowList::default());
    }
}
