//! Grants: who agreed, which tokens are in force. A refresh token is good for one call.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use fake_http::form;
use serde_json::{Value, json};

/// The app's id.
pub const CLIENT_ID: &str = "1234567";
/// The app's secret.
pub const CLIENT_SECRET: &str = "s3cret:/";

const LIFE: TimeDelta = TimeDelta::days(30);
const REFRESH_LIFE: TimeDelta = TimeDelta::days(60);
const SCOPES: &str = "boards:read,boards:write,pins:read,pins:write,user_accounts:read";

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
    /// Who agrees at the address that people are sent to.
    person: String,
    keeps_refresh_tokens: bool,
    faults: VecDeque<GrantFault>,
    calls: u64,
    /// By code: who agreed, and where they were sent back to.
    codes: BTreeMap<String, (String, String)>,
    chains: BTreeMap<String, Chain>,
    given: u64,
}

#[derive(Debug)]
struct Chain {
    access: u64,
    refresh: u64,
    ends: DateTime<Utc>,
}

/// A refusal: its status and its body.
pub(crate) type Refused = (u16, Value);

fn refused(status: u16, code: u64, message: &str) -> Refused {
    (status, json!({ "code": code, "message": message }))
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            person: "42".to_owned(),
            keeps_refresh_tokens: false,
            faults: VecDeque::new(),
            calls: 0,
            codes: BTreeMap::new(),
            chains: BTreeMap::new(),
            given: 0,
        }
    }
}

impl Grants {
    pub(crate) fn set_person(&mut self, person: &str) {
        person.clone_into(&mut self.person);
    }

    pub(crate) fn keep_refresh_tokens(&mut self) {
        self.keeps_refresh_tokens = true;
    }

    pub(crate) fn meet(&mut self, faults: impl IntoIterator<Item = GrantFault>) {
        self.faults.extend(faults);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Counts a call; what happens to it.
    pub(crate) fn called(&mut self) -> Option<GrantFault> {
        self.calls += 1;
        self.faults.pop_front()
    }

    /// A person agrees: where they are sent back to, with a code; none if the address is wrong.
    pub(crate) fn agree(&mut self, query: &str) -> Option<String> {
        let asked: BTreeMap<String, String> = form(query).into_iter().collect();
        let known =
            ["client_id", "redirect_uri", "response_type", "state", "scope"].map(str::to_owned);
        let complete = asked.len() == known.len()
            && known.iter().all(|name| asked.contains_key(name))
            && asked["response_type"] == "code"
            && asked["client_id"] == CLIENT_ID
            && asked["scope"].split(',').all(|scope| SCOPES.split(',').any(|own| own == scope));
        if !complete {
            return None;
        }
        self.given += 1;
        let code = format!("code-{}", self.given);
        let (redirect_uri, state) = (asked["redirect_uri"].clone(), &asked["state"]);
        let back = format!("{redirect_uri}?state={state}&code={code}");
        self.codes.insert(code, (self.person.clone(), redirect_uri));
        Some(back)
    }

    /// Answers a request to the token endpoint.
    pub(crate) fn answer(
        &mut self,
        authorization: Option<&str>,
        body: &str,
        now: DateTime<Utc>,
    ) -> Result<Value, Refused> {
        let pair = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
        if authorization != Some(format!("Basic {pair}").as_str()) {
            return Err(refused(401, 2, "Authentication failed."));
        }
        let form: BTreeMap<String, String> = form(body).into_iter().collect();
        let one = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let kind = one("grant_type");
        let known: &[&str] = match kind {
            "authorization_code" => &["grant_type", "code", "redirect_uri", "continuous_refresh"],
            "refresh_token" => &["grant_type", "refresh_token", "scope"],
            _ => return Err(refused(400, 1, "Invalid grant type.")),
        };
        if form.keys().any(|name| !known.contains(&name.as_str())) {
            return Err(refused(400, 1, "Invalid request."));
        }
        if kind == "authorization_code" {
            let code = self.codes.remove(one("code"));
            let user = code.filter(|(_, back)| back == one("redirect_uri")).map(|(user, _)| user);
            let user = user.ok_or_else(|| refused(400, 283, "Invalid authorization code."))?;
            return Ok(self.grant(&user, kind, now));
        }
        let token = one("refresh_token").strip_prefix("ref-").and_then(|it| it.split_once('.'));
        let user = token.filter(|(user, number)| {
            self.chains.get(*user).is_some_and(|chain| number.parse() == Ok(chain.refresh))
        });
        let (user, _) = user.ok_or_else(|| refused(400, 283, "Invalid refresh token."))?;
        let user = user.to_owned();
        Ok(self.grant(&user, kind, now))
    }

    /// A new grant; the one before is spent.
    fn grant(&mut self, user: &str, kind: &str, now: DateTime<Utc>) -> Value {
        self.given += 1;
        let access = self.given;
        let before = self.chains.get(user).map(|chain| chain.refresh);
        let kept = before.filter(|_| kind == "refresh_token" && self.keeps_refresh_tokens);
        let refresh = kept.unwrap_or(access);
        self.chains.insert(user.to_owned(), Chain { access, refresh, ends: now + LIFE });
        let mut grant = json!({
            "access_token": format!("tok-{user}.{access}"),
            "response_type": kind,
            "token_type": "bearer",
            "expires_in": LIFE.num_seconds(),
            "scope": SCOPES,
        });
        if kept.is_none() {
            grant["refresh_token"] = json!(format!("ref-{user}.{refresh}"));
            grant["refresh_token_expires_in"] = json!(REFRESH_LIFE.num_seconds());
            grant["refresh_token_expires_at"] = json!((now + REFRESH_LIFE).timestamp());
        }
        grant
    }

    /// Whose token this is: `USER` is taken as it is, `USER.NUMBER` while it is in force.
    pub(crate) fn user_of(&self, token: &str, now: DateTime<Utc>) -> Option<String> {
        match token.split_once('.') {
            None => (!token.is_empty()).then(|| token.to_owned()),
            Some((user, number)) => {
                let chain = self.chains.get(user)?;
                let good = number.parse() == Ok(chain.access) && now < chain.ends;
                good.then(|| user.to_owned())
            }
        }
    }
}
