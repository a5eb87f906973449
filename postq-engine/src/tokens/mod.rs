//! Tokens: credentials that are good for a call, renewed once however many ask.
//!
//! ```text
//! good                    -> used
//! ended, or refused       -> one of all who ask begins:  MARK (compare-and-set) -> one call -> KEEP
//!                            the others wait until it is written down
//! no answer, or trouble   -> the account stays connected; what needed it waits; after long a person is told
//! refused for good        -> a person must connect the account again
//! ```
//!
//! A refresh token may be good for one call alone, so two who ask at once can lose the account. What
//! decides is the stored envelope: only who replaced it by one that says "being renewed since now" makes
//! the call. The dedupe lock before that only saves work. What the call brings is stored before anybody
//! uses it, and the call and its storing belong to the engine and not to who asked: an attempt that is cut
//! off in between loses nothing.
//!
//! What is left is a crash between the platform's answer and our store. Then the mark is found too old, the
//! same refresh token is tried once more, and if the platform refuses it, a person connects the account
//! again. Its posts wait until then.

pub(crate) mod ahead;
mod connect;
pub(crate) mod job;
mod renew;
mod renews;
mod revoke;
mod trouble;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::backend::Backend;
use postq_core::connect::Refresh;
use postq_core::credentials::Credentials;
use postq_core::error::{ErrorKind, chain};
use postq_core::lock::DedupeLock;
use postq_core::platform::{Identity, Platform};
use postq_core::store::AccountStore;
use postq_core::vault::Vault;
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

pub use self::connect::{
    Begun, Browser, CONNECT_WITHIN, CameBack, ConnectError, Connected, ToConnect,
};
use self::renews::Known;
pub use self::revoke::Revoked;
pub use self::trouble::troubles;
use crate::platforms::Platforms;

/// A token that ends sooner than this is renewed before it is used: a call may take so long.
const MARGIN: Duration = Duration::from_secs(45);

/// Credentials as young as this are not renewed because a platform refuses them: they just were.
const YOUNG: Duration = Duration::from_secs(60);

/// Gives credentials that are good for a call, and renews them: at most once at a time for an account,
/// over all nodes that share a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    accounts: Arc<dyn AccountStore>,
    lock: Arc<dyn DedupeLock>,
    vault: Option<Arc<dyn Vault>>,
    platforms: Platforms,
    store_timeout: Duration,
    /// Calls that bring new credentials, and their storing.
    renewals: TaskTracker,
    known: Known,
}

/// Whom a call can be made for now.
#[derive(Clone, Debug)]
pub struct Usable {
    /// The account, as it is stored now: its credentials may have been renewed.
    pub account: Account,
    /// The same with the opened credentials.
    pub who: Identity,
}

/// Why there are no credentials that are good for a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Unusable {
    /// This node has no vault.
    NoVault,
    /// They do not open, and will not later. Why, for a person.
    Unopened(String),
    /// They could not be renewed now. The account stays connected; why, for a person.
    Later(String),
    /// The platform renews them no more: a person must connect the account again.
    Refused {
        /// The account as it is stored.
        account: Box<Account>,
        /// What the platform said.
        why: String,
    },
    /// The account is gone.
    Gone,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVault => f.write_str("this node has no vault for the credentials"),
            Self::Unopened(why) | Self::Later(why) | Self::Refused { why, .. } => f.write_str(why),
            Self::Gone => f.write_str("the account is gone"),
        }
    }
}

/// Credentials that can be renewed.
#[derive(Debug)]
struct Renewable {
    credentials: Credentials,
    refresh_token: SecretString,
}

impl Tokens {
    /// Tokens of the accounts of this backend. Any call to the store is given up after `store_timeout`.
    pub fn new(
        backend: &Backend,
        vault: Option<Arc<dyn Vault>>,
        platforms: Platforms,
        store_timeout: Duration,
    ) -> Self {
        Self {
            accounts: Arc::clone(&backend.accounts),
            lock: Arc::clone(&backend.lock),
            vault,
            platforms,
            store_timeout,
            renewals: TaskTracker::new(),
            known: Known::default(),
        }
    }

    /// Credentials of an account for a call at `now`, the store's time. Renews them first if they end too
    /// soon.
    pub async fn usable(&self, account: &Account, now: DateTime<Utc>) -> Result<Usable, Unusable> {
        let secret = self.open(account).await?;
        let renewable = self.renewable(account, secret.as_ref());
        match renewable {
            Some(_) if ends_before(account, now + MARGIN) => {
                let account = self.renew(account, now).await?;
                let secret = self.open(&account).await?;
                Ok(self.with_secret(account, secret))
            }
            _ => Ok(self.with_secret(account.clone(), secret)),
        }
    }

    /// A platform refuses an account's access token: renews it once. None if that is no help, because
    /// nothing renews it, or it has just been renewed.
    pub async fn after_refusal(
        &self,
        account: &Account,
        now: DateTime<Utc>,
    ) -> Result<Option<Account>, Unusable> {
        let secret = self.open(account).await?;
        let Some(Renewable { credentials, .. }) = self.renewable(account, secret.as_ref()) else {
            return Ok(None);
        };
        if credentials.issued_at.is_some_and(|at| at <= now && now < at + YOUNG) {
            return Ok(None);
        }
        self.renew(account, now).await.map(Some)
    }

    /// Waits until every renewal under way has been written down.
    pub(crate) async fn written(&self) {
        self.renewals.close();
        self.renewals.wait().await;
    }

    fn with_secret(&self, account: Account, secret: Option<SecretString>) -> Usable {
        // Who can renew knows our credentials, and is shown the access token alone.
        let secret = match (self.refreshing(&account), secret) {
            (Some(_), Some(secret)) => Some(match Credentials::read(&secret) {
                Ok(credentials) => credentials.access_token,
                Err(_) => secret,
            }),
            (_, secret) => secret,
        };
        let who = Identity {
            account: account.id,
            name: account.name.clone(),
            remote_id: account.remote_id.clone(),
            secret,
        };
        Usable { account, who }
    }

    /// The platform of an account, if it renews credentials.
    fn refreshing(&self, account: &Account) -> Option<&Arc<dyn Platform>> {
        self.platforms.get(&account.platform).filter(|platform| platform.refresh().is_some())
    }

    fn renewable(&self, account: &Account, secret: Option<&SecretString>) -> Option<Renewable> {
        self.refreshing(account)?;
        let credentials = Credentials::read(secret?).ok()?;
        let refresh_token = credentials.refresh_token.clone()?;
        Some(Renewable { credentials, refresh_token })
    }

    async fn open(&self, account: &Account) -> Result<Option<SecretString>, Unusable> {
        let Some(sealed) = &account.credentials else { return Ok(None) };
        let Some(vault) = &self.vault else { return Err(Unusable::NoVault) };
        match vault.open(account.id, sealed).await {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.kind() == ErrorKind::Invalid => {
                Err(Unusable::Unopened(chain(&error)))
            }
            Err(error) => Err(Unusable::Later(chain(&error))),
        }
    }
}

/// Whether an account's token has ended by then.
fn ends_before(account: &Account, then: DateTime<Utc>) -> bool {
    account.token_expires_at.is_some_and(|at| at <= then)
}

/// How long a mark keeps others from renewing: longer than its call can take, and its storing usually does.
fn mark_holds(refresh: &dyn Refresh) -> Duration {
    refresh.timeout() * 2 + Duration::from_secs(5)
}
