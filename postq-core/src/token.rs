//! Tokens: who may use the API, and for what.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::id::{TenantId, TokenId};
use crate::job::Applied;

/// What a token allows. Each scope allows what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Looking at everything but tokens.
    Read,
    /// Posts, schedules, jobs and dead letters.
    Write,
    /// Accounts and tokens.
    Admin,
}

impl Scope {
    /// All of them, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no scope; expected read, write or admin")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == word);
        known.ok_or_else(|| UnknownScope(word.to_owned()))
    }
}

/// A token as it is stored: its secret is kept as a hash alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id: not secret, and part of the text that is shown once.
    pub id: TokenId,
    /// Whose posts it may use.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// SHA-256 of its secret, which is random and as long: no slower hash is needed.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute or so; none if never.
    pub used_at: Option<DateTime<Utc>>,
    /// When it was revoked; none while it is good.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Keeps tokens.
///
/// # Contract
///
/// 1. A token is kept as it was made; an id that is there already is left as it is.
///    (`a_token_is_kept_once`)
/// 2. `revoke` ends a token for good and keeps it on the list: that there was one stays known. Again
///    is no error, and leaves the first time as it is.  (`a_revoked_token_stays_revoked`)
/// 3. `used` moves the last use forward, never back, and brings no token back.
///    (`the_last_use_moves_forward`)
/// 4. `list` shows the tokens of a tenant, oldest first.  (`tokens_are_listed_by_tenant`)
///
/// Each rule is a public test in `conformance::token`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// Adds a token.
    async fn insert(&self, token: &Token) -> Result<(), StoreError>;

    /// The token with this id, revoked or not.
    async fn find(&self, id: TokenId) -> Result<Option<Token>, StoreError>;

    /// All tokens of a tenant, revoked ones too.
    async fn list(&self, tenant: TenantId) -> Result<Vec<Token>, StoreError>;

    /// Ends a token.
    async fn revoke(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError>;

    /// Records a use.
    async fn used(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn TokenStore) = |_| {};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_scope_allows_what_a_narrower_one_does() {
        assert!(Scope::Admin > Scope::Write && Scope::Write > Scope::Read);
        assert_eq!("write".parse(), Ok(Scope::Write));
        let error = "root".parse::<Scope>().unwrap_err().to_string();
        assert_eq!(error, "\"root\" is no scope; expected read, write or admin");
    }

    #[test]
    fn a_hash_is_not_printed() {
        let token = Token {
            id: TokenId::new(),
            tenant_id: TenantId::DEFAULT,
            name: "ci".to_owned(),
            scope: Scope::Read,
            hash: [201; 32],
            created_at: DateTime::UNIX_EPOCH,
            used_at: None,
            revoked_at: None,
        };

        assert!(!format!("{token:?}").contains("201"));
    }
}
