//! [`Connect`], [`Refresh`] and [`Revoke`] for X: OAuth 2 with PKCE.
//!
//! A refresh token of X is good for one call. What X answers to a spent one is `invalid_request`, and by
//! some accounts `invalid_grant`; both are a refusal. Every other answer, and none, says nothing of it.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postq_core::connect::{Asked, Connect, Grant, Nonce, Refresh, Renewal, Revoke, Whose};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_http::{Answer, Granted, Hidden, Token, ask, basic, form, within};
use reqwest::header::AUTHORIZATION;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::client::{MOST_OF_ONE, X};
use crate::limits;

/// The longest that a call for a grant may take; shorter where `send_timeout` is.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is asked for: the least that publishes, finds again and stays connected.
const ASKS: [Asked; 5] = [
    Asked { scope: "tweet.write", why: "to publish posts" },
    Asked { scope: "media.write", why: "to upload pictures and videos" },
    Asked { scope: "tweet.read", why: "to find a post again whose answer was lost" },
    Asked { scope: "users.read", why: "to know whose account it is" },
    Asked { scope: "offline.access", why: "to stay connected for longer than two hours" },
];

/// The app that accounts are connected through.
struct App<'a> {
    id: &'a str,
    secret: Option<&'a SecretString>,
}

impl X {
    fn app(&self) -> Result<App<'_>, String> {
        match self.config.client_id.as_deref() {
            Some(id) => Ok(App { id, secret: self.config.client_secret.as_ref() }),
            None => Err("X_CLIENT_ID is not set: the id of the app at X".to_owned()),
        }
    }

    /// Asks for a grant, once.
    async fn ask_grant(
        &self,
        fields: &[(&str, &str)],
        hidden: [&str; 2],
    ) -> Result<Result<Grant, Answer>, Failure> {
        let mut answer = self.ask_app("/oauth2/token", fields, hidden).await?;
        if !answer.status.is_success() {
            return match answer.status.as_u16() {
                400 => Ok(Err(answer)),
                _ => Err(hide(self.trouble(&answer), hidden)),
            };
        }
        let granted = answer.read::<Granted>();
        answer.body.zeroize();
        match granted {
            Some(granted) => Ok(Ok(granted.into())),
            None => {
                let what = "x gave a grant that cannot be read";
                Err(Failure::unknown(FailureClass::Platform, what))
            }
        }
    }

    /// Asks in the name of the app, once.
    async fn ask_app(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        hidden: [&str; 2],
    ) -> Result<Answer, Failure> {
        let app = self.app().map_err(|why| Failure::not_published(FailureClass::Internal, why))?;
        let mut fields = fields.to_vec();
        let mut request = self.post(path);
        match app.secret {
            Some(secret) => {
                request = request.header(AUTHORIZATION, basic(app.id, secret.expose_secret()))
            }
            None => fields.push(("client_id", app.id)),
        }
        let body = form(&fields);
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.as_bytes().to_vec());
        ask("x", request, MOST_OF_ONE, within(Refresh::timeout(self)))
            .await
            .map_err(|lost| hide(lost.into_failure(Hidden::default()), hidden))
    }

    /// An answer that says nothing of what a grant was asked for with.
    fn trouble(&self, answer: &Answer) -> Failure {
        let (status, told) = (answer.status.as_u16(), Refusal::read(answer).told());
        let failed =
            |class, what: &str| Failure::unknown(class, format!("x {what} ({status}){told}"));
        match status {
            401 | 403 => failed(
                FailureClass::Auth,
                "does not know the app: check X_CLIENT_ID and X_CLIENT_SECRET",
            ),
            429 => {
                let now = self.server_now(answer);
                let wait = limits::wait_after_429(&answer.headers, false, now);
                failed(FailureClass::RateLimit, "asks to wait")
                    .with_wait(LimitScope::App, wait.for_)
            }
            _ => failed(FailureClass::Platform, "answered"),
        }
    }
}

#[async_trait]
impl Connect for X {
    fn asks(&self) -> &[Asked] {
        &ASKS
    }

    fn redirect_uri(&self) -> Result<&str, String> {
        self.app()?;
        self.config.redirect_uri.as_deref().ok_or_else(|| {
            "X_REDIRECT_URI is not set: where X sends people back to, as it is set for the app at X"
                .to_owned()
        })
    }

    fn authorize(&self, state: &Nonce, verifier: &Nonce) -> Result<String, String> {
        let redirect_uri = Connect::redirect_uri(self)?;
        let scopes: Vec<&str> = ASKS.iter().map(|asked| asked.scope).collect();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()));
        let query = form(&[
            ("response_type", "code"),
            ("client_id", self.app()?.id),
            ("redirect_uri", redirect_uri),
            ("scope", &scopes.join(" ")),
            ("state", state.expose()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        Ok(format!("{}?{}", self.config.authorize_url, query.as_str()))
    }

    async fn exchange(
        &self,
        code: &SecretString,
        verifier: &Nonce,
        _: Option<&str>,
    ) -> Result<Grant, Failure> {
        let unset = |why| Failure::not_published(FailureClass::Internal, why);
        let redirect_uri = Connect::redirect_uri(self).map_err(unset)?;
        let (code, verifier) = (code.expose_secret(), verifier.expose());
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        match self.ask_grant(&fields, [code, verifier]).await? {
            Ok(grant) => Ok(grant),
            Err(refused) => {
                let told = Refusal::read(&refused).told();
                let message =
                    format!("x refuses the code{told}; connect again, it is good for 30 s");
                let message = Hidden::secret(code).hide(&message);
                Err(Failure::not_published(FailureClass::Auth, message))
            }
        }
    }

    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure> {
        let token = Token::read(Some(&grant.access_token))?;
        let whoami = self.ask_whoami(&token, self.config.send_timeout).await?;
        Ok(Whose { remote_id: whoami.id, name: whoami.username })
    }

    fn revoke(&self) -> Option<&dyn Revoke> {
        self.config.client_id.is_some().then_some(self as &dyn Revoke)
    }
}

#[async_trait]
impl Revoke for X {
    async fn revoke(&self, token: &SecretString) -> Result<(), Failure> {
        let (fields, hidden) = ([("token", token.expose_secret())], [token.expose_secret(), ""]);
        let answer = self.ask_app("/oauth2/revoke", &fields, hidden).await?;
        // By the book a token that is good for nothing is answered with 200 as well.
        match answer.status.as_u16() {
            200..300 => Ok(()),
            400 => {
                let told = Refusal::read(&answer).told();
                let message = format!("x takes the token not back{told}");
                Err(hide(Failure::unknown(FailureClass::Platform, message), hidden))
            }
            _ => Err(hide(self.trouble(&answer), hidden)),
        }
    }
}

#[async_trait]
impl Refresh for X {
    fn timeout(&self) -> Duration {
        TIMEOUT.min(self.config.send_timeout)
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Renewal, Failure> {
        let token = refresh_token.expose_secret();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let refused = match self.ask_grant(&fields, [token, ""]).await? {
            Ok(grant) => return Ok(Renewal::Renewed(grant)),
            Err(refused) => refused,
        };
        let refusal = Refusal::read(&refused);
        let told = Hidden::secret(token).hide(&refusal.told());
        if matches!(refusal.error.as_str(), "invalid_grant" | "invalid_request") {
            return Ok(Renewal::Refused(format!("x renews the token no more{told}")));
        }
        Err(Failure::unknown(FailureClass::Platform, format!("x answered (400){told}")))
    }
}

/// The same without these secrets.
fn hide(failure: Failure, secrets: [&str; 2]) -> Failure {
    let message =
        secrets.iter().fold(failure.message, |told, secret| Hidden::secret(secret).hide(&told));
    Failure { message, ..failure }
}

/// What the token endpoint says is wrong.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Refusal {
    fn read(answer: &Answer) -> Self {
        answer.read().unwrap_or_default()
    }

    fn told(&self) -> String {
        let words = [&self.error, &self.error_description];
        words
            .into_iter()
            .filter(|word| !word.is_empty())
            .fold(String::new(), |told, word| told + ": " + word)
    }
}
