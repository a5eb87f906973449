//! Every request against the shapes that Pinterest documents, and the test server's answers too.
//!
//! `shapes.json` has what this adapter uses of version 5.23.0 of the API: names, types, limits.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fake_pinterest::{BOARDS, CLIENT_ID, CLIENT_SECRET, FakePinterest, SECTION, Seen};
use postq_core::connect::{Connect, Nonce, Refresh};
use postq_core::media::MediaKind;
use postq_core::platform::{Asked, Metrics};
use postq_pinterest::{Config, Pinterest};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use support::{bench, intent, intent_with, now};

struct Shapes(Value);

impl Shapes {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("shapes.json")).expect("JSON"))
    }

    /// What is wrong with a value; the first thing, with where it is.
    fn problem(&self, value: &Value, shape: &Value, at: &str) -> Option<String> {
        if let Some(name) = shape.get("shape").and_then(Value::as_str) {
            return self.problem(value, &self.0["shapes"][name], at);
        }
        if let Some(by) = shape.get("by").and_then(Value::as_str) {
            let kind = value.get(by).and_then(Value::as_str).unwrap_or_default();
            return match shape["one"].get(kind) {
                Some(shape) => self.problem(value, shape, &format!("{at}({kind})")),
                None => Some(format!("{at}: {by} is {kind:?}")),
            };
        }
        if value.is_null() && shape["nullable"] == true {
            return None;
        }
        let is = match shape["type"].as_str().unwrap_or_default() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            other => panic!("{at}: no type {other:?} in the shapes"),
        };
        if !is {
            return Some(format!("{at}: {value} is no {}", shape["type"]));
        }
        self.bounds(value, shape, at).or_else(|| match value {
            Value::Object(object) => self.fields(object, shape, at),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(n, item)| self.problem(item, &shape["items"], &format!("{at}[{n}]"))),
            _ => None,
        })
    }

    fn bounds(&self, value: &Value, shape: &Value, at: &str) -> Option<String> {
        let limit = |name: &str| shape.get(name).and_then(Value::as_u64);
        let long = value.as_str().map(|text| text.chars().count() as u64);
        let many = value.as_array().map(|items| items.len() as u64);
        let number = value.as_u64();
        let over = |actual: Option<u64>, name| actual.zip(limit(name)).is_some_and(|(a, l)| a > l);
        let under = |actual: Option<u64>, name| actual.zip(limit(name)).is_some_and(|(a, l)| a < l);
        let unlisted = shape
            .get("enum")
            .is_some_and(|all| !all.as_array().is_some_and(|all| all.contains(value)));
        let unlike = shape
            .get("pattern")
            .and_then(Value::as_str)
            .is_some_and(|pattern| !fits(value.as_str().unwrap_or_default(), pattern));
        let wrong = over(long, "maxLength")
            || over(many, "maxItems")
            || under(many, "minItems")
            || over(number, "maximum")
            || under(number, "minimum")
            || unlisted
            || unlike;
        wrong.then(|| format!("{at}: {} is not within {shape}", cut(value)))
    }

    fn fields(&self, object: &Map<String, Value>, shape: &Value, at: &str) -> Option<String> {
        let empty = Map::new();
        let known = shape.get("properties").and_then(Value::as_object);
        // Without a list of fields anything may be in it.
        let fields = known.unwrap_or(&empty);
        let required = shape.get("required").and_then(Value::as_array);
        let missing = required.into_iter().flatten().filter_map(Value::as_str);
        let missing = missing
            .filter(|name| !object.contains_key(*name))
            .map(|name| format!("{at}: {name} is missing"));
        let wrong = object.iter().filter_map(|(name, value)| match fields.get(name) {
            Some(shape) => self.problem(value, shape, &format!("{at}.{name}")),
            None => known.map(|_| format!("{at}: {name} is not documented")),
        });
        missing.chain(wrong).next()
    }

    /// The operation of a request, with its name.
    fn operation(&self, seen: &Seen) -> (String, &Value) {
        let path = seen.target.split('?').next().expect("a path");
        let path = path.strip_prefix("/v5").expect("of the API");
        let operations = self.0["operations"].as_object().expect("operations");
        let found = operations.iter().find(|(name, _)| {
            let (method, template) = name.split_once(' ').expect("a method and a path");
            method == seen.method && leads_to(path, template)
        });
        let (name, operation) = found.unwrap_or_else(|| panic!("undocumented: {seen:?}"));
        (name.clone(), operation)
    }

    fn ensure_documented(&self, seen: &Seen) -> String {
        let (name, operation) = self.operation(seen);
        let query = seen.target.split_once('?').map_or("", |(_, query)| query);
        for (parameter, value) in form(query) {
            let shape = operation["query"].get(&parameter);
            let shape = shape.unwrap_or_else(|| panic!("{name}: {parameter} is not documented"));
            let value = typed(&value, shape);
            assert_eq!(self.problem(&value, shape, &parameter), None, "{name}");
        }
        let body = match operation["body"].as_str() {
            None => {
                assert_eq!(seen.body, "", "{name} has no body");
                None
            }
            Some("TokenRequest") => {
                let fields = form(&seen.body).into_iter();
                Some(Value::Object(fields.map(|(name, value)| (name, json!(value))).collect()))
            }
            Some(_) => Some(serde_json::from_str(&seen.body).expect("JSON")),
        };
        if let Some(body) = body {
            let shape = json!({ "shape": operation["body"] });
            assert_eq!(self.problem(&body, &shape, "body"), None, "{name}");
        }
        let (status, answer) = seen.answer.as_ref().expect("an answer");
        let shape = operation["answers"].get(status.to_string());
        let shape = shape.unwrap_or_else(|| panic!("{name} answered {status}: {answer}"));
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        let shape = json!({ "shape": shape });
        assert_eq!(self.problem(&answer, &shape, "answer"), None, "{name}");
        name
    }
}

fn fits(text: &str, pattern: &str) -> bool {
    let allowed: fn(u8) -> bool = match pattern {
        r"^\d+$" => |c| c.is_ascii_digit(),
        "^[a-zA-Z0-9+/=]+$" => |c| c.is_ascii_alphanumeric() || b"+/=".contains(&c),
        other => panic!("the pattern {other} is not known to this test"),
    };
    !text.is_empty() && text.bytes().all(allowed)
}

fn leads_to(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) =
        (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path.iter().zip(template).all(|(part, place)| match place.starts_with('{') {
            true => fits(part, r"^\d+$"),
            false => *part == place,
        })
}

fn typed(text: &str, shape: &Value) -> Value {
    match shape["type"].as_str() {
        Some("string") => json!(text),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

fn form(text: &str) -> Vec<(String, String)> {
    let fields = text.split('&').filter_map(|field| field.split_once('='));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

async fn agree(address: &str) -> String {
    let rest = address.strip_prefix("http://").expect("on loopback");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await.expect("the server");
    let ask = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let code = answer.split("code=").nth(1).expect("a code");
    code.split_whitespace().next().expect("a code").to_owned()
}

/// Connects, and renews what that brought.
async fn connect(server: &FakePinterest) {
    let config = Config {
        base_url: server.base_url(),
        authorize_url: server.authorize_url(),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: Some(CLIENT_SECRET.into()),
        redirect_uri: Some("http://127.0.0.1:1/back".to_owned()),
        settle_time: Duration::from_secs(1),
        ..Config::default()
    };
    let files = Arc::new(postq_core::memory::MemoryMedia::default());
    let pinterest = Pinterest::new(config, files).expect("an adapter");
    let address = pinterest.authorize(&Nonce::random(), &Nonce::random()).expect("an address");
    let code = agree(&address).await.into();
    let grant = pinterest.exchange(&code, &Nonce::random()).await.expect("a grant");
    pinterest.whose(&grant).await.expect("whose it is");
    let token = grant.refresh_token.expect("a refresh token");
    Refresh::refresh(&pinterest, &token).await.expect("renewed");
}

#[tokio::test]
async fn every_request_is_as_pinterest_documents_it() {
    let bench = bench().await;
    let (jpeg, png, video) =
        ((MediaKind::Jpeg, Some("alt")), (MediaKind::Png, None), (MediaKind::Mp4, None));
    let full = intent_with(
        &"é".repeat(800),
        &[
            ("board", BOARDS[0].1),
            ("section", SECTION.1),
            ("title", &"👍".repeat(100)),
            ("link", "https://example.com/"),
            ("dominant_color", "#6E7874"),
            ("cover_at", "3"),
        ],
    );
    for files in [&[jpeg][..], &[jpeg, png], &[video], &[video, png]] {
        bench.send_files(&full, files).await.expect("published");
    }
    bench.publish("plain").await.expect("published");
    bench.look(&full).await.expect("a look");
    bench.look(&intent("plain")).await.expect("a look");
    for n in 0..101 {
        bench.publish(&format!("more {n}")).await.expect("published");
    }
    bench.look(&intent("paged")).await.expect("a look");
    let id = bench.server.pins()[0].id.clone();
    bench.server.count(&id, json!({ "90d": { "impression": 1 } }));
    let asked = [Asked { remote_id: id, published_at: now() }];
    bench.pinterest.fetch(&bench.who, &asked, now()).await.expect("counts");
    connect(&bench.server).await;

    let shapes = Shapes::read();
    let seen = bench.server.seen();
    let seen = seen.iter().filter(|seen| seen.target.starts_with("/v5/"));
    let used: BTreeSet<String> = seen.map(|seen| shapes.ensure_documented(seen)).collect();

    let documented = shapes.0["operations"].as_object().expect("operations");
    assert_eq!(used, documented.keys().cloned().collect(), "each was used");
}

#[test]
fn the_check_finds_what_is_not_documented() {
    let shapes = Shapes::read();
    let good = json!({
        "board_id": "1", "title": "t",
        "media_source": { "source_type": "image_base64", "content_type": "image/png", "data": "AA==" },
    });
    let problem = |change: fn(&mut Value)| {
        let mut pin = good.clone();
        change(&mut pin);
        shapes.problem(&pin, &json!({ "shape": "PinCreate" }), "body").unwrap_or_default()
    };

    assert_eq!(problem(|_| {}), "");
    assert_eq!(problem(|pin| pin["note"] = json!("x")), "body: note is not documented");
    assert!(problem(|pin| pin["board_id"] = json!("x")).starts_with("body.board_id: \"x\" is not"));
    assert!(problem(|pin| pin["title"] = json!("x".repeat(101))).starts_with("body.title: "));
    assert!(problem(|pin| pin["title"] = json!(7)).starts_with("body.title: 7 is no"));
    let gif = problem(|pin| pin["media_source"]["content_type"] = json!("image/gif"));
    assert!(gif.starts_with("body.media_source(image_base64).content_type"), "{gif}");
    let bare = problem(|pin| pin["media_source"] = json!({ "source_type": "image_url" }));
    assert_eq!(bare, "body.media_source(image_url): url is missing");
    let one = json!({ "source_type": "multiple_image_urls", "items": [{ "url": "u" }] });
    let shape = &shapes.0["shapes"]["PinCreate"]["properties"]["media_source"];
    let one = shapes.problem(&one, shape, "source").expect("too few");
    assert!(one.starts_with("source(multiple_image_urls).items: "), "{one}");
}
