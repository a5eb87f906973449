//! The OpenAPI document, and the page that shows it.

use std::fmt::Write as _;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;

use crate::api::media;
use crate::problem::PROBLEM_JSON;
use crate::router;

macro_rules! put {
    ($page:expr, $($argument:tt)*) => {
        write!($page, $($argument)*).expect("a string takes all that is written to it")
    };
}

/// The page's own style; its hash is all that the page's policy allows.
const STYLE: &str = include_str!("docs.css");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "postq",
        description = "Publishes social posts on time, once, and never loses one.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(
        crate::problem::Details,
        crate::problem::FieldProblem,
        crate::events::JobHappened,
        crate::api::PlatformHappened
    )),
    tags(
        (name = "posts", description = "What is published"),
        (name = "schedules", description = "When it goes out"),
        (name = "jobs", description = "What is being done"),
        (name = "dead letters", description = "What gave up"),
        (name = "accounts", description = "Where it goes out"),
        (name = "publications", description = "What is out"),
        (name = "analytics", description = "How it does"),
        (name = "media", description = "Pictures and videos that posts name"),
        (name = "webhooks", description = "Who is told of it over HTTP"),
        (name = "events", description = "What happens, as it happens"),
        (name = "incoming", description = "What platforms send by themselves; their signature is the proof"),
        (name = "operation", description = "How the installation is"),
        (name = "session", description = "Signing in to the dashboard"),
        (name = "tokens", description = "Who may use the API"),
        (name = "health", description = "For probes; no token needed"),
    )
)]
struct Head;

/// The document as it is answered, for programs and for people.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) json: Bytes,
    pub(crate) page: Bytes,
}

impl Shown {
    pub(crate) fn new(version: &str) -> Self {
        let mut routes = OpenApiRouter::with_openapi(Head::openapi());
        router::all(&mut |route| {
            routes = std::mem::take(&mut routes).routes((route.documented)());
        });
        let document = finished(&routes.into_openapi(), version);
        Self { json: Bytes::from(document.to_string()), page: Bytes::from(page(&document)) }
    }
}

/// The whole document: with what all operations share.
fn finished(document: &Document, version: &str) -> Value {
    let mut document = serde_json::to_value(document).expect("a document is plain data");
    document["info"]["version"] = json!(version);
    document["components"]["securitySchemes"] = json!({"token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `postqd token create`. Each operation names the scope that it \
                        needs: read, write or admin; each allows what those before it do. The \
                        dashboard's session (`/api/session`) is as good in its own pages. On loopback, while no token was ever made, none is asked for.",
    }});
    document["components"]["responses"] = json!({"Problem": {
        "description": "It was not done as asked (RFC 9457): `code` says why in a stable word",
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }});
    document["components"]["parameters"] = json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "The same request again under this key is done once and has the same \
                            answer, for 24 h",
            "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
        },
        "IfMatch": {
            "name": "If-Match", "in": "header", "required": false,
            "description": "The ETag that was seen: refused if it was changed since",
            "schema": {"type": "string"},
        },
    });
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                share(path, method, operation);
            }
        }
    }
    document
}

/// What operations of a kind have in common.
fn share(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let problem = json!({"$ref": "#/components/responses/Problem"});
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    if let Some(responses) = responses.as_object_mut() {
        responses.entry("default").or_insert(problem);
    }
    let has_if_match =
        ["/api/posts/{id}", "/api/schedules/{id}", "/api/accounts/{id}", "/api/webhooks/{id}"];
    let parameter = match method {
        // A file is read as it comes, and the same one again is the same file.
        "post" if path == media::PATH => return,
        "post" => "IdempotencyKey",
        "patch" | "delete" if has_if_match.contains(&path) => "IfMatch",
        _ => return,
    };
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(json!({"$ref": format!("#/components/parameters/{parameter}")}));
    }
}

/// What the page may load: its style, and nothing else.
pub(crate) fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'"
    )
}

/// The page that shows a document: no script, nothing from elsewhere.
fn page(document: &Value) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>postq API</title><style>{STYLE}</style></head><body>\
         <h1>postq API {}</h1><p>{} The document for programs: <a href=\"openapi.json\">openapi.json\
         </a></p>",
        text(&document["info"]["version"]),
        text(&document["info"]["description"]),
    );
    let shared = &document["components"];
    put!(
        page,
        "<h2>How to ask</h2><p>Send <code>Authorization: Bearer TOKEN</code>. {}</p><p>Bodies are JSON, \
         times RFC 3339. What is not done is answered as <a href=\"#Problem\">Problem</a>.</p><dl>",
        text(&shared["securitySchemes"]["token"]["description"]),
    );
    for (name, parameter) in shared["parameters"].as_object().into_iter().flatten() {
        put!(
            page,
            "<dt id=\"{}\"><code>{}</code></dt><dd>{}</dd>",
            escaped(name),
            text(&parameter["name"]),
            text(&parameter["description"]),
        );
    }
    page.push_str("</dl>");
    for tag in document["tags"].as_array().into_iter().flatten() {
        put!(page, "<h2>{}</h2><p>{}</p>", text(&tag["name"]), text(&tag["description"]));
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag["name"] {
                    put_operation(&mut page, path, method, operation);
                }
            }
        }
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        put!(page, "<h3 id=\"{name}\">{name}</h3><pre>{}</pre>", linked(schema));
    }
    page.push_str("</body></html>");
    page
}

fn put_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let scope = operation["security"][0]["token"][0].as_str().unwrap_or("none");
    put!(
        page,
        "<details><summary><code><b>{}</b> {}</code> {} <i>scope: {}</i></summary><p>{}</p>",
        escaped(&method.to_uppercase()),
        escaped(path),
        text(&operation["summary"]),
        escaped(scope),
        text(&operation["description"]),
    );
    for (title, key) in
        [("Parameters", "parameters"), ("Body", "requestBody"), ("Answers", "responses")]
    {
        if let Some(part) = operation.get(key) {
            put!(page, "<h4>{title}</h4><pre>{}</pre>", linked(part));
        }
    }
    page.push_str("</details>");
}

/// Part of the document, in which each reference leads to where the page shows what it names.
fn linked(part: &Value) -> String {
    let shown = escaped(&serde_json::to_string_pretty(part).unwrap_or_default());
    let mut pieces = shown.split("&quot;#/components/");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (reference, rest) = piece.split_once("&quot;").unwrap_or((piece, ""));
        let name = reference.rsplit('/').next().unwrap_or_default();
        put!(page, "<a href=\"#{name}\">{name}</a>{rest}");
    }
    page
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_escapes_what_it_shows() {
        let page = page(&json!({
            "info": {"version": "1", "description": "<script>alert('x')</script>"},
        }));

        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
    }
}
