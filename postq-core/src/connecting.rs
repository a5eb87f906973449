//! Accounts that are just being connected: what is kept while a person is at the platform.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::AccountId;
use crate::vault::Sealed;

/// A connection that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connecting {
    /// SHA-256 of the state that the person comes back with; the state itself is kept nowhere.
    pub state: [u8; 32],
    /// The account that it is for; one to be made, or made anew.
    pub account: AccountId,
    /// What else is needed then, sealed for this account: the verifier, who began, what to make.
    pub sealed: Sealed,
}

/// Keeps connections that were begun, until they are finished or their time is over.
///
/// # Contract
///
/// 1. What was begun is taken as it was, once: of many who take it at once, one gets it.
///    (`a_connection_is_taken_once`)
/// 2. It is gone when its time is over, by the store's clock.  (`a_connection_ends_by_itself`)
/// 3. A state that is there already is a conflict, and stays as it is.  (`a_state_is_used_once`)
///
/// Each rule is a public test in `conformance::connecting`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ConnectingStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps it for so long.
    async fn begin(&self, connecting: &Connecting, keep: Duration) -> Result<(), StoreError>;

    /// Takes what has this state.
    async fn take(&self, state: &[u8; 32]) -> Result<Option<Connecting>, StoreError>;
}

const _OBJECT_SAFE: fn(&dyn ConnectingStore) = |_| {};
