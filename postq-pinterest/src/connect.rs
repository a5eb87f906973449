//! [`Connect`] and [`Refresh`] for Pinterest: OAuth 2 without PKCE.
//!
//! What binds a code to the person who asked for it is the state; Pinterest knows no verifier. It gives a new
//! refresh token with every renewal, and does not say whether the one before still works: each is used once. The
//! older kind of refresh tokens is answered without a new one, and stays.

use std::time::Duration;

use async_trait::async_trait;
use postq_core::connect::{Asked, Connect, Grant, Nonce, Refresh, Renewal, Whose};
use postq_core::failure::{Failure, FailureClass, LimitScope};
use postq_http::{Answer, Granted, Hidden, Token, ask, basic, form, within};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};

use crate::client::{MOST_OF_ONE, Pinterest, Texts};
use crate::error::Problem;
use crate::limits;

/// The longest that a call for a grant may take; shorter where `send_timeout` is.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is asked for: what Pinterest names as needed to create a Pin, and whose account it is.
const ASKS: [Asked; 5] = [
    Asked { scope: "boards:read", why: "to know the boards that Pins can go to" },
    Asked { scope: "boards:write", why: "to put Pins on boards" },
    Asked {
        scope: "pins:read",
        why: "to find a Pin again whose answer was lost, and to read its counts",
    },
    Asked { scope: "pins:write", why: "to publish Pins" },
    Asked { scope: "user_accounts:read", why: "to know whose account it is" },
];

/// The app that accounts are connected through.
struct App<'a> {
    id: &'a str,
    secret: &'a SecretString,
}

impl Pinterest {
    fn app(&self) -> Result<App<'_>, String> {
        let (id, secret) = (&self.config.client_id, &self.config.client_secret);
        match (id.as_deref(), secret.as_ref()) {
            (Some(id), Some(secret)) => Ok(App { id, secret }),
            _ => {
                Err("PINTEREST_CLIENT_ID and PINTEREST_CLIENT_SECRET are not set: the id and the \
                      secret of the app at Pinterest"
                    .to_owned())
            }
        }
    }

    /// Asks for a grant, once. The other answers are those that may be a refusal of what was asked with.
    async fn ask_grant(
        &self,
        fields: &[(&str, &str)],
        secret: &str,
    ) -> Result<Result<Grant, Answer>, Failure> {
        let hide = |failure: Failure| Failure {
            message: Hidden::secret(secret).hide(&failure.message),
            ..failure
        };
        let app = self.app().map_err(unset)?;
        let body = form(fields);
        let request = self
            .post("/oauth/token")
            .header(AUTHORIZATION, basic(app.id, app.secret.expose_secret()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.as_bytes().to_vec());
        let timeout = within(Refresh::timeout(self));
        let asked = ask("pinterest", request, MOST_OF_ONE, timeout).await;
        let answer = asked.map_err(|lost| hide(lost.into_failure(Hidden::default())))?;
        match answer.status.as_u16() {
            200..=299 => match answer.read::<Granted>() {
                Some(granted) => Ok(Ok(granted.into())),
                None => {
                    let what = "pinterest gave a grant that cannot be read";
                    Err(Failure::unknown(FailureClass::Platform, what))
                }
            },
            400 | 401 | 403 => Ok(Err(answer)),
            _ => Err(hide(self.trouble(&answer))),
        }
    }

    /// An answer that says nothing of what a grant was asked for with.
    fn trouble(&self, answer: &Answer) -> Failure {
        let told = |what: &str| Problem::read(&answer.body).tell(what, answer.status);
        match answer.status.as_u16() {
            401 | 403 => Failure::unknown(
                FailureClass::Auth,
                told(
                    "pinterest does not know the app: check PINTEREST_CLIENT_ID and \
                     PINTEREST_CLIENT_SECRET",
                ),
            ),
            429 => {
                let now = self.server_now(answer);
                let wait = limits::wait_after_429(&answer.headers, self.config.access, now);
                Failure::unknown(FailureClass::RateLimit, told("pinterest asks to wait"))
                    .with_wait(LimitScope::App, wait.for_)
            }
            _ => Failure::unknown(FailureClass::Platform, told("pinterest answered")),
        }
    }
}

#[async_trait]
impl Connect for Pinterest {
    fn asks(&self) -> &[Asked] {
        &ASKS
    }

    fn redirect_uri(&self) -> Result<&str, String> {
        self.app()?;
        self.config.redirect_uri.as_deref().ok_or_else(|| {
            "PINTEREST_REDIRECT_URI is not set: where Pinterest sends people back to, as it is set \
             for the app at Pinterest"
                .to_owned()
        })
    }

    fn authorize(&self, state: &Nonce, _: &Nonce) -> Result<String, String> {
        let redirect_uri = Connect::redirect_uri(self)?;
        let query = form(&[
            ("client_id", self.app()?.id),
            ("redirect_uri", redirect_uri),
            ("response_type", "code"),
            ("state", state.expose()),
        ]);
        // Commas and colons as Pinterest writes them: both may stand in a query.
        let scopes = ASKS.map(|asked| asked.scope).join(",");
        Ok(format!("{}?{}&scope={scopes}", self.config.authorize_url, query.as_str()))
    }

    async fn exchange(
        &self,
        code: &SecretString,
        _: &Nonce,
        _: Option<&str>,
    ) -> Result<Grant, Failure> {
        let redirect_uri = Connect::redirect_uri(self).map_err(unset)?;
        let code = code.expose_secret();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
        ];
        if self.config.continuous_refresh {
            fields.push(("continuous_refresh", "true"));
        }
        match self.ask_grant(&fields, code).await? {
            Ok(grant) => Ok(grant),
            Err(refused) => {
                let what = "pinterest refuses the code, or does not know the app; connect again";
                let message = Problem::read(&refused.body).tell(what, refused.status);
                let message = Hidden::secret(code).hide(&message);
                Err(Failure::not_published(FailureClass::Auth, message))
            }
        }
    }

    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure> {
        let token = Token::read(Some(&grant.access_token))?;
        let user = self.caller_with(token, Texts::default()).user().await?;
        Ok(Whose { remote_id: user.id, name: user.username })
    }
}

#[async_trait]
impl Refresh for Pinterest {
    fn timeout(&self) -> Duration {
        TIMEOUT.min(self.config.send_timeout)
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Renewal, Failure> {
        let token = refresh_token.expose_secret();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let answer = match self.ask_grant(&fields, token).await? {
            Ok(grant) => return Ok(Renewal::Renewed(grant)),
            Err(answer) => answer,
        };
        let hidden = Hidden::secret(token);
        let problem = Problem::read(&answer.body);
        if refuses_the_token(&problem) {
            let told = problem.tell("pinterest renews the token no more", answer.status);
            return Ok(Renewal::Refused(hidden.hide(&told)));
        }
        let failure = self.trouble(&answer);
        Err(Failure { message: hidden.hide(&failure.message), ..failure })
    }
}

/// Whether an answer is about the refresh token. Pinterest documents neither its status nor its number, and
/// refuses an app that it does not know by the same status: only words that name the token end an account.
fn refuses_the_token(problem: &Problem) -> bool {
    let about_the_token = ["refresh token", "refresh_token", "invalid_grant"];
    about_the_token.iter().any(|words| problem.says(words)) && !problem.says("client")
}

fn unset(why: String) -> Failure {
    Failure::not_published(FailureClass::Internal, why)
}
