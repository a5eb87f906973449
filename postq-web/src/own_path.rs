//! Redirect URIs of any path: an app at a platform may be set up with one of its own.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use postq_engine::Platforms;
use tower::Layer;
use tower::util::MapRequestLayer;

/// Where people come back to whom the platform sends to its standard path.
const STANDARD: &str = "/api/accounts/callback/";

/// The same router; who comes back to the path of a platform's redirect URI comes to its standard path. Only
/// with what a platform sends along: the path may be that of a page.
pub(crate) fn led_to(router: Router, platforms: &Platforms) -> Router {
    let own: Vec<(String, String)> = platforms
        .names()
        .filter_map(|name| {
            let uri = platforms.get(name)?.connect()?.redirect_uri().ok()?.parse::<Uri>().ok()?;
            let standard = format!("{STANDARD}{name}");
            // A proxy may take away what comes before it.
            (!uri.path().ends_with(&standard)).then(|| (uri.path().to_owned(), standard))
        })
        .collect();
    if own.is_empty() {
        return router;
    }
    let lead = move |mut request: Request| {
        let standard = own.iter().find(|(path, _)| path == request.uri().path());
        if let Some((_, standard)) = standard
            && request.method() == Method::GET
            && let Some(uri) = led(request.uri(), standard)
        {
            *request.uri_mut() = uri;
        }
        request
    };
    Router::new().fallback_service(MapRequestLayer::new(lead).layer(router))
}

/// The standard path with what the platform sent along; none if it sent nothing.
fn led(uri: &Uri, standard: &str) -> Option<Uri> {
    let query = uri.query()?;
    let has = |name: &str| query.split('&').any(|pair| pair.starts_with(name));
    if !has("state=") || !(has("code=") || has("error=")) {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{standard}?{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_comes_back_from_a_platform_is_led_on() {
        let led = |uri: &str| led(&uri.parse().unwrap(), "/api/accounts/callback/x");

        assert_eq!(led("/?state=a&code=b").unwrap(), "/api/accounts/callback/x?state=a&code=b");
        assert_eq!(
            led("http://postq.test/cb?error=no&state=a").unwrap(),
            "http://postq.test/api/accounts/callback/x?error=no&state=a"
        );
        for page in ["/", "/?post=1", "/?state=a", "/?code=a", "/?mystate=a&mycode=b"] {
            assert!(led(page).is_none(), "{page}");
        }
    }
}
