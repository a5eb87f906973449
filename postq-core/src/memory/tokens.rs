//! Tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::error::StoreError;
use crate::id::{TenantId, TokenId};
use crate::job::Applied;
use crate::token::{Token, TokenStore};

/// A [`TokenStore`] in memory: the reference. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryTokens(Arc<Mutex<BTreeMap<TokenId, Token>>>);

impl MemoryTokens {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TokenId, Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: TokenId, change: impl FnOnce(&mut Token)) -> Applied {
        match self.lock().get_mut(&id) {
            Some(token) => {
                change(token);
                Applied::Applied
            }
            None => Applied::Gone,
        }
    }
}

#[async_trait]
impl TokenStore for MemoryTokens {
    async fn insert(&self, token: &Token) -> Result<(), StoreError> {
        self.lock().entry(token.id).or_insert_with(|| token.clone());
        Ok(())
    }

    async fn find(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        Ok(self.lock().get(&id).cloned())
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Token>, StoreError> {
        let tokens = self.lock();
        Ok(tokens.values().filter(|token| token.tenant_id == tenant).cloned().collect())
    }

    async fn revoke(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError> {
        Ok(self.change(id, |token| token.revoked_at = token.revoked_at.or(Some(at))))
    }

    async fn used(&self, id: TokenId, at: DateTime<Utc>) -> Result<Applied, StoreError> {
        Ok(self.change(id, |token| token.used_at = token.used_at.max(Some(at))))
    }
}
