//! `/api/session`: how a person signs in to the dashboard.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::{HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::cookie;
use crate::extract::Body;
use crate::guard::access::{Caller, Claim, caller, known, unauthorized};
use crate::problem::{Code, Problem};
use crate::router::{Route, route};
use crate::secret::Presented;
use crate::views::account::Secret;
use crate::views::token::ScopeView;
use crate::web::App;

/// From one address one may try a token so often at once,
pub(crate) const AT_ONCE: NonZeroU32 = NonZeroU32::new(10).expect("it is not 0");

/// and then once in each such time.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

pub(super) fn routes(add: &mut dyn FnMut(Route)) {
    add(route!(show, sign_in, sign_out));
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
struct Session {
    /// What they may do; null if nobody is signed in.
    #[schema(required)]
    scope: Option<ScopeView>,
    /// What their token is called; null if nobody is signed in, or no token was ever made.
    #[schema(required)]
    name: Option<String>,
}

impl From<Option<Caller>> for Session {
    fn from(caller: Option<Caller>) -> Self {
        let scope = caller.as_ref().map(|caller| caller.scope.into());
        Self { scope, name: caller.and_then(|caller| caller.token) }
    }
}

/// A token, as `postqd token create` shows it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    #[schema(value_type = String)]
    token: Secret,
}

/// Tells who asks: by the session's cookie, or the token.
#[utoipa::path(get, path = "/api/session", tag = "session", operation_id = "session",
    security(()), responses((status = 200, description = "who asks", body = Session)))]
async fn show(State(app): State<App>, claim: Claim) -> Result<Json<Session>, Problem> {
    Ok(Json(caller(&app, &claim).await?.into()))
}

/// Signs in: the answer sets a cookie that is as good as the token in the pages of this server.
///
/// Ten times at once from one address with one token's id, then once in ten seconds.
#[utoipa::path(post, path = "/api/session", tag = "session", operation_id = "sign_in",
    request_body = SignIn, security(()),
    responses((status = 200, description = "signed in", body = Session)))]
async fn sign_in(
    State(app): State<App>,
    OriginalUri(whole): OriginalUri,
    own: Uri,
    headers: HeaderMap,
    claim: Claim,
    Body(SignIn { token: Secret(token) }): Body<SignIn>,
) -> Result<Response, Problem> {
    // Whoever knows no token's id holds up nobody but themselves, behind a proxy too; and made-up ids,
    // which have no end, count as one.
    let id = match Presented::read(&token) {
        Some(presented) => app.web.tokens.find(presented.id).await?,
        None => None,
    };
    let id = id.map(|token| token.id.to_string());
    let who = format!("{} {}", claim.stranger(), id.as_deref().unwrap_or("nothing"));
    app.sign_ins.take(&who, Instant::now()).map_err(Problem::too_many)?;
    let Some(caller) = known(&app, &token, &claim).await? else {
        let problem = Problem::new(Code::Unauthorized, "this is no good token")
            .with_remedy("copy it whole, from postq_ on; postqd token create makes another one");
        return Ok(unauthorized(problem));
    };
    let session = cookie::set(&headers, cookie::mount(&whole, &own), &token);
    Ok(with_cookie(Json(Session::from(Some(caller))).into_response(), session))
}

/// Signs out: the cookie is taken away. The token stays as good as it was.
#[utoipa::path(delete, path = "/api/session", tag = "session", operation_id = "sign_out",
    security(()), responses((status = 204, description = "signed out")))]
async fn sign_out(OriginalUri(whole): OriginalUri, own: Uri, headers: HeaderMap) -> Response {
    let gone = cookie::clear(&headers, cookie::mount(&whole, &own));
    with_cookie(StatusCode::NO_CONTENT.into_response(), gone)
}

fn with_cookie(mut answer: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}
