//! Grants: who agreed, which tokens are in force. A refresh token is good until it is revoked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What may happen to one request for a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantFault {
    /// The connection is cut, nothing is granted.
    CutBefore,
    /// It is granted, then the connection is cut.
    CutAfter,
    /// It is granted; the answer comes after a minute.
    HangAfter,
    /// 503 with a page, nothing is granted.
    Unavailable,
}

/// The app's id.
pub const CLIENT_ID: &str = "fake-app";

/// The app and its grants.
#[derive(Debug)]
pub(crate) struct Grants {
    /// The app's secret; empty for an installed app.
    pub(crate) secret: String,
    /// Who agrees at the address that people are sent to.
    pub(crate) person: String,
    /// Whether an answer to a refresh has its refresh token in it.
    pub(crate) repeats: bool,
    pub(crate) faults: VecDeque<GrantFault>,
    pub(crate) calls: u64,
    /// The user and the redirect URI of each code.
    codes: BTreeMap<String, (String, String)>,
    /// The user of each refresh token.
    refresh: BTreeMap<String, String>,
    revoked: BTreeSet<String>,
    given: u64,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            secret: String::new(),
            person: "me".to_owned(),
            repeats: false,
            faults: VecDeque::new(),
            calls: 0,
            codes: BTreeMap::new(),
            refresh: BTreeMap::new(),
            revoked: BTreeSet::new(),
            given: 0,
        }
    }
}

/// A refusal: its status and its body.
pub(crate) type Refused = (u16, Value);

impl Grants {
    /// A person agrees: where they are sent back to, with a code; none if the address is wrong, or has
    /// something in it that Reddit does not know.
    pub(crate) fn agree(&mut self, asked: &BTreeMap<String, String>) -> Option<String> {
        let known = ["client_id", "response_type", "state", "redirect_uri", "duration", "scope"];
        let one = |name: &str| asked.get(name).cloned().filter(|value| !value.is_empty());
        let complete = one("response_type")? == "code"
            && one("client_id")? == CLIENT_ID
            && one("duration")? == "permanent"
            && one("scope")?.split(' ').any(|scope| scope == "identity")
            && asked.keys().all(|name| known.contains(&name.as_str()));
        let (redirect_uri, state) = (one("redirect_uri")?, one("state")?);
        if !complete {
            return None;
        }
        self.given += 1;
        let code = format!("code-{}", self.given);
        let back = format!("{redirect_uri}?state={state}&code={code}#_");
        self.codes.insert(code, (self.person.clone(), redirect_uri));
        Some(back)
    }

    /// Answers a request to the token endpoint.
    pub(crate) fn answer(
        &mut self,
        authorization: Option<&str>,
        form: &BTreeMap<String, String>,
    ) -> Result<Value, Refused> {
        let one = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let pair = STANDARD.encode(format!("{CLIENT_ID}:{}", self.secret));
        if authorization != Some(format!("Basic {pair}").as_str()) {
            return Err((401, json!({ "message": "Unauthorized", "error": 401 })));
        }
        match one("grant_type") {
            "authorization_code" => {
                let known = self.codes.remove(one("code"));
                let good = known.filter(|(_, uri)| uri == one("redirect_uri") && form.len() == 3);
                // A bad code is refused with success.
                let (user, _) = good.ok_or((200, json!({ "error": "invalid_grant" })))?;
                let refresh = format!("ref-{user}-{}", self.given);
                self.refresh.insert(refresh.clone(), user.clone());
                self.revoked.remove(&user);
                Ok(self.grant(&user, Some(&refresh)))
            }
            "refresh_token" => {
                let token = one("refresh_token").to_owned();
                let user = self.refresh.get(&token).filter(|user| !self.revoked.contains(*user));
                let user = user.filter(|_| form.len() == 2).cloned();
                let user = user.ok_or((400, json!({ "error": "invalid_grant" })))?;
                let repeated = self.repeats.then_some(token.as_str());
                Ok(self.grant(&user, repeated))
            }
            _ => Err((400, json!({ "error": "unsupported_grant_type" }))),
        }
    }

    fn grant(&mut self, user: &str, refresh: Option<&str>) -> Value {
        self.given += 1;
        let mut grant = json!({
            "access_token": format!("tok-{user}.{}", self.given),
            "token_type": "bearer", "expires_in": 86_400,
            "scope": "identity submit history read flair",
        });
        if let Some(refresh) = refresh {
            grant["refresh_token"] = json!(refresh);
        }
        grant
    }

    pub(crate) fn revoke(&mut self, user: &str) {
        self.revoked.insert(user.to_owned());
    }

    /// Whose token this is: `NAME` is taken as it is, `NAME.NUMBER` while the right is not taken back.
    pub(crate) fn user_of(&self, token: &str) -> Option<String> {
        let user = token.split('.').next().filter(|user| !user.is_empty())?;
        (!token.contains('.') || !self.revoked.contains(user)).then(|| user.to_owned())
    }
}
