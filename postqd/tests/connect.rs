//! `postqd account connect`, at an X-shaped server, and what becomes of the account.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fake_x::{CLIENT_ID, FakeX};
use serde_json::{Value, json};
use support::{PATIENCE, Place, free_port};
use tokio::runtime::Runtime;

/// An X-shaped server with a runtime of its own.
struct Town {
    x: FakeX,
    _runtime: Runtime,
}

impl Town {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let x = runtime.block_on(FakeX::start()).unwrap();
        Self { x, _runtime: runtime }
    }
}

/// A place whose app is known at that server.
fn place(town: &Town, back: &str) -> Place {
    let place = Place::new();
    place.write(
        "postqd.toml",
        format!(
            "x_api_base_url = \"{}\"\nx_authorize_url = \"{}\"\nx_client_id = \"{CLIENT_ID}\"\n\
             x_redirect_uri = \"{back}\"\nsettle_time = \"1s\"\nrate_limit = \"off\"\n",
            town.x.base_url(),
            town.x.authorize_url(),
        ),
    );
    place
}

/// Starts to connect; answers where to agree.
fn begin(place: &Place, more: &[&str]) -> (Child, String) {
    let args = [&["account", "connect", "x", "--name", "main"], more].concat();
    let mut command = place.command(&args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        line.trim().starts_with("http://").then(|| line.trim().to_owned())
    });
    // What follows is read to its end, so that nobody waits for us.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (child, address.expect("an address"))
}

fn get(address: &str) -> String {
    let rest = address.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A person agrees: where X sends them back to.
fn agree(address: &str) -> String {
    let answer = get(address);
    let back = answer.lines().find_map(|line| line.strip_prefix("location: "));
    back.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}

fn ends_well(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn the_doctor_says_whether_accounts_can_be_connected() {
    let place = Place::new();

    place
        .run(&["doctor"])
        .exits(0)
        .tells("accounts are added by access token alone: X_CLIENT_ID is not set");
    place.write("postqd.toml", format!("x_client_id = \"{CLIENT_ID}\"\n"));
    place.run(&["doctor"]).exits(0).tells("X_REDIRECT_URI is not");
}

#[test]
fn an_account_is_connected_by_the_command_and_publishes() {
    let town = Town::new();
    let port = free_port();
    let place = place(&town, &format!("http://127.0.0.1:{port}/api/accounts/callback/x"));

    let (child, address) = begin(&place, &[]);
    assert!(get(&agree(&address)).contains("You can close this page"));

    assert!(ends_well(child).contains("connected"));
    let shown = place.run(&["account", "show", "main"]).exits(0);
    shown.tells("remote id    42");
    shown.tells("token ends");
    shown.tells(", renewed before");
    place.run(&["post", "hello", "--account", "main"]).exits(0);
    assert_eq!(town.x.ledger().accepted.len(), 1, "with the token that was given");
    let again = begin(&place, &[]);
    assert!(get(&agree(&again.1)).starts_with("HTTP/1.1 200"), "connected again");
    ends_well(again.0);
    assert_eq!(town.x.grant_calls(), 2);

    let removed = place.run(&["account", "remove", "main"]).exits(0);
    removed.tells("removed, and its credentials wiped; what it published stays");
    assert_eq!(town.x.grant_calls(), 4, "both tokens are taken back");
}

#[test]
fn a_platform_that_is_away_keeps_nobody_from_removing_an_account() {
    let town = Town::new();
    let place = place(&town, "https://postq.example.com/api/accounts/callback/x");
    let (mut child, address) = begin(&place, &["--paste"]);
    writeln!(child.stdin.take().unwrap(), "{}", agree(&address)).unwrap();
    ends_well(child);
    town.x.grant_faults([fake_x::GrantFault::Unavailable, fake_x::GrantFault::CutBefore]);

    place.run(&["account", "remove", "main"]).exits(0).tells("removed");

    place.run(&["account", "show", "main"]).exits(1);
    assert_eq!(town.x.grant_calls(), 3, "it was asked, once for each token");
    // Nor does a key that is gone.
    let (mut child, address) = begin(&place, &["--paste"]);
    writeln!(child.stdin.take().unwrap(), "{}", agree(&address)).unwrap();
    ends_well(child);
    let key = find(&place.path("."), "key").expect("a key file");
    std::fs::remove_file(key).unwrap();
    place.run(&["account", "remove", "main"]).exits(0).tells("removed");
}

#[test]
fn on_a_machine_without_a_browser_the_address_is_pasted() {
    let town = Town::new();
    let place = place(&town, "https://postq.example.com/api/accounts/callback/x");

    let (mut child, address) = begin(&place, &["--paste"]);
    writeln!(child.stdin.take().unwrap(), "{}", agree(&address)).unwrap();

    assert!(ends_well(child).contains("connected"));
    let listed = place.run(&["account", "list", "--json"]).exits(0);
    assert_eq!(listed.values()[0][0]["remote_id"], "42");
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let refused = place.run(&["account", "connect", "x", "--name", "main"]).exits(1);
    refused.tells("X_CLIENT_ID");
    place.run(&["account", "connect", "dry_run", "--name", "main"]).exits(1);
}

#[test]
fn a_daemon_that_connects_renews_and_removes_tells_no_secret() {
    const SECRET: &str = "s3cret-of-the-app";
    let town = Town::new();
    town.x.set_app("42", Some(SECRET));
    // Shorter than a token is used for: each use renews it.
    town.x.set_token_life(Duration::from_secs(30));
    // A path of its own.
    let place = place(&town, "https://postq.example.com/back-from-x");
    let set = [("LOG_LEVEL", "trace"), ("X_CLIENT_SECRET", SECRET)];
    let served = place.serve_into("log", &set);

    let begun = served.ask("POST", "/api/accounts/connect/x", "", r#"{"name":"main"}"#);
    let begun: Value = serde_json::from_str(&begun).unwrap();
    let back = agree(begun["address"].as_str().unwrap());
    let back = back.strip_prefix("https://postq.example.com").unwrap();
    assert!(back.starts_with("/back-from-x?state="), "{back}");
    let page = served.send("GET", back, "Accept: text/html\r\n", "");
    assert!(page.contains("is connected, as @42"), "{page}");
    let new = json!({"text": "hello", "accounts": ["main"], "schedule": {"kind": "now"}});
    served.ask("POST", "/api/posts", "", &new.to_string());
    let deadline = Instant::now() + PATIENCE;
    while town.x.ledger().accepted.is_empty() {
        assert!(Instant::now() < deadline, "it is not out");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(town.x.grant_calls() >= 2, "connected and renewed");
    let account = format!("/api/accounts/{}", begun["account_id"].as_str().unwrap());
    let removed = || served.send("DELETE", &account, "", "").starts_with("HTTP/1.1 204");
    while !removed() {
        assert!(Instant::now() < deadline, "its job does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    served.signal("TERM");
    served.wait().exits(0);

    let log = std::fs::read_to_string(place.path("log")).unwrap();
    assert!(log.contains("TRACE") && log.contains("token renewed"), "{} bytes", log.len());
    let state = back.split("state=").nth(1).unwrap().split('&').next().unwrap();
    for secret in [SECRET, state, "code-1", "tok-42.", "ref-42."] {
        let found = log.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{secret} is in: {}", found.unwrap_or_default());
    }
}
