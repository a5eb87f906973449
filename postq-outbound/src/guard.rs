//! The guard: which URLs may be called.

use std::net::IpAddr;

use reqwest::Url;

use crate::address::{Forbidden, forbidden};
use crate::allow::AllowList;

/// The longest URL that is taken.
const LONGEST: usize = 2_048;

/// Why a URL is not called. Names its host and never its path or query: they may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    fn of(host: &str, problem: impl std::fmt::Display) -> Self {
        Self(format!("the host \"{host}\" is not called: {problem}"))
    }

    fn at(host: &str, found: Forbidden) -> Self {
        let Forbidden { what, range } = found;
        Self::of(
            host,
            format!(
                "it is at {what} ({range}); if it is meant, name it in outbound_allow \
                 (POSTQ_OUTBOUND_ALLOW)"
            ),
        )
    }

    /// A redirect that would give away in the clear what was asked for in secret.
    pub(crate) fn downgrade(host: &str) -> Self {
        Self::of(host, "it leads from https to http")
    }
}

/// Reads a URL and checks what can be told without asking anybody: scheme, user, host, and the address
/// if it holds one.
pub(crate) fn read(allow: &AllowList, text: &str) -> Result<Url, Refused> {
    if text.len() > LONGEST {
        return Err(Refused(format!("the URL is longer than {LONGEST} bytes")));
    }
    let url = Url::parse(text).map_err(|problem| {
        Refused(format!(
            "this is no URL ({problem}); expected one like https://hooks.example.com/postq"
        ))
    })?;
    check(allow, &url)?;
    Ok(url)
}

/// The same for a URL that was read.
pub(crate) fn check(allow: &AllowList, url: &Url) -> Result<(), Refused> {
    let host = url.host_str().filter(|host| !host.is_empty());
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused(format!("\"{}:\" is not called; expected https://", url.scheme())));
    }
    let host = host.ok_or_else(|| Refused("the URL has no host".to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::of(host, "the URL must not hold a user or a password"));
    }
    let port = port(url);
    if port == 0 {
        return Err(Refused::of(host, "the URL names port 0"));
    }
    match literal(host) {
        Some(address) if !allow.has_host(host, port) => {
            check_address(allow, host, address, Some(port))
        }
        _ => Ok(()),
    }
}

/// Fails for an address that is neither of the open internet nor allowed.
pub(crate) fn check_address(
    allow: &AllowList,
    host: &str,
    address: IpAddr,
    port: Option<u16>,
) -> Result<(), Refused> {
    match forbidden(address) {
        Some(found) if !allow.has_address(address, port) => Err(Refused::at(host, found)),
        _ => Ok(()),
    }
}

/// Whether the name of this URL's host is allowed, at whatever address it is.
pub(crate) fn is_meant(allow: &AllowList, url: &Url) -> bool {
    url.host_str().is_some_and(|host| allow.has_host(host, port(url)))
}

/// Whether the list names this URL's host, or the address that it holds.
pub(crate) fn is_named(allow: &AllowList, url: &Url) -> bool {
    let at = url.host_str().and_then(literal);
    is_meant(allow, url) || at.is_some_and(|address| allow.has_address(address, Some(port(url))))
}

fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or_default()
}

/// The address that a URL holds itself. The URL's reader has turned every notation of one into the
/// usual one.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        read(&AllowList::default(), url).expect_err(url).to_string()
    }

    #[test]
    fn an_address_is_found_in_every_notation() {
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "017700000001",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0x7F.1",
            "%31%32%37.0.0.1",
            "１２７.０.０.１",
            "127。0。0。1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[64:ff9b::7f00:1]",
        ] {
            let error = refused(&format!("http://{host}/hook?token=s3cret"));
            assert!(error.contains("a loopback address"), "{host}: {error}");
            assert!(error.contains("POSTQ_OUTBOUND_ALLOW"), "{host}: {error}");
            assert!(!error.contains("s3cret") && !error.contains("hook"), "{error}");
        }
        for (host, what) in [
            ("169.254.169.254", "metadata"),
            ("2852039166", "metadata"),
            ("0xa9fea9fe", "metadata"),
            ("[fd00:ec2::254]", "metadata"),
            ("[::ffff:a9fe:a9fe]", "metadata"),
            ("0", "unspecified"),
            ("[::]", "unspecified"),
            ("10.1", "private"),
            ("[2002:a00:1::]", "6to4"),
        ] {
            let error = refused(&format!("https://{host}/"));
            assert!(error.contains(what), "{host}: {error}");
        }
    }

    #[test]
    fn only_plain_web_urls_are_called() {
        for (url, problem) in [
            ("", "no URL"),
            ("hooks.example.com", "no URL"),
            ("http://", "no URL"),
            ("http://300.1.1.1/", "no URL"),
            ("file:///etc/passwd", "\"file:\""),
            ("ftp://example.com/", "\"ftp:\""),
            ("gopher://example.com/", "\"gopher:\""),
            ("data:text/plain,x", "\"data:\""),
            ("unix:/run/docker.sock", "\"unix:\""),
            ("https://user@example.com/", "user or a password"),
            ("https://:pass@example.com/", "user or a password"),
            ("http://example.com:0/", "port 0"),
            (&format!("https://example.com/{}", "a".repeat(2_100)), "longer than"),
        ] {
            let error = refused(url);
            assert!(error.contains(problem) && !error.contains("pass@"), "{url}: {error}");
        }
        for url in ["https://example.com/a?b#c", "http://8.8.8.8:81/", "https://[2606:4700::1]/"] {
            assert!(read(&AllowList::default(), url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_allowed_is_called() {
        let allow: AllowList = "127.0.0.1:9000, 10.1.0.0/16, printer".parse().expect("a list");

        assert!(read(&allow, "http://127.0.0.1:9000/").is_ok());
        assert!(read(&allow, "http://0x7f.1:9000/").is_ok());
        assert!(read(&allow, "http://127.0.0.1:9001/").is_err());
        assert!(read(&allow, "http://10.1.2.3/").is_ok());
        assert!(read(&allow, "http://10.2.2.3/").is_err());
        assert!(is_meant(&allow, &Url::parse("http://PRINTER:1/").expect("a URL")));
        assert!(!is_meant(&allow, &Url::parse("http://a.printer/").expect("a URL")));
        let printer = AllowList::everything();
        assert!(read(&printer, "file:///etc/passwd").is_err(), "no address, and no web either");
    }
}
