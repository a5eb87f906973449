//! Accounts and their sessions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postq_core::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const ACCESS_LIVES: i64 = 7_200;
const REFRESH_LIVES: i64 = 90 * 86_400;

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) did: String,
    pub(crate) handle: String,
    app_password: String,
}

/// What a token is good for.
#[derive(Clone, Debug)]
struct Given {
    did: String,
    ended: bool,
    /// The pair that it brought, if it is a refresh token and spent.
    next: Option<(String, String)>,
}

/// A refusal: status, error, message.
pub(crate) type Refusal = (u16, &'static str, &'static str);

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    users: Vec<User>,
    access: BTreeMap<String, Given>,
    refresh: BTreeMap<String, Given>,
    made: u64,
    pub(crate) calls: u64,
    pub(crate) grace: bool,
}

impl Sessions {
    pub(crate) fn add_user(&mut self, handle: &str, app_password: &str) -> String {
        let hash = Sha256::digest(handle);
        let id: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let did = format!("did:plc:{id}");
        let (handle, app_password) = (handle.to_owned(), app_password.to_owned());
        self.users.push(User { did: did.clone(), handle, app_password });
        did
    }

    pub(crate) fn user(&self, identifier: &str) -> Option<&User> {
        self.users.iter().find(|user| user.did == identifier || user.handle == identifier)
    }

    /// A new access token.
    pub(crate) fn access(&mut self, did: &str) -> String {
        let token = self.token(did, "access", ACCESS_LIVES);
        let given = Given { did: did.to_owned(), ended: false, next: None };
        self.access.insert(token.clone(), given);
        token
    }

    /// Whose an access token is.
    pub(crate) fn user_of(&self, token: Option<&str>) -> Result<String, Refusal> {
        let token = token.ok_or((401, "AuthMissing", "Authentication Required"))?;
        match self.access.get(token) {
            Some(given) if given.ended => Err((400, "ExpiredToken", "Token has expired")),
            Some(given) => Ok(given.did.clone()),
            None => Err((400, "InvalidToken", "Malformed token")),
        }
    }

    pub(crate) fn sign_in(&mut self, identifier: &str, password: &str) -> Result<Value, Refusal> {
        let wrong = (401, "AuthenticationRequired", "Invalid identifier or password");
        let user = self.user(identifier).filter(|user| user.app_password == password);
        let did = user.ok_or(wrong)?.did.clone();
        Ok(self.session(&did).1)
    }

    pub(crate) fn renew(&mut self, token: Option<&str>) -> Result<Value, Refusal> {
        let token = token.ok_or((401, "AuthMissing", "Authentication Required"))?;
        if self.access.contains_key(token) {
            return Err((400, "InvalidToken", "Invalid token type"));
        }
        let given =
            self.refresh.get(token).ok_or((400, "InvalidToken", "Malformed token"))?.clone();
        match given.next {
            Some((access, refresh)) if self.grace && !given.ended => {
                Ok(self.written(&given.did, &access, &refresh))
            }
            None if !given.ended => {
                let (pair, session) = self.session(&given.did);
                if let Some(spent) = self.refresh.get_mut(token) {
                    spent.next = Some(pair);
                }
                Ok(session)
            }
            _ => Err((400, "ExpiredToken", "Token has been revoked")),
        }
    }

    pub(crate) fn expire_access(&mut self) {
        self.access.values_mut().for_each(|given| given.ended = true);
    }

    pub(crate) fn revoke(&mut self) {
        self.refresh.values_mut().for_each(|given| given.ended = true);
    }

    fn session(&mut self, did: &str) -> ((String, String), Value) {
        let access = self.access(did);
        let refresh = self.token(did, "refresh", REFRESH_LIVES);
        let given = Given { did: did.to_owned(), ended: false, next: None };
        self.refresh.insert(refresh.clone(), given);
        let written = self.written(did, &access, &refresh);
        ((access, refresh), written)
    }

    fn written(&self, did: &str, access: &str, refresh: &str) -> Value {
        let handle = self.user(did).map_or("handle.invalid", |user| user.handle.as_str());
        json!({ "did": did, "handle": handle, "accessJwt": access, "refreshJwt": refresh, "active": true })
    }

    fn token(&mut self, did: &str, kind: &str, lives: i64) -> String {
        self.made += 1;
        let exp = SystemClock.now().timestamp() + lives;
        let claims = json!({ "sub": did, "scope": kind, "exp": exp, "jti": self.made });
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }
}
