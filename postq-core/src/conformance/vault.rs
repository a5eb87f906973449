//! The rules of [`Vault`].

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::conformance::fixtures::long_text;
use crate::error::{ErrorKind, chain};
use crate::id::AccountId;
use crate::vault::{Sealed, Vault};

/// Writes one test per rule of [`Vault`]; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! vault_conformance {
    ($fresh:expr) => {
        mod vault_rules {
            $crate::conformance_rules! { $fresh, vault {
                what_is_sealed_opens,
                a_seal_belongs_to_its_account,
                envelopes_differ,
                an_unknown_key_is_named,
                what_is_sealed_names_its_key,
                an_envelope_tells_nothing,
            } }
        }
    };
}

const SECRET: &str = "a secret that nobody reads";

async fn seal(vault: &dyn Vault, account: AccountId, secret: &str) -> Sealed {
    vault.seal(account, &SecretString::from(secret)).await.expect("seal")
}

/// What was sealed for an account opens for it.
pub async fn what_is_sealed_opens(vault: Arc<dyn Vault>) {
    let account = AccountId::new();
    let long = long_text(64 * 1024);

    for secret in [SECRET, "", "ünïcödé 🦉", &long] {
        let sealed = seal(&*vault, account, secret).await;
        let opened = vault.open(account, &sealed).await.expect("open");
        assert_eq!(opened.expose_secret(), secret);
    }
}

/// It opens for no other account, and not when a bit was changed.
pub async fn a_seal_belongs_to_its_account(vault: Arc<dyn Vault>) {
    let account = AccountId::new();
    let sealed = seal(&*vault, account, SECRET).await;

    vault.open(AccountId::new(), &sealed).await.expect_err("another account");

    for n in 0..sealed.bytes.len() {
        let mut changed = sealed.clone();
        changed.bytes[n] ^= 1;
        let error = vault.open(account, &changed).await.expect_err("a changed bit");
        assert!(!chain(&error).contains(SECRET));
    }
    for length in [0, 1, sealed.bytes.len() - 1] {
        let mut cut = sealed.clone();
        cut.bytes.truncate(length);
        vault.open(account, &cut).await.expect_err("a cut envelope");
    }
}

/// Sealing twice gives two envelopes.
pub async fn envelopes_differ(vault: Arc<dyn Vault>) {
    let account = AccountId::new();

    let (first, second) =
        (seal(&*vault, account, SECRET).await, seal(&*vault, account, SECRET).await);

    assert_eq!(first.key_id, second.key_id);
    assert_ne!(first.bytes, second.bytes);
}

/// An envelope of an unknown key is an error that names the key's id.
pub async fn an_unknown_key_is_named(vault: Arc<dyn Vault>) {
    let account = AccountId::new();
    let mut sealed = seal(&*vault, account, SECRET).await;
    sealed.key_id = "no-such-key".to_owned();

    let error = vault.open(account, &sealed).await.expect_err("an unknown key");

    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(chain(&error).contains("no-such-key"), "{}", chain(&error));
}

/// What it seals names the key that `key_id` tells.
pub async fn what_is_sealed_names_its_key(vault: Arc<dyn Vault>) {
    let sealed = seal(&*vault, AccountId::new(), SECRET).await;

    assert_eq!(sealed.key_id, vault.key_id());
    assert!(!sealed.key_id.is_empty());
}

/// The secret is neither in the envelope nor in what is printed of it or of the vault.
pub async fn an_envelope_tells_nothing(vault: Arc<dyn Vault>) {
    let sealed = seal(&*vault, AccountId::new(), SECRET).await;

    let clear = sealed.bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes());
    assert!(!clear, "the envelope has the secret in clear");
    assert!(!format!("{sealed:?} {vault:?}").contains(SECRET));
}
