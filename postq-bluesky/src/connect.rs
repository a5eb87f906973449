//! Sessions: made once of an app password, and renewed ([`Refresh`]) as long as the account is used.
//!
//! The app password is asked for when an account is added and kept nowhere. An access token lives about two
//! hours; each renewal brings a new pair, and the refresh token before it ends. Bluesky allows few sign-ins
//! (30 in 5 minutes, 300 a day), so none is made to publish.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use postq_core::connect::{Grant, Refresh, Renewal, Whose};
use postq_core::failure::{Failure, FailureClass};
use postq_http::{Answer, Hidden};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::client::{Bluesky, Deadline, MOST_OF_ONE, not_published};
use crate::error::{Problem, unread};
use crate::identity::DidDocument;
use crate::session::{Session, is_did};

/// The longest that a renewal may take; shorter where `send_timeout` is.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A year is far more than any token lives; what is longer is a mistake in a unit.
const LONGEST_LIFE: Duration = Duration::from_secs(31_536_000);

#[derive(Serialize)]
struct SignIn<'a> {
    identifier: &'a str,
    password: &'a str,
}

/// A session as a server gives it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    did: String,
    handle: Option<String>,
    access_jwt: String,
    refresh_jwt: String,
    did_doc: Option<DidDocument>,
}

impl Bluesky {
    /// Makes a session of a handle, a DID or an address of mail, and an app password: what an account is
    /// added with. The server is found by the account's identity.
    ///
    /// # Errors
    ///
    /// Of class `auth` if nobody has the handle, or the password is refused.
    pub async fn sign_in(
        &self,
        identifier: &str,
        password: &SecretString,
    ) -> Result<(Grant, Whose), Failure> {
        let (deadline, password) = (self.deadline(), password.expose_secret().trim());
        let hidden = Hidden::secret(password);
        let identifier = identifier.trim();
        let (did, pds) = self.find(identifier, deadline).await?;
        let identifier = did.as_deref().unwrap_or(identifier);
        let body = serde_json::to_vec(&SignIn { identifier, password }).expect("texts are JSON");
        let body = Zeroizing::new(body);
        let request = self
            .post(&pds, "com.atproto.server.createSession")
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_vec());
        let answer = deadline
            .ask(request, MOST_OF_ONE)
            .await
            .map_err(|lost| not_published(lost.into_failure(hidden)))?;
        let given = answer.success::<Given>();
        match given
            .filter(|given| is_did(&given.did) && did.as_ref().is_none_or(|did| *did == given.did))
        {
            Some(given) => Ok(self.granted(given, &pds, self.server_now(&answer))),
            None => Err(self.not_signed_in(&answer, hidden)),
        }
    }

    fn not_signed_in(&self, answer: &Answer, hidden: Hidden<'_>) -> Failure {
        let problem = Problem::read(answer);
        let refused = |why: &str| {
            let message = hidden.hide(&problem.tell(why));
            Failure::not_published(FailureClass::Auth, message)
        };
        if problem.is("AuthFactorTokenRequired") {
            return refused("bluesky wants a code besides the password; use an app password");
        }
        match answer.status.as_u16() {
            401 => refused("bluesky does not take the handle and the app password"),
            400 | 403 if problem.concerns_the_account() => refused("bluesky refuses the account"),
            _ => not_published(unread(answer, hidden, self.server_now(answer))),
        }
    }

    fn granted(&self, given: Given, pds: &str, now: DateTime<Utc>) -> (Grant, Whose) {
        let named = given.did_doc.as_ref().and_then(DidDocument::pds);
        let pds =
            named.and_then(|named| self.places.endpoint(named)).unwrap_or_else(|| pds.to_owned());
        let (access, refresh) = (&given.access_jwt, &given.refresh_jwt);
        let grant = Grant {
            access_token: Session::write(&given.did, &pds, access),
            refresh_token: Some(Session::write(&given.did, &pds, refresh)),
            expires_in: life(access, now),
            scopes: Vec::new(),
        };
        (grant, Whose { remote_id: given.did, name: given.handle })
    }
}

/// How long a token lives, as it says itself. It is a server's own matter what its tokens look like, so this may
/// tell nothing.
fn life(token: &str, now: DateTime<Utc>) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    let left = (DateTime::from_timestamp(exp, 0)? - now).to_std().ok()?;
    Some(left.min(LONGEST_LIFE))
}

#[async_trait]
impl Refresh for Bluesky {
    fn timeout(&self) -> Duration {
        TIMEOUT.min(self.config.send_timeout)
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Renewal, Failure> {
        let session = match Session::parse(refresh_token.expose_secret(), &self.places) {
            Ok(session) => session,
            Err(why) => return Ok(Renewal::Refused(why.to_owned())),
        };
        let hidden = Hidden::secret(session.expose());
        let request = session
            .sign(self.post(&session.pds, "com.atproto.server.refreshSession"))
            .header(CONTENT_LENGTH, "0");
        let answer = Deadline::after(Refresh::timeout(self))
            .ask(request, MOST_OF_ONE)
            .await
            .map_err(|lost| lost.into_failure(hidden))?;
        let now = self.server_now(&answer);
        let is_ours = |given: &Given| {
            is_did(&given.did) && session.did.as_ref().is_none_or(|did| *did == given.did)
        };
        if answer.status.is_success() {
            return match answer.read::<Given>().filter(is_ours) {
                Some(given) => Ok(Renewal::Renewed(self.granted(given, &session.pds, now).0)),
                None => {
                    let what = "bluesky gave a session that cannot be read";
                    Err(Failure::unknown(FailureClass::Platform, what))
                }
            };
        }
        let problem = Problem::read(&answer);
        let is_of_the_token = matches!(answer.status.as_u16(), 400 | 401)
            && ["ExpiredToken", "InvalidToken", "AuthenticationRequired"]
                .iter()
                .any(|it| problem.is(it));
        if is_of_the_token {
            let told = hidden.hide(&problem.tell("bluesky renews the session no more"));
            return Ok(Renewal::Refused(told));
        }
        Err(unread(&answer, hidden, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_end_or_nothing() {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));

        assert_eq!(life(&jwt(r#"{"exp":1007200}"#), now), Some(Duration::from_secs(7_200)));
        assert_eq!(life(&jwt(r#"{"exp":99999999999}"#), now), Some(LONGEST_LIFE));
        for bad in
            ["opaque", "a.b.c", &jwt("{}"), &jwt(r#"{"exp":999999}"#), &jwt(r#"{"exp":"x"}"#)]
        {
            assert_eq!(life(bad, now), None, "{bad}");
        }
    }
}
