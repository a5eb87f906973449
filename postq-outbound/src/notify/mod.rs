//! Telling a person: by webhook, chat and mail. The log is `postq-core`'s.
//!
//! The URLs here are the operator's own, so an [`Outbound`] that refuses no address
//! ([`AllowList::everything`](crate::AllowList::everything)) is what they are called by; but nothing is
//! followed, and waits and answers have bounds.

mod mail;
mod message;
mod slack;
mod smtp;
mod webhook;

use std::time::Duration;

use postq_core::error::{ErrorKind, NotifyError};
use secrecy::{ExposeSecret, SecretString};

use crate::call::{Answer, Call, NoAnswer, Outbound};
use crate::guard::Refused;
use crate::header::{HeaderName, HeaderValue};

pub use self::mail::{Mail, MailError};
pub use self::message::{Place, PlaceError};
pub use self::slack::Slack;
pub use self::webhook::Webhook;

/// How long a channel may take to answer.
const WITHIN: Duration = Duration::from_secs(15);
/// How much of its answer is read.
const AT_MOST: usize = 4 * 1_024;

/// A URL that the operator has set, and what calls it.
#[derive(Debug)]
struct Own {
    outbound: Outbound,
    /// A secret: whoever has it can post.
    url: SecretString,
}

impl Own {
    fn new(outbound: Outbound, url: &SecretString) -> Result<Self, Refused> {
        outbound.check(url.expose_secret())?;
        Ok(Self { outbound, url: url.clone() })
    }

    async fn post(
        &self,
        body: Vec<u8>,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<(), NotifyError> {
        let url = self.outbound.check(self.url.expose_secret());
        let url = url.map_err(|error| failed(ErrorKind::Invalid, error.to_string()))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut call = Call::post(url, body).within(WITHIN).at_most(AT_MOST);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        match self.outbound.call(call).await {
            Ok(answer) => accepted(&host, &answer),
            Err(NoAnswer::Refused(refused)) => Err(failed(ErrorKind::Invalid, refused.to_string())),
            Err(error) => Err(failed(ErrorKind::Unavailable, error.to_string())),
        }
    }
}

/// Whether it took the notice; where not, whether trying again could help.
fn accepted(host: &str, answer: &Answer) -> Result<(), NotifyError> {
    let status = answer.status;
    let kind = match status.as_u16() {
        200..=299 => return Ok(()),
        408 | 425 | 429 | 500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    };
    let remedy = match status.as_u16() {
        300..=399 => "; set the URL that it leads to",
        404 | 410 => "; the URL is not known there, set a new one",
        401 | 403 => "; the URL or the secret is refused, set a new one",
        _ => "",
    };
    Err(failed(kind, format!("\"{host}\" answered {}{remedy}", status.as_u16())))
}

fn failed(kind: ErrorKind, action: String) -> NotifyError {
    NotifyError::new(kind, action)
}
