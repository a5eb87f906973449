//! An access token, ready to be sent.

use postq_core::credentials::Credentials;
use postq_core::failure::{Failure, FailureClass};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// An access token as the header `Authorization`. Cannot be printed.
#[derive(Clone, Debug)]
pub struct Token {
    secret: SecretString,
    header: HeaderValue,
}

impl Token {
    /// Reads an account's secret, a bare token or JSON with an `access_token`, to be sent as `Bearer`.
    ///
    /// # Errors
    ///
    /// Of class `auth`, with what to do: there is none, or it has characters that none can have.
    pub fn read(secret: Option<&SecretString>) -> Result<Self, Failure> {
        Self::read_as("Bearer", secret)
    }

    /// The same for a platform that writes the scheme in another way.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_as(scheme: &str, secret: Option<&SecretString>) -> Result<Self, Failure> {
        let unusable = |problem: &str| {
            let message = format!("{problem}; add the account again with an access token");
            Failure::not_published(FailureClass::Auth, message)
        };
        let present = secret.filter(|secret| !secret.expose_secret().trim().is_empty());
        let secret = present.ok_or_else(|| unusable("the account has no access token"))?;
        let known = Credentials::read(secret)
            .map_err(|_| unusable("the account's secret has no \"access_token\""))?;
        Self::with_scheme(scheme, known.access_token)
            .ok_or_else(|| unusable("the account's access token has characters that none can have"))
    }

    /// A bare token, to be sent as `Bearer`; none if it has characters that none can have.
    pub fn bare(secret: SecretString) -> Option<Self> {
        Self::with_scheme("Bearer", secret)
    }

    fn with_scheme(scheme: &str, secret: SecretString) -> Option<Self> {
        let text = format!("{scheme} {}", secret.expose_secret());
        let mut header = HeaderValue::try_from(text).ok()?;
        header.set_sensitive(true);
        Some(Self { secret, header })
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The same request, in the name of the account.
    pub fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(AUTHORIZATION, self.header.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Result<String, String> {
        let secret = SecretString::from(secret.to_owned());
        Token::read(Some(&secret))
            .map(|token| token.expose().to_owned())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_secret_is_a_bare_token_or_json() {
        assert_eq!(token(" abc\n"), Ok("abc".to_owned()));
        assert_eq!(token(r#"{"access_token":"abc","refresh_token":"r"}"#), Ok("abc".to_owned()));
    }

    #[test]
    fn an_unusable_secret_says_what_to_do_and_is_not_shown() {
        for secret in ["", "  ", r#"{"token":"hunter2"}"#, "{hunter2", "hunter2\nx"] {
            let error = token(secret).expect_err(secret);
            assert!(error.contains("add the account again"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Token::read(None).is_err());
    }

    #[test]
    fn it_is_sent_under_its_scheme_and_not_shown() {
        let secret = SecretString::from("hunter2".to_owned());
        let client = reqwest_client();
        for (token, sent) in [
            (Token::read(Some(&secret)).ok(), "Bearer hunter2"),
            (Token::read_as("bearer", Some(&secret)).ok(), "bearer hunter2"),
            (Token::bare(secret.clone()), "Bearer hunter2"),
        ] {
            let token = token.expect("a token");
            let request = token.sign(client.get("http://127.0.0.1:1/")).build().expect("a request");
            let header = &request.headers()[AUTHORIZATION];
            assert!(header == sent && header.is_sensitive(), "{sent}");
            assert!(!format!("{token:?} {request:?}").contains("hunter2"));
        }
        assert!(Token::bare("a\nb".into()).is_none());
    }

    fn reqwest_client() -> reqwest::Client {
        let base = crate::Base::parse("base_url", "http://127.0.0.1:1", "").expect("a base");
        let longest = std::time::Duration::from_secs(1);
        crate::client(&crate::Calls::of("x", "base_url", &base, longest)).expect("a client")
    }
}
