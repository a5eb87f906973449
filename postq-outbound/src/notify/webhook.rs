//! Notices as JSON, signed as Standard Webhooks are.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::SecondsFormat;
use postq_core::clock::Clock;
use postq_core::error::{ErrorKind, NotifyError};
use postq_core::id::JobId;
use postq_core::notifier::{Notice, Notifier};
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde_json::json;

use super::{Own, Place, failed};
use crate::call::Outbound;
use crate::guard::Refused;
use crate::header::{HeaderName, HeaderValue};
use crate::signing::{ID, SIGNATURE, SigningKey, TIMESTAMP};

/// The channel `webhook`: posts each notice as JSON.
///
/// ```json
/// {"type": "notice.job_dead", "timestamp": "2026-03-08T09:00:00Z", "data": {
///   "message": "...", "job": "...", "account": "...", "account_name": "main", "platform": "x",
///   "text": "ready to be posted by hand", "link": "https://...", "command": "postqd dead show ..."}}
/// ```
#[derive(Debug)]
pub struct Webhook {
    own: Own,
    key: Option<SigningKey>,
    place: Place,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// Posts to this URL; with a key, signed.
    ///
    /// # Errors
    ///
    /// A URL that cannot be called.
    pub fn new(
        outbound: Outbound,
        url: &SecretString,
        key: Option<SigningKey>,
        place: Place,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Refused> {
        Ok(Self { own: Own::new(outbound, url)?, key, place, clock })
    }
}

#[async_trait]
impl Notifier for Webhook {
    fn channel(&self) -> &str {
        "webhook"
    }

    async fn notify(&self, id: JobId, notice: &Notice) -> Result<(), NotifyError> {
        let now = self.clock.now();
        let body = json!({
            "type": format!("notice.{}", notice.kind.as_str()),
            "timestamp": now.to_rfc3339_opts(SecondsFormat::Secs, true),
            "data": {
                "message": notice.message,
                "job": notice.job,
                "account": notice.account,
                "account_name": notice.account_name,
                "platform": notice.platform,
                "text": notice.text,
                "link": self.place.link(notice),
                "command": Place::command(notice),
            },
        });
        let (id, body) = (id.to_string(), body.to_string().into_bytes());
        let mut headers = vec![
            (CONTENT_TYPE, "application/json".to_owned()),
            (HeaderName::from_static(TIMESTAMP), now.timestamp().to_string()),
        ];
        if let Some(key) = &self.key {
            headers.push((HeaderName::from_static(SIGNATURE), key.sign(&id, now, &body)));
        }
        headers.push((HeaderName::from_static(ID), id));
        let headers: Result<Vec<_>, _> = headers
            .into_iter()
            .map(|(name, value)| Ok((name, HeaderValue::try_from(value)?)))
            .collect();
        let headers = headers.map_err(|error: reqwest::header::InvalidHeaderValue| {
            failed(ErrorKind::Internal, format!("sign the notice: {error}"))
        })?;
        self.own.post(body, headers).await
    }
}
