//! `/api/accounts/connect` and `/api/accounts/callback`: a person agrees at the platform, and comes back.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use postq_core::connect::Nonce;
use postq_core::connecting::ConnectingStore;
use postq_core::id::AccountId;
use postq_core::job::Topic;
use postq_core::machine::JobState;
use postq_core::store::{JobFilter, Page};
use postq_engine::tokens::{Browser, CameBack, ConnectError, Connected, ToConnect};
use serde::Deserialize;
use tokio::time::Instant;

use super::accounts::{ensure_name, named, platform, shown};
use crate::answer::Tagged;
use crate::extract::{Body, Query};
use crate::guard::access::Claim;
use crate::guard::once::Masked;
use crate::guard::origin::is_page;
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::views::account::{AccountView, Secret};
use crate::views::connect::{Back, BegunView, NewConnection};
use crate::web::{App, Shared};
use crate::{came_back, cookie};

/// The longest code or state that a platform sends back.
const MOST_BACK: usize = 4 * 1_024;

/// The longest id or name of an identity.
const MOST_IDENTITY: usize = 200;

/// Posts that wait for an account are counted so far.
const MOST_WAITING: usize = 1_000;

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
    headers: HeaderMap,
    Path(name): Path<String>,
    Body(new): Body<NewConnection>,
) -> Result<Response, Problem> {
    let what = to_connect(&app, &name, new).await?;
    let browser = is_page(&headers).then(Nonce::random);
    let now = app.web.engine.backend().jobs.now().await?;
    let tokens = app.web.engine.tokens();
    let begun = tokens.begin(store(&app)?, what, browser.as_ref(), now).await?;
    let path = path_of(&begun.redirect_uri);
    let view = BegunView::from(begun);
    // The state is not kept, not even for a repeated request.
    let masked = serde_json::to_vec(&view.masked()).unwrap_or_default();
    let mut answer = Json(view).into_response();
    answer.extensions_mut().insert(Masked(Bytes::from(masked)));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(browser) = &browser {
        let cookie = cookie::set_connecting(&headers, &path, browser);
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

/// Where a platform sends a person back to: finishes, and says what came of it.
///
/// Needs no token: the state is one that nobody else knows, and what was begun in a page is finished in the
/// same browser. A browser is told on a page, and where it was begun in the dashboard it is led back there.
#[utoipa::path(get, path = "/api/accounts/callback/{platform}", tag = "accounts",
    params(("platform" = String, Path), ("state" = String, Query), ("code" = String, Query)),
    operation_id = "come_back", security(()),
    responses(
        (status = 200, description = "connected", body = AccountView,
            headers(("set-cookie" = String, description = "forgets the browser in which it was begun"))),
        (status = 303, description = "connected; to the account in the dashboard")))]
async fn come_back(
    State(app): State<App>,
    OriginalUri(whole): OriginalUri,
    own: Uri,
    headers: HeaderMap,
    claim: Claim,
    Path(name): Path<String>,
    Query(returned): Query<Returned>,
) -> Result<Response, Problem> {
    let mount = cookie::mount(&whole, &own);
    let finishing = async {
        app.limits.take(&claim.stranger(), Instant::now()).map_err(Problem::too_many)?;
        let back = returned.back(&name)?;
        finished(&app, &name, back, Browser::Shows(cookie::connecting(&headers))).await
    };
    let (connected, waited) = match finishing.await {
        Ok(done) => done,
        Err(problem) if came_back::is_looked_at(&headers) => {
            return Ok(came_back::not_connected(mount, &problem));
        }
        Err(problem) => return Err(problem),
    };
    let mut answer = match (connected.in_page, came_back::is_looked_at(&headers)) {
        (true, _) => to_dashboard(mount, &connected, waited),
        (false, true) => came_back::connected(mount, &connected, waited),
        (false, false) => shown(&app, &connected.account).await?.into_response(),
    };
    let gone = own_path(&app, &name).and_then(|path| cookie::clear_connecting(&headers, &path));
    answer.headers_mut().extend(gone.map(|gone| (SET_COOKIE, gone)));
    Ok(answer)
}

impl Returned {
    /// The state and the code, if these are what the platform sent.
    fn back(self, platform: &str) -> Result<Back, Problem> {
        let refused = |detail: String| Problem::new(Code::NotConnected, detail);
        match self {
            Self { error: Some(error), .. } if error == "access_denied" => {
                let detail = format!("nobody agreed at {platform}, so nothing was connected");
                Err(refused(detail).with_remedy("begin anew when you want to, and agree there"))
            }
            Self { error: Some(error), .. } => {
                // Said by whoever made the link: not worth more than a few words.
                let error: String =
                    error.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
                Err(refused(format!("nothing was connected: {platform} says {error}")))
            }
            Self { state: Some(state), code: Some(code), .. } => Ok(Back { state, code }),
            _ => Err(refused("the address has no state or no code".to_owned())),
        }
    }
}

/// Leads a browser back to where it began; a page that is asked for then tells the same.
fn to_dashboard(mount: &str, connected: &Connected, waited: usize) -> Response {
    let (id, how) = (connected.account.id, if connected.is_new { "new" } else { "again" });
    let whose = connected.whose.as_ref().and_then(|whose| whose.name.as_deref());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let whose = whose.filter(|name| name.chars().all(is_plain)).map(|name| format!("&as={name}"));
    let whose = whose.unwrap_or_default();
    let place = format!("{mount}/accounts/{id}?connected={how}&waiting={waited}{whose}");
    let mut answer = StatusCode::SEE_OTHER.into_response();
    if let Ok(place) = HeaderValue::try_from(place) {
        answer.headers_mut().insert(LOCATION, place);
    }
    answer
}

/// Posts that wait for an account.
async fn waiting(app: &Shared, account: AccountId) -> Result<usize, Problem> {
    let backend = app.web.engine.backend();
    let filter = JobFilter {
        states: vec![JobState::Planned, JobState::Enqueued, JobState::Failed],
        topic: Some(Topic::publish()),
        account: Some(account),
        ..JobFilter::default()
    };
    let now = backend.jobs.now().await?;
    let jobs = backend.jobs.list(app.desk.tenant(), &filter, Page::first(MOST_WAITING)).await?;
    Ok(jobs.iter().filter(|job| job.made.planned_at <= now).count())
}

/// The path to which a platform sends people back, as their browser knows it.
fn own_path(app: &Shared, platform: &str) -> Option<String> {
    let platform = platform.parse().ok()?;
    let platform = app.web.engine.platforms().get(&platform)?;
    Some(path_of(platform.connect()?.redirect_uri().ok()?))
}

fn path_of(redirect_uri: &str) -> String {
    redirect_uri.parse::<Uri>().map_or_else(|_| "/".to_owned(), |uri| uri.path().to_owned())
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
    let (connected, _) = finished(&app, &name, back, Browser::Any).await?;
    shown(&app, &connected.account).await
}

/// Connects; answers how many posts go on that waited for it.
async fn finished(
    app: &Shared,
    name: &str,
    back: Back,
    browser: Browser,
) -> Result<(Connected, usize), Problem> {
    use secrecy::ExposeSecret;
    let (Secret(state), Secret(code)) = (back.state, back.code);
    if state.expose_secret().len().max(code.expose_secret().len()) > MOST_BACK {
        return Err(Problem::new(Code::NotConnected, "the state or the code is too long"));
    }
    let came = CameBack { platform: platform(app, name)?, state, code, browser };
    let now = app.web.engine.backend().jobs.now().await?;
    let connected = app.web.engine.tokens().finish(store(app)?, &came, now).await?;
    if connected.is_new {
        return Ok((connected, 0));
    }
    // Counted first: once they may go on, some are out before they can be counted. They go on even if they cannot be.
    let waited = waiting(app, connected.account.id).await;
    app.desk.reconnected(&connected.account).await?;
    Ok((connected, waited?))
}

async fn to_connect(app: &Shared, name: &str, new: NewConnection) -> Result<ToConnect, Problem> {
    let platform = platform(app, name)?;
    let identity = new.identity;
    if identity.as_ref().is_some_and(|identity| identity.chars().count() > MOST_IDENTITY) {
        let detail = format!("longer than {MOST_IDENTITY} characters");
        return Err(Problem::invalid("identity", detail));
    }
    match (new.name, new.account) {
        (Some(name), None) => {
            ensure_name(&name)?;
            let known = app.web.engine.backend().accounts.list(app.desk.tenant()).await?;
            if known.iter().any(|account| account.name == name) {
                return Err(ConnectError::NameTaken(name).into());
            }
            Ok(ToConnect::New { tenant: app.desk.tenant(), name, platform, identity })
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
            ConnectError::NoWay(_) => Self::new(Code::NotConnected, told)
                .with_remedy("add the account with its access token, or with an app password"),
            ConnectError::Refused(_) => {
                Self::new(Code::CredentialsRefused, told).with_remedy("begin anew")
            }
            ConnectError::Trouble(_) => Self::new(Code::PlatformUnavailable, told),
            ConnectError::NameTaken(_) => Self::new(Code::Conflict, told)
                .in_field("name")
                .with_remedy("choose another name, or connect that account again"),
            ConnectError::SomebodyElse { .. } => {
                let remedy = "sign in there as the account's own identity and connect it again, or connect the \
                              other one as a new account";
                Self::new(Code::Conflict, told).with_remedy(remedy)
            }
            ConnectError::Vault(_) => {
                tracing::error!(error = told, "credentials could not be sealed");
                Self::new(Code::Internal, "the credentials could not be sealed")
            }
            _ => Self::new(Code::NotConnected, told),
        }
    }
}
