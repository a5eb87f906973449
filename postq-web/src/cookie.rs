//! The cookie of the dashboard's session: the token itself, where no script can read it.

use axum::http::header::{COOKIE, HOST, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, Uri};
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use postq_core::connect::Nonce;
use secrecy::{ExposeSecret, SecretString};

use crate::secret::Presented;

/// What its name begins with.
const NAME: &str = "postq_session";

/// What the name of the other one begins with.
const CONNECTING: &str = "postq_connect";

/// Whoever has not signed in for so long does it again. Revoking the token ends its sessions at once.
const LASTS: Duration = Duration::days(30);

/// Cookies of one name that are looked at.
const MOST: usize = 3;

/// The tokens that a request's session may be of. Whoever answers at another port or path of this host can
/// set cookies of any name and content beside ours.
pub(crate) fn tokens(headers: &HeaderMap) -> Vec<SecretString> {
    let tokens = all(headers, name(headers));
    tokens.filter(|token| Presented::read(token).is_some()).take(MOST).collect()
}

fn all(headers: &HeaderMap, name: String) -> impl Iterator<Item = SecretString> {
    let all = headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(is_between));
    let all = all.filter_map(|pair| Cookie::parse(std::str::from_utf8(pair).ok()?).ok());
    all.filter(move |cookie| cookie.name() == name).map(|cookie| cookie.value().into())
}

fn is_between(byte: &u8) -> bool {
    *byte == b';'
}

/// What makes a browser keep the token, for the pages below `mount`.
pub(crate) fn set(headers: &HeaderMap, mount: &str, token: &SecretString) -> Option<HeaderValue> {
    let mut cookie = bare(headers, mount, token.expose_secret());
    cookie.set_max_age(LASTS);
    let mut value = HeaderValue::try_from(cookie.to_string()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What makes a browser forget it.
pub(crate) fn clear(headers: &HeaderMap, mount: &str) -> Option<HeaderValue> {
    let mut cookie = bare(headers, mount, "");
    cookie.set_max_age(Duration::ZERO);
    HeaderValue::try_from(cookie.to_string()).ok()
}

/// What shows that a browser is the one in which an account began to be connected, at the path to which a
/// platform sends people back. It comes along then, which the session's cookie does not.
pub(crate) fn set_connecting(
    headers: &HeaderMap,
    path: &str,
    shown: &Nonce,
) -> Option<HeaderValue> {
    let mut cookie = bare_connecting(headers, path, shown.expose());
    cookie.set_max_age(Duration::minutes(10));
    let mut value = HeaderValue::try_from(cookie.to_string()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What a browser has to show.
pub(crate) fn connecting(headers: &HeaderMap) -> Option<SecretString> {
    all(headers, of_port(headers, CONNECTING)).next()
}

/// What makes a browser forget it.
pub(crate) fn clear_connecting(headers: &HeaderMap, path: &str) -> Option<HeaderValue> {
    let mut cookie = bare_connecting(headers, path, "");
    cookie.set_max_age(Duration::ZERO);
    HeaderValue::try_from(cookie.to_string()).ok()
}

fn bare_connecting<'a>(headers: &HeaderMap, path: &str, value: &'a str) -> Cookie<'a> {
    let mut cookie = bare(headers, "", value).into_owned();
    cookie.set_name(of_port(headers, CONNECTING));
    cookie.set_path(path.to_owned());
    cookie.set_same_site(SameSite::Lax);
    cookie
}

/// What comes before `own`, the router's own part of the path.
pub(crate) fn mount<'a>(whole: &'a Uri, own: &Uri) -> &'a str {
    let path = whole.path().trim_end_matches('/');
    path.strip_suffix(own.path().trim_end_matches('/')).unwrap_or_default()
}

fn bare<'a>(headers: &HeaderMap, mount: &'a str, value: &'a str) -> Cookie<'a> {
    let page = headers.get(ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
    Cookie::build((name(headers), value))
        .path(if mount.is_empty() { "/" } else { mount })
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(page.starts_with(b"https://"))
        .build()
}

fn name(headers: &HeaderMap) -> String {
    of_port(headers, NAME)
}

/// Browsers keep one jar for all ports of a host: two daemons on one machine have a name each.
fn of_port(headers: &HeaderMap, begins: &str) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port);
    match port.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(port) => format!("{begins}_{port}"),
        None => begins.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn it_is_kept_where_only_we_get_it() {
        let token = SecretString::from("postq_1_2");

        let plain = set(&headers(&[("host", "localhost:8484")]), "", &token).unwrap();
        let safe = [("host", "post.example.com"), ("origin", "https://post.example.com")];
        let safe = set(&headers(&safe), "/below", &token).unwrap();

        assert_eq!(
            plain,
            "postq_session_8484=postq_1_2; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
        );
        assert_eq!(
            safe,
            "postq_session=postq_1_2; HttpOnly; SameSite=Strict; Secure; Path=/below; Max-Age=2592000"
        );
        assert!(!format!("{plain:?}").contains("postq_1_2"));
    }

    #[test]
    fn it_is_found_among_others() {
        let text = |n: char| format!("postq_{}_{}", "0".repeat(32), n.to_string().repeat(43));
        let (mine, other) = (text('A'), text('I'));
        let read = |host: &'static str, cookie: &str| {
            let mut headers = headers(&[("host", host)]);
            // Browsers send a value byte by byte as it was set.
            headers.append("cookie", HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
            let tokens = tokens(&headers);
            tokens.iter().map(|token| token.expose_secret().to_owned()).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];

        let cookie =
            format!("a=b; postq_session={other}; name=J\u{fc}rgen; postq_session_8484={mine}");
        assert_eq!(read("[::1]:8484", &cookie), [mine.as_str()]);
        assert_eq!(read("[::1]", &cookie), [other.as_str()]);
        assert_eq!(read("localhost:1", &cookie), none);
        assert_eq!(read("localhost", ""), none);
        let several = format!("postq_session=x; postq_session={other}; postq_session={mine}");
        assert_eq!(
            read("localhost", &several),
            [other.as_str(), &mine],
            "a bad one hides no good one"
        );
        assert_eq!(read("localhost", &format!("postq_session={mine};").repeat(9)).len(), MOST);
    }

    #[test]
    fn the_mount_is_what_comes_before() {
        for (whole, own, expected) in [
            ("/", "/", ""),
            ("/compose", "/compose", ""),
            ("/below/here", "/", "/below/here"),
            ("/below/here/", "/", "/below/here"),
            ("/below/jobs/1", "/jobs/1", "/below"),
        ] {
            assert_eq!(mount(&Uri::from_static(whole), &Uri::from_static(own)), expected);
        }
    }
}
