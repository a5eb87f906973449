//! Both logins: who agrees, which tokens are in force.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fake_http::{Answer, Canned};
use serde_json::{Value, json};

use crate::answers::{answer, error, from_canned, invalid, refuse};
use crate::body::Fields;

/// The app's id.
pub const APP_ID: &str = "1234567890";
/// The app's secret.
pub const APP_SECRET: &str = "app-s3cret/";

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

/// A Page that the person who agrees manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRole {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether the person may publish there.
    pub may_publish: bool,
}

/// The app and its grants.
#[derive(Debug)]
pub struct Grants {
    /// Who agrees at Instagram.
    pub person: String,
    /// The Pages of who agrees at Facebook.
    pub pages: Vec<PageRole>,
    /// What the next requests for a grant meet, one each.
    pub faults: VecDeque<GrantFault>,
    /// Requests for a grant so far.
    pub calls: u64,
    /// How old a token must be to be extended. Defaults to nothing: tests are quick.
    pub least_age: Duration,
    /// Whether the answer to a code of Instagram is in a list. Defaults to no.
    pub listed: bool,
    /// Whether extending brings the same token again. Defaults to no.
    pub same_token: bool,
    codes: BTreeMap<String, String>,
    tokens: BTreeMap<String, Given>,
    given: u64,
}

#[derive(Clone, Debug)]
struct Given {
    user: String,
    at: DateTime<Utc>,
    ends: DateTime<Utc>,
    long: bool,
}

const HOUR: TimeDelta = TimeDelta::hours(1);
const SIXTY_DAYS: TimeDelta = TimeDelta::days(60);

impl Default for Grants {
    fn default() -> Self {
        Self {
            person: "42".to_owned(),
            pages: vec![PageRole {
                id: "42".to_owned(),
                name: "A Page".to_owned(),
                may_publish: true,
            }],
            faults: VecDeque::new(),
            calls: 0,
            least_age: Duration::ZERO,
            listed: false,
            same_token: false,
            codes: BTreeMap::new(),
            tokens: BTreeMap::new(),
            given: 0,
        }
    }
}

impl Grants {
    /// Ends every token that was granted.
    pub fn end_all(&mut self) {
        self.tokens.clear();
    }

    /// Whose token this is: `tok-ID` is taken as it is, one that was granted until it ends.
    pub(crate) fn user_of(&self, token: &str, now: DateTime<Utc>) -> Option<String> {
        if let Some(given) = self.tokens.get(token) {
            return (now < given.ends).then(|| given.user.clone());
        }
        let user = token.strip_prefix("tok-")?;
        user.bytes().all(|c| c.is_ascii_digit()).then(|| user.to_owned())
    }

    /// A person agrees, at once: where they are sent back to.
    pub(crate) fn agree(&mut self, fields: &Fields) -> Answer {
        let listed = ["client_id", "redirect_uri", "state", "response_type", "scope"];
        let is_complete = fields.unlisted(&listed).is_none()
            && fields.text("client_id") == Some(APP_ID)
            && fields.text("response_type") == Some("code")
            && fields.text("scope").is_some_and(|scope| !scope.is_empty());
        let (Some(back), Some(state), true) =
            (fields.text("redirect_uri"), fields.text("state"), is_complete)
        else {
            return *invalid("the dialog");
        };
        self.given += 1;
        let code = format!("AQ-code-{}", self.given);
        self.codes.insert(code.clone(), back.to_owned());
        let back = format!("{back}?code={code}&state={state}#_");
        from_canned(&Canned::new(302, "").with("location", &back))
    }

    /// Answers a request for a grant.
    pub(crate) fn grant(
        &mut self,
        method: &str,
        path: &[&str],
        fields: &Fields,
        now: DateTime<Utc>,
    ) -> Answer {
        match (method, path) {
            ("GET", ["v25.0", "oauth", "access_token"]) => self.facebook(fields, now),
            ("POST", ["oauth", "access_token"]) => self.code_of_instagram(fields, now),
            ("GET", ["access_token"]) => self.exchange(fields, now),
            ("GET", ["refresh_access_token"]) => self.extend(fields, now),
            _ => *invalid("the path"),
        }
    }

    fn facebook(&mut self, fields: &Fields, now: DateTime<Utc>) -> Answer {
        let is_app = fields.text("client_id") == Some(APP_ID)
            && fields.text("client_secret") == Some(APP_SECRET);
        if !is_app {
            return refuse(101, 0, "Error validating application. Cannot get application info");
        }
        if fields.text("grant_type").is_none() {
            let listed = ["client_id", "client_secret", "redirect_uri", "code"];
            if let Some(name) = fields.unlisted(&listed) {
                return *invalid(name);
            }
            if !self.takes_code(fields) {
                return refuse(100, 36_009, "This authorization code has been used.");
            }
            let token = self.give("person", now, HOUR, false);
            return granted(&token, HOUR);
        }
        let listed = ["grant_type", "client_id", "client_secret", "fb_exchange_token"];
        if let Some(name) = fields.unlisted(&listed) {
            return *invalid(name);
        }
        match self.known(fields.text("fb_exchange_token"), now) {
            Some(given) => {
                let token = self.give(&given.user, now, SIXTY_DAYS, true);
                granted(&token, SIXTY_DAYS)
            }
            None => refuse(190, 463, "Error validating access token"),
        }
    }

    /// Answers `GET /me/accounts`.
    pub(crate) fn pages(&mut self, token: Option<&str>) -> Option<Answer> {
        let person = token.and_then(|token| self.tokens.get(token))?;
        if person.user != "person" || !person.long {
            return None;
        }
        let at = person.at;
        let pages = self.pages.clone();
        let pages: Vec<Value> = pages
            .iter()
            .map(|page| {
                let token = self.give(&page.id, at, TimeDelta::days(36_500), true);
                { let task = if page.may_publish { "CREATE_CONTENT" } else { "ANALYZE" }; json!({ "id": page.id, "name": page.name, "access_token": token, "tasks": [task] }) }
            })
            .collect();
        Some(answer(200, &json!({ "data": pages })))
    }

    fn code_of_instagram(&mut self, fields: &Fields, now: DateTime<Utc>) -> Answer {
        let listed = ["client_id", "client_secret", "grant_type", "redirect_uri", "code"];
        let older = |message: &str| {
            let body =
                json!({ "error_type": "OAuthException", "code": 400, "error_message": message });
            answer(400, &body)
        };
        let is_good = fields.unlisted(&listed).is_none()
            && fields.text("grant_type") == Some("authorization_code")
            && fields.text("client_id") == Some(APP_ID)
            && fields.text("client_secret") == Some(APP_SECRET);
        if !is_good {
            return older("Invalid platform app");
        }
        if !self.takes_code(fields) {
            return older("Matching code was not found or was already used");
        }
        let token = self.give(&self.person.clone(), now, HOUR, false);
        let told = json!({ "access_token": token, "user_id": self.person, "permissions": "all" });
        match self.listed {
            true => answer(200, &json!({ "data": [told] })),
            false => answer(200, &told),
        }
    }

    fn exchange(&mut self, fields: &Fields, now: DateTime<Utc>) -> Answer {
        if let Some(name) = fields.unlisted(&["grant_type", "client_secret", "access_token"]) {
            return *invalid(name);
        }
        let is_good = fields.text("grant_type") == Some("ig_exchange_token")
            && fields.text("client_secret") == Some(APP_SECRET);
        match self.known(fields.text("access_token"), now).filter(|_| is_good) {
            Some(given) => {
                let token = self.give(&given.user, now, SIXTY_DAYS, true);
                granted(&token, SIXTY_DAYS)
            }
            None => refuse(190, 0, "Invalid OAuth access token"),
        }
    }

    fn extend(&mut self, fields: &Fields, now: DateTime<Utc>) -> Answer {
        if let Some(name) = fields.unlisted(&["grant_type", "access_token"]) {
            return *invalid(name);
        }
        let is_good = fields.text("grant_type") == Some("ig_refresh_token");
        let token = fields.text("access_token").unwrap_or_default().to_owned();
        let Some(given) = self.known(Some(&token), now).filter(|given| is_good && given.long)
        else {
            return answer(400, &error(190, 463, "Session has expired"));
        };
        if (now - given.at).to_std().unwrap_or_default() < self.least_age {
            return refuse(10, 0, "The token is less than 24 hours old");
        }
        if self.same_token {
            let extended = Given { at: now, ends: now + SIXTY_DAYS, ..given };
            self.tokens.insert(token.clone(), extended);
            return granted(&token, SIXTY_DAYS);
        }
        let token = self.give(&given.user, now, SIXTY_DAYS, true);
        granted(&token, SIXTY_DAYS)
    }

    fn takes_code(&mut self, fields: &Fields) -> bool {
        let back = self.codes.remove(fields.text("code").unwrap_or_default());
        back.is_some() && back.as_deref() == fields.text("redirect_uri")
    }

    fn known(&self, token: Option<&str>, now: DateTime<Utc>) -> Option<Given> {
        self.tokens.get(token?).filter(|given| now < given.ends).cloned()
    }

    fn give(&mut self, user: &str, now: DateTime<Utc>, lives: TimeDelta, long: bool) -> String {
        self.given += 1;
        let token = format!("granted-{user}-{}", self.given);
        let given = Given { user: user.to_owned(), at: now, ends: now + lives, long };
        self.tokens.insert(token.clone(), given);
        token
    }
}

fn granted(token: &str, lives: TimeDelta) -> Answer {
    let body =
        json!({ "access_token": token, "token_type": "bearer", "expires_in": lives.num_seconds() });
    answer(200, &body)
}
