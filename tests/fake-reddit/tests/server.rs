//! The server over a plain socket: what it answers, and what it does not.

use std::time::Duration;

use fake_reddit::{Canned, FakeReddit, Fault, Target};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GOOD: &str = "api_type=json&sr=test&kind=self&title=a%20title&text=a+text&resubmit=true&\
                    sendreplies=true&nsfw=false&spoiler=false&validate_on_submit=true";

/// Status and body; none if the connection was cut.
async fn ask(server: &FakeReddit, what: &str, token: &str, body: &str) -> Option<(u16, Value)> {
    let base = server.base_url();
    let mut stream = TcpStream::connect(base.strip_prefix("http://")?).await.expect("a connection");
    let request = format!(
        "{what} HTTP/1.1\r\nhost: x\r\nauthorization: bearer {token}\r\nconnection: close\r\n\
         user-agent: a test\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    // Cut in the middle of a request is cut all the same.
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    if stream.read_to_string(&mut answer).await.is_err() || answer.is_empty() {
        return None;
    }
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1)?.parse().expect("a status");
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

async fn submit(server: &FakeReddit, body: &str) -> Option<(u16, Value)> {
    ask(server, "POST /api/submit?raw_json=1", "tok-me", body).await
}

async fn own(server: &FakeReddit) -> Vec<Value> {
    let list = ask(server, "GET /user/ME/submitted?raw_json=1", "tok-me", "").await;
    let (_, list) = list.expect("a list");
    list["data"]["children"].as_array().expect("children").clone()
}

#[tokio::test]
async fn what_is_accepted_is_in_the_ledger_and_in_the_list() {
    let server = FakeReddit::start().await.expect("a free port");

    let (status, answer) = submit(&server, GOOD).await.expect("an answer");

    let accepted = &server.accepted()[0];
    assert_eq!((status, &answer["json"]["errors"]), (200, &json!([])));
    assert_eq!(answer["json"]["data"]["name"], format!("t3_{}", accepted.id));
    assert_eq!((accepted.title.as_str(), accepted.text.as_str()), ("a title", "a text"));
    let own = own(&server).await;
    assert_eq!((own.len(), &own[0]["data"]["id"]), (1, &json!(accepted.id)));
    assert_eq!(ask(&server, "GET /api/v1/me?raw_json=1", "other", "").await.expect("told").0, 401);
}

#[tokio::test]
async fn what_reddit_does_not_document_is_refused() {
    let server = FakeReddit::start().await.expect("a free port");
    for bad in [
        GOOD.to_owned() + "&surprise=1",
        GOOD.replace("api_type=json&", ""),
        GOOD.replace("nsfw=false", "nsfw=False"),
    ] {
        assert_eq!(submit(&server, &bad).await.expect("an answer").0, 400, "{bad}");
    }
    let plain = ask(&server, "POST /api/submit", "tok-me", GOOD).await;
    assert_eq!(plain.expect("an answer").0, 400, "without raw_json");
    for (bad, code) in [
        (GOOD.replace("a%20title", ""), "NO_TEXT"),
        (GOOD.replace("kind=self", "kind=link"), "NO_URL"),
        (GOOD.replace("kind=self", "kind=image&url=http://nowhere"), "BAD_URL"),
        (GOOD.replace("sr=test", "sr="), "SUBREDDIT_REQUIRED"),
    ] {
        let (status, answer) = submit(&server, &bad).await.expect("an answer");
        assert_eq!((status, &answer["json"]["errors"][0][0]), (200, &json!(code)), "{bad}");
    }
    assert!(server.accepted().is_empty());
}

#[tokio::test]
async fn faults_happen_once_each_and_the_ledger_tells_the_truth() {
    let server = FakeReddit::start().await.expect("a free port");
    server.faults([Fault::CutBefore, Fault::CutAfter, Fault::UnavailableAfter, Fault::Limited]);
    server.answer(Target::List, Canned::new(418, "{}"));

    assert_eq!(submit(&server, GOOD).await, None);
    assert_eq!(server.accepted().len(), 0);
    assert_eq!(submit(&server, GOOD).await, None);
    assert_eq!(server.accepted().len(), 1);
    assert_eq!(submit(&server, GOOD).await, Some((503, Value::Null)));
    assert_eq!(server.accepted().len(), 2);
    let (_, limited) = submit(&server, GOOD).await.expect("an answer");
    assert_eq!(limited["json"]["errors"][0][0], "RATELIMIT");
    assert_eq!((server.accepted().len(), server.creates()), (2, 4));
    let list = ask(&server, "GET /user/me/submitted?raw_json=1", "tok-me", "").await;
    assert_eq!(list.expect("the test's own").0, 418);

    server.hide_for(Duration::from_secs(60));
    assert!(own(&server).await.is_empty());
}

#[tokio::test]
async fn a_community_has_rules_for_those_who_may_see_them() {
    let server = FakeReddit::start().await.expect("a free port");
    let rule = json!({ "kind": "all", "short_name": "Be kind", "priority": 0 });
    server.set_rules("Rust", json!([rule]));
    server.set_rules("hidden", Value::Null);
    let rules = async |community: &str, token: &str| {
        let what = format!("GET /r/{community}/about/rules?raw_json=1");
        ask(&server, &what, token, "").await.expect("an answer")
    };

    let (status, told) = rules("rust", "tok-me").await;

    assert_eq!((status, &told["rules"]), (200, &json!([rule])));
    assert!(told["site_rules"].is_array() && told["site_rules_flow"].is_array(), "{told}");
    assert_eq!(rules("other", "tok-me").await.1["rules"], json!([]));
    assert_eq!(rules("hidden", "tok-me").await.0, 403);
    assert_eq!(rules("rust", "other").await.0, 401);
}
