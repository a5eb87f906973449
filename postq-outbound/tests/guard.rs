//! The guard, against real servers on this host: what it refuses is not even connected to.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use postq_outbound::header::{AUTHORIZATION, HeaderValue};
use postq_outbound::{AllowList, Call, Lookup, NoAnswer, Outbound};

use support::Server;

/// Of the open internet by its range, and nobody's.
const NOBODY: &str = "2000::1";

/// Answers with one list of addresses after another; the last one stays.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let answers = Mutex::new(answers.iter().map(parse).collect());
        Arc::new(Self { answers, asked: Mutex::default() })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Lookup for Scripted {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let next = answers.front().cloned().unwrap();
        if answers.len() > 1 {
            answers.pop_front();
        }
        Ok(next)
    }
}

fn outbound(allow: &str) -> Outbound {
    Outbound::new(allow.parse().unwrap()).unwrap()
}

async fn get(outbound: &Outbound, url: &str) -> Result<postq_outbound::Answer, NoAnswer> {
    let url = url.parse().unwrap();
    outbound.call(Call::get(url).within(Duration::from_secs(5))).await
}

fn is_refused(answer: &Result<postq_outbound::Answer, NoAnswer>) -> bool {
    matches!(answer, Err(NoAnswer::Refused(_)))
}

#[tokio::test]
async fn this_host_is_reached_only_where_it_is_allowed() {
    let server = Server::start("ok").await;
    let port = server.port();
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0177.0.0.01:{port}/"),
        format!("http://0:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
    ];

    for url in &urls {
        let answer = get(&outbound(""), url).await;
        assert!(is_refused(&answer), "{url}: {answer:?}");
        assert!(is_refused(&get(&outbound("other.lan, 10.0.0.0/8, 127.0.0.1:1"), url).await));
    }
    assert_eq!(server.requests().len(), 0, "nothing was even connected to");
    for (allow, url) in [
        ("127.0.0.1".to_owned(), &urls[0]),
        (format!("127.0.0.1:{port}"), &urls[1]),
        ("127.0.0.0/8".to_owned(), &urls[2]),
        ("127.0.0.0/8".to_owned(), &urls[5]),
        ("localhost".to_owned(), &urls[6]),
        (format!("LOCALHOST:{port}"), &urls[6]),
        ("127.0.0.0/8".to_owned(), &urls[6]),
    ] {
        let answer = get(&outbound(&allow), url).await.expect(url);
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, &b"ok"[..]), "{allow}");
    }
    let everything = Outbound::new(AllowList::everything()).unwrap();
    assert!(get(&everything, &urls[0]).await.is_ok());
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_named() {
    let server = Server::start("ok").await;
    let lookup = Scripted::new(&[&["127.0.0.1", "10.0.0.1", "fd00:ec2::254"]]);
    let outbound = Outbound::with_lookup(AllowList::default(), lookup).unwrap();

    let url = format!("http://inside.example.com:{}/path?token=s3cret", server.port());
    let error = get(&outbound, &url).await.expect_err("refused").to_string();

    assert!(error.contains("inside.example.com") && error.contains("a loopback"), "{error}");
    assert!(!error.contains("s3cret") && !error.contains("/path"), "{error}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let server = Server::start("ok").await;
    // Open for the check, inside for whoever would look it up again.
    let lookup = Scripted::new(&[&[NOBODY], &["127.0.0.1"]]);
    let outbound =
        Outbound::with_lookup(AllowList::default(), Arc::clone(&lookup) as Arc<dyn Lookup>);
    let outbound = outbound.unwrap();
    let url: postq_outbound::Url =
        format!("http://rebinds.example.com:{}/", server.port()).parse().unwrap();
    let quick = || Call::get(url.clone()).within(Duration::from_millis(500));

    let first = outbound.call(quick()).await;
    assert!(matches!(first, Err(NoAnswer::NeverSent(_) | NoAnswer::Lost(_))), "{first:?}");
    assert_eq!(lookup.asked(), 1, "checked and connected to by one look");
    let second = outbound.call(quick()).await;

    assert!(is_refused(&second), "{second:?}");
    assert_eq!(lookup.asked(), 2);
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn of_a_mixed_answer_only_the_open_part_is_tried() {
    let server = Server::start("ok").await;
    let lookup = Scripted::new(&[&["127.0.0.1", NOBODY]]);
    let outbound = Outbound::with_lookup(AllowList::default(), lookup).unwrap();
    let url = format!("http://mixed.example.com:{}/", server.port()).parse().unwrap();

    let answer = outbound.call(Call::get(url).within(Duration::from_millis(500))).await;

    assert!(answer.is_err() && !is_refused(&answer), "{answer:?}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_redirect_goes_through_the_guard() {
    let inside = Server::start("inside").await;
    let inner = inside.port();
    for location in [
        format!("http://127.0.0.1:{inner}/"),
        format!("http://localhost:{inner}/"),
        format!("http://2130706433:{inner}/"),
        format!("//[::1]:{inner}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        format!("http://me:pw@127.0.0.1:{inner}/"),
    ] {
        let server = Server::redirecting(&[("/", &location)]).await;
        let allow = format!("127.0.0.1:{}", server.port());

        let answer = get(&outbound(&allow), &server.url("/")).await;

        assert!(is_refused(&answer), "{location}: {answer:?}");
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(inside.requests().len(), 0);
}

#[tokio::test]
async fn redirects_are_followed_within_bounds() {
    let good = Server::redirecting(&[("/a", "/b"), ("/b", "c?d=e")]).await;
    let endless = Server::redirecting(&[("/", "/")]).await;
    let other = Server::start("other").await;
    let away = Server::redirecting(&[("/", &other.url("/x"))]).await;
    let all = outbound("127.0.0.0/8");
    let secret = HeaderValue::from_static("Bearer s3cret");
    let call = |url: String| Call::get(url.parse().unwrap()).header(AUTHORIZATION, secret.clone());

    let answer = all.call(call(good.url("/a"))).await.unwrap();
    let looped = all.call(call(endless.url("/"))).await.unwrap();
    let moved = all.call(call(away.url("/"))).await.unwrap();
    let posted = all.call(Call::post(away.url("/").parse().unwrap(), b"x".to_vec())).await.unwrap();

    assert_eq!(answer.status, 200);
    let paths: Vec<_> = good.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/a", "/b", "/c?d=e"]);
    assert!(good.requests().iter().all(|request| request.has("authorization", "Bearer s3cret")));
    assert_eq!((looped.status.as_u16(), endless.requests().len()), (302, 4));
    assert_eq!((moved.status.as_u16(), other.requests().len()), (200, 1));
    assert!(!other.requests()[0].has("authorization", "Bearer s3cret"), "meant for the first one");
    assert_eq!(posted.status, 302, "what is posted is not sent on");
}

#[tokio::test]
async fn answers_and_waits_have_bounds() {
    let large = Server::start(&"x".repeat(100_000)).await;
    let silent = Server::silent().await;
    let outbound = outbound("127.0.0.0/8");
    let call = |url: String| Call::get(url.parse().unwrap()).within(Duration::from_millis(300));

    let cut = outbound.call(call(large.url("/")).at_most(1_000)).await.unwrap();
    let whole = outbound.call(call(large.url("/")).at_most(100_000)).await.unwrap();
    let late = outbound.call(call(silent.url("/?token=s3cret"))).await.expect_err("no answer");
    let nobody = outbound.call(call("http://127.0.0.1:1/?token=s3cret".to_owned())).await;

    assert_eq!((cut.body.len(), cut.whole), (1_000, false));
    assert_eq!((whole.body.len(), whole.whole), (100_000, true));
    assert!(matches!(late, NoAnswer::Lost(_)) && !late.to_string().contains("s3cret"), "{late}");
    let nobody = nobody.expect_err("nobody listens");
    assert!(matches!(nobody, NoAnswer::NeverSent(_)), "{nobody}");
    assert!(!nobody.to_string().contains("s3cret"), "{nobody}");
}

/// Run by the test below, in a process of its own.
#[tokio::test]
#[ignore = "run by no_proxy_of_the_environment_is_used"]
async fn asks_this_host() {
    let answer = get(&outbound("127.0.0.1"), "http://127.0.0.1:1/").await;

    assert!(matches!(answer, Err(NoAnswer::NeverSent(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_of_the_environment_is_used() {
    let proxy = Server::start("by way of the proxy").await;
    let url = proxy.url("/");
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "asks_this_host", "--ignored"]);
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env(name, &url);
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap()
    });
    let ran = ran.await.unwrap();

    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"));
    assert_eq!(proxy.requests().len(), 0);
}
