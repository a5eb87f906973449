//! A node that dies at a chosen write.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use postq::core::account::Account;
use postq::core::backend::Backend;
use postq::core::error::{LockError, StoreError};
use postq::core::id::{AccountId, TenantId};
use postq::core::job::{Applied, DedupeKey};
use postq::core::lock::{DedupeLock, LockToken};
use postq::core::store::AccountStore;
use std::time::Duration;
use tokio::sync::Notify;

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The lock is taken, nothing is written.
    BeforeMark,
    /// That it renews is written; the call is not made.
    AfterMark,
    /// What the call brought is written.
    AfterReceipt,
}

/// A backend whose node dies.
pub(crate) struct Mortal {
    pub(crate) backend: Backend,
    accounts: Arc<Accounts>,
    lock: Arc<Lock>,
}

impl Mortal {
    pub(crate) fn over(backend: &Backend, death: Death) -> Self {
        let accounts = Arc::new(Accounts {
            inner: Arc::clone(&backend.accounts),
            death,
            writes: Mutex::default(),
            died: Notify::new(),
        });
        let lock = Arc::new(Lock { inner: Arc::clone(&backend.lock), held: Mutex::default() });
        let backend = Backend {
            accounts: Arc::clone(&accounts) as Arc<dyn AccountStore>,
            lock: Arc::clone(&lock) as Arc<dyn DedupeLock>,
            ..backend.clone()
        };
        Self { backend, accounts, lock }
    }

    /// Waits for its death in the middle of this; then its lock ends, as it would by itself.
    pub(crate) async fn dies_of<T: Debug>(&self, doing: impl Future<Output = T>) {
        tokio::select! {
            done = doing => panic!("it lived on: {done:?}"),
            () = self.accounts.died.notified() => {}
        }
        let held = self.lock.held.lock().expect("nobody panics with it").clone();
        if let Some((keys, token)) = held {
            self.lock.inner.release(&keys, &token).await.expect("released");
        }
    }
}

#[derive(Debug)]
struct Accounts {
    inner: Arc<dyn AccountStore>,
    death: Death,
    writes: Mutex<u32>,
    died: Notify,
}

impl Accounts {
    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl AccountStore for Accounts {
    async fn insert(&self, account: &Account) -> Result<(), StoreError> {
        self.inner.insert(account).await
    }

    async fn load(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        self.inner.load(ids).await
    }

    async fn list(&self, tenant: TenantId) -> Result<Vec<Account>, StoreError> {
        self.inner.list(tenant).await
    }

    async fn update<'a>(
        &self,
        account: &Account,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        let write = {
            let mut writes = self.writes.lock().expect("nobody panics with it");
            *writes += 1;
            *writes
        };
        if (self.death, write) == (Death::BeforeMark, 1) {
            self.die().await;
        }
        let applied = self.inner.update(account, seen).await;
        if matches!((self.death, write), (Death::AfterMark, 1) | (Death::AfterReceipt, 2)) {
            self.die().await;
        }
        applied
    }

    async fn remove<'a>(
        &self,
        id: AccountId,
        seen: Option<&'a Account>,
    ) -> Result<Applied, StoreError> {
        self.inner.remove(id, seen).await
    }
}

/// A lock that remembers who holds it.
#[derive(Debug)]
struct Lock {
    inner: Arc<dyn DedupeLock>,
    held: Mutex<Option<(Vec<DedupeKey>, LockToken)>>,
}

#[async_trait]
impl DedupeLock for Lock {
    async fn acquire(
        &self,
        keys: &[DedupeKey],
        token: &LockToken,
        ttl: Duration,
    ) -> Result<Vec<bool>, LockError> {
        let acquired = self.inner.acquire(keys, token, ttl).await;
        *self.held.lock().expect("nobody panics with it") = Some((keys.to_vec(), token.clone()));
        acquired
    }

    async fn release(&self, keys: &[DedupeKey], token: &LockToken) -> Result<(), LockError> {
        self.inner.release(keys, token).await
    }
}
