//! Several keys, one of which seals.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::{Sealed, Vault};
use crate::error::{ErrorKind, VaultError};
use crate::id::AccountId;

/// Seals with one vault, and opens with others as well.
#[derive(Clone, Debug)]
pub struct KeyRing {
    seals: Arc<dyn Vault>,
    old: Vec<Arc<dyn Vault>>,
}

impl KeyRing {
    /// A ring that seals and opens with this vault.
    pub fn new(seals: Arc<dyn Vault>) -> Self {
        Self { seals, old: Vec::new() }
    }

    /// Opens with this one, too; one whose key is there already is left out.
    pub fn opening(mut self, old: Arc<dyn Vault>) -> Self {
        if !self.has(old.key_id()) {
            self.old.push(old);
        }
        self
    }

    /// Whether it opens what this key sealed.
    pub fn has(&self, key_id: &str) -> bool {
        self.key_ids().any(|known| known == key_id)
    }

    /// The keys that it opens with; the one that seals comes first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.seals.key_id()).chain(self.old_key_ids())
    }

    /// The keys that only open.
    pub fn old_key_ids(&self) -> impl Iterator<Item = &str> {
        self.old.iter().map(|vault| vault.key_id())
    }
}

#[async_trait]
impl Vault for KeyRing {
    fn key_id(&self) -> &str {
        self.seals.key_id()
    }

    async fn seal(&self, account: AccountId, secret: &SecretString) -> Result<Sealed, VaultError> {
        self.seals.seal(account, secret).await
    }

    async fn open(&self, account: AccountId, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let mut all = std::iter::once(&self.seals).chain(&self.old);
        match all.find(|vault| vault.key_id() == sealed.key_id) {
            Some(vault) => vault.open(account, sealed).await,
            None => {
                let known: Vec<&str> = self.key_ids().collect();
                let what = format!(
                    "the credentials are sealed with key {}, which is none of those in force ({}); \
                     add it to POSTQ_ENCRYPTION_KEYS_OLD, or add the account again",
                    sealed.key_id,
                    known.join(", ")
                );
                Err(VaultError::new(ErrorKind::Invalid, what))
            }
        }
    }
}

#[cfg(all(test, feature = "vault"))]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::vault::ChaChaVault;

    fn vault(byte: u8) -> Arc<dyn Vault> {
        Arc::new(ChaChaVault::new(&[byte; 32]))
    }

    #[tokio::test]
    async fn a_new_key_seals_and_the_old_ones_open() {
        let (account, secret) = (AccountId::new(), SecretString::from("s3cret"));
        let sealed = [
            vault(1).seal(account, &secret).await.unwrap(),
            vault(2).seal(account, &secret).await.unwrap(),
        ];
        let ring = KeyRing::new(vault(3)).opening(vault(2)).opening(vault(1)).opening(vault(3));

        let anew = ring.seal(account, &secret).await.unwrap();

        assert_eq!(anew.key_id, vault(3).key_id());
        assert_eq!(vault(3).open(account, &anew).await.unwrap().expose_secret(), "s3cret");
        for sealed in &sealed {
            assert_eq!(ring.open(account, sealed).await.unwrap().expose_secret(), "s3cret");
            ring.open(AccountId::new(), sealed).await.expect_err("another account");
        }
        assert_eq!(ring.old_key_ids().count(), 2, "the one that seals is not old");
        let narrower = KeyRing::new(vault(3)).opening(vault(2));
        let error = narrower.open(account, &sealed[0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let (has, has_not) = (vault(2), vault(1));
        let told = error.to_string();
        assert!(told.contains(has.key_id()) && told.contains(has_not.key_id()), "{told}");
    }
}
