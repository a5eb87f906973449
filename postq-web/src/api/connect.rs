//! `/api/accounts/connect` and `/api/accounts/callback`: a person agrees at the platform, and comes back.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use postq_core::account::Account;
use postq_core::connect::Nonce;
use postq_core::connecting::ConnectingStore;
use postq_engine::tokens::{Browser, CameBack, ConnectError, ToConnect};
use serde::Deserialize;
use tokio::time::Instant;

use super::accounts::{ensure_name, named, platform};
use crate::answer::Tagged;
use crate::cookie;
use crate::extract::{Body, Query};
use crate::guard::access::Claim;
use crate::guard::once::Masked;
use crate::guard::origin::is_page;
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::views::account::{AccountView, Secret, tag};
use crate::views::connect::{Back, BegunView, NewConnection};
use crate::web::{App, Shared};

/// The longest code or state that a platform sends back.
const MOST_BACK: usize = 4 * 1_024;

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(begin));
    add(route!(come_back, finish));
}

/// Begins to connect an account: tells where a person agrees, and to what.
///
/// They come back within ten minutes. Begun in a page, it is finished in the same browser.
#[utoipa::path(post, path = "/api/accounts/connect/{platform}", tag = "accounts",
    params(("platform" = String, Path)), operation_id = "begin_to_connect",
    request_body = NewConnection, security(("token" = ["admin"])),
    responses((status = 200, description = "where to agree, and to what", body = BegunView)))]
async fn begin(
    State(app): State<App>,
    OriginalUri(whole): OriginalUri,
    own: Uri,
    headers: HeaderMap,
    Path(name): Path<String>,
    Body(new): Body<NewConnection>,
) -> Result<Response, Problem> {
    let what = to_connect(&app, &name, new).await?;
    let browser = is_page(&headers).then(Nonce::random);
    let now = app.web.engine.backend().jobs.now().await?;
    let tokens = app.web.engine.tokens();
    let begun = tokens.begin(store(&app)?, what, browser.as_ref(), now).await?;
    let view = BegunView::from(begun);
    // The state is not kept, not even for a repeated request.
    let masked = serde_json::to_vec(&view.masked()).unwrap_or_default();
    let mut answer = Json(view).into_response();
    answer.extensions_mut().insert(Masked(Bytes::from(masked)));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(browser) = &browser {
        let cookie = cookie::set_connecting(&headers, cookie::mount(&whole, &own), browser);
        answer.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    }
    Ok(answer)
}

/// With what a platform sends a person back.
#[derive(Deserialize)]
struct Returned {
    state: Option<Secret>,
    code: Option<Secret>,
    error: Option<String>,
}

/// Where a platform sends a person back to: finishes, and shows the account.
///
/// Needs no token: the state is one that nobody else knows, and what was begun in a page is finished in the
/// same browser.
#[utoipa::path(get, path = "/api/accounts/callback/{platform}", tag = "accounts",
    params(("platform" = String, Path), ("state" = String, Query), ("code" = String, Query)),
    operation_id = "come_back", security(()),
    responses((status = 303, description = "connected; to the account's page")))]
async fn come_back(
    State(app): State<App>,
    OriginalUri(whole): OriginalUri,
    own: Uri,
    headers: HeaderMap,
    claim: Claim,
    Path(name): Path<String>,
    Query(returned): Query<Returned>,
) -> Result<Response, Problem> {
    app.limits.take(&claim.stranger(), Instant::now()).map_err(Problem::too_many)?;
    if let Some(error) = returned.error {
        // Said by whoever made the link: not worth more than a few words.
        let error: String = error.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
        let detail = format!("nothing was connected: {name} says {error}");
        return Err(Problem::new(Code::NotConnected, detail));
    }
    let (Some(Secret(state)), Some(Secret(code))) = (returned.state, returned.code) else {
        return Err(Problem::new(Code::NotConnected, "the address has no state or no code"));
    };
    let browser = Browser::Shows(cookie::connecting(&headers));
    let account =
        finished(&app, &name, Back { state: Secret(state), code: Secret(code) }, browser).await?;
    let mount = cookie::mount(&whole, &own);
    let mut answer = StatusCode::SEE_OTHER.into_response();
    if let Ok(at) = HeaderValue::try_from(format!("{mount}/accounts/{}", account.id)) {
        answer.headers_mut().insert(LOCATION, at);
    }
    let gone = cookie::clear_connecting(&headers, mount);
    answer.headers_mut().extend(gone.map(|gone| (SET_COOKIE, gone)));
    Ok(answer)
}

/// Finishes for a person who came back elsewhere: on a machine without a browser, say.
#[utoipa::path(post, path = "/api/accounts/callback/{platform}", tag = "accounts",
    params(("platform" = String, Path)), operation_id = "finish_to_connect", request_body = Back,
    security(("token" = ["admin"])),
    responses((status = 200, description = "connected", body = AccountView)))]
async fn finish(
    State(app): State<App>,
    Path(name): Path<String>,
    Body(back): Body<Back>,
) -> Result<Tagged<AccountView>, Problem> {
    let account = finished(&app, &name, back, Browser::Any).await?;
    let blocks = app.web.engine.backend().blocks.blocks().await?;
    Ok(Tagged { tag: tag(&account), body: AccountView::new(&account, &blocks) })
}

async fn finished(
    app: &Shared,
    name: &str,
    back: Back,
    browser: Browser,
) -> Result<Account, Problem> {
    use secrecy::ExposeSecret;
    let (Secret(state), Secret(code)) = (back.state, back.code);
    if state.expose_secret().len().max(code.expose_secret().len()) > MOST_BACK {
        return Err(Problem::new(Code::NotConnected, "the state or the code is too long"));
    }
    let came = CameBack { platform: platform(app, name)?, state, code, browser };
    let now = app.web.engine.backend().jobs.now().await?;
    let (account, is_new) = app.web.engine.tokens().finish(store(app)?, &came, now).await?;
    if !is_new {
        app.desk.reconnected(&account).await?;
    }
    Ok(account)
}

async fn to_connect(app: &Shared, name: &str, new: NewConnection) -> Result<ToConnect, Problem> {
    let platform = platform(app, name)?;
    match (new.name, new.account) {
        (Some(name), None) => {
            ensure_name(&name)?;
            let known = app.web.engine.backend().accounts.list(app.desk.tenant()).await?;
            if known.iter().any(|account| account.name == name) {
                return Err(ConnectError::NameTaken(name).into());
            }
            Ok(ToConnect::New { tenant: app.desk.tenant(), name, platform })
        }
        (None, Some(account)) => {
            let account = named(app, &account).await?;
            if account.platform != platform {
                let detail = format!("\"{}\" is on {}", account.name, account.platform);
                return Err(Problem::invalid("account", detail));
            }
            Ok(ToConnect::Again(Box::new(account)))
        }
        _ => {
            let detail = "expected either the name of a new account, or an account that is there";
            Err(Problem::invalid("name", detail))
        }
    }
}

fn store(app: &Shared) -> Result<&dyn ConnectingStore, Problem> {
    app.web
        .connecting
        .as_deref()
        .ok_or_else(|| Problem::new(Code::NotConnected, "this server cannot connect accounts"))
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        let told = error.to_string();
        match error {
            ConnectError::Store(error) => error.into(),
            ConnectError::Cannot(_) => Self::new(Code::NotConnected, told)
                .with_remedy("mend what is named, then begin anew"),
            ConnectError::Refused(_) => {
                Self::new(Code::CredentialsRefused, told).with_remedy("begin anew")
            }
            ConnectError::Trouble(_) => Self::new(Code::PlatformUnavailable, told),
            ConnectError::NameTaken(_) => Self::new(Code::Conflict, told)
                .in_field("name")
                .with_remedy("choose another name, or connect that account again"),
            ConnectError::SomebodyElse { .. } => {
                Self::new(Code::Conflict, told).with_remedy("agree as the other one")
            }
            ConnectError::Vault(_) => {
                tracing::error!(error = told, "credentials could not be sealed");
                Self::new(Code::Internal, "the credentials could not be sealed")
            }
            _ => Self::new(Code::NotConnected, told),
        }
    }
}
