//! [`Connect`] and [`Refresh`] for Reddit: OAuth 2 with a code, without PKCE, which Reddit does not have.
//!
//! A refresh token of Reddit is good until the user takes the right back. It may come again in an answer or
//! not; the old one is kept where none comes. The token endpoint may refuse with status 200, so an answer
//! without an access token is no grant, whatever its status.

use std::time::Duration;

use async_trait::async_trait;
use postq_core::connect::{Asked, Connect, Grant, Nonce, Refresh, Renewal, Whose};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_http::{Answer, Granted, Hidden, ask, basic, form, within};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{MOST_OF_ONE, Reddit, token_of};
use crate::limits::wait_after_429;
use crate::submit::FORM;

/// The longest that a call for a grant may take; shorter where `send_timeout` is.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is asked for: the least that publishes, finds again, and knows what a community takes.
const ASKS: [Asked; 5] = [
    Asked { scope: "identity", why: "to know whose account it is" },
    Asked { scope: "submit", why: "to publish posts" },
    Asked { scope: "history", why: "to find a post again whose answer was lost" },
    Asked { scope: "read", why: "to read what a community takes, and how posts are received" },
    Asked { scope: "flair", why: "to know the flairs that a community has" },
];

/// The app that accounts are connected through.
struct App<'a> {
    id: &'a str,
    secret: &'a str,
}

impl Reddit {
    fn app(&self) -> Result<App<'_>, String> {
        let secret = self.config.client_secret.as_ref();
        let secret = secret.map(ExposeSecret::expose_secret).unwrap_or_default();
        match self.config.client_id.as_deref() {
            Some(id) => Ok(App { id, secret }),
            None => Err("REDDIT_CLIENT_ID is not set: the id of the app at Reddit".to_owned()),
        }
    }

    /// Asks for a grant, once: the grant, or what Reddit says is wrong with what it was asked for with.
    async fn ask_grant(
        &self,
        fields: &[(&str, &str)],
        secret: &str,
    ) -> Result<Result<Grant, String>, Failure> {
        let hide = |failure: Failure| Failure {
            message: Hidden::secret(secret).hide(&failure.message),
            ..failure
        };
        let app = self.app().map_err(|why| Failure::not_published(FailureClass::Internal, why))?;
        let request = self
            .post_auth("/api/v1/access_token")
            .header(AUTHORIZATION, basic(app.id, app.secret))
            .header(CONTENT_TYPE, FORM)
            .body(form(fields).as_bytes().to_vec());
        let answer = ask("reddit", request, MOST_OF_ONE, within(Refresh::timeout(self)))
            .await
            .map_err(|lost| hide(lost.into_failure(Hidden::default())))?;
        if let Some(granted) = answer.read::<Granted>().filter(|_| answer.status.is_success()) {
            return Ok(Ok(granted.into()));
        }
        let refusal = Refusal::read(&answer);
        match (answer.status.as_u16(), refusal.word()) {
            (200..=299 | 400, Some(error)) => {
                Ok(Err(Hidden::secret(secret).hide(&refusal.told(error))))
            }
            _ => Err(hide(self.trouble(&answer))),
        }
    }

    /// An answer that says nothing of what a grant was asked for with.
    fn trouble(&self, answer: &Answer) -> Failure {
        let status = answer.status.as_u16();
        let failed =
            |class, what: &str| Failure::unknown(class, format!("reddit {what} ({status})"));
        match status {
            200..=299 => failed(FailureClass::Platform, "gave a grant that cannot be read"),
            401 => failed(
                FailureClass::Auth,
                "does not know the app: check REDDIT_CLIENT_ID and REDDIT_CLIENT_SECRET",
            ),
            403 => {
                failed(FailureClass::Platform, "does not talk to this app: check REDDIT_USER_AGENT")
            }
            429 => {
                let wait = wait_after_429(&answer.headers, self.server_now(answer));
                failed(FailureClass::RateLimit, "asks to wait")
                    .with_wait(LimitScope::App, wait.for_)
            }
            _ => failed(FailureClass::Platform, "answered"),
        }
    }
}

#[async_trait]
impl Connect for Reddit {
    fn asks(&self) -> &[Asked] {
        &ASKS
    }

    fn redirect_uri(&self) -> Result<&str, String> {
        self.app()?;
        self.config.redirect_uri.as_deref().ok_or_else(|| {
            "REDDIT_REDIRECT_URI is not set: where Reddit sends people back to, as it is set for the \
             app at Reddit"
                .to_owned()
        })
    }

    /// The verifier is not used: Reddit binds a code to the app and the redirect URI alone.
    fn authorize(&self, state: &Nonce, _: &Nonce) -> Result<String, String> {
        let redirect_uri = Connect::redirect_uri(self)?;
        let scopes: Vec<&str> = ASKS.iter().map(|asked| asked.scope).collect();
        let query = form(&[
            ("client_id", self.app()?.id),
            ("response_type", "code"),
            ("state", state.expose()),
            ("redirect_uri", redirect_uri),
            // Anything else brings no refresh token.
            ("duration", "permanent"),
            ("scope", &scopes.join(" ")),
        ]);
        Ok(format!("{}/api/v1/authorize?{}", self.bases.auth.url, query.as_str()))
    }

    async fn exchange(
        &self,
        code: &SecretString,
        _: &Nonce,
        _: Option<&str>,
    ) -> Result<Grant, Failure> {
        let unset = |why| Failure::not_published(FailureClass::Internal, why);
        let redirect_uri = Connect::redirect_uri(self).map_err(unset)?;
        let code = code.expose_secret();
        let fields =
            [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect_uri)];
        self.ask_grant(&fields, code).await?.map_err(|told| {
            let message = format!("reddit refuses the code: {told}; connect again");
            Failure::not_published(FailureClass::Auth, message)
        })
    }

    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure> {
        let token = token_of(Some(&grant.access_token))?;
        let whoami = self.ask_whoami(&token, self.config.send_timeout).await?;
        Ok(Whose { remote_id: whoami.name.clone(), name: Some(whoami.name) })
    }
}

#[async_trait]
impl Refresh for Reddit {
    fn timeout(&self) -> Duration {
        TIMEOUT.min(self.config.send_timeout)
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Renewal, Failure> {
        let token = refresh_token.expose_secret();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        match self.ask_grant(&fields, token).await? {
            Ok(grant) => {
                // The same one again says that it is still taken.
                let new = grant.refresh_token.filter(|new| new.expose_secret() != token);
                Ok(Renewal::Renewed(Grant { refresh_token: new, ..grant }))
            }
            Err(told) if told.starts_with("invalid_grant") => {
                Ok(Renewal::Refused(format!("reddit renews the token no more: {told}")))
            }
            Err(told) => {
                Err(Failure::unknown(FailureClass::Platform, format!("reddit answered: {told}")))
            }
        }
    }
}

/// What the token endpoint says is wrong: a word of OAuth's, or where it does not speak OAuth, a number,
/// which says nothing of the token.
#[derive(Default, Deserialize)]
struct Refusal {
    error: Option<Value>,
    error_description: Option<Value>,
}

impl Refusal {
    fn read(answer: &Answer) -> Self {
        answer.read().unwrap_or_default()
    }

    fn word(&self) -> Option<&str> {
        let word = self.error.as_ref()?.as_str()?;
        (!word.trim().is_empty()).then_some(word)
    }

    fn told(&self, error: &str) -> String {
        match self.error_description.as_ref().and_then(Value::as_str) {
            Some(words) if !words.is_empty() => format!("{error}: {words}"),
            _ => error.to_owned(),
        }
    }
}
