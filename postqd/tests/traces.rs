//! Traces that are exported, seen by what receives them.

#![cfg(feature = "otel")]
#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use support::{PATIENCE, Place};

/// An export: the path it was sent to, and what was sent.
type Export = (String, Vec<u8>);

/// Takes exports and answers that all is well.
fn receiver() -> (String, Receiver<Export>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, exports) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, sender) = (stream.unwrap(), sender.clone());
            std::thread::spawn(move || take(&stream, &sender));
        }
    });
    (address, exports)
}

/// Reads requests of one connection until it ends.
fn take(mut stream: &TcpStream, sender: &Sender<Export>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).ok()?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let path = first.split(' ').nth(1)?.to_owned();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
        sender.send((path, body)).ok()?;
    }
}

fn has(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

/// Gathers exports until all of these are in one of them.
fn until(exports: &Receiver<Export>, seen: &mut Vec<u8>, parts: &[&[u8]]) {
    let deadline = Instant::now() + PATIENCE;
    while !parts.iter().all(|part| has(seen, part)) {
        let left = deadline.saturating_duration_since(Instant::now());
        let (path, body) = exports.recv_timeout(left).expect("the spans are exported");
        assert_eq!(path, "/v1/traces");
        seen.extend(body);
    }
}

#[test]
fn requests_and_attempts_are_exported_and_a_callers_trace_goes_on() {
    let place = Place::new();
    let (address, exports) = receiver();
    // The level of the log is no matter of the traces.
    let served =
        place.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address), ("LOG_LEVEL", "off")]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let caller = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let new =
        r#"{"text": "a quiet word", "accounts": ["dry_run:acme"], "schedule": {"kind": "now"}}"#;

    served.ask("POST", "/api/posts", &caller, new);

    let trace_bytes: Vec<u8> =
        (0..16).map(|at| u8::from_str_radix(&trace[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut seen = Vec::new();
    let parts: [&[u8]; 6] =
        [b"postqd", b"request", b"/api/posts", &trace_bytes, b"attempt", b"published"];
    until(&exports, &mut seen, &parts);
    assert!(!has(&seen, b"a quiet word"), "no text of a post is exported");
}

#[test]
fn the_last_spans_are_exported_at_the_end_and_a_receiver_that_is_away_delays_nothing() {
    let place = Place::new();
    let (address, exports) = receiver();
    let served = place.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]);
    served.ask("GET", "/api/about", "x-correlation-id: the-very-last\r\n", "");
    served.signal("TERM");
    served.wait().exits(0);
    until(&exports, &mut Vec::new(), &[b"the-very-last"]);

    let away = format!("http://127.0.0.1:{}", support::free_port());
    let served = place.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &away)]);
    let new = r#"{"text": "hello", "accounts": ["dry_run:acme"], "schedule": {"kind": "now"}}"#;
    served.ask("POST", "/api/posts", "", new);
    let begun = Instant::now();
    served.signal("TERM");
    served.wait().exits(0);
    assert!(begun.elapsed().as_secs() < 15, "it ended after {:?}", begun.elapsed());
}

#[test]
fn an_endpoint_that_is_no_url_is_refused() {
    let place = Place::new();

    let ended = place.run_with("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318", &["post", "list"]);

    ended.exits(2).tells("otlp_endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): expected a URL");
}
