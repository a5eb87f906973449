//! What X sends by itself, for the API.

use axum::http::HeaderMap;
use postq_core::platform::PlatformName;
use postq_web::{Incoming, IncomingEvent};
use postq_x::{Happened, WebhookSecret};
use reqwest::Url;
use secrecy::SecretString;
use serde_json::{Value, json};

/// X's webhooks.
#[derive(Debug)]
pub(crate) struct FromX {
    name: PlatformName,
    secret: WebhookSecret,
}

impl FromX {
    pub(crate) fn new(name: PlatformName, secret: SecretString) -> Self {
        Self { name, secret: WebhookSecret::new(secret) }
    }
}

impl Incoming for FromX {
    fn platform(&self) -> &PlatformName {
        &self.name
    }

    fn challenge(&self, query: &str) -> Option<Value> {
        let mut url = Url::parse("http://localhost/").expect("a URL");
        url.set_query(Some(query));
        let (_, token) = url.query_pairs().find(|(key, _)| key == "crc_token")?;
        Some(json!({ "response_token": self.secret.challenge(&token)? }))
    }

    fn events(&self, headers: &HeaderMap, body: &[u8]) -> Option<Vec<IncomingEvent>> {
        let header = headers.get(WebhookSecret::HEADER).and_then(|value| value.to_str().ok());
        if !header.is_some_and(|header| self.secret.has_signed(header, body)) {
            return None;
        }
        // What X has signed and nobody here understands would only be sent again if it were refused.
        let events = postq_x::events(body).unwrap_or_default();
        let told =
            |Happened { id, kind, user, post, at }| IncomingEvent { id, kind, user, post, at };
        Some(events.into_iter().map(told).collect())
    }
}
