//! The server over a plain socket: what it answers, and what it does not.

use std::time::Duration;

use fake_pinterest::{BOARDS, Canned, FakePinterest, Fault, Faults, Order, Target};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a request is sent with besides its path.
struct Ask<'a> {
    method: &'a str,
    token: &'a str,
    kind: &'a str,
    body: &'a str,
}

const GET: Ask<'_> = Ask { method: "GET", token: "tok-1", kind: "application/json", body: "" };

/// Status and body; none if the connection was cut.
async fn ask(server: &FakePinterest, path: &str, ask: Ask<'_>) -> Option<(u16, Value)> {
    let base = server.base_url();
    let host = base.strip_prefix("http://")?.strip_suffix("/v5")?;
    let mut stream = TcpStream::connect(host).await.expect("a connection");
    let Ask { method, token, kind, body } = ask;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    if stream.read_to_string(&mut answer).await.is_err() || answer.is_empty() {
        return None;
    }
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1)?.parse().expect("a status");
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

async fn get(server: &FakePinterest, path: &str) -> (u16, Value) {
    ask(server, path, GET).await.expect("an answer")
}

async fn post(server: &FakePinterest, path: &str, body: &Value) -> Option<(u16, Value)> {
    ask(server, path, Ask { method: "POST", body: &body.to_string(), ..GET }).await
}

fn pin(text: &str) -> Value {
    json!({
        "board_id": BOARDS[0].0, "description": text,
        "media_source": { "source_type": "image_base64", "content_type": "image/png", "data": "AAAA" },
    })
}

/// The status; none if the connection was cut.
async fn create(server: &FakePinterest, text: &str) -> Option<u16> {
    post(server, "/v5/pins", &pin(text)).await.map(|(status, _)| status)
}

async fn listed(server: &FakePinterest) -> Vec<String> {
    let path = format!("/v5/boards/{}/pins?page_size=250", BOARDS[0].0);
    let (status, page) = get(server, &path).await;
    assert_eq!(status, 200);
    let items = page["items"].as_array().expect("items");
    items.iter().map(|pin| pin["description"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn a_pin_is_accepted_and_listed() {
    let server = FakePinterest::start().await.expect("a port");
    for text in ["one", "two"] {
        assert_eq!(create(&server, text).await, Some(201));
    }

    assert_eq!(listed(&server).await, ["two", "one"]);
    server.set_faults(Faults { order: Order::OldestFirst, ..Faults::default() });
    assert_eq!(listed(&server).await, ["one", "two"]);
    server.set_faults(Faults { hide: Duration::from_secs(60), ..Faults::default() });
    assert_eq!(listed(&server).await, [""; 0]);
    let pins = server.pins();
    assert_eq!((pins[0].user.as_str(), &pins[0].pictures), ("1", &vec![vec![0, 0, 0]]));
    let (status, shown) = get(&server, &format!("/v5/pins/{}", pins[0].id)).await;
    assert_eq!(
        (status, &shown["description"], &shown["is_owner"]),
        (200, &json!("one"), &json!(true))
    );
}

#[tokio::test]
async fn what_is_not_documented_is_refused() {
    let server = FakePinterest::start().await.expect("a port");
    let with = |name: &str, value: Value| {
        let mut pin = pin("text");
        pin[name] = value;
        pin
    };
    let source = |value: Value| with("media_source", value);
    let picture = json!({ "content_type": "image/png", "data": "AAAA" });
    for (pin, expected) in [
        (with("note", json!("x")), 400),
        (with("title", json!("x".repeat(101))), 400),
        (with("description", json!("x".repeat(801))), 400),
        (with("board_id", json!("9")), 404),
        (with("board_section_id", json!("9")), 404),
        (with("link", json!("https://spam.example.com")), 400),
        (source(json!({ "source_type": "image_url", "url": "http://e.com/a" })), 400),
        (source(json!({ "source_type": "video_id", "media_id": "1" })), 400),
        (source(json!({ "source_type": "gif" })), 400),
        (source(json!({ "source_type": "multiple_image_base64", "items": [picture] })), 400),
        (json!({ "board_id": BOARDS[0].0 }), 400),
        (json!(7), 400),
    ] {
        let (status, problem) = post(&server, "/v5/pins", &pin).await.expect("an answer");
        assert_eq!(status, expected, "{pin}");
        assert!(problem["code"].is_i64() && problem["message"].is_string(), "{problem}");
    }
    for path in ["/v5/boards?page_size=251", "/v5/boards?order=new", "/v5/pins/1?metrics=true"] {
        assert_eq!(get(&server, path).await.0, 400, "{path}");
    }
    for (path, token, expected) in
        [("/v5/boards", "other", 401), ("/v5/boards", "tok-", 401), ("/v5/nowhere", "tok-1", 404)]
    {
        let asked = ask(&server, path, Ask { token, ..GET }).await.expect("an answer");
        assert_eq!(asked.0, expected, "{path} {token}");
    }
    assert!(server.pins().is_empty());
}

#[tokio::test]
async fn each_fault_does_what_it_says() {
    let server = FakePinterest::start().await.expect("a port");
    for (fault, status, accepted) in [
        (Fault::Ok, Some(201), true),
        (Fault::CutBefore, None, false),
        (Fault::CutAfter, None, true),
        (Fault::UnavailableBefore, Some(503), false),
        (Fault::UnavailableAfter, Some(503), true),
        (Fault::NoId, Some(201), true),
        (Fault::Limited, Some(429), false),
        (Fault::HangAfter, Some(201), true),
    ] {
        let before = server.pins().len();
        let script = [fault].into_iter().collect();
        let hang = Duration::from_millis(50);
        server.set_faults(Faults { script, hang, ..Faults::default() });

        assert_eq!(create(&server, "text").await, status, "{fault:?}");

        assert_eq!(server.pins().len() - before, usize::from(accepted), "{fault:?}");
    }
    let before = server.pins().len();
    server.set_faults(Faults::script([Fault::Late]));
    assert_eq!(create(&server, "late").await, None);
    assert_eq!(server.pins().len(), before, "not yet");
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if server.pins().len() > before {
            return;
        }
    }
    panic!("it never came");
}

#[tokio::test]
async fn the_storage_takes_what_is_signed_alone() {
    let server = FakePinterest::start().await.expect("a port");
    let body = json!({ "media_type": "video" });
    let (status, told) = post(&server, "/v5/media", &body).await.expect("an answer");
    assert_eq!((status, &told["media_type"]), (201, &json!("video")));
    let id = told["media_id"].as_str().expect("an id");
    let form = |signature: &str| {
        let field = |name: &str, value: &str| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields = field("key", &format!("uploads/{id}")) + &field("policy", "p");
        let file = "--B\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Type: video/mp4\r\n\r\nabc\r\n--B--\r\n";
        fields + &field("x-amz-signature", signature) + file
    };

    // With a token, as every request of this test has one, it is refused first.
    let kind = "multipart/form-data; boundary=B";
    let signed = form(&format!("signed-{id}"));
    let asked = ask(&server, "/storage", Ask { method: "POST", kind, body: &signed, ..GET }).await;
    assert_eq!(asked.expect("an answer").0, 400);
    for (body, expected) in [(form("guessed"), "403"), (signed, "204")] {
        let base = server.base_url();
        let host = base.trim_start_matches("http://").trim_end_matches("/v5");
        let mut stream = TcpStream::connect(host).await.expect("a connection");
        let request = format!(
            "POST /storage HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert_eq!(answer.split(' ').nth(1), Some(expected));
    }
    assert_eq!(server.uploads()[0].content.as_deref(), Some(&b"abc"[..]));
    let path = format!("/v5/media/{id}");
    for expected in ["processing", "processing", "succeeded"] {
        assert_eq!(get(&server, &path).await.1["status"], expected);
    }
}

#[tokio::test]
async fn an_answer_of_the_test_s_own_is_given_once() {
    let server = FakePinterest::start().await.expect("a port");
    server.answer(Target::User, Canned::new(418, "{}").with("x-own", "1"));

    assert_eq!(get(&server, "/v5/user_account").await.0, 418);
    let (status, user) = get(&server, "/v5/user_account").await;
    assert_eq!((status, &user["id"]), (200, &json!("1")));
    assert_eq!(server.seen().len(), 2);
    assert_eq!(server.seen()[0].answer, Some((418, "{}".to_owned())));
}
