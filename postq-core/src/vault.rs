//! The vault: seals credentials before they are stored.
//!
//! [`ChaChaVault`] has one key, here in memory. A [`KeyRing`] seals with one vault and opens with others
//! as well: that is how a key is replaced. A key that never leaves a key service is a [`Vault`] of your
//! own; it, too, may take the place of another one through a ring.

mod ring;

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::VaultError;
use crate::id::AccountId;

/// Sealed credentials, as they are stored.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sealed {
    /// Which key seals them.
    pub key_id: String,
    /// The envelope.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(key {}, {} bytes)", self.key_id, self.bytes.len())
    }
}

/// Seals and opens credentials.
///
/// # Contract
///
/// 1. What was sealed for an account opens for it.  (`what_is_sealed_opens`)
/// 2. It opens for no other account, and not when a bit was changed.  (`a_seal_belongs_to_its_account`)
/// 3. Sealing twice gives two envelopes.  (`envelopes_differ`)
/// 4. An envelope of an unknown key is an error that names the key's id.  (`an_unknown_key_is_named`)
/// 5. What it seals names the key that `key_id` tells; another key has another id.
///    (`what_is_sealed_names_its_key`)
/// 6. What opens never will is an error of the kind `Invalid`; one that may open later, of another kind.
///
/// Each rule is a public test in `conformance::vault`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Vault: fmt::Debug + Send + Sync + 'static {
    /// The id of the key that it seals with. Not secret: it stands beside what is sealed.
    fn key_id(&self) -> &str;

    /// Seals a secret for an account.
    async fn seal(&self, account: AccountId, secret: &SecretString) -> Result<Sealed, VaultError>;

    /// Opens it again.
    async fn open(&self, account: AccountId, sealed: &Sealed) -> Result<SecretString, VaultError>;
}

const _OBJECT_SAFE: fn(&dyn Vault) = |_| {};

pub use self::ring::KeyRing;

#[cfg(feature = "vault")]
pub use self::chacha::{BadKey, ChaChaVault};

#[cfg(feature = "vault")]
mod chacha {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
    use secrecy::{ExposeSecret, SecretBox};
    use zeroize::Zeroizing;

    use super::{AccountId, Sealed, SecretString, Vault, VaultError, async_trait, fmt};
    use crate::error::ErrorKind;

    const NONCE: usize = 24;

    /// Seals with XChaCha20-Poly1305: a random 24-byte nonce, and the account's id and the key's id
    /// as associated data. Wiped from memory when it is dropped.
    pub struct ChaChaVault {
        cipher: XChaCha20Poly1305,
        key_id: String,
    }

    impl fmt::Debug for ChaChaVault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "ChaChaVault(key {})", self.key_id)
        }
    }

    /// A text that is no key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("the key must be 32 bytes, written as 64 hex digits or in base64; this is not")]
    pub struct BadKey;

    impl ChaChaVault {
        /// A vault with one key.
        pub fn new(key: &[u8; 32]) -> Self {
            let cipher = XChaCha20Poly1305::new(&Key::from(*key));
            Self { key_id: key_id(&cipher), cipher }
        }

        /// A vault with the key written in this text: 64 hex digits, or base64 of 32 bytes.
        pub fn from_text(text: &SecretString) -> Result<Self, BadKey> {
            let text = text.expose_secret().trim();
            let bytes = decode_hex(text).or_else(|| STANDARD.decode(text).ok()).ok_or(BadKey)?;
            let bytes = Zeroizing::new(bytes);
            let key: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| BadKey)?;
            Ok(Self::new(key))
        }

        /// A key for something else, made of this one: the same wherever this key is. It tells nothing of this
        /// key, nor of what is made of it under another purpose.
        pub fn derived(&self, purpose: &[u8; NONCE]) -> SecretBox<[u8; 32]> {
            // The cipher's stream under a nonce that no record has: those are random.
            let payload = Payload { msg: &[0; 32], aad: b"" };
            let sealed = self.cipher.encrypt(&XNonce::from(*purpose), payload);
            let sealed =
                Zeroizing::new(sealed.expect("a short text is within the cipher's limits"));
            SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(&sealed[..32]))
        }

        fn associated(&self, account: AccountId) -> Vec<u8> {
            format!("postq:{account}:{}", self.key_id).into_bytes()
        }
    }

    /// The id of a key: the first bytes of what it makes of an empty text under a fixed nonce of its
    /// own. Tells nothing of the key, and no record is sealed under that nonce.
    fn key_id(cipher: &XChaCha20Poly1305) -> String {
        let tag = cipher
            .encrypt(&XNonce::from([0; NONCE]), Payload { msg: b"", aad: b"postq key id" })
            .expect("an empty text is within the cipher's limits");
        tag[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // Of the whole length from the start: a list that grows is moved, and leaves pieces of the key.
    fn decode_hex(text: &str) -> Option<Vec<u8>> {
        if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = Vec::with_capacity(32);
        for i in 0..32 {
            key.push(u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?);
        }
        Some(key)
    }

    #[async_trait]
    impl Vault for ChaChaVault {
        fn key_id(&self) -> &str {
            &self.key_id
        }

        async fn seal(
            &self,
            account: AccountId,
            secret: &SecretString,
        ) -> Result<Sealed, VaultError> {
            let nonce: [u8; NONCE] = rand::random();
            let aad = self.associated(account);
            let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &aad };
            let sealed = self
                .cipher
                .encrypt(&XNonce::from(nonce), payload)
                .map_err(|_| VaultError::new(ErrorKind::Internal, "seal credentials"))?;
            let bytes = [&nonce[..], &sealed].concat();
            Ok(Sealed { key_id: self.key_id.clone(), bytes })
        }

        async fn open(
            &self,
            account: AccountId,
            sealed: &Sealed,
        ) -> Result<SecretString, VaultError> {
            if sealed.key_id != self.key_id {
                return Err(VaultError::new(
                    ErrorKind::Invalid,
                    format!(
                        "the credentials are sealed with key {}, the key in force is {}; add \
                         the key they were sealed with to POSTQ_ENCRYPTION_KEYS_OLD, or add the \
                         account again",
                        sealed.key_id, self.key_id
                    ),
                ));
            }
            let broken = || {
                VaultError::new(
                    ErrorKind::Invalid,
                    "the stored credentials are damaged or belong to another account; add the \
                     account again",
                )
            };
            let (nonce, body) = sealed.bytes.split_first_chunk::<NONCE>().ok_or_else(broken)?;
            let aad = self.associated(account);
            let text = self
                .cipher
                .decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: &aad })
                .map_err(|_| broken())?;
            let text = Zeroizing::new(text);
            // A text of just this length: a longer one would be moved, and what it leaves not wiped.
            let text = std::str::from_utf8(&text).map_err(|_| broken())?.to_owned();
            Ok(SecretString::from(text))
        }
    }

    #[cfg(test)]
    mod tests {
        use std::marker::PhantomData;

        use zeroize::ZeroizeOnDrop;

        use super::*;

        /// Whether a type has a trait: the constant of the type itself goes before that of the trait.
        macro_rules! has {
            ($type:ty: $($of:tt)+) => {{
                struct Probe<T>(PhantomData<T>);
                #[allow(dead_code, reason = "used by types that do not have it")]
                trait Else {
                    const HAS: bool = false;
                }
                impl<T> Else for Probe<T> {}
                #[allow(dead_code, reason = "used by types that have it")]
                impl<T: $($of)+> Probe<T> {
                    const HAS: bool = true;
                }
                Probe::<$type>::HAS
            }};
        }

        #[test]
        fn secrets_cannot_be_printed_or_written_and_are_wiped() {
            let shown = [
                has!(SecretString: fmt::Display),
                has!(SecretString: serde::Serialize),
                has!(ChaChaVault: fmt::Display),
                has!(ChaChaVault: serde::Serialize),
                has!(ChaChaVault: Clone),
            ];
            let wiped = [has!(SecretString: ZeroizeOnDrop), has!(XChaCha20Poly1305: ZeroizeOnDrop)];
            assert!(has!(String: fmt::Display), "the probe finds what is there");
            assert_eq!((shown, wiped), ([false; 5], [true; 2]));

            let hex = "c0ffee0102030405060708090a0b0c0d0e0f101112131415161718191a1bfeed";
            let vault = ChaChaVault::from_text(&SecretString::from(hex)).unwrap();
            let printed = format!("{vault:?} {:?} {:?}", SecretString::from(hex), BadKey);
            for piece in ["c0ffee", "0e0f10", "feed", "192, 255, 238"] {
                assert!(!printed.contains(piece), "{printed}");
            }
            let error = ChaChaVault::from_text(&SecretString::from(&hex[1..])).unwrap_err();
            assert!(!error.to_string().contains("0ffee"), "{error}");
        }
    }
}
