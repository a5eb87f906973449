//! What a person sees who comes back from a platform: a page without a script, which asks for no token.

use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use postq_core::account::Account;
use postq_engine::tokens::Connected;

use crate::dashboard;
use crate::document::escaped;
use crate::problem::Problem;

/// Its style, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Whether somebody looks at it, rather than a program.
pub(crate) fn is_looked_at(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

/// An account is connected; so many posts go on.
pub(crate) fn connected(mount: &str, connected: &Connected, waiting: usize) -> Response {
    let Account { name, platform, id, .. } = &connected.account;
    let again = if connected.is_new { "" } else { " again" };
    let whose = connected.whose.as_ref().and_then(|whose| whose.name.as_ref());
    let whose = whose.map(|name| format!(", as @{name}")).unwrap_or_default();
    let what = format!("“{name}” on {platform} is connected{again}{whose}.");
    let next = match waiting {
        0 => "You can close this page.".to_owned(),
        1 => "One post that waited goes on. You can close this page.".to_owned(),
        many => format!("{many} posts that waited go on. You can close this page."),
    };
    page(mount, StatusCode::OK, "Connected", [&what, &next], &format!("/accounts/{id}"))
}

/// Nothing is connected.
pub(crate) fn not_connected(mount: &str, problem: &Problem) -> Response {
    let (detail, remedy, status) = problem.told();
    page(mount, status, "Not connected", [&sentence(detail), &sentence(remedy)], "/accounts")
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

fn page(mount: &str, status: StatusCode, title: &str, told: [&str; 2], path: &str) -> Response {
    let (style, accounts) = (escaped(&dashboard::style(mount)), escaped(&format!("{mount}{path}")));
    let [what, next] = told.map(escaped);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · postq</title>\n\
         <link rel=\"stylesheet\" href=\"{style}\">\n</head>\n<body>\n<main class=\"login\">\n\
         <div class=\"card stack wide\"><h1>{title}</h1>\n<p>{what}</p>\n<p>{next}</p>\n\
         <p><a class=\"btn main\" href=\"{accounts}\">To the accounts</a></p></div>\n</main>\n</body>\n</html>\n"
    );
    (status, [(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, POLICY)], html).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::problem::Code;

    #[tokio::test]
    async fn what_is_told_cannot_become_part_of_the_page() {
        let problem = Problem::new(Code::NotConnected, "<script>alert(1)</script> \"said\" so");

        let answer = not_connected("/below", &problem);

        assert_eq!(answer.status(), 422);
        assert!(answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("'none'"));
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(!body.contains("<script"), "{body}");
        assert!(body.contains("&lt;script"), "{body}");
        assert!(body.contains("href=\"/below/accounts\""), "{body}");
    }

    #[test]
    fn a_browser_is_told_from_a_program() {
        let looked_at = |accept| is_looked_at(&HeaderMap::from_iter([(ACCEPT, accept)]));

        assert!(looked_at(HeaderValue::from_static(
            "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
        )));
        assert!(!looked_at(HeaderValue::from_static("*/*")));
        assert!(!looked_at(HeaderValue::from_static("application/json, text/plain")));
        assert!(!is_looked_at(&HeaderMap::new()));
    }
}
