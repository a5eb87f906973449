//! Connecting an account: a person is sent to the platform, and comes back with a code.
//!
//! What is needed then is kept beside the store, sealed, under a hash of the state that the person comes
//! back with, and taken once.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postq_core::account::Account;
use postq_core::connect::{Asked, Connect, Grant, Nonce, Whose};
use postq_core::connecting::{Connecting, ConnectingStore};
use postq_core::credentials::Credentials;
use postq_core::error::{ErrorKind, StoreError, chain};
use postq_core::failure::{Failure, FailureClass};
use postq_core::id::{AccountId, TenantId};
use postq_core::job::Applied;
use postq_core::platform::{Platform, PlatformName};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Tokens;

/// A person has so long to come back.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(600);

/// Others may change an account while it is connected again; nobody does so this often.
const TRIES: usize = 5;

/// What a person wants to connect.
#[derive(Clone, Debug)]
pub enum ToConnect {
    /// A new account.
    New {
        /// Whose it is to be.
        tenant: TenantId,
        /// What people call it.
        name: String,
        /// The platform it is on.
        platform: PlatformName,
        /// The id or name of the identity there, where a person may have several.
        identity: Option<String>,
    },
    /// An account that is there, with new credentials.
    Again(Box<Account>),
}

/// A connection that was begun.
#[derive(Clone)]
pub struct Begun {
    /// Where the person agrees; the state is in it.
    pub address: String,
    /// What they are asked for there.
    pub asks: Vec<Asked>,
    /// Where they come back to.
    pub redirect_uri: String,
    /// The account; one that is to be made has this id already.
    pub account: AccountId,
    /// They come back before this.
    pub until: DateTime<Utc>,
}

/// Does not show the address.
impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun")
            .field("account", &self.account)
            .field("redirect_uri", &self.redirect_uri)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// An account that was connected.
#[derive(Clone, Debug)]
pub struct Connected {
    /// It, as it is stored now.
    pub account: Account,
    /// Whether it was made now.
    pub is_new: bool,
    /// Who agreed, where the platform says it.
    pub whose: Option<Whose>,
    /// Whether it was begun in a page, which goes on then.
    pub in_page: bool,
}

/// With what a person came back.
#[derive(Clone, Debug)]
pub struct CameBack {
    /// To this platform's address.
    pub platform: PlatformName,
    /// The state that they were sent away with.
    pub state: SecretString,
    /// The code.
    pub code: SecretString,
    /// What shows that it is the browser in which it was begun.
    pub browser: Browser,
}

/// Whether somebody comes back in the browser in which they began.
#[derive(Clone, Debug)]
pub enum Browser {
    /// They show this; nothing, if they have nothing to show.
    Shows(Option<SecretString>),
    /// It does not matter: they may connect accounts anyway.
    Any,
}

/// Why an account is not connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The platform cannot be connected so. Why, and what to do.
    #[error("{0}")]
    Cannot(String),
    /// The platform has nothing of the kind.
    #[error("{0} does not connect accounts in a browser")]
    NoWay(PlatformName),
    /// Nobody began it, or it was finished, or it took too long.
    #[error("this was begun more than 10 minutes ago, is finished already, or was begun elsewhere")]
    NotBegun,
    /// The platform refuses the code.
    #[error("{0}")]
    Refused(Failure),
    /// The platform could not be asked.
    #[error("{0}")]
    Trouble(Failure),
    /// The account is another identity there.
    #[error(
        "account \"{account}\" is id {known} there, and it was {} who agreed; nothing was changed",
        called(.came)
    )]
    SomebodyElse {
        /// What people call the account.
        account: String,
        /// Who it is.
        known: String,
        /// Who agreed.
        came: Whose,
    },
    /// Another account has the name.
    #[error("the name \"{0}\" belongs to another account")]
    NameTaken(String),
    /// The account was removed, or is changed all the time.
    #[error("the account was removed or changed meanwhile")]
    Changed,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can be sealed.
    #[error("{0}")]
    Vault(String),
}

/// What is kept until the person comes back.
#[derive(Serialize, Deserialize)]
struct Kept {
    verifier: String,
    platform: PlatformName,
    tenant: TenantId,
    /// The name of an account that is to be made.
    name: Option<String>,
    /// The identity that is wanted, where a person may have several.
    identity: Option<String>,
    /// SHA-256 of what the browser has to show, in hex.
    browser: Option<String>,
}

impl Tokens {
    /// Begins to connect an account. With a `browser`, the person must come back in the one that has it
    /// to show.
    pub async fn begin(
        &self,
        store: &dyn ConnectingStore,
        what: ToConnect,
        browser: Option<&Nonce>,
        now: DateTime<Utc>,
    ) -> Result<Begun, ConnectError> {
        let (platform, tenant, name, account, identity) = match what {
            ToConnect::New { tenant, name, platform, identity } => {
                (platform, tenant, Some(name), AccountId::new(), identity)
            }
            ToConnect::Again(known) => {
                (known.platform, known.tenant_id, None, known.id, known.remote_id)
            }
        };
        let connect = self.connecting(&platform)?;
        let (state, verifier) = (Nonce::random(), Nonce::random());
        let address = connect.authorize(&state, &verifier).map_err(ConnectError::Cannot)?;
        let redirect_uri = connect.redirect_uri().map_err(ConnectError::Cannot)?.to_owned();
        let kept = Kept {
            verifier: verifier.expose().to_owned(),
            platform: platform.clone(),
            tenant,
            name,
            identity,
            browser: browser.map(|browser| hex(&hash(browser.expose()))),
        };
        let kept = serde_json::to_string(&kept).expect("texts and ids are JSON");
        let sealed = self.seal(account, &kept.into()).await?;
        let connecting = Connecting { state: hash(state.expose()), account, sealed };
        store.begin(&connecting, CONNECT_WITHIN).await?;
        let asks = connect.asks().to_vec();
        Ok(Begun { address, asks, redirect_uri, account, until: now + CONNECT_WITHIN })
    }

    /// Connects the account for which a person came back.
    pub async fn finish(
        &self,
        store: &dyn ConnectingStore,
        back: &CameBack,
        now: DateTime<Utc>,
    ) -> Result<Connected, ConnectError> {
        use secrecy::ExposeSecret;
        let state = hash(back.state.expose_secret());
        let begun = store.take(&state).await?.ok_or(ConnectError::NotBegun)?;
        let kept = self.kept(&begun).await?;
        let is_there = match (&back.browser, &kept.browser) {
            (Browser::Any, _) | (Browser::Shows(_), None) => true,
            (Browser::Shows(None), Some(_)) => false,
            (Browser::Shows(Some(shown)), Some(expected)) => {
                hex(&hash(shown.expose_secret())) == *expected
            }
        };
        if !is_there || kept.platform != back.platform {
            return Err(ConnectError::NotBegun);
        }
        let connect = self.connecting(&kept.platform)?;
        let verifier = Nonce::from_secret(kept.verifier.as_str().into());
        let which = kept.identity.as_deref();
        let grant = connect.exchange(&back.code, &verifier, which).await.map_err(told)?;
        let whose = match connect.whose(&grant).await {
            Ok(whose) => Some(whose),
            // A grant is too good to be thrown away for that: whose it is, is asked again when needed.
            Err(failure) if failure.class != FailureClass::Auth => {
                self.ensure_unknown(&kept, begun.account, &failure).await?;
                tracing::warn!(%failure, account = %begun.account, "not told whose account it is");
                None
            }
            Err(failure) => return Err(ConnectError::Refused(failure)),
        };
        let account = match &kept.name {
            Some(name) => self.make(begun.account, &kept, name, grant, whose.as_ref(), now).await?,
            None => self.again(begun.account, grant, whose.as_ref(), now).await?,
        };
        let (is_new, in_page) = (kept.name.is_some(), kept.browser.is_some());
        Ok(Connected { account, is_new, whose, in_page })
    }

    /// Refuses to go on where it is known whose the account is, and cannot be told who agreed: its posts could
    /// come out as somebody else's.
    async fn ensure_unknown(
        &self,
        kept: &Kept,
        id: AccountId,
        failure: &Failure,
    ) -> Result<(), ConnectError> {
        if kept.name.is_some() {
            return Ok(());
        }
        let known = self.accounts.load(&[id]).await?.pop().ok_or(ConnectError::Changed)?;
        if known.remote_id.is_none() {
            return Ok(());
        }
        let why = failure.message.trim_end_matches('.');
        let message = format!("it could not be told who agreed, so nothing was changed: {why}");
        Err(ConnectError::Trouble(Failure { message, ..failure.clone() }))
    }

    async fn make(
        &self,
        id: AccountId,
        kept: &Kept,
        name: &str,
        grant: Grant,
        whose: Option<&Whose>,
        now: DateTime<Utc>,
    ) -> Result<Account, ConnectError> {
        let mut account = Account::new(name, kept.platform.clone(), now);
        (account.id, account.tenant_id) = (id, kept.tenant);
        account.remote_id = whose.map(|whose| whose.remote_id.clone());
        account.token_expires_at = grant.expires_in.map(|lives| now + lives);
        let secret = Credentials::granted(grant, now).write();
        account.credentials = Some(self.seal(id, &secret).await?);
        match self.accounts.insert(&account).await {
            Ok(()) => Ok(account),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                Err(ConnectError::NameTaken(name.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn again(
        &self,
        id: AccountId,
        grant: Grant,
        whose: Option<&Whose>,
        now: DateTime<Utc>,
    ) -> Result<Account, ConnectError> {
        for _ in 0..TRIES {
            let known = self.accounts.load(&[id]).await?.pop().ok_or(ConnectError::Changed)?;
            if let (Some(id), Some(came)) = (&known.remote_id, whose)
                && *id != came.remote_id
            {
                return Err(ConnectError::SomebodyElse {
                    account: known.name,
                    known: id.clone(),
                    came: came.clone(),
                });
            }
            let before = self.open(&known).await.ok().flatten();
            let before = before.and_then(|secret| Credentials::read(&secret).ok());
            let credentials = match before {
                // A platform that brings no new refresh token goes on taking the one before.
                Some(before) if before.refused_at.is_none() => before.renewed(grant.clone(), now),
                _ => Credentials::granted(grant.clone(), now),
            };
            let mut account = known.clone();
            account.remote_id = whose.map(|w| w.remote_id.clone()).or(account.remote_id);
            account.token_expires_at = grant.expires_in.map(|lives| now + lives);
            account.credentials = Some(self.seal(id, &credentials.write()).await?);
            match self.accounts.update(&account, Some(&known)).await? {
                Applied::Applied => return Ok(account),
                Applied::Gone => return Err(ConnectError::Changed),
                Applied::Stale => {}
            }
        }
        Err(ConnectError::Changed)
    }

    fn connecting(&self, platform: &PlatformName) -> Result<&dyn Connect, ConnectError> {
        let found = self.platforms.get(platform).map(AsRef::<dyn Platform>::as_ref);
        found
            .and_then(|platform| platform.connect())
            .ok_or_else(|| ConnectError::NoWay(platform.clone()))
    }

    async fn kept(&self, begun: &Connecting) -> Result<Kept, ConnectError> {
        use secrecy::ExposeSecret;
        let Some(vault) = &self.vault else { return Err(no_vault()) };
        let kept = vault.open(begun.account, &begun.sealed).await;
        let kept = kept.map_err(|error| ConnectError::Vault(chain(&error)))?;
        serde_json::from_str(kept.expose_secret()).map_err(|_| ConnectError::NotBegun)
    }

    async fn seal(
        &self,
        account: AccountId,
        secret: &SecretString,
    ) -> Result<postq_core::vault::Sealed, ConnectError> {
        let Some(vault) = &self.vault else { return Err(no_vault()) };
        vault.seal(account, secret).await.map_err(|error| ConnectError::Vault(chain(&error)))
    }
}

/// An identity, in words.
fn called(whose: &Whose) -> String {
    match &whose.name {
        Some(name) => format!("@{name} (id {})", whose.remote_id),
        None => format!("id {}", whose.remote_id),
    }
}

fn no_vault() -> ConnectError {
    ConnectError::Vault("this server has no vault to seal credentials with".to_owned())
}

fn told(failure: Failure) -> ConnectError {
    match failure.class {
        FailureClass::Auth => ConnectError::Refused(failure),
        _ => ConnectError::Trouble(failure),
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(Zeroizing::new(std::mem::take(&mut self.verifier)));
    }
}
