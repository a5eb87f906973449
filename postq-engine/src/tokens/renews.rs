//! Whether an account's token is renewed by itself: asked often, and told without opening an envelope twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use postq_core::account::Account;
use postq_core::id::AccountId;
use sha2::{Digest, Sha256};

use super::Tokens;

/// Accounts that are remembered; with more, all are asked again.
const MOST: usize = 10_000;

/// What is known of envelopes.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<AccountId, Seen>>>);

/// The hash of an envelope, and whether what is in it renews.
type Seen = ([u8; 32], bool);

impl Known {
    fn of(&self, account: AccountId, envelope: &[u8; 32]) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&account).filter(|(seen, _)| seen == envelope).map(|(_, renews)| *renews)
    }

    fn note(&self, account: AccountId, envelope: [u8; 32], renews: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(account, (envelope, renews));
    }
}

impl Tokens {
    /// Whether an account's token is renewed by itself; none if this node cannot open its envelope.
    pub async fn renews(&self, account: &Account) -> Option<bool> {
        let Some(sealed) = &account.credentials else { return Some(false) };
        if self.refreshing(account).is_none() {
            return Some(false);
        }
        let envelope = Sha256::digest(&sealed.bytes).into();
        if let Some(renews) = self.known.of(account.id, &envelope) {
            return Some(renews);
        }
        let secret = self.open(account).await.ok()?;
        let known = self.renewable(account, secret.as_ref());
        let renews = known.is_some_and(|known| known.credentials.refused_at.is_none());
        self.known.note(account.id, envelope, renews);
        Some(renews)
    }
}
