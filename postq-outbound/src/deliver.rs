//! Bringing webhooks to their endpoints: one guarded, signed `POST` each.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use postq_core::courier::{Courier, Dispatch, Reply};
use postq_core::error::chain;
use postq_core::failure::{Failure, FailureClass};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::ExposeSecret;

use crate::call::{Answer, Call, NoAnswer, Outbound};
use crate::signing::{ID, SIGNATURE, SigningKey, TIMESTAMP};

/// The longest that a delivery may take.
const WITHIN: Duration = Duration::from_secs(15);

/// So much of an answer is read, in bytes ...
const MOST_READ: usize = 4 * 1_024;

/// ... and so much is kept, in characters.
const MOST_KEPT: usize = 200;

/// Brings webhooks to where the guard lets them.
#[derive(Clone, Debug)]
pub struct HttpCourier {
    outbound: Outbound,
    within: Duration,
}

impl HttpCourier {
    /// One that calls by these rules.
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, within: WITHIN }
    }

    /// How long a delivery may take. Defaults to 15 s.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    fn call(&self, url: Url, dispatch: &Dispatch<'_>) -> Result<Call, Failure> {
        let mut signatures = Vec::with_capacity(dispatch.secrets.len());
        for secret in dispatch.secrets {
            let key: SigningKey = secret.expose_secret().parse().map_err(|error| ours(&error))?;
            signatures.push(key.sign(dispatch.id, dispatch.at, dispatch.body.as_bytes()));
        }
        let own = [
            (ID, dispatch.id.to_owned()),
            (TIMESTAMP, dispatch.at.timestamp().to_string()),
            (SIGNATURE, signatures.join(" ")),
        ];
        let mut call = Call::post(url, dispatch.body.as_bytes().to_vec())
            .within(self.within)
            .at_most(MOST_READ)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in own {
            let value = HeaderValue::try_from(value).map_err(|error| ours(&error))?;
            call = call.header(HeaderName::from_static(name), value);
        }
        Ok(call)
    }
}

#[async_trait]
impl Courier for HttpCourier {
    fn problem(&self, url: &str) -> Option<String> {
        self.outbound.check(url).err().map(|refused| chain(&refused))
    }

    async fn deliver<'a>(&self, dispatch: Dispatch<'a>) -> Result<Reply, Failure> {
        // Not a fault of the content: what is allowed may be changed, and the delivery waits for that.
        let refused =
            |error: &NoAnswer| Failure::not_published(FailureClass::Network, chain(error));
        let url = self.outbound.check(dispatch.url).map_err(|error| refused(&error.into()))?;
        let call = self.call(url.clone(), &dispatch)?;
        let answer = self.outbound.call(call).await.map_err(|error| refused(&error))?;
        Ok(Reply {
            status: answer.status.as_u16(),
            retry_after: retry_after(&answer, dispatch.at),
            text: kept(&answer.body, &url),
        })
    }
}

/// The wait that an answer asks for: seconds, or a date.
fn retry_after(answer: &Answer, now: DateTime<Utc>) -> Option<Duration> {
    let text = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text).ok()?;
            Some((at.to_utc() - now).to_std().unwrap_or_default())
        }
    }
}

/// How a body begins, in one line: without what the URL may hold of its receiver's secrets.
fn kept(body: &[u8], url: &Url) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for secret in [url.query().unwrap_or_default(), url.path()] {
        if secret.len() > 1 {
            text = text.replace(secret, "[...]");
        }
    }
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").chars().take(MOST_KEPT).collect()
}

fn ours(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::not_published(FailureClass::Internal, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_short_and_tells_no_path() {
        let url: Url = "https://hooks.example.com/T0/secret?key=hidden".parse().unwrap();
        let body = format!("<p>\n no /T0/secret\r\n\0 with key=hidden {}", "x".repeat(500));

        let kept = kept(body.as_bytes(), &url);

        assert!(kept.starts_with("<p> no [...] with [...] xxx"), "{kept}");
        assert_eq!(kept.chars().count(), MOST_KEPT);
    }
}
