//! Accounts: a connection to one identity on one platform.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AccountId, TenantId};
use crate::job::Lane;
use crate::platform::PlatformName;
use crate::vault::Sealed;

/// What happens to a post of this account whose outcome nobody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// It is held for a person: a dead letter with the reason `outcome_unknown`.
    #[default]
    Hold,
    /// It is sent again, at the risk of being out twice.
    Resend,
}

/// A connection to one identity on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it; unique within the tenant.
    pub name: String,
    /// The platform it is on.
    pub platform: PlatformName,
    /// The platform's own id of the identity, where it is known. Accounts of a platform that have the
    /// same are the same identity.
    pub remote_id: Option<String>,
    /// What happens to a post whose outcome nobody can tell.
    pub on_unknown: OnUnknown,
    /// The sealed credentials; none for a platform that needs none.
    pub credentials: Option<Sealed>,
    /// When its access token ends, where that is known.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// When it was connected.
    pub created_at: DateTime<Utc>,
}

impl Account {
    /// A new account of the default tenant, without credentials, that holds unknown outcomes.
    pub fn new(name: impl Into<String>, platform: PlatformName, now: DateTime<Utc>) -> Self {
        Self {
            id: AccountId::new(),
            tenant_id: TenantId::DEFAULT,
            name: name.into(),
            platform,
            remote_id: None,
            on_unknown: OnUnknown::default(),
            credentials: None,
            token_expires_at: None,
            created_at: now,
        }
    }

    /// Whether what may change of it is the same as of the other.
    pub fn is_as(&self, other: &Self) -> bool {
        self.remote_id == other.remote_id
            && self.on_unknown == other.on_unknown
            && self.credentials == other.credentials
            && self.token_expires_at == other.token_expires_at
    }

    /// The lane of its jobs.
    pub fn lane(&self) -> Lane {
        Lane::of(&self.platform, self.id)
    }
}
