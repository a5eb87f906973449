//! From where the API may be asked: no page of another site, however it got its address.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderName, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{Code, Problem};
use crate::web::App;

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const ASKED: &str = "authorization, content-type, idempotency-key, if-match, last-event-id, \
                     traceparent, x-correlation-id";
const SHOWN: &str = "etag, location, retry-after, idempotency-replayed, x-correlation-id";

/// Probes ask by whatever address they have, and learn nothing of anybody's posts.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_probe = PROBES.iter().any(|probe| request.uri().path().ends_with(probe));
    let settings = &app.web.settings;
    let host = host(request.uri(), request.headers());
    if !is_probe && !host.as_deref().is_some_and(|host| known(host, &settings.hosts)) {
        let detail = "the Host header names none of this server's names";
        return Problem::new(Code::HostNotAllowed, detail).into_response();
    }
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let text = origin.to_str().unwrap_or_default();
    if host.is_some() && is_own(text, request.headers()) {
        return next.run(request).await;
    }
    if !settings.origins.iter().any(|allowed| allowed.trim_end_matches('/') == text) {
        let detail = "the Origin header names a page that may not use this server";
        return Problem::new(Code::OriginNotAllowed, detail).into_response();
    }
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = match preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let headers = answer.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(VARY, "origin");
    set(CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin");
    if preflight {
        set(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        set(ACCESS_CONTROL_ALLOW_HEADERS, ASKED);
        set(ACCESS_CONTROL_MAX_AGE, "600");
    } else {
        set(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer
}

/// The host that was asked, without its port; none if the request names none, or several.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if let Some(host) = uri.host() {
        return Some(host.to_ascii_lowercase());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let only = hosts.next().filter(|_| hosts.next().is_none())?;
    let authority: axum::http::uri::Authority = only.to_str().ok()?.parse().ok()?;
    (!authority.as_str().contains('@')).then(|| authority.host().to_ascii_lowercase())
}

/// Whether a host is ours. No name that resolves to our address by another's will is: an address is
/// what it is, and names are listed.
fn known(host: &str, names: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
    is_address || host == "localhost" || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// Whether a request is one that only a page of this very server makes, or a person in the address line:
/// what a cookie comes with must be.
pub(crate) fn is_of_own_page(method: &Method, headers: &HeaderMap) -> bool {
    let is_safe = [Method::GET, Method::HEAD].contains(method);
    match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin") => true,
        Some(b"none") => is_safe,
        Some(_) => false,
        // A browser that is too old to tell sends the origin with all that changes something.
        None => match headers.get(ORIGIN) {
            Some(origin) => is_own(origin.to_str().unwrap_or_default(), headers),
            None => is_safe,
        },
    }
}

/// Whether a browser asks for a page of its own: what was begun there is finished there.
pub(crate) fn is_page(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(ORIGIN)
}

/// Whether a page of this very server asks: its origin names the host that was asked.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let asked = headers.get(HOST).and_then(|host| host.to_str().ok());
    let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    page.zip(asked).is_some_and(|(page, asked)| page.eq_ignore_ascii_case(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_listed_names_are_ours() {
        let names = ["post.example.com".to_owned()];
        for ours in ["127.0.0.1", "[::1]", "10.1.2.3", "localhost", "POST.example.com"] {
            assert!(known(&ours.to_lowercase(), &names), "{ours}");
        }
        for theirs in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!known(theirs, &names), "{theirs}");
        }
    }

    #[test]
    fn a_cookie_counts_in_our_own_pages_alone() {
        let of = |method: &Method, pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:8484"));
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_of_own_page(method, &headers)
        };
        let site = |value| ("sec-fetch-site", value);
        let own = ("origin", "http://localhost:8484");
        for (method, headers, expected) in [
            (Method::POST, vec![site("same-origin"), own], true),
            (Method::GET, vec![site("same-origin")], true),
            (Method::GET, vec![site("none")], true),
            (Method::POST, vec![site("none")], false),
            (Method::POST, vec![site("same-site"), own], false),
            (Method::GET, vec![site("same-site")], false),
            (Method::GET, vec![site("cross-site")], false),
            (Method::POST, vec![own], true),
            (Method::POST, vec![("origin", "http://localhost:3000")], false),
            (Method::POST, vec![("origin", "null")], false),
            (Method::POST, vec![], false),
            (Method::GET, vec![], true),
        ] {
            assert_eq!(of(&method, &headers), expected, "{method} {headers:?}");
        }
    }

    #[test]
    fn a_host_is_read_with_its_port_and_only_once() {
        let uri = Uri::from_static("/api/posts");
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HOST, HeaderValue::from_static(value));
            }
            host(&uri, &headers)
        };
        assert_eq!(of(&["LocalHost:8484"]).as_deref(), Some("localhost"));
        assert_eq!(of(&["[::1]:8484"]).as_deref(), Some("[::1]"));
        assert_eq!(of(&["localhost", "evil.example"]), None);
        assert_eq!(of(&["localhost@evil.example"]), None);
        assert_eq!(of(&[]), None);
    }
}
