//! Accounts.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use postq_core::account::{Account, OnUnknown};
use postq_core::id::AccountId;
use postq_core::store::{Block, BlockReason};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

/// A connection to one identity on one platform.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountView {
    pub(crate) id: Uuid,
    name: String,
    platform: String,
    /// The platform's own id of it, where it is known.
    remote_id: Option<String>,
    on_unknown: OnUnknownView,
    /// Whether it has credentials; they are never shown.
    has_credentials: bool,
    /// When its access token ends, where that is known.
    token_expires_at: Option<DateTime<Utc>>,
    /// Whether its token is renewed by itself; null if this server cannot tell.
    token_renews: Option<bool>,
    /// Why its token could not be renewed when that was last tried; null if it could, or nothing renews it.
    token_trouble: Option<String>,
    /// What holds it back; empty if nothing does.
    blocks: Vec<BlockView>,
    created_at: DateTime<Utc>,
}

impl AccountView {
    pub(crate) fn new(account: &Account, standing: &Standing) -> Self {
        let lane = account.lane();
        let covers = |block: &&Block| block.scope == lane.as_str() || block.scope == lane.app();
        Self {
            id: account.id.as_uuid(),
            name: account.name.clone(),
            platform: account.platform.to_string(),
            remote_id: account.remote_id.clone(),
            on_unknown: account.on_unknown.into(),
            has_credentials: account.credentials.is_some(),
            token_expires_at: account.token_expires_at,
            token_renews: standing.renews.get(&account.id).copied(),
            token_trouble: standing.troubles.get(&account.id).cloned(),
            blocks: standing.blocks.iter().filter(covers).map(BlockView::from).collect(),
            created_at: account.created_at,
        }
    }
}

/// How accounts stand, besides what is kept of them.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// What holds them back.
    pub(crate) blocks: Vec<Block>,
    /// Whether their tokens are renewed by themselves.
    pub(crate) renews: BTreeMap<AccountId, bool>,
    /// Why their tokens could not be renewed.
    pub(crate) troubles: BTreeMap<AccountId, String>,
}

/// Tells this state of an account from every other one: its `ETag`. Not of the blocks, which come and
/// go by themselves.
pub(crate) fn tag(account: &Account) -> String {
    let mut hash = Sha256::new();
    hash.update(account.id.as_uuid().as_bytes());
    hash.update(account.remote_id.as_deref().unwrap_or_default());
    hash.update([0, u8::from(account.on_unknown == OnUnknown::Resend)]);
    let expires = account.token_expires_at.map_or(0, |at| at.timestamp_micros());
    hash.update(expires.to_be_bytes());
    if let Some(sealed) = &account.credentials {
        hash.update(&sealed.bytes);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What happens to a post whose outcome nobody can tell.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OnUnknown)]
pub(crate) enum OnUnknownView {
    /// It waits for a person.
    Hold,
    /// It is sent again, at the risk of being out twice.
    Resend,
}

impl From<OnUnknown> for OnUnknownView {
    fn from(policy: OnUnknown) -> Self {
        match policy {
            OnUnknown::Hold => Self::Hold,
            OnUnknown::Resend => Self::Resend,
        }
    }
}

impl From<OnUnknownView> for OnUnknown {
    fn from(policy: OnUnknownView) -> Self {
        match policy {
            OnUnknownView::Hold => Self::Hold,
            OnUnknownView::Resend => Self::Resend,
        }
    }
}

/// Why an account stands still.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Block)]
pub(crate) struct BlockView {
    /// `paused`, `rate_limit`, `credits`, `needs_attention` or `budget`.
    #[schema(value_type = String)]
    reason: BlockReason,
    /// Until when; until it is lifted if null.
    until: Option<DateTime<Utc>>,
    note: String,
    /// It holds back every account of the app.
    whole_app: bool,
}

impl From<&Block> for BlockView {
    fn from(block: &Block) -> Self {
        Self {
            reason: block.reason,
            until: block.until,
            note: block.note.clone(),
            whole_app: block.scope.ends_with('/'),
        }
    }
}

/// A text that is never printed and never answered.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) SecretString);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever else it is: a number may be a secret too.
        let value = serde_json::Value::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("a secret must be a text"))?;
        match value {
            serde_json::Value::String(text) => Ok(Self(text.into())),
            _ => Err(serde::de::Error::custom("a secret must be a text")),
        }
    }
}

/// An account to be connected.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    /// A platform that is set up here: GET /api/about lists them.
    pub(crate) platform: String,
    /// What you call it.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    /// Its access token; not for `dry_run`.
    #[schema(value_type = Option<String>, write_only)]
    pub(crate) access_token: Option<Secret>,
    /// Instead of a token, where the platform has passwords for apps (Bluesky): whose it is.
    #[schema(max_length = 253, example = "alice.bsky.social")]
    pub(crate) handle: Option<String>,
    /// And the password that was made for this app. It is used at once, for a token that renews itself, and kept
    /// nowhere.
    #[schema(value_type = Option<String>, write_only)]
    pub(crate) app_password: Option<Secret>,
    /// When the token ends, where that is known: `/metrics` tells how long that is.
    pub(crate) token_expires_at: Option<DateTime<Utc>>,
    /// `hold` if left out.
    pub(crate) on_unknown: Option<OnUnknownView>,
}

/// What is to change of an account; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChange {
    /// Another access token.
    #[schema(value_type = Option<String>, write_only)]
    pub(crate) access_token: Option<Secret>,
    /// Instead of a token, where the platform has passwords for apps (Bluesky): whose it is.
    #[schema(max_length = 253, example = "alice.bsky.social")]
    pub(crate) handle: Option<String>,
    /// And the password that was made for this app.
    #[schema(value_type = Option<String>, write_only)]
    pub(crate) app_password: Option<Secret>,
    /// When the token ends. With another token and without this it is not known any more.
    pub(crate) token_expires_at: Option<DateTime<Utc>>,
    pub(crate) on_unknown: Option<OnUnknownView>,
}

/// Why and for how long an account is paused.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pause {
    /// Why, for whoever looks later.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub(crate) note: String,
    /// Until when; until it is resumed if left out.
    pub(crate) until: Option<DateTime<Utc>>,
}
