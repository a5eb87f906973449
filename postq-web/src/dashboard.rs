//! The dashboard: a page and its files, embedded. All that it shows and does goes through the API.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{OriginalUri, Path};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::cookie;
use crate::document::escaped;
use crate::problem::{Code, Problem};
use crate::web::App;

/// Everything comes from here, and no script or style is written into the page itself.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The page may change with the next version of the program: it is asked for each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A file under the hash of all files never changes.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The paths that the page itself understands.
const PAGES: [&str; 15] = [
    "/",
    "/compose",
    "/posts",
    "/posts/{id}",
    "/queue",
    "/jobs/{id}",
    "/analytics",
    "/publications/{id}",
    "/dead-letters",
    "/accounts",
    "/accounts/{id}",
    "/accounts/{id}/slots",
    "/nodes",
    "/platforms",
    "/settings",
];

const PAGE: &str = include_str!("../dashboard/index.html");

/// What a file is, and when it is fetched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Style,
    Image,
    /// With the page.
    Script,
    /// When something is opened that needs it: what comes first stays small.
    Later,
}

impl Kind {
    const fn mime(self) -> &'static str {
        match self {
            Self::Style => "text/css; charset=utf-8",
            Self::Image => "image/svg+xml",
            Self::Script | Self::Later => "text/javascript; charset=utf-8",
        }
    }
}

/// A file of the page.
struct File {
    name: &'static str,
    kind: Kind,
    content: &'static [u8],
}

macro_rules! files {
    ($($kind:ident $name:literal),+ $(,)?) => {
        &[$(File {
            name: $name,
            kind: Kind::$kind,
            content: include_bytes!(concat!("../dashboard/", $name)),
        }),+]
    };
}

const FILES: &[File] = files![
    Style "style.css",
    Image "icon.svg",
    Script "api.js",
    Script "app.js",
    Later "chart.js",
    Later "counts.js",
    Script "dom.js",
    Script "icons.js",
    Script "live.js",
    Script "media.js",
    Script "route.js",
    Script "session.js",
    Script "time.js",
    Script "ui.js",
    Later "upload.js",
    Script "vendor/hooks.js",
    Script "vendor/htm.js",
    Script "vendor/preact.js",
    Later "views/accounts.js",
    Later "views/analytics.js",
    Later "views/besttimes.js",
    Script "views/calendar.js",
    Later "views/compose.js",
    Later "views/connect.js",
    Later "views/cost.js",
    Script "views/dead.js",
    Script "views/job.js",
    Script "views/login.js",
    Later "views/nodes.js",
    Later "views/options.js",
    Later "views/part.js",
    Later "views/platforms.js",
    Script "views/post.js",
    Script "views/posts.js",
    Later "views/publication.js",
    Script "views/queue.js",
    Script "views/settings.js",
    Later "views/slots.js",
    Later "views/when.js",
];

/// What tells these files from those of every other version.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for file in FILES {
        hash.update(file.name.len().to_be_bytes());
        hash.update(file.name);
        hash.update(file.content);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});

/// The files as they are sent to whoever takes gzip: a third of their size.
static PACKED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let packed = |file: &File| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(file.content).expect("a vector takes all that is written to it");
        encoder.finish().expect("a vector takes all that is written to it")
    };
    FILES.iter().map(packed).collect()
});

/// Its pages and files. They tell nothing of anybody's posts, and need no token.
pub(crate) fn routes() -> Router<App> {
    let pages = PAGES.iter().fold(Router::new(), |router, path| router.route(path, get(page)));
    pages.route("/assets/{version}/{*name}", get(file))
}

/// The page; what it loads and asks is below whatever it is mounted.
async fn page(OriginalUri(whole): OriginalUri, own: Uri) -> Response {
    let mount = escaped(cookie::mount(&whole, &own));
    let scripts = FILES.iter().filter(|file| file.kind == Kind::Script && file.name != "app.js");
    let early: String = scripts
        .map(|file| {
            format!("<link rel=\"modulepreload\" href=\"MOUNT/assets/VERSION/{}\">\n", file.name)
        })
        .collect();
    let page = PAGE.replace("<!-- EARLY -->", &early).replace("VERSION", &VERSION);
    let page = page.replace("MOUNT", &mount);
    let headers =
        [(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, ASK_AGAIN)];
    (headers, page).into_response()
}

/// Where the style of its pages is.
pub(crate) fn style(mount: &str) -> String {
    format!("{mount}/assets/{}/style.css", *VERSION)
}

async fn file(
    Path((version, name)): Path<(String, String)>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let at = FILES.iter().position(|file| file.name == name);
    let at = at.ok_or_else(|| Problem::new(Code::NoSuchPath, "there is no such file"))?;
    // While nodes are replaced one by one, a page may ask another version than its own for its files.
    let keep = if version == *VERSION { KEEP } else { ASK_AGAIN };
    let kind = HeaderValue::from_static(FILES[at].kind.mime());
    let vary = HeaderValue::from_static("accept-encoding");
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, keep), (VARY, vary)];
    if takes_gzip(&asked) {
        let packed = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return Ok((headers, packed, PACKED[at].as_slice()).into_response());
    }
    Ok((headers, FILES[at].content).into_response())
}

/// Whether whoever asks takes gzip, as all browsers do.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let all = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|one| {
        let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
        let is_refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0));
        coding.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
        let mut found = Vec::new();
        for part in ["", "views", "vendor"] {
            for entry in std::fs::read_dir(folder.join(part)).unwrap() {
                let path = entry.unwrap().path();
                let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
                if ["js", "css", "svg"].contains(&kind) {
                    let name = path.strip_prefix(&folder).unwrap();
                    found.push(name.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        let mut embedded: Vec<&str> = FILES.iter().map(|file| file.name).collect();
        embedded.sort_unstable();
        assert_eq!(found, embedded);
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        let takes = |value| takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]));
        for taken in ["gzip, deflate, br", "br;q=1.0, GZIP;q=0.5", "gzip"] {
            assert!(takes(HeaderValue::from_static(taken)), "{taken}");
        }
        for not in ["", "br", "gzip;q=0, br", "identity", "x-gzip-like"] {
            assert!(!takes(HeaderValue::from_static(not)), "{not}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn nothing_comes_from_elsewhere_nor_from_within_the_page() {
        for file in FILES.iter().filter(|file| !file.name.starts_with("vendor/")) {
            let text = std::str::from_utf8(file.content).unwrap();
            assert!(!text.contains("innerHTML"), "{}", file.name);
            assert!(!text.contains("style="), "{}: the policy refuses it", file.name);
        }
        assert!(!PAGE.contains("http"), "no request to another host");
    }
}
