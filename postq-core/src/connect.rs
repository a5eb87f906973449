//! Connecting accounts, and renewing what connecting brought: OAuth 2, seen from outside.
//!
//! A person is sent to an address of the platform ([`Connect::authorize`]), agrees there, and comes back
//! to the redirect URI with a code, which is exchanged for a [`Grant`]. [`Refresh`] asks for the next one.
//! Both are reached through [`Platform`](crate::platform::Platform).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::failure::Failure;

/// What a platform gives to who may act for an account. Cannot be printed with its secrets.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What calls are made with.
    pub access_token: SecretString,
    /// What the next grant is asked for with; none where the platform gives none, or goes on taking the
    /// one before.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives; none where the platform does not say.
    pub expires_in: Option<Duration>,
    /// What it allows, in the platform's words; empty where the platform does not say.
    pub scopes: Vec<String>,
}

/// A random text of 64 hex digits that nobody can guess: what a code is bound to (PKCE's verifier), and
/// what tells an answer from a forged one (the state).
#[derive(Clone, Debug)]
pub struct Nonce(SecretString);

impl Nonce {
    /// A new one.
    pub fn random() -> Self {
        let bytes: [u8; 32] = rand::random();
        let mut text = String::with_capacity(64);
        for byte in bytes {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).expect("below 16"));
            }
        }
        Self(text.into())
    }

    /// One as it was kept.
    pub fn from_secret(secret: SecretString) -> Self {
        Self(secret)
    }

    /// The text as a secret.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// The text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A right that is asked for when an account is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The platform's word for it.
    pub scope: &'static str,
    /// What it is needed for, for a person.
    pub why: &'static str,
}

/// Whom a grant is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The platform's id of the identity.
    pub remote_id: String,
    /// What people call it there, where the platform says it.
    pub name: Option<String>,
}

/// Lets a person connect an account.
///
/// # Contract
///
/// 1. The address that a person is sent to has the state, the redirect URI and the scopes, and not the
///    verifier; it is made without a request.  (`an_address_keeps_the_verifier`)
/// 2. A code is exchanged for a grant, of which the platform can tell whose it is.
///    (`a_code_brings_a_grant`)
/// 3. A code that the platform refuses, or that was asked for with another verifier where the platform binds
///    codes to one, is a failure of class `auth`.  (`a_code_needs_its_verifier`)
///
/// Each rule is a public test in `conformance::connect`.
#[async_trait]
pub trait Connect: fmt::Debug + Send + Sync {
    /// What is asked for: the least that works.
    fn asks(&self) -> &[Asked];

    /// Where the platform sends people back to; none if nobody has set it, or what else is missing is.
    /// Why, for a person.
    fn redirect_uri(&self) -> Result<&str, String>;

    /// The address where a person agrees.
    fn authorize(&self, state: &Nonce, verifier: &Nonce) -> Result<String, String>;

    /// Exchanges the code that the person came back with. Where a person may have several identities, `which` is
    /// the id or the name of the one that is wanted.
    async fn exchange(
        &self,
        code: &SecretString,
        verifier: &Nonce,
        which: Option<&str>,
    ) -> Result<Grant, Failure>;

    /// Tells whose a grant is.
    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure>;

    /// What a person may have several of there, in one word: `Page`. None where a person is one identity.
    fn several(&self) -> Option<&'static str> {
        None
    }

    /// Takes back what connecting brought.
    fn revoke(&self) -> Option<&dyn Revoke> {
        None
    }
}

/// Takes tokens back at the platform, for an account that is removed.
///
/// # Contract
///
/// 1. A refresh token that was taken back renews no more.  (`what_is_revoked_renews_no_more`)
/// 2. It is one call, and no secret is in its failure.  (`a_revocation_is_one_call`)
///
/// Each rule is a public test in `conformance::connect`.
#[async_trait]
pub trait Revoke: fmt::Debug + Send + Sync {
    /// Takes back an access token or a refresh token; one that is good for nothing is no failure.
    async fn revoke(&self, token: &SecretString) -> Result<(), Failure>;
}

/// What a platform answers to who asks for the next grant.
#[derive(Clone, Debug)]
pub enum Renewal {
    /// Here it is.
    Renewed(Grant),
    /// It takes this refresh token no more: a person must connect the account again. What it said.
    Refused(String),
}

/// Renews credentials.
///
/// # Contract
///
/// 1. `refresh` makes at most one call, and never repeats it by itself: a refresh token may be good for
///    one.  (`a_refresh_is_one_call`)
/// 2. What it brings renews again.  (`a_grant_renews_again`)
/// 3. [`Renewal::Refused`] is an answer that says of this refresh token that it is taken no more.
///    (`a_spent_token_is_refused`)
/// 4. Everything else is a failure: silence, a cut, trouble of the platform's own, a wait that it asks
///    for, an app that it does not know.  (`trouble_is_no_refusal`)
/// 5. It ends within `timeout`.  (`a_refresh_gives_up_in_time`)
/// 6. No secret is in a failure, nor in a refusal.  (`refusals_keep_secrets`)
///
/// Each rule is a public test in `conformance::connect`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Refresh: fmt::Debug + Send + Sync {
    /// The longest that `refresh` may take.
    fn timeout(&self) -> Duration;

    /// Asks for the next grant, once. What is brought must be stored before it is used.
    async fn refresh(&self, refresh_token: &SecretString) -> Result<Renewal, Failure>;
}

const _OBJECT_SAFE: fn(&dyn Connect, &dyn Refresh, &dyn Revoke) = |_, _, _| {};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_random_and_not_shown() {
        let (one, other) = (Nonce::random(), Nonce::random());

        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 64);
        assert!(one.expose().bytes().all(|c| c.is_ascii_hexdigit()));
        assert!(!format!("{one:?}").contains(one.expose()));
    }
}
