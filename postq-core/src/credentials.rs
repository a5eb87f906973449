//! What is sealed for an account: its access token, and what renews it.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::connect::Grant;

/// The credentials of an account, as one vault envelope holds them. When the access token ends is told
/// beside it, by [`Account::token_expires_at`](crate::account::Account::token_expires_at): that is no
/// secret.
///
/// Written as JSON, or as a bare access token where there is nothing else. It cannot be printed with its
/// secrets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Credentials {
    /// What calls are made with.
    pub access_token: SecretString,
    /// What a new access token is asked for with; none where a person has to connect again.
    pub refresh_token: Option<SecretString>,
    /// What they allow, in the platform's words; empty where it is not known.
    pub scopes: Vec<String>,
    /// When the platform gave them, by the store's clock.
    pub issued_at: Option<DateTime<Utc>>,
    /// Somebody began to renew them then, and has not written down what came of it.
    pub renewing_since: Option<DateTime<Utc>>,
    /// The platform refused to renew them then.
    pub refused_at: Option<DateTime<Utc>>,
    /// Nobody could renew them since then, though nobody refused it.
    pub failing_since: Option<DateTime<Utc>>,
}

/// A secret that is no credentials. Does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account's secret is no access token; connect the account again")]
pub struct BadCredentials;

/// As they are written.
#[derive(Serialize, Deserialize)]
struct Written<A, S> {
    access_token: A,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    refresh_token: Option<A>,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    scopes: Option<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renewing_since: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<DateTime<Utc>>,
}

fn none<A>() -> Option<A> {
    None
}

impl Credentials {
    /// A bare access token, that nothing renews.
    pub fn bare(access_token: SecretString) -> Self {
        Self {
            access_token,
            refresh_token: None,
            scopes: Vec::new(),
            issued_at: None,
            renewing_since: None,
            refused_at: None,
            failing_since: None,
        }
    }

    /// What a platform has just given.
    pub fn granted(grant: Grant, now: DateTime<Utc>) -> Self {
        Self {
            refresh_token: grant.refresh_token,
            scopes: grant.scopes,
            issued_at: Some(now),
            ..Self::bare(grant.access_token)
        }
    }

    /// The same, renewed: what the answer does not bring stays as it was.
    #[must_use]
    pub fn renewed(&self, grant: Grant, now: DateTime<Utc>) -> Self {
        let renewed = Self::granted(grant, now);
        Self {
            refresh_token: renewed.refresh_token.or_else(|| self.refresh_token.clone()),
            scopes: if renewed.scopes.is_empty() { self.scopes.clone() } else { renewed.scopes },
            ..renewed
        }
    }

    /// Reads what was written, or a bare access token.
    pub fn read(secret: &SecretString) -> Result<Self, BadCredentials> {
        let text = secret.expose_secret().trim();
        if text.is_empty() {
            return Err(BadCredentials);
        }
        if !text.starts_with('{') {
            return Ok(Self::bare(text.into()));
        }
        let written: Written<String, Vec<String>> =
            serde_json::from_str(text).map_err(|_| BadCredentials)?;
        Ok(Self {
            access_token: written.access_token.into(),
            refresh_token: written.refresh_token.map(Into::into),
            scopes: written.scopes.unwrap_or_default(),
            issued_at: written.issued_at,
            renewing_since: written.renewing_since,
            refused_at: written.refused_at,
            failing_since: written.failing_since,
        })
    }

    /// As they are sealed.
    pub fn write(&self) -> SecretString {
        let written = Written {
            access_token: self.access_token.expose_secret(),
            refresh_token: self.refresh_token.as_ref().map(ExposeSecret::expose_secret),
            scopes: (!self.scopes.is_empty()).then_some(&self.scopes),
            issued_at: self.issued_at,
            renewing_since: self.renewing_since,
            refused_at: self.refused_at,
            failing_since: self.failing_since,
        };
        // With room for all of it from the start: a text that grows is moved, and leaves pieces behind.
        let mut text = Zeroizing::new(String::with_capacity(self.most_written()));
        write!(text, "{}", Json(&written)).expect("texts and times are JSON");
        SecretString::from(text.as_str())
    }

    /// Whether they have the same access token: a renewal, or a person, brings another one.
    pub fn same_token(&self, other: &Self) -> bool {
        self.access_token.expose_secret() == other.access_token.expose_secret()
    }

    /// More than they are long when they are written: a character may take six.
    fn most_written(&self) -> usize {
        let tokens = [Some(&self.access_token), self.refresh_token.as_ref()];
        let tokens = tokens.into_iter().flatten().map(|token| token.expose_secret().len());
        let scopes = self.scopes.iter().map(|scope| scope.len() + 1);
        512 + 6 * tokens.chain(scopes).sum::<usize>()
    }
}

/// Written to a text without a buffer between.
struct Json<'a, T>(&'a T);

impl<T: Serialize> std::fmt::Display for Json<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.serialize(&mut serde_json::Serializer::new(Through(f))).map_err(|_| std::fmt::Error)
    }
}

struct Through<'a, 'b>(&'a mut std::fmt::Formatter<'b>);

impl std::io::Write for Through<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
        self.0.write_str(text).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn granted() -> Credentials {
        let grant = Grant {
            access_token: "acc\"é".into(),
            refresh_token: Some("r3fresh".into()),
            expires_in: Some(Duration::from_secs(60)),
            scopes: vec!["read".to_owned()],
        };
        Credentials::granted(grant, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let marked =
            Credentials { renewing_since: Some(DateTime::UNIX_EPOCH), scopes: vec![], ..granted() };
        let failing = Credentials { failing_since: Some(DateTime::UNIX_EPOCH), ..granted() };
        for credentials in [granted(), marked, failing, Credentials::bare("t".into())] {
            let again = Credentials::read(&credentials.write()).unwrap();

            assert_eq!(again.write().expose_secret(), credentials.write().expose_secret());
            assert!(again.same_token(&credentials));
            assert_eq!(again.scopes, credentials.scopes);
            assert_eq!(again.renewing_since, credentials.renewing_since);
            assert_eq!(again.failing_since, credentials.failing_since);
        }
        assert!(granted().write().expose_secret().len() < granted().most_written());
    }

    #[test]
    fn a_bare_token_is_read_and_nothing_is_shown() {
        let bare = Credentials::read(&" tok\n".into()).unwrap();
        assert_eq!(bare.access_token.expose_secret(), "tok");
        assert!(bare.refresh_token.is_none());

        for bad in ["", " ", "{hunter2", r#"{"token":"hunter2"}"#] {
            let error = Credentials::read(&bad.into()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let printed = format!("{:?}", granted());
        assert!(!printed.contains("é") && !printed.contains("r3fresh"), "{printed}");
    }

    #[test]
    fn a_renewal_keeps_what_it_does_not_bring() {
        let grant = Grant {
            access_token: "new".into(),
            refresh_token: None,
            expires_in: None,
            scopes: Vec::new(),
        };
        let later = DateTime::UNIX_EPOCH + Duration::from_secs(9);
        let marked =
            Credentials { renewing_since: Some(later), failing_since: Some(later), ..granted() };

        let renewed = marked.renewed(grant, later);

        assert_eq!(renewed.refresh_token.unwrap().expose_secret(), "r3fresh");
        assert_eq!(renewed.scopes, ["read"]);
        assert_eq!((renewed.issued_at, renewed.renewing_since), (Some(later), None));
        assert_eq!(renewed.failing_since, None);
    }
}
