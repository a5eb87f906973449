//! The API of a daemon, for what a test prepares and for what it looks up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::json;

use crate::support::Daemon;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(crate) struct Api {
    port: u16,
    token: Option<String>,
}

impl Api {
    /// The API of a daemon that has just been started; waits until it is ready.
    pub(crate) async fn of(daemon: &Daemon) -> Self {
        let api = Self { port: daemon.port, token: None };
        let begun = Instant::now();
        while api.try_send("GET", "/readyz", None).is_none_or(|(status, _)| status != 200) {
            assert!(begun.elapsed() < PATIENCE, "the daemon is not ready within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        api
    }

    /// The same, as whoever has this token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.send("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.send("POST", path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        self.send("PUT", path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Value {
        self.send("DELETE", path, None)
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.try_send(method, &format!("/api{path}"), body);
        let (status, text) = answer.unwrap_or_else(|| panic!("{method} {path}: no answer"));
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = self.token.as_ref();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            token.unwrap_or_default(),
            body.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// An account that sends nothing; answers its id.
    pub(crate) fn dry_run(&self, name: &str) -> String {
        let made = self.post("/accounts", &json!({ "platform": "dry_run", "name": name }));
        made["id"].as_str().expect("an id").to_owned()
    }

    /// An account of the X-shaped server; answers its id.
    pub(crate) fn x(&self, name: &str, user: &str) -> String {
        let token = format!("tok-{user}");
        let new = json!({ "platform": "x", "name": name, "access_token": token });
        self.post("/accounts", &new)["id"].as_str().expect("an id").to_owned()
    }
}
