//! An open stream of events.

use std::net::SocketAddr;

use reqwest::{Client, Response};
use serde_json::Value;

use super::PATIENCE;

/// A client of `/api/events`.
pub(crate) struct Listener {
    response: Response,
    text: String,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Listener {
    pub(crate) async fn open(client: &Client, server: SocketAddr, last: Option<&str>) -> Self {
        let mut request = client.get(format!("http://{server}/api/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(
            response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream")
        );
        Self { response, text: String::new() }
    }

    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.told().await?;
            // Else a sign of life.
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    /// The next thing that it is told, an event or not; none when the stream has ended.
    pub(crate) async fn told(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim().to_owned()).unwrap_or_default()
                };
                let event = Event {
                    id: field("id:"),
                    name: field("event:"),
                    data: serde_json::from_str(&field("data:")).unwrap_or(Value::Null),
                };
                self.text = rest.to_owned();
                return Some(event);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }
}
