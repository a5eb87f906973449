//! Webhooks: who is told over HTTP of what happens.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::id::{AccountId, TenantId, WebhookId};
use crate::job::{Applied, Lane};
use crate::store::Edited;
use crate::vault::Sealed;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What an endpoint can be told of.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

events! {
    /// A job did what it was made for: a post is out.
    JobSucceeded = "job.succeeded";
    /// A job gave up.
    JobDead = "job.dead";
    /// A job gave up: something may be out, and the platform cannot tell.
    JobOutcomeUnknown = "job.outcome_unknown";
    /// A job was too late, and its misfire policy skips it.
    JobMissed = "job.missed";
    /// An account stands still until a person connects it again.
    AccountNeedsAttention = "account.needs_attention";
    /// Nothing happened: somebody tries the endpoint.
    Ping = "ping";
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no event; there are {all}", all = EventKind::words())]
pub struct UnknownEvent(String);

impl EventKind {
    fn words() -> String {
        let words: Vec<&str> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
        words.join(", ")
    }
}

impl FromStr for EventKind {
    type Err = UnknownEvent;

    fn from_str(word: &str) -> Result<Self, UnknownEvent> {
        let known = Self::ALL.iter().find(|kind| kind.as_str() == word);
        known.copied().ok_or_else(|| UnknownEvent(word.to_owned()))
    }
}

/// Why and since when an endpoint is told nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Why, for a person.
    pub why: String,
}

/// A secret that was replaced, and signs beside the new one for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// The secret, sealed as the new one is.
    pub secret: Sealed,
    /// Until when it signs.
    pub until: DateTime<Utc>,
}

/// An endpoint that webhooks are delivered to.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where requests go. May hold a secret of its receiver: not for logs.
    pub url: String,
    /// What signs them, sealed for [`Endpoint::seal_of`].
    pub secret: Sealed,
    /// What signed them before.
    pub retiring: Option<Retiring>,
    /// What it is told of; everything if empty.
    pub events: Vec<EventKind>,
    /// Why it is told nothing; none while it is.
    pub paused: Option<Paused>,
    /// Rises with every change.
    pub version: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("events", &self.events)
            .field("paused", &self.paused.is_some())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Endpoints that a tenant may have.
    pub const MOST: usize = 20;

    /// Whether it is told of these events now.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.paused.is_none() && (self.events.is_empty() || self.events.contains(&kind))
    }

    /// The lane of its deliveries.
    pub fn lane(&self) -> Lane {
        Lane::of_webhook(self.id)
    }

    /// What the secret of an endpoint is sealed for: no account has its id, so neither opens what
    /// belongs to the other.
    pub fn seal_of(id: WebhookId) -> AccountId {
        AccountId::from_uuid(id.as_uuid())
    }
}

/// Keeps endpoints.
///
/// # Contract
///
/// 1. An endpoint is kept as it was made; an id that is there already is left as it is.
///    (`an_endpoint_is_kept_once`)
/// 2. A tenant has at most [`Endpoint::MOST`]: one more is a conflict, however many are added at once.
///    (`a_tenant_has_so_many_endpoints`)
/// 3. `update` needs the version that the caller has seen, and raises it; tenant and age stay as they
///    are. The same update again is no error and changes nothing.  (`an_update_needs_the_current_version`)
/// 4. Of two updates of one version, one takes effect.  (`one_of_two_updates_wins`)
/// 5. `list` shows the endpoints of a tenant, oldest first.  (`endpoints_are_listed_by_tenant`)
/// 6. `remove` takes an endpoint away with its secrets.  (`a_removed_endpoint_is_gone`)
///
/// Each rule is a public test in `conformance::webhook`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WebhookStore: fmt::Debug + Send + Sync + 'static {
    /// Adds an endpoint.
    async fn insert(&self, endpoint: &Endpoint) -> Result<(), StoreError>;

    /// The endpoint with this id.
    async fn find(&self, id: WebhookId) -> Result<Option<Endpoint>, StoreError>;

    /// All endpoints of a tenant.
    async fn list(&self, tenant: TenantId) -> Result<Vec<Endpoint>, StoreError>;

    /// Replaces what may change of an endpoint that still has this one's `version`.
    async fn update(&self, endpoint: &Endpoint) -> Result<Edited, StoreError>;

    /// Takes an endpoint away.
    async fn remove(&self, id: WebhookId) -> Result<Applied, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn WebhookStore) = |_| {};

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(events: &[EventKind]) -> Endpoint {
        Endpoint {
            id: WebhookId::new(),
            tenant_id: TenantId::DEFAULT,
            url: "https://hooks.example.com/secret-path".to_owned(),
            secret: Sealed { key_id: "k".to_owned(), bytes: vec![201; 8] },
            retiring: None,
            events: events.to_vec(),
            paused: None,
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_endpoint_without_a_list_is_told_of_everything() {
        let mut all = endpoint(&[]);
        let some = endpoint(&[EventKind::JobDead]);

        assert!(EventKind::ALL.iter().all(|kind| all.wants(*kind)));
        assert!(some.wants(EventKind::JobDead) && !some.wants(EventKind::JobSucceeded));
        all.paused = Some(Paused { at: DateTime::UNIX_EPOCH, why: "410".to_owned() });
        assert!(!all.wants(EventKind::JobDead));
    }

    #[test]
    fn an_event_is_known_by_its_word() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let error = "job.done".parse::<EventKind>().unwrap_err().to_string();
        assert!(
            error.starts_with("\"job.done\" is no event; there are job.succeeded, "),
            "{error}"
        );
    }

    #[test]
    fn neither_url_nor_secret_is_printed() {
        let shown = format!("{:?}", endpoint(&[]));

        assert!(!shown.contains("secret-path") && !shown.contains("201"), "{shown}");
    }
}
