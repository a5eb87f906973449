//! What is sealed with which key, and sealing it again with the one in force.
//!
//! Each account, and each webhook, is sealed again in a transaction of its own, that changes nothing if it is
//! something else by then. Whatever is cut off in between leaves it sealed with the one key or with the
//! other, and a ring opens both: so it may be ended at any point, run again, and run beside anything else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::error::{ErrorKind, StoreError, VaultError, chain};
use postq_core::id::{AccountId, TenantId, WebhookId};
use postq_core::job::Applied;
use postq_core::store::{AccountStore, Edited};
use postq_core::vault::{Sealed, Vault};
use postq_core::webhook::{Endpoint, Retiring, WebhookStore};
use secrecy::ExposeSecret;
use serde::Serialize;

/// Others may change what is being sealed; nobody does so this often.
const TRIES: usize = 5;

/// Whose secret it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Owner {
    /// An account's credentials.
    Account {
        /// Its id.
        id: AccountId,
        /// What people call it.
        name: String,
    },
    /// What signs the requests of a webhook.
    Webhook {
        /// Its id.
        id: WebhookId,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { name, .. } => write!(f, "account \"{name}\""),
            Self::Webhook { id } => write!(f, "webhook {id}"),
        }
    }
}

/// A secret that nothing opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unopened {
    /// Whose it is.
    pub owner: Owner,
    /// The key that it says it is sealed with.
    pub key_id: String,
    /// Why it does not open.
    pub why: String,
}

/// How many secrets are sealed with a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SealedWith {
    /// Credentials of accounts.
    pub accounts: usize,
    /// Secrets of webhooks; one that was replaced and still signs counts beside the new one.
    pub webhooks: usize,
}

/// What is sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// By the key's id.
    pub by_key: BTreeMap<String, SealedWith>,
    /// What no key opens.
    pub unopened: Vec<Unopened>,
}

/// What sealing again came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resealed {
    /// Accounts and webhooks that were sealed again.
    pub resealed: usize,
    /// Those that are still to be.
    pub left: usize,
    /// What no key opens: it stays as it is.
    pub unopened: Vec<Unopened>,
}

/// Why sealing again ended early. What was done until then stays done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResealError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault that seals, or opens, does not answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Finds what is sealed with which key, and seals it again.
#[derive(Clone, Debug)]
pub struct Resealer {
    accounts: Arc<dyn AccountStore>,
    webhooks: Arc<dyn WebhookStore>,
    vault: Arc<dyn Vault>,
}

/// What became of one of them.
enum Step {
    Resealed,
    /// Others change it all the time.
    Left,
    /// Somebody took it away, or sealed it again.
    Nothing,
    Unopened(Unopened),
}

impl Resealer {
    /// One that opens and seals with this vault: with a ring, to replace a key.
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        webhooks: Arc<dyn WebhookStore>,
        vault: Arc<dyn Vault>,
    ) -> Self {
        Self { accounts, webhooks, vault }
    }

    /// Counts what is sealed, by key, and tries to open all of it.
    pub async fn census(&self, tenant: TenantId) -> Result<Census, ResealError> {
        let mut census = Census::default();
        for account in self.accounts.list(tenant).await? {
            let Some(sealed) = &account.credentials else { continue };
            census.by_key.entry(sealed.key_id.clone()).or_default().accounts += 1;
            let unopened = self.unopened(account.id, sealed, || owner(&account)).await?;
            census.unopened.extend(unopened);
        }
        for endpoint in self.webhooks.list(tenant).await? {
            for sealed in secrets(&endpoint) {
                census.by_key.entry(sealed.key_id.clone()).or_default().webhooks += 1;
                let (id, owner) =
                    (Endpoint::seal_of(endpoint.id), Owner::Webhook { id: endpoint.id });
                census.unopened.extend(self.unopened(id, sealed, || owner).await?);
            }
        }
        Ok(census)
    }

    /// Seals so many of those again that are sealed with another key than the one in force. `now` is the
    /// store's time: a webhook's secret that was replaced and signs no more by then is taken away.
    pub async fn reseal(
        &self,
        tenant: TenantId,
        now: DateTime<Utc>,
        at_most: usize,
    ) -> Result<Resealed, ResealError> {
        let mut done = Resealed::default();
        for account in self.accounts.list(tenant).await? {
            if !account.credentials.as_ref().is_some_and(|sealed| self.is_old(sealed)) {
                continue;
            }
            if done.resealed >= at_most {
                done.left += 1;
            } else {
                done.add(self.account(account).await?);
            }
        }
        for endpoint in self.webhooks.list(tenant).await? {
            if !secrets(&endpoint).any(|sealed| self.is_old(sealed)) {
                continue;
            }
            if done.resealed >= at_most {
                done.left += 1;
            } else {
                done.add(self.webhook(endpoint, now).await?);
            }
        }
        Ok(done)
    }

    async fn account(&self, mut account: Account) -> Result<Step, ResealError> {
        for _ in 0..TRIES {
            let old = account.credentials.as_ref().filter(|sealed| self.is_old(sealed));
            let Some(old) = old else { return Ok(Step::Nothing) };
            let anew = match self.anew(account.id, old).await? {
                Ok(anew) => anew,
                Err(why) => return Ok(unopened(owner(&account), old, why)),
            };
            let changed = Account { credentials: Some(anew), ..account.clone() };
            match self.accounts.update(&changed, Some(&account)).await? {
                Applied::Applied => return Ok(Step::Resealed),
                Applied::Gone => return Ok(Step::Nothing),
                Applied::Stale => match self.accounts.load(&[account.id]).await?.pop() {
                    Some(known) => account = known,
                    None => return Ok(Step::Nothing),
                },
            }
        }
        Ok(Step::Left)
    }

    async fn webhook(
        &self,
        mut endpoint: Endpoint,
        now: DateTime<Utc>,
    ) -> Result<Step, ResealError> {
        let (id, owner) = (endpoint.id, Owner::Webhook { id: endpoint.id });
        for _ in 0..TRIES {
            if !secrets(&endpoint).any(|sealed| self.is_old(sealed)) {
                return Ok(Step::Nothing);
            }
            let account = Endpoint::seal_of(id);
            let mut changed = endpoint.clone();
            match self.anew(account, &endpoint.secret).await? {
                Ok(anew) => changed.secret = anew,
                Err(why) => return Ok(unopened(owner, &endpoint.secret, why)),
            }
            changed.retiring = None;
            if let Some(Retiring { secret, until }) =
                endpoint.retiring.as_ref().filter(|old| old.until > now)
            {
                match self.anew(account, secret).await? {
                    Ok(secret) => changed.retiring = Some(Retiring { secret, until: *until }),
                    Err(why) => return Ok(unopened(owner, secret, why)),
                }
            }
            match self.webhooks.update(&changed).await? {
                Edited::Applied { .. } => return Ok(Step::Resealed),
                Edited::Changed { .. } => match self.webhooks.find(id).await? {
                    Some(known) => endpoint = known,
                    None => return Ok(Step::Nothing),
                },
                _ => return Ok(Step::Nothing),
            }
        }
        Ok(Step::Left)
    }

    fn is_old(&self, sealed: &Sealed) -> bool {
        sealed.key_id != self.vault.key_id()
    }

    /// The same secret under the key in force; the inner error says why it does not open.
    async fn anew(
        &self,
        account: AccountId,
        sealed: &Sealed,
    ) -> Result<Result<Sealed, String>, ResealError> {
        if !self.is_old(sealed) {
            return Ok(Ok(sealed.clone()));
        }
        let secret = match self.vault.open(account, sealed).await {
            Ok(secret) => secret,
            Err(error) => return Ok(Err(lasting(error)?)),
        };
        let anew = self.vault.seal(account, &secret).await?;
        // The only copy is about to be overwritten.
        let again = self.vault.open(account, &anew).await?;
        if again.expose_secret() != secret.expose_secret() || self.is_old(&anew) {
            let what = "the vault does not open what it has just sealed; nothing was changed";
            return Err(VaultError::new(ErrorKind::Internal, what).into());
        }
        Ok(Ok(anew))
    }

    async fn unopened(
        &self,
        account: AccountId,
        sealed: &Sealed,
        owner: impl FnOnce() -> Owner,
    ) -> Result<Option<Unopened>, ResealError> {
        let Err(error) = self.vault.open(account, sealed).await else { return Ok(None) };
        let why = lasting(error)?;
        Ok(Some(Unopened { owner: owner(), key_id: sealed.key_id.clone(), why }))
    }
}

impl Resealed {
    fn add(&mut self, step: Step) {
        match step {
            Step::Resealed => self.resealed += 1,
            Step::Left => self.left += 1,
            Step::Nothing => {}
            Step::Unopened(unopened) => self.unopened.push(unopened),
        }
    }
}

/// Why something will not open later either; an error that may pass is passed on.
fn lasting(error: VaultError) -> Result<String, VaultError> {
    match error.kind() {
        ErrorKind::Invalid => Ok(chain(&error)),
        _ => Err(error),
    }
}

fn unopened(owner: Owner, sealed: &Sealed, why: String) -> Step {
    Step::Unopened(Unopened { owner, key_id: sealed.key_id.clone(), why })
}

fn owner(account: &Account) -> Owner {
    Owner::Account { id: account.id, name: account.name.clone() }
}

fn secrets(endpoint: &Endpoint) -> impl Iterator<Item = &Sealed> {
    std::iter::once(&endpoint.secret).chain(endpoint.retiring.as_ref().map(|old| &old.secret))
}
