//! `postqd account connect`, at an X-shaped server, and what becomes of the account.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use fake_x::{CLIENT_ID, FakeX};
use support::{Place, free_port};
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

fn ends_well(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    told
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
    place.run(&["post", "hello", "--account", "main"]).exits(0);
    assert_eq!(town.x.ledger().accepted.len(), 1, "with the token that was given");
    let again = begin(&place, &[]);
    assert!(get(&agree(&again.1)).starts_with("HTTP/1.1 200"), "connected again");
    ends_well(again.0);
    assert_eq!(town.x.grant_calls(), 2);
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
