//! A session with an account's server, as it is kept: whose it is, where, and the token itself.
//!
//! Written `DID SERVER TOKEN`, so that a token is only ever sent to the server that gave it, and nobody has to be
//! asked where that is. A bare token is of the service that is set.

use postq_core::credentials::Credentials;
use postq_core::failure::{Failure, FailureClass};
use postq_http::Token;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Places;

/// A token, ready to be sent to its server.
#[derive(Debug)]
pub(crate) struct Session {
    /// Whose it is; none of a bare token.
    pub(crate) did: Option<String>,
    /// The account's server, without a slash at its end.
    pub(crate) pds: String,
    token: Token,
}

impl Session {
    /// Reads the session that an account's secret has as its access token.
    pub(crate) fn read(secret: Option<&SecretString>, places: &Places) -> Result<Self, Failure> {
        let secret = secret.ok_or_else(|| unusable("the account has no session"))?;
        let credentials = Credentials::read(secret)
            .map_err(|_| unusable("the account's secret is no session"))?;
        Self::parse(credentials.access_token.expose_secret(), places).map_err(unusable)
    }

    /// Reads one as it is written; else says what is wrong with it.
    pub(crate) fn parse(text: &str, places: &Places) -> Result<Self, &'static str> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (did, pds, token) = match words.as_slice() {
            [token] => (None, places.service.url.clone(), *token),
            [did, pds, token] if is_did(did) => {
                let pds = places
                    .endpoint(pds)
                    .or_else(|| (*pds == places.service.url).then(|| pds.to_string()));
                let pds =
                    pds.ok_or("the account's session names a server that is not safe to ask")?;
                (Some((*did).to_owned()), pds, *token)
            }
            _ => return Err("the account's secret is no session"),
        };
        let token = Token::bare(token.into())
            .ok_or("the account's session has characters that none can have")?;
        Ok(Self { did, pds, token })
    }

    /// One as it is written.
    pub(crate) fn write(did: &str, pds: &str, token: &str) -> SecretString {
        format!("{did} {pds} {token}").into()
    }

    /// The token itself.
    pub(crate) fn expose(&self) -> &str {
        self.token.expose()
    }

    /// The same request, in the name of the account.
    pub(crate) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        self.token.sign(request)
    }
}

fn unusable(problem: &str) -> Failure {
    let message = format!("{problem}; add the account again with its app password");
    Failure::not_published(FailureClass::Auth, message)
}

/// Whether this can be a DID, and has nothing that could change a path: `did:plc:…`, `did:web:…`.
pub(crate) fn is_did(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b':' | b'%');
    let mut pieces = text.splitn(3, ':');
    let (scheme, method, id) = (pieces.next(), pieces.next(), pieces.next());
    text.len() <= 256
        && text.bytes().all(fits)
        && scheme == Some("did")
        && method.is_some_and(|m| !m.is_empty() && m.bytes().all(|c| c.is_ascii_lowercase()))
        && id.is_some_and(|id| !id.is_empty() && !id.contains("..") && !id.ends_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";

    fn read(secret: &str) -> Result<Session, Failure> {
        let places = Config::default().check().expect("settings");
        Session::read(Some(&SecretString::from(secret.to_owned())), &places)
    }

    #[test]
    fn a_session_is_read_as_it_is_written() {
        let written = Session::write(DID, "https://pds.example.com", "jwt-1");
        let kept = Credentials::bare(written).write();

        let session = read(kept.expose_secret()).expect("a session");

        assert_eq!(session.did.as_deref(), Some(DID));
        assert_eq!((session.pds.as_str(), session.expose()), ("https://pds.example.com", "jwt-1"));
        let bare = read(" jwt-2\n").expect("a session");
        assert_eq!((bare.did, bare.pds.as_str()), (None, "https://bsky.social"));
        let json = read(r#"{"access_token":"jwt-3","refresh_token":"r"}"#).expect("a session");
        assert_eq!(json.expose(), "jwt-3");
    }

    #[test]
    fn an_unusable_secret_says_what_to_do_and_is_not_shown() {
        let elsewhere = format!("{DID} http://169.254.169.254 hunter2");
        for secret in [
            "",
            "  ",
            r#"{"token":"hunter2"}"#,
            "alice hunter2",
            "a b hunter2",
            "hunter2\u{1}",
            &elsewhere,
        ] {
            let failure = read(secret).expect_err(secret);
            assert_eq!(failure.class, FailureClass::Auth);
            assert!(failure.message.contains("add the account again"), "{failure}");
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure}");
        }
        let places = Config::default().check().expect("settings");
        assert!(Session::read(None, &places).is_err());
        assert!(!format!("{:?}", read("hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_did_changes_no_path() {
        for good in [DID, "did:web:example.com", "did:web:localhost%3A3000"] {
            assert!(is_did(good), "{good}");
        }
        for bad in [
            "",
            "did",
            "did:plc:",
            "alice.test",
            "did:plc:a/b",
            "did:PLC:a",
            "did:web:..",
            "did:plc:a?b",
        ] {
            assert!(!is_did(bad), "{bad}");
        }
    }
}
