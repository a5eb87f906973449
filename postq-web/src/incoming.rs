//! What platforms send by themselves: what the router must be told to take it.

use std::fmt;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use postq_core::platform::PlatformName;

/// Takes what a platform sends by itself, at `/api/incoming/` and its name. No token is asked for there:
/// the platform's signature is the proof.
pub trait Incoming: fmt::Debug + Send + Sync + 'static {
    /// Whose it is.
    fn platform(&self) -> &PlatformName;

    /// The answer, a JSON value, that proves to the platform that this is its receiver; none if the query
    /// asks for no proof.
    fn challenge(&self, query: &str) -> Option<serde_json::Value>;

    /// What happened, as far as it is understood; none if the platform has not surely signed the body.
    fn events(&self, headers: &HeaderMap, body: &[u8]) -> Option<Vec<IncomingEvent>>;
}

/// Something that happened on a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingEvent {
    /// Tells it from all others of its kind: it may be sent again.
    pub id: String,
    /// What, in the platform's words.
    pub kind: String,
    /// The platform's id of the user to whom it happened.
    pub user: Option<String>,
    /// The platform's id of the post that it is about.
    pub post: Option<String>,
    /// When, where the platform says so.
    pub at: Option<DateTime<Utc>>,
}
