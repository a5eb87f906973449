//! The courier: brings a webhook to its endpoint.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;

use crate::failure::Failure;

/// One request to an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch<'a> {
    /// Where it goes.
    pub url: &'a str,
    /// What it is known by: the same whenever the same event is sent again.
    pub id: &'a str,
    /// When it is sent.
    pub at: DateTime<Utc>,
    /// What it says.
    pub body: &'a str,
    /// What signs it: each `whsec_` and base64. Every one makes a signature.
    pub secrets: &'a [SecretString],
}

/// What the endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The wait that it asks for.
    pub retry_after: Option<Duration>,
    /// How its body begins, in one line and cut short, for a person.
    pub text: String,
}

impl Reply {
    /// Whether it took the event.
    pub fn is_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Brings webhooks to endpoints, signed as Standard Webhooks are.
///
/// # Contract
///
/// 1. One request per call; a redirect is an answer as any other.
/// 2. Bounded in time and in what it reads, whatever the endpoint does.
/// 3. A failure says that there was no answer and why, and names no secret: neither the signing one nor
///    one that is part of the URL.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Courier: fmt::Debug + Send + Sync + 'static {
    /// What is wrong with a URL, as far as that can be told without asking anybody.
    fn problem(&self, url: &str) -> Option<String>;

    /// Sends one request.
    async fn deliver<'a>(&self, dispatch: Dispatch<'a>) -> Result<Reply, Failure>;
}

const _OBJECT_SAFE: fn(&dyn Courier) = |_| {};
