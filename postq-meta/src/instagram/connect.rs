//! [`Connect`] and [`Refresh`] for Instagram's own login.
//!
//! ```text
//! dialog -> code -> token for an hour -> the same, 60 days -> extended in place, again and again
//! ```
//!
//! There is no refresh token: a token that is a day old and has not ended is exchanged for one that lives
//! 60 days more, and stays good itself. So each grant renews with its own token. It is told to end ten days
//! before it does: what has ended can not be extended any more.
//!
//! The dialog knows no verifier: what ties the answer to who began is the state.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use postq_core::connect::{Asked, Connect, Grant, Nonce, Refresh, Renewal, Whose};
use postq_core::failure::{Failure, FailureClass};
use postq_http::{Answer, form};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Instagram;
use crate::client::Ask;
use crate::config::unversioned;
use crate::grant::{App, Granted, NoGrant, unreadable, unset};

/// What is asked for: the least that publishes, finds again and counts.
const ASKS: [Asked; 3] = [
    Asked {
        scope: "instagram_business_basic",
        why: "to know whose account it is, and to find a post again whose answer was lost",
    },
    Asked { scope: "instagram_business_content_publish", why: "to publish posts" },
    Asked { scope: "instagram_business_manage_insights", why: "to count who saw a post" },
];
/// The longest that a call for a grant may take; shorter where `send_timeout` is.
const TIMEOUT: Duration = Duration::from_secs(20);
/// A token is told to end so much before it does; or half its life, where it is short.
const EARLY: Duration = Duration::from_secs(10 * 86_400);

#[async_trait]
impl Connect for Instagram {
    fn asks(&self) -> &[Asked] {
        &ASKS
    }

    fn redirect_uri(&self) -> Result<&str, String> {
        Ok(self.app()?.redirect_uri)
    }

    fn authorize(&self, state: &Nonce, _: &Nonce) -> Result<String, String> {
        let app = self.app()?;
        let scopes: Vec<&str> = ASKS.iter().map(|asked| asked.scope).collect();
        let query = form(&[
            ("client_id", app.id),
            ("redirect_uri", app.redirect_uri),
            ("response_type", "code"),
            ("state", state.expose()),
            ("scope", &scopes.join(",")),
        ]);
        Ok(format!("{}?{}", self.config.authorize_url, query.as_str()))
    }

    async fn exchange(
        &self,
        code: &SecretString,
        _: &Nonce,
        _: Option<&str>,
    ) -> Result<Grant, Failure> {
        let until = self.graph.deadline();
        let app = self.app().map_err(unset)?;
        // Instagram puts this behind a code in the address that people come back to.
        let code = code.expose_secret().trim_end_matches("#_");
        let secret = app.secret.expose_secret();
        let fields = form(&[
            ("client_id", app.id),
            ("client_secret", secret),
            ("grant_type", "authorization_code"),
            ("redirect_uri", app.redirect_uri),
            ("code", code),
        ]);
        let what = Ask::Post(&self.config.code_url, &fields);
        let answer = self.graph.grant(what, &[code, secret], until).await;
        let answer = answer.map_err(|none| none.into_failure(self.graph.name))?;
        let short = short(&answer).ok_or_else(|| unreadable(self.graph.name))?;
        let query = [
            ("grant_type", "ig_exchange_token"),
            ("client_secret", secret),
            ("access_token", &short),
        ];
        let url = format!("{}/access_token", unversioned(&self.graph.base));
        let long = self.long(&url, &query, &[&short, secret], until).await;
        long.map_err(|none| none.into_failure(self.graph.name))
    }

    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure> {
        let token = self.graph.token_of(&grant.access_token)?;
        let (remote_id, name) = self.whoami(&token, self.graph.deadline()).await?;
        Ok(Whose { remote_id, name })
    }
}

#[async_trait]
impl Refresh for Instagram {
    fn timeout(&self) -> Duration {
        TIMEOUT.min(self.config.send_timeout)
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<Renewal, Failure> {
        let timeout = Refresh::timeout(self);
        let until = Instant::now() + timeout - (timeout / 20).min(Duration::from_millis(500));
        let token = refresh_token.expose_secret();
        let url = format!("{}/refresh_access_token", unversioned(&self.graph.base));
        let query = [("grant_type", "ig_refresh_token"), ("access_token", token)];
        match self.long(&url, &query, &[token], until).await {
            Ok(grant) => Ok(Renewal::Renewed(grant)),
            Err(NoGrant::Refused(words, true)) => {
                Ok(Renewal::Refused(format!("instagram extends the token no more: {words}")))
            }
            // It may be too young, say: that passes.
            Err(NoGrant::Refused(words, false)) => {
                let message = format!("instagram does not extend the token now: {words}");
                Err(Failure::unknown(FailureClass::Platform, message))
            }
            // No app is named here: what is refused otherwise says nothing of the account.
            Err(NoGrant::Trouble(failure)) if failure.class == FailureClass::Auth => {
                Err(Failure { class: FailureClass::Platform, ..failure })
            }
            Err(NoGrant::Trouble(failure)) => Err(failure),
        }
    }
}

impl Instagram {
    fn app(&self) -> Result<App<'_>, String> {
        let config = &self.config;
        let app = (config.app_id.as_ref(), config.app_secret.as_ref());
        App::of(("INSTAGRAM", "Instagram app at Meta"), app, config.redirect_uri.as_ref())
    }

    /// Asks for a token that lives 60 days, once.
    async fn long(
        &self,
        url: &str,
        query: &[(&str, &str)],
        secrets: &[&str],
        until: Instant,
    ) -> Result<Grant, NoGrant> {
        let answer = self.graph.grant(Ask::Get(url, query), secrets, until).await?;
        let granted: Option<Granted> = answer.read();
        let granted = granted.ok_or_else(|| NoGrant::Trouble(unreadable(self.graph.name)))?;
        let token = SecretString::from(granted.access_token.as_str());
        Ok(Grant {
            expires_in: granted.lives().map(told_to_end),
            refresh_token: Some(token.clone()),
            access_token: token,
            scopes: ASKS.iter().map(|asked| asked.scope.to_owned()).collect(),
        })
    }
}

fn told_to_end(lives: Duration) -> Duration {
    lives.saturating_sub(EARLY).max(lives / 2)
}

/// The token in the answer to a code, which at times is in a list.
fn short(answer: &Answer) -> Option<String> {
    match answer.read()? {
        Short::Plain(granted) => Some(granted.access_token),
        Short::Listed { data } => data.into_iter().next().map(|granted| granted.access_token),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Short {
    Listed { data: Vec<Granted> },
    Plain(Granted),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_while_it_is_alive() {
        let days = |days: u64| Duration::from_secs(days * 86_400);

        assert_eq!(told_to_end(days(60)), days(50));
        assert_eq!(told_to_end(days(10)), days(5));
        assert_eq!(told_to_end(Duration::from_secs(3_600)), Duration::from_secs(1_800));
    }
}
