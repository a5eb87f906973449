//! Tokens and the API of the binary, from the outside.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::{PATIENCE, Place, free_port};

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(address: &str, path: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let authorization = authorization.unwrap_or_default();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    ask(address, &format!("{head}{authorization}\r\n"))
}

#[test]
fn a_token_is_made_used_and_revoked_while_the_daemon_runs() {
    let place = Place::new();
    let served = place.serve();
    assert!(
        get(&served.listen, "/api/posts", None).starts_with("HTTP/1.1 200"),
        "loopback is open"
    );

    let made = place.run(&["token", "create", "--scope", "read", "--name", "ci"]).exits(0);
    let token = made.out.trim().to_owned();
    assert!(token.starts_with("postq_") && !token.contains(char::is_whitespace), "{token}");
    made.tells("shown this once");

    assert!(get(&served.listen, "/api/posts", None).starts_with("HTTP/1.1 401"));
    assert!(get(&served.listen, "/api/posts", Some(&token)).starts_with("HTTP/1.1 200"));
    assert!(get(&served.listen, "/api/tokens", Some(&token)).starts_with("HTTP/1.1 403"));
    let listed = place.run(&["token", "list", "--json"]).exits(0);
    let listed = listed.values()[0][0].clone();
    assert_eq!((&listed["name"], &listed["scope"]), (&"ci".into(), &"read".into()));
    assert!(listed["used_at"].is_string() && listed["revoked_at"].is_null(), "{listed}");

    let id = listed["id"].as_str().unwrap();
    place.run(&["token", "revoke", id]).exits(0).tells("revoked, for good");
    assert!(get(&served.listen, "/api/posts", Some(&token)).starts_with("HTTP/1.1 401"));
    place.run(&["token", "revoke", "0191e0f0-0000-7000-8000-000000000000"]).exits(1);
    place.run(&["token", "create", "--scope", "root"]).exits(2).tells("read, write or admin");
    served.signal("TERM");
    let ended = served.wait().exits(0);
    assert!(!ended.out.contains(&token) && !ended.err.contains(&token), "no token in a log");
}

#[test]
fn beyond_loopback_it_needs_a_token() {
    let place = Place::new();
    let listen = format!("0.0.0.0:{}", free_port());

    let refused = place.run_with("POSTQ_LISTEN", &listen, &["serve"]).exits(2);

    refused.tells("postqd token create");
}
