//! Tokens as people hold them: `postq_ID_SECRET`, shown once.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use postq_core::id::{TenantId, TokenId};
use postq_core::token::{Scope, Token};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every token begins with: it is found where it does not belong.
const MARK: &str = "postq_";

/// A token that was just made, and the text of it that is shown once.
pub struct Issued {
    /// What is stored.
    pub token: Token,
    /// What its holder gets.
    pub text: SecretString,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Makes a token: 256 random bits, of which only the hash is to be stored.
pub fn issue(
    id: TokenId,
    tenant: TenantId,
    name: impl Into<String>,
    scope: Scope,
    now: DateTime<Utc>,
) -> Issued {
    let secret: [u8; 32] = rand::random();
    let text = format!("{MARK}{}_{}", id.as_uuid().simple(), URL_SAFE_NO_PAD.encode(secret));
    let token = Token {
        id,
        tenant_id: tenant,
        name: name.into(),
        scope,
        hash: Sha256::digest(secret).into(),
        created_at: now,
        used_at: None,
        revoked_at: None,
    };
    Issued { token, text: text.into() }
}

/// A token as a request brings it.
pub(crate) struct Presented {
    pub(crate) id: TokenId,
    hash: [u8; 32],
}

impl Presented {
    /// What a text means that looks like a token.
    pub(crate) fn read(text: &SecretString) -> Option<Self> {
        let (id, secret) = text.expose_secret().strip_prefix(MARK)?.split_once('_')?;
        let id = id.parse().ok()?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok().filter(|secret| secret.len() == 32)?;
        Some(Self { id, hash: Sha256::digest(secret).into() })
    }

    /// Whether it is this token, told in the same time whatever differs.
    pub(crate) fn is(&self, token: &Token) -> bool {
        self.hash.ct_eq(&token.hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_text_alone() {
        let make =
            || issue(TokenId::new(), TenantId::DEFAULT, "a", Scope::Read, DateTime::UNIX_EPOCH);
        let (one, other) = (make(), make());

        let presented = Presented::read(&one.text).expect("it can be read");

        assert_eq!(presented.id, one.token.id);
        assert!(presented.is(&one.token));
        assert!(!presented.is(&other.token));
        assert!(!format!("{one:?}").contains(one.text.expose_secret()));
        for bad in ["", "postq_", "postq_x_y", "Bearer", &one.text.expose_secret()[..60]] {
            assert!(Presented::read(&bad.to_owned().into()).is_none(), "{bad}");
        }
    }
}
