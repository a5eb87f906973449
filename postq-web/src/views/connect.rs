//! Accounts that are just being connected.

use chrono::{DateTime, Utc};
use postq_engine::tokens::Begun;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::Secret;

/// What is to be connected: a new account, or one that is there.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConnection {
    /// What people will call a new account.
    #[schema(max_length = 100)]
    pub(crate) name: Option<String>,
    /// The id or name of the identity there that is wanted for a new account, where a person may have several: a
    /// Facebook Page.
    #[schema(max_length = 200)]
    pub(crate) identity: Option<String>,
    /// The name or id of an account that is connected again.
    pub(crate) account: Option<String>,
}

/// Where a person agrees, and to what. The state is in the address: not to be printed.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Connection)]
pub(crate) struct BegunView {
    /// The platform's page; null if this is told again.
    #[schema(required)]
    address: Option<String>,
    /// What they are asked for there.
    scopes: Vec<AskedView>,
    /// Where the platform sends them back to.
    redirect_uri: String,
    /// The account; one that is to be made has this id then.
    account_id: Uuid,
    /// They come back before this.
    expires_at: DateTime<Utc>,
}

/// A right that is asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AskedScope)]
pub(crate) struct AskedView {
    /// The platform's word for it.
    scope: String,
    /// What it is needed for.
    why: String,
}

impl From<Begun> for BegunView {
    fn from(begun: Begun) -> Self {
        let scopes = begun
            .asks
            .iter()
            .map(|asked| AskedView { scope: asked.scope.to_owned(), why: asked.why.to_owned() });
        Self {
            address: Some(begun.address),
            scopes: scopes.collect(),
            redirect_uri: begun.redirect_uri,
            account_id: begun.account.as_uuid(),
            expires_at: begun.until,
        }
    }
}

impl BegunView {
    /// The same without what only one may know.
    pub(crate) fn masked(&self) -> Self {
        Self { address: None, ..self.clone() }
    }
}

/// With what a person came back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CameBack)]
pub(crate) struct Back {
    #[schema(value_type = String, write_only)]
    pub(crate) state: Secret,
    #[schema(value_type = String, write_only)]
    pub(crate) code: Secret,
}
