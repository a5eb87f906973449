//! Webhooks by the command line, from the outside.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use support::{PATIENCE, Place};

/// Takes everything, and hands over each request as it came.
fn receiver() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (came, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut text) = (stream.unwrap(), String::new());
            let mut bytes = [0; 4_096];
            let is_whole = |text: &str| {
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.to_lowercase().split_once("content-length: ")?.1.to_owned();
                let length: usize = length.lines().next()?.parse().ok()?;
                (body.len() >= length).then_some(())
            };
            while is_whole(&text).is_none() {
                let read = stream.read(&mut bytes).unwrap();
                if read == 0 {
                    break;
                }
                text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
            let answer = "HTTP/1.1 204 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            if came.send(text).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

#[test]
fn an_endpoint_is_added_told_and_taken_away() {
    let place = Place::new();
    let (url, requests) = receiver();
    place.run(&["webhook", "add", &url]).exits(1).tells("POSTQ_OUTBOUND_ALLOW");
    place.write("postqd.toml", "outbound_allow = \"127.0.0.1\"\n");
    let made = place.run(&["webhook", "add", &url, "--event", "job.succeeded"]).exits(0);
    made.tells("shown this once");
    let secret = made.out.trim().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    place.run(&["webhook", "add", &url, "--event", "job.done"]).exits(2).tells("is no event");
    let listed = place.run(&["webhook", "list", "--json"]).exits(0).values()[0][0].clone();
    let id = listed["id"].as_str().unwrap();
    assert_eq!(listed["events"], serde_json::json!(["job.succeeded"]));

    place.run(&["webhook", "test", id]).exits(0).tells("it answered 204");
    let ping = requests.recv_timeout(PATIENCE).unwrap();
    assert!(
        ping.contains("\"type\":\"ping\"") && ping.contains("webhook-signature: v1,"),
        "{ping}"
    );

    place.run(&["account", "add", "dry_run", "--name", "acme"]).exits(0);
    let served = place.serve();
    place.run(&["post", "hello secret-text", "--account", "acme", "--no-wait"]).exits(0);
    let told = requests.recv_timeout(PATIENCE).unwrap();
    assert!(told.contains("\"type\":\"job.succeeded\"") && !told.contains("secret-text"), "{told}");
    let deliveries = || {
        let listed = place.run(&["webhook", "deliveries", id, "--json"]).exits(0);
        listed.values()[0].as_array().unwrap().clone()
    };
    let begun = std::time::Instant::now();
    while deliveries()[0]["state"] != "succeeded" {
        assert!(begun.elapsed() < PATIENCE, "{:?}", deliveries());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let delivery = deliveries()[0]["id"].as_str().unwrap().to_owned();
    place.run(&["webhook", "resend", id, &delivery]).exits(0).tells("due now");
    let again = requests.recv_timeout(PATIENCE).unwrap();
    let message = deliveries()[0]["message_id"].as_str().unwrap().to_owned();
    assert!(told.contains(&message) && again.contains(&message), "the same event");

    place.run(&["webhook", "pause", id, "--note", "maintenance"]).exits(0).tells("maintenance");
    place.run(&["webhook", "show", id]).exits(0).tells("paused since");
    place.run(&["webhook", "resume", id]).exits(0).tells(": told");
    place.run(&["webhook", "edit", id]).exits(2).tells("nothing to change");
    place.run(&["webhook", "edit", id, "--all-events"]).exits(0).tells("everything");
    let rotated = place.run(&["webhook", "rotate", id]).exits(0);
    assert!(rotated.out.starts_with("whsec_") && rotated.out.trim() != secret);
    place.run(&["webhook", "remove", id]).exits(0).tells("taken away");
    place.run(&["webhook", "show", id]).exits(1).tells("there is no webhook");
    served.signal("TERM");
    let ended = served.wait().exits(0);
    assert!(!ended.err.contains(&secret) && !ended.err.contains("secret-text"), "{}", ended.err);
}

#[test]
fn a_secret_whose_key_is_gone_is_told_and_replaced() {
    let place = Place::new();
    let (url, requests) = receiver();
    place.write("postqd.toml", "outbound_allow = \"127.0.0.1\"\n");
    place.run(&["webhook", "add", &url]).exits(0);
    let listed = place.run(&["webhook", "list", "--json"]).exits(0).values()[0][0].clone();
    let id = listed["id"].as_str().unwrap();
    let key = place.path("postq-data/key");
    std::fs::remove_file(&key).unwrap();

    let gone = format!("is gone, and the secrets of webhook {id} are sealed with it; restore it");
    place.run(&["serve"]).exits(1).tells(&gone);
    place.run(&["webhook", "list"]).exits(1).tells(&gone);
    place.run(&["doctor"]).exits(1).tells(&gone);
    assert!(!key.exists(), "no new key is made in its place");
    let other = ("POSTQ_ENCRYPTION_KEY", "00".repeat(32));
    let with_other = |args: &[&str]| place.run_with(other.0, &other.1, args);
    with_other(&["serve"]).exits(1).tells("postqd webhook rotate ID");
    with_other(&["webhook", "rotate", id]).exits(0);

    with_other(&["webhook", "test", id]).exits(0).tells("it answered 204");
    let ping = requests.recv_timeout(PATIENCE).unwrap();
    let signatures = ping.lines().find(|line| line.starts_with("webhook-signature: ")).unwrap();
    assert_eq!(signatures.matches("v1,").count(), 1, "the old secret opens no more: {signatures}");
    let served = place.serve_with(&[(other.0, &other.1)]);
    served.signal("TERM");
    served.wait().exits(0);
}
