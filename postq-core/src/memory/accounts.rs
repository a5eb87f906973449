//! Accounts.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::account::Account;
use crate::error::{ErrorKind, StoreError};
use crate::id::{AccountId, TenantId};
use crate::job::Applied;
use crate::memory::MemoryBackend;
use crate::memory::state::State;
use crate::store::AccountStore;

impl State {
    /// Keeps whose the account is, for good.
    fn note_identity(&mut self, account: &Account) {
        if let Some(remote_id) = &account.remote_id {
            let identity = (account.platform.clone(), remote_id.clone());
            self.identities.entry(identity).or_default().insert(account.id);
        }
    }

    /// The account, and every other one that is, or was, the same identity.
    pub(super) fn same_identity(&self, account: AccountId) -> BTreeSet<AccountId> {
        let of = |known: &Account| Some((known.platform.clone(), known.remote_id.clone()?));
        let identity = self.accounts.get(&account).and_then(of);
        let others = identity.and_then(|identity| self.identities.get(&identity));
        others.into_iter().flatten().copied().chain([account]).collect()
    }
}

#[async_trait]
impl AccountStore for MemoryBackend {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.accounts.contains_key(&account.id) {
            return Ok(());
        }
        let twin =
            |other: &Account| other.tenant_id == account.tenant_id && other.name == account.name;
        if state.accounts.values().any(twin) {
            let action = format!(
                "insert an account: the name \"{}\" belongs to another one; choose another name",
                account.name
            );
            return Err(StoreError::new(ErrorKind::Conflict, action));
        }
        state.note_identity(account);
        state.accounts.insert(account.id, account.clone());
        Ok(())
    }

    async fn load(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        let state = self.lock();
        Ok(ids.iter().filter_map(|id| state.accounts.get(id).cloned()).collect())
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Account>, StoreError> {
        let state = self.lock();
        let of_tenant = state.accounts.values().filter(|account| account.tenant_id == tenant);
        let mut accounts: Vec<_> = of_tenant.cloned().collect();
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(accounts)
    }

    async fn update<'a>(
        &self,
        account: &Account,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        let mut state = self.lock();
        let Some(known) = state.accounts.get_mut(&account.id) else { return Ok(Applied::Gone) };
        if seen.is_some_and(|seen| !known.is_as(seen)) {
            return Ok(Applied::Stale);
        }
        known.credentials.clone_from(&account.credentials);
        known.remote_id.clone_from(&account.remote_id);
        known.on_unknown = account.on_unknown;
        known.token_expires_at = account.token_expires_at;
        let known = known.clone();
        state.note_identity(&known);
        Ok(Applied::Applied)
    }

    async fn remove<'a>(
        &self,
        id: AccountId,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        let mut state = self.lock();
        let Some(account) = state.accounts.get(&id) else { return Ok(Applied::Gone) };
        if seen.is_some_and(|seen| !account.is_as(seen)) {
            return Ok(Applied::Stale);
        }
        let scheduled = state
            .schedules
            .values()
            .any(|schedule| schedule.enabled && schedule.accounts.contains(&id));
        let waiting = state
            .jobs
            .values()
            .any(|row| row.job.made.account_id == Some(id) && !row.job.state.is_terminal());
        if scheduled || waiting {
            let used_by =
                if scheduled { "an enabled schedule" } else { "a job that has not ended" };
            let action = format!(
                "remove account \"{}\": {used_by} uses it; cancel or disable that first",
                account.name
            );
            return Err(StoreError::new(ErrorKind::Conflict, action));
        }
        state.accounts.remove(&id);
        Ok(Applied::Applied)
    }
}
