//! Signatures as Standard Webhooks has them (<https://www.standardwebhooks.com>): HMAC-SHA256 over the
//! id, the time and the body, so that a receiver can tell who sent it, that nothing was changed, and that
//! it is not an old one sent again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

/// The header of the id: the same for every delivery of one event.
pub const ID: &str = "webhook-id";
/// The header of the time of the delivery, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header of the signatures, with spaces between.
pub const SIGNATURE: &str = "webhook-signature";

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The shortest and the longest key, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// The length of a key that is made here.
const NEW_LENGTH: usize = 32;

/// Signs, and checks signatures. Written `whsec_` and base64.
///
/// ```
/// use chrono::DateTime;
/// use postq_outbound::signing::SigningKey;
///
/// let key: SigningKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// let at = DateTime::from_timestamp(1_614_265_330, 0).expect("a time");
///
/// let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
///
/// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
/// # Ok::<(), postq_outbound::signing::KeyError>(())
/// ```
pub struct SigningKey(SecretBox<[u8]>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl Clone for SigningKey {
    fn clone(&self) -> Self {
        Self::of(self.0.expose_secret().to_vec())
    }
}

impl SigningKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self::of(rand::random::<[u8; NEW_LENGTH]>().to_vec())
    }

    fn of(bytes: Vec<u8>) -> Self {
        Self(SecretBox::new(bytes.into_boxed_slice()))
    }

    /// The key as it is written: to be shown once, to whoever checks the signatures.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0.expose_secret()))
    }

    /// The signature of a delivery.
    pub fn sign(&self, id: &str, at: DateTime<Utc>, body: &[u8]) -> String {
        let mac = self.mac(id, &at.timestamp().to_string(), body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Whether one of the signatures is right, and the time is near enough.
    pub fn verify(&self, delivery: Signed<'_>, now: DateTime<Utc>, tolerance: Duration) -> bool {
        let Ok(seconds) = delivery.timestamp.parse::<i64>() else { return false };
        if now.timestamp().abs_diff(seconds) > tolerance.as_secs() {
            return false;
        }
        let is_right = |signature: &str| {
            let bytes = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
            // In constant time.
            bytes.is_some_and(|bytes| {
                let mac = self.mac(delivery.id, delivery.timestamp, delivery.body);
                mac.verify_slice(&bytes).is_ok()
            })
        };
        delivery.signatures.split(' ').take(MOST_SIGNATURES).any(is_right)
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let key = self.0.expose_secret();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("keys of every length are taken");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

/// Signatures of one delivery that are looked at: while a key is changed there are two.
const MOST_SIGNATURES: usize = 8;

/// A delivery as it came.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The header [`ID`].
    pub id: &'a str,
    /// The header [`TIMESTAMP`].
    pub timestamp: &'a str,
    /// The header [`SIGNATURE`].
    pub signatures: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

impl FromStr for SigningKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text.trim().strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
        bytes.filter(|bytes| LENGTHS.contains(&bytes.len())).map(Self::of).ok_or(KeyError)
    }
}

/// A text that is no key. It is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no signing secret; expected whsec_ and 24 to 64 bytes in base64, as the output of: echo \
     whsec_$(openssl rand -base64 32)"
)]
pub struct KeyError;
