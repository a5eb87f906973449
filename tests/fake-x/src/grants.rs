//! Grants: who agreed, which tokens are in force. A refresh token is good for one call.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use fake_http::form;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What may happen to one request for a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantFault {
    /// The connection is cut, nothing is granted.
    CutBefore,
    /// It is granted, then the connection is cut.
    CutAfter,
    /// It is granted; the answer comes after [`Faults::hang`](crate::Faults::hang).
    HangAfter,
    /// 503, nothing is granted.
    Unavailable,
}

/// The app and its grants.
#[derive(Debug)]
pub(crate) struct Grants {
    /// The app's secret; without one it is a public client.
    pub(crate) secret: Option<String>,
    /// Who agrees at the address that people are sent to.
    pub(crate) person: String,
    /// The next one does not.
    pub(crate) declines: bool,
    /// How long an access token lives.
    pub(crate) life: Duration,
    pub(crate) faults: VecDeque<GrantFault>,
    pub(crate) calls: u64,
    codes: BTreeMap<String, Code>,
    chains: BTreeMap<String, Chain>,
    given: u64,
}

#[derive(Debug)]
struct Code {
    user: String,
    redirect_uri: String,
    challenge: String,
}

#[derive(Debug)]
struct Chain {
    number: u64,
    ends: DateTime<Utc>,
    revoked: bool,
}

/// The app's id.
pub const CLIENT_ID: &str = "fake-app";

impl Default for Grants {
    fn default() -> Self {
        Self {
            secret: None,
            person: "42".to_owned(),
            declines: false,
            life: Duration::from_secs(7_200),
            faults: VecDeque::new(),
            calls: 0,
            codes: BTreeMap::new(),
            chains: BTreeMap::new(),
            given: 0,
        }
    }
}

/// A refusal: its status and its body.
pub(crate) type Refused = (u16, Value);

fn refused(status: u16, error: &str, why: &str) -> Refused {
    (status, json!({ "error": error, "error_description": why }))
}

impl Grants {
    /// A person agrees, or declines: where they are sent back to; none if the address is wrong.
    pub(crate) fn agree(&mut self, query: &str) -> Option<String> {
        let asked: BTreeMap<String, String> = form(query).into_iter().collect();
        let one = |name: &str| asked.get(name).cloned().filter(|value| !value.is_empty());
        let complete = one("response_type")? == "code"
            && one("client_id")? == CLIENT_ID
            && one("code_challenge_method")? == "S256"
            && one("scope")?.split(' ').any(|scope| scope == "users.read");
        if !complete {
            return None;
        }
        let (redirect_uri, state) = (one("redirect_uri")?, one("state")?);
        if std::mem::take(&mut self.declines) {
            return Some(format!("{redirect_uri}?error=access_denied&state={state}"));
        }
        self.given += 1;
        let code = format!("code-{}", self.given);
        let back = format!("{redirect_uri}?state={state}&code={code}");
        let challenge = one("code_challenge")?;
        let user = self.person.clone();
        self.codes.insert(code, Code { user, redirect_uri, challenge });
        Some(back)
    }

    /// Answers a request to the token endpoint.
    pub(crate) fn answer(
        &mut self,
        authorization: Option<&str>,
        body: &str,
        now: DateTime<Utc>,
    ) -> Result<Value, Refused> {
        let form: BTreeMap<String, String> = form(body).into_iter().collect();
        let one = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        self.ensure_app(authorization, &form)?;
        let worthless = |what: &str| {
            refused(400, "invalid_request", &format!("Value passed for the {what} was invalid."))
        };
        let user = match one("grant_type") {
            "authorization_code" => {
                let code = self.codes.remove(one("code"));
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(one("code_verifier")));
                code.filter(|code| {
                    code.challenge == challenge && code.redirect_uri == one("redirect_uri")
                })
                .ok_or_else(|| worthless("authorization code"))?
                .user
            }
            "refresh_token" => {
                let token = one("refresh_token").strip_prefix("ref-");
                token.and_then(|token| self.in_force(token)).ok_or_else(|| worthless("token"))?
            }
            _ => return Err(worthless("grant type")),
        };
        Ok(self.grant(&user, now))
    }

    /// Takes a token back; one that is good for nothing is no trouble.
    pub(crate) fn take_back(
        &mut self,
        authorization: Option<&str>,
        body: &str,
    ) -> Result<Value, Refused> {
        let form: BTreeMap<String, String> = form(body).into_iter().collect();
        self.ensure_app(authorization, &form)?;
        let token = form.get("token").map(String::as_str).unwrap_or_default();
        let token = token.strip_prefix("ref-").or_else(|| token.strip_prefix("tok-"));
        if let Some(user) = token.and_then(|token| self.in_force(token)) {
            self.revoke(&user);
        }
        Ok(json!({ "revoked": true }))
    }

    fn ensure_app(
        &self,
        authorization: Option<&str>,
        form: &BTreeMap<String, String>,
    ) -> Result<(), Refused> {
        let known = match &self.secret {
            None => {
                authorization.is_none() && form.get("client_id").is_some_and(|id| id == CLIENT_ID)
            }
            Some(secret) => {
                let pair = STANDARD.encode(format!("{CLIENT_ID}:{secret}"));
                authorization == Some(format!("Basic {pair}").as_str())
            }
        };
        let why = "Missing valid authorization header";
        known.then_some(()).ok_or_else(|| refused(401, "unauthorized_client", why))
    }

    /// A new grant; the one before is spent.
    pub(crate) fn grant(&mut self, user: &str, now: DateTime<Utc>) -> Value {
        self.given += 1;
        let chain = Chain { number: self.given, ends: now + self.life, revoked: false };
        let name = format!("{user}.{}", chain.number);
        self.chains.insert(user.to_owned(), chain);
        json!({
            "token_type": "bearer",
            "expires_in": self.life.as_secs(),
            "access_token": format!("tok-{name}"),
            "refresh_token": format!("ref-{name}"),
            "scope": "tweet.read tweet.write media.write users.read offline.access",
        })
    }

    pub(crate) fn revoke(&mut self, user: &str) {
        if let Some(chain) = self.chains.get_mut(user) {
            chain.revoked = true;
        }
    }

    /// Whose token this is: `USER` is taken as it is, `USER.NUMBER` while it is in force.
    pub(crate) fn user_of(&self, token: &str, now: DateTime<Utc>) -> Option<String> {
        match token.split_once('.') {
            None => (!token.is_empty()).then(|| token.to_owned()),
            Some((user, _)) => {
                let good = self.chains.get(user).is_some_and(|chain| now < chain.ends);
                self.in_force(token).filter(|_| good)
            }
        }
    }

    fn in_force(&self, token: &str) -> Option<String> {
        let (user, number) = token.split_once('.')?;
        let chain = self.chains.get(user)?;
        let good = !chain.revoked && number.parse() == Ok(chain.number);
        good.then(|| user.to_owned())
    }
}
