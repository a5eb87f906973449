//! Tokens.

use chrono::{DateTime, Utc};
use postq_core::token::{Scope, Token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a token allows. Each scope allows what those before it do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Scope)]
pub(crate) enum ScopeView {
    /// Looking at everything but tokens.
    Read,
    /// Posts, schedules, jobs and dead letters.
    Write,
    /// Accounts and tokens.
    Admin,
}

impl From<ScopeView> for Scope {
    fn from(scope: ScopeView) -> Self {
        match scope {
            ScopeView::Read => Self::Read,
            ScopeView::Write => Self::Write,
            ScopeView::Admin => Self::Admin,
        }
    }
}

impl From<Scope> for ScopeView {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Write => Self::Write,
            Scope::Admin => Self::Admin,
        }
    }
}

/// A token without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    pub(crate) id: Uuid,
    name: String,
    scope: ScopeView,
    created_at: DateTime<Utc>,
    /// When it was last used, to the minute or so.
    used_at: Option<DateTime<Utc>>,
    /// When it was revoked; null while it is good.
    revoked_at: Option<DateTime<Utc>>,
}

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.as_uuid(),
            name: token.name.clone(),
            scope: token.scope.into(),
            created_at: token.created_at,
            used_at: token.used_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// A token to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What you call it.
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) name: String,
    pub(crate) scope: ScopeView,
}

/// A token that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MadeToken {
    #[serde(flatten)]
    pub(crate) made: TokenView,
    /// The token itself: shown this once. Null where the same request is answered again.
    pub(crate) token: Option<String>,
}
