//! [`Connect`] for Facebook Pages: code, long-lived token of the person, token of the Page.
//!
//! ```text
//! dialog -> code -> token of the person, an hour -> the same, 60 days -> token of the Page, no fixed end
//! ```
//!
//! What is kept is the Page's token: it ends with a change of password, a lost role or a removed app, not with
//! time, so there is nothing to renew. A person may manage several Pages, and the dialog asks which of them the
//! app may use: one alone, or the one that is set, is connected.
//!
//! The dialog knows no verifier: what ties the answer to who began is the state.

use std::time::Instant;

use async_trait::async_trait;
use postq_core::connect::{Asked, Connect, Grant, Nonce, Whose};
use postq_core::failure::{Failure, FailureClass};
use postq_http::form;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Facebook;
use crate::client::{Ask, Id, MOST_OF_LIST};
use crate::grant::{App, Granted, unreadable, unset};

/// What is asked for: the least that publishes, finds again and counts.
const ASKS: [Asked; 4] = [
    Asked { scope: "pages_show_list", why: "to know which Pages there are" },
    Asked { scope: "pages_manage_posts", why: "to publish posts" },
    Asked { scope: "pages_read_engagement", why: "to find a post again whose answer was lost" },
    Asked { scope: "read_insights", why: "to count who saw a post" },
];
/// Pages that are looked through, and that are named in a message.
const MOST_PAGES: &str = "100";
const MOST_NAMED: usize = 10;

#[async_trait]
impl Connect for Facebook {
    fn asks(&self) -> &[Asked] {
        &ASKS
    }

    fn redirect_uri(&self) -> Result<&str, String> {
        Ok(self.app()?.redirect_uri)
    }

    fn authorize(&self, state: &Nonce, _verifier: &Nonce) -> Result<String, String> {
        let app = self.app()?;
        let scopes: Vec<&str> = ASKS.iter().map(|asked| asked.scope).collect();
        let query = form(&[
            ("client_id", app.id),
            ("redirect_uri", app.redirect_uri),
            ("state", state.expose()),
            ("response_type", "code"),
            ("scope", &scopes.join(",")),
        ]);
        Ok(format!("{}?{}", self.config.authorize_url, query.as_str()))
    }

    async fn exchange(
        &self,
        code: &SecretString,
        _: &Nonce,
        which: Option<&str>,
    ) -> Result<Grant, Failure> {
        let until = self.graph.deadline();
        let app = self.app().map_err(unset)?;
        let (code, secret) = (code.expose_secret(), app.secret.expose_secret());
        let by_code = [
            ("client_id", app.id),
            ("client_secret", secret),
            ("redirect_uri", app.redirect_uri),
            ("code", code),
        ];
        let short = self.grant(&by_code, &[code, secret], until).await?;
        let short = short.access_token;
        let longer = [
            ("grant_type", "fb_exchange_token"),
            ("client_id", app.id),
            ("client_secret", secret),
            ("fb_exchange_token", &short),
        ];
        let long = self.grant(&longer, &[&short, secret], until).await?;
        let person = self.graph.token_of(&long.access_token.into())?;
        let query = [("fields", "id,name,access_token,tasks"), ("limit", MOST_PAGES)];
        let pages: Pages =
            self.graph.read("/me/accounts", &query, &person, (MOST_OF_LIST, until)).await?;
        let page = choose(pages.data, which)?;
        Ok(Grant {
            access_token: page.access_token.into(),
            refresh_token: None,
            expires_in: None,
            scopes: ASKS.iter().map(|asked| asked.scope.to_owned()).collect(),
        })
    }

    fn several(&self) -> Option<&'static str> {
        Some("Page")
    }

    async fn whose(&self, grant: &Grant) -> Result<Whose, Failure> {
        let token = self.graph.token_of(&grant.access_token)?;
        let (remote_id, name) = self.whoami(&token, self.graph.deadline()).await?;
        Ok(Whose { remote_id, name })
    }
}

impl Facebook {
    fn app(&self) -> Result<App<'_>, String> {
        let config = &self.config;
        let app = (config.app_id.as_ref(), config.app_secret.as_ref());
        App::of(("FACEBOOK", "app at Meta"), app, config.redirect_uri.as_ref())
    }

    async fn grant(
        &self,
        query: &[(&str, &str)],
        secrets: &[&str],
        until: Instant,
    ) -> Result<Granted, Failure> {
        let url = format!("{}/oauth/access_token", self.graph.base.url);
        let answer = self.graph.grant(Ask::Get(&url, query), secrets, until).await;
        let answer = answer.map_err(|none| none.into_failure(self.graph.name))?;
        answer.read().ok_or_else(|| unreadable(self.graph.name))
    }
}

/// The Page that is connected: the only one, or the one that is named.
fn choose(pages: Vec<Page>, which: Option<&str>) -> Result<Page, Failure> {
    let known = |page: Page| page.id.clone().checked().map(|id| (id, page));
    let pages = pages.into_iter().filter(Page::may_publish);
    let mut pages: Vec<(String, Page)> = pages.filter_map(known).collect();
    if let Some(which) = which {
        let is_id = pages.iter().any(|(id, _)| id == which);
        pages.retain(|(id, page)| if is_id { id == which } else { page.name == which });
    }
    let refused = |why: String| Err(Failure::not_published(FailureClass::Auth, why));
    match (pages.len(), which) {
        (1, _) => Ok(pages.remove(0).1),
        (0, None) => refused(
            "facebook shows no Page: agree for one, as somebody who may publish on it".to_owned(),
        ),
        (0, Some(which)) => refused(format!(
            "facebook does not show the Page {which}: agree for it, as somebody who may publish on it"
        )),
        (count, _) => {
            let named = pages.iter().take(MOST_NAMED);
            let named: Vec<String> =
                named.map(|(id, page)| format!("{} {id}", page.name)).collect();
            refused(format!(
                "there are {count} Pages ({}): begin anew and say which, by its name or id",
                named.join(", ")
            ))
        }
    }
}

#[derive(Deserialize)]
struct Pages {
    data: Vec<Page>,
}

#[derive(Deserialize)]
struct Page {
    id: Id,
    #[serde(default)]
    name: String,
    access_token: String,
    /// What the person may do there; none where that is not told.
    tasks: Option<Vec<String>>,
}

impl Page {
    fn may_publish(&self) -> bool {
        let tasks = self.tasks.as_deref();
        tasks.is_none_or(|tasks| tasks.iter().any(|task| task == "CREATE_CONTENT"))
    }
}
