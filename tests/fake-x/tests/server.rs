//! The server over a plain socket: what it answers, and what it does not.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fake_x::{Accepted, Canned, FakeX, Fault, Faults, Ledger, Options, Target};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Status and body; none if the connection was cut.
async fn ask(
    base: &str,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> Option<(u16, Value)> {
    let host = base.strip_prefix("http://")?.strip_suffix("/2")?;
    let mut stream = TcpStream::connect(host).await.expect("a connection");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
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

async fn create(x: &FakeX, token: &str, body: &str) -> Option<(u16, Value)> {
    ask(&x.base_url(), "POST", "/2/tweets", token, body).await
}

/// The status; none if the connection was cut.
async fn post(x: &FakeX, user: &str, text: &str) -> Option<u16> {
    let answer = create(x, &format!("tok-{user}"), &json!({ "text": text }).to_string()).await;
    answer.map(|(status, _)| status)
}

async fn list(x: &FakeX, user: &str, query: &str) -> (u16, Value) {
    let path = format!("/2/users/{user}/tweets?{query}");
    ask(&x.base_url(), "GET", &path, "tok-any", "").await.expect("an answer")
}

fn texts(ledger: &Ledger) -> Vec<&str> {
    ledger.accepted.iter().map(|post| post.text.as_str()).collect()
}

#[tokio::test]
async fn a_post_is_accepted_and_listed() {
    let x = FakeX::start().await.expect("a port");
    assert_eq!(post(&x, "1", "a & b https://example.com/long").await, Some(201));

    let fields = "tweet.fields=created_at,text,entities,referenced_tweets";
    let (status, page) = list(&x, "1", &format!("max_results=5&{fields}")).await;

    assert_eq!(status, 200);
    assert_eq!(page["meta"]["result_count"], 1);
    assert_eq!(page["data"][0]["id"], x.ledger().accepted[0].id);
    let link = &page["data"][0]["entities"]["urls"][0];
    assert_eq!(link["expanded_url"], "https://example.com/long");
    let text = format!("a &amp; b {}", link["url"].as_str().expect("a link"));
    assert_eq!(page["data"][0]["text"], text);
    assert_eq!((link["start"].as_u64(), link["end"].as_u64()), (Some(10), Some(text.len() as u64)));
    let (_, none) = list(&x, "2", "").await;
    assert_eq!(none, json!({ "meta": { "result_count": 0 } }));
}

#[tokio::test]
async fn replies_name_what_they_answer() {
    let x = FakeX::start().await.expect("a port");
    post(&x, "1", "one").await.expect("an answer");
    let id = x.ledger().accepted[0].id.clone();
    let reply =
        |to: &str| json!({ "text": "two", "reply": { "in_reply_to_tweet_id": to } }).to_string();

    assert_eq!(create(&x, "tok-1", &reply(&id)).await.expect("an answer").0, 201);
    assert_eq!(create(&x, "tok-1", &reply("7")).await.expect("an answer").0, 403);

    assert_eq!(x.ledger().accepted[1].reply_to.as_ref(), Some(&id));
    let (_, page) = list(&x, "1", "tweet.fields=referenced_tweets").await;
    assert_eq!(page["data"][0]["referenced_tweets"][0], json!({ "type": "replied_to", "id": id }));
}

#[tokio::test]
async fn what_x_refuses_is_refused() {
    let x = FakeX::start().await.expect("a port");
    for (token, body, status) in [
        ("other", r#"{"text":"a"}"#, 401),
        ("tok-", r#"{"text":"a"}"#, 401),
        ("tok-1", r#"{"text":"a","extra":1}"#, 400),
        ("tok-1", r#"{"text":"  "}"#, 400),
        ("tok-1", r#"{"text":7}"#, 400),
        ("tok-1", "text", 400),
    ] {
        assert_eq!(create(&x, token, body).await.expect("an answer").0, status, "{token} {body}");
    }
    // A server that stops reading may be seen as a cut.
    let huge = format!(r#"{{"text":"{}"}}"#, "x".repeat(300_000));
    assert!(create(&x, "tok-1", &huge).await.is_none_or(|(status, _)| status == 413));
    for query in [
        "max_results=4",
        "max_results=101",
        "post.fields=text",
        "tweet.fields=text,referenced_posts",
        "expansions=referenced_posts",
        "start_time=now",
        "a=b",
    ] {
        assert_eq!(list(&x, "1", query).await.0, 400, "{query}");
    }
    assert!(x.ledger().accepted.is_empty());
}

#[tokio::test]
async fn by_the_newer_names_what_a_post_answers_is_an_expansion() {
    let x = FakeX::start().await.expect("a port");
    x.set_faults("dialect=post".parse().expect("faults"));
    post(&x, "1", "one").await.expect("an answer");
    let id = x.ledger().accepted[0].id.clone();
    let reply = json!({ "text": "two", "reply": { "in_reply_to_tweet_id": id } }).to_string();
    create(&x, "tok-1", &reply).await.expect("an answer");

    let (_, page) = list(&x, "1", "post.fields=text&expansions=referenced_posts").await;
    assert_eq!(page["data"][0]["referenced_posts"], json!([{ "type": "replied_to", "id": id }]));
    let (_, without) = list(&x, "1", "post.fields=text").await;
    assert_eq!(without["data"][0].get("referenced_posts"), None);
    for query in ["post.fields=referenced_posts", "post.fields=note_tweet", "tweet.fields=text"] {
        assert_eq!(list(&x, "1", query).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn each_fault_does_what_it_says() {
    let x = FakeX::start().await.expect("a port");
    for (fault, status, accepted) in [
        (Fault::Ok, Some(201), true),
        (Fault::CutBefore, None, false),
        (Fault::CutAfter, None, true),
        (Fault::HangAfter, Some(201), true),
        (Fault::UnavailableBefore, Some(503), false),
        (Fault::UnavailableAfter, Some(503), true),
        (Fault::BadRequestAfter, Some(400), true),
        (Fault::NoData, Some(200), true),
        (Fault::LimitedUser, Some(429), false),
        (Fault::LimitedApp, Some(429), false),
        (Fault::NoCredits, Some(402), false),
        (Fault::Slow, Some(201), true),
        (Fault::Late, None, false),
    ] {
        let before = x.ledger().accepted.len();
        let wait = Duration::from_millis(50);
        x.set_faults(Faults { hang: wait, slow: wait, late: wait, ..Faults::script([fault]) });

        assert_eq!(post(&x, "1", &fault.to_string()).await, status, "{fault}");
        assert_eq!(x.ledger().accepted.len() - before, usize::from(accepted), "{fault}");
    }
    let late = async {
        while texts(&x.ledger()).last() != Some(&"late") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), late).await.expect("it lands late");
    assert_eq!(x.ledger().creates, 13);
}

#[tokio::test]
async fn chance_follows_the_seed() {
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let faults = "503_before=0.3,cut_after=0.3".parse().expect("faults");
        let options = Options { faults, seed: 7, ..Options::default() };
        let x = FakeX::start_with(options).await.expect("a port");
        let mut statuses = Vec::new();
        for n in 0..40 {
            statuses.push(post(&x, "1", &n.to_string()).await);
        }
        outcomes.push(statuses);
    }

    assert_eq!(outcomes[0], outcomes[1]);
    for outcome in [Some(201), Some(503), None] {
        assert!(outcomes[0].contains(&outcome), "{outcome:?}");
    }
}

#[tokio::test]
async fn new_posts_can_be_hidden_and_repeats_refused() {
    let x = FakeX::start().await.expect("a port");
    x.set_faults("hide=1m,duplicates=1m".parse().expect("faults"));
    assert_eq!(post(&x, "1", "a").await, Some(201));
    assert_eq!(post(&x, "1", "a").await, Some(403));
    assert_eq!(post(&x, "2", "a").await, Some(201));

    assert_eq!(list(&x, "1", "").await.1["meta"]["result_count"], 0);
    x.set_faults(Faults::default());
    assert_eq!(list(&x, "1", "").await.1["meta"]["result_count"], 1);
    assert_eq!(post(&x, "1", "a").await, Some(201));
}

#[tokio::test]
async fn pages_follow_one_another() {
    let x = FakeX::start().await.expect("a port");
    for n in 0..12 {
        post(&x, "1", &n.to_string()).await.expect("an answer");
    }

    let mut seen = Vec::new();
    let mut query = Some("max_results=5".to_owned());
    while let Some(asked) = query {
        let (_, page) = list(&x, "1", &asked).await;
        let posts = page["data"].as_array().expect("posts").iter();
        seen.extend(posts.map(|post| post["text"].as_str().expect("a text").to_owned()));
        let token = page["meta"]["next_token"].as_str();
        query = token.map(|token| format!("max_results=5&pagination_token={token}"));
    }

    assert_eq!(seen, (0..12).rev().map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_test_may_give_the_answer_itself() {
    let x = FakeX::start().await.expect("a port");
    x.answer(Target::Create, Canned::new(418, r#"{"tea":true}"#).with("x-own", "1"));

    let own = create(&x, "tok-1", r#"{"text":"a"}"#).await;
    assert_eq!(own, Some((418, json!({ "tea": true }))));
    assert_eq!(post(&x, "1", "a").await, Some(201));
    let seen = x.seen();
    assert_eq!((seen.len(), seen[0].body.as_str()), (2, r#"{"text":"a"}"#));
}

/// The benchmark of lateness has both sides on two cores: the server may cost little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_at_once_are_taken_in_quickly() {
    let x = FakeX::start().await.expect("a port");
    let base = x.base_url();
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for n in 0..500 {
        let base = base.clone();
        calls.spawn(async move {
            let body = json!({ "text": n.to_string() }).to_string();
            ask(&base, "POST", "/2/tweets", &format!("tok-{n}"), &body).await
        });
    }

    let answers = calls.join_all().await;
    let took = start.elapsed();

    assert!(answers.iter().all(|answer| answer.as_ref().is_some_and(|(status, _)| *status == 201)));
    let ledger = x.ledger();
    assert_eq!(ledger.accepted.len(), 500);
    assert!(ledger.accepted.iter().enumerate().all(|(n, post)| post.seq == n as u64));
    assert!(ledger.most_in_flight.values().all(|&most| most == 1));
    // Without optimisation and beside other tests; alone and optimised it is some 20 ms.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn the_program_writes_its_ledger_and_can_be_steered() {
    let folder = std::env::temp_dir().join(format!("fake-x-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("ledger.jsonl");
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-x"))
        .args(["--faults", "script=cut_after", "--seed", "3", "--ledger"])
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut base = String::new();
    let output = program.stdout.take().expect("its output");
    BufReader::new(output).read_line(&mut base).expect("a line");
    let base = base.trim();

    let cut = ask(base, "POST", "/2/tweets", "tok-1", r#"{"text":"one"}"#).await;
    let steered = ask(base, "POST", "/_faults", "", "script=503_before").await;
    let refused = ask(base, "POST", "/_faults", "", "boom=1").await;
    let busy = ask(base, "POST", "/2/tweets", "tok-1", r#"{"text":"two"}"#).await;
    let ledger = ask(base, "GET", "/_ledger", "", "").await;
    program.kill().expect("it can be killed");
    program.wait().expect("it ends");
    let written = std::fs::read_to_string(&file).expect("the ledger");
    std::fs::remove_dir_all(&folder).expect("the folder goes");

    assert_eq!(cut, None);
    assert_eq!(steered.map(|(status, _)| status), Some(200));
    assert_eq!(refused.map(|(status, _)| status), Some(400));
    assert_eq!(busy.map(|(status, _)| status), Some(503));
    let ledger: Ledger = serde_json::from_value(ledger.expect("an answer").1).expect("a ledger");
    assert_eq!((texts(&ledger), ledger.creates), (vec!["one"], 2));
    let lines: Vec<Accepted> =
        written.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines, ledger.accepted);
}
